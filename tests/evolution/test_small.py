"""Small formulas: what they are, and that searches on several families write them."""

import itertools
import random
from pathlib import Path

import pytest

import autoprox
from autoprox.errors import BenchError, LanguageError, RunError, UnknownNameError
from autoprox.evolution.drawing import drawing_from
from autoprox.evolution.settings import DEFAULT_STATISTICS, Settings
from autoprox.evolution.small import READINGS, SmallFormulas, factors, reading, terms, variation_of
from autoprox.evolution.vocabulary import Vocabulary
from autoprox.language.text import parse
from autoprox.runs.running import laid

TINY, OTHER = (
    str(Path(__file__).parents[1] / name) for name in ("tiny_bench.py", "other_tiny_bench.py")
)
SMALL = SmallFormulas(Vocabulary(DEFAULT_STATISTICS))


@pytest.fixture(scope="module")
def third(tmp_path_factory):
    path = tmp_path_factory.mktemp("benches") / "third.py"
    renamed = "import dataclasses\nbench = dataclasses.replace(bench, name='third')\n"
    path.write_text(f"{Path(OTHER).read_text()}\n{renamed}")
    return str(path)


def drawn(count):
    with drawing_from(random.Random(0)):
        found = [SMALL.random() for _ in range(count)]
        found += [SMALL.mutated(parent) for parent in found]
        return found + [SMALL.crossed(*pair) for pair in zip(found, found[::-1], strict=True)]


def test_formulas_and_their_offspring_are_two_terms_that_read_one_thing():
    known = set(terms(DEFAULT_STATISTICS))
    found = drawn(100)
    assert len(set(found)) > 200
    read = []
    for graph in found:
        assert graph.word in ("multiply", "divide")
        assert len(factors(graph)) == 2
        assert known.issuperset(factors(graph)), graph.text
        read.append({*map(reading, factors(graph))} - {""})
        assert len(read[-1]) <= 1
        assert graph.complexity <= SMALL.complexity
    assert {*READINGS} == set().union(*read)


def test_a_mutant_keeps_a_term_of_its_parent_and_a_child_has_one_of_each():
    crossed = 0
    with drawing_from(random.Random(1)):
        for _ in range(50):
            first, second = SMALL.random(), SMALL.random()
            assert {*factors(SMALL.mutated(first))} & {*factors(first)}
            child = factors(SMALL.crossed(first, second))
            pairs = itertools.product(factors(first), factors(second))
            fitting = {pair for pair in pairs if len({*map(reading, pair)} - {""}) <= 1}
            crossed += bool(fitting)
            assert not fitting or fitting & {child, child[::-1]}
    assert crossed > 20


def test_the_proxy_that_ships_is_a_small_formula():
    assert {*terms(DEFAULT_STATISTICS)}.issuperset(factors(autoprox.load("general_best").graph))


def test_what_terms_read_is_written_as_graphs_are():
    assert [parse(text).text for text in READINGS] == list(READINGS)


def test_small_formulas_compare_nothing():
    with pytest.raises(RunError, match="none compares a network with its teacher"):
        Settings("vit101", teacher="resnet56", comparing=True, formulas="small")


def test_the_sign_is_no_term():
    negative = parse("negative(divide(sum(params), mean(flops)))")
    assert [each.text for each in factors(negative)] == ["sum(params)", "mean(flops)"]


def test_what_is_no_small_formula_may_be_a_parent():
    with drawing_from(random.Random(2)):
        child = SMALL.mutated(parse("sum(log(sum(divide(grad_abs_mean, grad_std))))"))
        assert len(factors(child)) == 2


def test_searches_on_three_families_write_small_formulas_and_count_wins(tmp_path, third):
    def settings(*benches, **options):
        return laid(",".join(benches), tmp_path, options).settings

    three = (TINY, OTHER, third)
    found = settings(*three)
    assert (found.over, found.formulas) == ("wins", "small")
    for fewer in (settings(TINY), settings(TINY, OTHER), settings(*three, leave_out="third")):
        assert (fewer.over, fewer.formulas) == ("mean", "any")
    asked = settings(*three, over="median", formulas="any")
    assert (asked.over, asked.formulas) == ("median", "any")
    assert settings(*three, permutations=1).over == "mean"
    with pytest.raises(UnknownNameError, match="unknown kind of formulas 'tiny'"):
        settings(*three, formulas="tiny")


def test_configurations_of_one_network_have_no_counts_to_win_against(tmp_path):
    options = {"architectures": 60, "over": "wins"}
    with pytest.raises(BenchError, match="of mq101, mq101wide do not differ in params, FLOPs"):
        laid("mq101,mq101wide", tmp_path, options)


def test_words_that_no_small_formula_has_write_any(tmp_path, third):
    benches = f"{TINY},{OTHER},{third}"
    words = ("grad_std",)
    assert laid(benches, tmp_path, {"statistics": words}).settings.formulas == "any"
    asked = Settings(benches, formulas="small")
    with pytest.raises(LanguageError, match="with the statistics grad_std and 16 nodes"):
        variation_of(asked, Vocabulary(("grad_std",)), needs_bits=False)


def test_a_run_on_three_families(tmp_path, third):
    run = autoprox.evolve(
        f"{TINY},{OTHER},{third}",
        out=tmp_path / "run",
        cache=tmp_path / "cache",
        evaluations=60,
        population=10,
        proposals=30,
    )
    assert (run.settings.over, run.settings.formulas) == ("wins", "small")
    known = set(terms(DEFAULT_STATISTICS))
    for each in run.front:
        assert known.issuperset(factors(parse(each.text)))


def test_runs_from_before_there_was_a_choice_stay_as_they_are():
    read = Settings.from_json({"bench": "general"})
    assert (read.over, read.formulas) == ("mean", "any")

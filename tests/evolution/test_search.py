"""The search: a proxy and its negative are one, and what is known stays known."""

import json
import random
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from scipy.stats import spearmanr

from autoprox.evolution.algorithms import Emq
from autoprox.evolution.base import Proposal
from autoprox.evolution.drawing import drawing_from
from autoprox.evolution.judge import Candidate, Judge, behaviour, judged, negated, unsigned
from autoprox.evolution.search import Search
from autoprox.evolution.settings import DEFAULT_STATISTICS, Settings
from autoprox.evolution.variation import Variation
from autoprox.evolution.vocabulary import Vocabulary
from autoprox.language.graph import apply
from autoprox.language.text import parse
from autoprox.ranking import Column, Ranker, standardised_ranks
from autoprox.runs.folder import RunFolder, _line, candidate_of
from autoprox.runs.schemas import Line, RunConfig
from autoprox.runtime.schema import decoded
from tests.evolution.worlds import FIRST, SECOND, TEXTS, THIRD, Spelling, candidate, failure, texts
from tests.made_measurements import measurement, table

SUM, MAX = "sum(params)", "max(flops)"
DIFFERENCE, OPPOSITE = f"subtract({MAX}, {SUM})", f"subtract({SUM}, {MAX})"
WITH_NUMBERS = (f"subtract({SUM}, 1)", f"subtract(1, {SUM})")


class Prepared:
    """A variation that gives prepared graphs as random ones."""

    def __init__(self, *expressions):
        self.left = [parse(each) for each in expressions]

    def random(self):
        return self.left.pop(0)


class Verdicts:
    """A judge that says of each graph what it was told, and notes what it was asked.

    Of the others it says that their fitness is 0.1.
    """

    def __init__(self, fitnesses=None, flat=()):
        self.fitnesses = {parse(text): each for text, each in (fitnesses or {}).items()}
        self.flat = {parse(text) for text in flat}
        self.asked, self.prepared = [], []

    def prepare(self, graphs):
        self.prepared.append([graph.text for graph in graphs])

    def __call__(self, graphs):
        self.asked.append([graph.text for graph in graphs])
        return [self.verdict(graph) for graph in graphs]

    def verdict(self, graph):
        fitness = self.fitnesses.get(graph, 0.1)
        if fitness is None:
            return failure(graph.text)
        ranks = np.random.default_rng(list(graph.text.encode())).normal(size=9)
        ranks[:4] *= graph not in self.flat
        ranks = (ranks / np.linalg.norm(ranks)).astype(np.float32)
        return judged(graph, ranks, np.array([fitness]), fitness)


def search(variation, judge, seeds=(), method=None, **settings):
    chosen = {
        "algorithm": "random",
        "evaluations": 100,
        "population": 2,
        "proposals": 2,
        **settings,
    }
    return Search(
        Settings("none", **chosen), variation, judge, [parse(each) for each in seeds], method
    )


@pytest.mark.parametrize(
    ("expression", "opposite"),
    [
        (SUM, f"negative({SUM})"),
        (f"negative({SUM})", SUM),
        (DIFFERENCE, OPPOSITE),
        (OPPOSITE, DIFFERENCE),
        *((each, f"negative({each})") for each in WITH_NUMBERS),
        (f"exp({OPPOSITE})", f"negative(exp({OPPOSITE}))"),
    ],
)
def test_the_negative_of_a_proxy_is_written_with_the_fewest_nodes(expression, opposite):
    assert negated(parse(expression)) is parse(opposite)


@pytest.mark.parametrize(
    ("expression", "one"),
    [
        (SUM, SUM),
        (f"negative({SUM})", SUM),
        (f"negative(negative({SUM}))", SUM),
        (DIFFERENCE, DIFFERENCE),
        (OPPOSITE, DIFFERENCE),
        (f"negative({OPPOSITE})", DIFFERENCE),
        (f"negative({DIFFERENCE})", DIFFERENCE),
        *((each, each) for each in WITH_NUMBERS),
        (f"exp({OPPOSITE})", f"exp({OPPOSITE})"),
        (f"exp(negative({SUM}))", f"exp(negative({SUM}))"),
    ],
)
def test_a_proxy_and_its_negative_are_one(expression, one):
    assert unsigned(parse(expression)) is parse(one)


def test_the_product_of_two_proxies_ranks_is_the_mean_of_their_correlations_within_spaces():
    random = np.random.default_rng(0)
    params, flops = random.integers(1, 9, (2, 16)).astype(float)
    spaces = np.arange(6), np.arange(6, 16)
    columns = [
        Column(name, "top1", places, random.normal(size=len(places)))
        for name, places in zip("ab", spaces, strict=True)
    ]
    networks = [measurement(params=[p], flops=[f]) for p, f in zip(params, flops, strict=True)]
    judge = Judge(table(*networks), Ranker(columns))
    first, second = judge([parse("sum(params)"), parse("sum(flops)")])
    truth = np.mean([spearmanr(params[places], flops[places]).statistic for places in spaces])
    signs = [-1 if each.graph.word == "negative" else 1 for each in (first, second)]
    assert first.ranks @ first.ranks == pytest.approx(1)
    assert first.ranks @ second.ranks == pytest.approx(np.prod(signs) * truth, abs=1e-6)


def test_a_swap_of_two_neighbours_among_hundreds_is_another_behaviour():
    scores = np.arange(300.0)
    swapped = scores.copy()
    swapped[[150, 151]] = scores[[151, 150]]
    orders = [
        behaviour(standardised_ranks(each[None])[0]) for each in (scores, swapped, 2 * scores)
    ]
    assert orders[0] == orders[2] != orders[1]


@examples(max_examples=50)
@given(st.integers(0, 2**32 - 1))
def test_the_sign_of_any_proxy_is_turned_there_and_back(seed):
    with drawing_from(random.Random(seed)):
        graph = Variation(Vocabulary(DEFAULT_STATISTICS)).random()
    signed = (graph, negated(graph), apply("negative", graph), negated(negated(graph)))
    assert len({unsigned(each) for each in signed}) == 1
    assert negated(graph) is not graph
    if graph.word != "negative":
        assert negated(negated(graph)) is graph
        assert unsigned(graph).complexity == graph.complexity


def test_a_proxy_and_its_negative_are_judged_once():
    judge = Verdicts()
    variation = Prepared(f"negative({SUM})", OPPOSITE, SUM, DIFFERENCE, OPPOSITE, SUM)
    made = search(variation, judge, population=9, proposals=4)
    one = made.step()
    assert judge.asked == [[SUM, DIFFERENCE]]
    assert judge.prepared == [[SUM, DIFFERENCE]]
    assert list(one.new) == [SUM, DIFFERENCE]
    assert (one.evaluations, one.proposals) == (2, 4)
    assert texts(made.algorithm.population) == [SUM, DIFFERENCE]
    variation.left += [parse(f"negative({DIFFERENCE})"), parse(f"negative({SUM})")]
    two = made.step()
    assert judge.asked[1:] == [[]]
    assert (two.evaluations, two.proposals, two.new) == (2, 8, {})


def test_differences_from_a_number_are_judged_as_they_are_written():
    judge = Verdicts()
    search(Prepared(*WITH_NUMBERS), judge).step()
    assert judge.asked == [[parse(each).text for each in WITH_NUMBERS]]


def test_what_is_over_the_budget_is_not_judged_and_not_kept():
    judge = Verdicts()
    made = search(Prepared(*TEXTS[:4]), judge, population=4, evaluations=3)
    assert made.step().evaluations == 2
    assert not made.done
    assert made.step().evaluations == 3
    assert judge.asked == [[FIRST, SECOND], [THIRD]]
    assert set(texts(made.algorithm.population)) == {FIRST, SECOND, THIRD}
    assert made.done


def test_what_its_sign_makes_too_large_is_a_failure_with_a_sentence():
    large, difference = f"exp({SUM})", f"subtract({SUM}, {SUM.replace('sum', 'max')})"
    size = parse(large).complexity
    made = search(
        Prepared(large, f"log({SUM})", SUM, difference),
        Verdicts({large: -0.9, f"log({SUM})": 0.2, SUM: -0.3}),
        population=9,
        proposals=4,
        complexity=size,
    )
    judge = made.judge
    judge.fitnesses[unsigned(parse(difference))] = None
    found = made.step()
    reason = f"{size + 1} nodes with its sign, over {size}"
    assert found.new[large] == Candidate(parse(large), (), None, reason, "")
    assert found.failures == {reason: 1, "not finite": 1}
    assert texts(made.algorithm.population) == [f"negative({SUM})", f"log({SUM})"]
    assert found.best.graph.text == f"negative({SUM})"
    assert made.known[large].failure == reason


def test_a_difference_that_is_turned_is_no_larger():
    made = search(
        Prepared(DIFFERENCE, SUM),
        Verdicts({DIFFERENCE: -0.9}),
        complexity=parse(DIFFERENCE).complexity,
    )
    found = made.step()
    assert found.failures == {}
    assert found.best.graph.text == OPPOSITE
    assert found.best.fitness == 0.9


@pytest.mark.parametrize("seed", [f"exp({SUM})", f"negative(exp({SUM}))", f"log(exp({SUM}))"])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_seed_proxy_may_be_as_large_as_it_likes_whatever_its_sign(seed, sign):
    plain = unsigned(parse(seed))
    made = search(Prepared(SUM), Verdicts({plain.text: sign * 0.9}), seeds=[seed], complexity=3)
    found = made.step()
    assert found.failures == {}
    assert found.best.graph is (plain if sign > 0 else negated(plain))
    assert texts(made.algorithm.population) == [found.best.graph.text, SUM]


def read_line(data):
    return decoded(json.dumps(data).encode(), Line, "a line")


@pytest.mark.parametrize("few", [True, False])
def test_a_line_of_a_candidate_says_whether_it_tells_the_first_few_apart(few):
    found = candidate(f"negative({SUM})", 0.5, correlations=(0.25, 0.75), few=few)
    line = read_line(_line(SUM, (), found))
    assert (line.proposed, candidate_of(line, found.graph)) == (SUM, found)


def test_a_line_from_before_screening_was_noted_is_of_one_that_tells_the_first_few_apart():
    data = _line(SUM, (), candidate(SUM, 0.5))
    assert "tells_few_apart" not in data
    assert candidate_of(read_line(data), parse(SUM)).tells_few_apart


def test_a_failure_is_read_as_it_was_written():
    line = read_line(_line(SUM, (), failure(SUM)))
    assert (line.proposed, candidate_of(line, parse(SUM))) == (SUM, failure(SUM))


def test_after_a_restart_the_best_is_still_the_one_that_is_worth_most():
    large = f"log(log(log({SUM})))"
    verdicts = {large: 0.501, SUM: 0.5}  # 3 nodes are worth more
    made = search(Prepared(large, SUM), Verdicts(verdicts))
    assert made.step().best.graph.text == SUM
    again = search(Prepared(), Verdicts(verdicts))
    again.restore(made.checkpoint(), dict(made.known))
    assert again.best == made.best


def test_after_a_restart_the_members_have_the_fitness_that_was_written():
    made = search(Prepared(SUM, MAX), Verdicts({SUM: 0.5}))
    made.step()
    again = search(Prepared(), Verdicts({SUM: 0.5 + 2e-16}))  # as among other candidates
    again.restore(made.checkpoint(), dict(made.known))
    before, after = made.algorithm.population, again.algorithm.population
    assert after == before
    np.testing.assert_array_equal([m.ranks for m in after], [m.ranks for m in before])


class Insistent(Emq):
    """EMQ that proposes the same pair again and again."""

    def offspring(self):
        return [Proposal(parse(text)) for text in TEXTS[4:6]]


def insisting(judge):
    seeds = TEXTS[:2]
    return search(Spelling(), judge, seeds=seeds, method=Insistent(), evaluations=10)


def refusing():
    return Verdicts({TEXTS[4]: 0.9, TEXTS[5]: None}, flat=TEXTS[4:5])


def test_emq_refuses_a_known_candidate_as_it_refused_it_when_it_was_new():
    judge = refusing()
    made = insisting(judge)
    for _ in range(3):
        made.step()
        assert sorted(texts(made.algorithm.population)) == sorted(TEXTS[:2])
    assert judge.asked == [list(TEXTS[:2]), list(TEXTS[4:6]), []]
    known = made.known[TEXTS[4]]
    assert (known.fitness, known.tells_few_apart, known.ranks) == (0.9, False, None)


def test_emq_refuses_after_a_restart_what_it_refused_before(tmp_path):
    made = insisting(refusing())
    with RunFolder(tmp_path / "run") as folder:
        folder.create(RunConfig("digest", made.settings.to_json()))
        for _ in range(2):
            found = made.step()
            folder.save(found, None, 0.0, made.checkpoint())
    with RunFolder(tmp_path / "run") as folder:
        checkpoint, known = folder.checkpoint()
    again = insisting(refusing())
    again.restore(asdict(checkpoint), known)
    assert again.known == made.known
    assert not again.known[TEXTS[4]].tells_few_apart
    assert again.algorithm.population == made.algorithm.population
    assert all(each.ranks is not None for each in again.algorithm.population)
    assert again.best == made.best
    again.step()
    assert sorted(texts(again.algorithm.population)) == sorted(TEXTS[:2])
    assert (again.generation, again.proposals, again.barren) == (3, 6, 1)


def test_emq_lets_the_same_pair_in_if_it_tells_the_first_few_apart():
    judge = refusing()
    judge.flat.clear()
    made = insisting(judge)
    made.step()
    made.step()
    assert TEXTS[4] in texts(made.algorithm.population)

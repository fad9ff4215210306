"""Going on: a finished run with a larger budget, and a new run from the front of another."""

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

import autoprox
from autoprox.cli.run_tables import print_report
from autoprox.errors import RunError, UnknownNameError
from autoprox.evolution.algorithms import ALGORITHMS
from autoprox.runs.evolve import evolve
from autoprox.runs.several import evolve_several
from autoprox.runs.starting import evolve_from, evolve_seeds_from
from tests.own_words import NAME, OWN, own_words
from tests.runs.stopping import Stopper

TINY = str(Path(__file__).parents[1] / "tiny_bench.py")
OTHER = str(Path(__file__).parents[1] / "other_tiny_bench.py")
SMALL = {"evaluations": 110, "population": 20, "proposals": 40}
FILES = ("config.json", "candidates.jsonl", "checkpoints.jsonl", "best.json", "report.json")


def content(folder, names=FILES):
    return {name: (folder / name).read_bytes() for name in names}


@pytest.fixture(scope="module")
def origin(cache, tmp_path_factory):
    return evolve(TINY, out=tmp_path_factory.mktemp("runs") / "origin", cache=cache, **SMALL)


# A larger budget


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_an_extended_run_is_to_the_byte_one_that_had_the_budget_from_the_start(
    algorithm, cache, tmp_path
):
    options = {**SMALL, "cache": cache, "algorithm": algorithm}
    whole = evolve(TINY, out=tmp_path / "whole", **{**options, "evaluations": 190})
    evolve(TINY, out=tmp_path / "grown", **options)
    grown = evolve(resume=tmp_path / "grown", evaluations=190, cache=cache)
    assert grown.finished
    assert content(grown.folder) == content(whole.folder)


def test_a_run_of_one_generation_and_one_that_was_stopped_are_extended_alike(cache, tmp_path):
    whole = evolve(TINY, out=tmp_path / "whole", cache=cache, **SMALL)
    evolve(TINY, out=tmp_path / "short", cache=cache, **{**SMALL, "evaluations": 15})
    evolve(resume=tmp_path / "short", evaluations=110, cache=cache)
    assert content(tmp_path / "short") == content(whole.folder)
    less = {**SMALL, "evaluations": 90}
    evolve(TINY, out=tmp_path / "stopped", cache=cache, observer=Stopper(), **less)
    evolve(resume=tmp_path / "stopped", evaluations=110, cache=cache)
    assert content(tmp_path / "stopped") == content(whole.folder)


def test_searches_on_shuffled_accuracies_are_those_of_the_larger_budget(cache, tmp_path):
    options = {**SMALL, "cache": cache, "permutations": 2}
    whole = evolve(TINY, out=tmp_path / "whole", **options)
    evolve(TINY, out=tmp_path / "grown", **{**options, "evaluations": 50})
    grown = evolve(resume=tmp_path / "grown", evaluations=110, cache=cache)
    names = (*FILES, "permutations.json")
    assert content(grown.folder, names) == content(whole.folder, names)


def test_while_it_is_extended_it_is_not_finished(origin, cache, tmp_path):
    evolve(TINY, out=tmp_path / "run", cache=cache, **{**SMALL, "evaluations": 50})
    stopped = evolve(
        resume=tmp_path / "run", evaluations=110, cache=cache, observer=Stopper(again=True)
    )
    assert not stopped.finished
    assert not autoprox.read_run(tmp_path / "run").finished
    evolve(resume=tmp_path / "run", cache=cache)
    assert content(tmp_path / "run") == content(origin.folder)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"evaluations": 109}, r"asked for 110 evaluations; .* for more, not for 109"),
        ({"evaluations": 110}, "is finished"),
        ({"evaluations": 120.5}, r"evaluations is a whole number; got 120\.5"),
        ({"permutations": "4"}, "permutations is a whole number; got '4'"),
        ({"permutations": -4}, "permutations is at least 0; got -4"),
    ],
)
def test_what_is_no_more_is_refused_and_nothing_is_lost(more, message, origin, cache):
    before = content(origin.folder)
    with pytest.raises(RunError, match=message):
        evolve(resume=origin.folder, **more, cache=cache)
    assert content(origin.folder) == before


def test_fewer_searches_on_shuffled_accuracies_are_refused(cache, tmp_path):
    asked = {**SMALL, "cache": cache, "permutations": 2}
    run = evolve(TINY, out=tmp_path / "run", observer=Stopper(), **asked)
    with pytest.raises(RunError, match=r"asked for 2 permutations; .* more, not for 1"):
        evolve(resume=run.folder, permutations=1, cache=cache)


# From the front of another


def proposed(run):
    lines = (run.folder / "candidates.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_the_first_population_has_the_front_of_the_other_run(origin, cache, tmp_path):
    run = evolve_from(origin.folder, out=tmp_path / "run", cache=cache, seed=1)
    front = [each.text for each in origin.front]
    assert len(front) > 1
    first = [line.get("expression") for line in proposed(run)[: len(front)]]
    assert first == front
    assert run.settings.seed_proxies == tuple(front)
    assert run.settings.started_from["seed"] == 0
    assert run.settings.seed == 1
    kept = ("bench", "population", "proposals", "evaluations", "split_seed", "correlation")
    for name in kept:
        assert getattr(run.settings, name) == getattr(origin.settings, name)
    assert autoprox.load(run.folder).provenance["settings"]["started_from"]["bench"] == TINY
    assert "started_from" not in json.loads((origin.folder / "config.json").read_text())["settings"]


def test_words_of_the_front_are_those_of_the_file_that_is_named(cache, tmp_path):
    options = {"cache": cache, **SMALL, "evaluations": 40}
    with own_words(tmp_path / "bench.py") as bench:
        first = evolve(bench, seed_proxies=(OWN,), out=tmp_path / "first", **options)
    with own_words(tmp_path / "bench.py") as bench:
        run = evolve_from(first.folder, bench, out=tmp_path / "run", **options)
    assert run.settings.seed_proxies == tuple(each.text for each in first.front)
    assert any(NAME in text for text in run.settings.seed_proxies)


def test_it_is_resumed_to_what_it_would_have_been(origin, cache, tmp_path):
    options = {"cache": cache, "seed": 1}
    whole = evolve_from(origin.folder, out=tmp_path / "whole", **options)
    stopped = evolve_from(origin.folder, out=tmp_path / "cut", observer=Stopper(), **options)
    assert not stopped.finished
    evolve(resume=tmp_path / "cut", cache=cache)
    assert content(tmp_path / "cut") == content(whole.folder)


@pytest.mark.parametrize(
    "options", [{"split_seed": 1}, {"held_out_share": 0.6}, {"spaces": ("mlp",)}]
)
def test_a_split_that_would_hold_out_what_the_other_searched_on_is_refused(
    options, origin, cache, tmp_path
):
    with pytest.raises(RunError, match=r"searched on \d+ of the architectures that this one would"):
        evolve_from(origin.folder, out=tmp_path / "run", cache=cache, **options)
    assert not (tmp_path / "run").exists()


def test_a_smaller_held_out_part_that_nobody_searched_on_is_allowed(cache, tmp_path):
    one = {**SMALL, "evaluations": 40, "cache": cache}
    first = evolve(TINY, out=tmp_path / "a", spaces=("mlp",), **one)
    run = evolve_from(first.folder, out=tmp_path / "b", spaces=("mlp",), cache=cache)
    assert {each.column.split("/")[0] for each in run.held_out[0].columns} == {"mlp"}
    with pytest.raises(RunError, match="searched on"):  # the transfer is reported, too
        evolve_from(first.folder, out=tmp_path / "c", spaces=("cnn",), cache=cache)


def test_the_searches_behind_the_other_run_count(origin, cache, tmp_path):
    between = evolve_from(origin.folder, OTHER, out=tmp_path / "b", cache=cache, **SMALL)
    assert between.settings.bench == OTHER
    with pytest.raises(RunError, match=r"searched on \d+ of the architectures"):
        evolve_from(between.folder, TINY, out=tmp_path / "c", cache=cache, split_seed=1, **SMALL)
    again = evolve_from(between.folder, TINY, out=tmp_path / "d", cache=cache, **SMALL)
    assert again.settings.started_from["started_from"]["bench"] == TINY


def test_a_seed_proxy_may_not_have_seen_what_is_held_out(origin, cache, tmp_path):
    options = {**SMALL, "cache": cache, "seed_proxies": ("snip", str(origin.folder))}
    with pytest.raises(
        RunError, match=r"search that found .* searched on \d+ of the architectures"
    ):
        evolve(TINY, out=tmp_path / "a", split_seed=1, **options)
    assert not (tmp_path / "a").exists()
    run = evolve(TINY, out=tmp_path / "b", seed=1, **options)  # the same split
    assert run.settings.seed_proxies == ("snip", origin.best.graph.text)


def test_a_seed_proxy_of_a_seed_proxy_may_not_have_seen_it_either(origin, cache, tmp_path):
    options = {**SMALL, "cache": cache}
    seeds = ("snip", str(origin.folder))
    between = evolve(OTHER, out=tmp_path / "b", seed_proxies=seeds, **options)
    told = json.loads((origin.folder / "config.json").read_text())["settings"]
    assert between.settings.searches == {str(origin.folder): told}
    last = evolve_from(between.folder, out=tmp_path / "c", seed=1, cache=cache)
    assert last.settings.searches is None
    for run in (between, last):
        with pytest.raises(RunError, match=r"searched on \d+ of the architectures"):
            evolve_from(run.folder, TINY, out=tmp_path / "no", split_seed=1, **options)
        seeded = {**options, "seed_proxies": str(run.folder)}
        with pytest.raises(RunError, match=r"that found .* searched on \d+ of the architectures"):
            evolve(TINY, out=tmp_path / "no", split_seed=1, **seeded)
        evolve(TINY, out=tmp_path / run.folder.name / "same split", **seeded)


def test_two_searches_that_found_one_formula_both_count(origin, cache, tmp_path):
    data = json.loads((origin.folder / "best.json").read_text())
    data["provenance"]["settings"]["split_seed"] = 3
    again = tmp_path / "again.json"
    again.write_text(json.dumps(data))
    options = {**SMALL, "cache": cache}
    for number, seeds in enumerate([(origin.folder, again), (again, origin.folder)]):
        between = evolve(
            OTHER, out=tmp_path / str(number), seed_proxies=[*map(str, seeds)], **options
        )
        for split_seed in (0, 3):
            with pytest.raises(RunError, match=r"searched on \d+ of the architectures"):
                evolve_from(
                    between.folder, TINY, out=tmp_path / "no", split_seed=split_seed, **options
                )


def test_what_a_search_that_found_a_seed_proxy_saw_is_kept_in_every_run(origin, cache, tmp_path):
    options = {**SMALL, "cache": cache, "seed_proxies": str(origin.folder), "seed": 1}
    whole = evolve(TINY, out=tmp_path / "whole", **options)
    evolve(TINY, out=tmp_path / "cut", observer=Stopper(), **{**options, "evaluations": 90})
    assert evolve(resume=tmp_path / "cut", evaluations=110, cache=cache).finished
    assert content(tmp_path / "cut") == content(whole.folder)
    assert evolve_several(TINY, {"one": {}}, out=tmp_path / "runs", **options).finished
    assert content(tmp_path / "runs" / "one") == content(whole.folder)
    with pytest.raises(UnknownNameError, match="'searches'"):
        evolve_several(TINY, {"one": {}}, searches={}, out=tmp_path / "no", cache=cache)
    plain = {**options, "seed_proxies": "snip"}
    evolve(TINY, out=tmp_path / "plain", **plain)
    for name in FILES:
        assert b'"searches"' not in (tmp_path / "plain" / name).read_bytes()


@pytest.mark.parametrize("begun", ["front", "seed proxy"])
def test_what_was_found_on_true_accuracies_is_not_held_against_shuffled_ones(
    begun, origin, cache, tmp_path
):
    out, options = tmp_path / "run", {**SMALL, "evaluations": 40, "cache": cache}

    def begin(**more):
        if begun == "front":
            return evolve_from(origin.folder, out=out, **options, **more)
        return evolve(TINY, out=out, seed_proxies=str(origin.folder), **options, **more)

    with pytest.raises(RunError, match="found on the true ones; this one begins with"):
        begin(permutations=2)
    assert not out.exists()
    run = begin()
    said = Console(file=io.StringIO(), width=200)
    for each in (run, origin):
        print_report(each, "now", said)
    assert said.file.getvalue().count("--permutations 20") == 1
    with pytest.raises(RunError, match="found on the true ones"):
        evolve(resume=out, permutations=2, cache=cache)
    assert evolve(resume=out, evaluations=50, cache=cache).finished


def test_what_has_no_front_or_does_not_exist_is_named(origin, cache, tmp_path):
    with pytest.raises(RunError, match="is no folder"):
        evolve_from(tmp_path / "nowhere", cache=cache)
    with pytest.raises(UnknownNameError, match="did you mean 'evaluations'"):
        evolve_from(origin.folder, evaluation=3)
    with pytest.raises(UnknownNameError, match="seed_proxies"):
        evolve_from(origin.folder, seed_proxies=("snip",))


def test_several_seeds_from_one_front_keep_its_split_and_are_the_single_runs(
    origin, cache, tmp_path
):
    options = {"cache": cache, "evaluations": 60}
    runs = evolve_seeds_from(origin.folder, seeds=2, seed=4, out=tmp_path / "runs", **options)
    assert runs.varied == ("seed",)
    assert {each.split_seed for each in runs.settings.values()} == {0}
    single = evolve_from(origin.folder, seed=5, out=tmp_path / "single", **options)
    assert content(runs.folder / "seed-5") == content(single.folder)
    with pytest.raises(RunError, match=r"searched on \d+ of the architectures"):
        evolve_seeds_from(origin.folder, seeds=2, split_seed=1, out=tmp_path / "no", **options)
    with pytest.raises(RunError, match="at least one run"):
        evolve_seeds_from(origin.folder, seeds=0, **options)

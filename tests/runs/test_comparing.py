"""Runs beside each other, on what all of them held out."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import somersd

import autoprox
from autoprox.benches import load_bench, split
from autoprox.errors import RunError
from autoprox.evaluation.evaluate import Evaluator
from autoprox.language.text import parse
from autoprox.runs.comparing import compare
from autoprox.runs.evolve import evolve
from autoprox.runs.forms import form
from autoprox.runs.ground import lay
from autoprox.runs.series import evolve_seeds
from autoprox.runs.several_record import names_of
from tests.own_words import OWN, own_words

TINY = str(Path(__file__).parents[1] / "tiny_bench.py")
OTHER = str(Path(__file__).parents[1] / "other_tiny_bench.py")
SMALL = {"evaluations": 80, "population": 20, "proposals": 40}
HALF = {**SMALL, "held_out_share": 0.6}


@pytest.fixture(scope="module")
def runs(cache, tmp_path_factory):
    """Runs of two algorithms on one split, and of one on another split."""
    folder = tmp_path_factory.mktemp("runs")
    settings = {
        "one": {},
        "other": {"algorithm": "random", "seed": 3},
        "elsewhere": {"split_seed": 3},
    }
    return {
        name: evolve(TINY, out=folder / name, cache=cache, **HALF, **own)
        for name, own in settings.items()
    }


def mean_d(run, names, cache):
    """The mean Somers' D over spaces and targets, by scipy, of a run's best on some networks."""
    ground = lay(TINY, run.settings, cache)
    bench = ground.bench
    places = [i for i, each in enumerate(bench.architectures) if each.name in names]
    scores = Evaluator(ground.table(places))(run.best.graph).values
    found = []
    for space in bench.spaces:
        own = [k for k, i in enumerate(places) if bench.architectures[i].space == space]
        for target in bench.default_targets:
            figures = [bench.architectures[places[k]].accuracies[target] for k in own]
            found.append(somersd(figures, scores[own]).statistic)
    return np.mean(found)


def test_the_best_are_ranked_on_what_all_of_them_held_out(runs, cache):
    found = compare([runs["one"], runs["elsewhere"].folder], cache=cache)
    bench = load_bench(TINY)
    parts = [split(bench, seed, 0.6).held_out for seed in (0, 3)]
    common = {bench.architectures[i].name for i in set(parts[0]) & set(parts[1])}
    assert sum(found.architectures.values()) == len(common) < len(parts[0])
    for row, run in zip(found.runs, (runs["one"], runs["elsewhere"]), strict=True):
        assert row.joint == pytest.approx(mean_d(run, common, cache), abs=1e-6)
        assert row.expression == run.best.graph.text
    (difference,) = found.differences
    assert difference.difference == pytest.approx(found.runs[0].joint - found.runs[1].joint)
    low, high = difference.interval
    assert low <= difference.difference <= high


def test_differences_are_of_each_two_and_paired(runs, cache):
    one, other = runs["one"], runs["other"]
    found = compare([one, other, one], cache=cache)
    assert len(found.differences) == 3
    first, same, last = (each.difference for each in found.differences)
    assert (same, found.differences[1].interval) == (0.0, (0.0, 0.0))  # as only paired ones are
    assert first == pytest.approx(-last)
    assert not found.differences[1].decided
    assert found.runs[0].joint == pytest.approx(one.held_out[0].joint)  # the split is one


def test_the_settings_that_differ_are_named_with_their_values(runs, cache):
    found = compare([runs["one"], runs["other"]], cache=cache)
    assert found.settings["algorithm"] == ("default", "random")
    assert found.settings["seed"] == (0, 3)
    assert found.settings.keys() == {"algorithm", "parameters", "seed"}
    assert compare([runs["one"], runs["one"]], cache=cache).settings == {}
    assert json.loads(json.dumps(found.to_json()))["targets"] == ["coarse", "fine"]
    assert list(found.to_frame()["name"]) == ["one", "other"]


def test_what_a_run_found_alone_no_other_judged(runs, cache):
    one, other = runs["one"], runs["other"]
    found = compare([one, other], cache=cache)
    for row, own, rest in ((found.runs[0], one, other), (found.runs[1], other, one)):
        judged = {form(each.candidate.graph).text for each in rest.judged}
        best = {form(each.graph).text for each in own.proxies}
        best |= {form(each.candidate.graph).text for each in own.front}
        assert {form(parse(text)).text for text in row.alone} == best - judged
        written = {each.graph.text for each in own.proxies}
        written |= {each.candidate.graph.text for each in own.front}
        assert set(row.alone) <= written  # with the sign by which they rank
        assert row.best == len(best)
    same = compare([one, one], cache=cache)
    assert all(row.alone == () for row in same.runs)


@pytest.mark.parametrize(
    ("bench", "options", "message"),
    [
        (OTHER, {}, "share no held-out architecture: .*one held out 14 of tiny; .*run held out"),
        (
            TINY,
            {"held_out_share": 0.25, "split_seed": 1},
            "share 3 held-out architectures, which is too",
        ),
    ],
)
def test_runs_that_share_too_little_are_told_apart_in_a_sentence(
    bench, options, message, runs, cache, tmp_path
):
    run = evolve(bench, out=tmp_path / "run", cache=cache, **SMALL, **options)
    found = compare([runs["one"], run], cache=cache)
    assert found.reason is not None
    assert re.search(message, found.reason)
    assert found.differences == ()
    assert [row.joint for row in found.runs] == [None, None]
    assert found.settings


def test_of_several_runs_the_picked_one_is_compared(runs, cache, tmp_path):
    both = evolve_seeds(TINY, 2, out=tmp_path / "both", cache=cache, **SMALL)
    found = autoprox.compare([both.folder, runs["other"].folder], cache=cache)
    assert found.runs[0].name == f"both/{both.pick}"
    assert found.runs[0].expression == both.best.graph.text


def test_a_run_of_words_in_a_file_is_read_when_these_are_known(cache, tmp_path):
    path, run = tmp_path / "bench.py", tmp_path / "run"
    with own_words(path) as bench:
        evolve(bench, seed_proxies=(OWN,), out=run, cache=cache, **{**SMALL, "evaluations": 20})
    with own_words(path) as bench:
        found = compare([run, run], bench=bench, cache=cache)
        assert found.runs[0].expression == OWN
        assert found.runs[0].search is not None
        assert found == compare([run, run], cache=cache)  # as the words are known by now


def test_bad_input_is_named(runs, cache, tmp_path):
    with pytest.raises(RunError, match="two runs or more"):
        compare([runs["one"]], cache=cache)
    with pytest.raises(RunError, match="two runs or more"):
        compare(str(runs["one"].folder), cache=cache)
    with pytest.raises(RunError, match="is no folder"):
        compare([runs["one"], tmp_path / "nowhere"], cache=cache)


def test_runs_of_different_fitness_are_compared_by_their_joint_correlation(cache, tmp_path):
    wins, mean = (
        evolve(f"{TINY},{OTHER}", out=tmp_path / over, over=over, cache=cache, **SMALL)
        for over in ("wins", "mean")
    )
    found = compare([wins, mean], cache=cache)
    assert [row.search for row in found.runs] == [
        pytest.approx(run.search[0].joint) for run in (wins, mean)
    ]
    assert found.runs[0].search != pytest.approx(wins.best.provenance["search_fitness"])
    stopped = replace(wins, search=(), held_out=())
    assert compare([stopped, mean], cache=cache).runs[0].search is None


def test_the_figure_on_the_search_split_is_somers_d_in_every_run(runs, cache, tmp_path):
    rho = evolve(TINY, out=tmp_path / "rho", cache=cache, correlation="spearman", **HALF)
    bench = load_bench(TINY)
    seen = {bench.architectures[i].name for i in split(bench, 0, 0.6).search}
    found = compare([runs["one"], rho], cache=cache)
    for row, run in zip(found.runs, (runs["one"], rho), strict=True):
        assert row.search == pytest.approx(mean_d(run, seen, cache), abs=1e-6)
    assert found.runs[1].search != pytest.approx(rho.best.provenance["search_fitness"])


def test_names_are_as_short_as_they_differ():
    assert names_of([Path("runs/a"), Path("runs/b")]) == ["a", "b"]
    assert names_of([Path("x/a"), Path("y/a"), Path("y/b")]) == ["x/a", "y/a", "b"]
    assert names_of([Path("x/y/a"), Path("z/y/a")]) == ["x/y/a", "z/y/a"]

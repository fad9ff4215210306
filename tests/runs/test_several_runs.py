"""Several runs in one folder: each as if it were alone, and what is said of them together."""

import dataclasses
import json
import statistics
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binom, quantile_test, rankdata

import autoprox
from autoprox.errors import AutoproxError, RunError, UnknownNameError
from autoprox.language.text import parse
from autoprox.ranking.medians import median
from autoprox.runs import several
from autoprox.runs.evolve import evolve
from autoprox.runs.forms import form
from autoprox.runs.observer import SilentSeveral
from autoprox.runs.record import read_run as read_single
from autoprox.runs.series import evolve_seeds
from autoprox.runs.several import evolve_several
from autoprox.runs.several_record import Runs
from autoprox.runtime.schema import sealed

TINY = str(Path(__file__).parents[1] / "tiny_bench.py")
SMALL = {"evaluations": 120, "population": 20, "proposals": 40}
FILES = ("config.json", "candidates.jsonl", "checkpoints.jsonl", "best.json", "report.json")


def content(folder):
    """What a run's files say, but for how long it took."""
    return {name: (folder / name).read_bytes() for name in FILES}


@pytest.fixture(scope="module")
def three(cache, tmp_path_factory):
    """Three seeds, by two processes."""
    folder = tmp_path_factory.mktemp("several") / "three"
    return evolve_seeds(TINY, 3, out=folder, jobs=2, cache=cache, **SMALL)


@pytest.fixture(scope="module")
def alone(cache, tmp_path_factory):
    """The second of them, alone."""
    folder = tmp_path_factory.mktemp("single") / "run"
    return evolve(TINY, out=folder, seed=1, split_seed=1, cache=cache, **SMALL)


def test_each_is_to_the_byte_the_run_that_it_would_be_alone(three, alone):
    assert three.finished
    assert list(three.runs) == ["seed-0", "seed-1", "seed-2"]
    assert [run.settings.split_seed for run in three.runs.values()] == [0, 1, 2]
    assert content(three.folder / "seed-1") == content(alone.folder)
    assert len({content(run.folder)["candidates.jsonl"] for run in three.runs.values()}) == 3


def test_runs_are_shown_in_a_line(three):
    assert repr(three) == f"Runs({three.title}; 3 finished, in {three.folder})"


def test_the_folder_is_read_together_and_its_runs_by_themselves(three):
    found = autoprox.read_run(three.folder)
    assert isinstance(found, Runs)
    assert found.rows() == three.rows()
    assert found.varied == ("seed", "split_seed")
    assert autoprox.read_run(three.folder / "seed-2").settings.seed == 2
    with pytest.raises(RunError, match="holds several runs"):
        read_single(three.folder)
    with pytest.raises(RunError, match="holds several runs"):
        evolve(resume=three.folder)


def test_seed_proxies_vary_and_not_besides_the_searches_that_found_them(three):
    seeded = dataclasses.replace(
        three.settings["seed-0"], seed_proxies=("sum(params)",), searches={"run": {}}
    )
    assert Runs(three.folder, {"a": seeded, "b": three.settings["seed-0"]}, {}).varied == (
        "seed_proxies",
    )


@pytest.mark.parametrize("name", ["seed-0", "seed-2"])
def test_a_setting_that_only_some_runs_have_is_one_in_which_they_differ(name, three):
    taught = dataclasses.replace(three.runs[name].settings, teacher="best", comparing=True)
    run = dataclasses.replace(three.runs[name], settings=taught)
    runs = Runs(three.folder, {**three.settings, name: taught}, {**three.runs, name: run})
    assert {*runs.varied} == {"seed", "split_seed", "teacher", "comparing"}
    told = {row["run"]: (row["teacher"], row["comparing"]) for row in runs.rows()}
    others = dict.fromkeys(three.runs.keys() - {name}, (None, None))
    assert told == {name: ("best", True), **others}
    assert "teacher" not in runs.medians


def test_figures_and_medians_are_those_of_the_runs(three):
    frame = three.to_frame()
    singles = [autoprox.read_run(three.folder / name) for name in three.runs]
    assert list(frame["held_out"]) == [run.held_out[0].joint for run in singles]
    assert list(frame["seed"]) == [0, 1, 2]
    middle = three.medians["held_out"]
    assert middle.middle == statistics.median(frame["held_out"])
    assert (middle.low, middle.high) == (min(frame["held_out"]), max(frame["held_out"]))
    assert "seed" not in three.medians
    params = next(rival for rival in three.rivals if rival.name == "params")
    own = [next(row.joint for row in run.held_out if row.name == "params") for run in singles]
    assert params.joint.middle == statistics.median(own)
    assert params.below == sum(a > b for a, b in zip(frame["held_out"], own, strict=True))


def test_one_proxy_is_picked_by_search_scores_alone(three):
    worths = {
        name: run.search[0].joint - 0.001 * run.search[0].complexity
        for name, run in three.runs.items()
    }
    assert worths[three.pick] == max(worths.values())
    assert autoprox.load(three.folder).graph is three.best.graph
    told = json.loads((three.folder / "report.json").read_text())
    assert told["pick"]["run"] == three.pick
    assert told["pick"]["expression"] == three.best.graph.text
    assert told["finished"]
    assert [row["run"] for row in told["runs"]] == list(three.runs)
    assert three.best.graph.text in three._repr_html_()


def test_runs_on_one_split_rank_together_by_the_mean_of_their_ranks(cache, tmp_path):
    small = {**SMALL, "evaluations": 60, "cache": cache}
    runs = evolve_seeds(TINY, 3, seed=4, split_seed=1, out=tmp_path / "runs", **small)
    assert [run.settings.split_seed for run in runs.runs.values()] == [1, 1, 1]
    assert (runs.varied, runs.share_split) == (("seed",), True)
    parts = [run.best for run in runs.runs.values()]
    board = autoprox.rank([runs.together, *parts], TINY, held_out=True, split_seed=1, cache=cache)
    together = board["runs, 3 together"]
    assert together.searched_on == 0
    scores = np.array([board.scores[str(part)] for part in parts])
    spaces = np.array([name.partition("/")[0] for name in board.architectures])
    for space in {*spaces}:
        expected = rankdata(scores[:, spaces == space], axis=1).mean(0)
        np.testing.assert_allclose(board.scores["runs, 3 together"][spaces == space], expected)


def test_runs_of_other_splits_saw_what_others_held_out(three, cache):
    assert not three.share_split
    board = autoprox.rank([three.together], TINY, held_out=True, split_seed=1, cache=cache)
    assert board["three, 3 together"].searched_on > 0


def test_what_is_together_says_of_how_many_runs_it_is(three):
    one, two, settings = [*three.runs][:1], [*three.runs][:2], three.settings

    def some(names, asked):
        return Runs(three.folder, asked, {name: three.runs[name] for name in names})

    assert some(two, settings).together.name == "three, 2 of 3 together"
    with pytest.raises(
        RunError, match=r"two finished runs or more in .*: go on with .* --resume .* --bench "
    ):
        _ = some(one, settings).together
    with pytest.raises(RunError, match=r"it has 1: begin several with --seeds"):
        _ = some(one, {name: settings[name] for name in one}).together


def test_runs_that_rank_by_other_targets_share_a_split_and_of_other_spaces_not(three):
    one = three.settings["seed-0"]
    for changed, shared in (({"targets": ("fine",)}, True), ({"spaces": ("mlp",)}, False)):
        other = dataclasses.replace(one, **changed)
        assert Runs(three.folder, {"a": one, "b": other}, {}).share_split is shared


def test_recurring_formulas_are_among_the_best_of_each_run_that_is_named(three):
    homes = {}
    for name, run in three.runs.items():
        graphs = [each.graph for each in run.proxies]
        graphs += [each.candidate.graph for each in run.front]
        for text in {form(graph).text for graph in graphs}:
            homes.setdefault(text, []).append(name)
    expected = {text: tuple(names) for text, names in homes.items() if len(names) > 1}
    assert three.recurring == expected != {}


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("negative(sum(norm(weight)))", "sum(norm(weight))"),
        ("sum(norm(absolute(weight)))", "sum(norm(weight))"),
        ("sum(norm(negative(weight)))", "sum(norm(weight))"),
        ("sum(add(mean(act), params))", "sum(add(mean(act), params))"),
        (
            "sum(count(multiply(act, act_grad)))",
            "sum(count(multiply(act, act_grad)))",
        ),  # of fewer layers
    ],
)
def test_formulas_that_differ_in_sign_or_in_idle_words_are_one(text, same):
    assert form(parse(text)).text == parse(same).text


@pytest.mark.parametrize("count", [1, 2, 3, 5, 6, 8, 10, 11, 25])
def test_the_interval_of_a_median_is_that_of_the_order_of_the_runs(count):
    values = np.random.default_rng(count).normal(size=count)
    found = median(list(values))
    assert found.middle == pytest.approx(np.median(values))
    whole = quantile_test(values, q=0, p=0.5).confidence_interval(0.95)
    if count > 5:  # below, no interval has 95 %
        assert (found.low, found.high) == (whole.low, whole.high)
        assert found.coverage >= 0.95
    else:
        assert (found.low, found.high) == (values.min(), values.max())
    place = int((values < found.low).sum())
    assert found.coverage == pytest.approx(max(0, 1 - 2 * binom.cdf(place, count, 0.5)))


class Stopped(SilentSeveral):
    """Stops the runs after the first generation."""

    def started(self, folder, settings):
        (folder / ".stop").touch()


class Told(SilentSeveral):
    """Keeps how far the runs were, each time that it is told."""

    def __init__(self):
        self.judged = []

    def searching(self, judged):
        self.judged.append(judged)


def test_an_observer_is_told_of_the_end_however_seldom_one_looks(cache, tmp_path, monkeypatch):
    monkeypatch.setattr(several, "GLANCE", 1000.0)
    told = Told()
    evolve_seeds(TINY, 2, out=tmp_path / "runs", cache=cache, observer=told, **SMALL)
    assert told.judged[-1] == {"seed-0": 120, "seed-1": 120}
    assert len(told.judged) == 2


@pytest.mark.parametrize("jobs", [1, 2])
def test_runs_that_were_stopped_go_on_to_what_they_would_have_been(jobs, three, cache, tmp_path):
    folder = tmp_path / "several"
    options = {**SMALL, "cache": cache, "jobs": jobs}
    stopped = evolve_seeds(TINY, 3, out=folder, observer=Stopped(), **options)
    assert not stopped.finished
    with pytest.raises(RunError, match="none of the runs"):
        _ = stopped.best
    evolve_several(resume=folder, cache=cache, jobs=jobs)
    for name in three.runs:
        assert content(folder / name) == content(three.folder / name)
    with pytest.raises(RunError, match="are finished"):
        evolve_several(resume=folder, cache=cache)


def test_more_evaluations_extend_every_run(three, cache, tmp_path):
    folder = tmp_path / "several"
    evolve_seeds(TINY, 2, out=folder, cache=cache, **{**SMALL, "evaluations": 70})
    with pytest.raises(RunError, match="asked for 70 evaluations"):
        evolve_several(resume=folder, evaluations=50, cache=cache)
    stopped = evolve_several(resume=folder, evaluations=120, observer=Stopped(), cache=cache)
    assert autoprox.read_run(folder / "seed-1").finished  # with what it was asked for before
    assert not stopped.finished
    assert not stopped.reported
    grown = evolve_several(resume=folder, evaluations=120, cache=cache)
    assert grown.finished
    for name in grown.runs:
        assert content(folder / name) == content(three.folder / name)


def test_a_run_that_fails_leaves_the_others_whole(cache, tmp_path):
    varied = {"good": {}, "bad": {"statistics": ("params",), "population": 2, "complexity": 2}}
    varied["bad"]["spaces"] = ("mlp",)
    folder = tmp_path / "several"
    options = {**SMALL, "evaluations": 40, "cache": cache}
    (folder / "bad").mkdir(parents=True)
    (folder / "bad" / "config.json").write_text("{}")
    with pytest.raises(RunError, match=r"1 of the runs in .* failed, the others are kept: bad: "):
        evolve_several(TINY, varied, out=folder, **options)
    assert autoprox.read_run(folder / "good").finished


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((TINY, 0), {}, "at least one run"),
        ((TINY, 2), {"seed": -1}, "not negative"),
        ((TINY, 2), {"split_seed": -3}, "seeds are not negative"),
        ((TINY, 2), {"evaluations": 0}, "evaluations is at least 1"),
        ((TINY, 2), {"proposals": 10**30}, "proposals is at most 1,000,000"),
        (("nowhere", 2), {}, "nowhere"),
        ((TINY, 2), {"evaluation": 3}, "did you mean 'evaluations'"),
        ((TINY, 2), {"loggers": "tensorbord"}, "tensorbord"),
        ((TINY, 2), {"architectures": 20.0}, r"architectures is a whole number from 1; got 20\.0"),
        ((TINY, 2), {"targets": []}, "expected one of the targets or more, .* got none"),
        ((TINY, 2), {"statistics": []}, "expected one of the statistics or more, .* got none"),
    ],
)
def test_a_mistake_is_named_and_leaves_nothing_behind(arguments, options, message, tmp_path):
    with pytest.raises(AutoproxError, match=message):
        evolve_seeds(*arguments, out=tmp_path / "several", cache=tmp_path / "cache", **options)
    assert not (tmp_path / "several").exists()


@pytest.mark.parametrize(
    ("varied", "message"),
    [
        ({}, "expected the settings of each run by its name, got none"),
        ({"a": {"sed": 1}}, "'sed'; did you mean 'seed'"),
        ({"a": {"seed": 0}, "b": 1}, "expected the settings of the run 'b' by name; got 1"),
        ({"best.json": {}}, "'best.json' cannot be the name of a run's folder"),
        ({"a/b": {}}, "'a/b' cannot be the name of a run's folder"),
    ],
)
def test_a_mistake_in_what_varies_is_named_before_there_is_a_folder(varied, message, tmp_path):
    with pytest.raises(AutoproxError, match=message):
        evolve_several(TINY, varied, out=tmp_path / "several", cache=tmp_path / "cache")
    assert not (tmp_path / "several").exists()


def test_a_folder_that_is_taken_or_missing_is_named(three, tmp_path):
    with pytest.raises(RunError, match="already holds"):
        evolve_seeds(TINY, 2, out=three.folder)
    with pytest.raises(RunError, match="already holds"):
        evolve_seeds(TINY, 2, out=three.folder / "seed-0")
    with pytest.raises(RunError, match="no runs to resume"):
        evolve_several(resume=tmp_path / "nowhere")
    with pytest.raises(RunError, match="give resume alone"):
        evolve_several(resume=three.folder, complexity=3)
    with pytest.raises(UnknownNameError):
        evolve_several(resume=three.folder, evaluation=3)


@pytest.mark.parametrize("name", ["../elsewhere", "", ".hidden", "a/b"])
def test_a_file_cannot_lead_out_of_its_folder(name, three, tmp_path):
    data = json.loads((three.folder / "runs.json").read_text())
    del data["checksum"]
    data["runs"] = {name: data["runs"]["seed-0"]}
    (tmp_path / "runs.json").write_text(sealed(data))
    with pytest.raises(RunError, match="cannot be the name of a run's folder"):
        autoprox.read_run(tmp_path)


def test_damage_is_named(three, tmp_path):
    text = (three.folder / "runs.json").read_text()
    (tmp_path / "runs.json").write_text(text.replace('"seed": 0', '"seed": 5'))
    with pytest.raises(RunError, match="is damaged: its checksum"):
        autoprox.read_run(tmp_path)

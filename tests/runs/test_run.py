"""Runs: the same for any number of jobs, whole after kill -9, honest about what selection saw."""

import csv
import dataclasses
import gc
import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from autoprox.benches import load_bench
from autoprox.errors import (
    AutoproxError,
    BenchError,
    LanguageError,
    RunError,
    StatisticError,
    UnknownNameError,
)
from autoprox.evaluation.evaluate import Evaluator
from autoprox.evolution.algorithms import ALGORITHMS
from autoprox.evolution.settings import Settings
from autoprox.language.text import parse
from autoprox.primitives import PRIMITIVES, primitive
from autoprox.proxies.loading import load
from autoprox.ranking import CORRELATIONS, SYMBOLS, resolved
from autoprox.runs.evolve import Silent, evolve
from autoprox.runs.ground import lay
from autoprox.runs.record import read_run
from autoprox.runs.running import _only_new_garbage
from autoprox.runtime.schema import sealed
from autoprox.show import plots
from autoprox.show.page import page
from tests.processes import Python
from tests.runs.stopping import Stopper
from tests.scipy_correlations import SCIPY

TINY = str(Path(__file__).parents[1] / "tiny_bench.py")
SMALL = {"evaluations": 240, "population": 20, "proposals": 40}


def lines(folder, name="candidates.jsonl"):
    return (folder / name).read_text().splitlines()


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_run_spends_its_budget_on_distinct_candidates_and_is_the_same_for_two_jobs(
    algorithm, cache, tmp_path
):
    runs = [
        evolve(TINY, out=tmp_path / str(jobs), jobs=jobs, cache=cache, algorithm=algorithm, **SMALL)
        for jobs in (1, 2)
    ]
    one, two = (lines(run.folder) for run in runs)
    assert one == two
    assert len({json.loads(line)["proposed"] for line in one}) == len(one) == 240
    assert runs[0].finished
    assert runs[0].best.graph is runs[1].best.graph
    assert runs[0].held_out == runs[1].held_out


@pytest.mark.parametrize(("algorithm", "most"), [("random", 0), ("autoprox", 1), ("default", 2)])
def test_the_parents_of_a_candidate_were_judged_before_it(algorithm, most, cache, tmp_path):
    run = evolve(TINY, out=tmp_path / "run", cache=cache, algorithm=algorithm, **SMALL)
    seen, counts = set(), set()
    for each in map(json.loads, lines(run.folder)):
        assert seen.issuperset(each["parents"])
        counts.add(len(each["parents"]))
        seen.add(each.get("expression"))
    assert max(counts) == most


@pytest.mark.parametrize("correlation", CORRELATIONS)
def test_the_fitness_is_the_mean_of_the_rank_correlation_that_is_asked_for(
    correlation, cache, tmp_path
):
    run = evolve(TINY, out=tmp_path / "run", cache=cache, correlation=correlation, **SMALL)
    ground = lay(TINY, run.settings, cache)
    for part in ("search", "held_out"):
        places = getattr(ground, part)
        for row in getattr(run, part)[:3]:
            values = resolved(Evaluator(ground.table(places))(parse(row.expression)).values)
            own = [
                SCIPY[correlation](values[each.places], each.accuracies).statistic
                for each in ground.columns(places)
            ]
            assert row.joint == pytest.approx(np.mean(own), abs=1e-6)
            low, high = row.joint_interval
            assert low <= row.joint <= high
    fitness = max(json.loads(line).get("fitness", -1) for line in lines(run.folder))
    assert max(row.joint for row in run.search) == pytest.approx(fitness, abs=1e-6)
    found = read_run(run.folder)
    assert found.settings.joint == f"joint {SYMBOLS[correlation]}"
    assert found.settings.joint in page(run.folder)
    held_out = [step.held_out for step in found.generations][-1]
    assert held_out == pytest.approx(found.held_out_figures[found.generations[-1].expression])


def test_a_bench_says_what_it_is_ranked_by_and_one_may_differ(cache):
    assert lay(TINY, Settings(TINY), cache).settings.correlation == "somers"
    assert lay("mq101", Settings("mq101"), cache).settings.correlation == "somers"
    assert (
        lay("mq101", Settings("mq101", correlation="kendall"), cache).settings.measure == "kendall"
    )
    with pytest.raises(UnknownNameError, match=r"'pearson'.*kendall, somers, spearman"):
        Settings(TINY, correlation="pearson")


def test_a_run_from_before_there_was_a_choice_is_of_kendalls_correlation(cache, tmp_path):
    folder = tmp_path / "old"
    stopped = evolve(TINY, out=folder, cache=cache, observer=Stopper(), **SMALL)
    assert not stopped.finished
    (folder / "report.json").unlink()
    for name in ("config.json", "checkpoint.json"):
        data = json.loads((folder / name).read_text()) | {"version": 1}
        del data["checksum"]
        data.pop("saves", None)
        data.get("settings", {}).pop("correlation", None)
        (folder / name).write_text(json.dumps(data))
    assert read_run(folder).settings.joint == "joint \N{GREEK SMALL LETTER TAU}"
    with pytest.raises(RunError, match="an earlier autoprox wrote it, do it again"):
        evolve(resume=folder, cache=cache)


def test_another_seed_gives_another_run(cache, tmp_path):
    first = evolve(TINY, out=tmp_path / "a", cache=cache, seed=0, **SMALL)
    second = evolve(TINY, out=tmp_path / "b", cache=cache, seed=1, **SMALL)
    assert lines(first.folder) != lines(second.folder)


@pytest.mark.parametrize(
    "algorithm",
    [
        name if name == "default" else pytest.param(name, marks=pytest.mark.slow)
        for name in ALGORITHMS
    ],
)
def test_a_killed_run_goes_on_as_if_nothing_had_happened(algorithm, cache, tmp_path):
    options = {**SMALL, "algorithm": algorithm, "statistics": ("weight", "grad", "act", "params")}
    whole = evolve(TINY, out=tmp_path / "whole", cache=cache, **options)
    script = (
        "import sys, json\nfrom autoprox.runs.evolve import evolve\n"
        "options = json.loads(sys.argv[4])\noptions['statistics'] = tuple(options['statistics'])\n"
        "evolve(sys.argv[1], out=sys.argv[2], cache=sys.argv[3], **options)"
    )
    killed = tmp_path / "killed"
    arguments = [TINY, str(killed), str(cache), json.dumps(options)]
    process = Python("-c", script, *arguments)
    process.until((killed / "checkpoint.json").is_file)
    process.kill()
    process.ended()
    if not (killed / "report.json").is_file():
        # What a killed writer leaves behind: half a line after the checkpoint.
        with (killed / "candidates.jsonl").open("a") as file:
            file.write('{"proposed": "sum(par')
        evolve(resume=killed, cache=cache)
    assert lines(killed) == lines(whole.folder)
    ours, theirs = (json.loads((f / "report.json").read_text()) for f in (killed, whole.folder))
    assert ours == theirs


def test_selection_never_sees_the_held_out_architectures(cache, tmp_path):
    ground = lay(TINY, Settings(bench=TINY), cache)
    bench = ground.bench
    hidden = set(ground.held_out)
    assert not hidden & set(ground.search)
    assert hidden | set(ground.search) == set(range(24))
    changed = dataclasses.replace(
        bench,
        architectures=tuple(
            dataclasses.replace(each, accuracies={"coarse": 50.0 - i, "fine": 1.0 * i})
            if i in hidden
            else each
            for i, each in enumerate(bench.architectures)
        ),
    )
    honest = evolve(bench, out=tmp_path / "a", cache=cache, **SMALL)
    other = evolve(changed, out=tmp_path / "b", cache=cache, **SMALL)
    assert lines(honest.folder) == lines(other.folder)
    assert honest.held_out != other.held_out


def test_the_report_is_what_scipy_says_of_the_scores(cache, tmp_path):
    run = evolve(TINY, out=tmp_path / "run", cache=cache, **SMALL)
    ground = lay(TINY, run.settings, cache)
    bench = ground.bench
    scores = Evaluator(ground.table(ground.held_out))(run.best.graph).values
    rows = [bench.architectures[i] for i in ground.held_out]
    for each in run.held_out[0].columns:
        space, target = each.column.split("/")
        chosen = [i for i, row in enumerate(rows) if row.space == space]
        truth = bench.accuracies(target, [rows[i] for i in chosen])
        for name, correlation in SCIPY.items():
            own = correlation(scores[chosen], truth).statistic
            assert each.correlation(name) == pytest.approx(own)
        assert each.interval[0] <= each.somers <= each.interval[1]
    assert run.held_out[0].joint == pytest.approx(
        np.mean([each.somers for each in run.held_out[0].columns])
    )


def test_a_space_that_is_not_evolved_on_is_reported_as_transfer(cache, tmp_path):
    run = evolve(TINY, out=tmp_path / "run", cache=cache, spaces=("mlp",), **SMALL)
    assert {each.column for each in run.held_out[0].columns} == {"mlp/coarse", "mlp/fine"}
    assert {each.column for each in run.transfer[0].columns} == {"cnn/coarse", "cnn/fine"}


def test_the_best_is_loaded_by_its_folder_and_says_where_it_comes_from(cache, tmp_path):
    run = evolve(TINY, out=tmp_path / "run", cache=cache, **SMALL)
    proxy = load(run.folder)
    assert proxy.graph is run.best.graph
    assert proxy.provenance["settings"]["evaluations"] == 240
    rows = list(csv.DictReader(lines(run.folder, "generations.csv")))
    assert int(rows[-1]["evaluations"]) == 240
    assert rows[-1]["expression"] == run.best.graph.text


def test_an_empty_population_has_no_median(cache, tmp_path):
    medians = []

    class Watcher(Silent):
        def generation(self, generation, held_out):
            medians.append(generation.median)

    options = {**SMALL, "population": 10, "parameters": {"patience": 1}, "cache": cache}
    run = evolve(TINY, out=tmp_path / "run", observer=Watcher(), **options)
    saved = map(json.loads, lines(run.folder, "checkpoints.jsonl"))
    empty = [len(each["population"]) == each["algorithm"]["elders"] for each in saved]
    assert {*empty} == {True, False}
    assert [median is None for median in medians] == empty
    assert [row.median for row in read_run(run.folder).generations] == medians
    rows = list(csv.DictReader(lines(run.folder, "generations.csv")))
    assert [row["median"] == "" for row in rows] == empty
    assert len(plots.history(run)["median"]) == empty.count(False)
    table = page(run.folder).partition("<caption>Generation by generation")[2].partition("</table")
    assert table[0].count('<td class="number">-</td>') == empty.count(True)


def test_seed_proxies_are_in_the_first_generation(cache, tmp_path):
    run = evolve(TINY, out=tmp_path / "run", cache=cache, seed_proxies=("snip", "zico"), **SMALL)
    proposed = [json.loads(line)["proposed"] for line in lines(run.folder)[:2]]
    assert proposed == [load("snip").graph.text, load("zico").graph.text]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"algorithm": "defualt"}, UnknownNameError, "did you mean 'default'"),
        ({"targets": ("corse",)}, UnknownNameError, "did you mean 'coarse'"),
        ({"spaces": ("cnm",)}, UnknownNameError, "did you mean 'cnn'"),
        ({"statistics": ("wieght",)}, UnknownNameError, "did you mean 'weight'"),
        ({"held_out_share": 1.5}, BenchError, "between 0 and 1"),
        ({"evaluations": 0}, RunError, "at least 1"),
        ({"seed_proxies": ("sum(weight)",)}, LanguageError, "one number a network"),
        ({"seed": -1}, RunError, "not negative"),
        ({"images": "nowhere.npz"}, StatisticError, "no images at"),
    ],
)
def test_a_mistaken_setting_is_named_and_leaves_nothing_behind(
    options, error, message, cache, tmp_path
):
    with pytest.raises(error, match=message):
        evolve(TINY, out=tmp_path / "run", cache=cache, **options)
    assert not (tmp_path / "run").exists()


@pytest.fixture
def run_folder(cache, tmp_path):
    return evolve(TINY, out=tmp_path / "run", cache=cache, **SMALL).folder


def test_a_finished_run_and_a_taken_folder_are_left_alone(run_folder, cache):
    before = {path: path.read_bytes() for path in run_folder.iterdir() if path.name != ".lock"}
    with pytest.raises(RunError, match="is finished"):
        evolve(resume=run_folder, cache=cache)
    with pytest.raises(RunError, match="already holds a run"):
        evolve(TINY, out=run_folder, cache=cache)
    with pytest.raises(RunError, match="leave out seed, or start a new run"):
        evolve(resume=run_folder, cache=cache, seed=1)
    with pytest.raises(RunError, match="no run to resume"):
        evolve(resume=run_folder / "nowhere", cache=cache)
    assert before == {path: path.read_bytes() for path in before}


def altered(before, after):
    """Change a text once, in the first line that has it, and set its checksum right."""

    def change(text):
        lines = text.split("\n") if text.startswith('{"proposed"') else [text]
        number = next(i for i, line in enumerate(lines) if before in line)
        line = lines[number].replace(before, after, 1)
        data = json.loads(line)
        del data["checksum"]
        lines[number] = sealed(data, indent=2 if line.startswith("{\n") else None)
        return "\n".join(lines)

    return change


@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        ("checkpoint.json", lambda text: text[: len(text) // 2], "damaged"),
        ("checkpoint.json", altered('"version": 2', '"version": 9'), "upgrade"),
        ("checkpoint.json", lambda text: '{"format": "other"}', "format is 'other'"),
        ("checkpoint.json", altered('"barren": 0', '"barren": true'), "barren: expected a whole"),
        ("checkpoint.json", altered('"filled"', '"failed"'), "cannot be resumed"),
        (
            "candidates.jsonl",
            lambda text: text.replace("0.", "1.", 1),
            r"line \d+, is damaged: i",
        ),
        (
            "candidates.jsonl",
            altered('"fitness": 0', '"fitness": 7'),
            r"line \d+, is damaged: fi",
        ),
        ("candidates.jsonl", altered('"expression": "s', '"expression": "$'), "expected a stat"),
        ("config.json", lambda text: text.replace('"seed": 0', '"seed": 1'), "its checksum does"),
        ("config.json", altered('"seed": 0', '"sead": 0'), "unknown settings"),
        ("config.json", altered('"seed": 0', '"seed": "0"'), "settings.seed: expected a whole"),
        ("config.json", lambda text: "[]", "expected an object, got a list"),
        ("config.json", None, "no config.json"),
    ],
)
def test_a_damaged_run_is_named_and_not_made_worse(name, damage, message, run_folder, cache):
    (run_folder / "report.json").unlink()
    path = run_folder / name
    text = path.read_text()
    path.unlink() if damage is None else path.write_text(damage(text))
    with pytest.raises(AutoproxError, match=message):
        evolve(resume=run_folder, cache=cache)
    assert damage is None or path.read_text() == damage(text)


@pytest.mark.skipif(sys.platform == "win32", reason="no locks on this platform")
def test_two_runs_do_not_share_a_folder(run_folder, cache):
    import fcntl

    (run_folder / "report.json").unlink()
    with (run_folder / ".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(RunError, match="another process"):
            evolve(resume=run_folder, cache=cache)


def test_a_folder_that_cannot_be_made_is_named(cache, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="choose another --out"):
        evolve(TINY, out=tmp_path / "file" / "run", cache=cache)


def test_a_disk_that_fills_up_leaves_the_last_checkpoint_whole(cache, tmp_path, monkeypatch):
    real = os.replace
    calls = iter(range(1000))

    def full(source, target):
        if str(target).endswith("checkpoint.json") and next(calls) == 2:
            raise OSError(28, "No space left on device")
        real(source, target)

    options = {**SMALL, "statistics": ("weight", "grad", "act", "params")}
    whole = evolve(TINY, out=tmp_path / "whole", cache=cache, **options)
    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(RunError, match="No space left"):
        evolve(TINY, out=tmp_path / "run", cache=cache, **options)
    monkeypatch.undo()
    evolve(resume=tmp_path / "run", cache=cache)
    assert lines(tmp_path / "run") == lines(whole.folder)


@pytest.mark.parametrize("left", [0, 1, 4, 40])
def test_a_run_whose_last_candidates_are_lost_goes_back_to_its_last_whole_generation(
    left, run_folder, cache, tmp_path
):
    """As after a power loss: the checkpoint is there, but not all that it counts."""
    cut = tmp_path / "cut"
    shutil.copytree(run_folder, cut)
    (cut / "report.json").unlink()
    path = cut / "candidates.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:left]) + b'{"prop')
    with pytest.raises(RunError, match="was truncated"):
        read_run(cut)
    seen = []

    class Watcher(Silent):
        def resumed(self, known):
            seen.append(len(known))

    evolve(resume=cut, cache=cache, observer=Watcher())
    whole = [step.evaluations for step in read_run(run_folder).generations]
    assert seen == [max(each for each in whole if each <= left)] if left >= whole[0] else not seen
    for name in ("candidates.jsonl", "checkpoints.jsonl", "best.json", "report.json"):
        assert (cut / name).read_bytes() == (run_folder / name).read_bytes(), name


def test_a_run_on_a_bench_object_is_resumed_with_it(cache, tmp_path):
    bench = load_bench(TINY)
    run = evolve(bench, out=tmp_path / "run", cache=cache, **SMALL)
    (run.folder / "report.json").unlink()
    assert evolve(bench, resume=run.folder, cache=cache).best.graph is run.best.graph


def test_a_primitive_of_ones_own_is_written_with_and_reaches_other_processes(cache, tmp_path):
    def cube(x):
        """Third power."""
        return x * x * x

    primitive("elementwise", latex="{0}^3")(cube)
    try:
        runs = [
            evolve(TINY, out=tmp_path / str(jobs), jobs=jobs, cache=cache, **SMALL)
            for jobs in (1, 2)
        ]
    finally:
        PRIMITIVES.unregister("cube")
    one, two = (lines(run.folder) for run in runs)
    assert one == two
    assert any("cube(" in line for line in one)


def test_targets_without_figures_are_refused_before_anything_is_measured(tmp_path):
    with pytest.raises(BenchError, match="no architecture of pit has a figure for imagenet_super"):
        lay(
            "vit101",
            Settings(bench="vit101", spaces=("pit",), targets=("imagenet_super",)),
            tmp_path,
        )


def test_no_copy_of_a_network_that_the_search_sees_is_transfer(tmp_path):
    tiny = load_bench(TINY)
    rows = [
        dataclasses.replace(row, isomorph=row.name.partition("/")[2]) for row in tiny.architectures
    ]
    copied = dataclasses.replace(tiny, architectures=tuple(rows))
    ground = lay(copied, Settings("tiny", spaces=("mlp",)), tmp_path)
    seen = {rows[place].isomorph for place in ground.search}
    beyond = {row.isomorph for row in rows} - seen
    assert {rows[place].isomorph for place in ground.transfer} == beyond
    assert len(ground.transfer) == len(beyond) > 2


def test_a_space_without_figures_is_no_transfer(tmp_path):
    settings = Settings(bench="vit101", spaces=("autoformer",), targets=("imagenet_super",))
    assert lay("vit101", settings, tmp_path).transfer == ()


def test_a_run_on_figures_that_changed_is_not_resumed(cache, tmp_path):
    bench = load_bench(TINY)
    run = evolve(bench, out=tmp_path / "run", cache=cache, **SMALL)
    (run.folder / "report.json").unlink()
    first, *rest = bench.architectures
    other = dataclasses.replace(first, accuracies={"coarse": 1.0, "fine": 1.0})
    with pytest.raises(RunError, match="has changed since it began"):
        evolve(
            dataclasses.replace(bench, architectures=(other, *rest)),
            resume=run.folder,
            cache=cache,
        )


def test_limits_that_no_proxy_fits_are_refused(cache, tmp_path):
    with pytest.raises(LanguageError, match="no proxy of at most 2 nodes"):
        evolve(TINY, out=tmp_path / "run", cache=cache, statistics=("weight",), complexity=2)


def test_a_search_in_which_nothing_is_valid_ends_with_a_message(cache, tmp_path):
    options = {"statistics": ("heads",), "complexity": 2, "proposals": 4}
    with pytest.raises(RunError, match="no candidate is valid"):
        evolve(TINY, out=tmp_path / "run", cache=cache, **options)


def test_what_a_caller_has_frozen_stays_frozen_and_nothing_else():
    with _only_new_garbage():
        assert gc.get_freeze_count() > 0
    assert gc.get_freeze_count() == 0
    gc.freeze()
    try:
        before = gc.get_freeze_count()
        made = [[] for _ in range(1000)]
        with _only_new_garbage():
            assert gc.get_freeze_count() == before
        assert gc.get_freeze_count() == before
        assert len(made) == 1000
    finally:
        gc.unfreeze()

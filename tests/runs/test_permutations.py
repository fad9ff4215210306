"""Runs beside searches on shuffled accuracies, and what their reports say of luck."""

from __future__ import annotations

import dataclasses
import html
import json
import random
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from scipy.stats import somersd

import autoprox
from autoprox import proxies
from autoprox.assessment.assess import costly
from autoprox.assessment.wording import difference_in_words, luck_in_words, reservations_in_words
from autoprox.benches import Architecture, load_bench
from autoprox.cli import main
from autoprox.errors import RunError
from autoprox.evaluation.evaluate import Evaluator
from autoprox.evolution.settings import Settings
from autoprox.language.text import parse
from autoprox.primitives import PRIMITIVES, primitive
from autoprox.ranking.luck import null_luck, shuffled
from autoprox.runs.evolve import Silent, evolve
from autoprox.runs.ground import lay
from autoprox.runs.record import read_run
from autoprox.runs.running import laid
from autoprox.show.page import page
from tests.runs.stopping import Stopper

TINY = str(Path(__file__).parents[1] / "tiny_bench.py")
SMALL = {"evaluations": 80, "population": 10, "proposals": 20, "statistics": ("weight", "params")}
FILES = ("candidates.jsonl", "permutations.json", "report.json", "best.json", "config.json")


@pytest.fixture(scope="module")
def whole(cache, tmp_path_factory):
    """A run with three searches on shuffled accuracies."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    return evolve(TINY, out=folder, cache=cache, permutations=3, **SMALL)


def searched(folder):
    return json.loads((folder / "permutations.json").read_text())["found"]


def contents(folder):
    return {name: (folder / name).read_bytes() for name in FILES}


class Watcher(Silent):
    """Notes how far the searches on shuffled accuracies are; stops after as many as it is told."""

    def __init__(self, stop=None):
        self.told = []
        self.stop = stop

    def permuting(self, done, total):
        self.told.append((done, total))
        if done == self.stop:
            raise KeyboardInterrupt


# The searches


def test_each_search_on_shuffled_accuracies_is_kept_with_its_best(whole, cache):
    rows = searched(whole.folder)
    assert [row["number"] for row in rows] == [1, 2, 3]
    assert len({row["fitness"] for row in rows}) > 1
    assert whole.null == null_luck(
        whole.search[0].joint, [row["fitness"] for row in rows], "somers"
    )
    report = json.loads((whole.folder / "report.json").read_text())
    assert report["null"]["best"] == [row["fitness"] for row in rows]
    ground = lay(TINY, whole.settings, cache)
    evaluator, columns = Evaluator(ground.table(ground.search)), ground.columns(ground.search)
    for row in rows:
        scores = evaluator(parse(row["expression"])).values
        moved = shuffled(columns, [0, 0, row["number"]])
        ds = [somersd(each.accuracies, scores[each.places]).statistic for each in moved]
        assert row["fitness"] == pytest.approx(np.mean(ds), abs=1e-6)


def test_the_columns_of_a_run_say_which_architectures_are_copies_of_one_network(tmp_path):
    tiny = load_bench(TINY)
    rows = [dataclasses.replace(row, isomorph=row.name[:5]) for row in tiny.architectures]
    ground = laid(dataclasses.replace(tiny, architectures=tuple(rows)), tmp_path, dict(SMALL))
    copies = [rows[place].isomorph for place in ground.search]
    for own in ground.columns(ground.search):
        assert [copies[place] for place in own.networks] == copies
        assert len({*own.networks.tolist()}) == len({*copies}) < len(copies)


def test_the_search_itself_is_the_one_without_them(whole, cache, tmp_path):
    alone = evolve(TINY, out=tmp_path / "run", cache=cache, **SMALL)
    own, other = (run.folder / "candidates.jsonl" for run in (alone, whole))
    assert own.read_bytes() == other.read_bytes()
    assert alone.held_out == whole.held_out
    assert alone.null is None
    assert not (alone.folder / "permutations.json").exists()


def test_two_jobs_find_the_same(whole, cache, tmp_path):
    two = evolve(TINY, out=tmp_path / "run", cache=cache, jobs=2, permutations=3, **SMALL)
    assert contents(two.folder) == contents(whole.folder)


def test_words_of_ones_own_reach_the_searches_of_other_processes(cache, tmp_path):
    def cube(x):
        """Third power."""
        return x * x * x

    primitive("elementwise", latex="{0}^3")(cube)
    options = {**SMALL, "permutations": 2, "seed_proxies": ("sum(cube(params))",)}
    try:
        found = [
            evolve(TINY, out=tmp_path / str(jobs), cache=cache, jobs=jobs, **options).folder
            for jobs in (1, 2)
        ]
    finally:
        PRIMITIVES.unregister("cube")
    one, two = (contents(folder) for folder in found)
    assert one == two


def test_an_interrupted_run_keeps_what_is_done_and_goes_on(whole, cache, tmp_path):
    folder, first = tmp_path / "run", Watcher(stop=1)
    stopped = evolve(TINY, out=folder, cache=cache, permutations=3, observer=first, **SMALL)
    assert not stopped.finished
    assert first.told == [(0, 3), (1, 3)]
    assert searched(folder) == searched(whole.folder)[:1]
    assert stopped.null.best == whole.null.best[:1]
    again = Watcher()
    assert evolve(resume=folder, cache=cache, observer=again).finished
    assert again.told == [(1, 3), (2, 3), (3, 3)]
    assert contents(folder) == contents(whole.folder)


def test_a_search_that_is_interrupted_itself_goes_on_to_them(whole, cache, tmp_path):
    folder = tmp_path / "run"
    stopped = evolve(TINY, out=folder, cache=cache, permutations=3, observer=Stopper(), **SMALL)
    assert not stopped.finished
    assert not (folder / "permutations.json").exists()
    evolve(resume=folder, cache=cache)
    assert contents(folder) == contents(whole.folder)


def test_a_finished_run_does_only_those_that_are_missing(whole, cache, tmp_path):
    folder = tmp_path / "run"
    evolve(TINY, out=folder, cache=cache, permutations=1, **SMALL)
    with pytest.raises(RunError, match=r"is finished.*permutations"):
        evolve(resume=folder, cache=cache)
    with pytest.raises(RunError, match="is finished"):
        evolve(resume=folder, cache=cache, permutations=1)
    more = Watcher()
    run = evolve(resume=folder, cache=cache, permutations=3, observer=more)
    assert more.told == [(1, 3), (2, 3), (3, 3)]
    assert run.settings.permutations == 3
    assert contents(folder) == contents(whole.folder)
    with pytest.raises(RunError, match="asked for 3 permutations"):
        evolve(resume=folder, cache=cache, permutations=2)
    assert contents(folder) == contents(whole.folder)


def test_a_run_that_had_none_gets_them_by_the_command_line(whole, cache, tmp_path):
    folder = tmp_path / "run"
    evolve(TINY, out=folder, cache=cache, **SMALL)
    words = ["evolve", "--resume", folder, "--permutations", 3, "--cache", cache, "--jobs", 1]
    result = CliRunner().invoke(main, list(map(str, words)))
    assert result.exit_code == 0, result.output
    assert "searched 3/3 shuffled accuracies" in result.stderr
    assert contents(folder) == contents(whole.folder)
    shown = " ".join(result.stdout.split())
    assert luck_in_words(whole.luck, whole.null, "joint D", whole.no_luck) in shown


def test_a_damaged_file_of_theirs_is_named(whole, cache, tmp_path):
    folder = tmp_path / "run"
    evolve(TINY, out=folder, cache=cache, permutations=1, **SMALL)
    for text in ('{"format": "autoprox permutations", "version": 1}', "{", "[]"):
        (folder / "permutations.json").write_text(text)
        with pytest.raises(RunError, match=r"permutations\.json is damaged: .*; remove it"):
            evolve(resume=folder, cache=cache, permutations=2)
        assert (folder / "permutations.json").read_text() == text
    with pytest.raises(RunError, match="permutations is at least 0; got -1"):
        Settings(TINY, permutations=-1)


def test_a_search_in_which_nothing_is_valid_still_ends_with_a_message(cache, tmp_path):
    options = {"statistics": ("heads",), "complexity": 2, "permutations": 1, "proposals": 4}
    with pytest.raises(RunError, match="no candidate is valid"):
        evolve(TINY, out=tmp_path / "run", cache=cache, **options)


# The report


@pytest.fixture(scope="module")
def large_bench():
    """A bench with enough architectures to say how much is luck; all of one depth in one space."""
    noise = random.Random(3)
    tiny = load_bench(TINY)
    rows = [
        Architecture(
            f"{space}/{width}x{depth}",
            space,
            {"width": width, "depth": depth},
            {"coarse": width + noise.gauss(0, 6), "fine": noise.gauss(0, 1)},
        )
        for space, depths in (("mlp", (1,)), ("cnn", (1, 2)))
        for width in range(4, 34 if depths == (1,) else 19)
        for depth in depths
    ]
    return dataclasses.replace(tiny, name="large", architectures=tuple(rows))


@pytest.fixture(scope="module")
def large(large_bench, cache, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "large"
    return evolve(large_bench, out=folder, cache=cache, permutations=2, **SMALL)


def test_the_report_and_the_page_say_how_much_is_luck(large):
    told = luck_in_words(large.luck, large.null, "joint D", large.no_luck)
    assert large.luck.search == pytest.approx(large.search[0].joint)
    assert large.luck.search - large.luck.optimism == pytest.approx(large.luck.corrected)
    assert f"best proxy's joint D of {large.luck.search:.3f} on the search split" in told
    assert "2 searches on shuffled accuracies reached" in told
    assert told in html.unescape(page(large.folder))
    found = read_run(large.folder)
    assert (found.luck, found.null) == (large.luck, large.null)
    known = {row.name: row.joint for row in large.search if row.known}
    assert large.luck.rival == max(known, key=known.get)


def test_every_known_proxy_that_the_statistics_express_stands_beside_the_best(large):
    known = [row.name for row in large.held_out if row.known]
    assert known[:4] == ["params", "flops", "depth", "width"]
    assert "l2_norm" in known  # of the weights alone
    assert len(set(known)) == len(known)
    measured = set(lay(TINY, Settings(TINY, statistics=SMALL["statistics"]), Path()).names)
    slow = costly(autoprox.load_bench(TINY))
    for name in proxies.names():
        proxy = autoprox.load(name)
        absent = proxy.needs_bits or proxy.needs_teacher or "found_by" in proxy.provenance
        if absent or name in slow:
            assert not {name} & {*known, *large.elsewhere}
        else:
            expressed = hasattr(proxy, "graph") and set(proxy.statistics) <= measured
            assert (name in known, name in large.elsewhere) == (expressed, not expressed)
    text = page(large.folder)
    assert all(f">{name}<" in text for name in known)
    assert f"other statistics or full tensors: {', '.join(large.elsewhere)}." in text
    for part in (large.search, large.held_out):
        assert [row.name for row in part if row.known] == known


def test_the_verdict_names_the_known_proxy_that_is_best_on_the_held_out_architectures(large):
    known = {row.name: row.joint for row in large.held_out if row.known}
    rival = max(known, key=known.get)
    told = difference_in_words(large.held_out, "joint D")
    assert f"{rival}, the best of the {len(known)} known proxies measured here" in told
    assert told in page(large.folder)
    for row in large.held_out:
        assert row.difference == pytest.approx(row.joint - known[rival])
        assert row.difference_interval[0] <= row.difference <= row.difference_interval[1]
    (best,) = (row for row in large.held_out if row.name == rival)
    assert (best.difference, best.difference_interval) == (0.0, (0.0, 0.0))


def test_a_proxy_that_is_constant_on_one_space_is_said_to_be(large_bench, cache, tmp_path):
    layers = "sum(sign(params))"
    options = {
        **SMALL,
        "evaluations": 1,
        "population": 2,
        "proposals": 2,
        "seed_proxies": (layers,),
    }
    run = evolve(large_bench, out=tmp_path / "run", cache=cache, **options)
    best = run.held_out[0]
    assert best.silent_columns == ("mlp/coarse", "mlp/fine")
    for each in best.columns:
        assert (each.distinct == 1) == each.column.startswith("mlp/")
        if each.distinct == 1:
            assert (each.somers, each.kendall, each.interval) == (0.0, 0.0, (0.0, 0.0))
    (told,) = reservations_in_words([best])
    assert told == (
        "top 1 gives all architectures of mlp/coarse, mlp/fine the same score: its correlation "
        "is 0 there."
    )
    shown = page(run.folder)
    assert all(told in shown for told in reservations_in_words(run.held_out))


# Nothing to rank by


TIED = """
import dataclasses
from autoprox.benches import load_bench

tiny = load_bench({tiny!r})
rows = tuple(
    dataclasses.replace(each, accuracies={{**each.accuracies, "coarse": 50.0}})
    for each in tiny.architectures
)
bench = dataclasses.replace(tiny, architectures=rows, default_targets=("coarse",))
"""


@pytest.mark.parametrize("command", ["evolve", "rank"])
def test_a_bench_whose_accuracies_all_tie_is_one_sentence_and_no_traceback(
    command, cache, tmp_path
):
    (tmp_path / "tied.py").write_text(TIED.format(tiny=TINY))
    words = [command, "--bench", tmp_path / "tied.py", "--cache", cache, "--jobs", 1]
    words += ["--out", tmp_path / "run"] if command == "evolve" else []
    result = CliRunner().invoke(main, list(map(str, words)))
    assert result.exit_code == 1
    assert "Traceback" not in result.output
    (line,) = [each for each in result.stderr.splitlines() if each.startswith("error: ")]
    assert "'mlp/coarse' has the same figure for all of its" in line
    assert "there is nothing to rank by: leave the target or the space out" in line
    assert result.stderr.splitlines()[-1] == line
    assert not (tmp_path / "run").exists()

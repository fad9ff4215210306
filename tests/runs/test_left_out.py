"""Families that searches never saw: the table, worked by hand, and runs that leave one out."""

import dataclasses
import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from scipy import stats

from autoprox import evolve_leaving_one_out, evolve_seeds, evolve_several, read_run
from autoprox.cli import main
from autoprox.errors import BenchError, RunError
from autoprox.ranking.medians import median
from autoprox.runs.evolve import evolve
from autoprox.runs.html import median_text
from autoprox.runs.left_out import LeftOut, over_architectures
from autoprox.runs.starting import evolve_seeds_from
from autoprox.show.page.several import several_page

TINY, OTHER = (
    str(Path(__file__).parents[1] / name) for name in ("tiny_bench.py", "other_tiny_bench.py")
)
BOTH = f"{TINY},{OTHER}"
SMALL = {"evaluations": 80, "population": 20, "proposals": 40}

TABLE = LeftOut(
    found={"a": median([0.5, 0.7, 0.6]), "b": median([0.2]), "c": median([0.4])},
    known={
        "params": {"a": 0.5, "b": 0.3, "c": 0.1},
        "flops": {"a": 0.3, "b": 0.4, "c": 0.2},
        "zico": {"a": 0.3, "b": 0.1, "c": 0.2},
    },
)


def test_the_best_count_of_each_family_is_picked_afterwards():
    assert TABLE.best_counts == {"a": ("params", 0.5), "b": ("flops", 0.4), "c": ("flops", 0.2)}


def test_what_was_found_stands_beside_what_is_known_in_the_mean_over_families():
    assert TABLE.joint == pytest.approx((0.6 + 0.2 + 0.4) / 3)
    rows = {row.name: row for row in TABLE.beside}
    assert list(rows) == ["best count", "params", "flops", "zico"]
    assert rows["best count"].joint == pytest.approx((0.5 + 0.4 + 0.2) / 3)
    params = rows["params"]
    assert params.difference == pytest.approx((0.1 - 0.1 + 0.3) / 3)
    assert params.below == 2
    low, high = params.difference_interval
    assert (low, high) == pytest.approx(stats.t.interval(0.95, 2, loc=0.1, scale=0.2 / 3**0.5))


def test_the_best_count_is_the_highest_and_not_the_farthest_from_0():
    known = {"params": {"a": -0.6}, "flops": {"a": 0.1}}
    assert LeftOut({"a": median([0.5])}, known).best_counts == {"a": ("flops", 0.1)}


def test_over_architectures_the_median_of_the_formulas_of_a_family_counts():
    found = {"a": np.array([[0.5] * 9, [0.6] * 9, [0.1] * 9])}
    low, high = over_architectures(found, {"a": np.full(9, 0.2)})
    assert (low, high) == pytest.approx((0.3, 0.3))


def test_two_families_have_no_interval():
    two = dataclasses.replace(TABLE, found={"a": median([0.5]), "b": median([0.2])})
    assert {row.difference_interval for row in two.beside} == {None}


def test_each_run_leaves_one_family_out(tmp_path):
    cache = tmp_path / "cache"
    runs = evolve_leaving_one_out(BOTH, out=tmp_path / "runs", cache=cache, **SMALL)
    assert list(runs.runs) == ["without-tiny", "without-other"]
    assert runs.varied == ("leave_out",)
    table = runs.left_out
    assert list(table.found) == ["tiny", "other"]
    alone = evolve(BOTH, leave_out="other", out=tmp_path / "alone", cache=cache, **SMALL)
    best, *others = alone.transfer
    assert table.found["other"].middle == best.joint
    assert table.known["flops"]["other"] == next(x.joint for x in others if x.name == "flops")
    written = json.loads((tmp_path / "runs" / "report.json").read_text())
    assert written["left_out"]["joint"] == pytest.approx(
        np.mean([each.middle for each in table.found.values()])
    )
    assert read_run(tmp_path / "runs").left_out == table
    page = several_page(runs, "report.html")
    section = page.partition("Families left out</h2>")[2].partition("<h2")[0]
    assert all(median_text(found) in section for found in table.found.values())
    assert all(each.name in section for each in table.beside)


def test_runs_go_on_in_the_way_that_is_told(tmp_path):
    cache, few = tmp_path / "cache", {**SMALL, "evaluations": 40}
    runs = evolve_leaving_one_out(BOTH, out=tmp_path / "runs", cache=cache, **few)
    from_one = partial(evolve_seeds_from, runs.runs["without-tiny"].folder)
    for begin in (evolve_leaving_one_out, evolve_seeds, from_one):
        with pytest.raises(RunError, match=r"autoprox\.evolve_several\(resume=.*/runs'\)"):
            begin(resume=runs.folder, cache=cache, **few)
    longer = evolve_several(resume=runs.folder, cache=cache, evaluations=50)
    assert list(longer.left_out.found) == ["tiny", "other"]
    assert [run.evaluations for run in longer.runs.values()] == [50, 50]


def test_at_the_command_line(tmp_path):
    words = ["--evaluations", "60", "--population", "10", "--proposals", "30", "--quiet"]
    place = ["--out", str(tmp_path / "runs"), "--cache", str(tmp_path / "cache")]
    told = CliRunner().invoke(main, ["evolve", "--bench", BOTH, "--leave-one-out", *words, *place])
    assert told.exit_code == 0, told.output
    assert "On the family that each search never saw" in told.output
    assert "best count" in told.output


def test_families_without_a_statistic_in_common_are_refused(tmp_path):
    source = Path(OTHER).read_text()
    odd = tmp_path / "odd.py"
    odd.write_text(
        f"{source}\nimport dataclasses\n"
        "bench = dataclasses.replace(bench, name='odd', default_statistics=('heads',))\n"
    )
    tiny = tmp_path / "small.py"
    tiny.write_text(
        f"{source}\nimport dataclasses\n"
        "bench = dataclasses.replace(bench, name='small', default_statistics=('params',))\n"
    )
    with pytest.raises(BenchError, match="no statistic in common: small has params; odd has heads"):
        evolve(f"{tiny},{odd}", out=tmp_path / "run", cache=tmp_path / "cache", **SMALL)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split_seed": 7}, "leave split_seed out"),
        ({"split_seed": 0}, "leave split_seed out"),
        ({"leave_out": ("tiny",)}, "leave leave_out out"),
        ({"seeds": 2.5}, r"at least one run, .* got seeds=2\.5"),
        ({"seeds": "2"}, "at least one run, .* got seeds='2'"),
    ],
)
def test_what_each_run_has_of_its_own_is_refused(options, message, tmp_path):
    folders = {"out": tmp_path / "runs", "cache": tmp_path / "cache"}
    with pytest.raises(RunError, match=message):
        evolve_leaving_one_out(BOTH, **options, **folders, **SMALL)
    assert not list(tmp_path.iterdir())


def test_one_family_cannot_be_left_out(tmp_path):
    with pytest.raises(RunError, match="needs at least two; tiny is one"):
        evolve_leaving_one_out(TINY, out=tmp_path / "runs", cache=tmp_path / "cache")
    words = ["evolve", "--bench", BOTH, "--leave-one-out", "--leave-out", "tiny"]
    told = CliRunner().invoke(main, words)
    assert told.exit_code == 2
    assert "give --leave-out for one run, or --leave-one-out" in told.output

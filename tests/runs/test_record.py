"""A run read back from its folder: finished, and as far as it was when it was stopped."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import autoprox
from autoprox.errors import LanguageError, RunError
from autoprox.runs.record import Run
from autoprox.runtime.schema import sealed
from tests.made_runs import found, judged

TINY = str(Path(__file__).parents[1] / "tiny_bench.py")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("run")
    return autoprox.evolve(TINY, out=folder / "a", cache=folder / "c", evaluations=160,
                           population=20, proposals=40)  # fmt: skip


def sealed_again(data: dict[str, Any]) -> str:
    del data["checksum"]
    return sealed(data)


@pytest.fixture
def stopped(run: Run, tmp_path: Path) -> Path:
    """The run as it was before it had a report."""
    shutil.copytree(run.folder, tmp_path / "stopped")
    for name in ("report.json", "best.json"):
        (tmp_path / "stopped" / name).unlink()
    return tmp_path / "stopped"


def lines(folder: Path) -> list[dict]:
    rows = map(json.loads, (folder / "candidates.jsonl").read_text().splitlines())
    return [row for row in rows if "failure" not in row]


def test_what_evolve_returns_is_what_is_read_from_its_folder(run):
    again = autoprox.read_run(str(run.folder))
    assert type(again) is type(run) is Run
    assert again == run
    assert again.finished
    assert again.settings.evaluations == 160
    assert [each.generation for each in again.generations] == list(
        range(1, len((run.folder / "generations.csv").read_text().splitlines()))
    )


def test_the_best_proxy_is_the_one_in_its_file_and_leads_the_proxies(run):
    assert run.best == run.proxies[0]
    assert run.best.graph is autoprox.load(run.folder).graph
    assert json.loads((run.folder / "best.json").read_text()) == json.loads(
        json.dumps(run.best.to_json())
    )
    named = [row.expression for row in run.held_out if not row.known]
    assert [each.graph.text for each in run.proxies] == named


def test_a_stopped_run_has_the_same_proxies_without_held_out_figures(run, stopped):
    early = autoprox.read_run(stopped)
    assert not early.finished
    assert early.held_out == ()
    assert [each.graph for each in early.proxies] == [each.graph for each in run.proxies]
    assert early.best.provenance["search_fitness"] == run.best.provenance["search_fitness"]
    assert early.best.provenance["held_out_fitness"] is None
    assert early.best_text in early._repr_html_()


def test_a_run_that_is_still_going_counts_as_far_as_its_checkpoint(run, stopped):
    with (stopped / "candidates.jsonl").open("a") as file:
        file.write('{"proposed": "sum(par')
    assert autoprox.read_run(stopped).judged == run.judged


def test_a_frame_has_a_row_a_candidate_with_the_figures_of_its_line(run):
    pytest.importorskip("pandas")
    frame = run.to_frame()
    rows = lines(run.folder)
    assert frame["expression"].tolist() == [row["expression"] for row in rows]
    assert frame["fitness"].tolist() == [row["fitness"] for row in rows]
    columns = [each.column for each in run.search[0].columns]
    assert frame[columns].to_numpy().tolist() == [row["correlations"] for row in rows]
    (best,) = frame.loc[frame["expression"] == run.best_text, "held_out"].unique()
    assert best == run.held_out[0].joint


def test_a_run_without_a_valid_candidate_has_no_best():
    empty = found((), *found(judged(("sum(params)", 0.5, ()))).generations)
    assert empty.proxies == ()
    with pytest.raises(RunError, match=r"no candidate of the run in .* has a fitness yet"):
        _ = empty.best


def test_words_of_another_program_are_named_when_a_proxy_is_asked_for(stopped):
    for name in ("candidates.jsonl", "checkpoint.json"):
        assert (stopped / name).is_file()
    all_lines = [json.loads(x) for x in (stopped / "candidates.jsonl").read_text().splitlines()]
    valid = next(line for line in all_lines if "expression" in line)
    valid["expression"] = f"foreign({valid['expression']})"
    foreign = "".join(f"{sealed_again(line)}\n" for line in all_lines)
    checkpoint = json.loads((stopped / "checkpoint.json").read_text())
    checkpoint["bytes"] = len(foreign.encode())
    (stopped / "candidates.jsonl").write_text(foreign)
    (stopped / "checkpoint.json").write_text(sealed_again(checkpoint))
    read = autoprox.read_run(stopped)
    assert len(read.judged) == len(lines(stopped)) - 1
    with pytest.raises(LanguageError):
        autoprox.parse(lines(stopped)[0]["expression"])

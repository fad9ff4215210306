"""Loggers: they are told the figures of the run's files, and never cost a run."""

from __future__ import annotations

import csv
import json
import re
import sys
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
from click.testing import CliRunner

from autoprox.cli import main
from autoprox.errors import AutoproxError, RunError, UnknownNameError
from autoprox.runs.evolve import Run, Silent, evolve
from autoprox.runs.tracking import TensorBoard
from tests.processes import run_python

TINY = str(Path(__file__).parents[1].joinpath("tiny_bench.py"))
DOCS = Path(__file__).parents[2] / "docs" / "tracking.md"
SMALL = {"evaluations": 120, "population": 20, "proposals": 40}


class Notes:
    """A logger that keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []

    def start(self, folder: Path, settings: Any) -> None:
        self.told.append(("start", folder, settings))

    def log(self, step: int, figures: Any) -> None:
        self.told.append(("log", step, figures))

    def finish(self, summary: Any) -> None:
        self.told.append(("finish", summary))


def rows(run: Run) -> list[dict[str, str]]:
    """The rows of ``generations.csv``."""
    with (run.folder / "generations.csv").open() as file:
        return list(csv.DictReader(file))


def test_a_logger_is_told_the_settings_each_generation_and_what_was_found(
    cache: Path, tmp_path: Path
) -> None:
    notes = Notes()
    run = evolve(TINY, out=tmp_path / "run", cache=cache, loggers=[notes], **SMALL)
    start, *logged, finish = notes.told
    config = json.loads((run.folder / "config.json").read_text())
    assert start[:2] == ("start", tmp_path / "run")
    assert json.loads(json.dumps(start[2])) == config["settings"]
    assert [each[1] for each in logged] == [int(row["generation"]) for row in rows(run)]
    for (_, _, figures), row in zip(logged, rows(run), strict=True):
        assert {name: float(row[name]) for name in figures} == figures
        without = {"generation", "seconds", "expression"}
        assert figures.keys() == {name for name in row if row[name] and name not in without}
    best = json.loads((run.folder / "report.json").read_text())["held_out"][0]
    summary = finish[1]
    assert summary["expression"] == best["expression"]
    assert summary["held_out"] == best["joint"]
    assert [summary["held_out_low"], summary["held_out_high"]] == best["joint_interval"]
    assert summary["above_known"] == best["difference"]
    assert summary["finished"] is True


class Stopper(Silent):
    """Stops a run as Ctrl-C does, after its second generation."""

    def generation(self, generation: Any, held_out: float | None) -> None:
        if generation.number == 2:
            raise KeyboardInterrupt


def test_a_stopped_run_finishes_and_a_resumed_one_starts_again(cache: Path, tmp_path: Path) -> None:
    first, second = Notes(), Notes()
    evolve(
        TINY, out=tmp_path / "run", cache=cache, observer=Stopper(), loggers=[first], **SMALL
    )  # fmt: skip
    assert first.told[-1][1]["finished"] is False
    run = evolve(resume=tmp_path / "run", cache=cache, loggers=[second])
    assert second.told[0][:2] == ("start", tmp_path / "run")
    steps = [each[1] for notes in (first, second) for each in notes.told if each[0] == "log"]
    # What interrupts the observer of a generation keeps it from the loggers as well.
    assert [*steps[:1], 2, *steps[1:]] == [int(row["generation"]) for row in rows(run)]
    assert second.told[-1][1]["finished"] is True


@pytest.mark.parametrize("method", ["log", "finish"])
def test_a_logger_that_raises_does_not_cost_the_run(
    method: str, cache: Path, tmp_path: Path
) -> None:
    broken, notes = MagicMock(), Notes()
    getattr(broken, method).side_effect = OSError("the server is gone")
    with pytest.warns(RuntimeWarning, match=r"MagicMock failed.*OSError: the server is gone"):
        run = evolve(TINY, out=tmp_path / "run", cache=cache, loggers=[broken, notes], **SMALL)
    assert run.finished
    assert getattr(broken, method).call_count == 1
    assert [each[0] for each in notes.told] == ["start", *["log"] * len(rows(run)), "finish"]
    whole = evolve(TINY, out=tmp_path / "whole", cache=cache, **SMALL)
    one, two = ((each.folder / "candidates.jsonl").read_text() for each in (run, whole))
    assert one == two


def test_a_logger_that_cannot_start_ends_the_run_before_it_begins(
    cache: Path, tmp_path: Path
) -> None:
    broken = MagicMock()
    broken.start.side_effect = OSError("no such server")
    with pytest.raises(OSError, match="no such server"):
        evolve(TINY, out=tmp_path / "run", cache=cache, loggers=[broken], **SMALL)
    assert not broken.log.called
    assert (tmp_path / "run" / "candidates.jsonl").read_text() == ""


# TensorBoard


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """The scalars of the event files in a folder, by tag: steps and values."""
    accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", reason="needs tensorboard"
    )
    events = accumulator.EventAccumulator(str(folder))
    events.Reload()
    tags = events.Tags()["scalars"]
    return {tag: [(each.step, each.value) for each in events.Scalars(tag)] for tag in tags}


def test_event_files_have_the_figures_of_generations_csv(cache: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    run = evolve(TINY, out=tmp_path / "run", cache=cache, loggers=["tensorboard"], **SMALL)
    found = scalars(run.folder)
    for name in ("evaluations", "proposals", "best", "median", "held_out", "complexity"):
        expected = [(int(row["generation"]), float(row[name])) for row in rows(run) if row[name]]
        steps, values = zip(*expected, strict=True)
        assert [step for step, _ in found[name]] == list(steps)
        assert [value for _, value in found[name]] == pytest.approx(values, rel=1e-6)
    assert found["result/held_out"][0][1] == pytest.approx(run.held_out[0].joint, rel=1e-6)


def test_the_command_logs_into_a_folder(cache: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    words = ["evolve", "--bench", TINY, "--evaluations", "60", "--proposals", "40", "--jobs", "1"]
    words += ["--cache", str(cache), "--out", str(tmp_path / "run"), "--quiet"]
    result = CliRunner().invoke(main, [*words, "--log", f"tensorboard:{tmp_path / 'events'}"])
    assert result.exit_code == 0, result.output
    assert "best" in scalars(tmp_path / "events" / "run")
    assert not list((tmp_path / "run").glob("events*"))


def test_an_unknown_logger_is_refused_before_the_run_has_a_folder(
    cache: Path, tmp_path: Path
) -> None:
    with pytest.raises(UnknownNameError, match="unknown logger 'tensorbord'; did you mean"):
        evolve(TINY, out=tmp_path / "run", cache=cache, loggers=["tensorbord"], **SMALL)
    assert not (tmp_path / "run").exists()


def test_without_tensorboard_the_message_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(AutoproxError, match="pip install tensorboard"):
        TensorBoard()


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot write TensorBoard's events to"):
        TensorBoard(tmp_path / "file").start(Path("run"), {})


def test_tensorboard_is_not_imported_unless_it_is_used() -> None:
    code = "import sys, autoprox.runs.evolve; print([x for x in sys.modules if 'tensorboard' in x])"
    found = run_python("-c", code)
    assert found.stdout == "[]\n"


# The loggers in the documentation


@pytest.mark.parametrize(
    ("module", "calls"),
    [
        ("wandb", ["init", "init().log", "init().summary.update", "init().finish"]),
        ("mlflow", ["start_run", "log_params", "log_metrics", "log_dict", "end_run"]),
    ],
)
def test_the_loggers_in_the_documentation_can_follow_a_run(
    module: str, calls: list[str], cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (code,) = re.findall(
        rf"<!-- logger: {module} -->\n```python\n(.*?)```", DOCS.read_text(), flags=re.DOTALL
    )
    stub = MagicMock()
    monkeypatch.setitem(sys.modules, module, stub)
    names: dict[str, Any] = {}
    exec(code, names)
    (made,) = (each for each in names.values() if hasattr(each, "log") and each is not stub)
    run = evolve(TINY, out=tmp_path / "run", cache=cache, loggers=[made()], **SMALL)
    told = [str(call).removeprefix("call.").partition("(") for call in stub.mock_calls]
    heads = ["init()." + tail.partition("(")[0][2:] if head == "init" and tail.startswith(").")
             else head for head, _, tail in told]  # fmt: skip
    assert set(calls) <= set(heads)
    assert sum(head.endswith(("log", "log_metrics")) for head in heads) == len(rows(run))

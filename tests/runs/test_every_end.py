"""What a process that ended leaves behind: see tests/contract/test_every_end.py, too."""

import os
from pathlib import Path

import pytest

from autoprox.runs import running
from autoprox.runs.evolve import evolve
from autoprox.runtime.journal import Journal
from tests.crashes import contents
from tests.processes import run_python

TINY = str(Path(__file__).parents[1] / "tiny_bench.py")
SMALL = {"evaluations": 40, "population": 10, "proposals": 20, "permutations": 1}


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """The statistics of the bench, measured once."""
    folder = tmp_path_factory.mktemp("cache")
    evolve(TINY, out=folder / "first", cache=folder / "cache", **SMALL)
    return folder / "cache"


@pytest.fixture
def still(monkeypatch):
    """No second passes: times are in the files."""
    monkeypatch.setattr(running.time, "monotonic", lambda: 0.0)


def test_half_written_files_of_dead_processes_are_removed(cache, tmp_path):
    """A process that is killed while it writes leaves a temporary file; nobody else's goes."""
    script = (
        "import os, sys\nfrom pathlib import Path\nfrom autoprox.runtime import files\n"
        "os.replace = lambda *_: os._exit(9)\nfiles.replace(Path(sys.argv[1]), b'half')\n"
    )
    folder = tmp_path / "run"
    folder.mkdir()
    killed = run_python("-c", script, folder / "report.json")
    assert killed.returncode == 9
    (left,) = folder.glob(".*.tmp")
    ours = left.with_name(f".{left.name.split('.')[1]}.{os.getpid()}.0a1b2c3d.tmp")
    elsewhere = left.with_name(f".01234567.{left.name.split('.')[2]}.0a1b2c3d.tmp")
    ours.touch()
    elsewhere.touch()
    evolve(TINY, out=folder, cache=cache, **SMALL)
    assert set(folder.glob(".*.tmp")) == {ours, elsewhere}


def test_a_run_that_is_stopped_before_it_saves_reports_what_is_on_disk(
    cache, tmp_path, monkeypatch
):
    save, saved = Journal.save, []

    def interrupted(self, *told):
        if len(saved) == 3:
            raise KeyboardInterrupt
        saved.append(told)
        save(self, *told)

    monkeypatch.setattr(Journal, "save", interrupted)
    run = evolve(TINY, out=tmp_path / "run", cache=cache, **{**SMALL, "evaluations": 200})
    assert not run.finished
    assert run.reported == run.evaluations < 200
    assert {proxy.graph.text for proxy in run.proxies} <= {judged.text for judged in run.judged}
    monkeypatch.undo()
    evolve(resume=run.folder, cache=cache)
    whole = evolve(TINY, out=tmp_path / "whole", cache=cache, **{**SMALL, "evaluations": 200})
    assert candidates(run) == candidates(whole)


def candidates(run):
    return (run.folder / "candidates.jsonl").read_bytes()


def test_a_run_that_is_finished_but_for_its_report_is_resumed(cache, still, tmp_path, monkeypatch):
    """A report of fewer searches on shuffled accuracies than are asked for is not the last word."""
    whole = evolve(TINY, out=tmp_path / "whole", cache=cache, **{**SMALL, "permutations": 2})
    out = tmp_path / "run"
    evolve(TINY, out=out, cache=cache, **SMALL)
    before = (out / "report.json").read_bytes()
    evolve(resume=out, cache=cache, permutations=2)
    (out / "report.json").write_bytes(before)  # killed before the last rename
    evolve(resume=out, cache=cache)
    assert contents(out) == contents(whole.folder)

"""What those who watch a run are told."""

from pathlib import Path

import pytest

from autoprox.cli.live import Lines
from autoprox.evolution.judge import Candidate
from autoprox.evolution.search import Generation
from autoprox.evolution.settings import Settings
from autoprox.language.text import parse
from autoprox.runs import notebook
from autoprox.runs.evolve import evolve
from autoprox.runs.observer import Silent
from autoprox.runs.series import evolve_seeds

TINY = str(Path(__file__).parents[1] / "tiny_bench.py")
SMALL = {"evaluations": 40, "population": 20, "proposals": 40}


class Reported(Silent):
    """Keeps what it is told of the report."""

    def __init__(self):
        self.told = []

    def interrupted(self):
        self.told.append("interrupted")

    def reporting(self, done, total):
        self.told.append((done, total))


class Impatient(Reported):
    """Stops a run after its first generation, and its report, too."""

    def generation(self, generation, held_out):
        raise KeyboardInterrupt

    def reporting(self, done, total):
        super().reporting(done, total)
        raise KeyboardInterrupt


def test_a_run_says_how_far_its_report_is(cache, tmp_path):
    seen = Reported()
    run = evolve(TINY, out=tmp_path / "run", cache=cache, observer=seen, **SMALL)
    total = len(run.held_out) + len(run.search)
    assert seen.told[0] == (0, total)
    assert seen.told[-1] == (total, total)
    assert [done for done, _ in seen.told] == sorted(done for done, _ in seen.told)


def test_a_run_that_is_interrupted_says_so_and_may_be_again_instead_of_its_report(cache, tmp_path):
    seen = Impatient()
    with pytest.raises(KeyboardInterrupt):
        evolve(TINY, out=tmp_path / "run", cache=cache, observer=seen, **SMALL)
    assert [type(each) for each in seen.told] == [str, tuple]
    assert not (tmp_path / "run" / "report.json").exists()
    assert evolve(TINY, resume=tmp_path / "run", cache=cache).finished


def test_a_log_says_what_is_done_after_ctrl_c(capsys):
    Lines().interrupted()
    assert "Ctrl-C again" in capsys.readouterr().err


def test_a_log_has_a_line_at_the_beginning_and_the_end_of_the_report(capsys):
    lines = Lines()
    for done in range(4):
        lines.reporting(done, 3)
    told = capsys.readouterr().err.splitlines()
    assert told == [f"assessed {done}/3 proxies for the report" for done in (0, 3)]


def test_a_notebook_shows_a_bar_for_one_run_and_for_several(monkeypatch, cache, tmp_path):
    shown = []
    monkeypatch.setattr(notebook, "notebook_bar", lambda: lambda *told: shown.append(told))
    evolve(TINY, out=tmp_path / "run", cache=cache, **SMALL)
    assert {what.split()[-1] for what, _, _ in shown} >= {"candidates", "report"}
    shown.clear()
    runs = evolve_seeds(TINY, 2, out=tmp_path / "runs", cache=cache, **SMALL)
    judged = sum(run.evaluations for run in runs.runs.values())
    assert {(what, total) for what, _, total in shown} == {("candidates in 2 runs", 2 * 40)}
    assert all(0 <= done <= judged for _, done, _ in shown)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (Settings("a,b", over="wins"), "best fitness (wins) 0.900  held out joint D 0.440"),
        (Settings("a"), "best 0.900  held out 0.440"),
    ],
)
def test_what_goes_on_tells_a_fitness_that_is_no_correlation_from_one(settings, told, capsys):
    best = Candidate(parse("sum(params)"), (0.9,), 0.9, None, "")
    shown = []
    generation = Generation(1, 40, 40, best, 0.5, {}, {}, {})
    bar = notebook.NotebookObserver(lambda *said: shown.append(said))
    for observer in (Lines(), bar):
        observer.started(Path("run"), settings)
        observer.generation(generation, 0.44)
    assert told in capsys.readouterr().err
    assert shown[-1][0].startswith(told.replace("  ", ", "))

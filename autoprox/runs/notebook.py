"""How a run shows in a notebook how far it is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from autoprox.assessment.wording import figure
from autoprox.runs.fitness import before_figures
from autoprox.runs.observer import Silent
from autoprox.runtime.progress import Progress, notebook_bar

if TYPE_CHECKING:
    from autoprox.evolution.judge import Candidate
    from autoprox.evolution.search import Generation
    from autoprox.evolution.settings import Settings


class _Bar:
    """Shows one bar: first of what is measured.

    Args:
        show: called as ``show(task, done, total)``.
    """

    def __init__(self, show: Progress) -> None:
        self._show = show
        self._total = 0
        self._fitness = self._joint = ""

    def measuring(self, done: int, total: int) -> None:
        """Show how far the measurement is, if anything has to be measured."""
        if total:
            self._show("architectures measured", done, total)


class NotebookSeveral(_Bar):
    """An observer of several runs that shows one bar."""

    def started(self, folder: Path, settings: Mapping[str, Settings]) -> None:
        """Note how long the runs will be."""
        self._total = sum(asked.evaluations for asked in settings.values())

    def searching(self, judged: Mapping[str, int]) -> None:
        """Show how far the searches are, in all."""
        self._show(f"candidates in {len(judged)} runs", sum(judged.values()), self._total)


def notebook_several() -> NotebookSeveral | None:
    """Return an observer of several runs that shows a bar; None outside of notebooks."""
    bar = notebook_bar()
    return None if bar is None else NotebookSeveral(bar)


def notebook_observer() -> NotebookObserver | None:
    """Return an observer that shows a bar; None outside of notebooks."""
    bar = notebook_bar()
    return None if bar is None else NotebookObserver(bar)


class NotebookObserver(_Bar, Silent):
    """An observer of a run that shows one bar: of what is measured, then of what is searched."""

    def started(self, folder: Path, settings: Settings) -> None:
        """Note how long the run will be."""
        self._total = settings.evaluations
        self._fitness, self._joint = before_figures(settings)

    def resumed(self, known: Mapping[str, Candidate]) -> None:
        """Show how far the run was."""
        self._show("candidates", len(known), self._total)

    def generation(self, generation: Generation, held_out: float | None) -> None:
        """Show how far the search is, and how good the best is."""
        best = f"best {self._fitness}{figure(generation.best.fitness)}"
        best += f", held out {self._joint}{figure(held_out)}, candidates"
        self._show(best, generation.evaluations, self._total)

    def permuting(self, done: int, total: int) -> None:
        """Show how far the searches on shuffled accuracies are."""
        self._show("searches on shuffled accuracies", done, total)

    def reporting(self, done: int, total: int) -> None:
        """Show how far the report is."""
        self._show("proxies assessed for the report", done, total)

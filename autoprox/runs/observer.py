"""Who watches a run while it goes on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from autoprox.evolution.judge import Candidate
    from autoprox.evolution.search import Generation
    from autoprox.evolution.settings import Settings
    from autoprox.runs.record import Run


class Observer(Protocol):
    """Who watches a run; the command line draws a live table."""

    def started(self, folder: Path, settings: Settings) -> None:
        """The run has its folder and its settings; a run that stops from here on can be resumed."""
        return

    def measuring(self, done: int, total: int) -> None:
        """So many architectures of those missing from the cache are measured."""
        return

    def resumed(self, known: Mapping[str, Candidate]) -> None:
        """The search goes on; these candidates were judged before, by their proposed text."""
        return

    def generation(self, generation: Generation, held_out: float | None) -> None:
        """A generation is over; `held_out` is the held-out joint correlation of the best so far."""
        return

    def permuting(self, done: int, total: int) -> None:
        """So many of the searches on shuffled accuracies are done."""
        return

    def interrupted(self) -> None:
        """Ctrl-C stopped the run; what there is is reported now."""
        return

    def reporting(self, done: int, total: int) -> None:
        """So many of the proxies of the report are assessed; luck is judged after the last."""
        return

    def finished(self, run: Run) -> None:
        """The run came to its end, or was stopped with a report."""
        return


class Silent(Observer):
    """An observer that shows nothing; derive one that shows something."""


class SeveralObserver(Protocol):
    """Who watches several runs."""

    def started(self, folder: Path, settings: Mapping[str, Settings]) -> None:
        """The folder is there, and from here on can be resumed."""
        return

    def measuring(self, done: int, total: int) -> None:
        """So many architectures of those missing from the cache are measured."""
        return

    def searching(self, judged: Mapping[str, int]) -> None:
        """So many candidates each of the runs has judged by now."""
        return


class SilentSeveral(SeveralObserver):
    """Shows nothing."""

"""What a run shows on stderr while it goes on: a live panel on a terminal, else plain lines."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from autoprox.assessment.wording import figure, readable_seconds, summary
from autoprox.cli.counting import LINE_SECONDS
from autoprox.cli.options import console

if TYPE_CHECKING:
    from rich.console import RenderableType

    from autoprox.evolution.judge import Candidate
    from autoprox.evolution.report import Run
    from autoprox.evolution.search import Generation
    from autoprox.evolution.settings import Settings

SHOWN_REASONS = 3


class Watcher:
    """An observer of a run that keeps what there is to tell, and shows nothing.

    Attributes:
        folder: the run's folder; None before it has one.
        bench: what its bench is loaded by.
        budget: how many candidates the run judges.
        measured: how many architectures are measured, of how many that the cache lacked.
        permuted: how many searches on shuffled accuracies are done, of how many.
        rate: distinct candidates judged a second since the search began.
        reasons: how often each reason for a failure occurred, in a resumed run from its beginning.
    """

    def __init__(self) -> None:
        """Start the clock."""
        self.folder: Path | None = None
        self.bench = ""
        self.budget = 0
        self.measured = (0, 0)
        self.permuted = (0, 0)
        self.rate = 0.0
        self.reasons: Counter[str] = Counter()
        self._begun = self._measuring = self._searching = self._permuting = time.monotonic()
        self._before = self._permuted_before = 0

    def __enter__(self) -> Watcher:
        """Begin to show."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop showing."""

    @property
    def seconds(self) -> float:
        """How long the command has taken so far."""
        return time.monotonic() - self._begun

    @property
    def taken(self) -> str:
        """How long the run has taken so far, or since it was resumed."""
        passed = readable_seconds(self.seconds)
        return f"{passed} after it was resumed" if self._before else f"after {passed}"

    def started(self, folder: Path, settings: Settings) -> None:
        """Note where the run is, and how long it will be."""
        self.folder, self.bench, self.budget = folder, settings.bench, settings.evaluations

    def measuring(self, done: int, total: int) -> None:
        """Note how far the measurement is."""
        if done == 0:
            self._measuring = time.monotonic()
        self.measured = (done, total)
        self._searching = time.monotonic()

    def resumed(self, known: Mapping[str, Candidate]) -> None:
        """Note what the run did in its earlier life."""
        self._before, self._searching = len(known), time.monotonic()
        self._count(Counter(each.failure for each in known.values() if each.failure is not None))

    def _count(self, failures: Mapping[str, int]) -> None:
        for reason, count in failures.items():
            self.reasons[summary(reason)] += count

    def generation(self, generation: Generation, held_out: float | None) -> None:
        """Note what a generation did."""
        passed = max(time.monotonic() - self._searching, 1e-9)
        self.rate = (generation.evaluations - self._before) / passed
        self._count(generation.failures)

    def permuting(self, done: int, total: int) -> None:
        """Note how far the searches on shuffled accuracies are."""
        if not self.permuted[1]:
            self._permuting, self._permuted_before = time.monotonic(), done
        self.permuted = (done, total)

    def permuting_left(self) -> float | None:
        """Return the seconds that these searches will still take; None if nobody knows yet."""
        done, total = self.permuted
        new = done - self._permuted_before
        return (time.monotonic() - self._permuting) / new * (total - done) if new else None

    def finished(self, run: Run) -> None:
        """Do nothing: the report says what was found."""

    def measuring_left(self) -> float | None:
        """Return the seconds that the measurement will still take; None if nobody knows yet."""
        done, total = self.measured
        return (time.monotonic() - self._measuring) / done * (total - done) if done else None

    def searching_left(self, evaluations: int) -> float | None:
        """Return the seconds that the search will still take; None if nobody knows yet."""
        return (self.budget - evaluations) / self.rate if self.rate else None


def _left(seconds: float | None) -> str:
    return "" if seconds is None else f"{readable_seconds(seconds)} left"


class Lines(Watcher):
    """Plain lines, one every few seconds: for files, pipes and logs."""

    def __init__(self) -> None:
        """Nothing is printed yet."""
        super().__init__()
        self._last = -LINE_SECONDS

    def _due(self, always: bool) -> bool:
        now = time.monotonic()
        if always or now - self._last >= LINE_SECONDS:
            self._last = now
            return True
        return False

    def started(self, folder: Path, settings: Settings) -> None:
        """Say where the run is."""
        super().started(folder, settings)
        click.echo(f"run folder {folder}", err=True)

    def measuring(self, done: int, total: int) -> None:
        """Print how far the measurement is."""
        super().measuring(done, total)
        if total and self._due(done in (0, total)):
            left = _left(self.measuring_left()) if done < total else ""
            click.echo(f"measured {done}/{total} architectures  {left}".rstrip(), err=True)

    def generation(self, generation: Generation, held_out: float | None) -> None:
        """Print what the search found so far."""
        super().generation(generation, held_out)
        done = generation.evaluations >= self.budget
        if self._due(done or generation.number == 1):
            click.echo(
                f"generation {generation.number}  {generation.evaluations}/{self.budget} "
                f"candidates  best {figure(generation.best.fitness)}  held out {figure(held_out)}  "
                f"median {figure(generation.median)}  nodes {generation.best.graph.complexity}  "
                f"failed {self.reasons.total()}  {self.rate:.0f}/s  "
                f"{'' if done else _left(self.searching_left(generation.evaluations))}".rstrip(),
                err=True,
            )

    def permuting(self, done: int, total: int) -> None:
        """Print how far the searches on shuffled accuracies are."""
        super().permuting(done, total)
        if self._due(done in (0, total)):
            left = _left(self.permuting_left()) if done < total else ""
            click.echo(f"searched {done}/{total} shuffled accuracies  {left}".rstrip(), err=True)


class Panel(Watcher):
    """A live panel: for terminals."""

    def __init__(self) -> None:
        """Build the parts of the display."""
        from rich.live import Live
        from rich.text import Text

        super().__init__()
        self._live = Live(Text("preparing"), console=console(stderr=True), transient=True)

    def __enter__(self) -> Panel:
        """Begin to show."""
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Clear the display."""
        self._live.stop()

    def measuring(self, done: int, total: int) -> None:
        """Show how far the measurement is."""
        super().measuring(done, total)
        title = f"measuring architectures  {done}/{total}"
        if done == total:
            title = "loading the measured statistics"
        self._live.update(_bar(title, done, total, _left(self.measuring_left()) if total else ""))

    def generation(self, generation: Generation, held_out: float | None) -> None:
        """Show what the search found so far."""
        super().generation(generation, held_out)
        self._live.update(self._found(generation, held_out))

    def permuting(self, done: int, total: int) -> None:
        """Show how far the searches on shuffled accuracies are."""
        super().permuting(done, total)
        title = f"searching on shuffled accuracies  {done}/{total}"
        self._live.update(_bar(title, done, total, _left(self.permuting_left())))

    def _found(self, generation: Generation, held_out: float | None) -> RenderableType:
        from rich import box
        from rich.console import Group
        from rich.panel import Panel as Frame
        from rich.table import Table

        best = generation.best
        facts = {
            "generation": str(generation.number),
            "best": f"{figure(best.fitness)} on the search split, {figure(held_out)} held out",
            "median": figure(generation.median),
            "nodes": str(best.graph.complexity),
            "failed": failures_in_words(self.reasons),
            "formula": best.graph.text,
        }
        table = Table.grid(padding=(0, 2))
        for name, value in facts.items():
            table.add_row(name, value)
        done, total = generation.evaluations, self.budget
        pace = f"{self.rate:.0f}/s  {_left(self.searching_left(done))}"
        bar = _bar(f"searching  {done}/{total} distinct candidates", done, total, pace)
        return Frame(
            Group(bar, "", table), title=str(self.folder), title_align="left", box=box.ROUNDED
        )


def failures_in_words(reasons: Mapping[str, int]) -> str:
    """Return the number of failures and the most frequent reasons."""
    if not reasons:
        return "none"
    most = Counter(reasons).most_common(SHOWN_REASONS)
    rest = len(reasons) - len(most)
    words = [f"{reason} {count}" for reason, count in most] + (
        [f"{rest} more reasons"] if rest else []
    )
    return f"{sum(reasons.values())}: {', '.join(words)}"


def _bar(title: str, done: int, total: int, pace: str) -> RenderableType:
    from rich.progress_bar import ProgressBar
    from rich.table import Table

    row = Table.grid(padding=(0, 2))
    row.add_row(title, ProgressBar(total=max(total, 1), completed=done, width=24), pace)
    return row


def watcher(quiet: bool) -> Watcher:
    """Return what shows a run on this stderr."""
    if quiet:
        return Watcher()
    return Panel() if console(stderr=True).is_terminal else Lines()

"""What a run shows on stderr while it goes on: a live panel on a terminal, else plain lines."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from autoprox.assessment.wording import figure, readable_seconds, summary
from autoprox.cli.counting import Pace, PlainLines
from autoprox.cli.options import console
from autoprox.cli.tables import grid

if TYPE_CHECKING:
    from autoprox.evolution.judge import Candidate
    from autoprox.evolution.search import Generation
    from autoprox.evolution.settings import Settings
    from autoprox.runs.record import Run

SHOWN_REASONS = 3


class Bar(NamedTuple):
    """What is done, of how much, and how fast."""

    title: str
    done: int
    total: int
    pace: str


class Watcher:
    """An observer of a run that records how far it is, and shows nothing.

    Attributes:
        folder: the run's folder; None before it has one.
        bench: what its bench is loaded by.
        budget: how many candidates the run judges.
        measured: how many architectures are measured, of how many that the cache lacked.
        slow: how many of the first architectures take so much longer that their pace says nothing
            of the others'.
        stopped: whether Ctrl-C came, and a report is made of what there is.
        reasons: how often each reason for a failure occurred, in a resumed run from its beginning.
    """

    def __init__(self) -> None:
        """Start the clock."""
        self.folder: Path | None = None
        self.bench = ""
        self.budget = 0
        self.measured = (0, 0)
        self.reasons: Counter[str] = Counter()
        self.slow = 0
        self.stopped = False
        self._begun = time.monotonic()
        self._before = 0
        self._before_figures = ("", "")
        self._pace = Pace()

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

    def show(self, line: str, bar: Bar, always: bool, facts: Mapping[str, str]) -> None:
        """Show how far the run is.

        Args:
            line: the same for a log, without the pace.
            bar: what is done.
            always: whether a log needs the line, however soon it follows the last one.
            facts: what the search found so far; nothing before it begins.
        """

    def started(self, folder: Path, settings: Settings) -> None:
        """Note where the run is, and how long it will be."""
        from autoprox.runs.fitness import before_figures

        self.folder, self.bench, self.budget = folder, settings.bench, settings.evaluations
        self._before_figures = before_figures(settings)

    def measuring(self, done: int, total: int) -> None:
        """Show how far the measurement is."""
        self.measured = (done, total)
        title = f"measuring architectures  {done}/{total}"
        if done == total:
            title = "loading the measured statistics"
        line = f"measured {done}/{total} architectures" if total else ""
        self._step(title, line, done, total, self.slow if done < self.slow else total)

    def say(self, text: str) -> None:
        """Keep silent."""

    def resumed(self, known: Mapping[str, Candidate]) -> None:
        """Note what the run did before it was resumed."""
        self._before = len(known)
        reasons = (candidate.failure for candidate in known.values())
        self._count(Counter(reason for reason in reasons if reason is not None))

    def _count(self, failures: Mapping[str, int]) -> None:
        for reason, count in failures.items():
            self.reasons[summary(reason)] += count

    def generation(self, generation: Generation, held_out: float | None) -> None:
        """Show what the search found so far."""
        self._count(generation.failures)
        done, total, best = generation.evaluations, self.budget, generation.best
        seconds = self._pace.seconds(done, total)
        rate = f"{1 / seconds:.0f}/s  " if seconds else ""
        title = f"searching  {done}/{total} distinct candidates"
        median, nodes = figure(generation.median), str(best.graph.complexity)
        search_figure, held_out_figure = (
            f"{name}{figure(value)}"
            for name, value in zip(self._before_figures, (best.fitness, held_out), strict=True)
        )
        line = (
            f"generation {generation.number}  {done}/{total} candidates  "
            f"best {search_figure}  held out {held_out_figure}  median {median}  "
            f"nodes {nodes}  failed {self.reasons.total()}"
        )
        facts = {
            "generation": str(generation.number),
            "best": f"{search_figure} on the search split, {held_out_figure} held out",
            "median": median,
            "nodes": nodes,
            "failed": failures_in_words(self.reasons),
            "formula": best.graph.text,
        }
        bar = Bar(title, done, total, f"{rate}{self._pace.left(done, total)}")
        self.show(line, bar, generation.number == 1 or done >= total, facts)

    def permuting(self, done: int, total: int) -> None:
        """Show how far the searches on shuffled accuracies are."""
        title = f"searching on shuffled accuracies  {done}/{total}"
        self._step(title, f"searched {done}/{total} shuffled accuracies", done, total, total)

    def interrupted(self) -> None:
        """Say what is done now, and how to do without it."""
        self.stopped = True
        self.say("interrupted: a report of what there is is made; Ctrl-C again: without one")

    def reporting(self, done: int, total: int) -> None:
        """Show how far the report is."""
        title = f"assessing proxies for the report  {done}/{total}"
        if done == total:
            title = "judging what of it is luck"
        self._step(title, f"assessed {done}/{total} proxies for the report", done, total, total)

    def _step(self, title: str, line: str, done: int, total: int, until: int) -> None:
        """Show how far something is; the pace is that up to `until`, and no fact is known yet."""
        bar = Bar(title, done, total, self._pace.left(done, until))
        self.show(line, bar, done in (0, total), {})

    def finished(self, run: Run) -> None:
        """Do nothing: the report says what was found."""


class Lines(Watcher):
    """Plain lines, one every few seconds: for files, pipes and logs."""

    def __init__(self) -> None:
        """Print nothing yet."""
        super().__init__()
        self._lines = PlainLines()

    def __exit__(self, *_: object) -> None:
        """Print the last line, however soon it came."""
        self._lines.end()

    def say(self, text: str) -> None:
        """Print a line."""
        click.echo(text, err=True)

    def started(self, folder: Path, settings: Settings) -> None:
        """Say where the run is."""
        super().started(folder, settings)
        click.echo(f"run folder {folder}", err=True)

    def show(self, line: str, bar: Bar, always: bool, facts: Mapping[str, str]) -> None:
        """Print the line, if it is time for one."""
        if line:
            self._lines.show(f"{line}  {bar.pace}".rstrip(), always)


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

    def say(self, text: str) -> None:
        """Print a line above the panel."""
        self._live.console.print(text, soft_wrap=True)

    def show(self, line: str, bar: Bar, always: bool, facts: Mapping[str, str]) -> None:
        """Show the bar, and below it in a frame what the search found."""
        from rich import box
        from rich.console import Group
        from rich.panel import Panel as Frame
        from rich.progress_bar import ProgressBar

        drawn = ProgressBar(total=max(bar.total, 1), completed=bar.done, width=24)
        parts = grid([(bar.title, drawn, bar.pace)])
        inside = Group(parts, "", grid(facts.items()))
        framed = Frame(inside, title=str(self.folder), title_align="left", box=box.ROUNDED)
        self._live.update(framed if facts else parts)


def failures_in_words(reasons: Mapping[str, int]) -> str:
    """Return the number of failures and the most frequent reasons."""
    if not reasons:
        return "none"
    most = Counter(reasons).most_common(SHOWN_REASONS)
    rest = len(reasons) - len(most)
    words = [f"{reason} {count}" for reason, count in most]
    words += [f"{rest} more reasons"] if rest else []
    return f"{sum(reasons.values())}: {', '.join(words)}"


def watcher(quiet: bool) -> Watcher:
    """Return what shows a run on this stderr."""
    if quiet:
        return Watcher()
    return Panel() if console(stderr=True).is_terminal else Lines()

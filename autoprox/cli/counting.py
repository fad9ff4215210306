"""How far counted work is, on stderr: a bar on a terminal, else a line now and then."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import click

from autoprox.assessment.wording import readable_seconds
from autoprox.cli.options import console
from autoprox.runtime.progress import Progress

LINE_SECONDS = 5.0
"""The least time between two plain lines."""


TELLING_SECONDS = 3.0
"""The least time that a pace is measured over."""


class Pace:
    """How fast counted work is, and how long it will still take.

    The clock starts when the first of it is done, for what comes before is no measure of the rest,
    and the pace is that of the later half of the time since.
    """

    def __init__(self) -> None:
        """Nothing is done yet."""
        self._total = self._start = 0
        self._reports: list[tuple[float, int]] = []

    def seconds(self, done: int, total: int) -> float | None:
        """Return the time for each, or None while nobody knows.

        Work that counts from less, or to another total, is other work, which begins now.
        """
        now = time.monotonic()
        if total != self._total or (self._reports and done < self._reports[-1][1]):
            self._total, self._start, self._reports = total, done, []
        if done > self._start and (not self._reports or done > self._reports[-1][1]):
            self._reports.append((now, done))
        if not self._reports or now - self._reports[0][0] < TELLING_SECONDS:
            return None
        middle = (self._reports[0][0] + self._reports[-1][0]) / 2
        then, before = next(report for report in reversed(self._reports) if report[0] <= middle)
        return (self._reports[-1][0] - then) / (done - before) if done > before else None

    def left(self, done: int, total: int) -> str:
        """Return the time left in words; nothing while nobody knows, and at the end."""
        seconds = self.seconds(done, total)
        if seconds is None or done >= total:
            return ""
        return f"{readable_seconds(seconds * (total - done))} left"


class PlainLines:
    """Lines on stderr, the least time apart; the last one is printed whenever it came."""

    def __init__(self) -> None:
        """Nothing is printed yet."""
        self._printed = -LINE_SECONDS
        self._waiting = ""

    def show(self, line: str, always: bool) -> None:
        """Print a line, if it is time for one or it is always to be printed; else keep it."""
        now = time.monotonic()
        self._waiting = line
        if always or now - self._printed >= LINE_SECONDS:
            self._printed = now
            self.end()

    def end(self) -> None:
        """Print the line that still waits for its time."""
        if self._waiting:
            click.echo(self._waiting, err=True)
        self._waiting = ""


@contextmanager
def counting(quiet: bool) -> Iterator[Progress]:
    """Show what is done, of how much, and the time left; of an unknown total on terminals only."""
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    out = console(stderr=True)
    lines = not quiet and not out.is_terminal
    bar = Bars(
        TextColumn("{task.description}"),
        BarColumn(24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),  # goes on where one step takes long
        TextColumn("{task.fields[left]}"),
        console=out,
        transient=True,
        disable=quiet or lines,
    )
    task = bar.add_task("preparing", total=None, left="")
    pace, plain, step = Pace(), PlainLines(), ""

    def show(description: str, done: int, total: int) -> None:
        nonlocal step, task
        left = pace.left(done, total)
        if not total and bar.tasks[0].total:  # update knows no way back to an unknown total
            bar.remove_task(task)
            task = bar.add_task(description, total=None, left="")
        bar.update(task, description=description, completed=done, total=total or None, left=left)
        if lines and total:
            # What is in brackets changes on the way.
            before, step = step, description.partition("(")[0]
            line = f"{description}  {done}/{total}  {left}".rstrip()
            plain.show(line, step != before or done == total)

    with bar:
        try:
            yield show
        finally:
            plain.end()

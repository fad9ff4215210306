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


class Pace:
    """How long counted work will still take, at the mean pace since it began."""

    def __init__(self) -> None:
        """Nothing is done yet."""
        self._total = self._done = self._first = 0
        self._begun = time.monotonic()

    def left(self, done: int, total: int) -> str:
        """Return the time left in words; nothing while nobody knows, and at the end.

        Work that counts from less, or to another total, is other work, which begins now.
        """
        now = time.monotonic()
        if total != self._total or done < self._done:
            self._total, self._first, self._begun = total, done, now
        self._done = done
        if not self._first < done < total:
            return ""
        seconds = (now - self._begun) / (done - self._first) * (total - done)
        return f"{readable_seconds(seconds)} left"


@contextmanager
def counting(quiet: bool) -> Iterator[Progress]:
    """Show what is done, of how much, and the time left."""
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
    from rich.progress import Progress as Bars

    out = console(stderr=True)
    lines = not quiet and not out.is_terminal
    bar = Bars(
        TextColumn("{task.description}"),
        BarColumn(24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[left]}"),
        console=out,
        transient=True,
        disable=quiet or lines,
    )
    task = bar.add_task("preparing", total=None, left="")
    pace, said = Pace(), -LINE_SECONDS

    def show(what: str, done: int, total: int) -> None:
        nonlocal said
        left = pace.left(done, total)
        bar.update(task, description=what, completed=done, total=total, left=left)
        now = time.monotonic()
        if lines and total and (done == total or now - said >= LINE_SECONDS):
            click.echo(f"{what}  {done}/{total}  {left}".rstrip(), err=True)
            said = now

    with bar:
        yield show

"""What the commands share: types of options, consoles, the number of cores."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console

WIDTH = 100
"""The width of what is printed into a file or a pipe."""


class Names(click.ParamType):
    """Names or expressions between commas; commas inside parentheses belong to an expression."""

    name = "a,b,…"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        """Cut the text at its outer commas."""
        if isinstance(value, tuple):
            return value
        names = tuple(part.strip() for part in outer_parts(value))
        if not all(names):
            self.fail(
                f"expected names between commas, such as weight,grad; got {value!r}", param, ctx
            )
        return names


def outer_parts(text: str) -> list[str]:
    """Return the parts of `text` between the commas that are inside no parentheses.

    >>> outer_parts("zico,sum(divide(params, flops))")
    ['zico', 'sum(divide(params, flops))']
    """
    parts, level = [""], 0
    for mark in text:
        level += (mark == "(") - (mark == ")")
        if mark == "," and level == 0:
            parts.append("")
        else:
            parts[-1] += mark
    return parts


class Entries(click.ParamType):
    """A number of entries, or ``full``."""

    name = "n|full"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | str:
        """Read the number."""
        if isinstance(value, int) or value == "full":
            return value
        if not value.isdecimal() or int(value) < 1:
            self.fail(f"expected a number from 1, or full; got {value!r}", param, ctx)
        return int(value)


def cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def single_threaded() -> None:
    """Give torch one thread: the processes of ``--jobs`` are all the parallelism there is."""
    import torch

    torch.set_num_threads(1)


def console(stderr: bool = False) -> Console:
    """Return the console for what is printed; it takes text as it is."""
    from rich.console import Console

    made = Console(stderr=stderr, markup=False, highlight=False, emoji=False, soft_wrap=False)
    if not made.is_terminal:
        made.width = WIDTH
    return made


def readable_seconds(seconds: float) -> str:
    """Return a duration as people say it.

    >>> readable_seconds(7.2), readable_seconds(200), readable_seconds(8000)
    ('7 s', '3 min 20 s', '2 h 13 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"

"""What the commands share: readers of options, consoles, the number of cores."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from rich.console import Console

Command = TypeVar("Command", bound=Callable[..., Any])

INTERRUPTED = 130
"""The exit status after Ctrl-C: 128 and the number of SIGINT, as shells have it."""

TERMINATED = 143
"""The exit status after SIGTERM, likewise."""

BACKENDS = "Where processes come from: loky, this machine; dask, ray: this machine or a cluster."

WIDTH = 100
"""The width of what is printed into a file or a pipe."""


class _Path(click.Path):
    """The path of a file or folder, which need not be there; no text is no path."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path.

        Raises:
            click.BadParameter: it is empty.
        """
        if not str(value).strip():
            self.fail(f"expected a path, got {value!r}", param, ctx)
        return super().convert(value, param, ctx)


PATH = _Path()


def names(_: click.Context, __: click.Parameter, value: str | None) -> tuple[str, ...] | None:
    """Cut an option's text at its commas; those inside parentheses belong to an expression.

    Raises:
        click.BadParameter: there is nothing between two commas.
    """
    if value is None:
        return None
    parts = tuple(part.strip() for part in outer_parts(value))
    if not all(parts):
        raise click.BadParameter(f"expected names between commas, as in weight,grad; got {value!r}")
    return parts


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


def entries(_: click.Context, __: click.Parameter, value: str | None) -> int | str | None:
    """Read a number of entries, or ``full``.

    Raises:
        click.BadParameter: it is neither.
    """
    if value is None or value == "full":
        return value
    if not value.isdecimal() or int(value) < 1:
        raise click.BadParameter(f"expected a number from 1, or full; got {value!r}")
    return int(value)


def option(
    flags: str, help_: str, default: str = "", metavar: str = "N", **kwargs: Any
) -> Callable[[Command], Command]:
    """Return an option that is None if it is not given; `default` says what then holds."""
    said = f"{help_}  [default: {default}]" if default else help_
    return click.option(*flags.split(), help=said, metavar=metavar, **kwargs)


def probe_options(command: Command) -> Command:
    """Add the options that say what the networks are shown."""
    added = (
        option(
            "--sample", "Entries kept of each layer's tensor.", "512", "N|full", callback=entries
        ),
        option("--probe-seed", "Of weights, noise and sample.", "0", type=int),
        option("--probe-batch", "How many inputs a network sees.", "8", type=int),
        option(
            "--images", "Show the networks images, an .npz or a folder.", "seeded noise", "PATH"
        ),
    )
    for each in added:
        command = each(command)
    return command


def architectures_option(command: Command) -> Command:
    """Add the option that says how many architectures of a bench are drawn."""
    added = option("--architectures", "Draw so many of the bench.", "the bench's, or all", type=int)
    return added(command)


def device_option(command: Command) -> Command:
    """Add the option that says where networks run."""
    return option("--device", "Where tensors are; cuda: a GPU.", "cpu", "cpu|cuda|cuda:N")(command)


def machine_options(command: Command) -> Command:
    """Add the options on which no result depends."""
    kept = "Where statistics and scores are kept."
    where = "AUTOPROX_CACHE, or your cache folder"
    number = click.IntRange(min=1)
    added = (
        option("--cache", kept, where, "DIR", type=PATH),
        option("--scheduler", "Dask's scheduler.", "a new one here", "tcp://HOST:PORT"),
        option("--backend", BACKENDS, "loky", "loky|dask|ray"),
        option("--jobs", "Processes; no result depends on it.", "number of cores", type=number),
    )
    for each in added:
        command = each(command)
    return command


MACHINE = ("jobs", "backend", "scheduler", "cache")
"""The parameters that `machine_options` adds."""


def hired(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return who does the work, as `open_workers` takes it, out of what the options gave."""
    return {
        "jobs": given["jobs"] or cores(),
        "backend": given["backend"] or "loky",
        "scheduler": given["scheduler"],
    }


def cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def console(stderr: bool = False) -> Console:
    """Return the console for what is printed: text as it is, but for control characters."""
    from rich.console import Console
    from rich.segment import Segment

    from autoprox.runtime.arguments import printable

    class Plain(Console):
        """Prints no character of a text that would steer the terminal."""

        def render(self, *args: Any, **extra: Any) -> Iterator[Segment]:
            """Render as usual, and leave out what would steer."""
            for text, style, control in super().render(*args, **extra):
                yield Segment(text if control else printable(text), style, control)

    made = Plain(stderr=stderr, markup=False, highlight=False, emoji=False, soft_wrap=False)
    if not made.is_terminal:
        made.width = WIDTH
    return made

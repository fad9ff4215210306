"""What the commands share: readers of options, consoles, the number of cores."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Callable, Container, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from autoprox.runtime.files import write_text

if TYPE_CHECKING:
    from rich.console import Console

Command = TypeVar("Command", bound=Callable[..., Any])

INTERRUPTED = 130
"""The exit status after Ctrl-C: 128 and the number of SIGINT, as shells have it."""

BACKENDS = "Where processes come from: loky, this machine; dask, ray: this machine or a cluster."

WIDTH = 100
"""The width of what is printed into a file or a pipe."""


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


def together(*options: Callable[[Any], Any]) -> Callable[[Command], Command]:
    """Return what adds options to a command, in this order."""

    def add(command: Command) -> Command:
        for each in reversed(options):
            command = each(command)
        return command

    return add


device_option = option("--device", "Where tensors are; cuda: a GPU.", "cpu", "cpu|cuda|cuda:N")
architectures_option = option(
    "--architectures", "Draw so many of the bench.", "the bench's, or all", type=int
)
probe_options = together(
    option("--images", "Show the networks images, an .npz or a folder.", "seeded noise", "PATH"),
    option("--probe-batch", "How many inputs a network sees.", "8", type=int),
    option("--probe-seed", "Of weights, noise and sample.", "0", type=int),
    option("--sample", "Entries kept of each layer's tensor.", "512", "N|full", callback=entries),
)
"""What the networks are shown."""
cache_option = option(
    "--cache",
    "Where statistics and scores are kept.",
    "AUTOPROX_CACHE, or your cache folder",
    "DIR",
    type=click.Path(),
)
machine_options = together(
    option(
        "--jobs",
        "Processes; no result depends on it.",
        "number of cores",
        type=click.IntRange(min=1),
    ),
    option("--backend", BACKENDS, "loky", "loky|dask|ray"),
    option("--scheduler", "Dask's scheduler.", "a new one here", "tcp://HOST:PORT"),
    cache_option,
)
"""What no result depends on."""
quiet_option = click.option("--quiet", is_flag=True, help="Show nothing until the end.")

HIRING = ("jobs", "backend", "scheduler")
MACHINE = (*HIRING, "cache")
"""The parameters that `machine_options` adds."""


def hired(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return who does the work, as `open_workers` takes it, out of what the options gave."""
    return {
        "jobs": given["jobs"] or cores(),
        "backend": given["backend"] or "loky",
        "scheduler": given["scheduler"],
    }


def given_only(given: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """Return the options that have a value; of those called `names`, if there are any."""
    values = {name: given[name] for name in names or given}
    return {k: v for k, v in values.items() if v is not None and v is not False and v != ()}


def typed(ctx: click.Context, names: Container[str]) -> list[str]:
    """Return which of the options called `names` the user has written, as they are written."""
    written = click.core.ParameterSource.COMMANDLINE
    return [
        param.opts[0]
        for param in ctx.command.params
        if str(param.name) in names and ctx.get_parameter_source(str(param.name)) is written
    ]


def go_on(*words: str, **options: object) -> str:
    """Return the command that goes on; options without a value are left out."""
    flags = [word for name, value in given_only(options).items() for word in (f"--{name}", value)]
    return shlex.join(["autoprox", *words, *map(str, flags)])


def check_test(data: str | None, test: str | None) -> None:
    """Refuse an .npz without its test images.

    Raises:
        click.UsageError: they lack.
    """
    if data is not None and test is None and data.endswith(".npz"):
        raise click.UsageError("an .npz holds one part of the data: give --test FILE beside it")


def json_text(data: object) -> str:
    """Return data as the text that is printed or written."""
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"


def put_json(data: object, file: str | None) -> bool:
    """Write data into a file, if one is named; say whether that is standard output."""
    if file == "-":
        click.echo(json_text(data), nl=False)
    elif file is not None:
        write_text(Path(file), json_text(data), "file")
    return file == "-"


def cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def console(stderr: bool = False) -> Console:
    """Return the console for what is printed; it takes text as it is."""
    from rich.console import Console

    made = Console(stderr=stderr, markup=False, highlight=False, emoji=False, soft_wrap=False)
    if not made.is_terminal:
        made.width = WIDTH
    return made

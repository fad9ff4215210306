"""What the commands share: readers of options, consoles, the number of cores."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from autoprox.cli.outputs import check_writable
from autoprox.cli.streams import echo_json
from autoprox.errors import UnknownNameError
from autoprox.runtime.files import write_text

if TYPE_CHECKING:
    from rich.console import Console

Command = TypeVar("Command", bound=Callable[..., Any])

INTERRUPTED = 130
"""The exit status after Ctrl-C: 128 and the number of SIGINT, as shells have it."""

TERMINATED = 143
"""The exit status after SIGTERM, likewise."""

PIPED = 141
"""The exit status when nobody reads the output any more, likewise of SIGPIPE."""

BACKENDS = "Where processes come from: loky, this machine; dask, ray: this machine or a cluster."

WIDTH = 100
"""The width of what is printed into a file or a pipe, unless ``COLUMNS`` says another."""


class CommandGroup(click.Group):
    """Commands by name; the message on an unknown name lists those that there are."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that is called.

        Raises:
            click.UsageError: there is no command of that name.
        """
        unknown = self.get_command(ctx, args[0]) is None and not args[0].startswith("-")
        if unknown and not ctx.resilient_parsing:
            raise click.UsageError(str(UnknownNameError("command", args[0], self.commands)), ctx)
        return super().resolve_command(ctx, args)


class _Path(click.Path):
    """The path of a file or folder, which need not exist; an empty text is refused."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path."""
        if not str(value).strip():
            self.fail(f"expected a path, got {value!r}", param, ctx)
        return super().convert(value, param, ctx)


class _Output(_Path):
    """The path of a file to write; one that could not be written is refused at once."""

    def __init__(self, stdout: bool) -> None:
        """Take ``-`` for standard output, or refuse it."""
        super().__init__()
        self.stdout = stdout

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path.

        Raises:
            RunError: no file can be written there.
        """
        path = super().convert(value, param, ctx)
        if path == "-":
            return path if self.stdout else self.fail("it is a file, not standard output")
        check_writable(Path(path), param.opts[-1] if param else "file")
        return path


PATH = _Path()
OUTPUT, OUTPUT_OR_STDOUT = _Output(stdout=False), _Output(stdout=True)


def several(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    """Cut texts at their commas; those inside parentheses belong to an expression.

    Raises:
        click.BadParameter: there is nothing between two commas.
    """
    parts = tuple(part.strip() for value in values for part in outer_parts(value))
    if not all(parts):
        raise click.BadParameter(
            f"expected names between commas, as in weight,grad; got {', '.join(values)!r}"
        )
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
    text = f"{help_}  [default: {default}]" if default else help_
    return click.option(*flags.split(), help=text, metavar=metavar, **kwargs)


def by_name(example: str, read: Callable[[str], Any]) -> Callable[..., dict[str, Any]]:
    """Return the callback of an option that takes values by name.

    Args:
        example: what a refusal says is expected, as in ``"NAME=VALUE, as in epochs=100"``.
        read: makes a value out of its text; a `ValueError` of it is a refusal.
    """

    def parse(_: click.Context, __: click.Parameter, texts: Iterable[str]) -> dict[str, Any]:
        values = {}
        for text in texts:
            name, sign, value = (part.strip() for part in text.partition("="))
            try:
                if not (name and sign):
                    raise ValueError
                values[name] = read(value)
            except ValueError:
                raise click.BadParameter(f"expected {example}; got {text!r}") from None
        return values

    return parse


def listing(
    flags: str, help_: str, default: str = "", metavar: str = "A,B,…"
) -> Callable[[Command], Command]:
    """Return an option that takes several names, between commas or by being repeated."""
    return option(flags, help_, default, metavar, multiple=True, callback=several)


def together(*options: Callable[[Any], Any]) -> Callable[[Command], Command]:
    """Return what adds options to a command, in this order."""

    def add(command: Command) -> Command:
        for add_option in reversed(options):
            command = add_option(command)
        return command

    return add


device_option = option("--device", "Where tensors are; cuda: a GPU.", "cpu", "cpu|cuda|cuda:N")
architectures_option = option(
    "--architectures", "Draw so many of the bench.", "the bench's, or all", type=int
)
probe_options = together(
    option("--images", "Show the networks images, an .npz or a folder.", "seeded noise", "PATH"),
    option("--batch", "How many inputs a network sees.", "8", type=int),
    option("--probe-seed", "Seed of weights, noise and sample.", "0", type=int),
    option("--sample", "Entries kept of each layer's tensor.", "512", "N|full", callback=entries),
)
"""What the networks are shown."""
teacher_options = together(
    option(
        "--teacher",
        "What proxies of a teacher compare with: resnet56, resnet110, best (of the bench).",
        "",
        "NAME|FILE.py:FUNCTION",
    ),
    option("--teacher-weights", "Its weights.", "drawn", "FILE", type=PATH),
)
"""The teacher that networks are compared with."""
cache_option = option(
    "--cache",
    "Where statistics and scores are kept.",
    "AUTOPROX_CACHE, or your cache folder",
    "DIR",
    type=PATH,
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
json_option = option(
    "--json json_file",
    "Write everything there; - for standard output.",
    "",
    "FILE|-",
    type=OUTPUT_OR_STDOUT,
)
latex_option = option(
    "--latex",
    "Write tables for a paper there; - for standard output.",
    "",
    "FILE|-",
    type=OUTPUT_OR_STDOUT,
)
picture_option = option(
    "--draw picture", "Draw it there too, .svg, .png or .pdf.", "", "FILE", type=OUTPUT
)
quiet_option = click.option("--quiet", is_flag=True, help="Show nothing until the end.")


def parameters_of(*options: Callable[[Any], Any]) -> set[str]:
    """Return the names of the parameters that options add."""

    @click.command()
    @together(*options)
    def command() -> None: ...

    return {str(param.name) for param in command.params}


HIRING = ("jobs", "backend", "scheduler")
MACHINE = (*HIRING, "cache")
"""The parameters that `machine_options` adds."""


def hired(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of `open_workers` that the options gave."""
    return {
        "jobs": options["jobs"] or cores(),
        "backend": options["backend"] or "loky",
        "scheduler": options["scheduler"],
    }


def given_only(options: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """Return the options that have a value; of those called `names`, if there are any."""
    values = {name: options[name] for name in names or options}
    return {k: v for k, v in values.items() if v is not None and v is not False and v != ()}


def typed(ctx: click.Context, names: Container[str]) -> list[str]:
    """Return which of the options called `names` the user has written, as they are written."""
    written = click.core.ParameterSource.COMMANDLINE
    return [
        param.opts[-1]
        for param in ctx.command.params
        if str(param.name) in names and ctx.get_parameter_source(str(param.name)) is written
    ]


words_option = option(
    "--bench", "The file of a bench that defines words of your own.", "", "FILE.py"
)


def load_words(bench: str | None) -> None:
    """Load what the option of `words_option` names, so that its words are known."""
    if bench is not None:
        from autoprox.benches.registry import load_named

        load_named(bench)


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
    return put_text(json_text(data), file)


def put_text(text: str, file: str | None) -> bool:
    """Write JSON or LaTeX into a file, if one is named, and say so; return whether it is stdout."""
    if file == "-":
        echo_json(text)
    elif file is not None:
        write_text(Path(file), text, "file")
        click.echo(f"written to {file}", err=True)
    return file == "-"


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
        """Leaves out characters of texts that would control the terminal."""

        def render(self, *args: Any, **extra: Any) -> Iterator[Segment]:
            """Render as usual, without these characters."""
            for text, style, control in super().render(*args, **extra):
                yield Segment(text if control else printable(text), style, control)

        def on_broken_pipe(self) -> None:
            """Let the error, which this is called for, end the command as any other write does."""
            raise

    out = Plain(stderr=stderr, markup=False, highlight=False, emoji=False, soft_wrap=False)
    if not out.is_terminal and not os.environ.get("COLUMNS", "").isdecimal():
        out.width = WIDTH
    return out

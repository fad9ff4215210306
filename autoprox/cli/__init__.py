"""The command line: ``autoprox COMMAND``; ``autoprox --help`` lists the commands.

The modules of this package import click and nothing that is slow, so that ``autoprox --help``
answers at once; the engine is imported inside each command.
"""

from __future__ import annotations

import errno
import os
import select
import signal
import sys
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from typing import IO, Any, NoReturn, TextIO

import click

from autoprox import __version__
from autoprox.cli.bench import bench
from autoprox.cli.cite import cite
from autoprox.cli.compare import compare
from autoprox.cli.cost import cost
from autoprox.cli.draw import draw
from autoprox.cli.evolve import evolve
from autoprox.cli.export import export
from autoprox.cli.fit import fit
from autoprox.cli.options import INTERRUPTED, PIPED, TERMINATED, CommandGroup
from autoprox.cli.quantise import quantise
from autoprox.cli.rank import rank
from autoprox.cli.report import report
from autoprox.cli.search import search
from autoprox.cli.show import show
from autoprox.cli.speed import speed
from autoprox.cli.streams import open_closed, use_words
from autoprox.cli.train import train
from autoprox.cli.words import words
from autoprox.errors import AutoproxError
from autoprox.runtime.arguments import printable

FULL = (errno.ENOSPC, errno.EIO, getattr(errno, "EDQUOT", errno.ENOSPC))
"""What a write fails with that no room is left for."""

MOST_TOLD = 3000
"""Of a longer message, as of a path without end, the middle is left out."""

SHOWN_VERSIONS = ("torch", "deap", "numpy")


class Failure(click.ClickException):
    """An error of the user's making: its message, without a traceback, and exit status 1."""

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the message on stderr."""
        message = printable(self.format_message())
        if len(message) > MOST_TOLD:
            message = f"{message[: MOST_TOLD // 2]} ... {message[-MOST_TOLD // 2 :]}"
        click.echo(f"error: {message}", file=file, err=file is None)


class Commands(CommandGroup):
    """The commands; turns errors and Ctrl-C into messages."""

    def main(self, *args: Any, **extra: Any) -> Any:
        """Run the command line; words replace characters that the output cannot encode."""
        use_words()
        return super().main(*args, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command.

        Raises:
            Failure: the command raised an `AutoproxError`.
        """
        try:
            return super().invoke(ctx)
        except AutoproxError as error:
            raise Failure(str(error)) from None
        except KeyboardInterrupt:
            click.echo("interrupted", err=True)
            ctx.exit(INTERRUPTED)
        except BrokenPipeError as error:
            if not any(map(_nobody_reads, (sys.stdout, sys.stderr))):
                raise Failure(f"a process that this one talks to is gone: {error}") from None
            ctx.exit(PIPED)

    def __call__(self, *arguments: Any, **options: Any) -> NoReturn:
        """Run as a program: like `main`, but SIGTERM is as Ctrl-C, and a full disk is an error."""
        open_closed()
        terminated = []

        def terminate(*_: object) -> None:
            terminated.append(True)
            raise KeyboardInterrupt

        signal.signal(signal.SIGTERM, terminate)
        try:
            status = _status(self, *arguments, **options)
        finally:  # nothing is left to be interrupted, but imports that end
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if status != INTERRUPTED:
            sys.exit(status)
        # At once: Python would wait for imports and workers that nobody wants any more, and would
        # take the status of SIGINT if Ctrl-C came while some library executed a text.
        with suppress(OSError):
            sys.stdout.flush()
        os._exit(TERMINATED if terminated else INTERRUPTED)


def _nobody_reads(stream: TextIO | None) -> bool:
    """Say whether what is written into a stream goes nowhere, as the other end is closed."""
    try:
        if stream is not None:
            stream.flush()
            if hasattr(select, "poll"):  # what failed to be written may be gone from the stream
                polled = select.poll()
                polled.register(stream.fileno(), 0)
                return any(event & select.POLLERR for _, event in polled.poll(0))
    except BrokenPipeError:
        return True
    except (OSError, ValueError):  # no file at all, as in a test
        pass
    return False


def _status(commands: click.Group, *arguments: Any, **options: Any) -> int | str | None:
    """Return the exit status of a command line."""
    status: int | str | None = 0
    try:
        try:
            commands.main(*arguments, **options)
        except SystemExit as ended:
            status = ended.code
        sys.stdout.flush()
    except KeyboardInterrupt:
        status = INTERRUPTED
    except OSError as error:
        full = error.errno in FULL
        if error.filename or not (full or error.errno == errno.EPIPE):
            raise
        for stream in (sys.stdout, sys.stderr)[: 1 if full else 2]:
            with suppress(OSError):
                stream.close()  # or Python tries again when it ends
        if not full:
            return PIPED
        with suppress(OSError):
            click.echo(f"error: cannot write the output: {error.strerror}", err=True)
        status = 1
    return status


def _print_versions(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if not wanted or ctx.resilient_parsing:
        return
    click.echo(f"autoprox {__version__}")
    for name in SHOWN_VERSIONS:
        try:
            click.echo(f"{name} {version(name)}")
        except PackageNotFoundError:
            click.echo(f"{name} (not installed)")
    ctx.exit()


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="\b\nExample:\n  autoprox evolve --bench vit101\n  autoprox show runs/vit101-default-0",
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_versions,
    help="Show the versions of autoprox, torch, deap and numpy.",
)
def main() -> None:
    """Discover zero-cost proxies.

    A proxy is a formula that ranks untrained networks by the accuracy they will reach.
    """


for _command in (
    evolve,
    report,
    compare,
    rank,
    fit,
    cost,
    search,
    show,
    draw,
    export,
    cite,
    bench,
    words,
    speed,
):
    main.add_command(_command)
bench.add_command(train)
bench.add_command(quantise)

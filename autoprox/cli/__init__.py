"""The command line: ``autoprox COMMAND``; ``autoprox --help`` lists the commands.

The modules of this package import click and nothing that is slow, so that ``autoprox --help``
answers at once; the engine is imported inside each command.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import IO, Any

import click

from autoprox import __version__
from autoprox.cli.benches import bench
from autoprox.cli.draw import draw
from autoprox.cli.evolve import evolve
from autoprox.cli.export import export
from autoprox.cli.options import INTERRUPTED
from autoprox.cli.page import report
from autoprox.cli.quantise import quantise
from autoprox.cli.rank import rank
from autoprox.cli.search import search
from autoprox.cli.show import show
from autoprox.cli.speed import speed
from autoprox.cli.streams import use_words
from autoprox.cli.train import train
from autoprox.cli.words import words
from autoprox.errors import AutoproxError
from autoprox.runtime.arguments import printable

SHOWN_VERSIONS = ("torch", "deap", "numpy")


class Failure(click.ClickException):
    """An error of the user's making: its message, without a traceback, and exit status 1."""

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the message on stderr."""
        click.echo(f"error: {printable(self.format_message())}", file=file, err=file is None)


class Commands(click.Group):
    """The commands; turns errors and Ctrl-C into messages."""

    def main(self, *args: Any, **extra: Any) -> Any:
        """Run the command line, in words where the output lacks characters."""
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


for _command in (evolve, report, rank, search, show, draw, export, bench, words, speed):
    main.add_command(_command)
bench.add_command(train)
bench.add_command(quantise)

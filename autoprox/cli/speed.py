"""``autoprox speed``: what discovery costs on this machine, beside other ways of doing it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from autoprox.assessment.wording import readable_seconds
from autoprox.cli.counting import counting
from autoprox.cli.options import (
    INTERRUPTED,
    console,
    given_only,
    json_option,
    listing,
    option,
    put_json,
    quiet_option,
)
from autoprox.cli.tables import table

if TYPE_CHECKING:
    from rich.console import Console

    from autoprox.timing.run import Speed, TimedWay

ONLY = "Only these: cold, warm, run, search, kendall, expressions, extraction, workers."
NUMBER = click.IntRange(min=1)
EXAMPLE = (
    "autoprox speed --json speed.json\n  "
    "autoprox speed --only kendall,expressions --architectures 40 --repeats 1"
)


@click.command(epilog=f"\b\nExample:\n  {EXAMPLE}")
@listing("--only", ONLY, "all")
@option("--bench", "The bench, or a file that defines one.", "vit101", "NAME|FILE.py")
@option("--space", "The space of the networks.", "the bench's first", "NAME")
@option("--architectures", "How many networks, at most.", "200", type=NUMBER)
@option("--repeats", "How often everything is repeated.", "5", type=NUMBER)
@option("--evaluations", "Distinct candidates of a whole run.", "10000", type=NUMBER)
@option("--jobs", "Processes, where there are several.", "2", type=NUMBER)
@option("--seed", "Seed of candidates, runs and networks.", "0", type=click.IntRange(min=0))
@option("--cache", "Where statistics are kept.", "AUTOPROX_CACHE, or your cache folder", "DIR")
@json_option
@quiet_option
@click.pass_context
def speed(ctx: click.Context, /, json_file: str | None, quiet: bool, **options: Any) -> None:
    """Compare what discovery costs with other ways of doing it.

    All ways take turns on this machine, again and again; the figures are medians. Measures the
    networks first where the cache lacks them. Takes minutes; Ctrl-C ends it with the repetitions
    that are complete.
    """
    from autoprox.timing.run import speed as run_speed

    begun = time.monotonic()
    try:
        with counting(quiet) as progress:
            measured = run_speed(progress=progress, **given_only(options))
    except KeyboardInterrupt:
        click.echo(
            "interrupted before a repetition was complete; the cache keeps what was measured",
            err=True,
        )
        ctx.exit(INTERRUPTED)
    if not put_json(measured.to_json(), json_file):
        print_speed(measured, time.monotonic() - begun, console())
    if not measured.finished:
        repeats = measured.settings["repeats"]
        click.echo(f"interrupted after {measured.repeats} of {repeats} repetitions", err=True)
        ctx.exit(INTERRUPTED)


def print_speed(measured: Speed, seconds: float, out: Console) -> None:
    """Print what was found for a reader."""
    machine, settings = measured.machine, measured.settings
    out.print(
        f"{machine['processor']}, {machine['cores']} cores, torch {machine['torch']}; "
        f"{settings['architectures']} networks of {settings['bench']}/{settings['space']}, "
        f"medians of {measured.repeats}, {readable_seconds(seconds)}",
        soft_wrap=True,
    )
    shown = table(["", "one way", "another way"], ["times as fast"])
    for pair in measured.comparisons:
        low, high = map(_readable, pair.ratio_range)
        shown.add_row(
            f"{pair.name}\n{pair.title}",
            _cell(pair.first, pair.unit),
            _cell(pair.second, pair.unit),
            f"{_readable(pair.ratio)}\n{low} to {high}",
        )
    out.print(shown)
    for note in dict.fromkeys(note for pair in measured.comparisons for note in pair.notes):
        out.print(note, soft_wrap=True)


def _cell(figures: TimedWay, unit: str) -> str:
    return f"{figures.label}\n{_readable(figures.figure)} {unit}"


def _readable(figure: float) -> str:
    """Return a positive number with three digits that count.

    >>> _readable(123456.7), _readable(12.345), _readable(0.00045)
    ('123,457', '12.3', '0.00045')
    """
    return f"{figure:,.0f}" if figure >= 100 else f"{figure:.3g}"

"""``autoprox compare``: runs beside each other."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import click

from autoprox.assessment.wording import MINUS, figure, short_interval
from autoprox.cli.counting import counting
from autoprox.cli.options import (
    PATH,
    cache_option,
    console,
    cores,
    json_option,
    option,
    put_json,
)
from autoprox.cli.tables import grid, print_figures, table

if TYPE_CHECKING:
    from rich.console import Console

    from autoprox.runs.comparing import Difference, RunsComparison

EXAMPLE = "autoprox compare runs/vit101-default-0 runs/vit101-emq-0"
BENCH = "Of runs on a bench in a file: the file."
TEACHER = "Of runs with a teacher that a file makes: the file and its function."
ALONE = 5
"""How many formulas are shown that one run has alone."""


@click.command(epilog=f"\b\nExample:\n  {EXAMPLE}")
@click.argument("runs", nargs=-1, required=True, metavar="RUN RUN…", type=PATH)
@option("--bench", BENCH, metavar="FILE.py")
@option("--teacher", TEACHER, metavar="FILE.py:FUNCTION")
@option("--jobs", "Processes, where the cache lacks something.", "number of cores",
        type=click.IntRange(min=1))  # fmt: skip
@cache_option
@json_option
def compare(
    runs: tuple[str, ...],
    bench: str | None,
    teacher: str | None,
    jobs: int | None,
    cache: str | None,
    json_file: str | None,
) -> None:
    """Compare runs: settings, figures and formulas.

    The best proxy of each run, by its own search split, is ranked on the architectures that all of
    the runs held out, with paired intervals of the differences. Of several runs in one folder the
    picked one is taken.
    """
    from autoprox.runs.comparing import compare as compare_runs

    with counting(quiet=False) as progress:
        comparison = compare_runs(
            runs,
            bench=bench or "",
            teacher=teacher,
            jobs=jobs or cores(),
            cache=cache,
            progress=progress,
        )
    if not put_json(comparison.to_json(), json_file):
        print_comparison(comparison, runs, bench or "", console())


def print_comparison(
    comparison: RunsComparison, folders: Sequence[str], bench: str, out: Console
) -> None:
    """Print a comparison of the runs in some folders; `bench` is what ``--bench`` names."""
    from autoprox.runs.folder import bench_words

    if comparison.settings:
        out.print("Settings that differ:")
        shown = table(["", *(run.name for run in comparison.runs)])
        for name, values in comparison.settings.items():
            shown.add_row(name, *map(_value, values))
        out.print(shown)
    else:
        out.print("The settings are the same.\n")
    _print_figures(comparison, out)
    out.print("\nFormulas among the best of one run that no other run judged:")
    for run in comparison.runs:
        out.print(f"  {run.name}: {len(run.alone)} of {run.best}")
        for text in run.alone[:ALONE]:
            out.print(f"    {text}", soft_wrap=True)
        if (more := len(run.alone) - ALONE) > 0:
            out.print(f"    and {more} more (all: --json FILE)")
    lacking = "" if find_spec("matplotlib") else " (needs pip install matplotlib)"
    out.print(f"\nTheir fronts in one picture{lacking}:")
    words = ["draw", "pareto", *folders, *bench_words(bench), "-o", "fronts.svg"]
    out.print(f"  {shlex.join(['autoprox', *words])}", soft_wrap=True)


def _value(value: Any) -> str:
    """Return the value of a setting; the settings of another run are too long."""
    if isinstance(value, dict):
        shown = (f"{key} {part}" for key, part in value.items() if key in ("bench", "seed"))
        return ", ".join(shown) or str(value)
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    return "-" if value is None else str(value)


def _print_figures(comparison: RunsComparison, out: Console) -> None:
    """Print what the best proxies are worth where no search saw."""
    if comparison.reason is not None:
        out.print(f"The best proxies cannot be compared: {comparison.reason}.", soft_wrap=True)
        return
    sizes = ", ".join(f"{number} of {space}" for space, number in comparison.architectures.items())
    out.print(f"The best proxy of each run on what all of them held out ({sizes}):", soft_wrap=True)
    rows = [
        (run.name, str(run.nodes), figure(run.search), figure(run.joint),
         short_interval(run.joint_interval))
        for run in comparison.runs
    ]  # fmt: skip
    print_figures(out, ["run", "nodes", "search D", "joint D", "95 %"], rows)
    for run in comparison.runs:
        if run.failure is not None:
            out.print(f"{run.name} has no score: {run.failure}", soft_wrap=True)
    for difference in comparison.differences:
        out.print(difference_in_words(difference), soft_wrap=True)
    out.print("\nThe formulas:")
    out.print(grid((f"  {run.name}", run.expression) for run in comparison.runs))


def difference_in_words(difference: Difference) -> str:
    """Say how far two proxies are from each other, and whether that is more than chance."""
    where = "above" if difference.difference >= 0 else "below"
    ends = " to ".join(figure(end, "+.3f", MINUS) for end in difference.interval)
    sentence = (
        f"{difference.first} is {abs(difference.difference):.3f} {where} {difference.second} "
        f"(95 % {ends}, paired)"
    )
    if difference.decided:
        return f"{sentence}."
    return f"{sentence}: these architectures do not tell the two apart."

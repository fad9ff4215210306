"""The tables at the end of a run: held-out figures, beside those of the trivial baselines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from autoprox.assess import BASELINES, Assessment, Correlation
from autoprox.wording import (
    code,
    difference_in_words,
    figure,
    interval_text,
    mean_correlation,
)

if TYPE_CHECKING:
    from autoprox.evolution.run import Run
    from autoprox.evolution.settings import Settings

BESIDE_FORMULA = 56
"""How many characters of a line the figures beside a formula take."""

FILES = {
    "best.json": "the best proxy",
    "report.json": "every figure of this report",
    "candidates.jsonl": "every candidate",
    "generations.csv": "how the search went",
}


def print_report(run: Run, taken: str, console: Console) -> None:
    """Print what a run found; `taken` says how long that took."""
    for line in _settings(run, taken):
        console.print(line, soft_wrap=True)
    console.print()
    _print_part(console, "Held out: architectures that the search never saw", run, run.held_out)
    if run.transfer:
        console.print()
        _print_part(console, "Transfer: spaces that the search never saw", run, run.transfer)
    console.print()
    console.print("The formula of the best (top 1):")
    console.print(f"  {run.best.graph.text}", soft_wrap=True)
    if run.settings.seed_proxies:
        what = f"the seed proxy {run.best_seed}" if run.best_seed else "none of the seed proxies"
        console.print(f"It is {what}.", soft_wrap=True)
    console.print()
    console.print(f"Written to {run.folder}, for autoprox show and, as a page, autoprox report:")
    for name, what in FILES.items():
        console.print(f"  {name:17}{what}")
    console.print()
    console.print("To use it:")
    lines = code(str(run.folder), run.best.needs_bits).splitlines()
    for line in filter(None, lines):
        console.print(f"  {line}", soft_wrap=True)


def _settings(run: Run, taken: str) -> list[str]:
    """Return what was asked for, in lines."""
    asked = run.settings
    alone = len(run.benches) == 1
    where = [f"bench {asked.bench}" if alone else f"benches {asked.bench}, which count the same"]
    drawn = f"{asked.architectures} architectures" + ("" if alone else " of each bench")
    where += [f"{drawn} drawn"] if asked.architectures else []
    where += [f"spaces {', '.join(asked.spaces)}"] if asked.spaces else []
    where += [f"targets {', '.join(asked.targets)}"] if asked.targets else []
    how = [f"algorithm {asked.algorithm}", f"{asked.evaluations} candidates", f"seed {asked.seed}"]
    how += ["full tensors" if asked.sample == "full" else f"{asked.sample} entries a tensor"]
    how += [f"split seed {asked.split_seed}", f"held-out share {asked.held_out:g}"]
    started = [f"seed proxies {', '.join(asked.seed_proxies)}"] if asked.seed_proxies else []
    end = "finished" if run.finished else "stopped before its end"
    return ["  ".join(where), "  ".join(how), *started, f"{end} {taken}"]


def _print_part(console: Console, title: str, run: Run, rows: Sequence[Assessment]) -> None:
    """Print the assessments on one part of the bench."""
    sizes = ", ".join(f"{number} of {name}" for name, number in _sizes(rows).items())
    console.print(f"{title} ({sizes})" if sizes else title)
    apart = run.benches if len(run.benches) > 1 else ()
    on_search = {each.name: each for each in run.search}
    console.print(joint_table(rows, on_search, console.width, run.settings, apart))
    for table in column_tables(rows, console.width):
        console.print(table)
    console.print(
        Padding(Text(difference_in_words(rows, run.settings.joint)), (1, 0, 0, 0), expand=False)
    )


def _columns(rows: Sequence[Assessment]) -> tuple[Correlation, ...]:
    """Return the correlations of some row that has any: they name the columns."""
    return next((row.correlations for row in rows if row.correlations), ())


def _sizes(rows: Sequence[Assessment]) -> dict[str, int]:
    """Return the number of architectures of each space."""
    sizes: dict[str, int] = {}
    for correlation in _columns(rows):
        space = correlation.column.rpartition("/")[0]
        sizes[space] = max(sizes.get(space, 0), correlation.architectures)
    return sizes


def joint_table(
    rows: Sequence[Assessment],
    search: dict[str, Assessment],
    width: int,
    settings: Settings,
    benches: Sequence[str] = (),
) -> Table:
    """Return the table of the joint correlations: proxies, then baselines.

    Args:
        rows: assessments on one part.
        search: those on the search part, by the proxy's name.
        width: of the table, in characters.
        settings: the run's.
        benches: their names if they are several: the mean over the columns of each is shown.
    """
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("", no_wrap=True)
    joint = settings.joint

    def mean(row: Assessment, bench: str) -> float | None:
        return mean_correlation(row, bench, settings.measure)

    benches = [name for name in benches if any(mean(row, name) is not None for row in rows)]
    apart = [f"mean {settings.symbol}\n{name}" for name in benches]
    for heading in ("nodes", joint, "95 % interval", *apart, f"{joint}\nsearch", "formula"):
        side: Literal["left", "right"] = "left" if heading == "formula" else "right"
        table.add_column(heading, justify=side, no_wrap=True)
    beside = BESIDE_FORMULA + sum(
        2 + max(len(f"mean {settings.symbol}"), len(name)) for name in benches
    )
    room = max(2, width - beside - max(len(row.name) for row in rows))
    for place, row in enumerate(rows):
        ends = (
            place + 1 < len(rows)
            and row.name not in BASELINES
            and rows[place + 1].name in BASELINES
        )
        formula = row.expression if row.failure is None else f"no score: {row.failure}"
        table.add_row(
            row.name,
            str(row.complexity),
            figure(row.joint),
            interval_text(row.joint_interval),
            *(figure(mean(row, name)) for name in benches),
            figure(search[row.name].joint) if row.name in search else "-",
            formula if len(formula) <= room else formula[: room - 1] + "…",
            end_section=ends,
        )
    return table


def column_tables(rows: Sequence[Assessment], width: int) -> list[Table]:
    """Return τ, and Spearman's rho beside it, for every column; several tables if they are many."""
    names = [each.column for each in _columns(rows)]
    cell = 2 + max(
        (len(part) for name in [*names, "0.00 (0.00)"] for part in name.split("/")), default=0
    )
    fitting = max(1, (width - 10) // cell)
    return [
        _column_table(rows, names[start : start + fitting], start)
        for start in range(0, len(names), fitting)
    ]


def _column_table(rows: Sequence[Assessment], names: Sequence[str], start: int) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("τ (ρ)", no_wrap=True)  # noqa: RUF001
    for name in names:
        table.add_column(name.replace("/", "\n"), justify="right", no_wrap=True)
    for place, row in enumerate(rows):
        ends = (
            place + 1 < len(rows)
            and row.name not in BASELINES
            and rows[place + 1].name in BASELINES
        )
        cells = [f"{c.kendall:.2f} ({c.spearman:.2f})" for c in row.correlations]
        shown = cells[start : start + len(names)] or ["-"] * len(names)
        table.add_row(row.name, *shown, end_section=ends)
    return table

"""The tables at the end of a run: held-out figures, beside those of the known proxies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from autoprox.assessment.assess import Assessment
from autoprox.assessment.wording import (
    EXPLAINED_USE,
    code,
    difference_in_words,
    figure,
    luck_in_words,
    mean_correlation,
    ties_in_words,
)
from autoprox.ranking import SYMBOLS
from autoprox.ranking.figures import ColumnFigures

if TYPE_CHECKING:
    from autoprox.evolution.record import Run
    from autoprox.evolution.settings import Settings

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
    console.print(luck_in_words(run.luck, run.null, run.settings.joint))
    if run.elsewhere:
        console.print()
        _print_elsewhere(console, run)
    console.print()
    console.print("The formulas, by their rank on the search split:")
    for row in run.held_out:
        if not row.known:
            console.print(f"  {row.name:8}{row.expression}", soft_wrap=True)
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


def _print_elsewhere(console: Console, run: Run) -> None:
    """Say which known proxies are not in the tables, and how to rank them."""
    from autoprox.show.page.command import rank_command

    needed = f"{', '.join(run.elsewhere)}"
    console.print(f"Not in the tables, for they need other statistics or full tensors: {needed}.")
    command = rank_command(run.settings, [*run.elsewhere, str(run.folder)])
    console.print(f"  {command}", soft_wrap=True)


def _settings(run: Run, taken: str) -> list[str]:
    """Return what was asked for, in lines."""
    asked = run.settings
    alone = not run.benches
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
    on_search = {each.name: each for each in run.search}
    console.print(joint_table(rows, on_search, run.settings, run.benches))
    console.print(EXPLAINED_USE)
    for table in column_tables(rows, console.width, run.settings):
        console.print(table)
    for text in (difference_in_words(rows, run.settings.joint), *ties_in_words(rows)):
        console.print(Padding(Text(text), (1, 0, 0, 0), expand=False))


def _columns(rows: Sequence[Assessment]) -> tuple[ColumnFigures, ...]:
    """Return the figures of some row that has any: they name the columns."""
    return next((row.columns for row in rows if row.columns), ())


def _sizes(rows: Sequence[Assessment]) -> dict[str, int]:
    """Return the number of architectures of each space."""
    sizes: dict[str, int] = {}
    for each in _columns(rows):
        space = each.column.rpartition("/")[0]
        sizes[space] = max(sizes.get(space, 0), each.architectures)
    return sizes


def joint_table(
    rows: Sequence[Assessment],
    search: dict[str, Assessment],
    settings: Settings,
    benches: Sequence[str] = (),
) -> Table:
    """Return the table of the joint correlations: proxies, then known ones.

    Args:
        rows: assessments on one part.
        search: those on the search part, by the proxy's name.
        settings: the run's.
        benches: their names if they are several: the mean over the columns of each is shown.
    """
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("", no_wrap=True)

    def mean(row: Assessment, bench: str) -> float | None:
        return mean_correlation(row, bench, settings.measure)

    benches = [name for name in benches if any(mean(row, name) is not None for row in rows)]
    others = {name: symbol for name, symbol in SYMBOLS.items() if name != settings.measure}
    headings = ["nodes", settings.joint, "95 %"]
    headings += [f"mean {settings.symbol}\n{name}" for name in benches]
    headings += ["search", *others.values(), "lost", "of 5", "top\n10 %"]
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    for place, row in enumerate(rows):
        if row.failure is not None:
            table.add_row(row.name, str(row.complexity), "-", f"no score: {row.failure}")
            continue
        table.add_row(
            row.name,
            str(row.complexity),
            figure(row.joint),
            _short(row.joint_interval),
            *(figure(mean(row, name)) for name in benches),
            figure(search[row.name].joint) if row.name in search else "-",
            *(_said(row.mean(name), ".2f") for name in others),
            _said(row.mean("top1_regret"), ".2f"),
            _said(row.mean("top5_regret"), ".2f"),
            _said(row.mean("top_share"), ".0%"),
            end_section=_ends_found(rows, place),
        )
    return table


def _short(interval: tuple[float, float] | None) -> str:
    return "-" if interval is None else "{:.2f} … {:.2f}".format(*interval)


def _said(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _ends_found(rows: Sequence[Assessment], place: int) -> bool:
    """Say whether the known proxies begin behind a row."""
    return place + 1 < len(rows) and not rows[place].known and rows[place + 1].known


def column_tables(rows: Sequence[Assessment], width: int, settings: Settings) -> list[Table]:
    """Return the correlation with every column, and Spearman's rho, in as many tables as fit."""
    names = [each.column for each in _columns(rows)]
    cell = 2 + max(
        (len(part) for name in [*names, "0.00 (0.00)"] for part in name.split("/")), default=0
    )
    fitting = max(1, (width - 10) // cell)
    return [
        _column_table(rows, names[start : start + fitting], start, settings)
        for start in range(0, len(names), fitting)
    ]


def _column_table(
    rows: Sequence[Assessment], names: Sequence[str], start: int, settings: Settings
) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(f"{settings.symbol} (ρ)", no_wrap=True)  # noqa: RUF001
    for name in names:
        table.add_column(name.replace("/", "\n"), justify="right", no_wrap=True)
    for place, row in enumerate(rows):
        cells = [
            f"{each.correlation(settings.measure):.2f} ({each.spearman:.2f})"
            for each in row.columns
        ]
        shown = cells[start : start + len(names)] or ["-"] * len(names)
        table.add_row(row.name, *shown, end_section=_ends_found(rows, place))
    return table

"""The tables at the end of a run: held-out figures, beside those of the known proxies."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from autoprox.assessment.assess import Assessment
from autoprox.assessment.wording import (
    EXPLAINED_PARTIAL,
    EXPLAINED_USE,
    best_first,
    code,
    difference_in_words,
    figure,
    luck_in_words,
    mean_correlation,
    reservations_in_words,
    short_interval,
    sizes_in_words,
)
from autoprox.cli.tables import print_figures, print_pairs, print_partial
from autoprox.evolution.base import PARSIMONY
from autoprox.ranking import SYMBOLS
from autoprox.ranking.figures import ColumnFigures

if TYPE_CHECKING:
    from autoprox.evolution.settings import Settings
    from autoprox.runs.record import Run

FILES = {
    "best.json": "the best proxy",
    "report.json": "every figure of this report",
    "candidates.jsonl": "every candidate",
    "generations.csv": "how the search went",
}


REGRETS = ("top1_regret", "top5_regret")
"""The figures of use in the unit of the target."""


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
    console.print(luck_in_words(run.luck, run.null, run.settings.joint, run.no_luck))
    if run.elsewhere:
        _print_elsewhere(console, run)
    less = f"less {PARSIMONY:g} for each node"
    console.print(f"\nThe formulas, in the order of their fitness on the search split {less}:")
    for row in run.held_out:
        if not row.known:
            console.print(f"  {row.name:8}{row.expression}", soft_wrap=True)
    if run.settings.seed_proxies:
        best = f"the seed proxy {run.best_seed}" if run.best_seed else "none of the seed proxies"
        console.print(f"It is {best}.", soft_wrap=True)
    console.print(f"\nWritten to {run.folder}:", soft_wrap=True)
    for name, content in FILES.items():
        console.print(f"  {name:17}{content}")
    console.print("\nNext:")
    for command, purpose in _next(run):
        console.print(f"  {command}  # {purpose}", soft_wrap=True)
    console.print("\nTo use the best proxy:")
    lines = code(str(run.folder), run.best.needs_bits, run.settings.bench).splitlines()
    for line in filter(None, lines):
        console.print(f"  {line}", soft_wrap=True)


def _next(run: Run) -> list[tuple[str, str]]:
    """Return the commands that a reader may want next, and what each is for."""
    from autoprox.runs.folder import bench_words, resume_words
    from autoprox.show.page.command import settings_options

    folder, bench, teacher = str(run.folder), run.settings.bench, run.settings.teacher
    named = [folder, *bench_words(bench)]
    commands = [(["report", *named], "the run as a page"), (["show", *named], "the best proxy")]
    shuffles = run.settings.over in (None, "mean") and run.settings.begins_anew  # no other can be
    if run.null is None and shuffles:
        luck = [*resume_words(run.folder, bench, teacher), "--permutations", "20"]
        commands.append((luck, "what luck alone finds"))
    if not run.settings.started_from:
        several = settings_options(replace(run.settings, seed=0, split_seed=0))
        several += ["--seeds", "5", "--split-seed", str(run.settings.split_seed)]
        commands.append((["evolve", *several], "five searches on this split, and the best of them"))
    return [(shlex.join(["autoprox", *words]), purpose) for words, purpose in commands]


def _print_elsewhere(console: Console, run: Run) -> None:
    """Say which known proxies are not in the tables, and how to rank them."""
    from autoprox.show.page.command import rank_commands

    needed = ", ".join(run.elsewhere)
    console.print(f"\nNot in the tables, for they need other statistics or full tensors: {needed}.")
    for command in rank_commands(run, [*run.elsewhere, str(run.folder)]):
        console.print(f"  {command}", soft_wrap=True)


def _settings(run: Run, taken: str) -> list[str]:
    """Return what was asked for, in lines."""
    settings = run.settings
    benches = run.benches or (settings.bench,)
    where = [f"bench{'es' * (len(benches) > 1)} {', '.join(benches)}"]
    where[0] += ", which count the same" if len(benches) > 1 else ""
    where += [f"left out: {', '.join(settings.leave_out)}"] if settings.leave_out else []
    drawn = f"{settings.architectures} architectures"
    drawn += " of each bench" if run.benches else ""
    where += [f"{drawn} drawn"] if settings.architectures else []
    where += [f"spaces {', '.join(settings.spaces)}"] if settings.spaces else []
    where += [f"targets {', '.join(settings.targets)}"] if settings.targets else []
    of_families = len(benches) > 1 or settings.over not in (None, "mean")
    where += [f"fitness over them: {settings.over}"] if of_families else []
    where += ["small formulas"] if settings.formulas == "small" else []
    judged = f"{run.evaluations} of " if run.evaluations != settings.evaluations else ""
    how = [
        f"algorithm {settings.algorithm}",
        f"{judged}{settings.evaluations} candidates",
        f"seed {settings.seed}",
    ]
    how += ["full tensors" if settings.sample == "full" else f"{settings.sample} entries a tensor"]
    how += [f"split seed {settings.split_seed}", f"held-out share {settings.held_out_share:g}"]
    started = [f"seed proxies {', '.join(settings.seed_proxies)}"] if settings.seed_proxies else []
    end = "finished" if run.finished else "stopped before its end"
    return ["  ".join(where), "  ".join(how), *started, f"{end} {taken}"]


def _print_part(console: Console, title: str, run: Run, rows: Sequence[Assessment]) -> None:
    """Print the assessments on one part of the bench."""
    rows = best_first(rows)
    console.print(f"{title}{sizes_in_words(rows)}")
    on_search = {row.name: row for row in run.search}
    last = sum(not row.known for row in rows) - 1
    headings, lines = joint_figures(rows, on_search, run.settings, run.benches)
    print_figures(console, headings, lines, ends=last)
    console.print(EXPLAINED_USE)
    titles, names = (run.settings.symbol, "ρ"), [column.column for column in _columns(rows)]  # noqa: RUF001
    print_pairs(
        console, titles, names, [(row.name, _pairs(row, run.settings)) for row in rows], last
    )
    print_partial(console, [(row.name, row.columns) for row in rows], ends=last)
    if any(column.partial is not None for column in _columns(rows)):
        console.print(EXPLAINED_PARTIAL)
    for row in rows:
        if row.failure is not None:
            console.print(f"{row.name} has no score: {row.failure}", soft_wrap=True)
    for text in (difference_in_words(rows, run.settings.joint), *reservations_in_words(rows)):
        console.print(Padding(Text(text), (1, 0, 0, 0), expand=False))


def _columns(rows: Sequence[Assessment]) -> tuple[ColumnFigures, ...]:
    """Return the figures of some row that has any: they name the columns."""
    return next((row.columns for row in rows if row.columns), ())


def joint_figures(
    rows: Sequence[Assessment],
    search: dict[str, Assessment],
    settings: Settings,
    benches: Sequence[str] = (),
) -> tuple[list[str], list[list[str]]]:
    """Return the headings and rows of the joint correlations.

    Args:
        rows: assessments on one part.
        search: those on the search part, by the proxy's name.
        settings: the run's.
        benches: their names if they are several: the mean over the columns of each is shown, and
            each counts the same in the other figures.
    """

    def mean(row: Assessment, bench: str) -> float | None:
        return mean_correlation(row, bench, settings.measure)

    by_bench = bool(benches)
    benches = [name for name in benches if any(mean(row, name) is not None for row in rows)]
    others = {name: symbol for name, symbol in SYMBOLS.items() if name != settings.measure}
    headings = ["", settings.joint, "95 %", "nodes"]
    headings += [f"mean {settings.symbol}\n{name}" for name in benches]
    headings += ["search", *others.values(), "lost", "of 5", "top\n10 %"]
    lines = [
        [
            row.name,
            figure(row.joint),
            short_interval(row.joint_interval),
            str(row.complexity),
            *(figure(mean(row, name)) for name in benches),
            figure(search[row.name].joint) if row.name in search else "-",
            *(figure(row.mean(name, by_bench=by_bench), ".2f") for name in (*others, *REGRETS)),
            figure(row.mean("top_share", by_bench=by_bench), ".0%"),
        ]
        for row in rows
    ]
    return headings, lines


def _pairs(row: Assessment, settings: Settings) -> list[tuple[str, str]]:
    """Return a row's correlation with every column, and Spearman's rho."""
    return [
        (figure(figures.correlation(settings.measure), ".2f"), figure(figures.spearman, ".2f"))
        for figures in row.columns
    ]

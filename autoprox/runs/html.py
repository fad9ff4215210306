"""How a run shows itself in a notebook."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from autoprox.assessment.assess import Assessment
from autoprox.assessment.wording import (
    best_first,
    difference_in_words,
    figure,
    interval_text,
    luck_in_words,
)
from autoprox.evolution.base import RULE
from autoprox.runtime.markup import join, table, tag

if TYPE_CHECKING:
    from autoprox.ranking.medians import Median
    from autoprox.runs.record import Run
    from autoprox.runs.several_record import Runs


def run_html(run: Run) -> str:
    """Return what a run found on the held-out architectures, beside the known proxies."""
    asked = run.settings
    if not run.held_out:
        state = (
            f"{run.title}: stopped before it could assess anything, or still going. Best so far:"
        )
        return join([tag("p", state, " ", tag("code", run.best_text))])
    columns = next(([c.column for c in row.columns] for row in run.held_out), [])
    on_search = {row.name: row.joint for row in run.search}
    left_out = f" ({', '.join(asked.leave_out)} left out)" if asked.leave_out else ""
    caption = (
        f"{', '.join(run.benches) or asked.bench}{left_out}, held out: "
        f"algorithm {asked.algorithm}, {run.evaluations} candidates, seed {asked.seed}; "
        f"{'finished' if run.finished else 'stopped before its end'}"
    )
    headings = (
        "",
        "nodes",
        asked.joint,
        "95 % interval",
        f"{asked.joint}, search",
        "lost by the best score, by the best of five",
        *columns,
        "formula",
    )
    rows = (_cells(row, on_search.get(row.name), columns, run) for row in best_first(run.held_out))
    shown = table(caption, headings, rows)
    notes = [
        difference_in_words(run.held_out, asked.joint),
        luck_in_words(run.luck, run.null, asked.joint, run.no_luck),
        f"{asked.symbol}, and Spearman's ρ in brackets. Written to {run.folder}.",  # noqa: RUF001
    ]
    return join([shown, *(tag("p", text) for text in notes)])


def _cells(row: Assessment, on_search: float | None, columns: Sequence[str], run: Run) -> list[str]:
    """Return the row of a table that shows an assessment of a run."""
    measure, by_bench = run.settings.measure, bool(run.benches)
    by_column = {
        c.column: f"{figure(c.correlation(measure), '.2f')} ({figure(c.spearman, '.2f')})"
        for c in row.columns
    }
    lost, few = (row.mean(name, by_bench=by_bench) for name in ("top1_regret", "top5_regret"))
    return [
        row.name,
        str(row.complexity),
        figure(row.joint),
        interval_text(row.joint_interval),
        figure(on_search),
        "-" if lost is None or few is None else f"{lost:.2f}, {few:.2f}",
        *(by_column.get(name, "-") for name in columns),
        row.expression if row.failure is None else f"no score: {row.failure}",
    ]


def runs_html(runs: Runs) -> str:
    """Return what several runs found: their figures with medians, and the proxy that is picked."""
    if not runs.reported:
        return join([tag("p", f"{runs.title}: none of them is finished yet.")])
    headings = ["run", "search", "held out", "95 % interval", "over the best known", "nodes"]
    rows = [
        [
            row["run"],
            figure(row["search"]),
            figure(row["held_out"]),
            interval_text(
                None if row["held_out_low"] is None else (row["held_out_low"], row["held_out_high"])
            ),
            figure(row["over_best_known"]),
            str(row["nodes"]),
            row["expression"],
        ]
        for row in runs.rows()
    ]
    middle = [median_text(runs.medians.get(name)) for name in ("search", "held_out")]
    gain = median_text(runs.medians.get("over_best_known"))
    rows.append(["median", *middle, "", gain, "", ""])
    shown = table(runs.title, [*headings, "formula"], rows)
    picked = f"Picked: {runs.best.graph.text} of {runs.pick}: {RULE}. Written to {runs.folder}."
    return join([shown, tag("p", picked)])


def median_text(value: Median | None) -> str:
    """Return a median with its interval, or a dash."""
    if value is None:
        return "-"
    return f"{figure(value.middle)} ({figure(value.low)} to {figure(value.high)})"

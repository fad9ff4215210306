"""How a run and a leaderboard show themselves in a notebook: small tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from autoprox.markup import Markup, join, tag

if TYPE_CHECKING:
    from autoprox.assess import Assessment
    from autoprox.evolution.report import Run
    from autoprox.leaderboard.board import Leaderboard, Row


def table(caption: str, headings: Sequence[str], rows: Iterable[Sequence[str]]) -> Markup:
    """Return a table of texts; the parts of a column's name, ``space/target``, are lines."""
    heads = [join(_lines(heading.split("/"))) for heading in headings]
    lines = [tag("tr", *(tag("td", cell) for cell in row)) for row in rows]
    head = tag("tr", *(tag("th", heading) for heading in heads))
    return tag("table", tag("caption", caption), head, *lines)


def _lines(parts: Sequence[str]) -> Iterable[str]:
    for place, part in enumerate(parts):
        yield from (Markup("<br>"), part) if place else (part,)


def leaderboard_html(board: Leaderboard) -> str:
    """Return a leaderboard as a table, with what a reader has to know of single proxies."""
    from autoprox.leaderboard.board import TITLES, cells_of

    def cells(row: Row) -> list[str]:
        own = {each.column: f"{each.somers:.2f}" for each in row.columns}
        return [*cells_of(row), *(own.get(name, "-") for name in board.columns)]

    part = "held-out architectures" if board.settings["held_out"] else "architectures"
    caption = f"{board.bench}: {len(board.architectures)} {part}, {len(board)} proxies"
    notes = [*board.footnotes.values()]
    notes += [f"{row.name}: {row.reason.partition(chr(10))[0]}" for row in board if row.reason]
    shown = table(caption, (*TITLES, *board.columns), map(cells, board))
    return join([shown, *(tag("p", note) for note in notes)])


def run_html(run: Run) -> str:
    """Return what a run found on the held-out architectures, beside the known proxies."""
    from autoprox.wording import difference_in_words, figure, interval_text, luck_in_words

    asked = run.settings
    columns = next(([c.column for c in row.columns] for row in run.held_out), [])
    on_search = {row.name: row.joint for row in run.search}

    def cells(row: Assessment) -> list[str]:
        own = {
            c.column: f"{c.correlation(asked.measure):.2f} ({c.spearman:.2f})" for c in row.columns
        }
        lost, few = row.mean("top1_regret"), row.mean("top5_regret")
        return [
            row.name,
            str(row.complexity),
            figure(row.joint),
            interval_text(row.joint_interval),
            figure(on_search.get(row.name)),
            "-" if lost is None or few is None else f"{lost:.2f}, {few:.2f}",
            *(own.get(name, "-") for name in columns),
            row.expression if row.failure is None else f"no score: {row.failure}",
        ]

    caption = (
        f"{asked.bench}, held out: algorithm {asked.algorithm}, {asked.evaluations} candidates, "
        f"seed {asked.seed}; {'finished' if run.finished else 'stopped before its end'}"
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
    shown = table(caption, headings, map(cells, run.held_out))
    told = [
        difference_in_words(run.held_out, asked.joint),
        luck_in_words(run.luck, run.null, asked.joint),
        f"{asked.symbol}, and Spearman's ρ in brackets. Written to {run.folder}.",  # noqa: RUF001
    ]
    return join([shown, *(tag("p", text) for text in told)])

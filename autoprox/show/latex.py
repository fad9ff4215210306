"""Tables for papers: LaTeX with booktabs, intervals, the best in bold, and how it was measured.

The texts need the packages booktabs, amsmath and graphicx, and no other: a table that is wider than
the text around is made smaller.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from autoprox import __version__
from autoprox.assessment.assess import Assessment
from autoprox.assessment.wording import (
    EXPLAINED_USE,
    best_first,
    counted,
    difference_in_words,
    figure,
    half_width,
    sizes_in_words,
)
from autoprox.benches import several
from autoprox.benches.registry import known_bench
from autoprox.errors import RunError
from autoprox.leaderboard.board import Leaderboard, LeaderboardRow
from autoprox.ranking.figures import ColumnFigures, Interval
from autoprox.runs.record import Run
from autoprox.statistics import STATISTICS

_ESCAPED = {
    **{mark: f"\\{mark}" for mark in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "τ": r"$\tau$",
    "ρ": r"$\rho$",  # noqa: RUF001
    "…": r"\dots{}",
}

NEEDED = "% needs \\usepackage{booktabs,amsmath,graphicx}\n"

FITTED = r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}"
"""Before a group: makes it as wide as the text around if it is wider."""

_NEGATIVE = re.compile(r"(?<![\w.)])-(\d*\.?\d+)")


def escaped(text: str) -> str:
    r"""Return a text as LaTeX that shows it.

    >>> print(escaped("50 % of auto_prox"))
    50 \% of auto\_prox
    """
    return "".join(_ESCAPED.get(mark, mark) for mark in text)


@dataclass(frozen=True)
class LatexCell:
    """A figure of a table.

    Attributes:
        value: the number; None if there is none.
        text: as LaTeX, in math mode where it has signs.
    """

    value: float | None
    text: str


@dataclass(frozen=True)
class LatexColumn:
    """A column of figures.

    Attributes:
        heading: as LaTeX.
        cells: one for each row.
        best: picks the best of its numbers, which is bold; None for a column that has none.
        align: ``r`` or ``l``, as of a tabular.
    """

    heading: str
    cells: tuple[LatexCell, ...]
    best: Callable[[Iterable[float]], float] | None = max
    align: str = "r"


def booktabs(
    names: Sequence[str],
    columns: Sequence[LatexColumn],
    caption: str,
    label: str,
    *,
    ends: int | None = None,
) -> str:
    """Return a table over both columns of the page, as LaTeX.

    Args:
        names: of the rows, as LaTeX.
        columns: their figures.
        caption: as LaTeX.
        label: for references to it.
        ends: the number of the row behind which a section ends.
    """
    shown = [_cells(column) for column in columns]
    lines = []
    for place, name in enumerate(names):
        cells = (name, *(column[place] for column in shown))
        lines.append(f"{' & '.join(cells)} \\\\")
        lines += [r"\midrule"] if place == ends and place + 1 < len(names) else []
    head = " & ".join(("", *(column.heading for column in columns)))
    return "\n".join(
        (
            r"\begin{table*}",
            r"\centering\small\setlength{\tabcolsep}{3pt}\setlength{\belowcaptionskip}{4pt}",
            rf"\caption{{{caption}}}",
            rf"\label{{{label}}}",
            rf"{FITTED}{{\begin{{tabular}}{{l{''.join(column.align for column in columns)}}}",
            r"\toprule",
            rf"{head} \\",
            r"\midrule",
            *lines,
            r"\bottomrule",
            r"\end{tabular}}",
            r"\end{table*}",
            "",
        )
    )


def _cells(column: LatexColumn) -> list[str]:
    """Return the texts of a column, those that show the best number in bold."""
    values = [cell.value for cell in column.cells if cell.value is not None]
    if column.best is None or not values:
        return [cell.text for cell in column.cells]
    best = column.best(values)
    bold = {cell.text for cell in column.cells if cell.value == best}
    return [
        rf"\textbf{{\boldmath {cell.text}}}" if cell.text in bold else cell.text
        for cell in column.cells
    ]


def _number(value: float | None, form: str = ".2f") -> LatexCell:
    if value is None or not math.isfinite(value):
        return LatexCell(None, "--")
    return LatexCell(value, f"${figure(value, form)}$")


def _share(value: float | None) -> LatexCell:
    return _number(None) if value is None else LatexCell(value, rf"${100 * value:.0f}\,\%$")


def _with_interval(value: float | None, interval: Interval | None) -> LatexCell:
    if value is None or interval is None:
        return _number(value, ".3f")
    low, high = (figure(end, ".2f") for end in interval)
    return LatexCell(value, rf"${figure(value)}$ {{\scriptsize $[{low}, {high}]$}}")


def _with_half(value: float, interval: Interval | None) -> LatexCell:
    if interval is None:
        return _number(value)
    half = half_width(interval)
    return LatexCell(value, rf"${figure(value, '.2f')}$ {{\scriptsize $\pm {half}$}}")


def _by_column(
    rows: Sequence[Sequence[ColumnFigures]],
    columns: Sequence[str],
    cell: Callable[[ColumnFigures], LatexCell],
) -> list[LatexColumn]:
    """Return a column of the table for each column of the bench."""
    by_column = [{figures.column: figures for figures in row} for row in rows]
    return [
        LatexColumn(
            _stacked(name.split("/")),
            tuple(cell(row[name]) if name in row else _number(None) for row in by_column),
        )
        for name in columns
    ]


def _stacked(parts: Sequence[str]) -> str:
    lines = r" \\ ".join(map(escaped, parts))
    return rf"\shortstack[r]{{{lines}}}"


def _name(text: str) -> str:
    return rf"\texttt{{{escaped(text)}}}"


USE = f"{escaped(EXPLAINED_USE)}. ".replace(r" \%", r"\,\%")
MADE = f"Measured by autoprox {__version__}."


SYMBOLS = {"kendall": r"$\tau$", "spearman": r"$\rho$", "somers": "$D$"}
CORRELATIONS = {
    "kendall": r"Kendall's $\tau_b$", "spearman": r"Spearman's $\rho$", "somers": "Somers' $D$",
}  # fmt: skip
"""Rank correlations in the headings and in the captions."""


NETWORKS = {
    True: "Trained networks that differ by their bits",
    False: "Untrained networks",
    None: "Networks",
}
"""What was measured, by whether it was trained; None where that is not known."""


def _shown(settings: Mapping[str, object], trained: bool | None) -> str:
    """Say what the networks were, and what they were shown, in LaTeX."""
    images = settings["images"]
    inputs = "images" if images else "inputs of seeded noise"
    sample = settings["sample"]
    entries = "whole tensors" if sample == "full" else f"{sample} entries of each tensor"
    return f"{NETWORKS[trained]}, a batch of {settings['batch']} {inputs}, {entries}"


def board_latex(board: Leaderboard, top: int | None = None) -> str:
    """Return a leaderboard as two tables: joint figures, and those of each target.

    Args:
        board: the leaderboard.
        top: how many proxies are shown; all that have a rank if None.
    """
    rows = [row for row in board if row.place is not None][:top]
    names = [_name(row.name) + ("$^*$" if row.searched_on else "") for row in rows]
    part = "held-out architectures" if board.settings["held_out"] else "architectures"
    how = (
        f"on {len(board.architectures)} {part} of {escaped(board.bench)}, with 95\\,\\% intervals "
        "of a bootstrap over architectures. "
        f"{_shown(board.settings, board.trained)}, seed {board.settings['seed']}. "
    )
    starred = r"$^*$: discovered on some of these architectures. " * any(
        row.searched_on for row in rows
    )
    joint = (
        r"Somers' $D$ of the score given the accuracy, mean over "
        f"{counted(len(board.columns), 'target')}, {how}"
        rf"$\tau$: Kendall's $\tau_b$; $\rho$: Spearman's; {USE}s: core seconds a network. "
        f"{starred}{MADE}"
    )
    by_target = f"Somers' $D$ for each target, half its interval, {how}{starred}{MADE}"
    label = re.sub(r"\W+", "-", board.bench)
    columns = _by_column(
        [row.columns for row in rows],
        board.columns,
        lambda figures: _with_half(figures.somers, figures.interval),
    )
    first = booktabs(names, _board_columns(rows), joint, f"tab:{label}-joint")
    second = booktabs(names, columns, by_target, f"tab:{label}-targets")
    return "\n".join((NEEDED, first, second))


def _board_columns(rows: Sequence[LeaderboardRow]) -> list[LatexColumn]:
    return [
        LatexColumn("$D$", tuple(_with_interval(row.joint, row.joint_interval) for row in rows)),
        LatexColumn(r"$\tau$", tuple(_number(row.joint_kendall) for row in rows)),
        LatexColumn(r"$\rho$", tuple(_number(row.joint_spearman) for row in rows)),
        LatexColumn("lost", tuple(_number(row.top1_regret) for row in rows), min),
        LatexColumn("of 5", tuple(_number(row.top5_regret) for row in rows), min),
        LatexColumn(r"top 10\,\%", tuple(_share(row.top_share) for row in rows)),
        LatexColumn("s", tuple(_number(row.seconds) for row in rows), min),
    ]


def run_latex(run: Run) -> str:
    """Return a run as three tables: joint held-out figures, those of each target, the formulas.

    Args:
        run: one that has assessed its best proxies; see `autoprox.read_run`.

    Raises:
        RunError: it has not.
        LanguageError: the words of a discovered one are not known here.
    """
    if run.reported is None:
        raise RunError(
            f"the run in {run.folder} has assessed nothing that a table could show: it was stopped "
            "too early, or is still going"
        )
    rows = best_first(run.held_out)
    names = [escaped(row.name) if not row.known else _name(row.name) for row in rows]
    last = sum(not row.known for row in rows) - 1
    settings, symbol = run.settings, CORRELATIONS[run.settings.measure]
    columns = next((row.columns for row in rows if row.columns), ())
    probe = {"batch": settings.batch, "sample": settings.sample, "images": settings.images}
    shown = _shown(probe, _trained(run))
    how = (
        f"on architectures that the search did not see{escaped(sizes_in_words(rows))}, with "
        f"95\\,\\% intervals of a bootstrap over architectures. {shown}. "
        f"Search: {escaped(settings.algorithm)}, {counted(run.reported, 'candidate')}, "
        f"seed {settings.seed}, split seed {settings.split_seed}{_left_out(run)}. "
        "Above the line: discovered; below: known proxies. "
    )
    comparison = _NEGATIVE.sub(r"$-\1$", escaped(difference_in_words(rows, "mean")))
    joint = (
        f"{symbol} of the score and the accuracy, mean over {_means(run, columns)}, {how}"
        f"search: the same on the search split; {USE}{comparison} {MADE}"
    )
    by_target = f"{symbol} for each target, half its interval, {how}{MADE}"
    by_column = _by_column(
        [row.columns for row in rows],
        [column.column for column in columns],
        lambda figures: _with_half(figures.correlation(settings.measure), figures.interval),
    )
    label = re.sub(r"\W+", "-", run.folder.name)
    tables = (
        booktabs(names, _run_columns(run, rows), joint, f"tab:{label}-joint", ends=last),
        booktabs(names, by_column, by_target, f"tab:{label}-targets", ends=last),
    )
    return "\n".join((NEEDED, *tables, _formulas(run, label)))


def _trained(run: Run) -> bool | None:
    """Say whether a run's networks were trained; None where its bench cannot be had.

    The benches of a run are all of trained networks or none is.
    """
    bench = known_bench(several(run.settings.bench)[0])
    return None if bench is None else bench.trained


def _means(run: Run, columns: Sequence[ColumnFigures]) -> str:
    """Say what the joint figures are means over."""
    if len(run.benches) > 1:
        return f"{len(run.benches)} benches of their means over targets"
    return counted(len(columns), "target")


def _left_out(run: Run) -> str:
    """Say which benches the search left out, in LaTeX, if there are such ones."""
    left_out = ", ".join(map(escaped, run.settings.leave_out))
    return f", without {left_out}" if left_out else ""


def _run_columns(run: Run, rows: Sequence[Assessment]) -> list[LatexColumn]:
    search = {row.name: row.joint for row in run.search}
    by_bench = bool(run.benches)

    def means(name: str) -> tuple[LatexCell, ...]:
        return tuple(_number(row.mean(name, by_bench=by_bench)) for row in rows)

    others = dict(SYMBOLS)
    symbol = others.pop(run.settings.measure)
    return [
        LatexColumn(symbol, tuple(_with_interval(row.joint, row.joint_interval) for row in rows)),
        LatexColumn("nodes", tuple(_number(row.complexity, "d") for row in rows), None),
        LatexColumn("search", tuple(_number(search.get(row.name), ".3f") for row in rows)),
        *(LatexColumn(heading, means(name)) for name, heading in others.items()),
        LatexColumn("lost", means("top1_regret"), min),
        LatexColumn("of 5", means("top5_regret"), min),
        LatexColumn(
            r"top 10\,\%", tuple(_share(row.mean("top_share", by_bench=by_bench)) for row in rows)
        ),
    ]


def _formulas(run: Run, label: str) -> str:
    """Return the formulas of the discovered proxies as a table."""
    proxies = run.proxies
    formulas = [LatexCell(None, rf"$\displaystyle {proxy.latex()}$") for proxy in proxies]
    column = LatexColumn("formula", tuple(formulas), None, "l")
    words = sorted({word for proxy in proxies for word in proxy.statistics})
    meanings = "".join(
        f"; ${STATISTICS[word].latex}$: {escaped(STATISTICS[word].description)}" for word in words
    )
    caption = (
        rf"The discovered proxies. $\ell$: layers, $i$: entries or samples of a layer{meanings}. "
        f"{MADE}"
    )
    names = [escaped(row.name) for row in run.held_out if not row.known]
    return booktabs(names, [column], caption, f"tab:{label}-formulas")

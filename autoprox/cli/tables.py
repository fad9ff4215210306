"""What the commands print tables with."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from autoprox.assessment.wording import figure

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from autoprox.ranking.figures import ColumnFigures

NUMBER: dict[str, Any] = {"justify": "right", "no_wrap": True}
"""How a column of numbers looks."""

EDGES, GAP = 2, 3
"""Letters: of the box of a table, left and right; between two columns."""

LEAST_NAME, USUAL_NAME = 12, 24
"""Letters that names keep where they have to be shortened: at least, and while there is room."""


def table(words: Sequence[str], numbers: Sequence[str] = (), **look: Any) -> Table:
    """Return an empty table with columns of words, which are folded, and then of numbers.

    Args:
        words: the headings of columns of words.
        numbers: the headings of columns of numbers.
        look: of the columns of words instead of being folded.
    """
    from rich import box
    from rich.table import Table

    empty = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in words:
        empty.add_column(heading, **(look or {"overflow": "fold"}))
    for heading in numbers:
        empty.add_column(heading, **NUMBER)
    return empty


def grid(rows: Iterable[Sequence[Any]]) -> Table:
    """Return rows whose cells stand below each other, without headings or lines; nothing is cut."""
    from rich.table import Table

    filled = Table.grid(padding=(0, 2))
    for row in rows:
        while len(filled.columns) < len(row):
            filled.add_column(overflow="fold")
        filled.add_row(*row)
    return filled


def shortened(name: str, width: int) -> str:
    """Return a name in at most `width` letters: of a path the end is kept, else the beginning.

    >>> shortened("sum(absolute(grad))", 12), shortened("runs/vit101-default-0", 12)
    ('sum(absolut…', '…1-default-0')
    """
    if len(name) <= width:
        return name
    if "/" in name and "(" not in name:
        return f"…{name[len(name) - width + 1 :]}"
    return f"{name[: width - 1]}…"


def print_figures(
    out: Console,
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    keys: int = 1,
    ends: int | None = None,
) -> None:
    """Print names with their figures, in as many tables as the width needs, the first ones first.

    No figure is cut. Names that are too long are shortened, and stand whole below.

    Args:
        out: where to.
        headings: of the columns; their parts, ``space/target``, are lines.
        rows: a text for each column; those after the `keys` may lack, and are dashes.
        keys: how many columns are in each of the tables; the last of them are the names.
        ends: the number of the row behind which a section ends.
    """
    cut = [_cut_heading(heading) for heading in headings]
    lines = [[*row, *["-"] * (len(headings) - len(row))] for row in rows]
    widths = [
        max(len(line) for text in column for line in text.split("\n"))
        for column in zip(cut, *lines, strict=True)
    ]
    name, before, figures = keys - 1, widths[: keys - 1], widths[keys:]
    free = out.width - EDGES - sum(before) - GAP * len(before)
    whole = free - sum(figures) - GAP * len(figures)
    widest = free - max(figures, default=0) - GAP
    most = max(LEAST_NAME, whole, min(USUAL_NAME, widest))
    texts = [[*row[:name], shortened(row[name], most), *row[keys:]] for row in lines]
    free -= min(most, widths[name])
    for part in _parts(figures, free):
        shown = table([])
        for place in (*range(keys), *(keys + column for column in part)):
            text = place == name
            shown.add_column(cut[place], **({"no_wrap": True} if text else NUMBER))
        for place, row in enumerate(texts):
            cells = [*row[:keys], *(row[keys + column] for column in part)]
            shown.add_row(*cells, end_section=place == ends)
        out.print(shown)
    for row, text in zip(lines, texts, strict=True):
        if row[name] != text[name]:
            out.print(f"{' '.join((*row[:name], text[name]))} is {row[name]}", soft_wrap=True)
    for heading, short in zip(headings, cut, strict=True):
        if "…" in short:
            out.print(f"{short.replace(chr(10), '/')} is {heading}", soft_wrap=True)


def _cut_heading(heading: str) -> str:
    """Return a heading in lines that are short enough; an expression is one line."""
    parts = [heading] if "(" in heading and "/" not in heading else heading.split("/")
    return "\n".join(shortened(part, USUAL_NAME) for part in parts)


def _parts(widths: Sequence[int], free: int) -> list[list[int]]:
    """Return the numbers of columns that go together into so many letters, at least one a part."""
    parts: list[list[int]] = [[]]
    used = 0
    for place, width in enumerate(widths):
        if parts[-1] and used + GAP + width > free:
            parts.append([])
            used = 0
        parts[-1].append(place)
        used += GAP + width
    return parts


def print_partial(
    out: Console, rows: Sequence[tuple[str, Sequence[ColumnFigures]]], ends: int | None = None
) -> None:
    """Print the partial correlations of the columns that have some.

    Args:
        out: where to.
        rows: names with the figures of their columns; none after a failure.
        ends: the number of the row behind which a section ends.
    """
    first = next((columns for _, columns in rows if columns), ())
    known = [place for place, column in enumerate(first) if column.partial is not None]
    if known:
        names = [first[place].column for place in known]
        lines = [
            [name, *(figure(columns[i].partial, ".2f") for i in known if columns)]
            for name, columns in rows
        ]
        print_figures(out, ["partial ρ", *names], lines, ends=ends)  # noqa: RUF001

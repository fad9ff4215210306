"""What the commands print tables with."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from autoprox.assessment.wording import figure

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from autoprox.ranking.figures import ColumnFigures

NUMBER: dict[str, Any] = {"justify": "right", "no_wrap": True}
NAME: dict[str, Any] = {"no_wrap": True}
"""How a column of numbers looks, and one of names."""

GAP = 2
"""Letters between two columns, while there is room."""

LEAST_NAME, USUAL_NAME = 12, 24
"""Letters that names keep where they have to be shortened: at least, and while there is room."""


def table(words: Sequence[str], numbers: Sequence[str] = (), **look: Any) -> Table:
    """Return an empty table with columns of words, which are folded, and then of numbers.

    Args:
        words: the headings of columns of words.
        numbers: the headings of columns of numbers.
        look: of the table, as rich's `Table` takes it.
    """
    from rich import box
    from rich.table import Table

    empty = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True, **look)
    for heading in words:
        empty.add_column(heading, overflow="fold")
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
    """Print names with their figures: in one table, or in several, the first columns first.

    One table has columns closer together and shorter names if the width needs that. No figure is
    cut, and the names stand whole below. Columns of figures without a text are left out.

    Args:
        out: where to.
        headings: of the columns; their parts, ``space/target``, are lines.
        rows: a text for each column; those after the `keys` may lack, and are dashes.
        keys: how many columns are in each of the tables; the last of them are the names.
        ends: the number of the row behind which a section ends.
    """
    headings, lines = _filled(headings, rows, keys)
    cut, name = [_cut_heading(heading) for heading in headings], keys - 1
    layout = _layout(out.width, _widths(cut, lines), keys)
    texts = [[*row[:name], shortened(row[name], layout.most), *row[keys:]] for row in lines]
    out.print()
    for part in layout.parts:
        shown = table([], padding=(0, layout.gap - 1), show_edge=False)
        for place in (*range(keys), *(keys + column for column in part)):
            shown.add_column(cut[place], **(NAME if place == name else NUMBER))
        for place, row in enumerate(texts):
            cells = [*row[:keys], *(row[keys + column] for column in part)]
            shown.add_row(*cells, end_section=place == ends)
        out.print(shown)
        out.print()
    for row, text in zip(lines, texts, strict=True):
        if row[name] != text[name]:
            out.print(f"{' '.join((*row[:name], text[name]))} is {row[name]}", soft_wrap=True)
    for heading, short in zip(headings, cut, strict=True):
        if "…" in short:
            out.print(f"{short.replace(chr(10), '/')} is {heading}", soft_wrap=True)


def print_pairs(
    out: Console,
    titles: tuple[str, str],
    columns: Sequence[str],
    rows: Sequence[tuple[str, Sequence[tuple[str, str]]]],
    ends: int | None = None,
) -> None:
    """Print names with two figures a column: ``first (second)``, or in a table each.

    Args:
        out: where to.
        titles: of the first and of the second figures.
        columns: their headings.
        rows: names with the figures of their columns; none after a failure.
        ends: the number of the row behind which a section ends.
    """
    first, second = titles
    both = [[name, *(f"{main} ({beside})" for main, beside in pairs)] for name, pairs in rows]
    headings, lines = _filled([f"{first} ({second})", *columns], both, 1)
    if len(_layout(out.width, _widths([*map(_cut_heading, headings)], lines), 1).parts) == 1:
        print_figures(out, headings, both, ends=ends)
        return
    for place, title in enumerate(titles):
        table_rows = [[name, *(pair[place] for pair in pairs)] for name, pairs in rows]
        print_figures(out, [title, *columns], table_rows, ends=ends)


def _filled(
    headings: Sequence[str], rows: Sequence[Sequence[str]], keys: int
) -> tuple[list[str], list[list[str]]]:
    """Return headings and rows with dashes for what lacks, without figures that have no text."""
    lines = [[*row, *["-"] * (len(headings) - len(row))] for row in rows]
    places = [
        place
        for place, heading in enumerate(headings)
        if place < keys or not (lines and heading) or any(line[place] for line in lines)
    ]
    return [headings[i] for i in places], [[row[i] for i in places] for row in lines]


def _widths(headings: Sequence[str], lines: Sequence[Sequence[str]]) -> list[int]:
    return [
        max(len(line) for text in column for line in text.split("\n"))
        for column in zip(headings, *lines, strict=True)
    ]


class _Layout(NamedTuple):
    """How figures fit a width: letters between columns, and of names; columns that go together."""

    gap: int
    most: int
    parts: list[list[int]]


def _layout(width: int, widths: Sequence[int], keys: int) -> _Layout:
    """Return the most airy table that fits a width, else the tables that do."""
    name, before, figures = widths[keys - 1], widths[: keys - 1], widths[keys:]
    for gap, least in ((GAP, name), (1, name), (1, LEAST_NAME)):
        free = width - sum(before) - sum(figures) - gap * (len(widths) - 1)
        if free >= min(least, name):
            return _Layout(gap, free, [[*range(len(figures))]])
    free = width - sum(before) - GAP * len(before)
    most = max(LEAST_NAME, min(USUAL_NAME, free - max(figures, default=0) - GAP))
    return _Layout(GAP, most, _parts(figures, free - min(most, name)))


def _cut_heading(heading: str) -> str:
    """Return a heading in lines that are short enough; an expression is one line."""
    if ":" in heading:  # a device
        return "\n".join(shortened(part, USUAL_NAME) for part in heading.split(":", 1))
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

"""What the commands print tables with."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

NUMBER: dict[str, Any] = {"justify": "right", "no_wrap": True}
"""How a column of numbers looks."""

EDGES = 2
"""Letters: of the box of a table, left and right."""


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
    """Return rows whose cells stand below each other, without headings or lines."""
    from rich.table import Table

    filled = Table.grid(padding=(0, 2))
    for row in rows:
        filled.add_row(*row)
    return filled


def column_tables(
    title: str,
    columns: Sequence[str],
    rows: Sequence[tuple[str, Sequence[str]]],
    width: int,
    *,
    ends: int | None = None,
    **look: Any,
) -> list[Table]:
    """Return a cell for each row and column, in as many tables as the width needs.

    Args:
        title: the heading of the names.
        columns: the names of the columns; their parts, ``space/target``, are lines.
        rows: names with their cells; dashes stand for none.
        width: of the console, in letters.
        ends: the number of the row behind which a section ends.
        look: of the column of names.
    """
    texts = [*columns, *(cell for _, cells in rows for cell in cells)]
    longest = max((len(part) for text in texts for part in text.split("/")), default=0)
    names = max(len(name[: look.get("max_width")]) for name in (title, *(name for name, _ in rows)))
    fitting = max(1, (width - names - EDGES) // (2 + longest))
    tables = []
    for start in range(0, len(columns), fitting):
        part = slice(start, start + fitting)
        headings = [name.replace("/", "\n") for name in columns[part]]
        tables.append(table([title], headings, no_wrap=True, **look))
        for place, (name, cells) in enumerate(rows):
            shown = cells[part] or ["-"] * len(headings)
            tables[-1].add_row(name, *shown, end_section=place == ends)
    return tables

"""How the scripts here write their tables, and read what they keep of them."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def rounded(row: Mapping[str, object]) -> dict[str, object]:
    """Return a row with four digits behind the point."""
    return {
        name: round(float(value), 4) if isinstance(value, float) else value
        for name, value in row.items()
    }


def write_csv(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    """Write rows under a header, the keys of the first one."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def read_csv(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a table, numbers as numbers; none if there is no such table."""
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        return [{key: _read(cell) for key, cell in row.items()} for row in csv.DictReader(file)]


def _read(cell: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(cell)
        except ValueError:
            continue
    return cell

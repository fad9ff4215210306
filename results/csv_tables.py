"""How the scripts here write their tables."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path


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

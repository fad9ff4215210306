"""Rows on what is found without a family, as the scripts here write them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from csv_tables import write_csv

from autoprox.benches.counts import COUNTS
from autoprox.evolution.left_out import LeftOut

COLUMNS = (
    "fitness", "left_out", "beside", "found", "known", *COUNTS, "difference", "low", "high",
    "formula",
)  # fmt: skip


def left_out_rows(
    fitness: str, table: LeftOut, formulas: dict[str, str]
) -> Iterator[dict[str, Any]]:
    """Yield a row for each family, and one for each known proxy in the mean over them.

    Args:
        fitness: by which the formulas were chosen.
        table: what they are worth on the families that were left out.
        formulas: what was chosen without each family.
    """
    for family, found in table.found.items():
        counts = {name: round(table.known[name][family], 4) for name in COUNTS}
        row = {"fitness": fitness, "left_out": family, "found": round(found.middle, 4)}
        yield {**row, **counts, "formula": formulas[family]}
    for other in table.beside:
        assert other.difference_interval is not None
        low, high = other.difference_interval
        yield {
            "fitness": fitness,
            "left_out": "mean over families",
            "beside": other.name,
            "found": round(table.joint, 4),
            "known": round(other.joint, 4),
            "difference": round(other.difference, 4),
            "low": round(float(low), 4),
            "high": round(float(high), 4),
        }


def write_left_out(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write rows; a cell that a row does not have is empty."""
    write_csv(path, [{name: row.get(name, "") for name in COLUMNS} for row in rows])

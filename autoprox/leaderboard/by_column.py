"""Somers' D of proxies by columns: what a heat map shows, from any form of a leaderboard."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from autoprox.errors import AutoproxError, reason_of
from autoprox.leaderboard.board import Leaderboard, read_board
from autoprox.runtime.schema import read_text

if TYPE_CHECKING:
    import pandas

Ranking: TypeAlias = "Leaderboard | pandas.DataFrame | str | Path"
"""A leaderboard, its data frame, or a file that ``autoprox rank`` wrote with --json or --csv."""

HEADING = " somers"
"""How the headings of D end, after the column's name."""


@dataclass(frozen=True)
class ByColumn:
    """Somers' D of proxies, in the order of their leaderboard.

    Attributes:
        proxies: the names.
        columns: the names, ``"space/target"``.
        values: ``(proxies, columns)``; NaN where there is none.
    """

    proxies: tuple[str, ...]
    columns: tuple[str, ...]
    values: NDArray[np.float64]


def by_column(ranking: Ranking) -> ByColumn:
    """Return the correlations of the proxies that have any.

    Raises:
        AutoproxError: it is no ranking, cannot be read, or no proxy has a correlation.
    """
    where = f"the ranking {ranking}" if isinstance(ranking, str | Path) else "the ranking"
    try:
        names, columns, rows = _read(ranking)
        values = np.array(rows, dtype=np.float64).reshape(len(names), len(columns))
        if (abs(values) > 1).any() or not all(isinstance(name, str) for name in names):
            raise ValueError("expected names of proxies, and correlations from -1 to 1")
    except AutoproxError:
        raise
    except Exception as error:  # what is damaged may raise anything
        raise AutoproxError(
            f"{where} is damaged: {reason_of(error)}; write it again with autoprox rank"
        ) from None
    ranked = np.isfinite(values).any(axis=1)
    if not ranked.any():
        raise AutoproxError("no proxy of the ranking has a correlation: there is nothing to draw")
    chosen = tuple(names[i] for i in np.flatnonzero(ranked))
    return ByColumn(chosen, tuple(columns), values[ranked])


def _read(ranking: Ranking) -> tuple[list[str], list[str], list[list[float]]]:
    """Return the names of proxies and columns, and a row of D a proxy."""
    if isinstance(ranking, Leaderboard):
        return _of_records(ranking.records())
    if not isinstance(ranking, str | Path):
        return _of_records(ranking.to_dict("records"))
    path = Path(ranking)
    if path.suffix.lower() != ".csv":
        return _of_records(_records(asdict(read_board(path))))
    rows = [*filter(None, csv.reader(io.StringIO(read_text(path), newline=""), strict=True))]
    header = rows[0] if rows else []
    if len({*header}) < len(header):
        raise ValueError("a column occurs twice")
    if any(len(row) != len(header) for row in rows):
        raise ValueError("a row has more or fewer cells than there are columns")
    return _of_records([dict(zip(header, row, strict=True)) for row in rows[1:]])


def _records(board: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the names and D of `Leaderboard.records` out of `Leaderboard.to_json`."""
    records = []
    for row in board["rows"]:
        somers = {column["column"]: column["somers"] for column in row["columns"]}
        figures = {f"{name}{HEADING}": somers.get(name) for name in board["columns"]}
        records.append({"proxy": row["name"], **figures})
    return records


def _of_records(
    records: Sequence[Mapping[Any, Any]],
) -> tuple[list[str], list[str], list[list[float]]]:
    """Read records as `Leaderboard.records` makes them; an empty cell is None, '' or NaN."""
    headings = [name for name in (records[0] if records else ()) if str(name).endswith(HEADING)]
    if not headings or "proxy" not in records[0]:
        raise AutoproxError(
            "a ranking has the column 'proxy' and columns such as 'pit/c100 somers'; "
            "autoprox rank writes one with --csv or --json"
        )
    rows = [
        [math.nan if row[name] in ("", None) else float(row[name]) for name in headings]
        for row in records
    ]
    columns = [str(name).removesuffix(HEADING) for name in headings]
    return [str(row["proxy"]) for row in records], columns, rows

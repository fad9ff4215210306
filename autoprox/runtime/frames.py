"""Records as tables: CSV, and data frames where pandas is installed."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from autoprox.errors import AutoproxError

if TYPE_CHECKING:
    import pandas


def csv_of(records: Sequence[Mapping[str, Any]]) -> str:
    """Return records as CSV with a header: the keys of the longest of them; nothing of none."""
    if not records:
        return ""
    out = io.StringIO()
    writer = csv.DictWriter(out, max(map(list, records), key=len), lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return out.getvalue()


def frame_of(records: Iterable[Mapping[str, Any]]) -> pandas.DataFrame:
    """Return records as a data frame, a row each.

    Raises:
        AutoproxError: pandas is not installed.
    """
    try:
        import pandas
    except ImportError:
        raise AutoproxError("a data frame needs pandas: pip install pandas") from None
    return pandas.DataFrame.from_records(list(records))

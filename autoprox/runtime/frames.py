"""Data frames, where pandas is installed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from autoprox.errors import AutoproxError

if TYPE_CHECKING:
    import pandas


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

"""What is known of a network without a score: parameters, operations, depth and width.

They are the rivals of every proxy. For the architectures that runs draw unless told otherwise they
were counted once, by ``python results/trivial_counts.py``, so that nothing has to be built to know
how well a count ranks a bench.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from autoprox.benches.bench import Architecture, Bench
from autoprox.benches.table import shipped_rows

DIGEST = "facefe880b2bc98a97efb36354f0314706cb4e4a65235dd33e926df92a017cfe"

COUNTS = ("params", "flops", "depth", "width")
"""The columns, each the score of the proxy of that name."""


def counted(bench: Bench) -> tuple[tuple[Architecture, ...], NDArray[np.float64]]:
    """The architectures of a bench that were counted, and their counts, ``(architectures, 4)``."""
    counts = _tables().get(bench.name, {})
    rows = tuple(row for row in bench.architectures if row.name in counts)
    return rows, np.array([counts[row.name] for row in rows], dtype=np.float64).reshape(-1, 4)


@cache
def _tables() -> dict[str, dict[str, list[str]]]:
    """Bench to architecture to counts."""
    tables: dict[str, dict[str, list[str]]] = {}
    for bench, architecture, *counts in shipped_rows("counts.csv.gz", DIGEST):
        tables.setdefault(bench, {})[architecture] = counts
    return tables

"""The ways to rank: SciPy column by column, and all columns in one go.

SciPy's own ``somersd`` makes a table of all values first; its Kendall's τ, corrected for ties, is
the fastest that it offers.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from autoprox.ranking import Column, Ranker, somers
from autoprox.timing.laps import Lap, Way, seconds_of
from autoprox.timing.stage import Stage


def _columns(stage: Stage) -> list[Column]:
    """Return the figures of all architectures for all targets."""
    return stage.columns(range(len(stage.bench.architectures)), stage.bench.targets)


def _scipy(stage: Stage) -> Callable[[], Lap]:
    """Somers' D of every candidate with every column, one call each."""
    columns, scores = _columns(stage), stage.scores

    def correlations() -> list[list[float]]:
        return [[somers(row[each.places], each.accuracies) for each in columns] for row in scores]

    def lap() -> Lap:
        seconds = seconds_of(correlations)
        return Lap(seconds / len(scores), np.array(correlations()))

    return lap


def _ranker(stage: Stage) -> Callable[[], Lap]:
    """The same as a search does it."""
    columns, scores = _columns(stage), stage.scores
    ranker = Ranker(columns)
    lengths = sorted({len(each.places) for each in columns})
    note = (
        f"{len(columns)} columns of {' or '.join(map(str, lengths))} architectures, "
        f"{len(scores)} candidates at once"
    )

    def lap() -> Lap:
        seconds = seconds_of(lambda: ranker.correlations(scores))
        return Lap(seconds / len(scores), ranker.correlations(scores), note)

    return lap


SCIPY = Way("scipy.stats.kendalltau and the ties, column by column", _scipy)
RANKER = Way("all columns at once", _ranker)

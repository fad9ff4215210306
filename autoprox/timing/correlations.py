"""The ways to rank: SciPy column by column, and all columns in one go."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from autoprox.ranking import Column, Ranker, resolved
from autoprox.timing.laps import Lap, Way, seconds_of
from autoprox.timing.stage import Stage


def _columns(stage: Stage) -> list[Column]:
    """Return the figures of all architectures for all targets."""
    return stage.columns(range(len(stage.bench.architectures)), stage.bench.targets)


def _scipy(stage: Stage) -> Callable[[], Lap]:
    """Kendall's τ of every candidate with every column, one call each."""
    from scipy.stats import kendalltau

    columns, scores = _columns(stage), resolved(stage.scores)

    def taus() -> list[list[float]]:
        return [
            [kendalltau(row[each.places], each.accuracies).statistic for each in columns]
            for row in scores
        ]

    def lap() -> Lap:
        seconds = seconds_of(taus)
        # Where a column cannot tell scores apart, SciPy has no figure, and the search takes 0.
        value = np.nan_to_num(np.array(taus()), nan=0.0)
        return Lap(seconds / len(scores), value)

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
        seconds = seconds_of(lambda: ranker.taus(scores))
        return Lap(seconds / len(scores), ranker.taus(scores), note)

    return lap


SCIPY = Way("scipy.stats.kendalltau, column by column", _scipy)
RANKER = Way("all columns at once", _ranker)

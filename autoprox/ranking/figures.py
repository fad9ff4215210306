"""What is said of a proxy's scores: correlations with intervals, and what a user would get by them.

All proxies are compared on the same bootstrap resamples. Signs of differences do all the work: with
s_ij = sign(x_i - x_j) and c_i the number of times that a resample drew architecture i, the
agreement of scores and accuracies is the sum of c_i c_j s_ij t_ij: one matrix product for all
resamples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from math import comb
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from autoprox.ranking.correlation import (
    DEFAULT_CORRELATION,
    MINIMUM,
    Array,
    RankCorrelation,
    kendall,
    resolved,
    somers_of,
    spearman,
)
from autoprox.ranking.given import partial_spearman
from autoprox.ranking.ranker import Column, joint, weights
from autoprox.ranking.resampling import (
    LARGEST_RESAMPLED,
    interval,
    resampled_columns,
    resampled_rhos,
    resampling,
)

RESAMPLES = 2000

TOP = 0.1
"""The share of the architectures that counts as the best."""

FEW = 5
"""Of how many architectures on top a user may train all, and keep the best."""

BEST = (0.2, 0.5, 1.0)
"""The shares that EMQ (Dong et al., ICCV 2023) ranks: the best by score, and all."""

Interval: TypeAlias = tuple[float, float]


@dataclass(frozen=True)
class BestFigures:
    """How well a proxy ranks those architectures among themselves that it says are the best.

    Attributes:
        share: how many of all there are.
        spearman: Spearman's rank correlation among them; those that tie at the border count in
            part.
        spearman_interval: its 95 % bootstrap interval: each resample has its own best; None for
            columns of more than `LARGEST_RESAMPLED` architectures.
    """

    share: float
    spearman: float
    spearman_interval: Interval | None


@dataclass(frozen=True)
class ColumnFigures:
    """How well one proxy ranks one column.

    Attributes:
        column: ``"space/target"``.
        architectures: how many have a figure; those without a score come last.
        somers: Somers' D of the score given the accuracy.
        kendall: Kendall's τ-b.
        spearman: Spearman's rank correlation.
        interval: the 95 % bootstrap interval over the architectures of the correlation that
            proxies are compared by.
        top_share: the share of the true best 10 % that are among the best 10 % by score;
            those that tie at the border count in part.
        top1_regret: the best accuracy minus that of the architecture with the best score.
        top5_regret: the best accuracy minus the best among the five best scores.
        distinct: how many different scores there are; none is one.
        best: the correlations among shares of the architectures, if they are asked for.
        partial: Spearman's partial correlation with accuracies from training with a teacher, given
            those from training without one; None where they are not known.
    """

    column: str
    architectures: int
    somers: float
    kendall: float
    spearman: float
    interval: Interval
    top_share: float
    top1_regret: float
    top5_regret: float
    distinct: int
    best: tuple[BestFigures, ...] = ()
    partial: float | None = None

    def correlation(self, name: RankCorrelation) -> float:
        """Return one of the three by its name."""
        return float(getattr(self, name))


@dataclass(frozen=True)
class Figures:
    """How well one proxy ranks the columns.

    Attributes:
        columns: one a column.
        joint: the mean over the columns of the correlation that proxies are compared by, by their
            weights.
        resampled: the same on each resample, ``(resamples,)``.
    """

    columns: tuple[ColumnFigures, ...]
    joint: float
    resampled: Array

    @property
    def joint_interval(self) -> Interval:
        """The 95 % bootstrap interval of the joint correlation."""
        return interval(self.resampled)


class Comparison:
    """Compares proxies with the columns of a bench, all on the same resamples.

    Args:
        columns: what to rank by.
        correlation: what intervals and joint figures are of.
        seed: of the resamples.
        best: shares of the architectures, the best by score, to look at by themselves.
    """

    def __init__(
        self,
        columns: Sequence[Column],
        correlation: RankCorrelation = DEFAULT_CORRELATION,
        seed: int = 0,
        best: Sequence[float] = (),
    ) -> None:
        self.columns = tuple(columns)
        self.correlation = correlation
        self.best = tuple(best)
        self._weights = weights(self.columns)
        self._counts = resampled_columns(self.columns, RESAMPLES, seed)
        self._resampled = [
            resampling(correlation, column.accuracies, counts)
            for column, counts in zip(self.columns, self._counts, strict=True)
        ]

    def too_short(self, scores: Array) -> str | None:
        """Say which column has too few finite scores to be ranked; None if every one has enough."""
        for column in self.columns:
            count = np.isfinite(scores[column.places]).sum()
            if count < MINIMUM:
                return f"{count} scores for {column.name}; a rank correlation needs {MINIMUM}"
        return None

    def __call__(self, scores: Array) -> Figures:
        """Return the figures of one proxy.

        Args:
            scores: ``(architectures,)``; where one is not finite the architecture comes last.
        """
        scores = last_where(~np.isfinite(scores), scores)
        columns, resamples = [], []
        for column, counts, resampled in zip(
            self.columns, self._counts, self._resampled, strict=True
        ):
            column_scores = scores[column.places]
            values = resampled(column_scores)
            best = self._best(column_scores, column.accuracies, counts)
            columns.append(_column(column, column_scores, interval(values), best))
            resamples.append(values)
        correlations = np.array([row.correlation(self.correlation) for row in columns])
        own_joint = float(joint(correlations, self._weights))
        return Figures(tuple(columns), own_joint, joint(np.array(resamples).T, self._weights))

    def _best(
        self, scores: Array, accuracies: Array, counts: NDArray[Any]
    ) -> tuple[BestFigures, ...]:
        """Return the correlations among the best by score."""
        among = partial(best_spearman, scores, accuracies)
        large = len(scores) > LARGEST_RESAMPLED
        return tuple(
            BestFigures(
                share,
                float(among(np.ones((1, len(scores))), share)[0]),
                None if large else interval(among(counts, share)),
            )
            for share in self.best
        )


def last_where(missing: NDArray[np.bool_], scores: Array) -> Array:
    """Return scores, ``(n,)``, or ranks in which those that are missing share the last place.

    Nobody chooses an architecture without a score, so a proxy that has none for bad ones is right.

    >>> last_where(np.array([False, True, False]), np.array([2.5, np.nan, -7.0])).tolist()
    [3.0, 0.0, 2.0]
    """
    if not missing.any():
        return scores
    from scipy.stats import rankdata

    ranks = np.asarray(rankdata(np.where(missing, -np.inf, resolved(scores))))
    ranks[missing] = 0.0
    return ranks


def _column(
    column: Column, scores: Array, interval: Interval, best: tuple[BestFigures, ...]
) -> ColumnFigures:
    """Return the figures of a column from its scores, ``(n,)``."""
    accuracies = column.accuracies
    most = float(accuracies.max())
    tau = kendall(scores, accuracies)
    return ColumnFigures(
        column=column.name,
        architectures=len(scores),
        somers=somers_of(tau, scores, accuracies),
        kendall=tau,
        spearman=spearman(scores, accuracies),
        interval=interval,
        top_share=top_share(scores, accuracies),
        top1_regret=most - best_of_top(scores, accuracies, 1),
        top5_regret=most - best_of_top(scores, accuracies, FEW),
        distinct=len(np.unique(resolved(scores))),
        best=best,
        partial=None
        if column.apart is None
        else partial_spearman(scores, accuracies, column.apart),
    )


def best_spearman(scores: Array, accuracies: Array, counts: NDArray[Any], share: float) -> Array:
    """Return Spearman's rank correlation among the architectures with the best scores.

    >>> falling = np.array([5.0, 4.0, 3.0, 2.0, 1.0, 0.0])
    >>> best_spearman(falling, np.array([7.0, 8.0, 9.0, 1.0, 2.0, 3.0]), np.ones((1, 6)), 0.5)
    array([-1.])

    Args:
        scores: ``(n,)``.
        accuracies: ``(n,)``.
        counts: ``(resamples, n)``, how often each architecture was drawn.
        share: of what a resample drew; those that tie at the border count in part.

    Returns:
        ``(resamples,)``; 0 where the scores or the accuracies of all of them tie.
    """
    order = np.argsort(-scores, kind="stable")
    values, drawn = resolved(scores)[order], np.asarray(counts, np.float64)[:, order]
    starts = np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]]))
    sizes = np.add.reduceat(drawn, starts, axis=1)
    left = share * drawn.sum(1, keepdims=True) - (np.cumsum(sizes, axis=1) - sizes)
    taken = np.clip(left / np.maximum(sizes, 1), 0, 1)
    weights = drawn * np.repeat(taken, np.diff([*starts, len(values)]), axis=1)
    there = weights.any(axis=0)
    return resampled_rhos(values[there], accuracies[order][there], weights[:, there])


def top_share(scores: Array, accuracies: Array) -> float:
    """Return the share of the truly best architectures that are among the best by score.

    Architectures that tie at the border share the places that are left, so that equal scores are
    worth what guessing is.

    >>> top_share(np.arange(20.0), np.arange(20.0)), top_share(np.ones(20), np.arange(20.0))
    (1.0, 0.1)
    """
    count = max(1, round(TOP * len(scores)))
    return float((_places(resolved(scores), count) * _places(accuracies, count)).sum() / count)


def _places(values: Array, count: int) -> Array:
    """Return how much of each value is among the `count` largest, 0 to 1."""
    border = np.sort(values)[-count]
    above, at = values > border, values == border
    return np.asarray(above + at * ((count - above.sum()) / at.sum()), dtype=np.float64)


def best_of_top(scores: Array, accuracies: Array, count: int) -> float:
    """Return the best accuracy among the architectures with the `count` best scores.

    Where scores tie at the border, it is the mean over all ways to take as many of them as are
    left, so that a proxy that gives all the same score is worth what guessing is.

    >>> accuracies = np.array([90.0, 91.0, 92.0])
    >>> best_of_top(np.array([3.0, 2.0, 1.0]), accuracies, 2)
    91.0
    >>> round(best_of_top(np.ones(3), accuracies, 1), 3)
    91.0
    """
    values = resolved(scores)
    count = min(count, len(values))
    border = np.sort(values)[-count]
    sure = accuracies[values > border]
    least = sure.max() if len(sure) else -np.inf
    tied = np.sort(np.maximum(accuracies[values == border], least))[::-1]
    taken = count - len(sure)
    ways = [comb(len(tied) - 1 - place, taken - 1) for place in range(len(tied))]
    mean = np.dot(tied, np.array(ways) / comb(len(tied), taken))
    return float(min(mean, tied[0]))  # no more than the best, whatever the rounding

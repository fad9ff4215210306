"""How well scores rank accuracies, with bootstrap intervals: many proxies on the same resamples.

Signs of differences do all the work. With s_ij = sign(x_i - x_j) and c_i the number of times that
a resample drew architecture i, Kendall's τ-b is a sum of c_i c_j s_ij t_ij, and the ranks in a
resample are, but for a constant, sum over j of c_j s_ij: two matrix products for all resamples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoprox.errors import BenchError
from autoprox.ranking import MINIMUM, Array, Column, kendall, resolved, spearman
from autoprox.resampling import interval, pairs, ratio, resampled_columns, signs

RESAMPLES = 2000
LARGEST = 4000
"""Columns of more architectures get no interval: all pairs of all resamples would take hours."""

TOP = 0.1
"""The share of the architectures that counts as the best."""

BEST = (0.2, 0.5)
"""The shares that EMQ (Dong et al., ICCV 2023) ranks beside the whole: the best by score."""

Interval = tuple[float, float]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class BestFigures:
    """How well a proxy ranks those architectures among themselves that it says are the best.

    Attributes:
        share: how many of all there are.
        spearman: Spearman's rank correlation among them; those that tie at the border count in
            part.
        spearman_interval: its 95 % bootstrap interval: each resample has its own best; None for
            columns too large to resample.
    """

    share: float
    spearman: float
    spearman_interval: Interval | None


@dataclass(frozen=True)
class ColumnFigures:
    """How well one proxy ranks one column.

    Attributes:
        column: ``"space/target"``.
        architectures: how many have a figure and a score.
        kendall: Kendall's τ-b.
        kendall_interval: its 95 % bootstrap interval over the architectures; None for columns too
            large to resample.
        spearman: Spearman's rank correlation.
        spearman_interval: likewise.
        top_share: the share of the true best 10 % that are among the best 10 % by score; an
            architecture without a score is the worst, and those that tie at the border count in
            part.
        gap: the accuracy of the architecture with the best score minus the best accuracy; the mean
            over those that tie.
        best: the correlations among shares of the architectures, if they are asked for.
    """

    column: str
    architectures: int
    kendall: float
    kendall_interval: Interval | None
    spearman: float
    spearman_interval: Interval | None
    top_share: float
    gap: float
    best: tuple[BestFigures, ...] = ()


@dataclass(frozen=True)
class Figures:
    """How well one proxy ranks the columns.

    Attributes:
        columns: one a column.
        joint_interval: of the mean of Kendall's τ over the columns.
    """

    columns: tuple[ColumnFigures, ...]
    joint_interval: Interval | None


class _Truth:
    """The columns that have figures for the same architectures, and their resamples."""

    def __init__(self, columns: Sequence[Column], counts: Floats) -> None:
        self.counts = counts
        self.signs = [signs(each.accuracies).astype(np.float32) for each in columns]
        self.pairs = [pairs(counts, each * each) for each in self.signs]
        self.ranks = [counts @ each for each in self.signs]
        self.lengths = [_lengths(counts, each) for each in self.ranks]

    def resampled(self, scores: Array) -> list[tuple[Array, Array]]:
        """Return τ and rho of scores, ``(n,)``, with each column: ``(resamples,)`` each."""
        own = signs(resolved(scores)).astype(np.float32)
        own_pairs, ranks = pairs(self.counts, own * own), self.counts @ own
        length = _lengths(self.counts, ranks)
        found = []
        for true, true_pairs, true_ranks, true_length in zip(
            self.signs, self.pairs, self.ranks, self.lengths, strict=True
        ):
            tau = ratio(pairs(self.counts, own * true), np.sqrt(own_pairs * true_pairs))
            product = np.einsum("rn,rn,rn->r", self.counts, ranks, true_ranks, dtype=np.float64)
            found.append((tau, ratio(product, length * true_length)))
        return found


def _lengths(counts: Floats, ranks: Floats) -> Array:
    squares = np.einsum("rn,rn,rn->r", counts, ranks, ranks, dtype=np.float64)
    return np.asarray(np.sqrt(squares))


class Comparison:
    """Compares proxies with the columns of a bench, all on the same resamples.

    Args:
        columns: what to rank by.
        seed: of the resamples.
        best: shares of the architectures, the best by score, to look at by themselves.
    """

    def __init__(
        self, columns: Sequence[Column], seed: int = 0, best: Sequence[float] = ()
    ) -> None:
        """Draw the resamples."""
        self.columns = tuple(columns)
        self.best = tuple(best)
        groups: dict[tuple[str, bytes], list[int]] = {}
        for i, column in enumerate(self.columns):
            groups.setdefault((column.space, column.places.tobytes()), []).append(i)
        first = [self.columns[members[0]] for members in groups.values()]
        self._groups: list[tuple[list[int], Floats | None]] = [
            (members, None if drawn is None else np.ascontiguousarray(drawn, np.float32))
            for members, drawn in zip(
                groups.values(), resampled_columns(first, RESAMPLES, seed, LARGEST), strict=True
            )
        ]
        self._truths: dict[int, _Truth] = {}

    def too_short(self, scores: Array) -> str | None:
        """Say which column has too few scores for a rank correlation; None if every one has enough.

        Args:
            scores: ``(architectures,)``; not finite where there is none.
        """
        for column in self.columns:
            count = np.isfinite(scores[column.places]).sum()
            if count < MINIMUM:
                return f"{count} scores for {column.name}; a rank correlation needs {MINIMUM}"
        return None

    def __call__(self, scores: Array) -> Figures:
        """Return the figures of one proxy.

        Args:
            scores: ``(architectures,)``; not finite where there is none. Correlations leave such
                architectures out; for the best tenth they are the worst.

        Raises:
            BenchError: a column has too few scores, see `too_short`.
        """
        if (reason := self.too_short(scores)) is not None:
            raise BenchError(reason)
        found: dict[int, ColumnFigures] = {}
        taus: list[Array] = []
        for number, (members, counts) in enumerate(self._groups):
            columns = [self.columns[i] for i in members]
            own = scores[columns[0].places]
            there = np.isfinite(own)
            resampled = self._resampled(number, columns, counts, own[there], there)
            for place, (i, column) in enumerate(zip(members, columns, strict=True)):
                both = resampled[place] if resampled else None
                best = self._best(own[there], column.accuracies[there], there, counts)
                found[i] = _column(column, own, there, both, best)
                taus += [both[0]] if both else []
        whole = len(taus) == len(self.columns)
        joint = interval(np.mean(taus, axis=0)) if whole else None
        return Figures(tuple(found[i] for i in sorted(found)), joint)

    def _best(
        self,
        scores: Array,
        accuracies: Array,
        there: NDArray[np.bool_],
        counts: Floats | None,
    ) -> tuple[BestFigures, ...]:
        """Return the correlations among the best of those architectures that are `there`."""

        def among(counts: NDArray[Any], share: float) -> Array:
            return best_spearman(scores, accuracies, counts, share)

        return tuple(
            BestFigures(
                share,
                float(among(np.ones((1, len(scores))), share)[0]),
                None if counts is None else interval(among(counts[:, there], share)),
            )
            for share in self.best
        )

    def _resampled(
        self,
        number: int,
        columns: Sequence[Column],
        counts: Floats | None,
        own: Array,
        there: NDArray[np.bool_],
    ) -> list[tuple[Array, Array]] | None:
        if counts is None:
            return None
        if there.all():
            if number not in self._truths:
                self._truths[number] = _Truth(columns, counts)
            return self._truths[number].resampled(own)
        kept = [Column(c.space, c.target, c.places[there], c.accuracies[there]) for c in columns]
        return _Truth(kept, np.ascontiguousarray(counts[:, there])).resampled(own)


def _column(
    column: Column,
    scores: Array,
    there: NDArray[np.bool_],
    resampled: tuple[Array, Array] | None,
    best: tuple[BestFigures, ...],
) -> ColumnFigures:
    """Return the figures of a column from its scores, ``(n,)``, of which some are `there`."""
    own, accuracies = scores[there], column.accuracies[there]
    return ColumnFigures(
        column=column.name,
        architectures=len(own),
        kendall=kendall(own, accuracies),
        kendall_interval=interval(resampled[0]) if resampled else None,
        spearman=spearman(own, accuracies),
        spearman_interval=interval(resampled[1]) if resampled else None,
        top_share=top_share(np.where(there, scores, -np.inf), column.accuracies),
        gap=gap(own, accuracies, float(column.accuracies.max())),
        best=best,
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
    weights = (drawn * np.repeat(taken, np.diff([*starts, len(values)]), axis=1)).astype(np.float32)
    there = weights.any(axis=0)
    weights = weights[:, there]
    own, true = (
        weights @ signs(each[there]).astype(np.float32) for each in (values, accuracies[order])
    )
    product = np.einsum("rn,rn,rn->r", weights, own, true, dtype=np.float64)
    return ratio(product, _lengths(weights, own) * _lengths(weights, true))


def top_share(scores: Array, accuracies: Array, share: float = TOP) -> float:
    """Return the share of the truly best architectures that are among the best by score.

    Architectures that tie at the border share the places that are left, so that equal scores are
    worth what guessing is.

    >>> top_share(np.arange(20.0), np.arange(20.0)), top_share(np.ones(20), np.arange(20.0))
    (1.0, 0.1)
    """
    count = max(1, round(share * len(scores)))
    return float((_places(resolved(scores), count) * _places(accuracies, count)).sum() / count)


def _places(values: Array, count: int) -> Array:
    """Return how much of each value is among the `count` largest, 0 to 1."""
    border = np.sort(values)[-count]
    above, at = values > border, values == border
    return np.asarray(above + at * ((count - above.sum()) / at.sum()), dtype=np.float64)


def gap(scores: Array, accuracies: Array, best: float) -> float:
    """Return the accuracy of what has the best score, minus the best accuracy."""
    rounded = resolved(scores)
    return float(accuracies[rounded == rounded.max()].mean() - best)

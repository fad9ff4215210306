"""Rank correlations on bootstrap resamples of the architectures, and intervals from them."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoprox.ranking.correlation import Array, RankCorrelation, Ranks, dense_ranks, resolved
from autoprox.ranking.ranker import Column, networks_by_space, places_by_space

LARGEST_RESAMPLED = 2000
"""The most architectures whose pairs are summed for each resample; of more, see `linearised`."""


def signs(values: Array) -> Array:
    """Return the signs of all differences, ``(n,)`` to ``(n, n)``."""
    return np.sign(values[:, None] - values[None, :])


def resampled_ds(scores: Array, accuracies: Array, counts: Array) -> Array:
    """Return Somers' D of scores given accuracies on resamples of the architectures.

    Args:
        scores: ``(n,)``.
        accuracies: ``(n,)``.
        counts: ``(resamples, n)``, how often each architecture was drawn; copies of one tie with
            each other.

    Returns:
        ``(resamples,)``; 0 where the accuracies of a resample all tie. Beyond `LARGEST_RESAMPLED`
        architectures they are those of `linearised`.
    """
    if len(scores) > LARGEST_RESAMPLED:
        return linearised(scores, accuracies, counts, "somers")
    score_signs, true = signs(resolved(scores)), signs(accuracies)
    return ratio(pairs(counts, score_signs * true), pairs(counts, true * true))


def resampled_taus(scores: Array, accuracies: Array, counts: Array) -> Array:
    """Return Kendall's τ-b on resamples of the architectures; see `resampled_ds`."""
    if len(scores) > LARGEST_RESAMPLED:
        return linearised(scores, accuracies, counts, "kendall")
    score_signs, true = signs(resolved(scores)), signs(accuracies)
    squares = pairs(counts, score_signs * score_signs) * pairs(counts, true * true)
    return ratio(pairs(counts, score_signs * true), np.sqrt(squares))


def resampled_rhos(scores: Array, accuracies: Array, counts: Array) -> Array:
    """Return Spearman's rho on resamples of the architectures.

    The ranks are those within each resample; copies of one architecture share the mean of theirs.

    Args:
        scores: ``(n,)``.
        accuracies: ``(n,)``.
        counts: ``(resamples, n)``, how often each architecture was drawn; shares count in part.

    Returns:
        ``(resamples,)``; 0 where a resample has only ties.
    """
    return _rhos(scores, _centred_ranks(accuracies, counts), counts)


def _rhos(scores: Array, true: Array, counts: Array) -> Array:
    """Return `resampled_rhos`, given the centred ranks of the accuracies."""
    score_ranks = _centred_ranks(resolved(scores), counts)
    above = np.einsum("rn,rn,rn->r", counts, score_ranks, true)
    squares = [np.einsum("rn,rn,rn->r", counts, ranks, ranks) for ranks in (score_ranks, true)]
    return ratio(above, np.sqrt(squares[0] * squares[1]))


def _centred_ranks(values: Array, counts: Array) -> Array:
    """Return the ranks of values within resamples, less their mean, ``(resamples, n)``."""
    dense = dense_ranks(values[None])[0]
    order = np.argsort(dense, kind="stable")
    starts = np.flatnonzero(np.diff(dense[order], prepend=-1))
    sizes = np.add.reduceat(counts[:, order], starts, axis=1)
    below = np.cumsum(sizes, axis=1)
    middles = below - sizes / 2 - below[:, -1:] / 2
    return np.asarray(middles[:, dense])


RESAMPLED: dict[RankCorrelation, Callable[..., Array]] = {
    "somers": resampled_ds,
    "kendall": resampled_taus,
    "spearman": resampled_rhos,
}
"""The rank correlations on resamples."""


def resampling(
    correlation: RankCorrelation, accuracies: Array, counts: Array
) -> Callable[[Array], Array]:
    """Return what gives a rank correlation of scores on resamples; accuracies are ranked once."""
    if correlation == "spearman":
        return partial(_rhos, true=_centred_ranks(accuracies, counts), counts=counts)
    return partial(RESAMPLED[correlation], accuracies=accuracies, counts=counts)


def linearised(
    scores: Array, accuracies: Array, counts: Array, correlation: RankCorrelation
) -> Array:
    """Return Somers' D or τ-b on resamples to first order in the counts, ``(resamples,)``.

    With sums over pairs of architectures D is N / B and τ-b N / sqrt(A B), and drawing an
    architecture once more changes each sum by twice what its own pairs add to it. Efron's
    infinitesimal jackknife (The Jackknife, the Bootstrap and Other Resampling Plans, 1982, chapter
    6); what is left out falls with the number of architectures.
    """
    score_ranks, true = dense_ranks(np.stack([resolved(scores), accuracies]))
    above = np.array(
        [_agreement(score_ranks, true, i) for i in range(len(score_ranks))], dtype=np.float64
    )
    below = [len(true) - np.bincount(true)[true]]
    if correlation == "kendall":
        below.append(len(score_ranks) - np.bincount(score_ranks)[score_ranks])
    totals = np.array([untied.sum() for untied in below], dtype=np.float64)
    if not totals.all():
        return np.zeros(len(counts))
    power = 1 / len(below)  # of each sum in the divisor
    scale = float(np.prod(totals**power))
    value = above.sum() / scale
    changes = np.sum([untied / total for untied, total in zip(below, totals, strict=True)], axis=0)
    slopes = 2 * above / scale - 2 * power * value * changes
    return np.asarray(value + counts @ slopes - slopes.sum())


def _agreement(score_ranks: Ranks, true: Ranks, place: int) -> int:
    """Return the concordant less the discordant pairs of one architecture."""
    signs, others = (
        (ranks > ranks[place]).view(np.int8) - (ranks < ranks[place]).view(np.int8)
        for ranks in (score_ranks, true)
    )
    return int(np.sum(signs * others, dtype=np.int64))


def pairs(counts: NDArray[Any], table: NDArray[Any]) -> Array:
    """Sum a table over the pairs of architectures that each resample holds, ``(resamples,)``.

    Args:
        counts: ``(resamples, n)``, how often each architecture was drawn.
        table: ``(n, n)`` of whole numbers, so that float32 is exact too (below 2^24).
    """
    return np.asarray(np.einsum("rn,rn->r", counts @ table, counts, dtype=np.float64))


def ratio(above: Array, below: Array) -> Array:
    """Return ``above / below``, ``(n,)``; 0 where that is no number."""
    return np.divide(above, below, out=np.zeros(len(below)), where=below > 0)


def resample(n: int, resamples: int, seed: int | list[int]) -> Array:
    """Return how often bootstrap resamples draw each of `n` architectures, ``(resamples, n)``."""
    generator = np.random.default_rng(seed)
    return generator.multinomial(n, np.full(n, 1 / n), size=resamples).astype(np.float64)


def resampled_columns(columns: Sequence[Column], resamples: int, seed: int) -> list[Array]:
    """Return how often resamples draw the architectures of each column, ``(resamples, n)``.

    The columns of a space are figures of the same architectures: they share the resamples. Networks
    are drawn, each with all of its copies, which are no further evidence.
    """
    rows, networks = places_by_space(columns), networks_by_space(columns)
    draws = {
        space: _at(
            resample(len(np.unique(numbers)), resamples, [seed, zlib.crc32(space.encode())]),
            numbers,
        )
        for space, numbers in networks.items()
    }
    return [_at(draws[c.space], np.searchsorted(rows[c.space], c.places)) for c in columns]


def _at(drawn: Array, places: NDArray[np.intp]) -> Array:
    """Return how often what is at some places was drawn, not copied if these are all."""
    if np.array_equal(places, np.arange(drawn.shape[1])):
        return drawn
    return drawn[:, places]


def interval(values: Array, coverage: float = 0.95) -> tuple[float, float]:
    """Return the percentile interval of bootstrapped `values`, ``(resamples,)``."""
    low, high = np.quantile(values, [(1 - coverage) / 2, (1 + coverage) / 2])
    return float(low), float(high)

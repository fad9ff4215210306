"""The rank correlations of two vectors.

The fitness is Somers' D of the score given the accuracy (R. H. Somers, American Sociological Review
27, 1962): concordant less discordant pairs, over the pairs whose accuracies differ. A pair that the
score ties counts as a coin toss; without ties in the score it is Kendall's τ. Kendall's τ-b leaves
tied pairs out of its denominator, and so pays a score for saying less.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Ranks: TypeAlias = NDArray[np.int16] | NDArray[np.int32]
RankCorrelation: TypeAlias = Literal["somers", "kendall", "spearman"]
SYMBOLS: dict[RankCorrelation, str] = {"somers": "D", "kendall": "τ", "spearman": "ρ"}  # noqa: RUF001
"""How the rank correlations are written."""
DEFAULT_CORRELATION: RankCorrelation = "somers"

MINIMUM = 3
"""The fewest architectures that a rank correlation is computed over."""

BITS = 20
"""Scores are compared to so many significant bits; the rest may be rounding (float32 has 24)."""


def resolved(scores: Array) -> Array:
    """Return scores, of any shape, rounded to `BITS` bits: what differs by rounding alone ties."""
    mantissas, exponents = np.frexp(scores)
    return np.asarray(np.ldexp(np.round(np.ldexp(mantissas, BITS)), exponents - BITS))


def dense_ranks(values: Array) -> Ranks:
    """Return the rank of each value within its row, equal ones sharing it: ``(rows, n)``.

    >>> dense_ranks(np.array([[0.5, 2.0, 0.5, 1.0]]))
    array([[0, 2, 0, 1]], dtype=int16)
    """
    order = np.argsort(values, axis=1)
    ordered = np.take_along_axis(values, order, axis=1)
    short = values.shape[1] <= np.iinfo(np.int16).max
    steps: Ranks = np.zeros(values.shape, dtype=np.int16 if short else np.int32)
    np.cumsum(ordered[:, 1:] != ordered[:, :-1], axis=1, out=steps[:, 1:])
    ranks = np.empty_like(steps)
    np.put_along_axis(ranks, order, steps, axis=1)
    return ranks


def untied_pairs(ranks: Ranks) -> NDArray[np.int64]:
    """Return how many pairs of each row differ, given its `dense_ranks`: ``(rows,)``."""
    n = ranks.shape[1]
    counts = rank_counts(ranks)
    tied = np.sum(counts * (counts - 1) // 2, axis=1)
    return np.asarray(n * (n - 1) // 2 - tied, dtype=np.int64)


def rank_counts(ranks: Ranks) -> NDArray[np.int64]:
    """Return how often each rank occurs in each row, ``(rows, n)``."""
    rows, n = ranks.shape
    places = ranks + n * np.arange(rows, dtype=np.int64)[:, None]
    return np.bincount(places.ravel(), minlength=rows * n).reshape(rows, n)


def standardised_ranks(scores: Array) -> NDArray[np.float32]:
    """Return the ranks within each row, ``(rows, n)``, centred and of length 1; 0 if all are equal.

    The product of two proxies' rows is Spearman's correlation. Equal scores share the mean of their
    ranks. Scores that differ by rounding alone count as equal.
    """
    shared = doubled_ranks(scores)
    lengths = np.sqrt(np.sum(shared**2, axis=1, keepdims=True))
    standardised = np.divide(shared, lengths, out=np.zeros_like(shared), where=lengths > 0)
    return np.asarray(standardised, dtype=np.float32)


def doubled_ranks(scores: Array) -> Array:
    """Return twice the ranks within each row, ``(rows, n)``, centred; ties as `standardised_ranks`.

    They are whole numbers, so that sums of their products are exact whatever their order.

    >>> doubled_ranks(np.array([[0.5, 2.0, 0.5, 1.0]]))
    array([[-2.,  3., -2.,  1.]])
    """
    ranks = dense_ranks(resolved(scores))
    counts = rank_counts(ranks)
    middles = 2 * np.cumsum(counts, axis=1) - counts - ranks.shape[1]
    return np.take_along_axis(middles, ranks.astype(np.intp), axis=1).astype(np.float64)


def somers(scores: Array, accuracies: Array) -> float:
    """Return Somers' D of scores given accuracies; 0 if one of the two is constant.

    The same as ``scipy.stats.somersd(accuracies, scores)``, by way of τ-b, which SciPy counts
    without a table of all pairs.

    >>> accuracies = np.array([1.0, 2.0, 3.0, 4.0])
    >>> round(somers(np.array([0.0, 0.0, 1.0, 1.0]), accuracies), 3)  # 4 of 6 pairs, and 2 ties
    0.667
    """
    return somers_of(kendall(scores, accuracies), scores, accuracies)


def somers_of(tau: float, scores: Array, accuracies: Array) -> float:
    """Return Somers' D of two vectors of known Kendall's τ-b: τ-b sqrt(score / true pairs)."""
    score_pairs, true = untied_pairs(dense_ranks(np.array([resolved(scores), accuracies])))
    return (
        float(np.clip(tau * math.sqrt(score_pairs / true), -1, 1)) if score_pairs and true else 0.0
    )


TABULATED = 256
"""Of so many values at most all pairs are looked at; of more, SciPy counts them by sorting."""


def kendall(scores: Array, accuracies: Array) -> float:
    """Return Kendall's τ-b of two finite vectors; 0 if one of them is constant.

    That of ``scipy.stats.kendalltau`` to the last bit, which takes longer for its p-value.
    """
    scores = resolved(scores)
    if np.ptp(scores) == 0 or np.ptp(accuracies) == 0:
        return 0.0
    if len(scores) > TABULATED:
        from scipy.stats import kendalltau

        return float(kendalltau(scores, accuracies).statistic)
    ranks = dense_ranks(np.array([scores, accuracies]))
    signs = np.sign(ranks[:, :, None] - ranks[:, None, :])
    score_divisor, true = np.sqrt(untied_pairs(ranks))
    return float(np.clip(np.prod(signs, axis=0).sum() // 2 / score_divisor / true, -1, 1))


def spearman(scores: Array, accuracies: Array) -> float:
    """Return Spearman's rank correlation of two vectors; 0 if one of them is constant.

    That of ``scipy.stats.spearmanr`` to the last bit, which takes longer for its p-value.
    """
    scores = resolved(scores)
    if np.ptp(scores) == 0 or np.ptp(accuracies) == 0:
        return 0.0
    ranks = np.column_stack([average_ranks(scores), average_ranks(accuracies)])
    return float(np.asarray(np.corrcoef(ranks, rowvar=False))[1, 0])


def average_ranks(values: Array) -> Array:
    """Return the rank of each value, from 1, equal ones sharing the mean of theirs: ``(n,)``.

    >>> average_ranks(np.array([0.5, 2.0, 0.5]))
    array([1.5, 3. , 1.5])
    """
    ordered = np.sort(values)
    ends = [np.searchsorted(ordered, values, side) for side in ("left", "right")]
    return np.asarray((ends[0] + ends[1] + 1) / 2)


CORRELATIONS: dict[RankCorrelation, Callable[[Array, Array], float]] = {
    "somers": somers,
    "kendall": kendall,
    "spearman": spearman,
}
"""The rank correlations of two vectors."""

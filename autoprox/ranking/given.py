"""What a score says beyond sizes: partial correlations, and correlations at nearly equal sizes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from autoprox.ranking.correlation import MINIMUM, Array, average_ranks, resolved

RANK_ROUNDING = 1e-12
"""Below this share of its squares nothing is left of one of two vectors, given others."""


def partial_spearman(scores: Array, accuracies: Array, given: Array) -> float | None:
    """Return Spearman's partial correlation of two vectors given a third; None if there is none.

    It is what the ranks of the two have in common beyond what the ranks of the third explain, over
    the places where the third is no NaN.

    >>> x, z = np.array([1.0, 2.0, 4.0, 3.0]), np.array([1.0, 2.0, 3.0, 4.0])
    >>> round(partial_spearman(x, x, z), 6)
    1.0
    """
    there = ~np.isnan(given)
    if there.sum() < MINIMUM:
        return None
    return partial_given(scores[there], accuracies[there], given[None, there])


def partial_given(scores: Array, accuracies: Array, given: Array) -> float | None:
    """Return Spearman's partial correlation of two vectors given several others.

    The correlation of what is left of the ranks of the two after linear regressions on the ranks of
    the others; with one other it is (r_xy - r_xz r_yz) / sqrt((1 - r_xz²) (1 - r_yz²)).

    Args:
        scores: ``(n,)``.
        accuracies: ``(n,)``.
        given: ``(others, n)``.

    Returns:
        None if nothing is left of one of the two.

    >>> given = np.array([[1.0, 2.0, 3.0, 4.0]])
    >>> scores, accuracies = np.array([2.0, 1.0, 4.0, 3.0]), np.array([2.0, 1.0, 3.0, 4.0])
    >>> round(partial_given(scores, accuracies, given), 3)
    0.667
    """
    ranks = np.stack([average_ranks(resolved(vector)) for vector in (scores, accuracies, *given)])
    centred = ranks - ranks.mean(axis=1, keepdims=True)
    pair, others = centred[:2].T, centred[2:].T
    left = pair - others @ np.linalg.lstsq(others, pair, rcond=None)[0]
    squares = np.square(left).sum(axis=0)
    if (squares <= RANK_ROUNDING * np.square(pair).sum(axis=0)).any():
        return None
    return float(np.clip(left[:, 0] @ left[:, 1] / np.sqrt(squares.prod()), -1, 1))


def alike(sizes: Array, factor: float) -> NDArray[np.bool_]:
    """Return which pairs have sizes that differ by no more than a factor, ``(n, n)``.

    Args:
        sizes: ``(kinds, n)``, positive; a pair is alike if it is in every kind of size.
        factor: above 1.

    >>> alike(np.array([[100.0, 104.0, 200.0]]), 1.05).tolist()
    [[True, True, False], [True, True, False], [False, False, True]]
    """
    logs = np.log(sizes)
    apart = np.abs(logs[:, :, None] - logs[:, None, :])
    return np.asarray((apart <= np.log(factor)).all(axis=0))


def somers_among(
    scores: Array, accuracies: Array, pairs: NDArray[np.bool_]
) -> tuple[float | None, int]:
    """Return Somers' D of scores given accuracies over some pairs alone, and how many those are.

    Args:
        scores: ``(n,)``.
        accuracies: ``(n,)``.
        pairs: ``(n, n)``, symmetric: which pairs count; those of equal accuracies never do.

    Returns:
        D, or None without a pair, and the number of pairs.

    >>> pairs = np.ones((3, 3), dtype=bool)
    >>> somers_among(np.array([1.0, 3.0, 2.0]), np.array([1.0, 2.0, 3.0]), pairs)
    (0.3333333333333333, 3)
    """
    scores = resolved(scores)
    true = np.sign(accuracies[:, None] - accuracies[None, :])[np.triu(pairs, 1)]
    score_signs = np.sign(scores[:, None] - scores[None, :])[np.triu(pairs, 1)]
    count = int(np.abs(true).sum())
    return (float((score_signs * true).sum() / count) if count else None), count

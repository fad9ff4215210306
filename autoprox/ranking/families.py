"""One fitness over several families of architectures, of which a proxy may read only some."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

import numpy as np

from autoprox.ranking.correlation import Array
from autoprox.ranking.ranker import Column, joint, weights

Over: TypeAlias = Literal["mean", "median", "worst", "gain", "wins", "share", "lexicase"]

OVER: tuple[Over, ...] = ("mean", "median", "worst", "gain", "wins", "share", "lexicase")
"""How families become one fitness: the mean, the median or the least of their correlations; or,
beside the counts, the least of what a proxy gains over the best of them in a family, see `gain`,
or in how many families it is above each of them, see `wins`; or the mean of their shares of
`Column.ceiling`, of what the figures' noise allows; or the mean, and parents are chosen by lexicase
selection over the families."""

AGAINST_COUNTS: tuple[Over, ...] = ("gain", "wins")
"""Those that compare a proxy with the counts."""


def columns_by_family(columns: Sequence[Column]) -> tuple[tuple[int, ...], ...]:
    """Return the places of each family's columns, families in the order of their first column."""
    places: dict[str, list[int]] = {}
    for place, column in enumerate(columns):
        places.setdefault(column.family, []).append(place)
    return tuple(map(tuple, places.values()))


def by_family(correlations: Array, columns: Sequence[Column]) -> Array:
    """Return the mean correlation of each family: ``(…, columns)`` to ``(…, families)``.

    Families are in the order of their first column.
    """
    everywhere = np.arange(len(columns))
    members = np.array([np.isin(everywhere, places) for places in columns_by_family(columns)])
    return np.asarray(correlations @ (members / members.sum(axis=1, keepdims=True)).T)


def over_families(
    correlations: Array, columns: Sequence[Column], over: Over, counts: Array | None = None
) -> Array:
    """Return one fitness a proxy: ``(proxies, columns)`` to ``(proxies,)``.

    Args:
        correlations: of each proxy with each column.
        columns: the figures, each of a family.
        over: how families are put together.
        counts: ``(counts, columns)``, the correlations of params, FLOPs, depth and width; only for
            `AGAINST_COUNTS`.
    """
    if over == "share":
        # A column that is all noise says nothing, and none gives more than all that can be had.
        ceilings = np.array([column.ceiling or np.inf for column in columns])
        correlations = np.clip(correlations / ceilings, -1, 1)
    if over in ("mean", "share", "lexicase"):
        return joint(correlations, weights(columns))
    families = by_family(correlations, columns)
    if over == "median":
        return np.asarray(np.median(families, axis=-1))
    if counts is not None:
        rivals = by_family(counts, columns)
        if over == "wins":
            return wins(families, rivals)
        families = gain(families, rivals.max(axis=0))
    return np.asarray(families.min(axis=-1))


def wins(correlations: Array, rivals: Array) -> Array:
    """Return in what share of the families a proxy is above the rival that is hardest to beat.

    The share is that of the rival which it beats least often. The mean correlation counts as much
    as one family: it decides among equals, and never outweighs one. So a family on which a proxy is
    outstanding does not pay for others, as it does in the mean. At most 1, as a correlation is.

    Args:
        correlations: ``(proxies, families)``.
        rivals: ``(rivals, families)``, their correlations.

    >>> rivals = np.array([[0.4, 0.4], [0.1, 0.6]])
    >>> wins(np.array([[0.9, 0.3], [0.5, 0.5]]), rivals).round(3).tolist()
    [0.533, 0.5]
    """
    families = correlations.shape[-1]
    won = (correlations[:, None, :] > rivals).sum(axis=-1).min(axis=-1)
    return np.asarray((won + correlations.mean(axis=-1)) / (families + 1))


def gain(correlations: Array, reference: Array) -> Array:
    """Return how far correlations are from a reference to 1, or to -1 below it.

    1 is a perfect ranking, 0 the reference, -1 a ranking upside down; shapes broadcast. Nothing is
    gained on a reference that is perfect or upside down itself by what equals it. Above the
    reference it is the skill score of forecasting (A. H. Murphy, Monthly Weather Review 116, 1988).

    >>> gain(np.array([0.8, 0.6, -0.2]), np.array(0.6)).round(3).tolist()
    [0.5, 0.0, -0.5]
    """
    difference = correlations - reference
    return np.asarray(difference / (1 - np.sign(difference) * reference))

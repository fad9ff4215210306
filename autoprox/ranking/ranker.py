"""How well the scores of many candidates rank the accuracies of a bench, and the joint correlation.

`Ranker` compares many candidates with all targets of a bench in one go, by the signs of all pairs
of architectures of a space: the targets' signs are computed once, and all that is left is a matrix
product. The pairs are in the order of their distance in the table, so that those of one distance
are the differences of two slices. Columns of thousands of architectures have too many pairs: there
candidates are sorted, one by one.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoprox.errors import BenchError
from autoprox.ranking.correlation import (
    CORRELATIONS,
    DEFAULT_CORRELATION,
    MINIMUM,
    Array,
    RankCorrelation,
    Ranks,
    dense_ranks,
    doubled_ranks,
    resolved,
    untied_pairs,
)

PAIRS_AT_ONCE = 2**20
"""How many pairs of scores are compared at once: bounds the memory of a ranking."""

LARGEST = 1000
"""The most architectures whose pairs are compared; of more, sorting is faster, and float32 would
not count the pairs."""


@dataclass(frozen=True)
class Column:
    """One target of one space: the figures that scores are compared with.

    Attributes:
        space: the space's name.
        target: the target's name.
        places: ``(n,)``, the architectures' places in the table.
        accuracies: ``(n,)``, their figures; no NaN.
        weight: how much the column counts in the joint correlation, beside the others.
        family: of the space; every family counts the same, see `balanced`.
        apart: ``(n,)``, figures from training without a teacher where `accuracies` are from
            training with one; NaN where there is none, None if the target has none.
        noise: the standard deviation of a figure over repeated trainings; 0 if nobody knows it.
        networks: for each place in the table a number, equal for copies of one network; None if
            there are none.
    """

    space: str
    target: str
    places: NDArray[np.intp]
    accuracies: Array
    weight: float = 1.0
    family: str = ""
    apart: Array | None = None
    noise: float = 0.0
    networks: NDArray[np.intp] | None = None

    @property
    def name(self) -> str:
        """The space and the target."""
        return f"{self.space}/{self.target}"

    def network_of(self, places: NDArray[np.intp]) -> NDArray[np.intp]:
        """Return the number of the network at each of some places; copies of one share it."""
        return places if self.networks is None else self.networks[places]

    @cached_property
    def ceiling(self) -> float:
        """The Somers' D that the noise of the figures allows, 1 if it is not known.

        The part r of the figures' variance that is no noise is how much of the gap between two of
        them is true in the mean, so that their order is the true one with probability
        Φ(√r gap / √2 noise), if true figures and noise are normal.
        """
        if not self.noise:
            return 1.0
        from scipy.special import erf

        true = max(0.0, 1 - self.noise**2 / self.accuracies.var())
        scale = math.sqrt(true) / (2 * self.noise)
        gaps = (np.abs(self.accuracies - accuracy) for accuracy in self.accuracies)
        right = [(erf(scale * gap).sum(), np.count_nonzero(gap)) for gap in gaps]
        expected, pairs = np.sum(right, axis=0)
        return float(expected / pairs)


def check_column(column: Column) -> None:
    """Raise `BenchError` if a column cannot be ranked by."""
    count = len(column.places)
    if count < MINIMUM:
        raise BenchError(f"column {column.name!r} has {count} figures; ranking needs {MINIMUM}")
    if np.ptp(column.accuracies) == 0:
        raise BenchError(
            f"column {column.name!r} has the same figure for all of its {count} architectures "
            f"({column.accuracies[0]:g}); there is nothing to rank by: leave the target or the "
            "space out"
        )


def balanced(columns: Sequence[Column], families: Sequence[str]) -> list[Column]:
    """Return columns of families with weights: families count the same, a column 1 on average.

    So with one family every weight is exactly 1.
    """
    sizes = Counter(families)
    mean = len(columns) / max(1, len(sizes))
    return [
        replace(column, weight=mean / sizes[family], family=family)
        for column, family in zip(columns, families, strict=True)
    ]


@dataclass(frozen=True)
class _Group:
    """The columns that have figures for the same architectures.

    Attributes:
        places: ``(n,)``, of the architectures.
        signs: ``(columns, pairs)`` float32, of the figures; none where `LARGEST` is exceeded.
        untied: ``(columns,)``, how many pairs have a sign.
        ranks: ``(columns, n)``, `doubled_ranks` of the figures.
        members: the columns' places.
    """

    places: NDArray[np.intp]
    signs: NDArray[np.float32]
    untied: Array
    ranks: Array
    members: list[int]


class Ranker:
    """The rank correlation of candidates with every column, for use inside a search.

    Args:
        columns: the figures; every column has at least `MINIMUM` architectures that are not all
            equal.
        correlation: ``"somers"`` for D, ``"kendall"`` for τ-b or ``"spearman"`` for rho.

    Raises:
        BenchError: a column is too short or constant.
    """

    def __init__(
        self, columns: Sequence[Column], correlation: RankCorrelation = DEFAULT_CORRELATION
    ) -> None:
        self.columns = tuple(columns)
        self.correlation = correlation
        self.weights = weights(self.columns)
        self._scratch = Scratch()
        groups: dict[bytes, list[int]] = {}
        for i, column in enumerate(self.columns):
            check_column(column)
            groups.setdefault(column.places.tobytes(), []).append(i)
        self._groups = [self._group(members) for members in groups.values()]

    def _group(self, members: list[int]) -> _Group:
        """Prepare the columns that have figures for the same architectures."""
        figures = np.stack([self.columns[i].accuracies for i in members])
        doubled = doubled_ranks(figures)
        if figures.shape[1] > LARGEST:
            figures = figures[:, :0]
        ranks = dense_ranks(figures)
        signs = np.ascontiguousarray(pair_signs(ranks, Scratch()).T)
        untied = untied_pairs(ranks).astype(np.float64)
        places = self.columns[members[0]].places
        return _Group(places, signs, untied, doubled, members)

    def correlations(self, scores: Array) -> Array:
        """Return the correlation of each candidate with each column, ``(candidates, columns)``.

        `scores` is ``(candidates, architectures)``. Scores that do not tell the architectures of a
        column apart have 0 there.
        """
        return self.rhos(scores) if self.correlation == "spearman" else self._by_pairs(scores)

    def rhos(self, scores: Array) -> Array:
        """Return Spearman's rho of each candidate with each column, as `correlations` does.

        No candidate's depends on which others are there, as all sums are exact.
        """
        import torch

        out = np.zeros((len(scores), len(self.columns)))
        for group in self._groups:
            score_ranks = doubled_ranks(scores[:, group.places])
            above = (torch.from_numpy(score_ranks) @ torch.from_numpy(group.ranks).T).numpy()
            squares = [np.square(ranks).sum(axis=1) for ranks in (score_ranks, group.ranks)]
            out[:, group.members] = above / np.sqrt(np.maximum(np.outer(*squares), 1))
        return out

    def _by_pairs(self, scores: Array) -> Array:
        """Return Somers' D or Kendall's τ-b, as `correlations` does: they differ in the divisor."""
        import torch

        out = np.zeros((len(scores), len(self.columns)))
        scores = resolved(scores)
        for group in self._groups:
            if len(group.places) > LARGEST:
                correlated = CORRELATIONS[self.correlation]
                out[:, group.members] = [
                    [correlated(row, self.columns[i].accuracies) for i in group.members]
                    for row in scores[:, group.places]
                ]
                continue
            ranks = dense_ranks(scores[:, group.places])
            divisors = np.broadcast_to(group.untied, (len(scores), len(group.members)))
            if self.correlation == "kendall":
                own_untied = np.maximum(untied_pairs(ranks), 1)
                divisors = np.sqrt(own_untied)[:, None] * np.sqrt(group.untied)
            chunk = max(1, PAIRS_AT_ONCE // group.signs.shape[1])
            for start in range(0, len(scores), chunk):
                rows = slice(start, start + chunk)
                score_signs = pair_signs(ranks[rows], self._scratch)
                # By torch, which keeps to one thread: numpy's threads wait in the way of others.
                above = (torch.from_numpy(group.signs) @ torch.from_numpy(score_signs)).numpy()
                out[rows, group.members] = above.T / divisors[rows]
        return out


class Scratch:
    """Memory for what is soon thrown away: to ask the system for it costs as much as to fill it."""

    def __init__(self) -> None:
        self._held: dict[np.dtype[Any], NDArray[Any]] = {}

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
        """Return an array with anything in it; the next one of its type takes its place."""
        size = math.prod(shape)
        if dtype not in self._held or self._held[dtype].size < size:
            self._held[dtype] = np.empty(size, dtype)
        return self._held[dtype][:size].reshape(shape)


def pair_signs(ranks: Ranks, scratch: Scratch) -> NDArray[np.float32]:
    """Return the signs of the differences of all pairs, ``(rows, n)`` to ``(pairs, rows)``.

    Neighbours first, then next neighbours, and so on.
    """
    rows, n = ranks.shape
    shape = n * (n - 1) // 2, rows
    out = scratch.empty(shape, ranks.dtype)
    columns = ranks.T.copy()
    start = 0
    for distance in range(1, n):
        stop = start + n - distance
        np.subtract(columns[distance:], columns[:-distance], out=out[start:stop])
        start = stop
    signs = scratch.empty(shape, np.dtype(np.float32))
    signs[...] = np.clip(out, -1, 1, out=out)
    return signs


def places_by_space(columns: Sequence[Column]) -> dict[str, NDArray[np.intp]]:
    """Return the architectures of the columns of each space, as sorted places in the table."""
    places: dict[str, list[NDArray[np.intp]]] = {}
    for column in columns:
        places.setdefault(column.space, []).append(column.places)
    return {
        space: np.unique(np.concatenate(column_places)) for space, column_places in places.items()
    }


def networks_by_space(columns: Sequence[Column]) -> dict[str, NDArray[np.intp]]:
    """Return of which network, from 0, each architecture of `places_by_space` is a copy."""
    first = {column.space: column for column in reversed(columns)}
    return {
        space: np.unique(first[space].network_of(places), return_inverse=True)[1]
        for space, places in places_by_space(columns).items()
    }


def weights(columns: Sequence[Column]) -> Array:
    """Return the weights of columns, ``(columns,)``."""
    return np.array([column.weight for column in columns], dtype=np.float64)


def joint(correlations: Array, weights: Array) -> Array:
    """Return the joint correlation, the mean over the columns: ``(…, columns)`` to ``(…)``.

    The mean is weighted by `weights`, ``(columns,)``; if they are all 1 it is the plain one to the
    last bit.

    The published systems average |τ|, under which a proxy may rank one target upside down; here the
    sign counts (Auto-Prox, AAAI 2024, joint correlation metric; its formula is not printed in the
    paper).
    """
    return np.asarray(np.average(correlations, axis=-1, weights=weights))

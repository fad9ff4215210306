"""How candidates are judged: their scores on the search split, against its figures.

In one process or many.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from autoprox.evaluate import Evaluator, Table
from autoprox.graph import Graph, apply
from autoprox.primitives import PRIMITIVES, Primitive
from autoprox.ranking import Ranker, joint, resolved
from autoprox.text import parse


@dataclass(frozen=True, slots=True)
class Candidate:
    """A graph and what the search split says of it.

    Attributes:
        graph: turned so that a higher score is better: the negative of what was proposed, if need
            be.
        taus: Kendall's τ for each column; empty after a failure.
        fitness: the joint correlation; None after a failure.
        failure: why there is no fitness; None if there is one.
        behaviour: a digest of how the architectures are ranked; equal for proxies that rank alike.
        ranks: how each space's architectures are ranked, standardised and concatenated, so that the
            product of two proxies' ranks is the mean of their rank correlations; None if it is not
            at hand.
    """

    graph: Graph
    taus: tuple[float, ...]
    fitness: float | None
    failure: str | None
    behaviour: str
    ranks: NDArray[np.float32] | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True)
class TableAddress:
    """Where another process finds the search split's table: a function and what to call it with."""

    load: Callable[..., Table]
    arguments: tuple[Any, ...]


PARTS_PER_JOB = 6
"""Into how many parts a table is cut for each process."""

BLOCK_BYTES = 64 * 2**20
"""How much the values of reductions that are computed together may take."""

_TABLES: dict[tuple[Any, ...], Evaluator] = {}


def _evaluator(address: TableAddress) -> Evaluator:
    """Return this process's evaluator for the table at `address`; the table is loaded once."""
    if address.arguments not in _TABLES:
        torch.set_num_threads(1)
        _TABLES.clear()
        _TABLES[address.arguments] = Evaluator(address.load(*address.arguments))
    return _TABLES[address.arguments]


def own_primitives() -> tuple[Primitive, ...]:
    """Return the primitives that do not come with autoprox, which other processes lack."""
    home = "autoprox.primitives."
    return tuple(
        each for each in PRIMITIVES.values() if not each.function.__module__.startswith(home)
    )


def take_primitives(given: tuple[Primitive, ...]) -> None:
    """Register another process's own primitives; its definitions hold, whatever was here before."""
    for made in given:
        if made.name in PRIMITIVES:
            PRIMITIVES.unregister(made.name)
        PRIMITIVES.register(made.name, made)


def _reduce_elsewhere(
    address: TableAddress,
    given: tuple[Primitive, ...],
    texts: tuple[str, ...],
    places: tuple[int, ...],
) -> NDArray[np.float64]:
    """Reduce tensors of some measurements of a table: ``(reductions, measurements, widest)``."""
    take_primitives(given)
    table = _evaluator(address).table
    return table.reduced([parse(text) for text in texts], places).numpy()


def score(evaluator: Evaluator, graph: Graph) -> tuple[NDArray[np.float64] | None, str | None]:
    """Return the scores of a graph on every network, or None and the reason why it has none."""
    scores = evaluator(graph)
    if scores.failure is not None:
        return None, scores.failure
    if np.ptp(resolved(scores.values)) == 0:
        return None, "the same score for every network"
    return scores.values, None


class Judge:
    """Judges graphs on the search split.

    Args:
        table: the statistics of the architectures of the search split.
        ranker: the columns; their places refer to `table`.
        address: where other processes find the same table; needed if `jobs` > 1.
        jobs: the number of processes.
    """

    def __init__(
        self, table: Table, ranker: Ranker, address: TableAddress | None = None, jobs: int = 1
    ) -> None:
        """Start no process yet."""
        self.evaluator = Evaluator(table)
        self.ranker = ranker
        by_space: dict[str, set[int]] = {}
        for column in ranker.columns:
            by_space.setdefault(column.space, set()).update(column.places.tolist())
        self._spaces = [np.array(sorted(places)) for places in by_space.values()]
        self.address = address
        self.jobs = jobs

    def scores(
        self, graphs: Sequence[Graph]
    ) -> list[tuple[NDArray[np.float64] | None, str | None]]:
        """Return the scores of each graph, or None and a reason, in order."""
        unknown = self.evaluator.unknown_reductions(graphs)
        table = self.evaluator.table
        size = max(1, BLOCK_BYTES // (8 * len(table.measurements) * table.widest))
        for start in range(0, len(unknown), size):
            block = unknown[start : start + size]
            for reduction, numbers in zip(block, self._reduced(block), strict=True):
                self.evaluator.remember(reduction, numbers)
        return [score(self.evaluator, graph) for graph in graphs]

    def _reduced(self, reductions: Sequence[Graph]) -> torch.Tensor:
        """Reduce tensors here or in other processes, each of which takes some measurements."""
        table = self.evaluator.table
        if self.jobs == 1 or self.address is None:
            return table.reduced(reductions)
        from joblib import Parallel, delayed

        # Small parts: whichever worker is free takes the next.
        count = len(table.measurements)
        parts = np.array_split(np.arange(count), min(count, PARTS_PER_JOB * self.jobs))
        texts, given = tuple(each.text for each in reductions), own_primitives()
        work = (
            delayed(_reduce_elsewhere)(self.address, given, texts, tuple(part.tolist()))
            for part in parts
        )
        done = Parallel(n_jobs=self.jobs, backend="loky", batch_size=1, max_nbytes=None)(work)
        return torch.from_numpy(np.concatenate(list(done), axis=1))

    def __call__(self, graphs: Sequence[Graph]) -> list[Candidate]:
        """Return the candidates in the order of `graphs`."""
        scored = self.scores(graphs)
        valid = [i for i, (values, _) in enumerate(scored) if values is not None]
        rows = [values for values, _ in scored if values is not None]
        taus = self.ranker.taus(np.stack(rows)) if rows else np.zeros((0, 0))
        candidates = [
            Candidate(graph, (), None, reason, "")
            for graph, (_, reason) in zip(graphs, scored, strict=True)
        ]
        for i, values, row in zip(valid, rows, taus, strict=True):
            candidates[i] = judged(graphs[i], self._ranks(values), row, self.ranker.weights)
        return candidates

    def _ranks(self, scores: NDArray[np.float64]) -> NDArray[np.float32]:
        """Return the standardised ranks within each space, ``(architectures,)``."""
        parts = [standardised_ranks(scores[places]) for places in self._spaces]
        return np.concatenate(parts) / np.float32(np.sqrt(len(parts)))


def judged(
    graph: Graph,
    ranks: NDArray[np.float32],
    taus: NDArray[np.float64],
    weights: NDArray[np.float64],
) -> Candidate:
    """Return a valid graph's candidate, turned so that its joint correlation is not negative.

    Args:
        graph: what was proposed.
        ranks: of its scores.
        taus: Kendall's τ of its scores with each column.
        weights: of the columns in the joint correlation.
    """
    fitness = float(joint(taus, weights))
    if fitness < 0:
        graph, ranks, taus, fitness = negated(graph), -ranks, -taus, -fitness
    return Candidate(graph, tuple(map(float, taus)), fitness, None, behaviour(ranks), ranks)


def negated(graph: Graph) -> Graph:
    """Return the graph with the opposite sign, without writing it twice."""
    return graph.args[0] if graph.word == "negative" else apply("negative", graph)


def standardised_ranks(scores: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the ranks of `scores`, centred and of length 1; 0 if all are equal.

    Equal scores share their rank. Scores that differ by rounding alone count as equal.
    """
    values, ranks, counts = np.unique(resolved(scores), return_inverse=True, return_counts=True)
    if len(values) == 1:
        return np.zeros(len(scores), dtype=np.float32)
    # The mean place of equal scores, as in Spearman's correlation.
    middle = np.cumsum(counts) - (counts + 1) / 2 - (len(scores) - 1) / 2
    shared = middle[ranks]
    return np.asarray(shared / np.linalg.norm(shared), dtype=np.float32)


def behaviour(ranks: NDArray[np.float32]) -> str:
    """Return a digest of the order that the scores put each space's architectures in."""
    rounded = np.round(ranks * 2**20).astype(np.int32)
    return hashlib.blake2b(rounded.tobytes(), digest_size=8).hexdigest()

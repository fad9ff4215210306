"""How candidates are judged: their scores on the search split, against its figures.

In one process or many.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from autoprox.evaluation.evaluate import CACHE_BYTES, Evaluator, Scores, Table
from autoprox.language.graph import Graph, apply
from autoprox.language.text import parse
from autoprox.primitives import PRIMITIVES
from autoprox.primitives.facts import NO_FACTS, Facts
from autoprox.primitives.primitive import negation
from autoprox.ranking import Over, Ranker, joint, over_families, resolved, standardised_ranks
from autoprox.ranking.ranker import places_by_space
from autoprox.runtime.parallel import HERE, Workers


@dataclass(frozen=True, slots=True)
class Candidate:
    """A graph and what the search split says of it.

    Attributes:
        graph: turned so that a higher score is better: the negative of what was proposed, if need
            be.
        correlations: the rank correlation with each column; empty after a failure.
        fitness: the joint correlation; None after a failure.
        failure: why there is no fitness; None if there is one.
        behaviour: a digest of how the architectures are ranked; equal for proxies that rank alike.
        tells_few_apart: whether the first `FEW` architectures have scores that differ.
        ranks: how each space's architectures are ranked, standardised and concatenated, so that the
            product of two proxies' ranks is the mean of their rank correlations; None if it is not
            at hand.
    """

    graph: Graph
    correlations: tuple[float, ...]
    fitness: float | None
    failure: str | None
    behaviour: str
    tells_few_apart: bool = True
    ranks: NDArray[np.float32] | None = field(default=None, repr=False, compare=False)


FEW = 4
"""How many architectures EMQ's early rejection looks at; that number is its sibling systems'."""


@dataclass(frozen=True)
class TableAddress:
    """Where another process finds the search split's table: a function and what to call it with."""

    load: Callable[..., Table]
    arguments: tuple[Any, ...]


PARTS_PER_JOB = 3
"""Into how many parts a table is cut for each process, so that a fast one takes more of them."""

BLOCKS_PER_PART = 16
"""How many blocks a part has at least, where each process has one: handing it over takes time."""

BLOCK_BYTES = 64 * 2**20
"""How much the values of reductions that are computed together may take."""

PORTION = 2**17
"""How many layers may be judged at once, counting each network as wide as the widest: values of a
megabyte, so that a table of any size takes no more memory than one of a thousand networks."""

Reduced: TypeAlias = tuple[int, NDArray[np.float64]]
"""The place of a measurement, and ``(reductions, measurements, widest)`` from there on."""

_TABLES: dict[tuple[Any, ...], Evaluator] = {}


def evaluator_of(address: TableAddress) -> Evaluator:
    """Return this process's evaluator for the table at `address`; the table is loaded once."""
    if address.arguments not in _TABLES:
        torch.set_num_threads(1)
        _TABLES.clear()
        _parsed.cache_clear()
        _TABLES[address.arguments] = Evaluator(address.load(*address.arguments))
    return _TABLES[address.arguments]


@lru_cache(maxsize=4)
def _parsed(texts: tuple[str, ...]) -> list[Graph]:
    """Return the graphs of the texts that come with every part of a table."""
    return [parse(text) for text in texts]


def _reduce_elsewhere(address: TableAddress, texts: tuple[str, ...], places: range) -> Reduced:
    """Reduce tensors of some measurements of a table."""
    table = evaluator_of(address).table
    return places.start, table.reduced(_parsed(texts), places).numpy()


@dataclass(eq=False)
class Portion:
    """Some networks of a table, on which graphs are evaluated.

    Attributes:
        table: of these networks.
        start: the place of their first measurement in the whole table.
        address: where other processes find the whole table; without it this one does all.
        workers: who reduces tensors.
        cache_bytes: how much to remember from one generation to the next.
    """

    table: Table
    start: int
    address: TableAddress | None
    workers: Workers
    cache_bytes: int

    def __post_init__(self) -> None:
        """Start with nothing evaluated."""
        self.evaluator = Evaluator(self.table)
        self._begun: tuple[list[Graph], Iterator[Reduced]] | None = None

    def scores(self, graphs: Sequence[Graph]) -> dict[Graph, Scores]:
        """Return the scores of graphs; of those that fail, with one reason."""
        scored: dict[Graph, Scores] = {}
        self._finish()
        left = list(graphs)
        while self._begin(left):
            if not self.workers.here:  # while they are busy: what needs nothing of them
                scored.update(self._ready(left))
            self._finish()
            scored.update(self._ready([graph for graph in left if graph not in scored]))
            left = [graph for graph in left if graph not in scored]
        # One may have pushed what another needs out of the cache: that is computed here and now.
        scored.update({graph: self.evaluator(graph, reasons=1) for graph in left})
        self.evaluator.trim(self.cache_bytes)
        return scored

    def prepare(self, graphs: Sequence[Graph]) -> None:
        """Let other processes begin with what `graphs` need; they are evaluated later."""
        self._finish()
        if not self.workers.here:
            self._begin(graphs)

    def _ready(self, graphs: Sequence[Graph]) -> dict[Graph, Scores]:
        """Return the scores of those graphs whose reductions are known by now."""
        return {
            graph: self.evaluator(graph, reasons=1)
            for graph in graphs
            if not self.evaluator.unknown_reductions([graph])
        }

    def _begin(self, graphs: Sequence[Graph]) -> bool:
        """Begin with unknown reductions, as many as fit; say whether there are any."""
        table = self.table
        size = max(1, BLOCK_BYTES // (8 * len(table.measurements) * table.widest))
        unknown = self.evaluator.unknown_reductions(graphs)[:size]
        if unknown:
            self._begun = unknown, self._reduced(unknown)
        return bool(unknown)

    def _finish(self) -> None:
        """Wait for what was begun, and remember it."""
        if self._begun is None:
            return
        (reductions, results), self._begun = self._begun, None
        parts = [part for _, part in sorted(results, key=lambda result: result[0])]
        reduced = np.concatenate(parts, axis=1)[:, :, : self.table.widest]
        for reduction, numbers in zip(reductions, reduced, strict=True):
            self.evaluator.remember(reduction, torch.from_numpy(numbers))

    def _reduced(self, reductions: Sequence[Graph]) -> Iterator[Reduced]:
        """Reduce tensors here or in other processes, each of which takes some measurements."""
        table = self.table
        if self.workers.here or self.address is None:
            return iter([(0, table.reduced(reductions).numpy())])
        jobs = self.workers.jobs
        count = min(PARTS_PER_JOB * jobs, max(jobs, len(table.blocks()) // BLOCKS_PER_PART))
        parts = table.parts(count)
        texts = tuple(reduction.text for reduction in reductions)
        places = (range(self.start + part.start, self.start + part.stop) for part in parts)
        return self.workers.unordered(
            _reduce_elsewhere, ((self.address, texts, part) for part in places)
        )


def portions(
    table: Table, address: TableAddress | None = None, workers: Workers = HERE
) -> list[Portion]:
    """Cut a table into portions of neighbours; networks that share measurements stay together."""
    size = len(table) if table.sources is not None else max(1, PORTION // table.widest)
    if size >= len(table):
        return [Portion(table, 0, address, workers, CACHE_BYTES)]
    starts = range(0, len(table), size)
    return [
        Portion(
            table.subset(range(start, min(start + size, len(table)))),
            start,
            address,
            workers,
            CACHE_BYTES // len(starts),
        )
        for start in starts
    ]


class Judge:
    """Judges graphs on the search split.

    Args:
        table: the statistics of the architectures of the search split.
        ranker: the columns; their places refer to `table`.
        address: where other processes find the same table; without it this one does all.
        workers: who reduces tensors.
        over: how families become one fitness.
        counts: the trivial counts; only for a fitness that compares with them.
    """

    def __init__(
        self,
        table: Table,
        ranker: Ranker,
        address: TableAddress | None = None,
        workers: Workers = HERE,
        over: Over = "mean",
        counts: Sequence[Graph] = (),
    ) -> None:
        self.portions = portions(table, address, workers)
        self.address = address
        self.ranker = ranker
        self._spaces = list(places_by_space(ranker.columns).values())
        self._over: Over = over
        self._counts = ranker.correlations(self.scores(counts)[1]) if counts else None

    @property
    def evaluator(self) -> Evaluator | None:
        """Over the whole table, with all that it remembers; None if the table is cut."""
        return self.portions[0].evaluator if len(self.portions) == 1 else None

    def scores(self, graphs: Sequence[Graph]) -> tuple[list[str | None], NDArray[np.float64]]:
        """Return why each graph has no scores, or None, and the scores of those that have.

        A graph that fails on a portion is not evaluated on the next one.

        Returns:
            The reasons, in order, and ``(valid graphs, architectures)``.
        """
        failures: dict[Graph, str] = {}
        values: dict[Graph, list[NDArray[np.float64]]] = {graph: [] for graph in graphs}
        for portion in self.portions:
            left = [graph for graph in values if graph not in failures]
            for graph, scores in portion.scores(left).items():
                values[graph].append(scores.values)
                if scores.failure is not None:
                    failures[graph] = scores.failure
        reasons = [failures.get(graph) for graph in graphs]
        finite = [i for i, reason in enumerate(reasons) if reason is None]
        networks = sum(len(portion.table) for portion in self.portions)
        stacked = np.empty((len(finite), networks))
        for row, i in zip(stacked, finite, strict=True):
            np.concatenate(values[graphs[i]], out=row)
        return that_differ(reasons, stacked)

    def prepare(self, graphs: Sequence[Graph]) -> None:
        """Let other processes begin with what `graphs` need; they are judged later."""
        self.portions[0].prepare(graphs)

    def __call__(self, graphs: Sequence[Graph]) -> list[Candidate]:
        """Return the candidates in the order of `graphs`."""
        reasons, scores = self.scores(graphs)
        correlations = self.ranker.correlations(scores)
        fitnesses = joint(correlations, self.ranker.weights).tolist()
        valid = iter(zip(self._ranks(scores), correlations, fitnesses, strict=True))
        candidates = [
            judged(graph, *next(valid))
            if reason is None
            else Candidate(graph, (), None, reason, "")
            for graph, reason in zip(graphs, reasons, strict=True)
        ]
        return candidates if self._over == "mean" else self._put_together(candidates)

    def _put_together(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """Return the candidates with the fitness over their families."""
        turned = np.array([c.correlations for c in candidates if c.failure is None])
        columns = self.ranker.columns
        fitnesses = over_families(
            turned.reshape(-1, len(columns)), columns, self._over, self._counts
        )
        left = iter(fitnesses.tolist())
        return [
            replace(candidate, fitness=next(left)) if candidate.failure is None else candidate
            for candidate in candidates
        ]

    def _ranks(self, scores: NDArray[np.float64]) -> NDArray[np.float32]:
        """Return the standardised ranks within each space, ``(candidates, architectures)``."""
        parts = [standardised_ranks(scores[:, places]) for places in self._spaces]
        return np.concatenate(parts, axis=1) / np.float32(np.sqrt(len(parts)))


def that_differ(
    reasons: Sequence[str | None], scores: NDArray[np.float64]
) -> tuple[list[str | None], NDArray[np.float64]]:
    """Take out scores, ``(graphs without a reason, architectures)``, that are all the same."""
    differ = np.ptp(resolved(scores), axis=1) > 0
    left = iter(differ)
    same = "the same score for every network"
    return [reason or (None if next(left) else same) for reason in reasons], scores[differ]


def judged(
    graph: Graph, ranks: NDArray[np.float32], correlations: NDArray[np.float64], fitness: float
) -> Candidate:
    """Return a valid graph's candidate, turned so that its joint correlation is not negative."""
    if fitness < 0:
        graph, ranks, correlations, fitness = negated(graph), -ranks, -correlations, -fitness
    few = bool(np.ptp(ranks[:FEW]))
    by_column = tuple(correlations.tolist())
    return Candidate(graph, by_column, fitness, None, behaviour(ranks), few, ranks)


def negated(graph: Graph) -> Graph:
    """Return the graph with the opposite sign, with a node more only if there is no other way."""
    if _facts(graph).negates:
        return graph.args[0]
    if _turns(graph):
        return apply(graph.word, *reversed(graph.args))
    return apply(negation(), graph)


def _facts(graph: Graph) -> Facts:
    """Return what holds of a graph's topmost word."""
    return PRIMITIVES[graph.word].facts if graph.args else NO_FACTS


def _turns(graph: Graph) -> bool:
    """Say whether it is a difference of two that evolution can write either way."""
    return _facts(graph).anticommutative and all(arg.kind is not None for arg in graph.args)


def unsigned(graph: Graph) -> Graph:
    """Return one and the same graph for a proxy and its negative, which are one proxy.

    >>> from autoprox.language.text import parse
    >>> unsigned(parse("negative(sum(params))")).text
    'sum(params)'
    """
    if _facts(graph).negates:
        return unsigned(graph.args[0])
    if _turns(graph) and graph.args[0].text > graph.args[1].text:
        return negated(graph)
    return graph


def behaviour(ranks: NDArray[np.float32]) -> str:
    """Return a digest of the order that the scores put each space's architectures in."""
    rounded = np.round(ranks * 2**20).astype(np.int32)
    return hashlib.blake2b(rounded.tobytes(), digest_size=8).hexdigest()

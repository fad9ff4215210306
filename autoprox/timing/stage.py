"""What the comparisons share: networks, their table, candidates, and how a lap is timed."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoprox.benches import Architecture, Bench, load_bench
from autoprox.errors import BenchError
from autoprox.evaluation.evaluate import Evaluator, Table
from autoprox.evolution.drawing import drawing_from
from autoprox.evolution.judge import Judge
from autoprox.evolution.settings import Settings
from autoprox.evolution.variation import Variation
from autoprox.language.graph import Graph
from autoprox.ranking import Ranker
from autoprox.runs.ground import Ground, lay
from autoprox.runtime.parallel import open_workers
from autoprox.runtime.progress import Progress

CANDIDATES = 200
"""How many candidates there are, as many as a generation of a default run proposes."""

LEAST_SECONDS = 0.05
"""Shorter work is repeated until it has taken so long."""


@dataclass(frozen=True, slots=True)
class Lap:
    """One timed repetition of one way.

    Attributes:
        seconds: how long one item took.
        value: what was computed, to be compared with what the other way computed.
        note: what a reader has to know of it.
    """

    seconds: float
    value: Any = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Way:
    """A way of doing something.

    Attributes:
        label: what it is, in a few words.
        laps: yields timed repetitions without end; what it does before the first is not timed.
    """

    label: str
    laps: Callable[[Stage], Iterator[Lap]]


def seconds_of(work: Callable[[], object]) -> float:
    """Return how long a call takes, for short ones the mean of many."""
    begun, calls, passed = time.perf_counter(), 0, 0.0
    while passed < LEAST_SECONDS:
        work()
        calls, passed = calls + 1, time.perf_counter() - begun
    return passed / calls


@dataclass(frozen=True)
class Stage:
    """What the comparisons share. Make one with `laid`.

    Attributes:
        ground: of a default run on the architectures, which are of one space.
        jobs: the number of processes where there are several.
        progress: told how far the measurement is.
    """

    ground: Ground
    jobs: int
    progress: Progress

    @property
    def bench(self) -> Bench:
        """The architectures."""
        return self.ground.bench

    @property
    def places(self) -> range:
        """The place of every architecture."""
        return range(len(self.bench.architectures))

    def spread(self, count: int) -> list[int]:
        """Return the places of so many architectures, evenly over the bench."""
        count = min(count, len(self.places))
        return [(2 * i + 1) * len(self.places) // (2 * count) for i in range(count)]

    def architectures(self, count: int) -> list[Architecture]:
        """Return so many architectures, evenly over the bench."""
        return [self.bench.architectures[place] for place in self.spread(count)]

    @cached_property
    def table(self) -> Table:
        """The statistics of all architectures, measured now where the cache lacks them."""

        def measuring(done: int, total: int) -> None:
            self.progress("measuring architectures", done, total)

        with open_workers(self.jobs, folder=self.ground.store.folder) as workers:
            self.ground.measure(workers, measuring)
        return self.ground.table(self.places)

    def judge(self) -> Judge:
        """Return a judge over all architectures that remembers nothing yet."""
        return Judge(self.table, Ranker(self.ground.columns(self.places)))

    @cached_property
    def candidates(self) -> tuple[Graph, ...]:
        """The first random proxies of the seed that have a score on every network."""
        judge, generator = self.judge(), random.Random(self.ground.settings.seed)
        variation = Variation(self.ground.vocabulary, complexity=self.ground.settings.complexity)
        scored: dict[Graph, None] = {}
        while len(scored) < CANDIDATES:
            with drawing_from(generator):
                drawn = [variation.random() for _ in range(CANDIDATES)]
            for graph, candidate in zip(drawn, judge(drawn), strict=True):
                if candidate.fitness is not None:
                    scored[graph] = None
        return tuple(scored)[:CANDIDATES]

    @cached_property
    def scores(self) -> NDArray[np.float64]:
        """The scores of the candidates, ``(candidates, architectures)``."""
        evaluator = Evaluator(self.table)
        return np.stack([evaluator(graph).values for graph in self.candidates])


def laid(
    bench: str | Path | Bench,
    space: str | None,
    architectures: int,
    folder: Path,
    jobs: int,
    evaluations: int,
    seed: int,
    progress: Progress,
) -> Stage:
    """Return a stage: names checked, nothing measured yet.

    Raises:
        UnknownNameError: there is no such bench or space.
        BenchError: the bench is of bits, has inputs, a loss or outputs of its own, or too few
            architectures are asked for.
    """
    whole = load_bench(bench)
    if whole.bits is not None:
        raise BenchError(
            f"speed is measured on untrained networks, and those of bench {whole.name!r} differ "
            "by their bits; choose another bench, such as vit101"
        )
    if (whole.inputs, whole.loss, whole.outputs) != (None, None, None):
        raise BenchError(
            f"bench {whole.name!r} has inputs, a loss or outputs of its own, and speed is taken "
            "beside bare passes of one tensor and cross-entropy; choose another bench"
        )
    part = whole.restricted([space or whole.spaces[0]])
    drawn = part.sampled(min(architectures, len(part.architectures)))
    settings = Settings(bench=whole.name, evaluations=evaluations, seed=seed)
    return Stage(lay(drawn, settings, folder), jobs, progress)

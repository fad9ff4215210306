"""What the comparisons share: networks, their table, candidates, settings."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from autoprox.assessment.assess import columns
from autoprox.benches import Architecture, Bench, load_bench, split
from autoprox.errors import BenchError
from autoprox.evaluation.evaluate import Evaluator, Table
from autoprox.evolution.drawing import drawing_from
from autoprox.evolution.ground import searched_statistics, with_baselines
from autoprox.evolution.judge import Judge
from autoprox.evolution.settings import Settings
from autoprox.evolution.variation import Variation
from autoprox.evolution.vocabulary import Vocabulary
from autoprox.language.graph import Graph
from autoprox.measuring.tables import Plan, Probe, load_table, measure_bench
from autoprox.ranking import Column, Ranker
from autoprox.runtime.parallel import open_workers
from autoprox.runtime.progress import Progress
from autoprox.statistics import Store

CANDIDATES = 200
"""How many candidates there are, as many as a generation of a default run proposes."""


@dataclass(frozen=True)
class Stage:
    """What the comparisons share. Make one with `laid`.

    Attributes:
        bench: the architectures, of one space.
        source: what other processes load the bench by.
        folder: the cache.
        jobs: the number of processes where there are several.
        evaluations: how many distinct candidates a whole run judges.
        seed: of candidates, runs and networks.
        progress: is told how far the measurement is.
    """

    bench: Bench
    source: str | Bench
    folder: Path
    jobs: int
    evaluations: int
    seed: int
    progress: Progress

    def __post_init__(self) -> None:
        """Check that the bare passes beside which it is timed are those of the bench.

        Raises:
            BenchError: it has inputs, a loss or outputs of its own.
        """
        if (self.bench.inputs, self.bench.loss, self.bench.outputs) != (None, None, None):
            raise BenchError(
                f"bench {self.bench.name!r} has inputs, a loss or outputs of its own, and speed is "
                "taken beside bare passes of one tensor and cross-entropy; choose another bench"
            )

    @cached_property
    def settings(self) -> Settings:
        """The settings of a default run on the bench."""
        return Settings(bench=self.bench.name, evaluations=self.evaluations, seed=self.seed)

    @property
    def probe(self) -> Probe:
        """What the networks are shown."""
        return self.settings.probe

    @cached_property
    def words(self) -> tuple[str, ...]:
        """The statistics that candidates are written with."""
        return searched_statistics(self.bench)

    @cached_property
    def plan(self) -> Plan:
        """What is measured of the bench."""
        return self.planned(self.bench.architectures, self.folder)

    def planned(self, architectures: Sequence[Architecture], folder: Path) -> Plan:
        """Return what is measured of some architectures, into a folder."""
        bench = replace(
            self.bench,
            architectures=tuple(architectures),
            targets=self.bench.default_targets,
            default_architectures=None,
        )
        names = with_baselines(self.bench, self.words)
        return Plan(bench, self.source, names, self.probe, folder)

    def spread(self, count: int) -> tuple[Architecture, ...]:
        """Return so many architectures, evenly over the bench."""
        rows = self.bench.architectures
        count = min(count, len(rows))
        return tuple(rows[(2 * i + 1) * len(rows) // (2 * count)] for i in range(count))

    @cached_property
    def table(self) -> Table:
        """The statistics of all architectures, measured now where the cache lacks them."""
        store = Store(self.folder)

        def measuring(done: int, total: int) -> None:
            self.progress("measuring architectures", done, total)

        with open_workers(self.jobs, folder=self.folder) as workers:
            rows = measure_bench(self.plan, store, workers, measuring)
        return load_table(store, rows, self.plan.names)

    @cached_property
    def search_split(self) -> tuple[int, ...]:
        """The architectures that a run judges candidates on."""
        return split(self.bench, self.settings.split_seed, self.settings.held_out).search

    def columns(self, indices: Sequence[int], targets: Sequence[str]) -> list[Column]:
        """Return the figures of some architectures for some targets."""
        return columns(self.bench, indices, targets)

    def judge(self) -> Judge:
        """Return a judge over all architectures that remembers nothing yet."""
        places = range(len(self.bench.architectures))
        return Judge(self.table, Ranker(self.columns(places, self.bench.default_targets)))

    @cached_property
    def variation(self) -> Variation:
        """Random proxies and offspring, as in a default run."""
        return Variation(Vocabulary(self.words), complexity=self.settings.complexity)

    @cached_property
    def candidates(self) -> tuple[Graph, ...]:
        """The first random proxies of the seed that have a score on every network."""
        judge, generator = self.judge(), random.Random(self.seed)
        found: dict[Graph, None] = {}
        while len(found) < CANDIDATES:
            with drawing_from(generator):
                drawn = [self.variation.random() for _ in range(CANDIDATES)]
            for proposed, judged in zip(drawn, judge(drawn), strict=True):
                if judged.fitness is not None:
                    found[proposed] = None
        return tuple(found)[:CANDIDATES]

    @cached_property
    def scores(self) -> np.ndarray:
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
        BenchError: the bench is of bits, or too few architectures are asked for.
    """
    source = bench if isinstance(bench, Bench) else str(bench)
    loaded = load_bench(source) if isinstance(source, str) else source
    if loaded.bits is not None:
        raise BenchError(
            f"speed is measured on untrained networks, and those of bench {loaded.name!r} differ "
            "by their bits; choose another bench, such as vit101"
        )
    own = loaded.restricted([space or loaded.spaces[0]])
    drawn = own.sampled(min(architectures, len(own.architectures)))
    return Stage(drawn, source, folder, jobs, evaluations, seed, progress)

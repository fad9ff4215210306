"""The ground of a run: its benches, split, with a table of statistics for each part.

Selection may see the one, and may not see the other.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from autoprox import proxies
from autoprox.assessment.assess import Assessor, baselines, columns, shipped
from autoprox.benches import Bench, drawn, joined, load_bench, several, split
from autoprox.errors import BenchError
from autoprox.evaluation.evaluate import Evaluator, Table
from autoprox.evolution.algorithms import algorithm_of
from autoprox.evolution.base import Algorithm, check_parameters
from autoprox.evolution.judge import Judge, TableAddress
from autoprox.evolution.settings import DEFAULT_STATISTICS, Settings
from autoprox.evolution.vocabulary import Vocabulary
from autoprox.language.graph import Graph
from autoprox.measuring.tables import Plan, Probe, TableRow, load_table, measure_bench, pending
from autoprox.proxies.loading import load
from autoprox.proxies.proxy import Proxy
from autoprox.ranking import Column, Ranker, balanced
from autoprox.runtime.device import CPU, device_of
from autoprox.runtime.parallel import HERE, Workers
from autoprox.statistics import STATISTICS, Store


@dataclass(frozen=True)
class Ground:
    """The benches of a run and their parts. Make one with `lay`.

    Attributes:
        settings: the run's, with the number of architectures if not all of the bench are drawn.
        vocabulary: the words of the search.
        seeds: the graphs of the seed proxies.
        bench: what is drawn of the bench, or a view of what is drawn of several.
        plans: for each bench, what is measured of it; in the order of `bench`.
        search, held_out: the architectures of the evolved spaces, as places in `bench`.
        transfer: the architectures of the other spaces.
        targets: the targets of the fitness.
        algorithm: of the search.
    """

    settings: Settings
    vocabulary: Vocabulary
    seeds: tuple[Graph, ...]
    bench: Bench
    plans: tuple[Plan, ...]
    search: tuple[int, ...]
    held_out: tuple[int, ...]
    transfer: tuple[int, ...]
    targets: tuple[str, ...]
    algorithm: Algorithm

    def measure(self, workers: Workers, progress: Callable[[int, int], None]) -> None:
        """Measure what is missing from the cache.

        Raises:
            StatisticError, CacheError, WorkerError: it cannot be measured or kept.
        """
        counts = [len(pending(plan, self.store)) for plan in self.plans]
        progress(0, sum(counts))
        for number, plan in enumerate(self.plans):
            shifted = _shifted(progress, sum(counts[:number]), sum(counts))
            measure_bench(plan, self.store, workers, shifted)

    @property
    def digest(self) -> str:
        """A digest of figures and split: a run goes on with the bench that it began with."""
        rows = [
            [each.name, each.space, [each.accuracies[name] for name in self.targets]]
            for each in self.bench.architectures
        ]
        text = json.dumps([rows, self.search, self.held_out, self.bench.version])
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def names(self) -> tuple[str, ...]:
        """The statistics that are measured, the same of every bench."""
        return self.plans[0].names

    @cached_property
    def known(self) -> dict[str, Graph]:
        """The graphs of the known proxies that the measured statistics can express, by name.

        The baselines come first. Proxies that a search discovered are not among them: it may have
        seen what is held out here.
        """
        return {
            name: proxy.graph
            for name, proxy in shipped(self.plans[0].bench).items()
            if isinstance(proxy, Proxy)
            and set(proxy.statistics) <= set(self.names)
            and "found_by" not in proxy.provenance
        }

    @cached_property
    def store(self) -> Store:
        """The cache; one for all tables, so that each file's checksum is computed once."""
        return Store(self.plans[0].folder)

    @cached_property
    def rows(self) -> list[TableRow]:
        """Where the statistics of each architecture of the bench lie."""
        return [row for plan in self.plans for row in plan.rows]

    @cached_property
    def _homes(self) -> list[int]:
        """Of which plan each architecture of the bench is."""
        return [i for i, plan in enumerate(self.plans) for _ in plan.bench.architectures]

    def columns(self, indices: Sequence[int]) -> list[Column]:
        """Return the columns of some architectures; every bench weighs the same."""
        found = columns(self.bench, indices, self.targets)
        return balanced(found, [self._homes[indices[column.places[0]]] for column in found])

    def table(self, indices: Sequence[int]) -> Table:
        """Return the table of some architectures."""
        found = load_table(self.store, [self.rows[i] for i in indices], self.names)
        return found.on(device_of(self.settings.device))

    def judge(self, indices: Sequence[int], workers: Workers = HERE) -> Judge:
        """Return a judge over some architectures."""
        rows = tuple(self.rows[i] for i in indices)
        stored = tuple(STATISTICS[name].stored_name for name in self.names)
        address = TableAddress(_load, (self.store.folder, rows, self.names, stored))
        return Judge(
            self.table(indices),
            Ranker(self.columns(indices), self.settings.measure),
            address,
            workers if self.settings.device == CPU else HERE,  # a GPU is kept busy by one process
        )

    def assessor(self, indices: Sequence[int]) -> Assessor:
        """Return an assessor over some architectures, with the known proxies."""
        evaluator, columns = Evaluator(self.table(indices)), self.columns(indices)
        return Assessor(evaluator, columns, self.known, self.settings.measure)


def _shifted(
    progress: Callable[[int, int], None], before: int, total: int
) -> Callable[[int, int], None]:
    """Return what tells `progress` of one bench after `before` architectures of others."""

    def told(done: int, _: int) -> None:
        if done:
            progress(before + done, total)

    return told


def _load(
    folder: Path, rows: tuple[TableRow, ...], names: tuple[str, ...], _: tuple[str, ...]
) -> Table:
    """Return a table; a statistic that was defined anew is stored under another name."""
    return load_table(Store(folder), rows, names)


def _rankable(bench: Bench, indices: tuple[int, ...], targets: Sequence[str]) -> tuple[int, ...]:
    """Return the architectures if there is something to rank them by, else none."""
    try:
        return indices if columns(bench, indices, targets) else ()
    except BenchError:  # a space of two, or of equal figures, says nothing about transfer
        return ()


def searched_statistics(bench: Bench, asked: tuple[str, ...] | None = None) -> tuple[str, ...]:
    """Return the statistics that a search may use: those asked for, the bench's, or the usual.

    Of the usual ones those are left out that cannot be measured on a bench's own inputs, such as
    token ids.
    """
    if asked or bench.default_statistics:
        return asked or bench.default_statistics or ()
    if bench.inputs is None:
        return DEFAULT_STATISTICS
    from autoprox.statistics.measuring import fits

    shown = Probe().inputs(bench)
    return tuple(name for name in DEFAULT_STATISTICS if fits(STATISTICS[name], *shown, bench.loss))


def with_baselines(bench: Bench, words: Sequence[str]) -> tuple[str, ...]:
    """Return statistics and those that the baselines of a bench need, each once."""
    needed = [name for each in baselines(bench) for name in load(each).statistics]
    return tuple(dict.fromkeys([*words, *needed]))


def lay(
    source: str | Bench, settings: Settings, cache: Path, algorithm: Algorithm | None = None
) -> Ground:
    """Return the ground of a run: names and numbers checked, the benches split.

    Nothing is measured or written yet.

    Args:
        source: what the bench is loaded by, or several between commas, or the bench itself.
        settings: the run's.
        cache: the folder of measured statistics.
        algorithm: of the search; the registered one that the settings name if None.

    Raises:
        UnknownNameError: there is no such algorithm, parameter of it, bench, space, target,
            statistic or seed proxy.
        BenchError: a bench cannot be sampled, split or ranked by, or two cannot be joined.
        LanguageError: a seed proxy cannot be read, or no proxy can be written with the statistics.
        StatisticError: the images cannot be read, or there is no such device.
    """
    device_of(settings.device)
    sources: Sequence[str | Bench] = several(source) if isinstance(source, str) else (source,)
    whole = [load_bench(each) if isinstance(each, str) else each for each in sources]
    if algorithm is None:  # after the benches, as the file of one may register it
        algorithm = algorithm_of(settings.algorithm, settings.parameters)
    check_parameters(algorithm)
    settings = replace(settings, parameters=algorithm.parameters())
    benches = _all_drawn(whole, settings.architectures)
    if len(benches) == 1:
        (bench,) = benches
        targets = settings.targets or bench.default_targets
        if bench is not whole[0]:
            settings = replace(settings, architectures=len(bench.architectures))
    else:
        bench = joined(benches, settings.targets)
        targets = bench.targets
    if settings.correlation is None:
        settings = replace(settings, correlation=bench.default_correlation)
    search, held_out, transfer = _parts(bench, benches, settings, targets)
    settings, seeds = _seeded(settings)
    needed = [word for seed in seeds for word in seed.statistics]
    words = tuple(dict.fromkeys([*_shared_statistics(benches, settings.statistics), *needed]))
    vocabulary = Vocabulary(words, seeds=seeds)
    for seed in seeds:
        vocabulary.tree(seed)
    plans = tuple(
        Plan(each, origin, with_baselines(each, words), settings.probe, cache)
        for each, origin in zip(benches, sources, strict=True)
    )
    for each in benches:
        settings.probe.inputs(each)  # a mistake in the images shows before a run begins
    return Ground(
        settings,
        vocabulary,
        seeds,
        bench,
        plans,
        search,
        held_out,
        transfer,
        tuple(targets),
        algorithm,
    )


def _all_drawn(benches: Sequence[Bench], count: int | None) -> list[Bench]:
    """Return what a run draws of each bench; several give as many as asked for, or all they have.

    Raises:
        BenchError: the only bench has not as many, or too few are asked for.
    """
    if len(benches) == 1:
        return [drawn(benches[0], count)]
    return [
        drawn(bench, None if count is None else min(count, len(bench.architectures)))
        for bench in benches
    ]


def _parts(
    bench: Bench, benches: Sequence[Bench], settings: Settings, targets: Sequence[str]
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Return the search, held-out and transfer part, as places in `bench`, the view of `benches`.

    Each bench is split by itself, so that its parts are those of a run on that bench alone.
    """
    evolved = _evolved(bench, settings.spaces)
    search: list[int] = []
    held_out: list[int] = []
    start = 0
    for own in benches:
        stop = start + len(own.architectures)
        places = [i for i in range(start, stop) if bench.architectures[i].space in evolved]
        if places:
            spaces = {own.architectures[i - start].space for i in places}
            parts = split(own.restricted(spaces), settings.split_seed, settings.held_out)
            for part, indices in ((search, parts.search), (held_out, parts.held_out)):
                chosen = [places[i] for i in indices]
                _check_ranked(bench, chosen, targets)
                part += chosen
        start = stop
    transfer = tuple(i for i, one in enumerate(bench.architectures) if one.space not in evolved)
    return tuple(search), tuple(held_out), _rankable(bench, transfer, targets)


def _evolved(bench: Bench, spaces: tuple[str, ...] | None) -> tuple[str, ...]:
    """Return the spaces to evolve on.

    Raises:
        UnknownNameError: the bench has no such space.
        BenchError: no space is named.
    """
    if spaces is None:
        return bench.spaces
    if not spaces:
        raise BenchError(f"expected a space to evolve on ({', '.join(bench.spaces)}), got none")
    for space in spaces:
        bench.in_space(space)
    return spaces


def _check_ranked(bench: Bench, indices: Sequence[int], targets: Sequence[str]) -> None:
    """Raise `BenchError` if there is nothing to rank some architectures by."""
    if not columns(bench, indices, targets):
        spaces = dict.fromkeys(bench.architectures[i].space for i in indices)
        raise BenchError(
            f"no architecture of {', '.join(spaces)} has a figure for "
            f"{', '.join(targets)}; choose other targets or spaces"
        )


def _shared_statistics(benches: Sequence[Bench], asked: tuple[str, ...] | None) -> tuple[str, ...]:
    """Return the statistics that a search on several benches may use: those of every one."""
    first, *others = (searched_statistics(bench, asked) for bench in benches)
    return tuple(name for name in first if all(name in other for other in others))


def _seeded(settings: Settings) -> tuple[Settings, tuple[Graph, ...]]:
    """Return the graphs of the seed proxies, and settings that hold without their files.

    Raises:
        UnknownNameError, AutoproxError: there is no such proxy.
        LanguageError: it is no expression.
    """
    seeds = tuple(load(each).graph for each in settings.seed_proxies)
    kept = tuple(
        name if name in proxies.names() else graph.text
        for name, graph in zip(settings.seed_proxies, seeds, strict=True)
    )
    return replace(settings, seed_proxies=kept), seeds

"""From a bench to the table of its statistics: measured once, cached, loaded by any process."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property, partial
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import nn

from autoprox.benches import Architecture, Bench, load_bench
from autoprox.benches.checks import check_outputs
from autoprox.errors import AutoproxError, BenchError, StatisticError, reason_of
from autoprox.evaluation.evaluate import Table
from autoprox.measuring.probe import Exhibit, Probe, architecture_key, network_key
from autoprox.runtime.files import canonical
from autoprox.runtime.parallel import HERE, Workers
from autoprox.runtime.progress import Progress, silent
from autoprox.runtime.threads import one_thread
from autoprox.statistics import STATISTICS, Measurement, Store, fingerprint


@dataclass(frozen=True)
class Plan:
    """Which statistics of which architectures a job needs, and where they are kept.

    Attributes:
        bench: the architectures.
        source: the name or path that other processes load the bench by (functions of a user's own
            file do not travel), or the bench itself if it came from neither.
        names: the statistics.
        probe: what the networks are shown.
        folder: the cache.
    """

    bench: Bench
    source: str | Bench
    names: tuple[str, ...]
    probe: Probe
    folder: Path

    @cached_property
    def rows(self) -> list[TableRow]:
        """Where the statistics of each architecture lie, in the order of the bench."""
        bench, bits = self.bench, self.bench.bits
        if bits is None or not bench.trained:
            keys = (architecture_key(self._shared, bench, row) for row in bench.architectures)
            return [TableRow(canonical(key)) for key in keys]
        keys_of = {space: canonical(network_key(self._shared, space)) for space in bench.spaces}
        return [
            TableRow(keys_of[architecture.space], bits(architecture))
            for architecture in bench.architectures
        ]

    @cached_property
    def works(self) -> list[StatisticsWork]:
        """All that is to be measured, in the order of the bench.

        Of a bench of trained networks each one is measured once, and what depends on bits once
        for each number of bits that a layer has in some configuration.
        """
        bench, bits = self.bench, self.bench.bits
        if bits is None or not bench.trained:
            return [
                StatisticsWork(
                    architecture,
                    architecture_key(self._shared, bench, architecture),
                    self.names,
                    None if bits is None else bits(architecture),
                )
                for architecture in bench.architectures
            ]
        plain, quantised = by_bits(self.names)
        works = []
        for space in bench.spaces:
            rows = bench.in_space(space)
            first, layers = rows[0], len(bits(rows[0]))
            works.append(StatisticsWork(first, network_key(self._shared, space), plain))
            for width in sorted({width for row in rows for width in bits(row)}):
                key = network_key(self._shared, space, width)
                works.append(StatisticsWork(first, key, quantised, (width,) * layers))
        return [work for work in works if work.names]

    @cached_property
    def _shared(self) -> dict[str, Any]:
        return self.probe.shared_key(self.bench, fingerprint(*self.probe.inputs(self.bench)))


@dataclass(frozen=True, slots=True)
class TableRow:
    """Where the statistics of an architecture lie.

    Attributes:
        key: of the cache, as text; of a configuration that of its network, see
            `network_key`.
        bits: of each layer, in the order of execution; None if the architecture has none.
    """

    key: str
    bits: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class StatisticsWork:
    """Statistics that are measured together.

    Attributes:
        architecture: whose network is built.
        key: of the cache.
        names: the statistics.
        bits: of the layers, if the statistics depend on them.
    """

    architecture: Architecture
    key: dict[str, Any]
    names: tuple[str, ...]
    bits: tuple[int, ...] | None = None


def by_bits(names: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the statistics that do not depend on bits, and those that do."""
    quantised = tuple(name for name in names if STATISTICS[name].needs_bits)
    return tuple(name for name in names if name not in quantised), quantised


def pending(plan: Plan, store: Store) -> list[StatisticsWork]:
    """Return what is missing from the cache; damaged files count as missing."""
    missing = ((work, store.missing(work.key, work.names)) for work in plan.works)
    return [replace(work, names=names) for work, names in missing if names]


def measure_bench(
    plan: Plan,
    store: Store,
    workers: Workers = HERE,
    progress: Progress = silent,
) -> list[TableRow]:
    """Measure what is missing, each architecture once; return where the statistics of all lie.

    Each worker writes what it measured itself, so that an interrupted measurement loses at most the
    architectures in work.

    Args:
        plan: what is needed.
        store: the cache.
        workers: who measures.
        progress: called as ``progress(task, done, total)``, in architectures.

    Raises:
        BenchError: a network cannot be built, or has other outputs than the bench has classes.
        StatisticError: a network cannot be measured.
        CacheError: the cache cannot be written.
        WorkerError: a worker was killed.
    """
    works = pending(plan, store)
    progress("measuring", 0, len(works))
    if works:
        check_outputs(plan.bench)
    source = plan.bench if workers.here else plan.source
    tasks = ((source, plan.probe, work, plan.folder) for work in works)
    for done, _ in enumerate(workers.unordered(_measure, tasks), start=1):
        progress("measuring", done, len(works))
    return plan.rows


@one_thread()
def _measure(source: str | Bench, probe: Probe, work: StatisticsWork, folder: Path) -> None:
    """Build, measure and save one architecture, in one thread."""
    bench = load_bench(source)
    build = partial(_built, bench, work.architecture, probe.seed)
    exhibit = Exhibit(bench, probe, build, work.key["inputs"], Store(folder))
    try:
        exhibit.measure_missing(work.key, work.names, work.bits)
    except StatisticError as error:
        raise StatisticError(f"architecture {work.architecture.name!r}: {error}") from None


def _built(bench: Bench, architecture: Architecture, seed: int) -> nn.Module:
    """Build a network, by code that may be anybody's and raise anything."""
    try:
        return bench.network(architecture, seed)
    except AutoproxError:
        raise
    except Exception as error:
        raise BenchError(
            f"bench {bench.name!r}: build failed on architecture {architecture.name!r}: "
            f"{reason_of(error)}"
        ) from error


def load_table(store: Store, rows: Sequence[TableRow], names: Sequence[str]) -> Table:
    """Return the table of the architectures with these rows; what is asked for is mapped."""

    def loaded(key: str, statistics: tuple[str, ...], bits: int | None) -> Measurement:
        facts = json.loads(key)
        return store.load(facts if bits is None else {**facts, "bits": bits}, statistics)

    return table_of(rows, names, loaded)


def table_of(
    rows: Sequence[TableRow],
    names: Sequence[str],
    measured: Callable[[str, tuple[str, ...], int | None], Measurement],
) -> Table:
    """Return a table whose networks share measurements where they can.

    Args:
        rows: one a network.
        names: the statistics.
        measured: gives some statistics of a network, by a row's key, their names and the bits of
            every layer, None if they do not depend on bits; it is asked once for each.

    Raises:
        BenchError: a configuration has not as many numbers of bits as its network has layers.
    """
    if all(row.bits is None for row in rows):
        return Table(tuple(measured(row.key, tuple(names), None) for row in rows))
    plain, quantised = by_bits(names)
    without_bits = cache(lambda key: measured(key, plain, None))

    def at(key: str, bits: int | None) -> Measurement:
        if bits is None or not quantised:
            return without_bits(key)
        with_bits = measured(key, quantised, bits)
        return without_bits(key).joined(with_bits) if plain else with_bits

    homes = [tuple((row.key, width) for width in row.bits or (None,)) for row in rows]
    places = {home: place for place, home in enumerate(dict.fromkeys(chain(*homes)))}
    table = Table(tuple(at(*home) for home in places))
    sources = torch.zeros(len(rows), table.widest, dtype=torch.int64)
    for i, (row, home) in enumerate(zip(rows, homes, strict=True)):
        layers = table.measurements[places[home[0]]].layers
        if row.bits is not None and len(row.bits) != len(layers):
            raise BenchError(
                f"a configuration has {len(row.bits)} numbers of bits, but its network has "
                f"{len(layers)} layers: {', '.join(layers)}; give one number a layer"
            )
        sources[i] = places[home[0]]  # beyond the last layer as well: that nothing is there
        if row.bits is not None:
            sources[i, : len(home)] = torch.tensor([places[place] for place in home])
    return Table(table.measurements, sources)

"""From a bench to the table of its statistics: measured once, cached, loaded by any process."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoprox.benches import Architecture, Bench
from autoprox.benches.checks import check_outputs
from autoprox.errors import AutoproxError, BenchError
from autoprox.runtime.device import CPU, device_of, full_precision
from autoprox.runtime.files import canonical
from autoprox.runtime.parallel import HERE, Workers
from autoprox.runtime.threads import one_thread
from autoprox.statistics import DEFAULT_SAMPLE, STATISTICS, STATISTICS_VERSION, Sample

if TYPE_CHECKING:
    from torch import Tensor, nn

    from autoprox.evaluation.evaluate import Table
    from autoprox.statistics import Measurement, Store

DEFAULT_BATCH = 8
"""How many inputs the networks are shown."""


@dataclass(frozen=True, slots=True)
class Probe:
    """What the networks of a bench are shown, and how much of what they show is kept.

    Attributes:
        batch: the number of inputs.
        seed: of the networks' weights, the inputs, and the sample's places.
        sample: entries kept of each tensor of a layer, or ``"full"``.
        images: an .npz file or a folder of real images; None for seeded noise and labels.
        device: where the networks run; places and noise are the same on all, numbers to rounding.
    """

    batch: int = DEFAULT_BATCH
    seed: int = 0
    sample: Sample = DEFAULT_SAMPLE
    images: str | None = None
    device: str = CPU

    def inputs(self, bench: Bench) -> tuple[Tensor, Tensor]:
        """Return the batch, ``(batch, *input_shape)``, and its labels, ``(batch,)``.

        Raises:
            StatisticError: the images cannot be read, or the bench's networks take none.
        """
        from autoprox.errors import StatisticError
        from autoprox.statistics import images, noise
        from autoprox.statistics.inputs import IMAGENET

        if self.images is None:
            return noise(bench.input_shape, bench.classes, batch=self.batch, seed=self.seed)
        if len(bench.input_shape) != 3:
            raise StatisticError(
                f"the networks of bench {bench.name!r} take inputs of shape {bench.input_shape}; "
                f"images are (channels, height, width): leave out {self.images}"
            )
        channels, height, width = bench.input_shape
        return images(
            self.images,
            (channels, height, width),
            bench.classes,
            batch=self.batch,
            seed=self.seed,
            normalisation=bench.normalisation or IMAGENET,
        )

    def on_device(
        self, network: nn.Module, inputs: Tensor, targets: Tensor
    ) -> tuple[nn.Module, Tensor, Tensor]:
        """Return a network and its batch where they run.

        Raises:
            StatisticError: there is no such device.
        """
        device = device_of(self.device)
        return network.to(device), inputs.to(device), targets.to(device)

    def key(self, bench: Bench, architecture: Architecture, fingerprint: str) -> dict[str, Any]:
        """Return everything that determines an architecture's statistics."""
        bits = {} if bench.bits is None else {"bits": list(bench.bits(architecture))}
        elsewhere = {} if self.device == CPU else {"device": self.device.partition(":")[0]}
        return {
            "bench": bench.name,
            "version": bench.version,
            "architecture": architecture.name,
            "config": dict(architecture.config),
            "input_shape": list(bench.input_shape),
            "classes": bench.classes,
            "inputs": fingerprint,
            "statistics": STATISTICS_VERSION,
            "batch": self.batch,
            "seed": self.seed,
            "sample": self.sample,
            **elsewhere,
            **bits,
        }

    def network_key(
        self, bench: Bench, space: str, fingerprint: str, bits: int | None = None
    ) -> dict[str, Any]:
        """Return everything that determines the statistics of the trained network of a space.

        Args:
            bench: a bench of trained networks.
            space: one of its spaces.
            fingerprint: of the batch.
            bits: those of every layer; None for the statistics that do not depend on bits.
        """
        key = self.key(bench, bench.in_space(space)[0], fingerprint)
        return {**key, "architecture": space, "config": {}, "bits": bits}


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
    def rows(self) -> list[Row]:
        """Where the statistics of each architecture lie, in the order of the bench."""
        bench, bits = self.bench, self.bench.bits
        if bits is None or not bench.trained:
            keys = (self.probe.key(bench, each, self._mark) for each in bench.architectures)
            return [Row(canonical(key)) for key in keys]
        keys_of = {
            space: canonical(self.probe.network_key(bench, space, self._mark))
            for space in bench.spaces
        }
        return [Row(keys_of[each.space], bits(each)) for each in bench.architectures]

    @cached_property
    def works(self) -> list[Work]:
        """All that is to be measured, in the order of the bench.

        Of a bench of trained networks each one is measured once, and what depends on bits once
        for each number of bits that a layer has in some configuration.
        """
        bench, bits = self.bench, self.bench.bits
        if bits is None or not bench.trained:
            return [
                Work(
                    each,
                    self.probe.key(bench, each, self._mark),
                    self.names,
                    None if bits is None else bits(each),
                )
                for each in bench.architectures
            ]
        plain, quantised = by_bits(self.names)
        found = []
        for space in bench.spaces:
            rows = bench.in_space(space)
            first, layers = rows[0], len(bits(rows[0]))
            found.append(Work(first, self.probe.network_key(bench, space, self._mark), plain))
            for width in sorted({width for each in rows for width in bits(each)}):
                key = self.probe.network_key(bench, space, self._mark, width)
                found.append(Work(first, key, quantised, (width,) * layers))
        return [work for work in found if work.names]

    @cached_property
    def _mark(self) -> str:
        from autoprox.statistics import fingerprint

        return fingerprint(*self.probe.inputs(self.bench))


@dataclass(frozen=True, slots=True)
class Row:
    """Where the statistics of an architecture lie.

    Attributes:
        key: of the cache, as text; of a configuration that of its network, see
            `Probe.network_key`.
        bits: of each layer, in the order of execution; None if the architecture has none.
    """

    key: str
    bits: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class Work:
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


def pending(plan: Plan, store: Store) -> list[Work]:
    """Return what is missing from the cache; damaged files count as missing."""
    missing = ((work, store.missing(work.key, work.names)) for work in plan.works)
    return [replace(work, names=names) for work, names in missing if names]


def measure_bench(
    plan: Plan,
    store: Store,
    workers: Workers = HERE,
    progress: Callable[[int, int], None] | None = None,
) -> list[Row]:
    """Measure what is missing, each architecture once; return where the statistics of all lie.

    Each worker writes what it measured itself, so that an interrupted measurement loses at most the
    architectures in work.

    Args:
        plan: what is needed.
        store: the cache.
        workers: who measures.
        progress: told how many architectures are done, and of how many.

    Raises:
        BenchError: a network cannot be built, or has other outputs than the bench has classes.
        StatisticError: a network cannot be measured.
        CacheError: the cache cannot be written.
        WorkerError: a worker was killed.
    """
    works = pending(plan, store)
    if progress:
        progress(0, len(works))
    if works:
        check_outputs(plan.bench)
    source = plan.bench if workers.here else plan.source
    tasks = ((source, plan.probe, work, plan.folder) for work in works)
    for done, _ in enumerate(workers.unordered(_measure, tasks), start=1):
        if progress:
            progress(done, len(works))
    return plan.rows


@one_thread()
def _measure(source: str | Bench, probe: Probe, work: Work, folder: Path) -> None:
    """Build, measure and save one architecture, in one thread."""
    from autoprox.benches import load_bench
    from autoprox.errors import StatisticError
    from autoprox.statistics import Store, measure

    bench = load_bench(source) if isinstance(source, str) else source
    network = _built(bench, work.architecture, probe.seed)
    shown = probe.on_device(network, *probe.inputs(bench))
    try:
        with full_precision():
            measurement = measure(
                *shown,
                work.names,
                sample=probe.sample,
                seed=probe.seed,
                bits=work.bits,
                mode=bench.mode,
            )
    except StatisticError as error:
        raise StatisticError(f"architecture {work.architecture.name!r}: {error}") from None
    Store(folder).save(work.key, measurement)


def _built(bench: Bench, architecture: Architecture, seed: int) -> nn.Module:
    """Build a network, by code that may be anybody's and raise anything.

    Raises:
        BenchError: it cannot be built.
    """
    try:
        return bench.network(architecture, seed)
    except AutoproxError:
        raise
    except Exception as error:
        raise BenchError(
            f"bench {bench.name!r}: build failed on architecture {architecture.name!r}: "
            f"{type(error).__name__}: {error}"
        ) from error


def load_table(store: Store, rows: Sequence[Row], names: Sequence[str]) -> Table:
    """Return the table of the architectures with these rows; what is asked for is mapped."""

    def loaded(key: str, own: tuple[str, ...], bits: int | None) -> Measurement:
        facts = json.loads(key)
        return store.load(facts if bits is None else {**facts, "bits": bits}, own)

    return table_of(rows, names, loaded)


def table_of(
    rows: Sequence[Row],
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
    import torch

    from autoprox.evaluation.evaluate import Table

    if all(row.bits is None for row in rows):
        return Table(tuple(measured(row.key, tuple(names), None) for row in rows))
    plain, quantised = by_bits(names)
    without_bits = cache(lambda key: measured(key, plain, None))

    def at(key: str, bits: int | None) -> Measurement:
        if bits is None or not quantised:
            return without_bits(key)
        own = measured(key, quantised, bits)
        return without_bits(key).joined(own) if plain else own

    homes = [tuple((row.key, width) for width in row.bits or (None,)) for row in rows]
    places = {each: place for place, each in enumerate(dict.fromkeys(chain(*homes)))}
    table = Table(tuple(at(*each) for each in places))
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
            sources[i, : len(home)] = torch.tensor([places[each] for each in home])
    return Table(table.measurements, sources)

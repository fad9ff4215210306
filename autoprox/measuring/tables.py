"""From a bench to the table of its statistics: measured once, cached, loaded by any process."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property, partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoprox.benches import Architecture, Bench
from autoprox.errors import BenchError
from autoprox.runtime.device import CPU, device_of, full_precision
from autoprox.runtime.digest import digest
from autoprox.runtime.files import canonical
from autoprox.runtime.parallel import HERE, Workers
from autoprox.runtime.threads import one_thread
from autoprox.statistics import DEFAULT_SAMPLE, STATISTICS, STATISTICS_VERSION, Sample

if TYPE_CHECKING:
    from torch import nn

    from autoprox.evaluation.evaluate import Table
    from autoprox.statistics import Measurement, Store
    from autoprox.statistics.trees import Inputs, Targets

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

    def inputs(self, bench: Bench) -> tuple[Inputs, Targets]:
        """Return the batch, ``(batch, *input_shape)``, and its labels, ``(batch,)``.

        A bench with inputs of its own gives both.

        Raises:
            StatisticError: the images cannot be read, or the bench's networks take none.
            BenchError: the bench's own inputs fail.
        """
        from autoprox.errors import StatisticError
        from autoprox.statistics import images, noise
        from autoprox.statistics.inputs import IMAGENET

        if bench.inputs is not None:
            if self.images is None:
                return _own_inputs(bench, self.batch, self.seed)
            raise StatisticError(
                f"bench {bench.name!r} has inputs of its own; leave out {self.images}"
            )
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
        self, network: nn.Module, inputs: Inputs, targets: Targets
    ) -> tuple[nn.Module, Inputs, Targets]:
        """Return a network and its batch where they run.

        Raises:
            StatisticError: there is no such device.
        """
        from autoprox.statistics.trees import mapped

        device = device_of(self.device)
        moved = [mapped(tree, lambda tensor: tensor.to(device)) for tree in (inputs, targets)]
        return network.to(device), moved[0], moved[1]

    def key(self, bench: Bench, architecture: Architecture, fingerprint: str) -> dict[str, Any]:
        """Return everything that determines an architecture's statistics."""
        bits = {} if bench.bits is None else {"bits": list(bench.bits(architecture))}
        elsewhere = {} if self.device == CPU else {"device": self.device.partition(":")[0]}
        functions = {"loss": bench.loss, "outputs": bench.outputs}
        own = {name: digest(each).text for name, each in functions.items() if each is not None}
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
            **own,
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


def _own_inputs(bench: Bench, batch: int, seed: int) -> tuple[Inputs, Targets]:
    """Return what a bench's own function gives.

    Raises:
        BenchError: it fails, or gives something else than inputs and targets.
    """
    import torch

    assert bench.inputs is not None
    try:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            inputs, targets = bench.inputs(batch, seed)
    except Exception as error:  # the function is anybody's and may raise anything
        raise BenchError(
            f"bench {bench.name!r}: inputs({batch}, seed={seed}) failed: "
            f"{type(error).__name__}: {error}; expected inputs and targets"
        ) from error
    return inputs, targets


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
            keys = (self.probe.key(bench, each, self._mark) for each in bench.architectures)
            return [TableRow(canonical(key)) for key in keys]
        keys_of = {
            space: canonical(self.probe.network_key(bench, space, self._mark))
            for space in bench.spaces
        }
        return [TableRow(keys_of[each.space], bits(each)) for each in bench.architectures]

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
            found.append(
                StatisticsWork(first, self.probe.network_key(bench, space, self._mark), plain)
            )
            for width in sorted({width for each in rows for width in bits(each)}):
                key = self.probe.network_key(bench, space, self._mark, width)
                found.append(StatisticsWork(first, key, quantised, (width,) * layers))
        return [work for work in found if work.names]

    @cached_property
    def _mark(self) -> str:
        from autoprox.statistics import fingerprint

        return fingerprint(*self.probe.inputs(self.bench))


@dataclass(frozen=True, slots=True)
class TableRow:
    """Where the statistics of an architecture lie.

    Attributes:
        key: of the cache, as text; of a configuration that of its network, see
            `Probe.network_key`.
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


_BATCHES: dict[str, tuple[Inputs, Targets]] = {}
"""The batches that this process shows its networks, by their fingerprints."""


class Exhibit:
    """A network of a bench on a batch; built, and shown it, only if something has to be measured.

    Args:
        bench: the bench.
        probe: what the network is shown.
        build: gives the network; several exhibits may share it.
        mark: the fingerprint of the batch.
        store: the cache of statistics.
    """

    def __init__(
        self, bench: Bench, probe: Probe, build: Callable[[], nn.Module], mark: str, store: Store
    ) -> None:
        """Build nothing yet."""
        self.bench = bench
        self.probe = probe
        self.store = store
        self._build = build
        self._mark = mark

    @cached_property
    def shown(self) -> tuple[nn.Module, Inputs, Targets]:
        """The network and its batch; the batch is read or drawn once a process."""
        if self._mark not in _BATCHES:
            if len(_BATCHES) > 3:
                _BATCHES.clear()
            _BATCHES[self._mark] = self.probe.inputs(self.bench)
        return self.probe.on_device(self._build(), *_BATCHES[self._mark])

    def measure(self, names: Sequence[str], bits: tuple[int, ...] | None = None) -> Measurement:
        """Return statistics, measured now."""
        from autoprox.statistics import measure

        probe, how = self.probe, self.bench.how
        with full_precision():
            return measure(
                *self.shown, names, sample=probe.sample, seed=probe.seed, bits=bits, **how
            )

    def measure_missing(
        self, key: Mapping[str, Any], names: Sequence[str], bits: tuple[int, ...] | None = None
    ) -> None:
        """Measure and save the statistics that the cache lacks."""
        if missing := self.store.missing(key, names):
            self.store.save(key, self.measure(missing, bits))


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
    progress: Callable[[int, int], None] | None = None,
) -> list[TableRow]:
    """Measure what is missing, each architecture once; return where the statistics of all lie.

    Each worker writes what it measured itself, so that an interrupted measurement loses at most the
    architectures in work.

    Args:
        plan: what is needed.
        store: the cache.
        workers: who measures.
        progress: told how many architectures are done, and of how many.

    Raises:
        StatisticError: a network cannot be measured.
        CacheError: the cache cannot be written.
        WorkerError: a worker was killed.
    """
    works = pending(plan, store)
    if progress:
        progress(0, len(works))
    source = plan.bench if workers.here else plan.source
    tasks = ((source, plan.probe, work, plan.folder) for work in works)
    for done, _ in enumerate(workers.unordered(_measure, tasks), start=1):
        if progress:
            progress(done, len(works))
    return plan.rows


@one_thread()
def _measure(source: str | Bench, probe: Probe, work: StatisticsWork, folder: Path) -> None:
    """Build, measure and save one architecture, in one thread."""
    from autoprox.benches import load_bench
    from autoprox.errors import StatisticError
    from autoprox.statistics import Store

    bench = load_bench(source) if isinstance(source, str) else source
    build = partial(bench.network, work.architecture, probe.seed)
    exhibit = Exhibit(bench, probe, build, work.key["inputs"], Store(folder))
    try:
        exhibit.measure_missing(work.key, work.names, work.bits)
    except StatisticError as error:
        raise StatisticError(f"architecture {work.architecture.name!r}: {error}") from None


def load_table(store: Store, rows: Sequence[TableRow], names: Sequence[str]) -> Table:
    """Return the table of the architectures with these rows; what is asked for is mapped."""

    def loaded(key: str, own: tuple[str, ...], bits: int | None) -> Measurement:
        facts = json.loads(key)
        return store.load(facts if bits is None else {**facts, "bits": bits}, own)

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

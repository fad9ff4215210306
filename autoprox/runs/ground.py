"""The ground of a run: its benches, split, with a table of statistics for each part.

Selection may see the one, and may not see the other.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

from autoprox import proxies
from autoprox.assessment.assess import Assessor, baselines, columns, expressible
from autoprox.benches import Bench, drawn, joined, load_bench, several
from autoprox.benches.counts import COUNTS
from autoprox.errors import BenchError, LanguageError
from autoprox.evaluation.evaluate import Evaluator, Table
from autoprox.evolution.algorithms import algorithm_of
from autoprox.evolution.base import Algorithm, check_parameters
from autoprox.evolution.judge import Judge, TableAddress
from autoprox.evolution.settings import DEFAULT_STATISTICS, Settings
from autoprox.evolution.small import for_families
from autoprox.evolution.variation import compares
from autoprox.evolution.vocabulary import Vocabulary
from autoprox.language.graph import Graph
from autoprox.measuring.probe import Probe, takes_images
from autoprox.measuring.tables import Plan, TableRow, load_table, measure_bench, pending
from autoprox.proxies.loading import load
from autoprox.ranking import AGAINST_COUNTS, Column, Over, Ranker, balanced
from autoprox.runs.parts import parts
from autoprox.runs.schemas import RunConfig
from autoprox.runtime.device import CPU, device_of
from autoprox.runtime.files import digits
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
        """Measure what is missing from the cache; `progress` takes how many are measured, of all.

        Raises:
            StatisticError, CacheError, WorkerError: it cannot be measured or kept.
        """
        counts = [len(pending(plan, self.store)) for plan in self.plans]
        before, total = 0, sum(counts)
        progress(0, total)
        for plan, count in zip(self.plans, counts, strict=True):
            measure_bench(plan, self.store, workers, partial(_shifted, progress, before, total))
            before += count

    @property
    def digest(self) -> str:
        """A digest of figures and split: a run goes on with the bench that it began with."""
        rows = [
            [row.name, row.space, [row.accuracies[name] for name in self.targets]]
            for row in self.bench.architectures
        ]
        text = json.dumps([rows, self.search, self.held_out, self.bench.version])
        return digits(text, 16)

    @property
    def config(self) -> RunConfig:
        """What the run's folder says of it from the start."""
        words = self.vocabulary
        return RunConfig(self.digest, self.settings.to_json(), words.statistics, words.primitives)

    def networks(self, indices: Sequence[int]) -> frozenset[str]:
        """Return names of some architectures that hold in every run.

        Architectures that are one network, as those of an isomorphism class, share one.
        """
        # A view of several benches names architectures by their benches already.
        prefix = f"{self.bench.name}/" if len(self.plans) == 1 else ""
        return frozenset(self.bench.architectures[i].network_name(prefix) for i in indices)

    @property
    def names(self) -> tuple[str, ...]:
        """The statistics that are measured, the same of every bench."""
        return self.plans[0].names

    @cached_property
    def known(self) -> dict[str, Graph]:
        """The graphs of the known proxies that the measured statistics can express, by name."""
        return expressible(self.plans[0].bench, self.names, taught=True)

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
        unweighted = columns(self.bench, indices, self.targets)
        homes = [self._homes[indices[column.places[0]]] for column in unweighted]
        return balanced(unweighted, [self.plans[home].bench.name for home in homes])

    def table(self, indices: Sequence[int]) -> Table:
        """Return the table of some architectures."""
        table = load_table(self.store, [self.rows[i] for i in indices], self.names)
        return table.on(device_of(self.settings.device))

    def judge(self, indices: Sequence[int], workers: Workers = HERE, over: Over = "mean") -> Judge:
        """Return a judge over some architectures, with one fitness over their families."""
        rows = tuple(self.rows[i] for i in indices)
        stored = tuple(STATISTICS[name].stored_name for name in self.names)
        address = TableAddress(_load, (self.store.folder, rows, self.names, stored))
        return Judge(
            self.table(indices),
            Ranker(self.columns(indices), self.settings.measure),
            address,
            workers if self.settings.device == CPU else HERE,  # a GPU is kept busy by one process
            over,
            [self.known[name] for name in COUNTS] if over in AGAINST_COUNTS else (),
        )

    def assessor(self, indices: Sequence[int], evaluator: Evaluator | None = None) -> Assessor:
        """Return an assessor over some architectures, with the known proxies.

        An `evaluator` over their table that knows something already saves time.
        """
        evaluator = evaluator or Evaluator(self.table(indices))
        return Assessor(evaluator, self.columns(indices), self.known, self.settings.measure)


def _shifted(
    progress: Callable[[int, int], None], before: int, total: int, _: str, done: int, __: int
) -> None:
    """Tell `progress` of one bench after `before` architectures of others."""
    if done:
        progress(before + done, total)


def _load(
    folder: Path, rows: tuple[TableRow, ...], names: tuple[str, ...], _: tuple[str, ...]
) -> Table:
    """Return a table; a statistic that was defined anew is stored under another name."""
    return load_table(Store(folder), rows, names)


def searched_statistics(
    bench: Bench, asked: tuple[str, ...] | None = None, own: bool = True
) -> tuple[str, ...]:
    """Return the statistics that a search may use: those asked for, or the bench's or the usual.

    Of the usual ones, and of a user's own, which are added if `own`, those are left out that cannot
    be measured on a bench's own inputs, such as token ids.
    """
    if asked:
        return asked
    usual = bench.default_statistics or DEFAULT_STATISTICS
    added = own_statistics() if own else ()
    unsure = added if bench.default_statistics or bench.inputs is None else (*usual, *added)
    if not unsure:
        return usual
    from autoprox.statistics.measuring import fits

    shown = Probe().inputs(bench)
    unfit = {name for name in unsure if not fits(STATISTICS[name], *shown, bench.loss)}
    return tuple(name for name in dict.fromkeys([*usual, *added]) if name not in unfit)


def own_statistics() -> tuple[str, ...]:
    """Return the statistics that a user defined."""
    return tuple(name for name, statistic in STATISTICS.items() if statistic.own is not None)


def with_baselines(bench: Bench, words: Sequence[str]) -> tuple[str, ...]:
    """Return statistics and those that the baselines of a bench need, each once."""
    needed = [name for baseline in baselines(bench) for name in load(baseline).statistics]
    return tuple(dict.fromkeys([*words, *needed]))


def lay(
    source: str | Bench,
    settings: Settings,
    cache: Path,
    algorithm: Algorithm | None = None,
    new: bool = False,
    kept: RunConfig | None = None,
) -> Ground:
    """Return the ground of a run: names and numbers checked, the benches split.

    Nothing is measured or written yet.

    Args:
        source: what the bench is loaded by, or several between commas, or the bench itself.
        settings: the run's.
        cache: the folder of measured statistics.
        algorithm: of the search; the registered one that the settings name if None.
        new: whether it begins now, and writes with the statistics that a user defined by now.
        kept: of a run that goes on, which writes with the same words, whatever is usual by now.

    Raises:
        UnknownNameError: there is no such algorithm, parameter of it, bench, space, target,
            statistic or seed proxy.
        BenchError: a bench cannot be sampled, split or ranked by, or two cannot be joined.
        LanguageError: a seed proxy cannot be read, or no proxy can be written with the statistics.
        StatisticError: the images cannot be read, or there is no such device.
    """
    device_of(settings.device)
    sources: Sequence[str | Bench] = several(source) if isinstance(source, str) else (source,)
    whole = [load_bench(origin) if isinstance(origin, str) else origin for origin in sources]
    if algorithm is None:  # after the benches, as the file of one may register it
        algorithm = algorithm_of(settings.algorithm, settings.parameters)
    check_parameters(algorithm)
    settings = replace(settings, parameters=algorithm.parameters())
    benches = _all_drawn(whole, settings.architectures)
    bench, settings, targets = _viewed(whole, benches, settings)
    search, held_out, transfer = parts(bench, benches, settings, targets)
    settings, seeds = _seeded(settings, new)
    needed = [word for seed in seeds for word in seed.statistics]
    probes = _probes(benches, search, settings)
    taught = () if settings.statistics else _taught_words(benches, probes)
    if new and settings.statistics is None and own_statistics():
        shared = _shared_statistics(benches, None, own=True)
        settings = replace(settings, statistics=(*shared, *taught))
    words: Sequence[str] = kept.words if kept else ()
    if not words:
        words = [*_shared_statistics(benches, settings.statistics), *taught, *needed]
    words = tuple(dict.fromkeys(words))
    homes = [bench.name for bench in benches for _ in bench.architectures]
    settings = for_families(settings, benches, len({homes[place] for place in search}), words)
    vocabulary = Vocabulary(words, kept.primitives or None if kept else None, seeds)
    for seed in seeds:
        vocabulary.tree(seed)
    plans = tuple(
        Plan(part, origin, with_baselines(part, words), probe, cache)
        for part, origin, probe in zip(benches, sources, probes, strict=True)
    )
    for plan in plans:
        plan.probe.inputs(plan.bench)  # a mistake in the images shows before a run begins
        plan.probe.taught(plan.bench)  # or in the teacher
    return Ground(
        settings, vocabulary, seeds, bench, plans, search, held_out, transfer, targets, algorithm
    )


def _viewed(
    whole: Sequence[Bench], benches: Sequence[Bench], settings: Settings
) -> tuple[Bench, Settings, tuple[str, ...]]:
    """Return the only bench, or a view of several, settings of what was drawn, and the targets."""
    if len(benches) > 1:
        bench = joined(benches, settings.targets)
        targets = bench.targets
    else:
        (bench,) = benches
        targets = settings.targets or bench.default_targets
        if bench is not whole[0]:
            settings = replace(settings, architectures=len(bench.architectures))
        if settings.leave_out or settings.over not in (None, "mean"):
            raise BenchError(
                f"{bench.name!r} is one family; leaving out, and a fitness over families, need "
                "several benches, as in vit101,nb201"
            )
    if settings.correlation is None:
        settings = replace(settings, correlation=bench.default_correlation)
    return bench, settings, tuple(targets)


def _probes(benches: Sequence[Bench], search: Iterable[int], settings: Settings) -> list[Probe]:
    """Return what the networks of each bench are shown: beside others that take images, its own.

    A run on one bench that takes no images refuses them. The best teacher is the best of what the
    search sees of a bench, whose places are counted through all benches; of one of which it sees
    nothing, the best of all.
    """
    probes, places, seen = [], itertools.count(), {*search}
    without_images = replace(settings.probe, images=None)
    for bench in benches:
        shown = [row for row in bench.architectures if next(places) in seen]
        mixed = not takes_images(bench) and any(map(takes_images, benches))
        probe = without_images if mixed else settings.probe
        probes.append(probe.beside(bench, shown or bench.architectures))
    return probes


def _taught_words(benches: Sequence[Bench], probes: Sequence[Probe]) -> tuple[str, ...]:
    """Return the statistics beside a teacher that the networks of all benches have."""
    first, *others = [
        probe.taught_words(bench) for bench, probe in zip(benches, probes, strict=True)
    ]
    return tuple(name for name in first if all(name in words for words in others))


def _all_drawn(benches: Sequence[Bench], count: int | None) -> list[Bench]:
    """Return what a run draws of each bench; of several, all where one has too few."""
    if len(benches) == 1:
        return [drawn(benches[0], count)]
    return [
        drawn(bench, None if count is None else min(count, len(bench.architectures)))
        for bench in benches
    ]


def _shared_statistics(
    benches: Sequence[Bench], asked: tuple[str, ...] | None, own: bool = False
) -> tuple[str, ...]:
    """Return the statistics that a search on several benches may use: those of every one."""
    words = {bench.name: searched_statistics(bench, asked, own) for bench in benches}
    first, *others = words.values()
    shared = tuple(name for name in first if all(name in names for names in others))
    if others and not shared:
        text = "; ".join(
            f"{name} has {', '.join(names) or 'none'}" for name, names in words.items()
        )
        raise BenchError(
            f"the benches have no statistic in common: {text}. Name statistics that all of them "
            "show, or leave a bench out"
        )
    return shared


def _seeded(settings: Settings, new: bool) -> tuple[Settings, tuple[Graph, ...]]:
    """Return the graphs of the seed proxies, and settings that hold without their files.

    Those of a new run say which searches found them; one that goes on keeps what it was told.
    """
    loaded = [load(name) for name in settings.seed_proxies]
    seeds = tuple(proxy.graph for proxy in loaded)
    for name, graph in zip(settings.seed_proxies, seeds, strict=True):
        if settings.comparing and not compares(graph):
            raise LanguageError(
                f"the seed proxy {name} does not compare a network with its teacher, as every "
                "formula of this run has to: leave it out, or --comparing"
            )
    kept = tuple(
        name if name in proxies.names() else graph.text
        for name, graph in zip(settings.seed_proxies, seeds, strict=True)
    )
    searches = settings.searches
    if new:
        pairs = zip(settings.seed_proxies, loaded, strict=True)
        recorded = {name: proxy.provenance.get("settings") for name, proxy in pairs}
        searches = {name: search for name, search in recorded.items() if search is not None} or None
    return replace(settings, seed_proxies=kept, searches=searches), seeds

"""A run: measure the bench, search, and report what was found on architectures that selection never saw."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from autoprox.assess import BASELINES, Assessment, Assessor, columns
from autoprox.benches import Bench, Split, load_bench, split
from autoprox.errors import RunError
from autoprox.evaluate import Evaluator, Table
from autoprox.evolution.algorithms import ALGORITHMS, ranked, worth
from autoprox.evolution.folder import RunFolder
from autoprox.evolution.judge import Candidate, Judge, TableAddress
from autoprox.evolution.search import Generation, Search
from autoprox.evolution.settings import DEFAULT_STATISTICS, Settings
from autoprox.evolution.variation import Variation
from autoprox.evolution.vocabulary import Vocabulary
from autoprox.files import write_json, write_text
from autoprox.proxy import Proxy, dumps, load
from autoprox.ranking import Ranker
from autoprox.statistics import STATISTICS, Store
from autoprox.statistics.store import default_folder
from autoprox.tables import Plan, load_table, measure_bench

SHOWN = 10
"""How many proxies a report assesses."""
REPORT_VERSION = 1


class Observer(Protocol):
    """Who watches a run; the command line draws a live table."""

    def started(self, folder: Path, settings: Settings) -> None:
        """The run has its folder and its settings; a run that stops from here on can be resumed."""

    def measuring(self, done: int, total: int) -> None:
        """So many architectures of those missing from the cache are measured."""

    def generation(self, generation: Generation, held_out: float | None) -> None:
        """A generation is over; `held_out` is the joint correlation of the best so far, held out."""


class Silent:
    """An observer that shows nothing."""

    def started(self, folder: Path, settings: Settings) -> None:
        """Show nothing."""

    def measuring(self, done: int, total: int) -> None:
        """Show nothing."""

    def generation(self, generation: Generation, held_out: float | None) -> None:
        """Show nothing."""


@dataclass(frozen=True)
class Ground:
    """The bench of a run, measured and split.

    Attributes:
        bench: all of it, the spaces that are transferred to included.
        search, held_out: the architectures of the evolved spaces, as places in the bench.
        transfer: the architectures of the other spaces.
        targets: the targets of the fitness.
        keys: the cache key of each architecture.
        names: the statistics of the table.
        folder: the cache.
    """

    bench: Bench
    search: tuple[int, ...]
    held_out: tuple[int, ...]
    transfer: tuple[int, ...]
    targets: tuple[str, ...]
    keys: tuple[dict[str, Any], ...]
    names: tuple[str, ...]
    folder: Path

    def address(self, indices: Sequence[int]) -> TableAddress:
        """Return how any process loads the table of some architectures."""
        arguments = (self.folder, tuple(_freeze(self.keys[i]) for i in indices), self.names)
        return TableAddress(_load_frozen, arguments)

    def table(self, indices: Sequence[int]) -> Table:
        """Return the table of some architectures."""
        return load_table(self.folder, [self.keys[i] for i in indices], self.names)

    def assessor(self, indices: Sequence[int]) -> Assessor:
        """Return an assessor over some architectures, with the baselines."""
        baselines = {name: load(name).graph for name in BASELINES}
        return Assessor(Evaluator(self.table(indices)), columns(self.bench, indices, self.targets), baselines)


def _freeze(key: dict[str, Any]) -> str:
    import json

    return json.dumps(key, sort_keys=True)


def _load_frozen(folder: Path, keys: tuple[str, ...], names: tuple[str, ...]) -> Table:
    import json

    return load_table(folder, [json.loads(key) for key in keys], names)


@dataclass(frozen=True)
class Run:
    """A run that came to its end, or was stopped.

    Attributes:
        folder: where its files are.
        settings: what was asked for.
        finished: whether the budget was spent.
        top: the proxies found, best on the search split first.
        held_out: their assessments on the held-out architectures, then those of the baselines.
        search: the same on the search split.
        transfer: the same on the spaces that were not evolved on; empty if there are none.
        generations: the rows of ``generations.csv``.
    """

    folder: Path
    settings: Settings
    finished: bool
    top: tuple[Proxy, ...]
    held_out: tuple[Assessment, ...]
    search: tuple[Assessment, ...]
    transfer: tuple[Assessment, ...]

    @property
    def best(self) -> Proxy:
        """The best proxy on the search split."""
        return self.top[0]


def evolve(
    bench: str | Path | Bench = "",
    *,
    out: str | Path | None = None,
    resume: str | Path | None = None,
    jobs: int = 1,
    cache: str | Path | None = None,
    observer: Observer | None = None,
    **options: Any,
) -> Run:
    """Discover a proxy for a bench. The same as the command ``autoprox evolve``.

    Args:
        bench: a bench's name, the path of a user's own, or a `Bench`.
        out: the run's folder; a new one under ``runs/`` if None.
        resume: the folder of a run to go on with, instead of `bench`, `out` and `options`.
        jobs: the number of processes; no result depends on it.
        cache: the folder of the measured statistics; the user's cache folder if None.
        observer: is told of progress.
        options: the fields of `Settings`, such as ``seed=1`` or ``algorithm="emq"``.

    Raises:
        AutoproxError: a name, number, bench, cache or folder cannot be used; the message says which.
    """
    observer = observer or Silent()
    store = Store(Path(cache) if cache is not None else default_folder())
    if resume is not None:
        if bench or out is not None or options:
            raise RunError("a resumed run keeps its settings: give resume alone, or start a new run")
        return _resumed(Path(resume), jobs, store, observer)
    source = bench if isinstance(bench, Bench) else str(bench)
    name = source.name if isinstance(source, Bench) else source
    settings = Settings(bench=name, **options)
    check_algorithm = ALGORITHMS[settings.algorithm]
    del check_algorithm
    ground_source = load_bench(source) if isinstance(source, str) else source
    folder = Path(out) if out is not None else _free_folder(ground_source.name, settings)
    with RunFolder(folder) as files:
        files.create(settings)
        return _run(files, settings, source, jobs, store, observer)


def _free_folder(bench: str, settings: Settings) -> Path:
    """Return the first folder under ``runs/`` that is not taken."""
    base = Path("runs") / f"{bench}-{settings.algorithm}-{settings.seed}"
    folder, number = base, 1
    while folder.exists():
        number += 1
        folder = base.with_name(f"{base.name}-{number}")
    return folder


def _resumed(path: Path, jobs: int, store: Store, observer: Observer) -> Run:
    if not path.is_dir():
        raise RunError(f"there is no run to resume at {path}")
    with RunFolder(path) as files:
        settings = files.settings()
        if files.finished():
            raise RunError(f"the run in {path} is finished; see {path / 'report.json'}, or start a new one")
        return _run(files, settings, settings.bench, jobs, store, observer)


def prepare(
    source: str | Bench, settings: Settings, jobs: int, store: Store, observer: Observer
) -> Ground:
    """Load, split and measure the bench of a run.

    Raises:
        BenchError, UnknownNameError: the bench, a space or a target cannot be used.
        StatisticError, CacheError: it cannot be measured.
    """
    bench = load_bench(source) if isinstance(source, str) else source
    evolved = bench.restricted(settings.spaces)
    targets = settings.targets or bench.default_targets
    parts: Split = split(evolved, settings.split_seed, settings.held_out)
    place = {each.name: i for i, each in enumerate(bench.architectures)}
    search, held_out = (
        tuple(place[evolved.architectures[i].name] for i in part) for part in (parts.search, parts.held_out)
    )
    transfer = tuple(i for i, each in enumerate(bench.architectures) if each.space not in evolved.spaces)
    for indices in (search, held_out):
        columns(bench, indices, targets)
    words = settings.statistics or bench.default_statistics or DEFAULT_STATISTICS
    asked = [STATISTICS[name].name for name in words]
    asked += [n for each in (*BASELINES, *settings.seed_proxies) for n in load(each).statistics]
    names = tuple(dict.fromkeys(asked))
    plan = Plan(bench, source, names, settings.probe, store.folder)
    keys = measure_bench(plan, store, jobs, observer.measuring)
    return Ground(bench, search, held_out, transfer, tuple(targets), tuple(keys), names, store.folder)


def _run(
    files: RunFolder, settings: Settings, source: str | Bench, jobs: int, store: Store, observer: Observer
) -> Run:
    observer.started(files.path, settings)
    ground = prepare(source, settings, jobs, store, observer)
    words = settings.statistics or ground.bench.default_statistics or DEFAULT_STATISTICS
    variation = Variation(Vocabulary(words), complexity=settings.complexity)
    table = ground.table(ground.search)
    ranker = Ranker(columns(ground.bench, ground.search, ground.targets))
    judge = Judge(table, ranker, ground.address(ground.search), jobs)
    search = Search(settings, variation, judge, [load(each).graph for each in settings.seed_proxies])
    saved = files.checkpoint()
    if saved is not None:
        search.restore(*saved)
    held_out = Judge(
        ground.table(ground.held_out), Ranker(columns(ground.bench, ground.held_out, ground.targets))
    )
    try:
        _loop(search, held_out, files, observer)
    except KeyboardInterrupt:
        if not search.known:
            raise
    return finish(files, settings, ground, search)


def _loop(search: Search, held_out: Judge, files: RunFolder, observer: Observer) -> None:
    """Run generation after generation, each on disk before the next begins."""
    begun = time.monotonic()
    while not search.done:
        generation = search.step()
        seen = _held_out(held_out, generation.best)
        files.save(generation, seen, time.monotonic() - begun, search.checkpoint())
        observer.generation(generation, seen)


def _held_out(judge: Judge, best: Candidate) -> float | None:
    """Return the joint correlation of the best so far on the held-out split, with its sign."""
    if best.fitness is None:
        return None
    (candidate,) = judge([best.graph])
    if candidate.fitness is None:
        return None
    return candidate.fitness if candidate.graph is best.graph else -candidate.fitness


def top(known: Sequence[Candidate], count: int = SHOWN) -> list[Candidate]:
    """Return the best candidates that rank the search split differently, best first."""
    chosen: dict[str, Candidate] = {}
    for each in ranked(known, worth):
        chosen.setdefault(each.behaviour, each)
        if len(chosen) == count:
            break
    return list(chosen.values())


def finish(files: RunFolder, settings: Settings, ground: Ground, search: Search) -> Run:
    """Assess the best proxies, and write the report and the best one."""
    best = top(list(search.known.values()))
    if not best:
        raise RunError("no candidate is valid; see candidates.jsonl for the reasons, and try other statistics")
    named = [(f"top {i}", each.graph) for i, each in enumerate(best, start=1)]
    named += [(name, load(name).graph) for name in BASELINES]
    parts = {"held_out": ground.held_out, "search": ground.search, "transfer": ground.transfer}
    tables = {
        part: [ground.assessor(indices)(name, graph) for name, graph in named] if indices else []
        for part, indices in parts.items()
    }
    proxies = tuple(_proxy(settings, each, held) for each, held in zip(best, tables["held_out"], strict=False))
    run = Run(files.path, settings, search.done, proxies, *(tuple(tables[part]) for part in parts))
    report = {
        "format": "autoprox report",
        "version": REPORT_VERSION,
        "finished": search.done,
        "evaluations": len(search.known),
        "proposals": search.proposals,
        "settings": settings.to_json(),
        **{part: [each.to_json() for each in rows] for part, rows in tables.items()},
    }
    write_json(files.path / "report.json", report)
    write_text(files.path / "best.json", dumps(run.best))
    return run


def _proxy(settings: Settings, candidate: Candidate, held_out: Assessment) -> Proxy:
    """Return a found proxy with where it comes from."""
    provenance = {
        "found_by": "autoprox evolve",
        "settings": settings.to_json(),
        "search_fitness": candidate.fitness,
        "held_out_fitness": held_out.joint,
        "held_out_interval": held_out.joint_interval,
    }
    return Proxy(candidate.graph, description=f"Discovered on {settings.bench}.", provenance=provenance)

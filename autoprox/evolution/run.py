"""A run: measure, search, and report what was found on architectures that selection never saw."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from autoprox.assess import Assessment
from autoprox.benches import Bench, several
from autoprox.errors import BenchError, RunError
from autoprox.evolution.algorithms import ranked, worth
from autoprox.evolution.folder import RunFolder
from autoprox.evolution.ground import Ground, lay
from autoprox.evolution.judge import Candidate, Judge, negated
from autoprox.evolution.search import Generation, Search
from autoprox.evolution.settings import Settings
from autoprox.evolution.variation import Variation
from autoprox.files import absolute, free_folder, write_json, write_text
from autoprox.graph import Graph
from autoprox.parallel import Workers, open_workers
from autoprox.proxy import Proxy, dumps, load
from autoprox.statistics.store import default_folder
from autoprox.threads import one_thread
from autoprox.tracking import Logger, Tracker

SHOWN = 10
"""How many proxies a report assesses."""
REPORT_VERSION = 1


class Observer(Protocol):
    """Who watches a run; the command line draws a live table."""

    def started(self, folder: Path, settings: Settings) -> None:
        """The run has its folder and its settings; a run that stops from here on can be resumed."""

    def measuring(self, done: int, total: int) -> None:
        """So many architectures of those missing from the cache are measured."""

    def resumed(self, known: Mapping[str, Candidate]) -> None:
        """The search goes on; these candidates were judged before, by their proposed text."""

    def generation(self, generation: Generation, held_out: float | None) -> None:
        """A generation is over; `held_out` is the held-out joint correlation of the best so far."""

    def finished(self, run: Run) -> None:
        """The run came to its end, or was stopped with a report."""


class Silent:
    """An observer that shows nothing."""

    def started(self, folder: Path, settings: Settings) -> None:
        """Show nothing."""

    def measuring(self, done: int, total: int) -> None:
        """Show nothing."""

    def resumed(self, known: Mapping[str, Candidate]) -> None:
        """Show nothing."""

    def generation(self, generation: Generation, held_out: float | None) -> None:
        """Show nothing."""

    def finished(self, run: Run) -> None:
        """Show nothing."""


@dataclass(frozen=True)
class Run:
    """A run that came to its end, or was stopped.

    Attributes:
        folder: where its files are.
        settings: what was asked for.
        benches: the names of the benches; of several, they begin the names of the columns.
        finished: whether the search came to its end: the budget spent, or nothing new to be found.
        top: the proxies found, best on the search split first, by fitness less 0.001 a node.
        held_out: their assessments on the held-out architectures, then those of the baselines.
        search: the same on the search split.
        transfer: the same on the spaces that were not evolved on; empty if there are none.
    """

    folder: Path
    settings: Settings
    benches: tuple[str, ...]
    finished: bool
    top: tuple[Proxy, ...]
    held_out: tuple[Assessment, ...]
    search: tuple[Assessment, ...]
    transfer: tuple[Assessment, ...]

    @property
    def best(self) -> Proxy:
        """The best proxy on the search split."""
        return self.top[0]

    @property
    def best_seed(self) -> str | None:
        """The seed proxy that the best one is, as it is or turned; None if it is none of them."""
        for name in self.settings.seed_proxies:
            seed = load(name).graph
            if self.best.graph in (seed, negated(seed)):
                return name
        return None

    def _repr_html_(self) -> str:
        """Show what was found in a notebook."""
        from autoprox.notebook import run_html

        return run_html(self)


@one_thread()
def evolve(
    bench: str | Path | Bench = "",
    *,
    out: str | Path | None = None,
    resume: str | Path | None = None,
    jobs: int = 1,
    backend: str = "loky",
    scheduler: str | None = None,
    cache: str | Path | None = None,
    observer: Observer | None = None,
    loggers: Sequence[Logger | str] = (),
    **options: Any,
) -> Run:
    """Discover a proxy for a bench. The same as the command ``autoprox evolve``.

    Args:
        bench: a bench's name, the path of a user's own, several of them between commas, or a
            `Bench`.
        out: the run's folder; a new one under ``runs/`` if None.
        resume: the folder of a run to go on with, instead of `out` and `options`; `bench` only if
            the run began with a `Bench` object.
        jobs: the number of processes; no result depends on it.
        backend: where they come from: ``"loky"``, this machine; ``"dask"`` or ``"ray"``, this
            machine or a cluster; see `autoprox.parallel.open_workers`.
        scheduler: the address of Dask's, as in ``"tcp://host:8786"``.
        cache: the folder of the measured statistics; the user's cache folder if None.
        observer: is told of progress.
        loggers: keep the figures of the run, see `autoprox.tracking`; ``"tensorboard"`` is one.
        options: the fields of `Settings`, such as ``seed=1`` or ``algorithm="emq"``.

    Raises:
        AutoproxError: a name, number, bench, cache or folder cannot be used; the message says
            which.
    """
    observer = Tracker(observer or Silent(), loggers)
    folder = Path(cache) if cache is not None else default_folder()
    opened = open_workers(jobs, backend, scheduler, folder)
    if resume is not None:
        if out is not None or options or (bench and not isinstance(bench, Bench)):
            raise RunError(
                "a resumed run keeps its settings: give resume alone, or start a new run"
            )
        return _resumed(Path(resume), bench, opened, folder, observer)
    source = bench if isinstance(bench, Bench) else _found(str(bench))
    name = source.name if isinstance(source, Bench) else source
    if options.get("images"):
        options["images"] = absolute(options["images"])
    ground = lay(source, Settings(bench=name, **options), folder)
    path = Path(out) if out is not None else _own_folder(ground)
    with opened as workers, RunFolder(path) as files:
        files.create(ground.settings, ground.digest)
        return _run(files, ground, workers, observer)


def _found(bench: str) -> str:
    """Return benches' names as they are, the path of a user's own so that it holds in any folder.

    Raises:
        BenchError: there is nothing between two commas, or they cannot be told from a path's own.
    """
    parts = several(bench)
    found = [absolute(part) if part.endswith(".py") else part for part in parts]
    for path in found:
        if len(found) > 1 and "," in path:
            raise BenchError(
                f"the path {path!r} has a comma, which stands between benches here; move the file"
            )
    return ",".join(found)


def _own_folder(ground: Ground) -> Path:
    """Return the first folder under ``runs/`` that is not taken."""
    settings = ground.settings
    return free_folder(Path("runs") / f"{ground.bench.name}-{settings.algorithm}-{settings.seed}")


def _resumed(
    path: Path,
    bench: str | Path | Bench,
    opened: AbstractContextManager[Workers],
    cache: Path,
    observer: Observer,
) -> Run:
    if not path.is_dir():
        raise RunError(f"there is no run to resume at {path}")
    with RunFolder(path) as files:
        settings = files.settings()
        if files.finished():
            raise RunError(
                f"the run in {path} is finished; see {path / 'report.json'}, or start a new one"
            )
        source = bench if isinstance(bench, Bench) else settings.bench
        ground = lay(source, settings, cache)
        files.check_bench(ground.digest)
        with opened as workers:
            return _run(files, ground, workers, observer)


def _run(files: RunFolder, ground: Ground, workers: Workers, observer: Observer) -> Run:
    observer.started(files.path, ground.settings)
    ground.measure(workers, observer.measuring)
    variation = Variation(
        ground.vocabulary,
        complexity=ground.settings.complexity,
        needs_bits=ground.plans[0].bench.trained,
    )
    search = Search(ground.settings, variation, ground.judge(ground.search, workers), ground.seeds)
    saved = files.checkpoint()
    if saved is not None:
        search.restore(*saved)
        observer.resumed(search.known)
    finished = True
    try:
        with _only_new_garbage():
            _loop(search, ground.judge(ground.held_out), files, observer)
    except KeyboardInterrupt:
        if not search.known:
            raise
        finished = False
    run = finish(files, ground, search, finished)
    observer.finished(run)
    return run


@contextmanager
def _only_new_garbage() -> Iterator[None]:
    """Let the garbage collector look at what is made from now on: what is there mostly lasts.

    Where the caller has done so already, nothing is done.
    """
    if gc.get_freeze_count():
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _loop(search: Search, held_out: Judge, files: RunFolder, observer: Observer) -> None:
    """Run generation after generation, each on disk before the next begins."""
    begun = time.monotonic() - files.seconds
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


def finish(files: RunFolder, ground: Ground, search: Search, finished: bool) -> Run:
    """Assess the best proxies, and write the report and the best one."""
    settings = ground.settings
    best = top(list(search.known.values()))
    if not best:
        raise RunError(
            "no candidate is valid; see candidates.jsonl for the reasons, and try other statistics"
        )
    named = [(f"top {i}", each.graph) for i, each in enumerate(best, start=1)]
    named += ground.baselines.items()
    parts = {"held_out": ground.held_out, "search": ground.search, "transfer": ground.transfer}
    tables = {
        part: _assessed(ground, indices, named) if indices else ()
        for part, indices in parts.items()
    }
    proxies = tuple(
        _proxy(settings, each, held) for each, held in zip(best, tables["held_out"], strict=False)
    )
    benches = tuple(plan.bench.name for plan in ground.plans)
    run = Run(files.path, settings, benches, finished, proxies, **tables)
    report = {
        "format": "autoprox report",
        "version": REPORT_VERSION,
        "finished": finished,
        "evaluations": len(search.known),
        "proposals": search.proposals,
        "settings": settings.to_json(),
        **({"best_seed": run.best_seed} if settings.seed_proxies else {}),
        **{part: [each.to_json() for each in rows] for part, rows in tables.items()},
    }
    write_json(files.path / "report.json", report)
    write_text(files.path / "best.json", dumps(run.best))
    return run


def _assessed(
    ground: Ground, indices: Sequence[int], named: Sequence[tuple[str, Graph]]
) -> tuple[Assessment, ...]:
    assessor = ground.assessor(indices)
    return tuple(assessor(name, graph) for name, graph in named)


def _proxy(settings: Settings, candidate: Candidate, held_out: Assessment) -> Proxy:
    """Return a found proxy with where it comes from."""
    provenance = {
        "found_by": "autoprox evolve",
        "settings": settings.to_json(),
        "search_fitness": candidate.fitness,
        "held_out_fitness": held_out.joint,
        "held_out_interval": held_out.joint_interval,
    }
    return Proxy(
        candidate.graph, description=f"Discovered on {settings.bench}.", provenance=provenance
    )

"""A run: measure, search, and report what was found on architectures that selection never saw."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Protocol

from autoprox.benches import Bench, several
from autoprox.errors import BenchError, RunError
from autoprox.evolution.folder import RunFolder
from autoprox.evolution.ground import Ground, lay
from autoprox.evolution.judge import Candidate, Judge
from autoprox.evolution.permutations import permute
from autoprox.evolution.report import Run, finish
from autoprox.evolution.search import Generation, Search
from autoprox.evolution.settings import Settings
from autoprox.evolution.tracking import Logger, Tracker
from autoprox.evolution.variation import Variation
from autoprox.runtime.arguments import listed, named_options
from autoprox.runtime.files import absolute, free_folder
from autoprox.runtime.parallel import Workers, open_workers
from autoprox.runtime.threads import one_thread
from autoprox.statistics.store import default_folder


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

    def permuting(self, done: int, total: int) -> None:
        """So many of the searches on shuffled accuracies are done."""

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

    def permuting(self, done: int, total: int) -> None:
        """Show nothing."""

    def finished(self, run: Run) -> None:
        """Show nothing."""


@named_options(Settings, replaced=("bench",))
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
    loggers: Logger | str | Sequence[Logger | str] = (),
    **options: Any,
) -> Run:
    """Discover a proxy for a bench. The same as the command ``autoprox evolve``.

    Args:
        bench: a bench's name, the path of a user's own, several of them between commas, or a
            `Bench`.
        out: the run's folder; a new one under ``runs/`` if None.
        resume: the folder of a run to go on with, instead of `out` and `options`; `bench` only if
            the run began with a `Bench` object or a file, which is not executed because the folder
            names it; and `permutations` for more of these.
        jobs: the number of processes; no result depends on it.
        backend: where they come from: ``"loky"``, this machine; ``"dask"`` or ``"ray"``, this
            machine or a cluster; see `autoprox.runtime.parallel.open_workers`.
        scheduler: the address of Dask's, as in ``"tcp://host:8786"``.
        cache: the folder of the measured statistics; the user's cache folder if None.
        observer: is told of progress.
        loggers: keep the figures of the run, see `autoprox.evolution.tracking`;
            ``"tensorboard"`` is one.
        options: the fields of `Settings`, such as ``seed=1`` or ``algorithm="emq"``.

    Raises:
        AutoproxError: a name, number, bench, cache or folder cannot be used; the message says
            which.
    """
    watcher: Observer = Tracker(observer or Silent(), listed(loggers))
    folder = Path(cache) if cache is not None else default_folder()
    opened = open_workers(jobs, backend, scheduler, folder)
    if resume is not None:
        permutations = options.pop("permutations", None)
        if out is not None or options:
            raise RunError(
                "a resumed run keeps its settings: give resume alone, or start a new run"
            )
        return _resumed(Path(resume), bench, permutations, opened, folder, watcher)
    source = bench if isinstance(bench, Bench) else _found(str(bench))
    name = source.name if isinstance(source, Bench) else source
    if options.get("images"):
        options["images"] = absolute(options["images"])
    ground = lay(source, Settings(bench=name, **options), folder)
    path = Path(out) if out is not None else _own_folder(ground)
    with opened as workers, RunFolder(path) as files:
        files.create(ground.settings, ground.digest)
        return _run(files, ground, workers, watcher)


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
    permutations: int | None,
    opened: AbstractContextManager[Workers],
    cache: Path,
    observer: Observer,
) -> Run:
    if not path.is_dir():
        raise RunError(f"there is no run to resume at {path}")
    with RunFolder(path) as files:
        settings = files.settings()
        if permutations is not None:
            settings = replace(settings, permutations=max(permutations, settings.permutations))
        if files.finished() and len(files.permutations()) >= settings.permutations:
            raise RunError(
                f"the run in {path} is finished; see {path / 'report.json'}, ask for (more) "
                "--permutations, or start a new one"
            )
        if isinstance(bench, Bench):
            source: str | Bench = bench
        else:
            source = _found(str(bench)) if bench else files.bench(settings)
        ground = lay(source, settings, cache)
        files.check_bench(ground.digest)
        if permutations is not None:
            files.change(settings)
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
        checkpoint, known = saved
        try:
            search.restore(asdict(checkpoint), known)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise RunError(
                f"the checkpoint of the run in {files.path} is not one that this search writes: "
                f"{type(error).__name__}: {error}"
            ) from None
        observer.resumed(search.known)
    finished = True
    try:
        with _only_new_garbage():
            _loop(search, ground.judge(ground.held_out), files, observer)
            permute(files, ground, search.judge, workers, observer.permuting)
    except KeyboardInterrupt:
        if not search.known:
            raise
        finished = False
    nulls = [each["fitness"] or 0.0 for each in files.permutations().values()]
    run = finish(files, ground, search, finished, nulls)
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

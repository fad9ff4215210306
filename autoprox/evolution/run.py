"""A run: measure, search, and report what was found on architectures that selection never saw."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from autoprox.benches import Bench, several
from autoprox.errors import BenchError, RunError
from autoprox.evolution.algorithms import UnknownAlgorithmError
from autoprox.evolution.base import Algorithm, name_of
from autoprox.evolution.folder import RunFolder
from autoprox.evolution.ground import Ground, lay
from autoprox.evolution.judge import Candidate, Judge
from autoprox.evolution.permutations import permute
from autoprox.evolution.record import Run
from autoprox.evolution.report import finish
from autoprox.evolution.search import Generation, Search
from autoprox.evolution.settings import Settings
from autoprox.evolution.tracking import Logger, Tracker
from autoprox.evolution.variation import Variation
from autoprox.ranking import RankCorrelation
from autoprox.runtime.device import CPU
from autoprox.runtime.files import absolute, free_folder
from autoprox.runtime.options import not_default, settings_in
from autoprox.runtime.parallel import HERE, Workers, open_workers
from autoprox.runtime.threads import one_thread
from autoprox.statistics import Sample
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


@one_thread()
def evolve(
    bench: str | Path | Bench = "",
    *,
    spaces: Sequence[str] | None = None,
    targets: Sequence[str] | None = None,
    architectures: int | None = None,
    correlation: RankCorrelation | None = None,
    algorithm: str | Algorithm = Settings.algorithm,
    parameters: Mapping[str, Any] | None = None,
    evaluations: int = Settings.evaluations,
    population: int = Settings.population,
    batch: int = Settings.batch,
    complexity: int = Settings.complexity,
    seed: int = 0,
    split_seed: int = 0,
    held_out: float = Settings.held_out,
    statistics: Sequence[str] | None = None,
    seed_proxies: Sequence[str] = (),
    permutations: int = 0,
    probe_batch: int = Settings.probe_batch,
    probe_seed: int = 0,
    sample: Sample = Settings.sample,
    images: str | None = None,
    device: str = CPU,
    out: str | Path | None = None,
    resume: str | Path | None = None,
    jobs: int = 1,
    backend: str = "loky",
    scheduler: str | None = None,
    cache: str | Path | None = None,
    observer: Observer | None = None,
    loggers: Sequence[Logger | str] = (),
) -> Run:
    """Discover a proxy for a bench. The same as the command ``autoprox evolve``.

    Args:
        bench: a bench's name, the path of a user's own, several of them between commas, or a
            `Bench`.
        spaces: the spaces to evolve on; None for all. The others are reported as transfer. With
            several benches they are called ``bench/space``.
        targets: the targets of the fitness; None for the default ones of each bench.
        architectures: how many architectures of the bench, or of each bench that has more, to draw;
            None for as many as the bench says, or all.
        correlation: the rank correlation whose mean over the columns is the fitness:
            ``"somers"`` for Somers' D, ``"kendall"`` for τ-b, ``"spearman"``; None for the bench's,
            or, of several that differ, Somers' D.
        algorithm: how to search: the name of a registered one, or an object of a class derived
            from `autoprox.Algorithm`, which a resumed run has to be given again.
        parameters: of a registered algorithm, such as ``{"crossover": 0.4}``; the others have their
            defaults.
        evaluations: how many distinct candidates are judged in all.
        population: the size of the population.
        batch: how many graphs are proposed a generation.
        complexity: the most nodes of a candidate.
        seed: of the search.
        split_seed: of the split into search and held-out architectures.
        held_out: the share of the architectures that selection never sees.
        statistics: the statistics that candidates may use; None for the bench's, or
            `DEFAULT_STATISTICS`; with several benches those that all of them have.
        seed_proxies: names and expressions of proxies that the first population contains.
        permutations: how many times the search is repeated on shuffled accuracies, to see what it
            finds where there is nothing to find.
        probe_batch: how many inputs the networks are shown.
        probe_seed: of the networks' weights, the inputs, and the sample's places.
        sample: entries kept of each tensor of a layer, or ``"full"``.
        images: an .npz file or a folder of images that the networks are shown; None for seeded
            noise.
        device: where networks are measured and tensors reduced: ``"cpu"``, ``"cuda"``,
            ``"cuda:1"``.
        out: the run's folder; a new one under ``runs/`` if None.
        resume: the folder of a run to go on with, instead of `out` and settings; `bench` only if
            the run began with a `Bench` object, and `permutations` for more of these.
        jobs: the number of processes; no result depends on it.
        backend: where they come from: ``"loky"``, this machine; ``"dask"`` or ``"ray"``, this
            machine or a cluster; see `autoprox.runtime.parallel.open_workers`.
        scheduler: the address of Dask's, as in ``"tcp://host:8786"``.
        cache: the folder of the measured statistics; the user's cache folder if None.
        observer: is told of progress.
        loggers: keep the figures of the run, see `autoprox.evolution.tracking`;
            ``"tensorboard"`` is one.

    Raises:
        AutoproxError: a name, number, bench, cache or folder cannot be used; the message says
            which.
    """
    asked = settings_in(locals(), Settings)
    for name in ("bench", *(["parameters"] if parameters is None else [])):
        del asked[name]
    watcher: Observer = Tracker(observer or Silent(), loggers)
    folder = Path(cache) if cache is not None else default_folder()
    opened = open_workers(jobs, backend, scheduler, folder)
    if resume is not None:
        own = algorithm if isinstance(algorithm, Algorithm) else None
        changed = {*not_default(asked, Settings)} - {"permutations"}
        changed -= set() if own is None else {"algorithm"}
        if out is not None or changed or (bench and not isinstance(bench, Bench)):
            raise RunError(
                "a resumed run keeps its settings: give resume alone, or start a new run"
            )
        return _resumed(Path(resume), bench, own, permutations or None, opened, folder, watcher)
    ground = _laid(bench, folder, asked)
    path = Path(out) if out is not None else _own_folder(ground)
    with opened as workers, RunFolder(path) as files:
        files.create(ground.settings, ground.digest)
        return _run(files, ground, workers, watcher)


def begin_search(
    bench: str | Path | Bench, *, cache: str | Path | None = None, **options: Any
) -> Search:
    """Return a search whose loop is the caller's: ask, judge, tell.

    What the cache lacks of the bench is measured first; nothing else is written. The same
    settings give the same candidates as `evolve` does.

    Args:
        bench: as for `evolve`, as are the others.
        cache: the folder of the measured statistics.
        options: the settings of `evolve`.

    Raises:
        AutoproxError: a name, number, bench or cache cannot be used; the message says which.
    """
    folder = Path(cache) if cache is not None else default_folder()
    with one_thread():
        ground = _laid(bench, folder, options)
        ground.measure(HERE, lambda done, total: None)
        return _search(ground, HERE)


def _laid(bench: str | Path | Bench, cache: Path, options: dict[str, Any]) -> Ground:
    """Return the ground of a new run, given the fields of its settings but for the bench."""
    source = bench if isinstance(bench, Bench) else _found(str(bench))
    name = source.name if isinstance(source, Bench) else source
    if options.get("images"):
        options["images"] = absolute(options["images"])
    algorithm = options.get("algorithm")
    if algorithm is None or isinstance(algorithm, str):
        return lay(source, Settings(bench=name, **options), cache)
    named = {"algorithm": name_of(algorithm), "parameters": algorithm.parameters()}
    return lay(source, Settings(bench=name, **options | named), cache, algorithm)


def _search(ground: Ground, workers: Workers) -> Search:
    """Return the search of a run, before its first generation."""
    variation = Variation(
        ground.vocabulary,
        complexity=ground.settings.complexity,
        needs_bits=ground.plans[0].bench.trained,
    )
    judge = ground.judge(ground.search, workers)
    return Search(ground.settings, variation, judge, ground.seeds, ground.algorithm)


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
    algorithm: Algorithm | None,
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
        if files.report().get("finished") and len(files.permutations()) >= settings.permutations:
            raise RunError(
                f"the run in {path} is finished; see {path / 'report.json'}, ask for (more) "
                "--permutations, or start a new one"
            )
        source = bench if isinstance(bench, Bench) else settings.bench
        if algorithm is not None:
            _check_algorithm(algorithm, settings, path)
        try:
            ground = lay(source, settings, cache, algorithm)
        except UnknownAlgorithmError:
            raise RunError(
                f"the run in {path} began with an algorithm that is registered nowhere: give "
                f"{settings.described} again, as in autoprox.evolve(resume=…, algorithm=…)"
            ) from None
        files.check_bench(ground.digest)
        if permutations is not None:
            files.change(settings)
        with opened as workers:
            return _run(files, ground, workers, observer)


def _check_algorithm(algorithm: Algorithm, settings: Settings, path: Path) -> None:
    """Raise `RunError` if a run did not begin with this algorithm."""
    given = replace(settings, algorithm=name_of(algorithm), parameters=algorithm.parameters())
    if given.described != settings.described:
        raise RunError(
            f"the run in {path} began with the algorithm {settings.described}; got "
            f"{given.described}: give the same, or start a new run"
        )


def _run(files: RunFolder, ground: Ground, workers: Workers, observer: Observer) -> Run:
    observer.started(files.path, ground.settings)
    ground.measure(workers, observer.measuring)
    search = _search(ground, workers)
    saved = files.checkpoint()
    if saved is not None:
        search.restore(*saved)
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

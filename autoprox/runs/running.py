"""What a run does, in its folder: measure, search, judge luck, report."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

from autoprox.benches import Bench, several
from autoprox.benches.teachers import check_same_teacher, placed_teacher
from autoprox.errors import BenchError, RunError, UnknownNameError
from autoprox.evolution.algorithms import UnknownAlgorithmError
from autoprox.evolution.base import Algorithm, name_of
from autoprox.evolution.judge import Candidate, Judge
from autoprox.evolution.search import Search
from autoprox.evolution.settings import Settings
from autoprox.evolution.small import variation_of
from autoprox.runs.folder import RunFolder
from autoprox.runs.ground import Ground, lay
from autoprox.runs.observer import Observer
from autoprox.runs.permutations import check_shuffled, permute
from autoprox.runs.record import Run
from autoprox.runs.report import finish
from autoprox.runs.schemas import RunConfig
from autoprox.runs.unseen import check_seeds
from autoprox.runtime.files import absolute, free_folder
from autoprox.runtime.journal import restoring
from autoprox.runtime.parallel import Workers


def laid(bench: str | Path | Bench, cache: Path, options: dict[str, Any]) -> Ground:
    """Return the ground of a new run, given the fields of its settings but for the bench.

    None is as if a field were not given.

    Raises:
        RunError: a seed proxy was selected on what the run holds out, or searches on shuffled
            accuracies would begin with what a search found, or parameters are given twice.
        AutoproxError: a name, number, bench or cache cannot be used.
    """
    source = bench if isinstance(bench, Bench) else found_at(str(bench))
    name = source.name if isinstance(source, Bench) else source
    known = {field.name for field in fields(Settings)} - {"bench", "searches"}
    for option in options:
        if option not in known:
            raise UnknownNameError("setting of a run", option, known)
    options = {option: value for option, value in options.items() if value is not None}
    for path in ("images", "teacher_weights"):
        if options.get(path):
            options[path] = absolute(options[path])
    if options.get("teacher"):
        options["teacher"] = placed_teacher(options["teacher"])
    settings, algorithm = _asked(name, options)
    ground = lay(source, settings, cache, algorithm, new=True)
    check_seeds(ground, source, settings.seed_proxies)
    check_shuffled(ground.settings)
    return ground


def _asked(bench: str, options: dict[str, Any]) -> tuple[Settings, Algorithm | None]:
    """Return the settings of a new run, and its algorithm if that is an object.

    Raises:
        RunError: parameters are given twice, or no target or statistic where some are given.
    """
    algorithm = options.get("algorithm")
    instance = None if algorithm is None or isinstance(algorithm, str) else algorithm
    named = (
        {}
        if instance is None
        else {"algorithm": name_of(instance), "parameters": instance.parameters()}
    )
    if instance is not None and options.get("parameters"):
        raise RunError(
            f"an algorithm that is an object has its own parameters; got {instance!r} and "
            f"parameters={options['parameters']!r}: give them to the object, or the algorithm by "
            "its name"
        )
    settings = Settings(bench=bench, **options | named)
    for words in ("targets", "statistics"):
        if getattr(settings, words) == ():
            raise RunError(f"expected one of the {words} or more, or None for the usual; got none")
    return settings, instance


def search_on(ground: Ground, workers: Workers) -> Search:
    """Return the search of a run, before its first generation."""
    settings = ground.settings
    variation = variation_of(settings, ground.vocabulary, ground.plans[0].bench.trained)
    judge = ground.judge(ground.search, workers, settings.over or "mean")
    return Search(settings, variation, judge, ground.seeds, ground.algorithm)


def found_at(bench: str) -> str:
    """Return benches' names as they are, the path of a user's own so that it holds in any folder.

    Raises:
        BenchError: there is nothing between two commas, or they cannot be told from a path's own.
    """
    parts = several(bench)
    sources = [absolute(part) if part.endswith(".py") else part for part in parts]
    for path in sources:
        if len(sources) > 1 and "," in path:
            raise BenchError(
                f"the path {path!r} has a comma, which stands between benches here; move the file"
            )
    return ",".join(sources)


def _own_folder(ground: Ground) -> Path:
    """Return the first folder under ``runs/`` that is not taken."""
    settings = ground.settings
    return free_folder(Path("runs") / f"{ground.bench.name}-{settings.algorithm}-{settings.seed}")


def begin_in(
    ground: Ground,
    out: str | Path | None,
    opened: AbstractContextManager[Workers],
    observer: Observer,
) -> Run:
    """Begin a run in a folder, a new one under ``runs/`` if `out` is None.

    Raises:
        RunError: the folder already holds one, or cannot be written.
        AutoproxError: something cannot be measured.
    """
    path = Path(out) if out is not None else _own_folder(ground)
    with opened as workers, RunFolder(path) as files:
        files.create(ground.config)
        return run_in(files, ground, workers, observer)


def resume_in(
    path: Path,
    bench: str | Path | Bench,
    algorithm: Algorithm | None,
    teacher: str | None,
    more: Mapping[str, int | None],
    opened: AbstractContextManager[Workers],
    cache: Path,
    observer: Observer,
) -> Run:
    """Go on with the run in the folder `path`, until it has `more` evaluations and permutations.

    `bench` is empty if the run's settings say what it is; `algorithm` is None if it is registered,
    and `teacher` unless a file makes it.

    Raises:
        RunError: there is no such run, it is finished, its files are damaged, or it was asked for
            more already.
        AutoproxError: its bench, algorithm or cache cannot be used.
    """
    if not os.path.isdir(path):
        raise RunError(f"there is no run to resume at {path}")
    with RunFolder(path) as files:
        settings = extended(files.settings(), more, path)
        done = len(files.permutations()) >= settings.permutations
        if done and files.finished(settings):
            raise RunError(
                f"the run in {path} is finished; see {path / 'report.json'}, ask for more "
                "--evaluations or (more) --permutations, or start a new one"
            )
        source = source_of(bench, settings, files, teacher)
        ground = laid_again(source, settings, cache, algorithm, path, files.config())
        files.check_bench(ground.digest)
        files.extend(ground.config)
        with opened as workers:
            return run_in(files, ground, workers, observer)


def extended(settings: Settings, more: Mapping[str, int | None], path: Path) -> Settings:
    """Return the settings of the run in a folder that is to do more, as `resume_in` takes it.

    Raises:
        RunError: less is asked for than it was asked for before, or what is no number, or searches
            on shuffled accuracies of a run that began with what a search found.
    """
    asked: dict[str, Any] = {n: number for n, number in more.items() if number is not None}
    larger = replace(settings, **asked)
    for name, number in asked.items():
        before = getattr(settings, name)
        if number < before:
            raise RunError(
                f"the run in {path} was asked for {before} {name}; a resumed run can be asked for "
                f"more, not for {number}"
            )
    if larger.permutations > settings.permutations:
        check_shuffled(larger)
    return larger


def source_of(
    bench: str | Path | Bench, settings: Settings, files: RunFolder, teacher: str | None = None
) -> str | Bench:
    """Return what the bench of a run is loaded by: `bench`, or, if empty, what its folder says.

    Raises:
        RunError: bench or teacher would execute a file which nobody named but the run's folder, or
            the teacher is another one.
    """
    check_same_teacher(files.path, settings.teacher, teacher)
    if isinstance(bench, Bench):
        return bench
    return found_at(str(bench)) if str(bench) else files.bench(settings)


def laid_again(
    source: str | Bench,
    settings: Settings,
    cache: Path,
    algorithm: Algorithm | None,
    path: Path,
    kept: RunConfig,
) -> Ground:
    """Return the ground of a run that goes on, or that another process was sent; see `lay`.

    Raises:
        RunError: its algorithm is registered nowhere, or is not the one given.
    """
    if algorithm is not None:
        _check_algorithm(algorithm, settings, path)
    try:
        return lay(source, settings, cache, algorithm, kept=kept)
    except UnknownAlgorithmError:
        raise RunError(
            f"the run in {path} began with an algorithm that is registered nowhere: give "
            f"{settings.described} again, as in autoprox.evolve(resume=…, algorithm=…)"
        ) from None


def ground_of(files: RunFolder, source: str | Bench, settings: Settings, cache: Path) -> Ground:
    """Return the ground of a run to judge proxies on; how it searched makes no difference.

    Raises:
        RunError: its bench has changed since it began.
    """
    plain = Settings(settings.bench)
    settings = replace(settings, algorithm=plain.algorithm, parameters=plain.parameters)
    kept = replace(files.config(), primitives=())  # some may be another program's
    ground = lay(source, settings, cache, kept=kept)
    files.check_bench(ground.digest)
    return ground


def _check_algorithm(algorithm: Algorithm, settings: Settings, path: Path) -> None:
    """Raise `RunError` if a run did not begin with this algorithm."""
    asked = replace(settings, algorithm=name_of(algorithm), parameters=algorithm.parameters())
    if asked.described != settings.described:
        raise RunError(
            f"the run in {path} began with the algorithm {settings.described}; got "
            f"{asked.described}: give the same, or start a new run"
        )


def run_in(files: RunFolder, ground: Ground, workers: Workers, observer: Observer) -> Run:
    """Do what is left to do of the run in a folder, and report it.

    Ctrl-C stops it with a report of what there is, if there is anything.

    Raises:
        AutoproxError: something cannot be measured, read or written.
    """
    observer.started(files.path, ground.settings)
    ground.measure(workers, observer.measuring)
    search = search_on(ground, workers)
    saved = files.checkpoint()
    if saved is not None:
        checkpoint, known = saved
        with restoring(files.path):
            search.restore(asdict(checkpoint), known)
        observer.resumed(search.known)
    held_out, finished = ground.judge(ground.held_out), True
    try:
        with _only_new_garbage():
            _loop(search, held_out, files, observer)
            permute(files, ground, search.judge, workers, observer.permuting)
    except KeyboardInterrupt:
        saved = files.checkpoint()
        if saved is None:  # no generation was saved
            raise
        observer.interrupted()
        finished = False
        # The last generation may have been judged and not saved: what is reported is on disk.
        search.proposals, search.known = saved[0].proposals, saved[1]
    nulls = [null["fitness"] or 0.0 for null in files.permutations().values()]
    run = finish(files, ground, search, held_out, finished, nulls, observer.reporting)
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

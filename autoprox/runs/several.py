"""Several runs in one folder: each in a sub-folder of its own, to the byte as if it were alone.

`evolve_several` takes the settings that all of them share and, by their names, those in which each
differs: ``{"seed-0": {"seed": 0, "split_seed": 0}, ...}``. It knows nothing else of what varies.
`evolve_seeds` is all that several seeds need, and `evolve_leaving_one_out` one run for each bench
that is left out.

``runs.json`` says what each run is asked for, and is written first; a run's sub-folder is there as
soon as it began; ``report.json`` and ``best.json`` come last. So a process may end at any point:
``evolve_several(resume=FOLDER)`` goes on, whatever varies, and `read_runs` reads the folder.

Each process of this machine works on a run of its own; that is faster than several processes for
one run, for they share nothing. A single run that is left, a GPU and a cluster, whose machines need
not see the folder, do one run after the other, and all processes work for it.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from autoprox.benches import Bench
from autoprox.errors import AutoproxError, RunError
from autoprox.evolution.base import Algorithm
from autoprox.evolution.search import Generation
from autoprox.evolution.settings import Settings
from autoprox.runs.contents import check_free, check_varied
from autoprox.runs.folder import RunFolder
from autoprox.runs.ground import Ground
from autoprox.runs.notebook import notebook_several
from autoprox.runs.observer import SeveralObserver, Silent, SilentSeveral
from autoprox.runs.running import extended, laid, laid_again, run_in, source_of
from autoprox.runs.schemas import RunConfig
from autoprox.runs.several_record import Runs, asked_in, read_runs, write_asked
from autoprox.runs.tracking import Tracker
from autoprox.runtime.arguments import listed, named_options
from autoprox.runtime.device import CPU
from autoprox.runtime.files import free_folder
from autoprox.runtime.parallel import HERE, Workers, open_workers
from autoprox.runtime.threads import one_thread
from autoprox.statistics.store import default_folder

GLANCE = 0.5
"""How many seconds pass before it is looked again how far the runs are."""

PATIENCE = 300
"""How many seconds the runs in work have to come to their report after Ctrl-C."""


@dataclass(frozen=True)
class Member:
    """One of the runs, for this process or another.

    Attributes:
        folder: of all of them.
        name: of this one, and of its sub-folder.
        source: what its bench is loaded by, or the bench itself.
        settings: what it is asked for.
        cache: the folder of the measured statistics.
        algorithm: the one that is registered nowhere; else None.
        loggers: the names of its loggers.
        kept: what its folder says of it from the start.
    """

    folder: Path
    name: str
    source: str | Bench
    settings: Settings
    cache: Path
    algorithm: Algorithm | None
    loggers: tuple[str, ...]
    kept: RunConfig

    @property
    def path(self) -> Path:
        """Its own folder."""
        return self.folder / self.name

    @property
    def stop(self) -> Path:
        """The file that tells all of them to stop; it is there after Ctrl-C."""
        return self.folder / ".stop"


@named_options(Settings, replaced=("bench", "searches"))
@one_thread()
def evolve_several(
    bench: str | Path | Bench = "",
    varied: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
    *,
    out: str | Path | None = None,
    resume: str | Path | None = None,
    jobs: int = 1,
    backend: str = "loky",
    scheduler: str | None = None,
    cache: str | Path | None = None,
    observer: SeveralObserver | None = None,
    loggers: str | Sequence[str] = (),
    **options: Any,
) -> Runs:
    """Discover proxies in several runs, all in one folder.

    Args:
        bench: as for `autoprox.evolve`.
        varied: the settings of each run that differ from `options`, by its name.
        out: the folder; a new one under ``runs/`` if None.
        resume: the folder to go on with, instead of all other settings but more `evaluations` or
            `permutations` of each run; `bench` and `algorithm` as for `autoprox.evolve`.
        jobs: the number of processes; no result depends on it.
        backend: where they come from, as for `autoprox.evolve`.
        scheduler: the address of Dask's.
        cache: the folder of the measured statistics; the user's cache folder if None.
        observer: is told of progress; a notebook shows a bar if None.
        loggers: the names of what keeps the figures of each run.
        options: the settings that the runs share; those of `autoprox.evolve`.

    Raises:
        AutoproxError: a name, number, bench, cache or folder cannot be used; the message says
            which. What other runs found is kept.
    """
    folder = Path(cache) if cache is not None else default_folder()
    opened = open_workers(jobs, backend, scheduler, folder)
    names = tuple(listed(loggers))
    Tracker(Silent(), names)  # a mistake in them shows before anything begins
    algorithm = options.get("algorithm")
    algorithm = algorithm if isinstance(algorithm, Algorithm) else None
    if resume is None:
        path, grounds = _begun(bench, varied, out, folder, options)
    else:
        kept = {"evaluations", "permutations", "teacher", *(["algorithm"] if algorithm else [])}
        if out is not None or varied or options.keys() - kept:
            raise RunError("resumed runs keep their settings: give resume alone, or start new ones")
        path = Path(resume)
        teacher = options.pop("teacher", None)
        grounds = _again(path, bench, algorithm, teacher, options, folder)
    members = [
        Member(
            path,
            name,
            bench if isinstance(bench, Bench) else ground.settings.bench,
            ground.settings,
            folder,
            algorithm,
            names,
            ground.config,
        )
        for name, ground in grounds.items()
    ]
    at_once = backend == "loky" and all(member.settings.device == CPU for member in members)
    return _done(
        members, grounds, opened, at_once, observer or notebook_several() or SilentSeveral()
    )


def _begun(
    bench: str | Path | Bench,
    varied: Mapping[str, Mapping[str, Any]],
    out: str | Path | None,
    cache: Path,
    options: Mapping[str, Any],
) -> tuple[Path, dict[str, Ground]]:
    """Return the folder of new runs, in which it stands what they are, and their grounds."""
    check_varied(varied)
    grounds = {
        name: laid(bench, cache, {**options, **settings}) for name, settings in varied.items()
    }
    first = next(iter(grounds.values()))
    path = Path(out) if out is not None else _own_folder(first, varied)
    with RunFolder(path):
        check_free(path)
        write_asked(path, {name: ground.config for name, ground in grounds.items()})
    return path, grounds


def _own_folder(ground: Ground, varied: Mapping[str, Any]) -> Path:
    """Return the first folder under ``runs/`` that is not taken."""
    first, *_, last = [*varied, *varied]
    name = f"{ground.bench.name}-{ground.settings.algorithm}-{first}"
    return free_folder(Path("runs") / (name if first == last else f"{name}-to-{last}"))


def _again(
    path: Path,
    bench: str | Path | Bench,
    algorithm: Algorithm | None,
    teacher: str | None,
    more: Mapping[str, int | None],
    cache: Path,
) -> dict[str, Ground]:
    """Return the grounds of runs that go on, after ``runs.json`` says what they are asked for.

    Raises:
        RunError: they are finished, or their benches have changed.
    """
    if not os.path.isdir(path):
        raise RunError(f"there are no runs to resume at {path}")
    with RunFolder(path):
        asked = asked_in(path)
        settings = {
            name: extended(Settings.from_json(config.settings), more, path / name)
            for name, config in asked.items()
        }
        finished = all(RunFolder(path / name).finished(wanted) for name, wanted in settings.items())
        if finished and read_runs(path).written:
            raise RunError(
                f"the runs in {path} are finished; ask for more --evaluations or (more) "
                "--permutations, or start new ones"
            )
        grounds = {}
        for name, wanted in settings.items():
            files = RunFolder(path / name)
            source = source_of(bench, wanted, files, teacher)
            grounds[name] = laid_again(source, wanted, cache, algorithm, path / name, asked[name])
            if grounds[name].digest != asked[name].bench:
                raise RunError(
                    f"the bench of the runs in {path} has changed since they began (figures, "
                    "architectures or file); start new ones"
                )
        write_asked(path, {name: ground.config for name, ground in grounds.items()})
    return grounds


def _done(
    members: list[Member],
    grounds: Mapping[str, Ground],
    opened: AbstractContextManager[Workers],
    at_once: bool,
    observer: SeveralObserver,
) -> Runs:
    """Do what is left of the runs, and report them.

    Raises:
        KeyboardInterrupt: Ctrl-C came before a run had anything to report, or as the last ended.
        RunError: some of the runs failed.
    """
    path = members[0].folder
    problems: dict[str, str] = {}
    stopped = False
    with opened as workers, RunFolder(path):
        members[0].stop.unlink(missing_ok=True)
        observer.started(path, {member.name: member.settings for member in members})
        _measure(grounds, workers, observer)
        left = [m for m in members if not RunFolder(m.path).finished(m.settings)]
        try:
            with _watched(members, observer):
                for name, problem in _each(left, workers, at_once):
                    if problem is not None:
                        problems[name] = problem
        except KeyboardInterrupt:
            stopped = True
            members[0].stop.touch()
            _wait(left)
        runs = read_runs(path)
        if runs.reported:
            runs.write()
        if runs.finished:
            members[0].stop.unlink(missing_ok=True)
    if problems:
        text = "; ".join(f"{name}: {problem}" for name, problem in problems.items())
        raise RunError(f"{len(problems)} of the runs in {path} failed, the others are kept: {text}")
    if stopped and (runs.finished or not runs.runs):
        raise KeyboardInterrupt
    return runs


def _measure(grounds: Mapping[str, Ground], workers: Workers, observer: SeveralObserver) -> None:
    """Measure what is missing from the cache; runs mostly need the same."""
    measured: list[Any] = []
    for ground in grounds.values():
        needed = [(plan.works, plan.probe) for plan in ground.plans]
        if needed not in measured:
            ground.measure(workers, observer.measuring)
            measured.append(needed)


def _each(
    members: list[Member], workers: Workers, at_once: bool
) -> Iterator[tuple[str, str | None]]:
    """Do what is left of runs; yield the name of each, and what went wrong if something did.

    Raises:
        KeyboardInterrupt: Ctrl-C came.
        WorkerError: a worker was killed.
    """
    if at_once and not workers.here and len(members) > 1:
        yield from workers.unordered(_do, ((member,) for member in members))
        return
    for member in members:
        try:
            finished = _carry_out(member, workers)
        except AutoproxError as error:
            yield member.name, str(error)
            continue
        if not finished:
            raise KeyboardInterrupt
        yield member.name, None


def _do(member: Member) -> tuple[str, str | None]:
    """Do what is left of a run in this process alone; return its name, and what went wrong."""
    try:
        if not member.stop.exists():
            _carry_out(member, HERE)
    except AutoproxError as error:
        return member.name, str(error)
    except KeyboardInterrupt:  # the others are told as well: this process has no terminal
        pass
    return member.name, None


def _carry_out(member: Member, workers: Workers) -> bool:
    """Do what is left of a run; return whether it is finished then."""
    with RunFolder(member.path) as files:
        ground = laid_again(
            member.source,
            member.settings,
            member.cache,
            member.algorithm,
            member.path,
            member.kept,
        )
        if files.begun:
            files.check_bench(ground.digest)
            files.extend(ground.config)
        else:
            files.create(ground.config)
        observer = Tracker(_Stopping(member.stop), member.loggers)
        return run_in(files, ground, workers, observer).finished


class _Stopping(Silent):
    """Stops a run, as Ctrl-C does, when a file is there.

    Args:
        stop: the file.
    """

    def __init__(self, stop: Path) -> None:
        """Look at nothing yet."""
        self.stop = stop

    def generation(self, generation: Generation, held_out: float | None) -> None:
        """Stop after a generation."""
        self.permuting(0, 0)

    def permuting(self, done: int, total: int) -> None:
        """Stop after a search on shuffled accuracies."""
        if self.stop.exists():
            raise KeyboardInterrupt


def _wait(members: list[Member]) -> None:
    """Wait until the runs in work have written their reports; Ctrl-C again ends that."""
    end = time.monotonic() + PATIENCE
    for member in members:
        while member.path.is_dir() and time.monotonic() < end:
            try:
                with RunFolder(member.path):
                    break
            except RunError:  # it is locked: somebody works there
                time.sleep(GLANCE)


@contextmanager
def _watched(members: list[Member], observer: SeveralObserver) -> Iterator[None]:
    """Tell an observer again and again how far the runs are, and once more when they have ended."""
    over = threading.Event()

    def look() -> None:
        observer.searching({member.name: _judged(member.path) for member in members})

    def look_often() -> None:
        look()
        while not over.wait(GLANCE):
            look()

    looking = threading.Thread(target=look_often, daemon=True)
    looking.start()
    try:
        yield
    finally:
        over.set()
        looking.join()
        look()  # whatever was judged since the thread looked last


def _judged(path: Path) -> int:
    """Return how many candidates the run in a folder has judged by now."""
    try:
        last = (path / "generations.csv").read_text(encoding="utf-8").rstrip("\n").splitlines()[-1]
        return int(last.split(",")[1])
    except (OSError, IndexError, ValueError):  # it has judged none yet
        return 0

"""Work in many processes: of this machine, or of a cluster.

This is the one place that calls joblib. What is sent to a worker and comes back is text, numbers
and numpy arrays, never tensors; statistics and scores go through the cache folder. A worker does
one task at a time, in one thread, so that no result depends on where it was computed.

A cluster needs: the same versions of autoprox and torch on every machine, the cache folder on a
file system that all of them share, and files that are named (images, a bench of one's own) under
the same path. The first two are checked when the work begins.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
import time
import uuid
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import Executor, as_completed
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from unittest.mock import patch

from autoprox.errors import CacheError, UnknownNameError, WorkerError
from autoprox.runtime.registry import OwnMember, own_members, take_members
from autoprox.runtime.threads import one_thread

if TYPE_CHECKING:
    from distributed import Client

Result = TypeVar("Result")

IDLE = 300
"""Seconds after which processes on this machine end that have nothing to do."""

GLANCE = 1.0
"""How many seconds pass before a worker looks again whether its parent lives."""

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
"""What tells a new process how many threads to use."""

PATIENCE = 10
"""Seconds to wait for a scheduler, and for its first worker."""

_TURN = threading.Lock()
"""Held by the task that a process works on: the random states belong to the whole process."""


@dataclass(frozen=True)
class Workers:
    """Processes that work for this one; see `open_workers`.

    Attributes:
        jobs: how many tasks are in work at a time.
        parallel: has tasks, as `joblib.delayed` makes them, done by other processes, and gives the
            results in any order; None for this process alone.
        deaths: what is raised when work is lost and no other process takes it over, and what
            happened then.
    """

    jobs: int = 1
    parallel: Callable[[Iterable[Any]], Iterable[Any]] | None = None
    deaths: Mapping[type[BaseException], str] = field(default_factory=dict)

    @property
    def here(self) -> bool:
        """Whether this process does the work itself."""
        return self.parallel is None

    def map(
        self, function: Callable[..., Result], arguments: Iterable[tuple[Any, ...]]
    ) -> list[Result]:
        """Return what a function gives for each tuple of arguments, in their order.

        Args:
            function: at the top level of a module.
            arguments: of each task.

        Raises:
            WorkerError: a process was killed, and no other did its work.
            AutoproxError: what the function raises.
        """
        numbered = ((function, place, args) for place, args in enumerate(arguments))
        results = dict(self.unordered(_numbered, numbered))
        return [results[place] for place in range(len(results))]

    def unordered(
        self, function: Callable[..., Result], arguments: Iterable[tuple[Any, ...]]
    ) -> Iterator[Result]:
        """Return an iterator over what `map` returns, each result as soon as it is there.

        Other processes begin at once, and this one when the first result is asked for. Take all of
        them before the next call.
        """
        if self.parallel is None:
            return (function(*args) for args in arguments)
        from joblib import delayed

        members = own_members()
        with self._deaths_told():
            begun = self.parallel(delayed(_task)(function, args, members) for args in arguments)
        return self._taken(begun)

    def _taken(self, results: Iterable[Result]) -> Iterator[Result]:
        left = iter(results)
        try:
            while True:
                with self._deaths_told():  # not over a yield: what it changes is everybody's
                    try:
                        result = next(left)
                    except StopIteration:
                        return
                yield result
        finally:
            if isinstance(left, Generator):
                left.close()

    @contextmanager
    def _deaths_told(self) -> Iterator[None]:
        """Say what a process's death means."""
        try:
            with warnings.catch_warnings():
                # loky's, of a process that had nothing to do for long; nothing is lost.
                warnings.filterwarnings("ignore", message="A worker stopped while some jobs were")
                yield
        except tuple(self.deaths) as error:
            happened = next(text for kind, text in self.deaths.items() if isinstance(error, kind))
            why = str(error.__cause__ or type(error).__name__).strip(' "\n').rpartition("\n")[2]
            raise WorkerError(
                f"{happened} ({why}); what was finished is kept: call again to go on"
            ) from None


HERE = Workers()
"""This process alone."""

_KILLED = "a worker process was killed, perhaps because memory ran out: use fewer jobs"

_UNREADABLE = "a worker process could not import what its task needs"


@contextmanager
def open_workers(
    jobs: int = 1,
    backend: str = "loky",
    scheduler: str | None = None,
    folder: Path | None = None,
) -> Iterator[Workers]:
    """Start or reach worker processes, and let them go at the end.

    ``"loky"`` starts processes on this machine; one job is this process alone. ``"dask"`` asks the
    cluster at `scheduler`, or starts a cluster of `jobs` processes on this machine (a script does
    that under ``if __name__ == "__main__"``); a task whose worker was killed is done by another.
    ``"ray"`` starts `jobs` processes on this machine, or on the cluster that the environment
    variable RAY_ADDRESS names.

    Args:
        jobs: the number of processes; of the cluster at `scheduler` all are used.
        backend: one of `BACKENDS`.
        scheduler: the address of Dask's scheduler, as in ``"tcp://host:8786"``.
        folder: of the cache, which the workers have to see.

    Raises:
        UnknownNameError: there is no such backend.
        WorkerError: the backend is not installed, the scheduler cannot be reached or has no
            workers, or they run other versions.
        CacheError: a worker does not see the folder.
    """
    if backend not in BACKENDS:
        raise UnknownNameError("backend", backend, BACKENDS)
    if jobs < 1:
        raise WorkerError(f"jobs is at least 1; got {jobs}")
    if scheduler is not None and backend != "dask":
        raise WorkerError(
            f"only Dask has a scheduler: add --backend dask (backend='dask'), or leave out "
            f"{scheduler}"
        )
    with BACKENDS[backend](jobs, scheduler, folder) as workers:
        yield workers


def _task(
    function: Callable[..., Result], arguments: tuple[Any, ...], members: tuple[OwnMember, ...]
) -> Result:
    """Do one task in a worker, which is told what the user added to the language."""
    with _TURN, one_thread():
        take_members(members)
        return function(*arguments)


def _numbered(
    function: Callable[..., Result], place: int, arguments: tuple[Any, ...]
) -> tuple[int, Result]:
    """Do a task and say which it was."""
    return place, function(*arguments)


@contextmanager
def _loky(jobs: int, _: str | None, __: Path | None) -> Iterator[Workers]:
    if jobs == 1:
        yield HERE
        return
    from joblib.externals.loky import get_reusable_executor
    from joblib.externals.loky.process_executor import BrokenProcessPool, TerminatedWorkerError

    # Not by `joblib.Parallel`: it looks for results only every 10 ms, and a generation has a few.
    env = dict.fromkeys(THREADS, "1")
    # loky's tracker removes in silence what a process leaves behind that Ctrl-C ends at once.
    ignored = [os.environ.get("PYTHONWARNINGS"), "ignore:resource_tracker:UserWarning"]
    with patch.dict(os.environ, PYTHONWARNINGS=",".join(filter(None, ignored))):
        pool = get_reusable_executor(
            jobs, timeout=IDLE, initializer=_stay, initargs=(os.getpid(),), env=env
        )
    with _signals_held():
        for _process in range(jobs):  # they start while this process reads its tables
            pool.submit(_wake)
    deaths = {TerminatedWorkerError: _KILLED, BrokenProcessPool: _UNREADABLE}
    yield Workers(jobs, partial(_submitted, pool), deaths)


@contextmanager
def _signals_held() -> Iterator[None]:
    """Let processes and threads that start inside ignore Ctrl-C and SIGTERM; this one handles both.

    Both signals go to all processes of a terminal or a job. One that arrives meanwhile is delivered
    afterwards.
    """
    if os.name == "nt":
        yield
        return
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()  # for it lets signals through when it starts
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _stay(parent: int) -> None:
    """Keep a worker however large its memory becomes, but no longer than its parent lives.

    Where psutil is installed, loky replaces a worker that has grown by 300 MB since its first task:
    a network does that, and so do the statistics of a large table, which are mapped.
    """
    from joblib.externals.loky import process_executor

    process_executor._MAX_MEMORY_LEAK_SIZE = sys.maxsize
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    """End this process when its parent has ended, however that did."""
    while os.getppid() == parent:
        time.sleep(GLANCE)
    os._exit(1)


def _wake() -> None:
    """Import what every task needs.

    Where psutil is not installed, loky collects garbage every second, but need not look at that.
    """
    import torch  # noqa: F401

    if not gc.get_freeze_count():
        gc.freeze()


def _submitted(pool: Executor, tasks: Iterable[tuple[Any, Any, Any]]) -> Iterator[Any]:
    """Start tasks, as `joblib.delayed` makes them; return the results as they come."""
    futures = {pool.submit(function, *args, **named) for function, args, named in tasks}

    def results() -> Iterator[Any]:
        try:
            for done in as_completed(futures):
                futures.remove(done)  # or Dask does it again when its worker dies
                yield done.result()
        finally:
            for future in futures:
                future.cancel()

    return results()


@contextmanager
def _dask(jobs: int, scheduler: str | None, folder: Path | None) -> Iterator[Workers]:
    try:
        from concurrent.futures import CancelledError

        from distributed import Client, KilledWorker, LocalCluster
    except ImportError:
        raise _missing("Dask", "distributed") from None
    with ExitStack() as stack:
        try:
            if scheduler is None:
                cluster: Any = LocalCluster(
                    n_workers=jobs, threads_per_worker=1, memory_limit=None, dashboard_address=None
                )
                stack.enter_context(cluster)
            client = Client(scheduler or cluster, timeout=PATIENCE, set_as_default=False)
            stack.enter_context(client)
            client.wait_for_workers(1, timeout=PATIENCE)
        except (OSError, ValueError) as error:  # a time-out is an OSError
            raise WorkerError(
                f"Dask's scheduler {scheduler or 'on this machine'} cannot be reached, or has no "
                f"worker: {error}"
            ) from None
        _check(client, folder)
        # Not by joblib's backend: it waits for ever for a task that Dask gave up.
        pool = client.get_executor(pure=False)
        deaths = {KilledWorker: _KILLED, CancelledError: "Dask's scheduler is gone"}
        yield Workers(len(client.nthreads()), partial(_submitted, pool), deaths)


@contextmanager
def _ray(jobs: int, _: str | None, __: Path | None) -> Iterator[Workers]:
    try:
        import ray
        from joblib import Parallel
        from ray.util.joblib import register_ray
    except ImportError:
        raise _missing("Ray", "ray") from None
    ours = not ray.is_initialized()
    if ours:
        local = {} if os.environ.get("RAY_ADDRESS") else {"num_cpus": jobs}
        ray.init(include_dashboard=False, log_to_driver=False, **local)
    register_ray()
    try:
        # Ray's backend gives no result before it has them all.
        with Parallel(jobs, backend="ray", batch_size=1) as parallel:
            yield Workers(jobs, parallel, {ray.exceptions.RayError: _KILLED})
    finally:
        if ours:
            ray.shutdown()


BACKENDS: Mapping[str, Callable[..., AbstractContextManager[Workers]]] = {
    "loky": _loky,
    "dask": _dask,
    "ray": _ray,
}
"""Where the processes come from: joblib's own, Dask's, Ray's."""


def _missing(name: str, package: str) -> WorkerError:
    return WorkerError(f"{name} is not installed: pip install {package}")


def _check(client: Client, folder: Path | None) -> None:
    """Refuse workers of other versions, and such as do not see the cache.

    Raises:
        WorkerError, CacheError: there are such workers; the message names one.
    """
    ours = _versions()
    for address, theirs in client.run(_versions, on_error="return").items():
        if theirs != ours:
            raise WorkerError(
                f"the worker {address} has {theirs}, and this process {ours}; results would differ"
            )
    if folder is None:
        return
    token = folder / f".seen-{uuid.uuid4().hex}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        token.touch()
        answers = client.run(token.exists)
    except OSError as error:
        raise CacheError(f"the cache folder {folder} cannot be written: {error}") from None
    finally:
        token.unlink(missing_ok=True)
    for address, seen in answers.items():
        if not seen:
            raise CacheError(
                f"the worker {address} does not see the cache folder {folder}; name one on a file "
                "system that all machines share: --cache DIR, or AUTOPROX_CACHE"
            )


def _versions() -> str:
    """Return the versions on which results depend."""
    import torch

    import autoprox

    return f"autoprox {autoprox.__version__} with torch {torch.__version__}"

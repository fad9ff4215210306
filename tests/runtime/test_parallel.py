"""Workers: one result for every backend, one message for everything that can go wrong."""

import importlib.util
import os
import signal
import sys
import time
import warnings
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock, patch

import pytest
import torch
from click.testing import CliRunner
from joblib.externals.loky import get_reusable_executor

from autoprox.benches import load_bench
from autoprox.cli import main
from autoprox.errors import BenchError, CacheError, LanguageError, UnknownNameError, WorkerError
from autoprox.language.text import parse
from autoprox.leaderboard.run import rank
from autoprox.primitives import PRIMITIVES, primitive
from autoprox.runs.evolve import evolve
from autoprox.runtime import parallel
from autoprox.runtime.parallel import open_workers

TINY = str(Path(__file__).parents[1] / "tiny_bench.py")
SMALL = {"evaluations": 80, "population": 20, "proposals": 40, "statistics": ("weight", "params")}

# Dask and Ray say more on the way than a warning is for, and leave sockets to the collector.
pytestmark = pytest.mark.filterwarnings("default::ResourceWarning")


# What a task calls has to be found by other processes, which this file is not.
HARMLESS, DEADLY = (signal.SIGCONT,), (signal.SIGKILL,)


def candidates(run):
    return (run.folder / "candidates.jsonl").read_bytes()


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def expected(cache, tmp_path_factory):
    """The candidates of a run in one process."""
    return candidates(
        evolve(TINY, out=tmp_path_factory.mktemp("one") / "run", cache=cache, **SMALL)
    )


@pytest.fixture(autouse=True)
def _environment():
    """Dask writes into the environment that it starts processes in."""
    with patch.dict(os.environ):
        yield


@pytest.fixture
def cluster():
    """Two worker processes of Dask's."""
    from distributed import LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as made:
        yield made


@pytest.mark.parametrize("jobs", [1, 2])
def test_results_come_in_the_order_of_the_arguments(jobs):
    with open_workers(jobs) as workers:
        assert workers.here == (jobs == 1)
        assert workers.map(pow, ((i, 2) for i in range(20))) == [i * i for i in range(20)]
        assert sorted(workers.unordered(pow, ((i, 2) for i in range(5)))) == [0, 1, 4, 9, 16]
        assert workers.map(pow, ()) == []


def test_iterators_that_overlap_leave_the_filters_of_warnings_as_they_were():
    before = list(warnings.filters)
    with open_workers(2) as workers:
        first = workers.unordered(pow, ((i, 2) for i in range(3)))
        second = workers.unordered(pow, ((i, 3) for i in range(3)))
        some = [next(first), next(second)]
        assert warnings.filters == before
        assert sorted([*some, *first, *second]) == [0, 0, 1, 1, 4, 8]
    assert warnings.filters == before


def test_a_worker_has_one_thread():
    with open_workers(2) as workers:
        assert workers.map(torch.get_num_threads, [()] * 4) == [1] * 4


def test_a_worker_that_grows_stays():
    pytest.importorskip("psutil")  # with it, loky looks at the memory once a second
    grow = "import builtins, time; builtins.held = b'x' * 350_000_000; time.sleep(1.2)"
    free = "import builtins, time; builtins.held = None; time.sleep(0.3)"
    with open_workers(2) as workers:
        pool = workers.parallel.args[0]
        workers.map(time.sleep, [(0.1,)] * 2)
        before = set(pool._processes)
        workers.map(exec, [(grow,)] * 2)
        workers.map(exec, [(free,)] * 4)  # each has time for two of them
        after = set(pool._processes)
    assert after == before


def test_what_a_task_raises_is_raised_here():
    with open_workers(2) as workers, pytest.raises(BenchError, match=r"nothing\.py"):
        workers.map(load_bench, [("nothing.py",)])


def test_a_killed_process_is_told_in_a_sentence_and_the_next_call_has_new_ones():
    with open_workers(2) as workers, pytest.raises(WorkerError, match="process was killed"):
        workers.map(signal.raise_signal, [HARMLESS, HARMLESS, DEADLY, HARMLESS])
    with open_workers(2) as workers:
        assert workers.map(abs, [(-2,), (3,)]) == [2, 3]


@pytest.mark.parametrize(("address", "processes"), [(None, 3), ("", 3), ("host:6379", None)])
def test_an_empty_address_of_rays_counts_as_not_set(address, processes, monkeypatch):
    def init(num_cpus=None, **_):
        raise OSError(f"asked for {num_cpus}")

    ray = SimpleNamespace(is_initialized=lambda: False, init=init)
    for name, module in (("ray", ray), ("ray.util.joblib", Mock())):
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    if address is not None:
        monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(OSError, match=f"asked for {processes}"), open_workers(3, "ray"):
        pass


def test_jobs_are_counted_from_1():
    with pytest.raises(WorkerError, match="at least 1; got 0"), open_workers(0):
        pass


def test_a_backend_has_a_name_of_three():
    with pytest.raises(UnknownNameError, match="did you mean 'dask'"), open_workers(2, "dusk"):
        pass


@pytest.mark.parametrize("backend", ["loky", "ray"])
def test_only_dask_has_a_scheduler(backend):
    opened = open_workers(2, backend, "tcp://somewhere:8786")
    with pytest.raises(WorkerError, match="--backend dask"), opened:
        pass


@pytest.mark.parametrize("command", ["evolve --bench", "rank params --bench", "bench build"])
def test_a_command_says_in_a_line_that_it_has_no_workers(command, tmp_path):
    words = [*command.split(), TINY, "--scheduler", "tcp://somewhere:8786"]
    where = [] if command.startswith("rank") else ["--quiet"]
    done = CliRunner().invoke(main, [*words, *where, "--cache", str(tmp_path)])
    assert done.exit_code == 1
    assert done.stderr.splitlines() == [
        "error: only Dask has a scheduler: add --backend dask (backend='dask'), or leave out "
        "tcp://somewhere:8786"
    ]


@pytest.mark.parametrize(("backend", "module"), [("dask", "distributed"), ("ray", "ray")])
def test_a_backend_that_is_not_installed_says_how_to_install_it(backend, module, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(WorkerError, match=f"pip install {module}"), open_workers(2, backend):
        pass


@pytest.mark.parametrize("scheduler", ["tcp://127.0.0.1:1", "nonsense"])
def test_a_scheduler_that_is_not_there_is_told(scheduler, monkeypatch):
    monkeypatch.setattr(parallel, "PATIENCE", 0.5)
    opened = open_workers(2, "dask", scheduler)
    with pytest.raises(WorkerError, match=f"scheduler {scheduler} cannot be reached"), opened:
        pass


class Elsewhere:
    """A client whose one worker gives these answers instead of its own."""

    def __init__(self, versions, sees):
        self.answers = [versions, sees]

    def run(self, _function, **_):
        return {"tcp://far:1": self.answers.pop(0)}


def test_a_worker_that_does_not_see_the_cache_is_refused(tmp_path):
    with pytest.raises(CacheError, match="tcp://far:1 does not see the cache folder"):
        parallel._check(Elsewhere(parallel._versions(), False), tmp_path / "cache")
    assert not list((tmp_path / "cache").iterdir())
    parallel._check(Elsewhere(parallel._versions(), True), tmp_path / "cache")


@pytest.mark.parametrize("theirs", ["autoprox 0 with torch 1", ModuleNotFoundError("autoprox")])
def test_a_worker_of_another_version_is_refused(theirs):
    with pytest.raises(WorkerError, match=r"tcp://far:1 has .*results would differ"):
        parallel._check(Elsewhere(theirs, True), None)


@pytest.mark.slow
def test_a_run_on_dask_loses_a_worker_and_gives_the_same(expected, cache, tmp_path, cluster):
    """One of two processes is killed while the networks are measured, into an empty cache."""
    killed = []

    class Killer:
        """Watches the run; kills a worker when a few networks are measured."""

        def __getattr__(self, _):
            return lambda *_: None

        def measuring(self, done, total):
            if done == 5 and not killed:
                killed.append(next(iter(cluster.workers.values())).pid)
                os.kill(killed[0], signal.SIGKILL)

    there = {"backend": "dask", "scheduler": cluster.scheduler_address}
    own = tmp_path / "cache"
    run = evolve(TINY, out=tmp_path / "run", cache=own, observer=Killer(), **there, **SMALL)
    assert killed
    assert candidates(run) == expected
    files = {path.name for path in own.rglob("*.safetensors")}
    assert files == {path.name for path in cache.rglob("*.safetensors")}
    assert files


@pytest.mark.slow
@pytest.mark.parametrize(("jobs", "backend"), [(2, "loky"), (2, "dask"), (2, "ray")])
def test_the_result_is_the_same_for_every_backend(jobs, backend, expected, tmp_path):
    if importlib.util.find_spec("ray") is None and backend == "ray":
        pytest.skip("ray is not installed")
    own = tmp_path / "cache"
    run = evolve(TINY, out=tmp_path / "run", cache=own, jobs=jobs, backend=backend, **SMALL)
    assert candidates(run) == expected


@pytest.mark.slow
def test_a_search_over_families_is_the_same_on_dask(tmp_path, cluster):
    """Three families, one of token ids: the usual fitness and formulas of several."""
    folder = Path(TINY).parent
    names = ("tiny_bench", "other_tiny_bench", "token_bench")
    families = ",".join(str(folder / f"{name}.py") for name in names)
    there = {"backend": "dask", "scheduler": cluster.scheduler_address}
    how = {**SMALL, "statistics": None}
    one, two = (
        evolve(families, out=tmp_path / name, cache=tmp_path / f"cache {name}", **how, **where)
        for name, where in (("one", {}), ("two", there))
    )
    assert (one.settings.over, one.settings.formulas) == ("wins", "small")
    assert candidates(one) == candidates(two)
    assert one.held_out == two.held_out


@pytest.mark.slow
def test_a_worker_killed_while_candidates_are_judged_changes_nothing(tmp_path, cluster):
    whole = evolve(TINY, out=tmp_path / "whole", cache=tmp_path / "cache", **SMALL)
    killed = []

    class Killer:
        """Watches the run; kills a worker after the first generation."""

        def __getattr__(self, _):
            return lambda *_: None

        def generation(self, *_):
            if not killed:
                killed.append(next(iter(cluster.workers.values())).pid)
                os.kill(killed[0], signal.SIGKILL)

    there = {"backend": "dask", "scheduler": cluster.scheduler_address, "observer": Killer()}
    run = evolve(TINY, out=tmp_path / "run", cache=tmp_path / "cache", **there, **SMALL)
    assert killed
    assert candidates(run) == candidates(whole)


@pytest.mark.slow
def test_a_task_that_kills_every_worker_ends_the_work(cluster):
    with open_workers(1, "dask", cluster.scheduler_address) as workers:
        assert workers.jobs == 2
        with pytest.raises(WorkerError, match="process was killed"):
            workers.map(signal.raise_signal, [HARMLESS, HARMLESS, DEADLY, HARMLESS])


@pytest.mark.slow
def test_a_worker_with_many_threads_does_one_task_at_a_time():
    from distributed import LocalCluster

    with (
        LocalCluster(n_workers=1, threads_per_worker=3, dashboard_address=None) as made,
        open_workers(1, "dask", made.scheduler_address) as workers,
    ):
        assert workers.jobs == 1
        begun = time.monotonic()
        workers.map(time.sleep, [(0.3,)] * 4)
    assert time.monotonic() - begun > 1.2


@pytest.mark.slow
def test_a_leaderboard_is_the_same_on_dask(tmp_path):
    boards = [
        rank(
            ["snip", "params"], TINY, cache=tmp_path / backend, timed=False, jobs=2, backend=backend
        )
        for backend in ("loky", "dask")
    ]
    assert boards[0].to_csv() == boards[1].to_csv()


def nobody_else_finds_this():
    """Is in no module that another process can import."""


@pytest.fixture
def alone(tmp_path, monkeypatch):
    """Processes that cannot import the tests, whatever ran here before."""
    for home in ("", str(Path(__file__).parents[2])):
        monkeypatch.setattr(sys, "path", [folder for folder in sys.path if folder != home])
    get_reusable_executor(2, timeout=1)  # the next one is new
    yield
    get_reusable_executor(2, timeout=1)


def test_a_task_that_cannot_be_imported_elsewhere_is_told_as_such(alone):
    with open_workers(2) as workers, pytest.raises(WorkerError) as refused:
        workers.map(nobody_else_finds_this, [()])
    assert str(refused.value) == (
        "a worker process could not import what its task needs (ModuleNotFoundError: No module "
        "named 'tests'); what was finished is kept: call again to go on"
    )


def test_a_word_that_is_gone_here_is_gone_in_other_processes():
    def cube(x):
        """Third power."""
        return x * x * x

    primitive("elementwise", latex="{0}^3")(cube)
    with open_workers(2) as workers:
        try:
            there = workers.map(parse, [("cube(weight)",)] * 4)
            assert set(map(str, there)) == {"cube(weight)"}
        finally:
            PRIMITIVES.unregister("cube")
        with pytest.raises(LanguageError, match="unknown primitive 'cube'"):
            workers.map(parse, [("cube(weight)",)] * 4)

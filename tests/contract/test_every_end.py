"""Whatever writes files may end at any point of it: done again, or resumed, it is as if it had not.

The process ends after each write, sync, rename and removal in turn. Then the user does what the
messages say. In the end, every file has the bytes that it has when nothing happens.
"""

import itertools
import os
import random
import shutil
import signal
import time
import warnings
from dataclasses import replace
from pathlib import Path

import pytest

from autoprox.errors import AutoproxError
from autoprox.leaderboard.run import rank
from autoprox.measuring.probe import Probe
from autoprox.measuring.tables import Plan, measure_bench
from autoprox.proxies.loading import load
from autoprox.quantise import logits
from autoprox.quantise.table import Builder, Images, TableSettings, configurations
from autoprox.runs import running
from autoprox.runs.evolve import evolve
from autoprox.runs.folder import RunFolder
from autoprox.runs.series import evolve_seeds
from autoprox.runs.several import evolve_several
from autoprox.runs.several_record import read_runs
from autoprox.search.architectures.search import search_architectures
from autoprox.statistics import Store
from autoprox.training import checkpoint_path, train
from tests import tiny_bench
from tests.crashes import contents, writing
from tests.quantise.small_networks import images, residual
from tests.search.architectures import toy_space
from tests.training.test_train import two_colours

TINY = str(Path(tiny_bench.__file__))
TOY = str(Path(toy_space.__file__))
SMALL = {"population": 10, "proposals": 20}
BENCH = replace(tiny_bench.bench, architectures=tiny_bench.bench.architectures[:8])
PICTURES = two_colours(16, 0)
TEST = Images(images(64, seed=2), logits(residual(), images(64, seed=2)).argmax(1))

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs /proc"),
]


def measured(folder, cache):
    plan = Plan(BENCH, BENCH, ("params", "grad"), Probe(batch=2), folder)
    measure_bench(plan, Store(folder))


def ranked(folder, cache):
    rank(["snip", "zen_score"], bench=BENCH, cache=folder, batch=2)


def evolved(folder, cache):
    if not (folder / "config.json").exists():
        evolve(TINY, out=folder, cache=cache, evaluations=40, permutations=1, **SMALL)
        return
    # Nothing that is written says that it is finished and is not.
    if (folder / "report.json").exists():
        load(folder)
    if not RunFolder(folder).finished():
        evolve(resume=folder, cache=cache)


def extended(folder, cache):
    """A run that is asked for more, which it would have been finished without."""
    if not (folder / "config.json").exists():
        evolve(TINY, out=folder, cache=cache, evaluations=30, **SMALL)
    files = RunFolder(folder)
    if files.settings().evaluations < 50 or not files.finished():
        evolve(resume=folder, cache=cache, evaluations=50)


def evolved_several(folder, cache):
    if not (folder / "runs.json").exists():
        evolve_seeds(TINY, 2, out=folder, cache=cache, evaluations=30, **SMALL)
        return
    if (folder / "best.json").exists():
        load(folder)
    if not (read_runs(folder).finished and read_runs(folder).written):
        evolve_several(resume=folder, cache=cache)


def searched(folder, cache):
    if (folder / "settings.json").exists():
        search_architectures(TOY, resume=folder, cache=cache)
    else:
        search_architectures(TOY, "sum(norm(grad))", out=folder, cache=cache, evaluations=40)


def trained(folder, cache):
    kept = checkpoint_path("resnet20", folder).exists()
    if kept or not (folder / "resnet20.safetensors").exists():
        small = {"epochs": 2, "batch": 8, "precision": "float32"}
        train("resnet20", PICTURES, PICTURES, folder, resume=kept, **small)


def quantised(folder, cache):
    settings = TableSettings("small", calibration=64)
    builder = Builder(residual(), images(100, seed=3), TEST, settings, folder)
    builder.build(configurations("2-8", 5, 3, seed=0), lambda done, total: None)


STEPS = {
    measured: 5,
    ranked: 5,
    evolved: 60,
    extended: 40,
    evolved_several: 70,
    searched: 15,
    trained: 10,
    quantised: 8,
}
"""What writes files, and every how manieth end is tried quickly."""

KILLS = 25
"""Of a slow test; forty of them make a thousand."""


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """What is not under test is measured once."""
    folder = tmp_path_factory.mktemp("cache")
    for work in (evolved, searched):
        work(folder / work.__name__, folder / "cache")
    return folder / "cache"


@pytest.fixture
def still(monkeypatch):
    """No second passes: times are in the files."""
    monkeypatch.setattr(running.time, "monotonic", lambda: 0.0)
    monkeypatch.setattr(time, "thread_time", lambda: 0.0)


def check_ends(work, cache, folder, monkeypatch, points, torn):
    with writing(monkeypatch) as whole:
        work(folder / "whole", cache)
    wanted = contents(folder / "whole")
    assert wanted
    tried = 0
    for last in itertools.takewhile(lambda point: point <= whole.events, points):
        out = folder / str(last)
        with writing(monkeypatch, last, torn) as counter:
            work(out, cache)
        assert counter.events == last
        work(out, cache)
        assert contents(out) == wanted, last
        work_again_changes_nothing(work, out, cache, wanted)
        shutil.rmtree(out)
        tried += 1
    assert tried >= 2


def work_again_changes_nothing(work, out, cache, wanted):
    """What is finished stays as it is, or is refused."""
    try:
        work(out, cache)
    except AutoproxError:
        pass
    assert contents(out) == wanted


@pytest.mark.parametrize("work", STEPS, ids=lambda work: work.__name__)
def test_whatever_ends_loses_nothing(work, cache, still, tmp_path, monkeypatch):
    check_ends(work, cache, tmp_path, monkeypatch, itertools.count(2, STEPS[work]), False)


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("torn", [False, True])
@pytest.mark.parametrize("work", STEPS, ids=lambda work: work.__name__)
def test_whatever_ends_at_any_point_loses_nothing(work, torn, cache, still, tmp_path, monkeypatch):
    check_ends(work, cache, tmp_path, monkeypatch, itertools.count(1), torn)


def kill_at_random(work, cache, folder, kills, seed):
    """Kill a process that works, again and again at random, and go on until it is done."""
    begun = time.perf_counter()
    work(folder / "whole", cache)
    wanted, whole = contents(folder / "whole"), time.perf_counter() - begun
    chance, left, number = random.Random(seed), kills, 0
    while left:
        out, number = folder / str(number), number + 1
        for _ in range(min(left, 3)):
            with warnings.catch_warnings():  # a child of a process with threads
                warnings.simplefilter("ignore", DeprecationWarning)
                child = os.fork()
            if child == 0:
                try:
                    work(out, cache)
                finally:
                    os._exit(0)
            time.sleep(chance.uniform(0, whole))
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            left -= 1
        work(out, cache)
        assert contents(out) == wanted, number
        shutil.rmtree(out)


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("work", [evolved, searched, quantised, trained], ids=lambda w: w.__name__)
def test_random_kills_lose_nothing(work, seed, cache, still, tmp_path):
    kill_at_random(work, cache, tmp_path, KILLS, seed)

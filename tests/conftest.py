"""What many tests start from; a module asks for it with ``pytest.mark.usefixtures``."""

import gc
import os
import random
import shutil
import signal
import sys

# Before torch is loaded, here and in every process that a test starts: pytest has one a core.
os.environ["OMP_NUM_THREADS"] = "1"

# Nor does each of them compile all of autoprox and the tests anew, whatever the shell says.
os.environ["PYTHONDONTWRITEBYTECODE"] = ""

import pytest
import torch
from hypothesis import settings

from autoprox.cli import main, options
from autoprox.primitives import PRIMITIVES
from autoprox.runtime import threads
from autoprox.runtime.registry import own_members
from autoprox.statistics import STATISTICS
from tests import tiny_bench
from tests.own_words import own_words

sys.dont_write_bytecode = False

# A script that starts pytest in the background has it, and all that it starts, ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples every time, whatever failed before and however busy the machine is.
settings.register_profile("same", derandomize=True, database=None, deadline=None)
settings.load_profile("same")

VARIABLES = {*os.environ, "AUTOPROX_CACHE"} - {"PYTEST_CURRENT_TEST"}
"""Libraries add others when they are loaded, whichever test is the first to need them."""


def pytest_collection_finish():
    """Look for garbage seldom: there are thousands of tests and modules to look among."""
    gc.collect()
    gc.set_threshold(20_000, 50, 100)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup():
    """Let a test and its fixtures draw the same, whatever drew before."""
    random.seed(0)
    torch.manual_seed(0)


def shared():
    """Return what all tests of a process share."""
    return {
        "folder": os.getcwd(),
        "environment": {name: os.environ.get(name) for name in VARIABLES},
        "path": [*sys.path],
        "signals": [
            *map(signal.getsignal, (signal.SIGINT, signal.SIGTERM)),
            signal.pthread_sigmask(signal.SIG_BLOCK, []) if os.name != "nt" else None,
        ],
        "torch": (torch.get_default_dtype(), torch.get_num_threads(), torch.is_grad_enabled()),
        "words": [*PRIMITIVES, *STATISTICS],
        "own": [(noun, name) for noun, name, _ in own_members()],
    }


@pytest.fixture(autouse=True)
def _left_as_found():
    """Fail a test that leaves what another could pass, or fail, by."""
    before = shared()
    yield
    assert shared() == before


@pytest.fixture(autouse=True, scope="session")
def _defaults(tmp_path_factory):
    """What nobody asked for is kept in a folder of the tests', and measured in this process.

    A user's own cache would decide what a test measures; and two processes would load torch anew.
    A run waits some forty times for the disk; no plug is pulled on what a test writes.
    """
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("AUTOPROX_CACHE", str(tmp_path_factory.mktemp("autoprox")))
        patched.setattr(options, "cores", lambda: 1)
        patched.setattr(os, "fsync", lambda number: None)
        yield


@pytest.fixture(scope="session")
def _measured(tmp_path_factory):
    """A cache in which the tiny bench is measured, as runs and `autoprox bench build` do."""
    folder = tmp_path_factory.mktemp("measured")
    words = ["bench", "build", tiny_bench.__file__, "--cache", str(folder), "--jobs", "1"]
    main.main([*words, "--quiet"], standalone_mode=False)
    return folder


@pytest.fixture(scope="module")
def cache(_measured, tmp_path_factory):
    """A module's own cache, in which the tiny bench is measured."""
    return shutil.copytree(_measured, tmp_path_factory.mktemp("cache") / "cache")


@pytest.fixture
def words_file(tmp_path):
    """A bench in a file that defines a word, which is not known after the test."""
    with own_words(tmp_path / "words.py") as path:
        yield path


@pytest.fixture
def one_thread():
    """Work in one thread: more only wait for each other on networks this small."""
    with threads.one_thread():
        yield


@pytest.fixture
def seeded():
    """Start with torch's generator seeded with 0."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield

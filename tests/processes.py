"""Python in processes of their own, which begin with torch imported.

To import it takes longer than most of what such a process is there for. So they are forks of one
that has imported it and done nothing else, with folder, environment, output, search path and end of
their own. They are not new in all: texts have the same hashes in all of them, the main module of
the tests is imported if it is a file, an exception is shown with the lines of multiprocessing
around it, and Ctrl-C that nobody catches ends with status 1. What depends on that needs a new
interpreter, which `run_python` starts if it is given a seed of hashes.
"""

import atexit
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from subprocess import CompletedProcess

import pytest

BEGIN = """
import atexit, os, runpy, sys, threading
os.setsid()
os.chdir(folder)
os.environ.clear()
os.environ.update(environment)
for number, path in outputs.items():
    os.dup2(os.open(path, os.O_WRONLY | os.O_APPEND), number)
sys.stdout = open(1, "w", closefd=False)
sys.stderr = open(2, "w", 1, errors="backslashreplace", closefd=False)
sys.argv = [*words] if not module and not code else ["-c", *words]
sys.path[:] = path_of_modules
try:
    if module:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    elif code:
        exec(code, {"__name__": "__main__"})
    else:
        runpy.run_path(words[0], run_name="__main__")
finally:
    threading._shutdown()
    atexit._run_exitfuncs()
"""


@cache
def path_of_modules(given):
    """Where a new interpreter looks for modules, with this in ``PYTHONPATH``."""
    return subprocess.run(
        [sys.executable, "-c", "import sys; print(*filter(None, sys.path), sep='\\n')"],
        env={**os.environ, "PYTHONPATH": given},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()


class Python:
    """A program that runs in a process of its own, the leader of a session.

    It is killed if it is still there when something that waits for it fails, or the tests end.

    Args:
        words: what follows ``python``: ``-m`` and a module, ``-c`` and code, or a file; and
            arguments.
        folder: where it runs; here if None.
        environment: variables beside those of this process.
        stdout: a file that it writes into instead.
    """

    def __init__(self, *words, folder=None, environment=None, stdout=None):
        if "forkserver" not in multiprocessing.get_all_start_methods():
            pytest.skip("processes cannot be forked here")
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["torch"])
        how = words[0] if words[0] in ("-m", "-c") else None
        self._folder = tempfile.TemporaryDirectory()
        self._files = [Path(self._folder.name, name) for name in ("out", "err")]
        for path in self._files:
            path.touch()
        variables = {**os.environ, **(environment or {})}
        first = "" if how else str(Path(folder or ".", words[0]).resolve().parent)
        given = {
            "folder": str(folder or "."),
            "environment": variables,
            "outputs": {1: str(stdout or self._files[0]), 2: str(self._files[1])},
            "words": [str(word) for word in (words[2:] if how else words)],
            "module": words[1] if how == "-m" else None,
            "code": words[1] if how == "-c" else None,
            "path_of_modules": [first, *path_of_modules(variables.get("PYTHONPATH", ""))],
        }
        self._process = context.Process(target=exec, args=(BEGIN, given))
        self._process.start()
        self.pid = self._process.pid
        atexit.register(self.kill)  # before multiprocessing's own handler waits for it

    @property
    def stderr(self):
        """What it has written there so far."""
        return self._files[1].read_text(encoding="utf-8")

    @property
    def stdout(self):
        """What it has printed so far."""
        return self._files[0].read_text(encoding="utf-8")

    def poll(self):
        """Return its exit status; None while it runs."""
        return self._process.exitcode

    def kill(self, number=signal.SIGKILL):
        """Send a signal to it and to those that it started, if they have not ended."""
        for send in (os.killpg, os.kill):  # it leads no group before it has begun
            try:
                return send(self.pid, number)
            except ProcessLookupError:
                pass

    @contextmanager
    def _killed_on_failure(self):
        """Kill it if what waits for it fails, is interrupted or takes too long."""
        try:
            yield
        except BaseException:
            self.kill()
            self._process.join()
            raise

    def until(self, there, timeout=200):
        """Wait until something is there, while it runs."""
        begun = time.monotonic()
        with self._killed_on_failure():
            while not there():
                assert self.poll() is None, self.stderr
                assert time.monotonic() - begun < timeout, self.stderr
                time.sleep(0.02)

    def ended(self, timeout=120):
        """Wait for its end; return its status and what it wrote."""
        with self._killed_on_failure():
            self._process.join(timeout)
            assert self.poll() is not None, (self.stdout, self.stderr)
        said = CompletedProcess([], self.poll(), self.stdout, self.stderr)
        atexit.unregister(self.kill)
        self._folder.cleanup()
        return said


def other_seed():
    """Return a seed with which texts have other hashes than here."""
    return 2 if os.environ.get("PYTHONHASHSEED") == "1" else 1


def run_python(*words, folder=None, environment=None, hash_seed=None, **options):
    """Run a program to its end; see `Python`.

    With a `hash_seed` it runs in a new interpreter, whose texts have the hashes of that seed.
    """
    if hash_seed is None:
        return Python(*words, folder=folder, environment=environment, **options).ended()
    return subprocess.run(
        [sys.executable, *map(str, words)],
        cwd=folder,
        env={**os.environ, **(environment or {}), "PYTHONHASHSEED": str(hash_seed)},
        capture_output=True,
        text=True,
        **options,
    )

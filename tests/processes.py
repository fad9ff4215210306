"""Python in processes of their own, which begin with torch imported.

To import it takes longer than most of what such a process is there for. So they are forks of one
that has imported it and done nothing else, with folder, environment, output and end of their own;
whatever else it is that a new process lacks, they lack too.
"""

import multiprocessing
import os
import signal
import tempfile
import time
from pathlib import Path
from subprocess import CompletedProcess

import pytest

BEGIN = """
import os, runpy, sys
os.setsid()
os.chdir(folder)
os.environ.clear()
os.environ.update(environment)
for number, path in outputs.items():
    os.dup2(os.open(path, os.O_WRONLY | os.O_APPEND), number)
sys.stdout = open(1, "w", closefd=False)
sys.stderr = open(2, "w", 1, errors="backslashreplace", closefd=False)
sys.argv = [*words] if not module and not code else ["-c", *words]
sys.path.insert(0, "")
if module:
    runpy.run_module(module, run_name="__main__", alter_sys=True)
elif code:
    exec(code, {"__name__": "__main__"})
else:
    runpy.run_path(words[0], run_name="__main__")
"""


class Python:
    """A program that runs in a process of its own, the leader of a session.

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
        given = {
            "folder": str(folder or "."),
            "environment": {**os.environ, **(environment or {})},
            "outputs": {1: str(stdout or self._files[0]), 2: str(self._files[1])},
            "words": [str(word) for word in (words[2:] if how else words)],
            "module": words[1] if how == "-m" else None,
            "code": words[1] if how == "-c" else None,
        }
        self._process = context.Process(target=exec, args=(BEGIN, given))
        self._process.start()
        self.pid = self._process.pid

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
        """Send a signal to it and to those that it started."""
        os.killpg(self.pid, number)

    def until(self, there, timeout=200):
        """Wait until something is there, while it runs."""
        begun = time.monotonic()
        while not there():
            assert self.poll() is None, self.stderr
            assert time.monotonic() - begun < timeout
            time.sleep(0.02)

    def ended(self, timeout=120):
        """Wait for its end; return its status and what it wrote."""
        self._process.join(timeout)
        status = self.poll()
        if status is None:
            self.kill()
        said = CompletedProcess([], status, self._files[0].read_text("utf-8"), self.stderr)
        self._folder.cleanup()
        assert status is not None, said
        return said


def run_python(*words, **options):
    """Run a program to its end; see `Python`."""
    return Python(*words, **options).ended()

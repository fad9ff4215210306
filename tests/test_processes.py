"""Programs that tests run: as in a new interpreter, and none outlives what waits for it."""

import json
import os
import signal
import sys
import time

import pytest

from tests.processes import Python, other_seed, run_python

WAITING = "import time; print('begun', flush=True); time.sleep(600)"


def is_there(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def gone(pid, timeout=20):
    """Say whether a process ends, if its parent collects it in time."""
    begun = time.monotonic()
    while is_there(pid) and time.monotonic() - begun < timeout:
        time.sleep(0.01)
    return not is_there(pid)


def test_what_is_waited_for_in_vain_is_killed():
    def failing():
        raise ValueError("wrong")

    for there, error in ((lambda: False, AssertionError), (failing, ValueError)):
        process = Python("-c", WAITING)
        with pytest.raises(error):
            process.until(there, timeout=0.1)
        assert process.poll() == -signal.SIGKILL
        assert gone(process.pid)


def test_what_does_not_end_in_time_is_killed():
    process = Python("-c", WAITING)
    process.until(lambda: process.stdout)
    with pytest.raises(AssertionError, match="begun"):
        process.ended(timeout=0.1)
    assert process.poll() == -signal.SIGKILL


def test_what_has_ended_can_be_killed():
    process = Python("-c", "print('done')")
    while process.poll() is None:
        time.sleep(0.01)
    assert gone(process.pid)
    process.kill()
    assert process.ended().stdout == "done\n"


def test_what_has_hardly_begun_is_killed():
    process = Python("-c", WAITING)
    process.kill()
    assert process.ended(timeout=20).returncode == -signal.SIGKILL


def test_a_test_that_fails_ends_though_its_program_does_not():
    script = (
        "import multiprocessing\n"
        "from tests.processes import Python\n"
        "there = multiprocessing.get_context('forkserver')\n"
        "there.set_forkserver_preload = lambda _: None  # to load torch would take long\n"
        f"process = Python('-c', {WAITING!r})\n"
        "process.until(lambda: process.stdout)\n"
        "print(process.pid, flush=True)\n"
        "raise ValueError('wrong')\n"
    )
    done = run_python("-c", script, hash_seed=0)
    assert "ValueError: wrong" in done.stderr
    assert gone(int(done.stdout))


def test_handlers_run_at_its_end_and_threads_end_before():
    script = (
        "import atexit, sys, threading, time\n"
        "atexit.register(print, 'handled')\n"
        "work = lambda: (time.sleep(0.1), print('worked'))\n"
        "threading.Thread(target=work).start()\n"
        "sys.exit(3)\n"
    )
    done = run_python("-c", script)
    assert (done.returncode, done.stdout) == (3, "worked\nhandled\n")


@pytest.mark.parametrize("how", ["code", "file"])
def test_it_finds_the_modules_that_a_new_interpreter_finds(how, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "only here")])
    script = "import json, sys; print(json.dumps(sys.path))"
    (tmp_path / "script.py").write_text(script)
    words = ["-c", script] if how == "code" else ["script.py"]
    here, new = (run_python(*words, folder=tmp_path, hash_seed=seed).stdout for seed in (None, 0))
    assert json.loads(here) == json.loads(new)


def test_texts_have_other_hashes_where_a_seed_is_given():
    script = "print(hash('some text'))"
    found = [int(run_python("-c", script, hash_seed=each).stdout) for each in (other_seed(), 3, 3)]
    assert found[1] == found[2]
    assert len({hash("some text"), *found}) == 3

"""A command where things go wrong around it: one sentence, an exit status, and nothing lost."""

import json
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from importlib import import_module
from pathlib import Path

import pytest
from click.testing import CliRunner

from autoprox.cli import main
from autoprox.errors import RunError
from autoprox.proxies.loading import load
from autoprox.proxies.proxy import Proxy
from autoprox.runs.evolve import evolve
from autoprox.runs.record import read_run
from autoprox.runtime.files import write_text
from autoprox.show.citing import bibliography
from autoprox.show.page import page
from tests.crashes import contents
from tests.processes import run_python

TINY = str(Path(__file__).parents[1] / "tiny_bench.py")
LINUX = pytest.mark.skipif(not Path("/proc/self/stat").is_file(), reason="needs /proc")
LONG = "x" * 300
HOSTILE = "a\x1b[31mred\x9b2J\x07\u202e\x00<b>"
SMALL = {"evaluations": 40, "population": 10, "batch": 20}


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """The statistics of the bench, and a run on it."""
    folder = tmp_path_factory.mktemp("cache")
    evolve(TINY, out=folder / "run", cache=folder / "cache", **SMALL)
    return folder / "cache"


def command(*words, flags=()):
    return [sys.executable, *flags, "-m", "autoprox", *words]


def running(folder, cache, jobs="2"):
    """Start a long run in a session of its own, and wait until it has judged something."""
    words = ["evolve", "--bench", TINY, "--cache", str(cache), "--out", "run", "--quiet"]
    process = subprocess.Popen(
        command(*words, "--evaluations", "100000", "--jobs", jobs),
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 200
    while not (folder / "run" / "checkpoint.json").exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return process


def of_session(number):
    """The processes of a session that run, by their numbers."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:  # it has just ended
            continue
        if int(fields[3]) == number and fields[0] != "Z":
            found.add(int(path.parent.name))
    return found


def check_kept(folder):
    """What was judged before the end is all there, in a report and to go on from."""
    run = read_run(folder / "run")
    assert not run.finished
    assert run.evaluations >= 40
    again = CliRunner().invoke(main, ["show", str(folder / "run")])
    assert again.exit_code == 0, again.output


# Signals


@LINUX
@pytest.mark.slow
def test_sigterm_is_one_sentence_and_loses_nothing(cache, tmp_path):
    process = running(tmp_path, cache)
    os.killpg(process.pid, signal.SIGTERM)
    _, err = process.communicate(timeout=100)
    assert process.returncode == 143, err
    assert len(err.splitlines()) == 1, err
    assert "go on with: autoprox evolve --resume run" in err
    check_kept(tmp_path)


@LINUX
@pytest.mark.slow
@pytest.mark.parametrize("gap", [0.02, 0.3])
def test_ctrl_c_twice_ends_at_once_without_a_traceback(gap, cache, tmp_path):
    process = running(tmp_path, cache)
    os.killpg(process.pid, signal.SIGINT)
    time.sleep(gap)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=100)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert "Exception ignored" not in err
    assert len(err.splitlines()) <= 2, err
    evolve(TINY, resume=tmp_path / "run", cache=cache, observer=Stop())


class Stop:
    """Watches a run, and stops it at the next generation."""

    def __getattr__(self, _):
        return lambda *_: None

    def generation(self, *_):
        raise KeyboardInterrupt


@LINUX
@pytest.mark.slow
def test_a_killed_parent_leaves_no_worker_behind(cache, tmp_path):
    process = running(tmp_path, cache)
    assert len(of_session(process.pid)) >= 3
    process.kill()
    process.wait()
    begun = time.monotonic()
    while of_session(process.pid):  # it takes a second, and longer on a busy machine
        assert time.monotonic() - begun < 60
        time.sleep(0.1)
    process.communicate()


# Output


@LINUX
@pytest.mark.parametrize("words", [["show", "zico"], ["show", "zico", "--json", "-"]])
def test_a_full_disk_behind_standard_output_is_one_sentence(words, tmp_path):
    done = run_python("-m", "autoprox", *words, folder=tmp_path, stdout="/dev/full")
    assert done.returncode == 1
    assert done.stderr == "error: cannot write the output: No space left on device\n"


@LINUX
@pytest.mark.parametrize(
    "words",
    [
        ["export", "zico", "--to", "json", "--out", "/dev/full"],
        ["show", "zico", "--draw", "/dev/full.svg"],
        ["evolve", "--bench", TINY, "--out", "/dev/full"],
    ],
)
def test_a_device_is_written_into_and_never_replaced(words, monkeypatch):
    def refuse(source, target):
        raise PermissionError(13, "not in a test", str(target))

    monkeypatch.setattr(os, "replace", refuse)
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 1
    assert result.stderr.startswith("error: cannot write")
    assert result.stderr.count("\n") == 1
    assert stat.S_ISCHR(os.stat("/dev/full").st_mode)


@LINUX
def test_a_pipe_is_written_into(tmp_path):
    pipe, read = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    write_text(pipe, "through")
    reader.join()
    assert read == ["through"]


@pytest.mark.parametrize(
    ("words", "flag"),
    [
        (("compare", "nowhere", "nowhere"), "--json"),
        (("cost", "fit", "--measurements", "nowhere.csv", "--bench", "nowhere"), "--json"),
        (("cost", "fit", "--measurements", "nowhere.csv", "--bench", "nowhere"), "--out"),
        (("cost", "measure", "--bench", "nowhere"), "--out"),
        (("draw", "history", "nowhere"), "--out"),
        (("evolve", "--bench", "nowhere"), "--json"),
        (("export", "nowhere", "--to", "python"), "--out"),
        (("fit", "--bench", "nowhere"), "--json"),
        (("fit", "--bench", "nowhere"), "--out"),
        (("rank", "--bench", "nowhere"), "--csv"),
        (("rank", "--bench", "nowhere"), "--draw"),
        (("rank", "--bench", "nowhere"), "--json"),
        (("rank", "--bench", "nowhere"), "--latex"),
        (("report", "nowhere"), "--out"),
        (("search", "--bench", "nowhere", "--network", "a", "--proxy", "bit_sum"), "--json"),
        (("search", "--space", "nowhere", "--proxy", "params"), "--json"),
        (("show", "nowhere"), "--draw"),
        (("speed", "--bench", "nowhere"), "--json"),
    ],
)
def test_what_cannot_be_written_is_told_before_anything_is_read(words, flag, tmp_path):
    (tmp_path / "file").touch()
    reasons = {tmp_path: "Is a directory", tmp_path / "file" / "a": "Not a directory"}
    for path, reason in reasons.items():
        result = CliRunner().invoke(main, [*words, flag, str(path)])
        assert result.exit_code == 1, result.output
        assert result.output == (
            f"error: cannot write {str(path)!r}: {reason}; choose another {flag}\n"
        )
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_where_a_command_writes_a_file_standard_output_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for words in (("cost", "measure", "--bench", TINY), ("export", "zico", "--to", "python")):
        result = CliRunner().invoke(main, [*words, "--out", "-"])
        assert result.exit_code == 2
        assert "it is a file, not standard output" in result.stderr
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    "words",
    [
        ("rank", "--bench", "nowhere", "--draw", "a.svg"),
        ("search", "--space", "nowhere", "--proxy", "params", "--draw", "a.svg"),
        ("draw", "history", "nowhere", "--out", "a.svg"),
    ],
)
def test_that_nothing_can_be_drawn_is_told_before_anything_is_read(words, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    result = CliRunner().invoke(main, words)
    assert (result.exit_code, "drawing needs matplotlib" in result.stderr) == (1, True)


class Answer:
    """What a command might have found."""

    finished, path = True, None

    def to_json(self):
        return {"found": 1}

    def to_csv(self):
        return "found\n1\n"


@pytest.mark.parametrize(
    ("words", "found", "printed", "flags"),
    [
        (["rank", "--bench", TINY], "cli.rank._ranked", "print_board", ["--json", "--csv"]),
        (["speed"], "timing.run.speed", "print_speed", ["--json"]),
        (["compare", "a", "b"], "runs.comparing.compare", "print_comparison", ["--json"]),
        (["fit", "--bench", TINY], "fitting.fit.fit", "print_fits", ["--json"]),
    ],
)
def test_files_are_there_when_nobody_reads_what_is_printed(
    words, found, printed, flags, tmp_path, monkeypatch
):
    def broken(*_):
        raise BrokenPipeError

    module, _, name = found.rpartition(".")
    command_module = import_module(f"autoprox.cli.{words[0]}")
    monkeypatch.setattr(import_module(f"autoprox.{module}"), name, lambda *_, **__: Answer())
    monkeypatch.setattr(command_module, printed, broken)
    files = [word for flag in flags for word in (flag, str(tmp_path / flag[2:]))]
    CliRunner().invoke(main, [*words, *files])
    assert {path.name for path in tmp_path.iterdir()} == {flag[2:] for flag in flags}


# Names


@pytest.mark.parametrize("name", [LONG, "", f"{LONG}/{LONG}"])
@pytest.mark.parametrize(
    "words",
    [
        ["evolve", "--bench", TINY, "--out"],
        ["evolve", "--resume"],
        ["evolve", "--bench"],
        ["export", "zico", "--to", "json", "--out"],
        ["show", "zico", "--draw"],
        ["show"],
        ["rank", "params", "--bench", TINY, "--jobs", "1", "--quiet", "--csv"],
        ["rank", "params", "--bench", TINY, "--jobs", "1", "--quiet", "--images"],
        ["search", "--space", "nb201", "--proxy", "params", "--budget", "1", "--out"],
        ["search", "--proxy", "params", "--space"],
        ["bench", "train", "resnet20", "--data"],
        ["report"],
    ],
    ids=lambda words: " ".join(words[:1] + words[-1:]),
)
def test_a_name_that_no_file_can_have_is_one_sentence(words, name, cache, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AUTOPROX_CACHE", str(cache))
    result = CliRunner().invoke(main, [*words, name])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code in (1, 2)
    assert "rror: " in result.stderr.splitlines()[-1]
    assert len(result.stderr) < 3000
    assert list(tmp_path.rglob("*")) == []


@LINUX
@pytest.mark.slow
def test_nobody_without_a_home_can_show_and_rank(tmp_path):
    tmp_path.chmod(0o777)
    script = (
        "import os, pwd, sys\n"
        "def unknown(*_): raise KeyError('uid not found')\n"
        "pwd.getpwuid = pwd.getpwnam = unknown\n"
        "from autoprox.cli import main\nmain(prog_name='autoprox')"
    )
    names = ("HOME", "USER", "LOGNAME", "LNAME", "USERNAME", "XDG_CACHE_HOME", "AUTOPROX_CACHE")
    environment = {key: value for key, value in os.environ.items() if key not in names}

    def called(*words):
        whole = [sys.executable, "-c", script, *words]
        return subprocess.run(whole, capture_output=True, text=True, cwd=tmp_path, env=environment)

    ranking = ["rank", "params", "--bench", TINY, "--jobs", "1", "--quiet"]
    for words in (["show", "zico"], [*ranking, "--cache", "cache"]):
        done = called(*words)
        assert done.returncode == 0, done.stderr
    done = called(*ranking)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "--cache" in done.stderr


# What is shown, and how Python runs


def test_a_page_has_no_control_characters(cache, tmp_path):
    folder = cache.parent / "run"
    words = ["rank", "params", "--bench", TINY, "--jobs", "1", "--quiet", "--cache", str(cache)]
    made = CliRunner().invoke(main, [*words, "--json", str(tmp_path / "board.json")])
    assert made.exit_code == 0, made.output
    board = json.loads((tmp_path / "board.json").read_text())
    board["rows"][0]["name"] = board["rows"][0]["formula"] = HOSTILE
    (tmp_path / "board.json").write_text(json.dumps(board))
    shown = page(folder, ranking=tmp_path / "board.json")
    assert "a[31mred2J&lt;b&gt;" in shown
    assert not set(shown) & set("\x1b\x9b\x07\u202e\x00")


@pytest.mark.parametrize(
    ("flags", "seed", "jobs"),
    [
        pytest.param(["-OO"], 0, 1, marks=pytest.mark.slow),
        pytest.param([], 1, 2, marks=pytest.mark.slow),
        pytest.param([], 0, 4, marks=pytest.mark.slow),
        pytest.param([], 1, 4, marks=pytest.mark.slow),
    ],
)
def test_a_run_has_the_same_bytes_however_python_runs(flags, seed, jobs, cache, tmp_path):
    """Optimised, with any seed of hashes, in any number of processes."""
    words = ["evolve", "--bench", TINY, "--cache", str(cache), "--out", "run", "--quiet"]
    numbers = [word for name, value in SMALL.items() for word in (f"--{name}", str(value))]
    done = subprocess.run(
        command(*words, *numbers, "--jobs", str(jobs), flags=flags),
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONHASHSEED": str(seed)},
    )
    assert done.returncode == 0, done.stderr
    ours, theirs = contents(tmp_path / "run"), contents(cache.parent / "run")
    timed = {"generations.csv", "checkpoint.json"}  # they say how long it took
    assert ours.keys() == theirs.keys()
    assert [name for name in ours.keys() - timed if ours[name] != theirs[name]] == []


# What is there already


@pytest.mark.parametrize("name", ["config.json", "runs.json", "settings.json"])
def test_a_folder_that_holds_a_run_is_left_alone(name, cache, tmp_path):
    (tmp_path / name).touch()
    with pytest.raises(RunError, match="already holds a run"):
        evolve(TINY, out=tmp_path, cache=cache, **SMALL)


@LINUX
def test_closed_standard_output_is_no_traceback(tmp_path):
    shown = f"{sys.executable} -m autoprox show zico >&-"
    done = subprocess.run(["sh", "-c", shown], stderr=subprocess.PIPE, text=True, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("command", ["'", 3, "autoprox evolve --bench a,,b"])
def test_a_proxy_that_says_nonsense_of_its_origin_is_cited(command):
    told = {"settings": {"bench": 3}, "command": command, "paper": "}\n@evil{x,"}
    text = bibliography([Proxy(load("sum(params)").graph, provenance=told)])
    assert text.count("\n@") == 1
    assert text.count("{") == text.count("}")

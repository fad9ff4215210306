"""What is printed: into any encoding, and without what would steer a terminal."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from autoprox.cli import Failure, main
from autoprox.cli.options import console
from autoprox.runtime.arguments import printable
from tests.processes import run_python

TINY = str(Path(__file__).parent.parent / "tiny_bench.py")
STEERING = "a\x1b[31mred\x9b2J\x07\u202e\x00b"


def called(words, folder, flags, **extra):
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8", "PYTHONUTF8": "0", **extra}
    return subprocess.run(
        [sys.executable, *flags, "-m", "autoprox", *words],
        capture_output=True,
        cwd=folder,
        env=environment,
    )


def written(path, name):
    data = {
        "format": "autoprox proxy",
        "version": 1,
        "name": name,
        "description": STEERING,
        "provenance": {STEERING: STEERING},
        "expression": "sum(params)",
    }
    path.write_text(json.dumps(data))
    return path


def printed(words, encoding):
    """What a command prints in this process to a standard output of that encoding."""
    output = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sys, "stdout", output)
        main.main(words, standalone_mode=False)
    output.flush()
    return output.buffer.getvalue().decode(encoding)


@pytest.fixture(scope="module")
def proxy(tmp_path_factory):
    """A proxy file whose texts hold what does not belong there."""
    return written(tmp_path_factory.mktemp("proxy") / "p.json", f"{STEERING}\u03c4")


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
@pytest.mark.parametrize(
    "words",
    [
        ["show", "p.json"],
        ["show", "p.json", "--latex"],
        ["show", "p.json", "--json", "-"],
        ["export", "p.json", "--to", "json"],
        ["export", "p.json", "--to", "python"],
    ],
)
def test_a_hostile_name_neither_fails_nor_steers(proxy, encoding, words, monkeypatch):
    monkeypatch.chdir(proxy.parent)
    shown = printed(words, encoding)
    assert not set(shown) & set("\x1b\x9b\x07\u202e\x00")
    if "json" in "".join(words[1:]).replace("p.json", ""):
        assert json.loads(shown)["name"] == f"{STEERING}\u03c4"


@pytest.mark.parametrize(
    "words",
    [
        ["show", "p.json"],
        ["show", "p.json", "--json", "-"],
        ["show", "p.json", "--draw", "x.svg"],
        ["export", "p.json", "--to", "json"],
        ["export", "p.json", "--to", "python", "--out", "x.py"],
    ],
)
@pytest.mark.parametrize("half", ["\\ud800", "\\ud800 and on", "\\ud800\\u03c4", "\\udc80"])
def test_a_file_with_what_is_no_character_is_refused(half, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = written(Path("p.json"), f"{STEERING}half")
    path.write_text(path.read_text().replace("half", half))
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr == (
        "error: p.json is damaged or no JSON, in line 1: a \\u in a text begins no character: "
        "it is cut off or a lone surrogate\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["p.json"]


def test_a_drawing_is_made_whatever_a_proxy_is_called(proxy, tmp_path):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    picture = tmp_path / "x.svg"
    result = CliRunner().invoke(main, ["show", str(proxy), "--draw", str(picture)])
    assert result.exit_code == 0, result.output
    assert picture.stat().st_size


def test_words_stand_for_what_an_encoding_lacks(tmp_path):
    words = ["rank", "--bench", TINY, "params", "--quiet", "--cache", str(tmp_path)]
    shown = printed(words, "ascii")
    assert " tau " in shown
    assert " rho " in shown
    assert "+/-" in shown


def test_an_error_quotes_a_name_without_steering(tmp_path):
    result = CliRunner().invoke(main, ["show", "no\x1b[2Jsuch/file"])
    assert result.exit_code == 1
    assert "\x1b" not in result.stderr


@pytest.mark.slow
def test_optimised_python_shows_and_ranks(tmp_path):
    extra = {"AUTOPROX_CACHE": str(tmp_path / "cache"), "PYTHONDONTWRITEBYTECODE": "1"}
    for words in (["show", "zico"], ["rank", "--bench", TINY, "params", "--jobs", "1", "--quiet"]):
        done = called(words, tmp_path, flags=["-OO"], **extra)
        assert done.returncode == 0, done.stderr


def test_a_user_whom_nobody_knows_is_told_what_to_set(monkeypatch):
    from autoprox.errors import AutoproxError
    from autoprox.runtime.files import user_path
    from autoprox.statistics.store import default_folder

    def nobody(self):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "expanduser", nobody)
    for name in ("AUTOPROX_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(AutoproxError, match=r"no home folder .* --cache .* AUTOPROX_CACHE"):
        default_folder()
    with pytest.raises(AutoproxError, match="give the whole path"):
        user_path("~nobody/x")


def test_a_console_keeps_lines_and_tabs_and_drops_the_rest(capsys):
    console().print(f"one\n{STEERING}")
    assert capsys.readouterr().out == "one\na[31mred2Jb\n"
    assert printable("one\n\ttwo\x7f") == "one\n\ttwo"


UNREAD = (
    "import os, runpy, sys\nread, write = os.pipe()\nos.dup2(write, 1)\nos.close(read)\n"
    "os.close(write)\nsys.stdout = open(1, 'w')\n"
    "runpy.run_module('autoprox', run_name='__main__')"
)
"""Runs autoprox with a standard output that nobody reads."""


@pytest.mark.parametrize("words", [["words"], ["export", "zico", "--to", "python"]])
def test_a_pipe_that_nobody_reads_any_more_ends_a_command_silently(words, tmp_path):
    done = run_python("-c", UNREAD, *words, folder=tmp_path)
    assert (done.returncode, done.stderr) == (141, "")


def test_a_pipe_to_another_process_that_breaks_is_an_error(monkeypatch, capsys):
    def broken(*_, **__):
        raise BrokenPipeError("worker gone")

    monkeypatch.setattr(main.commands["words"], "callback", broken)
    with pytest.raises(SystemExit) as ended:
        main.main(["words"])
    assert ended.value.code == 1
    assert "worker gone" in capsys.readouterr().err


def test_the_middle_of_a_message_without_end_is_left_out(capsys):
    Failure("a" + "x" * 100_000 + "z").show()
    told = capsys.readouterr().err
    assert len(told) < 4000
    assert told.startswith("error: ax")
    assert told.endswith("xz\n")

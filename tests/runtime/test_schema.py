"""Files that are read back: what is refused, and in which words."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from autoprox.benches import read_table
from autoprox.errors import AutoproxError, RunError
from autoprox.leaderboard.by_column import by_column
from autoprox.proxies.loading import load
from autoprox.runtime import files
from autoprox.runtime.files import append_text, write_bytes, write_text
from autoprox.runtime.schema import (
    MIB,
    Count,
    FileKind,
    converted,
    row_digest,
    sealed,
    sealed_lines,
)
from autoprox.runtime.tensors import read_tensors


@dataclass(frozen=True)
class Box:
    """What the file of these tests has."""

    count: Count
    share: float | None = None
    names: tuple[str, ...] = ()


BOX = FileKind("box", 2, Box, sealed=2)


def said(kind, path, content):
    path.write_bytes(content)
    with pytest.raises(AutoproxError) as caught:
        kind.read(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 400 + len(str(path))
    return str(caught.value)


def test_what_is_written_is_read(tmp_path):
    BOX.write(tmp_path / "box.json", {"count": 3, "share": 0.5, "names": ["ä", "b"]})
    assert BOX.read(tmp_path / "box.json") == Box(3, 0.5, ("ä", "b"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"format": "box", "version": 1, "count": "3"}', "count: expected a whole number, got te"),
        ('{"format": "box", "version": 1, "count": true}', "count: expected a whole number, got t"),
        ('{"format": "box", "version": 1, "count": -1}', "count: expected a whole number >= 0"),
        ('{"format": "box", "version": 1, "count": 1' + "0" * 400 + "}", "count: expected a whol"),
        ('{"format": "box", "version": 1}', "the key count is missing"),
        ('{"format": "box", "version": 1, "count": 1, "share": 1e999}', "share: number out of r"),
        ('{"format": "box", "version": 1, "count": 1, "share": NaN}', "line 1: JSON is malformed"),
        ('{"format": "box", "version": 1, "count": 1, "names": ["a", 2]}', r"names[1]: expected t"),
        ('{"format": "box", "version": 1,\n"count": 1,,}', "in line 2: JSON is malformed"),
        (
            '{"format": "crate", "version": 1, "count": 1}',
            "is no 'box' file: its format",
        ),
        ('{"format": "box", "version": 3, "count": 1}', "reads up to 2: upgrade autoprox"),
        ('{"format": "box", "version": 0, "count": 1}', "expected 1 or later"),
        ('{"format": "box", "version": 2, "count": 1}', "its checksum does not fit"),
        ("[" * 100_000, "expected an object, got a list"),
        ('{"format": ' * 100_000, "expected text, got an object"),
        ("", "damaged"),
        ("\x00", "damaged"),
    ],
)
def test_what_is_wrong_is_said_with_file_line_and_key(content, message, tmp_path):
    assert message in said(BOX, tmp_path / "box.json", content.encode())


def test_deep_values_and_large_files_are_refused(tmp_path):
    loose = FileKind("loose", 1, dict[str, object], most=MIB)
    deep = '{"format": "loose", "version": 1, "x": ' + "[" * 100_000
    assert "nested too deeply" in said(loose, tmp_path / "x.json", deep.encode())
    assert "is larger than 1 MiB" in said(loose, tmp_path / "x.json", b" " * (MIB + 1))
    with pytest.raises(AutoproxError, match="cannot read"):
        loose.read(tmp_path / "no")


def test_no_changed_byte_is_believed(tmp_path):
    path = tmp_path / "box.json"
    BOX.write(path, {"count": 3, "share": 0.5, "names": ["a", "b"]})
    content = path.read_bytes()
    sound = BOX.read(path)
    for place in range(len(content)):
        for bit in (1, 2, 16):
            changed = bytearray(content)
            changed[place] ^= bit
            path.write_bytes(bytes(changed))
            try:
                read = BOX.read(path)
            except AutoproxError:
                continue
            assert read == sound  # a blank that became another, or the key of an optional value


def test_what_follows_the_checksum_is_not_believed(tmp_path):
    BOX.write(tmp_path / "box.json", {"count": 3})
    content = (tmp_path / "box.json").read_text()
    assert content.endswith('"\n}\n')
    added = content[:-3] + ', "count": 7}'
    assert json.loads(added)["count"] == 7
    assert "checksum does not fit" in said(BOX, tmp_path / "box.json", added.encode())


def test_a_line_that_was_altered_is_named():
    text = "".join(sealed({"count": number}) + "\n" for number in range(3))
    lines = list(sealed_lines(text.encode(), Box, Path("x.jsonl")))
    assert [each.count for each in lines] == [0, 1, 2]
    with pytest.raises(AutoproxError, match=r"x\.jsonl, line 2, is damaged: its checksum"):
        list(sealed_lines(text.replace('"count": 1', '"count": 7').encode(), Box, Path("x.jsonl")))
    with pytest.raises(AutoproxError, match=r"x\.jsonl, line 1, is damaged: count: expected"):
        list(sealed_lines(sealed({"count": None}).encode(), Box, Path("x.jsonl")))


def test_data_that_is_no_such_value_is_named_by_its_key():
    assert converted({"count": 1}, Box, "box") == Box(1)
    with pytest.raises(AutoproxError, match=r"^box\.count: expected a whole number, got text$"):
        converted({"count": "1"}, Box, "box")


@pytest.mark.parametrize("name", ["x" * 300, "", "a\0b", "file/below"])
def test_a_name_that_no_file_can_have_is_refused(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    with pytest.raises(RunError, match="choose another --out"):
        write_text(Path(name), "text")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_half_a_character_is_a_question_mark_in_what_a_search_notes_and_refused_elsewhere(tmp_path):
    assert append_text(tmp_path / "a", "\ud800") == 1
    with pytest.raises(RunError, match="lone surrogate"):
        write_text(tmp_path / "b", "\ud800")
    assert json.loads(sealed({"a": "\ud800"}))["a"] == "?"


WITHIN = '{"expression": "sum(params)", "format": "autoprox proxy", "version": 1%s}'
TWICE = {
    "p.json": (load, WITHIN % ', "expression": "sum(flops)"', "'expression' occurs twice"),
    "deep.json": (load, WITHIN % ', "provenance": {"a": [{"b": 1, "b": 1}]}', "'b' occurs twice"),
    "board.json": (by_column, '{"format": "autoprox leaderboard", "version": 2, "rows": [], '
                   '"rows": []}', "'rows' occurs twice"),
    "board.csv": (by_column, "proxy,a somers,a somers\nzico,.5,.4\n", "a column occurs twice"),
    "short.csv": (by_column, "proxy,a somers,b somers\nzico,.5\n", "fewer cells than"),
    "t.csv": (read_table, 'name,accuracy,w\na,1,"{""x"": 1, ""x"": 2}"\n', "'x' occurs twice"),
    "t.jsonl": (read_table, '{"accuracy": 1, "accuracy": 2}\n', "'accuracy' occurs twice"),
}  # fmt: skip


@pytest.mark.parametrize("name", TWICE)
def test_of_two_values_of_a_key_none_is_believed(name, tmp_path):
    read, content, message = TWICE[name]
    (tmp_path / name).write_text(content)
    with pytest.raises(AutoproxError, match=f"{name}.*{message}"):
        read(tmp_path / name)


def test_a_header_without_a_checksum_has_no_key_twice(tmp_path):
    entry = '{"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}'
    header = f'{{"a": {entry}, "a": {entry}}}'.encode()
    path = tmp_path / "weights.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + b"1")
    with pytest.raises(AutoproxError, match="its header, is damaged: the key 'a' occurs twice"):
        read_tensors(path)


def test_a_row_of_a_table_that_was_altered_is_named(tmp_path):
    rows = [["name", "accuracy", "width"], ["a", "50", "8"], ["b", "60", "9"]]
    lines = [",".join([*rows[0], "row_checksum"])]
    lines += [",".join([*row, row_digest(row)]) for row in rows[1:]]
    path = tmp_path / "t.csv"
    path.write_text("\n".join(lines))
    assert [one.config for one in read_table(path)] == [{"width": 8}, {"width": 9}]
    path.write_text("\n".join(lines).replace("60", "61"))
    with pytest.raises(AutoproxError, match=r"t\.csv, line 3: its checksum does not fit"):
        read_table(path)


def test_facts_of_a_file_of_tensors_that_are_no_text_are_refused_by_its_name(tmp_path):
    path = tmp_path / "t.safetensors"
    header = b'{"__metadata__":{"a":1}}'
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(
        AutoproxError, match=r"t\.safetensors is damaged: __metadata__.*got a whole"
    ):
        read_tensors(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
def test_a_pipe_that_nobody_reads_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "PATIENCE", 0.05)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(RunError, match="it is a pipe that nobody reads"):
        write_bytes(tmp_path / "pipe", b"1")


@pytest.mark.skipif(not os.path.isdir("/dev/shm"), reason="there is no memory that is a folder")
def test_files_in_memory_are_replaced_as_others_are():
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        path = Path(folder) / "file"
        write_bytes(path, b"long")
        write_bytes(path, b"1")
        assert path.read_bytes() == b"1"
        assert os.listdir(folder) == ["file"]


@pytest.mark.skipif(not os.path.exists("/dev/fd"), reason="open files have no names")
def test_what_the_shell_opened_is_written_into(tmp_path):
    with (tmp_path / "file").open("wb") as file:
        write_bytes(Path(f"/dev/fd/{file.fileno()}"), b"1")
    assert (tmp_path / "file").read_bytes() == b"1"


LEAVES = """
import os, pathlib, sys
from autoprox.runtime.files import replace
os.getpid, os.replace = (lambda: int(sys.argv[1])), (lambda *_: os._exit(0))
replace(pathlib.Path("file"), b"1")
"""
"""Ends where all is written, and nothing has its name."""


@pytest.mark.parametrize("apart", [(), ("unshare", "--user", "--pid", "--fork")])
def test_what_is_half_written_is_removed_if_its_process_has_ended_unless_it_is_of_a_container(
    apart, tmp_path
):
    """Where processes have numbers of their own, nobody outside knows which have ended."""
    if apart and not shutil.which(apart[0]):
        pytest.skip("there are no containers")
    if apart and subprocess.run([*apart, "true"], capture_output=True).returncode:
        pytest.skip("no containers may be made")
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    subprocess.run(
        [*apart, sys.executable, "-c", LEAVES, str(ended.pid)],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, check=True,
    )  # fmt: skip
    assert len(list(tmp_path.glob(".*.tmp"))) == 1
    files.remove_stale(tmp_path)
    assert len(list(tmp_path.glob(".*.tmp"))) == len(apart[:1])

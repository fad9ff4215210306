"""What a long search goes on from, where its files are not what it wrote."""

import os
from dataclasses import dataclass

import pytest

from autoprox.errors import AutoproxError, RunError
from autoprox.runtime.journal import Journal
from autoprox.runtime.schema import FileKind


@dataclass(frozen=True)
class _Save:
    bytes: int
    saves: int
    told: tuple[int, ...] = ()


@dataclass(frozen=True)
class _Line:
    number: int


@pytest.fixture
def journal(tmp_path):
    """Two saves of a line each."""
    kind = FileKind("saves", 1, _Save, sealed=1)
    made = Journal(tmp_path / "lines.jsonl", tmp_path / "save.json", kind, _Line)
    made.begin()
    for number in (1, 2):
        made.save([{"number": number}], {}, {})
    return made


def test_what_was_saved_is_loaded_and_may_be_gone_back_from(journal):
    state, lines = journal.load()
    assert (state.saves, lines) == (2, [_Line(1), _Line(2)])
    journal.rewind({})
    assert journal.load()[1] == [_Line(1)]


def test_lines_that_a_state_counted_and_were_lost_are_not_taken_for_those_that_come_anew(journal):
    """They are written again, by the next save, whose process ends before it writes its state."""
    both = journal.lines.read_bytes()
    journal.lines.write_bytes(both.splitlines(keepends=True)[0])
    state, lines = journal.load(lambda state, last: {"told": [state.saves, last.saves]})
    assert (state.saves, state.told, lines) == (1, (1, 2), [_Line(1)])
    journal.lines.write_bytes(both)
    state, lines = journal.load()
    assert (state.saves, lines) == (1, [_Line(1)])
    journal.save([{"number": 3}], {}, {})
    journal.rewind({})
    assert journal.load()[1] == [_Line(1)]


def test_there_is_no_going_back_to_a_state_that_is_missing(journal):
    journal.states.write_bytes(b"")
    with pytest.raises(RunError, match=r"saves\.jsonl is damaged: expected 1 lines or more, got 0"):
        journal.rewind({})


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
@pytest.mark.parametrize("name", ["lines", "states"])
def test_a_pipe_in_place_of_a_file_is_refused(name, journal):
    path = getattr(journal, name)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(AutoproxError, match="pipe or device, no file"):
        journal.load()

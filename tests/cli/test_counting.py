"""What long commands show while they count."""

import contextlib
import io

import pytest
from rich.console import Console

from autoprox.cli import counting
from autoprox.cli.counting import Pace


@pytest.fixture
def clock(monkeypatch):
    """A clock that is set by hand."""
    now = [100.0]
    monkeypatch.setattr(counting.time, "monotonic", lambda: now[0])
    return now


def test_the_time_left_is_that_of_the_pace_since_the_first_was_done(clock):
    pace = Pace()
    assert pace.left(0, 10) == ""
    clock[0] += 30  # processes start, libraries are imported
    assert pace.left(1, 10) == ""
    clock[0] += 2
    assert pace.left(2, 10) == ""  # two that happened to end together are no pace
    clock[0] += 2
    assert pace.left(3, 10) == "14 s left"
    clock[0] += 2
    assert pace.left(4, 10) == "12 s left"
    assert pace.left(10, 10) == ""


def test_work_that_becomes_faster_is_not_measured_by_its_beginning(clock):
    pace = Pace()
    pace.left(0, 1000)
    for done in range(1, 11):
        clock[0] += 10
        pace.left(done, 1000)
    assert pace.left(10, 1000) == "2 h 45 min left"
    for done in range(20, 310, 10):
        clock[0] += 10
        left = pace.left(done, 1000)
    assert left == "11 min 40 s left"


def test_work_that_was_done_before_and_other_work_do_not_count(clock):
    pace = Pace()
    assert pace.left(50, 100) == ""
    clock[0] += 10
    assert pace.left(60, 100) == ""
    clock[0] += 10
    assert pace.left(70, 100) == "30 s left"
    assert pace.left(0, 3) == ""
    clock[0] += 5
    assert pace.left(1, 3) == ""
    clock[0] += 10
    assert pace.left(2, 3) == "10 s left"
    assert pace.left(0, 3) == ""


def test_lines_are_some_seconds_apart_but_for_new_steps_and_the_end(clock, capsys):
    with counting.counting(quiet=False) as show:
        show("rows", 0, 0)
        for done in range(9):
            show(f"rows ({done} tried)", done, 8)
            clock[0] += 2
        show("the rest", 0, 1)
    assert capsys.readouterr().err.splitlines() == [
        "rows (0 tried)  0/8",
        "rows (3 tried)  3/8  10 s left",
        "rows (6 tried)  6/8  4 s left",
        "rows (8 tried)  8/8",
        "the rest  0/1",
    ]


def test_work_of_an_unknown_total_does_not_show_the_total_of_other_work(monkeypatch):
    out = io.StringIO()
    terminal = Console(file=out, force_terminal=True, width=80, color_system=None)
    monkeypatch.setattr(counting, "console", lambda stderr: terminal)
    with counting.counting(quiet=False) as show:
        show("measuring", 24, 24)
        show("comparing", 0, 0)
    last = out.getvalue().rpartition("comparing")[2]
    assert "0/?" in last
    assert "24" not in last


def test_quiet_is_quiet(capsys):
    with counting.counting(quiet=True) as show:
        show("rows", 0, 8)
    assert capsys.readouterr().err == ""


def test_the_last_line_is_printed_however_the_work_ends(clock, capsys):
    with counting.counting(quiet=False) as show:
        show("rows", 0, 8)
        show("rows", 1, 8)
        show("rows", 3, 8)
    with contextlib.suppress(ValueError), counting.counting(quiet=False) as show:
        show("rows", 0, 8)
        show("rows", 5, 8)
        raise ValueError("broken")
    err = capsys.readouterr().err
    assert err.splitlines() == ["rows  0/8", "rows  3/8", "rows  0/8", "rows  5/8"]

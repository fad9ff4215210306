"""What long commands show while they count."""

import pytest

from autoprox.cli import counting
from autoprox.cli.counting import Pace


@pytest.fixture
def clock(monkeypatch):
    """A clock that is set by hand."""
    now = [100.0]
    monkeypatch.setattr(counting.time, "monotonic", lambda: now[0])
    return now


def test_the_time_left_is_that_of_the_mean_pace(clock):
    pace = Pace()
    assert pace.left(0, 10) == ""
    clock[0] += 4
    assert pace.left(2, 10) == "16 s left"
    clock[0] += 14
    assert pace.left(6, 10) == "12 s left"
    clock[0] += 1
    assert pace.left(10, 10) == ""


def test_work_that_was_done_before_and_other_work_do_not_count(clock):
    pace = Pace()
    assert pace.left(50, 100) == ""
    clock[0] += 10
    assert pace.left(60, 100) == "40 s left"
    assert pace.left(0, 3) == ""
    clock[0] += 5
    assert pace.left(1, 3) == "10 s left"
    assert pace.left(0, 3) == ""


def test_lines_are_some_seconds_apart_but_for_the_end(clock, capsys):
    with counting.counting(quiet=False) as show:
        show("rows", 0, 0)
        for done in range(9):
            show("rows", done, 8)
            clock[0] += 2
    assert capsys.readouterr().err.splitlines() == [
        "rows  0/8",
        "rows  3/8  10 s left",
        "rows  6/8  4 s left",
        "rows  8/8",
    ]


def test_quiet_is_quiet(capsys):
    with counting.counting(quiet=True) as show:
        show("rows", 0, 8)
    assert capsys.readouterr().err == ""

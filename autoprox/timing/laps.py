"""One timed repetition of one way of doing something."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from autoprox.timing.stage import Stage

LEAST_SECONDS = 0.05
"""What is shorter is repeated until it has taken so long."""


@dataclass(frozen=True, slots=True)
class Lap:
    """One repetition.

    Attributes:
        seconds: how long one item took.
        value: what was computed, to be compared with what the other way computed.
        note: what a reader has to know of it.
    """

    seconds: float
    value: Any = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Way:
    """A way of doing something.

    Attributes:
        label: what it is, in a few words.
        prepare: does what is not timed, and returns what runs one repetition.
    """

    label: str
    prepare: Callable[[Stage], Callable[[], Lap]]


def seconds_of(work: Callable[[], object]) -> float:
    """Return how long a call takes, of short ones the mean of many."""
    begun, calls = time.perf_counter(), 0
    while True:
        work()
        calls += 1
        passed = time.perf_counter() - begun
        if passed >= LEAST_SECONDS:
            return passed / calls

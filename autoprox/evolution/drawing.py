"""Random numbers that follow from the seed of a search, whatever else the process does.

DEAP draws from Python's global `random`, from which the threads of an executor draw too. So the
search has a copy of `deap.gp` of its own, in which `random` is the stand-in below, and draws from
the same stand-in: inside `drawing_from` its functions are those of the search's generator.
"""

from __future__ import annotations

import importlib.util
import random as python
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast


class _StandIn(threading.local):
    """Has the functions of the generator that this thread draws from, at first Python's own."""

    def __init__(self) -> None:
        self.lend(python)

    def lend(self, generator: Any) -> None:
        names = [name for name in dir(python.Random) if not name.startswith("_")]
        known = [name for name in names if hasattr(generator, name)]
        vars(self).update({name: getattr(generator, name) for name in known})


random = cast(python.Random, _StandIn())
"""Stands in for the module `random`."""


@contextmanager
def drawing_from(generator: python.Random) -> Iterator[None]:
    """Let this thread draw from `generator`; the global `random` is left alone."""
    stand_in = cast(_StandIn, random)
    outer = dict(vars(stand_in))
    stand_in.lend(generator)
    try:
        yield
    finally:
        vars(stand_in).update(outer)


def _copy_of_gp() -> Any:
    spec = importlib.util.find_spec("deap.gp")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.random = random  # type: ignore[attr-defined]
    return module


gp = _copy_of_gp()
"""`deap.gp`, which draws from the stand-in."""

"""The words that a user added to the language, and how other processes come to know them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from autoprox.primitives import PRIMITIVES, Primitive
from autoprox.statistics import STATISTICS, Statistic

Word: TypeAlias = Primitive | Statistic


def own_words() -> tuple[Word, ...]:
    """Return the primitives and statistics that do not come with autoprox."""
    home = "autoprox.primitives."
    primitives = (x for x in PRIMITIVES.values() if not x.function.__module__.startswith(home))
    return (*primitives, *(each for each in STATISTICS.values() if each.own))


def take_words(given: Iterable[Word]) -> None:
    """Take another process's own words; its definitions hold, whatever is or will be here."""
    for word in given:
        if isinstance(word, Primitive):
            PRIMITIVES.receive(word.name, word)
        else:
            STATISTICS.receive(word.name, word)

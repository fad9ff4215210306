"""What can go wrong, as a tree.

    AutoproxError
    ├── UnknownNameError    a name that no registry holds
    ├── LanguageError       text that is no expression, or an expression that does not type-check
    ├── PrimitiveError      a primitive that may not enter the language
    ├── StatisticError      a network on which a statistic cannot be measured
    ├── ScoreError          a proxy that has no finite value on a network
    ├── BenchError          a bench, table, target or split that cannot be used
    ├── SpaceError          a search space that cannot be used, or limits that nothing in it meets
    ├── QuantisationError   a network, bits or budget that quantisation cannot serve
    ├── CacheError          a cache folder or file that cannot be read or written
    ├── WorkerError         worker processes that cannot be started, reached or kept alive
    └── RunError            a run folder that cannot be written, read or resumed

Every message says what was expected, what came, and what to do. The command line prints the message
of an `AutoproxError` and exits with 1; anything else is a defect of autoprox and keeps its
traceback.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

SHOWN = 100
"""How much of a name or a text a message quotes."""


def short(text: str) -> str:
    """Return a text as a message quotes it: all of it, or its beginning.

    >>> short("x" * 1000) == "x" * 97 + "..."
    True
    """
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."


def reason_of(error: BaseException) -> str:
    r"""Say what an error of foreign code is, in one line: its type, and its first line.

    >>> reason_of(RuntimeError("no rule for it.\nHint: register one"))
    'RuntimeError: no rule for it'
    """
    message = str(error).strip().partition("\n")[0].rstrip(". ")
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


class AutoproxError(Exception):
    """Base of every error that autoprox raises on purpose."""


NEAR = 5
MANY = 20
"""Of more names than these only the NEAR nearest are told, if any is near."""


class UnknownNameError(AutoproxError, KeyError):
    """A name that no registry holds; the message suggests the nearest one.

    >>> str(UnknownNameError("bench", "vit11", ["vit101", "nb201"]))
    "unknown bench 'vit11'; did you mean 'vit101'? (known: nb201, vit101)"
    """

    def __init__(self, noun: str, name: str, known: Iterable[str]) -> None:
        """Compose the message for `name`, a supposed `noun`, out of the `known` names."""
        names, name = sorted(known), short(name)
        near = difflib.get_close_matches(name, names, n=NEAR, cutoff=0.5)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        shown = ", ".join(names) or "none"
        if near and len(names) > MANY:
            rest = len(names) - len(near)
            shown = f"{', '.join(near)} and {rest} others"
        super().__init__(f"unknown {noun} {name!r}{hint} (known: {shown})")

    def __str__(self) -> str:
        """Return the message as it is (`KeyError` would quote it)."""
        return str(self.args[0])


class LanguageError(AutoproxError):
    """Text that is no expression, or an expression that does not type-check."""


class PrimitiveError(AutoproxError):
    """A primitive that may not enter the language."""


class StatisticError(AutoproxError):
    """A network on which a statistic cannot be measured."""


class ScoreError(AutoproxError):
    """A proxy that has no finite value on a network."""


class BenchError(AutoproxError):
    """A bench, table, target or split that cannot be used."""


class MissingTableError(BenchError):
    """A bench whose table is not on this machine; the message says how to get it."""


class SpaceError(AutoproxError):
    """A search space that cannot be used, or limits that nothing in it meets."""


class QuantisationError(AutoproxError):
    """A network, bits or a budget that quantisation cannot serve."""


class CacheError(AutoproxError):
    """A cache folder or file that cannot be read or written."""


class WorkerError(AutoproxError):
    """Worker processes that cannot be started, reached or kept alive."""


class RunError(AutoproxError):
    """A run folder that cannot be written, read or resumed."""

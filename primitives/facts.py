"""Mathematical facts about a primitive, which the engine may use for any word that declares them.

Registration checks them on probes, see `autoprox.primitives.checks`. A fact that names another
primitive names its function, so that it says nothing of a word that was defined anew.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from torch import Tensor

Function: TypeAlias = Callable[..., Tensor]


@dataclass(frozen=True, slots=True)
class Facts:
    """What holds of a primitive ``f``; without a declaration nothing is assumed.

    "The same" means to the last bit.

    Attributes:
        even: a change of sign makes no difference: ``"entry"`` of any single entry, so that
            ``f(|x|)`` is the same as ``f(x)``; ``"row"`` of all entries of a row at once, so that
            ``f(-x)`` is.
        nonnegative: no entry of the result is below 0.
        fixes_nonnegative: ``f(x)`` is ``x`` where ``x`` is not negative.
        negates: ``f(x)`` is ``-x``.
        rising: ``f(x)`` never falls when ``x`` rises.
        flattening: rising, and evolution does not apply it to a network's number, as it keeps the
            order of the scores or makes them equal.
        anticommutative: ``f(y, x)`` is ``-f(x, y)``.
        diagonal: the primitive of one argument that ``f(x, x)`` is the same as, or ``"constant"``
            if it is one number whatever ``x`` is.
        counts: the result depends on the number of entries alone.
        sums: among rows of as many entries, the result rises with the sum of this primitive of the
            entries, or with that of the ``"entries"`` themselves.
        constant_of: primitives ``g`` with ``f(g(x))`` one number, whatever ``x`` is.
        constant_under: primitives ``g`` with ``g(f(x))`` one number, whatever ``x`` is.
    """

    even: Literal["entry", "row"] | None = None
    nonnegative: bool = False
    fixes_nonnegative: bool = False
    negates: bool = False
    rising: bool = False
    flattening: bool = False
    anticommutative: bool = False
    diagonal: Function | Literal["constant"] | None = None
    counts: bool = False
    sums: Function | Literal["entries"] | None = None
    constant_of: tuple[Function, ...] = ()
    constant_under: tuple[Function, ...] = ()

    @property
    def keeps_size(self) -> bool:
        """Whether ``|f(x)|`` is ``|x|``: it is the negative or the absolute value."""
        return self.negates or (self.even is not None and self.fixes_nonnegative)

    def ignores(self, below: Facts) -> bool:
        """Say whether ``f(g(x))`` is the same as ``f(x)``, given the facts of ``g``."""
        if below.negates:
            return self.even is not None
        return self.even == "entry" and below.keeps_size


NO_FACTS = Facts()

"""What a primitive is, and all that are registered."""

from __future__ import annotations

import enum
import inspect
from dataclasses import dataclass

from torch import Tensor

from autoprox.errors import PrimitiveError
from autoprox.primitives.entries import Entries
from autoprox.primitives.facts import NO_FACTS, Facts, Function
from autoprox.primitives.kinds import KINDS, Kind, Layer, Network, reduced
from autoprox.runtime.registry import Registry


class Form(enum.Enum):
    """How a primitive is called, and what becomes of the kind of its arguments."""

    ELEMENTWISE = "elementwise"
    """``f(x, …) -> same shape``; the kind stays."""
    NORMALISATION = "normalisation"
    """``f(x, entries) -> same shape``; the kind stays."""
    REDUCTION = "reduction"
    """``f(x, entries) -> (rows,)``; tensor kinds become Layer, Layer becomes Network."""
    SELECTOR = "selector"
    """``f(roles, position) -> bool, (layers,)``; Layer stays Layer, with fewer layers present."""


KINDS_OF_FORM: dict[Form, tuple[type[Kind], ...]] = {
    Form.ELEMENTWISE: KINDS,
    Form.NORMALISATION: tuple(kind for kind in KINDS if kind is not Network),
    Form.REDUCTION: tuple(kind for kind in KINDS if kind is not Network),
    Form.SELECTOR: (Layer,),
}


@dataclass(frozen=True, slots=True)
class Primitive:
    """A pure function with declared kinds.

    Attributes:
        name: the word in the language; the function's name.
        function: called as `form` says. It never writes into its arguments, gives a finite result
            for finite moderate arguments, and treats each row on its own.
        form: how it is called.
        arity: the number of arguments that are values.
        kinds: the kinds of argument that it takes. All arguments of one call have the same kind.
        commutative: whether the order of the arguments does not matter.
        latex: a template; ``{0}``, ``{1}`` are the arguments, ``{index}`` what a reduction runs
            over.
        guard: what is done outside of the mathematical function's domain, in words; empty if
            nothing.
        formula: what `latex` stands for where that is only a name: LaTeX, on ``x`` and ``y`` or
            their entries ``x_i``; empty if `latex` says it.
        evolved: whether evolution writes with it unless a seed proxy has it.
        facts: what holds of it, and the engine may use.
    """

    name: str
    function: Function
    form: Form
    arity: int
    kinds: tuple[type[Kind], ...]
    commutative: bool
    latex: str
    guard: str
    formula: str = ""
    evolved: bool = True
    facts: Facts = NO_FACTS

    def result(self, kind: type[Kind]) -> type[Kind]:
        """Return the kind of the result for arguments of `kind`."""
        return reduced(kind) if self.form is Form.REDUCTION else kind

    @property
    def summary(self) -> str:
        """The first line of the function's docstring."""
        return (inspect.getdoc(self.function) or "").partition("\n")[0]


PRIMITIVES: Registry[Primitive] = Registry(
    "primitive",
    lambda primitive: not primitive.function.__module__.startswith("autoprox.primitives."),
)
"""Every primitive of the language, by its word."""


def call(primitive: Primitive, values: tuple[Tensor, ...], entries: Entries) -> Tensor:
    """Call a primitive that is no selector as its form says."""
    if primitive.form is Form.ELEMENTWISE:
        return primitive.function(*values)
    return primitive.function(*values, entries)


def word_of(function: Function) -> str | None:
    """Return the word that stands for a function, if it still does."""
    name = function.__name__
    return name if name in PRIMITIVES and PRIMITIVES[name].function is function else None


def makes_constant(outer: Primitive, inner: Primitive) -> bool:
    """Say whether it is a fact that ``outer(inner(x))`` is one number, whatever ``x`` is."""
    return inner.function in outer.facts.constant_of or outer.function in inner.facts.constant_under


def negation() -> str:
    """Return the word that changes the sign.

    Raises:
        PrimitiveError: there is none.
    """
    for name, primitive in PRIMITIVES.items():
        if primitive.facts.negates:
            return name
    raise PrimitiveError(
        "no primitive is registered with the fact negates=True; register the one called 'negative'"
    )

"""What a primitive is, and the checks that it passes before it enters the language."""

from __future__ import annotations

import enum
import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from autoprox.errors import PrimitiveError
from autoprox.primitives.entries import Entries
from autoprox.primitives.kinds import KINDS, Kind, Layer, Network, Relation, reduced
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
    """

    name: str
    function: Callable[..., Tensor]
    form: Form
    arity: int
    kinds: tuple[type[Kind], ...]
    commutative: bool
    latex: str
    guard: str
    formula: str = ""
    evolved: bool = True

    def result(self, kind: type[Kind]) -> type[Kind]:
        """Return the kind of the result for arguments of `kind`."""
        return reduced(kind) if self.form is Form.REDUCTION else kind

    @property
    def summary(self) -> str:
        """The first line of the function's docstring."""
        return (inspect.getdoc(self.function) or "").partition("\n")[0]


PRIMITIVES: Registry[Primitive] = Registry(
    "primitive", lambda made: not made.function.__module__.startswith("autoprox.primitives.")
)
"""Every primitive of the language, by its word."""


def primitive(
    form: Form | str,
    *,
    latex: str,
    kinds: tuple[type[Kind], ...] | None = None,
    commutative: bool = False,
    guard: str = "",
    formula: str = "",
    evolved: bool = True,
) -> Callable[[Callable[..., Tensor]], Callable[..., Tensor]]:
    r"""Register a function as a primitive under its own name.

    Args:
        form: a `Form` or its value, such as ``"elementwise"``.
        latex: the formula, with ``{0}`` and ``{1}`` for the arguments.
        kinds: the kinds that it takes, if not all that the form allows.
        commutative: whether ``f(x, y) == f(y, x)``.
        guard: what is done where the function of mathematics is undefined.
        formula: what `latex` stands for where that is only a name, on ``x``, ``y`` and ``x_i``.
        evolved: whether evolution writes with it unless a seed proxy has it.

    Raises:
        PrimitiveError: the function is misdeclared, writes into its arguments, is not closed, or
            mixes rows.

    >>> @primitive("elementwise", latex=r"{0}^3")
    ... def doctest_cube(x):
    ...     '''Third power of each entry.'''
    ...     return x * x * x
    >>> _ = PRIMITIVES.unregister("doctest_cube")
    """
    try:
        form = Form(form)
    except ValueError:
        known = ", ".join(each.value for each in Form)
        raise PrimitiveError(f"unknown form {form!r} of a primitive (known: {known})") from None

    def register(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        arity = _arity(function, form)
        chosen = KINDS_OF_FORM[form] if kinds is None else kinds
        foreign = [kind.__name__ for kind in chosen if kind not in KINDS_OF_FORM[form]]
        if not chosen or foreign:
            raise PrimitiveError(
                f"primitive {function.__name__!r}: a {form.value} takes "
                f"{', '.join(kind.__name__ for kind in KINDS_OF_FORM[form])}; "
                f"got {', '.join(foreign) or 'no kind'}"
            )
        made = Primitive(
            name=function.__name__,
            function=function,
            form=form,
            arity=arity,
            kinds=chosen,
            commutative=commutative,
            latex=latex,
            guard=guard,
            formula=formula,
            evolved=evolved,
        )
        check(made)
        PRIMITIVES.register(made.name, made)
        return function

    return register


def _arity(function: Callable[..., Tensor], form: Form) -> int:
    name = function.__name__
    parameters = len(inspect.signature(function).parameters)
    if form is Form.ELEMENTWISE:
        if parameters not in (1, 2):
            raise PrimitiveError(
                f"primitive {name!r}: elementwise takes (x) or (x, y); got {parameters}"
            )
        return parameters
    expected = "(roles, position)" if form is Form.SELECTOR else "(x, entries)"
    if parameters != 2:
        raise PrimitiveError(
            f"primitive {name!r}: a {form.value} takes {expected}; got {parameters} arguments"
        )
    return 1


# Zeros, negatives, large and small magnitudes, equal entries: the rows on which a
# primitive must be closed.
PROBES = (
    (0.0, 0.0, 0.0, 0.0),
    (-1.0, -2.0, -0.5, -3.0),
    (0.3, -1.2, 2.5, 0.0),
    (1e3, -1e3, 1e-3, 1.0),
    (2.0, 2.0, 2.0, 2.0),
)


def check(made: Primitive) -> None:
    """Call a primitive on probes of every kind that it takes.

    Raises:
        PrimitiveError: it has no docstring or a bad LaTeX template; it fails; its result has
            another shape or type than declared, or is not finite; it wrote into an argument; its
            rows depend on each other; it is declared commutative and is not.
    """
    if not made.summary and sys.flags.optimize < 2:  # python -OO drops docstrings
        raise PrimitiveError(f"primitive {made.name!r}: say what it computes in a docstring")
    try:
        made.latex.format("x", "y", index="i")
    except (LookupError, ValueError) as error:
        raise PrimitiveError(
            f"primitive {made.name!r}: bad LaTeX template {made.latex!r}: {error}"
        ) from None
    if made.form is Form.SELECTOR:
        _check_selector(made)
        return
    for kind in made.kinds:
        _check_kind(made, kind)


def _check_selector(made: Primitive) -> None:
    position = torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64)
    chosen = made.function(("embedding", "attention", "head"), position)
    if not isinstance(chosen, Tensor) or chosen.dtype != torch.bool or chosen.shape != (3,):
        raise PrimitiveError(
            f"primitive {made.name!r}: a selector returns one bool a layer; got {chosen!r}"
        )


def probe(kind: type[Kind]) -> tuple[Tensor, Entries]:
    """Return a value of `kind`, shape ``(rows, …)``, and its entries."""
    dtype = torch.float64 if kind in (Layer, Network) else torch.float32
    x = torch.tensor(PROBES, dtype=dtype)
    if kind is Network:
        x = x.flatten()
    if kind is Relation:
        x = torch.stack([torch.outer(row, row) for row in x])
    present = torch.ones(x.shape, dtype=torch.bool) if kind is Layer else None
    return x, Entries(torch.full((len(x),), float(x[0].numel()), dtype=torch.float64), present)


def call(made: Primitive, values: tuple[Tensor, ...], entries: Entries) -> Tensor:
    """Call a primitive that is no selector as its form says."""
    if made.form is Form.ELEMENTWISE:
        return made.function(*values)
    return made.function(*values, entries)


def _check_kind(made: Primitive, kind: type[Kind]) -> None:
    x, entries = probe(kind)
    values = (x, x.roll(1, 0))[: made.arity]
    before = [value.clone() for value in values]
    where = f"primitive {made.name!r} on {kind.__name__}"
    try:
        result = call(made, values, entries)
        again = call(made, tuple(value.clone() for value in before), entries)
    except Exception as error:
        raise PrimitiveError(f"{where}: failed with {type(error).__name__}: {error}") from None
    if any(not torch.equal(*pair) for pair in zip(values, before, strict=True)):
        raise PrimitiveError(f"{where}: writes into its argument; a primitive must be pure")
    expected = (len(x),) if made.form is Form.REDUCTION else tuple(x.shape)
    if not isinstance(result, Tensor) or tuple(result.shape) != expected:
        shape = tuple(result.shape) if isinstance(result, Tensor) else type(result).__name__
        raise PrimitiveError(f"{where}: a {made.form.value} returns shape {expected}; got {shape}")
    if made.form is not Form.REDUCTION and result.dtype != x.dtype:
        raise PrimitiveError(f"{where}: keeps the type {x.dtype}; got {result.dtype}")
    if not torch.isfinite(result).all():
        raise PrimitiveError(
            f"{where}: is not closed: {result.tolist()} for finite arguments; guard it"
        )
    if not torch.equal(result, again):
        raise PrimitiveError(f"{where}: two calls with the same arguments differ")
    _check_rows(made, values, entries, result, where)
    if made.commutative and not torch.equal(result, call(made, values[::-1], entries)):
        raise PrimitiveError(f"{where}: is declared commutative, but f(x, y) is not f(y, x)")


def _check_rows(
    made: Primitive, values: tuple[Tensor, ...], entries: Entries, result: Tensor, where: str
) -> None:
    """Refuse a primitive whose result for one row changes with the other rows."""
    present = entries.present
    alone = call(
        made,
        tuple(value[2:3] for value in values),
        Entries(entries.size[2:3], None if present is None else present[2:3]),
    )
    if not torch.allclose(alone[0], result[2], rtol=1e-6, atol=1e-6):
        raise PrimitiveError(
            f"{where}: the result of a row depends on other rows; reduce within a row only"
        )

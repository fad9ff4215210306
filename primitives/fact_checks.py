"""The checks of the facts that a primitive declares, on probes of every kind that it takes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from autoprox.errors import PrimitiveError
from autoprox.primitives.entries import Entries
from autoprox.primitives.facts import Facts
from autoprox.primitives.kinds import MATRIX_KINDS, Kind, Layer, Network, tried
from autoprox.primitives.primitive import PRIMITIVES, Form, Primitive, call, word_of

ODD_ROWS = (
    (0.0, -0.0, 0.0, 0.0, 0.0, 0.0),
    (-1.0, -2.0, -0.5, -3.0, -1e-3, -7.0),
    (0.3, -1.2, 2.5, 0.0, 1e-6, -0.3),
    (1e3, -1e3, 1e-3, 1.0, -1e-3, 50.0),
    (2.0, 2.0, 2.0, 2.0, 2.0, 2.0),
)
RANDOM_ROWS = 12
SAMPLED = 3.0
"""How many true entries each entry of a probe stands for."""
CONSTANT = 1e-5
"""How far the numbers of what is called constant may lie apart, by rounding."""
CLOSE = 1e-5
"""How near sums may be to each other, relative to the largest, to count as equal."""
ROUNDING = 1e-6
"""How much a rising function may fall, relative to its value, by rounding."""


@dataclass(frozen=True)
class Trial:
    """A primitive, and values of one kind to try it on.

    Attributes:
        primitive: the primitive.
        kind: the kind of the values.
    """

    primitive: Primitive
    kind: type[Kind]

    @cached_property
    def random(self) -> Tensor:
        """Rows of normal numbers of several sizes, ``(rows, …)``; one number each for Network."""
        generator = torch.Generator().manual_seed(0)
        width = len(ODD_ROWS[0])
        shape: tuple[int, ...] = (width, width) if self.kind in MATRIX_KINDS else (width,)
        dtype = torch.float64 if self.kind in (Layer, Network) else torch.float32
        x = torch.randn(RANDOM_ROWS, *shape, generator=generator, dtype=dtype)
        return x.flatten() if self.kind is Network else x

    @cached_property
    def x(self) -> Tensor:
        """The same, and rows of zeros, of negative, large and equal numbers."""
        odd = torch.tensor(ODD_ROWS, dtype=self.random.dtype)
        if self.kind in MATRIX_KINDS:
            odd = torch.stack([torch.outer(row, row) for row in odd])
        return torch.cat([odd.flatten() if self.kind is Network else odd, self.random])

    def signs(self) -> Tensor:
        """Return signs for the entries of `x`, at random."""
        generator = torch.Generator().manual_seed(1)
        return torch.randint(0, 2, self.x.shape, generator=generator).to(self.x.dtype) * 2 - 1

    def __call__(self, *values: Tensor, by: Primitive | None = None) -> Tensor:
        """Return what the primitive, or another one, makes of values."""
        return call(by or self.primitive, values, entries_of(values[0], self.kind))


def entries_of(x: Tensor, kind: type[Kind]) -> Entries:
    """Return the entries of a value of `kind`, all of which are there."""
    present = torch.ones(x.shape, dtype=torch.bool) if kind is Layer else None
    stands_for = 1.0 if kind is Layer else SAMPLED
    return Entries(torch.full((len(x),), stands_for * x[0].numel(), dtype=torch.float64), present)


def _is_even(f: Trial, which: str) -> bool:
    signs = f.signs() if which == "entry" else -torch.ones_like(f.x)
    return torch.equal(f(f.x), f(f.x * signs))


def _rises(f: Trial, _: Any) -> bool:
    x = f.x.flatten().sort().values.reshape(f.x.shape)
    result = f(x).flatten().double()
    return bool((result.diff() >= -ROUNDING * result[1:].abs()).all())


def _is_diagonal(f: Trial, function: Any) -> bool:
    if function == "constant":
        return _is_one_number(f(f.random, f.random))
    primitive = PRIMITIVES[function.__name__]
    return f.kind in primitive.kinds and torch.equal(f(f.x, f.x), f(f.x, by=primitive))


def _sums(f: Trial, function: Any) -> bool:
    """Compare all pairs of rows, by the sum of the terms and by the result."""
    terms = f.x if function == "entries" else f(f.x, by=PRIMITIVES[function.__name__])
    totals, result = terms.flatten(1).double().sum(1), f(f.x).double()
    apart = totals[:, None] - totals > CLOSE * totals.abs().max()
    return bool(apart.any()) and bool((result[:, None] > result)[apart].all())


def _is_one_number(result: Tensor) -> bool:
    return bool(result.max() - result.min() <= CONSTANT)


def _together(outer: Primitive, inner: Primitive, kind: type[Kind]) -> bool:
    """Say whether ``outer(inner(x))`` is one number on a kind, or cannot be written there."""
    if kind not in inner.kinds or inner.result(kind) not in outer.kinds:
        return True
    f = Trial(inner, kind)
    between = f(f.random)
    if inner.form is Form.REDUCTION:
        between = between[None].double() if inner.result(kind) is Layer else between.double()
    return _is_one_number(Trial(outer, inner.result(kind))(between))


CHECKS: dict[str, Callable[[Trial, Any], bool]] = {
    "even": _is_even,
    "nonnegative": lambda f, _: bool((f(*(f.x, f.x.roll(1, 0))[: f.primitive.arity]) >= 0).all()),
    "fixes_nonnegative": lambda f, _: torch.equal(f(f.x.abs()), f.x.abs()),
    "negates": lambda f, _: torch.equal(f(f.x), -f.x),
    "rising": _rises,
    "flattening": _rises,
    "anticommutative": lambda f, _: torch.equal(f(f.x, f.x.roll(1, 0)), -f(f.x.roll(1, 0), f.x)),
    "diagonal": _is_diagonal,
    "counts": lambda f, _: torch.equal(f(f.x), f(-2 * f.x + 1)),
    "sums": _sums,
    "constant_of": lambda f, inner: all(
        _together(f.primitive, PRIMITIVES[g.__name__], f.kind) for g in inner
    ),
    "constant_under": lambda f, outer: all(
        _together(PRIMITIVES[g.__name__], f.primitive, f.kind) for g in outer
    ),
}
"""Whether a declared fact holds on a probe, by the fact's name."""

FITTING: dict[tuple[Form, int], frozenset[str]] = {
    (Form.ELEMENTWISE, 1): frozenset(CHECKS) - {"anticommutative", "diagonal", "counts", "sums"},
    (Form.ELEMENTWISE, 2): frozenset({"nonnegative", "anticommutative", "diagonal"}),
    (Form.NORMALISATION, 1): frozenset({"even", "nonnegative", "constant_of", "constant_under"}),
    (Form.REDUCTION, 1): frozenset(
        {"even", "nonnegative", "counts", "sums", "constant_of", "constant_under"}
    ),
    (Form.SELECTOR, 1): frozenset(),
}
"""The facts that a primitive may have, by its form and the number of its arguments."""


def declared(facts: Facts) -> Iterator[tuple[str, Any]]:
    """Yield the facts that are declared, by their names."""
    for field in dataclasses.fields(Facts):
        if value := getattr(facts, field.name):
            yield field.name, value


def check_facts(primitive: Primitive) -> None:
    """Try the facts that a primitive declares.

    Raises:
        PrimitiveError: one does not fit the primitive's form, names what is no primitive, or does
            not hold.
    """
    for name, value in declared(primitive.facts):
        fitting = FITTING[primitive.form, primitive.arity]
        if name not in fitting:
            raise PrimitiveError(
                f"primitive {primitive.name!r}: {name} says nothing of {primitive.form.value} "
                f"primitives of {primitive.arity} argument(s); what may be declared of them: "
                f"{', '.join(sorted(fitting)) or 'nothing'}"
            )
        for function in value if isinstance(value, tuple) else (value,):
            if callable(function) and word_of(function) is None:
                raise PrimitiveError(
                    f"primitive {primitive.name!r}: {name} names functions of registered "
                    f"primitives; {function.__name__!r} is none"
                )
        for kind in tried(primitive.kinds):
            if not CHECKS[name](Trial(primitive, kind), value):
                raise PrimitiveError(
                    f"primitive {primitive.name!r} on {kind.__name__}: is declared with "
                    f"{name}={_shown(value)}, which does not hold; correct the function or leave "
                    "the fact out"
                )


def _shown(value: Any) -> str:
    """Return a declared value as it is written, functions by their names."""
    if isinstance(value, tuple):
        return f"({', '.join(map(_shown, value))})"
    return value.__name__ if callable(value) else repr(value)

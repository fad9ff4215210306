"""The checks that a primitive passes before it enters the language."""

from __future__ import annotations

import sys

import torch
from torch import Tensor

from autoprox.errors import PrimitiveError, reason_of
from autoprox.primitives.entries import Entries
from autoprox.primitives.fact_checks import check_facts
from autoprox.primitives.kinds import MATRIX_KINDS, Kind, Layer, Network, tried
from autoprox.primitives.primitive import Form, Primitive, call

# Zeros, negatives, large and small magnitudes, equal entries: the rows on which a
# primitive must be closed.
PROBES = (
    (0.0, 0.0, 0.0, 0.0),
    (-1.0, -2.0, -0.5, -3.0),
    (0.3, -1.2, 2.5, 0.0),
    (1e3, -1e3, 1e-3, 1.0),
    (2.0, 2.0, 2.0, 2.0),
)


def check(primitive: Primitive) -> None:
    """Call a primitive on probes of every kind that it takes.

    Raises:
        PrimitiveError: it has no docstring or a bad LaTeX template; it fails; its result has
            another shape or type than declared, or is not finite; it wrote into an argument; its
            rows depend on each other; it is declared commutative and is not; a fact does not hold.
    """
    if not primitive.summary and sys.flags.optimize < 2:  # python -OO drops docstrings
        raise PrimitiveError(f"primitive {primitive.name!r}: say what it computes in a docstring")
    try:
        shown = primitive.latex.format("\0", "\0", index="i")
    except (LookupError, ValueError) as error:
        raise PrimitiveError(
            f"primitive {primitive.name!r}: bad LaTeX template {primitive.latex!r}: {error}; "
            "braces that are no {0}, {1} or {index} are doubled"
        ) from None
    if "\0" not in shown:
        raise PrimitiveError(
            f"primitive {primitive.name!r}: the LaTeX template {primitive.latex!r} does not show "
            "its argument, {0}"
        )
    if primitive.form is Form.SELECTOR:
        _check_selector(primitive)
    else:
        for kind in tried(primitive.kinds):
            _check_kind(primitive, kind)
    check_facts(primitive)


def _check_selector(primitive: Primitive) -> None:
    position = torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64)
    chosen = primitive.function(("embedding", "attention", "head"), position)
    if not isinstance(chosen, Tensor) or chosen.dtype != torch.bool or chosen.shape != (3,):
        raise PrimitiveError(
            f"primitive {primitive.name!r}: a selector returns one bool a layer; got {chosen!r}"
        )


def probe(kind: type[Kind]) -> tuple[Tensor, Entries]:
    """Return a value of `kind`, shape ``(rows, …)``, and its entries."""
    dtype = torch.float64 if kind in (Layer, Network) else torch.float32
    x = torch.tensor(PROBES, dtype=dtype)
    if kind is Network:
        x = x.flatten()
    if kind in MATRIX_KINDS:
        x = torch.stack([torch.outer(row, row) for row in x])
    present = torch.ones(x.shape, dtype=torch.bool) if kind is Layer else None
    return x, Entries(torch.full((len(x),), float(x[0].numel()), dtype=torch.float64), present)


def _check_kind(primitive: Primitive, kind: type[Kind]) -> None:
    x, entries = probe(kind)
    values = (x, x.roll(1, 0))[: primitive.arity]
    before = [value.clone() for value in values]
    where = f"primitive {primitive.name!r} on {kind.__name__}"
    try:
        result = call(primitive, values, entries)
        again = call(primitive, tuple(value.clone() for value in before), entries)
    except Exception as error:
        raise PrimitiveError(f"{where}: failed with {reason_of(error)}") from None
    if any(not torch.equal(*pair) for pair in zip(values, before, strict=True)):
        raise PrimitiveError(f"{where}: writes into its argument; a primitive must be pure")
    expected = (len(x),) if primitive.form is Form.REDUCTION else tuple(x.shape)
    if not isinstance(result, Tensor) or tuple(result.shape) != expected:
        shape = tuple(result.shape) if isinstance(result, Tensor) else type(result).__name__
        raise PrimitiveError(
            f"{where}: a {primitive.form.value} returns shape {expected}; got {shape}"
        )
    if primitive.form is not Form.REDUCTION and result.dtype != x.dtype:
        raise PrimitiveError(f"{where}: keeps the type {x.dtype}; got {result.dtype}")
    if not torch.isfinite(result).all():
        raise PrimitiveError(
            f"{where}: is not closed: {result.tolist()} for finite arguments; guard it"
        )
    if not torch.equal(result, again):
        raise PrimitiveError(f"{where}: two calls with the same arguments differ")
    _check_rows(primitive, values, entries, result, where)
    if primitive.commutative and not torch.equal(result, call(primitive, values[::-1], entries)):
        raise PrimitiveError(f"{where}: is declared commutative, but f(x, y) is not f(y, x)")


def _check_rows(
    primitive: Primitive, values: tuple[Tensor, ...], entries: Entries, result: Tensor, where: str
) -> None:
    """Refuse a primitive whose result for one row changes with the other rows."""
    present = entries.present
    alone = call(
        primitive,
        tuple(value[2:3] for value in values),
        Entries(entries.size[2:3], None if present is None else present[2:3]),
    )
    if not torch.allclose(alone[0], result[2], rtol=1e-6, atol=1e-6):
        raise PrimitiveError(
            f"{where}: the result of a row depends on other rows; reduce within a row only"
        )

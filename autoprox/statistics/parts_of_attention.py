"""What may become an attention map: products of queries and keys, and what is made of them.

A tensor is marked with what it is: "products" of the entries of queries and keys, not yet summed;
"scores", their sums; "exponentials" of scores; and "maps", shares of one over the keys. Products
are those of two tensors of the same sample: `torch.matmul` and the like, `torch.einsum`, and
elementwise ones that are summed. What is as large as scores, or has more keys (sinks), is another
form of them, however they were scaled, masked, mixed over the heads or reshaped. So neither a
softmax over features, heads or experts is attention, nor one of a single query and key.

Axes say of each dimension whether it is shared by queries and keys (0), or comes from the one (1)
or the other (2) alone. What the keys are is said by what the shares are taken over.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from autoprox.statistics.hooks import plain
from autoprox.statistics.trees import listed_tensors

Axes = tuple[int, ...]


def _forms(*names: str) -> frozenset[Any]:
    """Return the functions and methods of torch of some names, as functions see each other."""
    homes = (torch, torch.linalg, torch.special, F, Tensor)
    return frozenset(getattr(home, name) for home in homes for name in names if hasattr(home, name))


SOFTMAX = _forms("softmax")
SUMS = _forms("sum", "mean", "nansum")
_MATRIX_PRODUCTS = _forms("matmul", "bmm", "__matmul__", "__rmatmul__")
_ADDED_PRODUCTS = _forms("baddbmm")
_ELEMENTWISE = _forms("mul", "multiply", "__mul__")
_SUMMED_PRODUCTS = _forms("vecdot", "cosine_similarity")
_SCALINGS = _ELEMENTWISE | _forms("mul_", "div", "div_", "divide", "true_divide", "float", "to")
_EXPONENTIALS = _forms("exp", "exp_", "exp2", "exp2_")
_WIDENING = _forms("cat", "concat", "concatenate", "pad")
_MOVES = _forms("transpose", "permute", "movedim", "moveaxis", "swapaxes", "swapdims", "t") | {
    Tensor.mT.__get__  # type: ignore[attr-defined]  # a property written in C
}
_NOT_OF_SAMPLES = _forms("linear")
BEGINNING = _MATRIX_PRODUCTS | _ADDED_PRODUCTS | _ELEMENTWISE | _SUMMED_PRODUCTS | _forms("einsum")
"""What makes products, or scores, of tensors that are none."""


class Mark(NamedTuple):
    """What a tensor is: its part in attention, and its axes; None if they are not known."""

    part: str
    axes: Axes | None


def mark_of(tensor: object) -> Mark | None:
    """Return what part of attention a tensor was found to be, if any."""
    mark: Mark | None = getattr(tensor, "_attention_mark", None)
    return mark


def marked(tensor: Tensor, part: str, axes: Axes | None) -> None:
    """Mark a tensor."""
    tensor._attention_mark = Mark(part, axes)  # type: ignore[attr-defined]  # a mark of our own


def part_of(
    func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], result: Tensor
) -> Mark | None:
    """Return the mark of what a function gave; None if it is no part of attention."""
    if func in _NOT_OF_SAMPLES:
        return None
    tensors = list(listed_tensors((*args, *kwargs.values())))
    marks = [(tensor, mark) for tensor in tensors if (mark := mark_of(tensor))]
    product = func in BEGINNING and func not in _ELEMENTWISE
    if product and any(mark.part in ("maps", "exponentials") for _, mark in marks):
        return None
    if product or (func in _ELEMENTWISE and not marks):
        axes = None if marks else _product_axes(func, args, tensors, result)
        if axes is not None:
            return Mark("products" if func in _ELEMENTWISE else "scores", axes)
    return _carried(func, args, kwargs, result, *marks[0]) if marks else None


def _carried(
    func: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    result: Tensor,
    before: Tensor,
    mark: Mark,
) -> Mark | None:
    """Return the mark of what was made of a marked tensor; None if it has none."""
    part, axes = mark
    if part == "products":
        if func in SUMS:
            return _summed(args, kwargs, result, axes)
        return mark if func in _SCALINGS and result.shape == before.shape else None
    if func in _EXPONENTIALS:
        part = "exponentials" if part == "scores" else part
    if func in _WIDENING and before.shape[:-1] == result.shape[:-1]:
        return Mark(part, axes)
    if before.numel() != result.numel():
        return None
    return Mark(part, axes and _axes_after(func, args, kwargs, before, result, axes))


def _summed(
    args: tuple[Any, ...], kwargs: dict[str, Any], result: Tensor, axes: Axes | None
) -> Mark | None:
    """Say what the sum of products is: scores, if it goes over what queries and keys share."""
    dim = dim_of(args, kwargs)
    if axes is None or not isinstance(dim, int) or axes[dim] or dim % len(axes) == 0:
        return None
    dim %= len(axes)
    kept = (0,) * (result.ndim == len(axes))
    return Mark("scores", (*axes[:dim], *kept, *axes[dim + 1 :]))


def _axes_after(
    func: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    before: Tensor,
    after: Tensor,
    axes: Axes,
) -> Axes | None:
    """Return the axes of a tensor of as many entries; None where they are not known any more."""
    if func in _MOVES:  # of a tensor in which each dimension has a size of its own
        sizes = torch.empty([2 + place for place in range(len(axes))], device="meta")
        return tuple(axes[size - 2] for size in func(sizes, *args[1:], **kwargs).shape)
    if before.shape == after.shape:
        return axes
    same = 0
    for old, new in zip(reversed(before.shape), reversed(after.shape), strict=False):
        if old != new:
            break
        same += 1
    split = len(axes) - same
    return None if any(axes[:split]) else (0,) * (after.ndim - same) + axes[split:]


def _product_axes(
    func: Callable[..., Any], args: tuple[Any, ...], tensors: list[Tensor], result: Tensor
) -> Axes | None:
    """Return the axes of a product of queries and keys of each sample; None if it is another."""
    if func is torch.einsum:
        return _einsum_axes(args[0], tensors, result) if isinstance(args[0], str) else None
    factors = tensors[1:3] if func in _ADDED_PRODUCTS else tensors[:2]
    if len(factors) != 2 or factors[0].ndim != factors[1].ndim or factors[0].ndim < 3:
        return None
    if func in _MATRIX_PRODUCTS or func in _ADDED_PRODUCTS:
        return (0,) * (result.ndim - 2) + (1, 2)
    pairs = zip(*(factor.shape for factor in factors), strict=True)
    axes = tuple(0 if first == second else 1 if second == 1 else 2 for first, second in pairs)
    if func in _SUMMED_PRODUCTS:
        axes = axes[:-1] if result.ndim == len(axes) - 1 and not axes[-1] else ()
    return axes if {1, 2} <= {*axes} and not axes[0] else None


_DOTS = "0123456789"
"""Names for the dimensions that an equation of `torch.einsum` leaves out."""


def _einsum_axes(equation: str, factors: list[Tensor], result: Tensor) -> Axes | None:
    """Return the axes of the result of an equation in which two tensors of each sample meet."""
    left, arrow, right = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != len(factors):
        return None
    dims = [
        factor.ndim - len(term.replace("...", ""))
        for term, factor in zip(terms, factors, strict=True)
    ]
    terms = [
        term.replace("...", _DOTS[len(_DOTS) - size :])
        for term, size in zip(terms, dims, strict=True)
    ]
    letters = sorted(set("".join(terms)))
    dots = "".join(letter for letter in letters if letter in _DOTS)
    if not arrow:
        once = [
            letter for letter in letters if "".join(terms).count(letter) == 1 and letter not in dots
        ]
        right = "..." + "".join(once)
    right = right.replace("...", dots)
    owners = {
        letter: [place for place, term in enumerate(terms) if letter in term] for letter in letters
    }
    alone = sorted({owners[letter][0] for letter in right if len(owners[letter]) == 1})
    met = any(letter not in right and len(owners[letter]) > 1 for letter in letters)
    if not met or not 1 <= len(alone) <= 2 or not right or len(owners[right[0]]) < 2:
        return None
    axes = tuple(
        0 if len(owners[letter]) > 1 else 1 + alone.index(owners[letter][0]) for letter in right
    )
    return axes if len(axes) == result.ndim else None


def dim_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Return the dimension that a function is given: a number, or what is none."""
    dim = kwargs.get("dim", args[1] if len(args) > 1 else None)
    return dim[0] if isinstance(dim, (tuple, list)) and len(dim) == 1 else dim


def is_over_keys(tensor: Tensor, dim: Any, axes: Axes | None) -> bool:
    """Say whether a dimension may be that of keys, and there is more than one query and key."""
    if isinstance(dim, bool) or not isinstance(dim, int) or not -tensor.ndim <= dim < tensor.ndim:
        return False
    dim %= tensor.ndim
    if axes is None:
        return dim >= tensor.ndim - 2 and tensor.shape[-2:] != (1, 1)
    return bool(axes[dim]) and any(
        size > 1 for size, axis in zip(tensor.shape, axes, strict=True) if axis
    )


def normalised_dim(tensor: Tensor, axes: Axes | None) -> int | None:
    """Return the dimension of keys over which exponentials are shares of one, if there is one."""
    shares = plain(tensor.detach())
    missing = shares.ndim - tensor.ndim  # what `torch.vmap` hides
    for dim in range(tensor.ndim - 1, 0, -1):
        if tensor.shape[dim] < 2 or not is_over_keys(tensor, dim, axes):
            continue
        ends = torch.stack(shares.float().sum(dim + missing).aminmax()).tolist()
        if all(abs(end - 1) < _ROUNDING for end in ends):
            return dim
    return None


_ROUNDING = 0.01
"""How far shares of one may be from it together."""


def arranged_maps(maps: Tensor, dim: int, axes: Axes | None) -> Tensor:
    """Return maps whose keys are in the dimension `dim` as ``(shared..., query..., key)``.

    Where their axes are not known, those of queries and keys are the last two.
    """
    if axes is None or len(axes) != maps.ndim:
        last = dim in (-1, maps.ndim - 1)
        return maps if last else maps.transpose(-1, -2)
    dim %= maps.ndim
    places = range(maps.ndim)
    shared = [place for place in places if not axes[place]]
    queries = [place for place in places if axes[place] not in (0, axes[dim])]
    keys = [place for place in places if axes[place] == axes[dim] and place != dim]
    return maps.permute(*shared, *queries, *keys, dim)

"""Inputs, targets and outputs of any network: tensors in tuples, dicts and lists, sample by sample.

Every tensor has a row a sample. A list holds one item a sample, such as images of different sizes
or the boxes of each; a tuple and a dict hold parts of the batch. What is no tensor (None, a number,
a text) is the same for every sample.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from copy import copy
from dataclasses import fields, is_dataclass, replace
from itertools import zip_longest
from typing import Any, TypeAlias

import torch
from torch import Tensor

from autoprox.errors import StatisticError

Inputs: TypeAlias = Any
"""A tensor, a tuple of positional arguments, or a dict of keyword arguments, and trees in them."""

Targets: TypeAlias = Any
"""A tensor, a tree of tensors, or None."""

CONSTANTS = (type(None), bool, int, float, str)
"""What may stand in a tree beside tensors."""


def children(tree: object) -> dict[str, Any] | None:
    """Return what a tree consists of, by where it stands; None for a leaf.

    >>> children({"ids": 1}), children((1, 2)), children("leaf")
    ({"['ids']": 1}, {'[0]': 1, '[1]': 2}, None)
    """
    if is_dataclass(tree) and not isinstance(tree, type):  # also the outputs of transformers
        return {f".{field.name}": getattr(tree, field.name) for field in fields(tree)}
    if isinstance(tree, Mapping):
        return {f"[{key!r}]": value for key, value in tree.items()}
    if isinstance(tree, (tuple, list)):
        return {f"[{place}]": value for place, value in enumerate(tree)}
    return None


def leaves(tree: object, where: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the leaves of a tree, and where each stands, as in ``"['ids'][0]"``."""
    parts = children(tree)
    if parts is None:
        yield where, tree
        return
    for place, part in parts.items():
        yield from leaves(part, where + place)


def tensors(tree: object) -> list[Tensor]:
    """Return the tensors of a tree."""
    return [leaf for _, leaf in leaves(tree) if isinstance(leaf, Tensor)]


def listed_tensors(values: Iterable[object]) -> Iterator[Tensor]:
    """Yield the tensors among values, and in lists and tuples among them: arguments of torch."""
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from listed_tensors(value)


def mapped(
    tree: Any,
    change: Callable[[Tensor], Any],
    lists: Callable[[list[Any]], list[Any]] | None = None,
) -> Any:
    """Return a tree of the same form with every tensor changed.

    Each list is given to `lists` as a whole; without it, tensors in lists are changed as others.
    """
    if isinstance(tree, Tensor):
        return change(tree)
    if is_dataclass(tree) and not isinstance(tree, type):
        names = [field.name for field in fields(tree)]
        return _with_fields(
            tree, {name: mapped(getattr(tree, name), change, lists) for name in names}
        )
    if isinstance(tree, Mapping):
        return _with_items(tree, {key: mapped(part, change, lists) for key, part in tree.items()})
    if isinstance(tree, list) and lists is not None:
        return lists(tree)
    if isinstance(tree, (tuple, list)):
        changed = [mapped(part, change, lists) for part in tree]
        return type(tree)(*changed) if hasattr(tree, "_fields") else type(tree)(changed)
    return tree


def _with_fields(tree: Any, parts: dict[str, Any]) -> Any:
    """Return a dataclass with other fields.

    It is made anew, for what it computes of its fields, or is a copy where its `__post_init__`
    changes what it is given, or refuses it.
    """
    initial = {field.name: parts[field.name] for field in fields(tree) if field.init}
    try:
        copied = replace(tree, **initial)
        anew = all(getattr(copied, name) is part for name, part in initial.items())
    except Exception:  # it is foreign code
        anew = False
    copied = copied if anew else copy(tree)
    put = object.__setattr__ if tree.__dataclass_params__.frozen else setattr
    for name, part in parts.items():
        if not anew or (name not in initial and tensors(part)):
            put(copied, name, part)
    return copied


def _with_items(tree: Mapping[Any, Any], parts: dict[Any, Any]) -> Mapping[Any, Any]:
    """Return a mapping with other values for its keys: a copy, or a dict if none can be made.

    In its attributes, and dicts that these are, the values are other ones, too.
    """
    if type(tree) is dict:
        return parts
    other = {id(tree[key]): part for key, part in parts.items()}
    with suppress(Exception):  # it is foreign code
        copied = copy(tree)
        if copied is tree:  # it cannot be changed
            return parts
        for name, held in list(getattr(tree, "__dict__", {}).items()):
            if type(held) is dict:
                held = {key: other.get(id(value), value) for key, value in held.items()}
            object.__setattr__(copied, name, other.get(id(held), held))
        if isinstance(copied, dict):
            for key, part in parts.items():
                dict.__setitem__(copied, key, part)
        if all(copied[key] is part for key, part in parts.items()):
            return copied
    return parts


def plain_tensors(tree: Any) -> Any:
    """Return a tree whose tensors carry no graph, and were not made in inference mode."""
    return mapped(tree, lambda it: it.detach().clone() if it.is_inference() else it.detach())


def equal(one: object, other: object) -> bool:
    """Say whether two trees hold the same leaves at the same places.

    >>> equal((torch.ones(2), 3), (torch.ones(2), 3)), equal(torch.ones(2), torch.zeros(2))
    (True, False)
    """
    pairs = zip_longest(leaves(one), leaves(other), fillvalue=("none", None))
    return all(
        place == there and (leaf is another or _equal_leaves(leaf, another))
        for (place, leaf), (there, another) in pairs
    )


def _equal_leaves(one: object, other: object) -> bool:
    if not isinstance(one, Tensor) or not isinstance(other, Tensor):
        return type(one) is type(other) and bool(one == other)
    alike = (one.dtype, one.device) == (other.dtype, other.device)
    return alike and torch.equal(one, other)


def rows(tree: Any, chosen: slice | Tensor) -> Any:
    """Return some samples of a tree; a tensor without dimensions is all samples'.

    They are chosen by a slice, by bool ``(batch,)``, true for those wanted, or by numbers, int64.

    >>> rows(((torch.arange(3),), [5, 6, 7], "text"), slice(0, 2))
    ((tensor([0, 1]),), [5, 6], 'text')
    """
    if isinstance(chosen, slice):
        return mapped(tree, lambda it: it[chosen] if it.ndim else it, lambda it: it[chosen])
    kept = chosen.nonzero()[:, 0].tolist() if chosen.dtype == torch.bool else chosen.tolist()
    return mapped(
        tree,
        lambda tensor: tensor[chosen.to(tensor.device)] if tensor.ndim else tensor,
        lambda items: [items[place] for place in kept],
    )


def one_sample(output: object, samples: int, at: int = 0) -> tuple[Tensor, ...]:
    """Return sample `at` of the floating-point tensors that a network returned, as copies.

    A list holds an item a sample, unless its length is not that of the `samples` that the network
    ran on, or it holds tensors of the batch. Of a tensor of another length the first row is taken,
    whatever the sample.
    """

    def of_list(items: list[Any]) -> list[Any]:
        parts = all(isinstance(item, Tensor) and item.shape[:1] == (samples,) for item in items)
        if len(items) == samples and not parts:
            return items[at : at + 1]
        return [mapped(item, of_tensor, of_list) for item in items]

    def of_tensor(tensor: Tensor) -> Tensor | None:
        row = at if tensor.shape[:1] == (samples,) else 0
        return tensor[row : row + 1] if tensor.ndim else None

    sampled = tensors(mapped(output, of_tensor, of_list))
    return tuple(tensor.detach().clone() for tensor in sampled if tensor.is_floating_point())


def arguments(inputs: Inputs) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the positional and the keyword arguments that a network is called with."""
    if isinstance(inputs, Mapping):
        return (), dict(inputs)
    return (inputs if isinstance(inputs, tuple) else (inputs,)), {}


def batch_of(inputs: Inputs) -> int:
    """Return the number of samples.

    Raises:
        StatisticError: the tensors do not share their first dimension, or there is none.
    """
    if isinstance(inputs, Tensor) and inputs.ndim:
        return len(inputs)
    sizes = dict(_sizes(inputs, "inputs"))
    if not sizes:
        raise StatisticError("expected a tensor in the inputs; got none")
    first, batch = next(iter(sizes.items()))
    for name, size in sizes.items():
        if size != batch:
            raise StatisticError(
                f"expected every tensor of the inputs to have one row for each sample; got {batch} "
                f"in {first} and {size} in {name}: repeat what all samples share, or let the "
                "network hold it"
            )
    return batch


def check_rows(targets: Targets, batch: int) -> None:
    """Raise `StatisticError` unless every tensor of the targets has a row for each sample."""
    for name, size in _sizes(targets, "targets"):
        if size != batch:
            raise StatisticError(
                f"expected one row of targets for each of the {batch} inputs; got {size} in {name}"
                ": a tuple or a dict holds parts of the batch, a list one item a sample"
            )


def _sizes(tree: Any, where: str) -> Iterator[tuple[str, int]]:
    """Yield how many samples each tensor and list holds, by where it stands."""
    if isinstance(tree, Tensor):
        if tree.ndim == 0:
            raise StatisticError(
                f"{where} is a tensor without dimensions, which has no row for each sample; give "
                "a number if all samples share it"
            )
        yield where, len(tree)
    elif isinstance(tree, list):
        inner = {item.shape[:1] if isinstance(item, Tensor) else None for item in tree}
        if inner == {(len(tree),)} and len(tree) > 1:
            raise StatisticError(
                f"{where} is a list of {len(tree)} whose tensors have {len(tree)} rows: it can be "
                "read as samples and as parts of the batch; give a tuple for parts, or another "
                "number of samples"
            )
        yield where, len(tree)
    else:
        for place, part in (children(tree) or {}).items():
            yield from _sizes(part, where + place)


def holds_lists(tree: object) -> bool:
    """Say whether there is a list, with one item a sample, in a tree."""
    parts = (children(tree) or {}).values()
    return isinstance(tree, list) or any(map(holds_lists, parts))


def misfit(tree: object) -> str | None:
    """Return what may not stand in a tree of tensors, by its type; None if all of it may."""
    for _, leaf in leaves(tree):
        if not isinstance(leaf, (Tensor, *CONSTANTS)):
            return type(leaf).__name__
        if isinstance(leaf, Tensor) and (leaf.layout != torch.strided or leaf.is_nested):
            return "nested tensor" if leaf.is_nested else "sparse tensor"
    return None if tensors(tree) else type(tree).__name__


def told(tree: object) -> str:
    """Say the shapes and types of a tree's tensors.

    >>> told(torch.ones(2, 3))
    'shape (2, 3), torch.float32'
    >>> told((torch.ones(2, 3), {"ids": torch.arange(2)}))
    "shapes [0] (2, 3), torch.float32, and [1]['ids'] (2,), torch.int64"
    """
    if isinstance(tree, Tensor):
        return f"shape {tuple(tree.shape)}, {tree.dtype}"
    shown = [
        f"{where} {tuple(leaf.shape)}, {leaf.dtype}"
        for where, leaf in leaves(tree)
        if isinstance(leaf, Tensor)
    ]
    return f"shapes {', and '.join(shown[:4])}{' and others' if len(shown) > 4 else ''}"


def numbers(tensor: Tensor) -> bool:
    """Say whether the entries can be changed a little, as those of integers cannot."""
    return tensor.is_floating_point() or tensor.is_complex()


def check_floating(inputs: Inputs, names: str, why: str) -> None:
    """Raise `StatisticError` if a tensor of the inputs holds integers, such as token ids.

    The message says that `names` cannot be measured then, and `why`.
    """
    for where, leaf in leaves(inputs, "inputs"):
        if isinstance(leaf, Tensor) and not numbers(leaf) and leaf.dtype != torch.bool:
            raise StatisticError(
                f"{names} needs floating-point inputs, {why}; got {leaf.dtype} for {where}; leave "
                "it out for this network"
            )

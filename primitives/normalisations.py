"""Normalisations: numbers, seen against the others beside them.

Each entry against the others of its layer; each layer against the others of its network.
"""

from __future__ import annotations

import torch
from torch import Tensor

from autoprox.primitives.entries import Entries
from autoprox.primitives.primitive import primitive


def _over_spread(x: Tensor, scale: Tensor, entries: Entries) -> Tensor:
    """Divide by a number a row; 0 where that number is 0."""
    return x / entries.spread(torch.where(scale > 0, scale, torch.inf), x)


@primitive(
    "normalisation",
    latex=r"\operatorname{{zscore}}\left({0}\right)",
    guard="0 where all entries are equal",
)
def standardise(x: Tensor, entries: Entries) -> Tensor:
    """Minus the mean, over the standard deviation, of the entries.

    >>> standardise(torch.tensor([[1.0, 3.0]]), Entries(torch.tensor([2.0])))
    tensor([[-1.,  1.]])
    """
    centred = x - entries.spread(entries.mean(x), x)
    return _over_spread(centred, entries.mean(centred * centred).sqrt(), entries)


@primitive(
    "normalisation",
    latex=r"\operatorname{{minmax}}\left({0}\right)",
    guard="0 where all entries are equal",
)
def min_max(x: Tensor, entries: Entries) -> Tensor:
    """The entries, moved and scaled to run from 0 to 1.

    >>> min_max(torch.tensor([[1.0, 3.0, 2.0]]), Entries(torch.tensor([3.0])))
    tensor([[0.0000, 1.0000, 0.5000]])
    """
    low = entries.min(x)
    return _over_spread(x - entries.spread(low, x), entries.max(x) - low, entries)


@primitive("normalisation", latex=r"\operatorname{{softmax}}\left({0}\right)")
def softmax(x: Tensor, entries: Entries) -> Tensor:
    """Exponential of the entries, over the sum of these over all true entries.

    >>> softmax(torch.tensor([[1.0, 1.0]]), Entries(torch.tensor([2.0])))
    tensor([[0.5000, 0.5000]])
    """
    powers = (x - entries.spread(entries.max(x), x)).clamp_max(0.0).exp()
    return powers / entries.spread(entries.sum(powers), x)


@primitive("normalisation", latex=r"\log\operatorname{{softmax}}\left({0}\right)")
def log_softmax(x: Tensor, entries: Entries) -> Tensor:
    """Logarithm of the softmax over all true entries.

    >>> log_softmax(torch.tensor([[1.0, 1.0]]), Entries(torch.tensor([2.0])))
    tensor([[-0.6931, -0.6931]])
    """
    shifted = x - entries.spread(entries.max(x), x)
    return shifted - entries.spread(entries.sum(shifted.clamp_max(0.0).exp()).log(), x)


@primitive(
    "normalisation",
    latex=r"\frac{{{0}}}{{\left\|{0}\right\|_1}}",
    guard="0 where all entries are 0",
)
def share(x: Tensor, entries: Entries) -> Tensor:
    """Each entry over the sum of the absolute values of all true entries.

    >>> share(torch.tensor([[1.0, -3.0]]), Entries(torch.tensor([2.0])))
    tensor([[ 0.2500, -0.7500]])
    """
    return _over_spread(x, entries.sum(x.abs()), entries)

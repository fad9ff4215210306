"""Normalisations: numbers, seen against the others beside them.

Each entry against the others of its layer; each layer against the others of its network. Entries
that differ by rounding alone are equal.
"""

from __future__ import annotations

import torch
from torch import Tensor

from autoprox.primitives.elementwise import log, relu, sqrt
from autoprox.primitives.entries import Entries, significant
from autoprox.primitives.facts import Facts
from autoprox.primitives.kinds import Layer
from autoprox.primitives.registering import primitive


def _divisor(scale: Tensor) -> Tensor:
    """Return `scale` to divide by: where it is 0, the quotient is 0."""
    return torch.where(scale == 0, torch.inf, scale)


@primitive(
    "normalisation",
    latex=r"\operatorname{{zscore}}\left({0}\right)",
    guard="0 where all entries are equal",
    formula=r"\frac{x_i - \overline{x}}{\operatorname{std}_{j} x_j}",
)
def standardise(x: Tensor, entries: Entries) -> Tensor:
    """Minus the mean, over the standard deviation, of the entries.

    >>> standardise(torch.tensor([[1.0, 1.0, 3.0, 3.0]]), Entries(torch.tensor([4.0])))
    tensor([[-1., -1.,  1.,  1.]])
    """
    centre = entries.mean(x)
    centred = x - entries.spread(centre, x)
    deviation = significant(entries.root_mean_square(centred), centre.abs())
    return centred.div_(entries.spread(_divisor(deviation), x))


@primitive(
    "normalisation",
    latex=r"\operatorname{{minmax}}\left({0}\right)",
    guard="0 where all entries are equal",
    formula=r"\frac{x_i - \min_{j} x_j}{\max_{j} x_j - \min_{j} x_j}",
    facts=Facts(nonnegative=True),
)
def min_max(x: Tensor, entries: Entries) -> Tensor:
    """The entries, moved and scaled to run from 0 to 1.

    >>> min_max(torch.tensor([[1.0, 3.0, 2.0]]), Entries(torch.tensor([3.0])))
    tensor([[0.0000, 1.0000, 0.5000]])
    """
    low, high = entries.min(x), entries.max(x)
    extent = significant(high - low, high.abs())
    return (x - entries.spread(low, x)).div_(entries.spread(_divisor(extent), x))


@primitive(
    "normalisation",
    latex=r"\operatorname{{softmax}}\left({0}\right)",
    formula=r"\frac{e^{x_i}}{\sum_{j} e^{x_j}}",
    facts=Facts(nonnegative=True),
)
def softmax(x: Tensor, entries: Entries) -> Tensor:
    """Exponential of the entries, over the sum of these over all true entries.

    >>> softmax(torch.tensor([[1.0, 1.0]]), Entries(torch.tensor([2.0])))
    tensor([[0.5000, 0.5000]])
    """
    powers = (x - entries.spread(entries.max(x), x)).clamp_max_(0.0).exp_()
    return powers.div_(entries.spread(entries.sum(powers), x))


@primitive(
    "normalisation",
    latex=r"\log\operatorname{{softmax}}\left({0}\right)",
    formula=r"x_i - \log \sum_{j} e^{x_j}",
    facts=Facts(constant_under=(log, relu, sqrt)),
)
def log_softmax(x: Tensor, entries: Entries) -> Tensor:
    """Logarithm of the softmax over all true entries.

    >>> log_softmax(torch.tensor([[1.0, 1.0]]), Entries(torch.tensor([2.0])))
    tensor([[-0.6931, -0.6931]])
    """
    shifted = x - entries.spread(entries.max(x), x)
    total = entries.sum(shifted.clamp_max(0.0).exp_())
    return shifted.sub_(entries.spread(total.log(), x))


@primitive(
    "normalisation",
    latex=r"\frac{{{0}}}{{\left\|{0}\right\|_1}}",
    guard="0 where all entries are 0",
    formula=r"\frac{x_i}{\sum_{j} \left|x_j\right|}",
)
def share(x: Tensor, entries: Entries) -> Tensor:
    """Each entry over the sum of the absolute values of all true entries.

    >>> share(torch.tensor([[1.0, -3.0]]), Entries(torch.tensor([2.0])))
    tensor([[ 0.2500, -0.7500]])
    """
    total = entries.sum(x.abs())
    return x / entries.spread(_divisor(total), x)


@primitive(
    "normalisation",
    latex=r"\operatorname{{wave}}\left({0}\right)",
    formula=r"\frac{\sin\left(i / 10\right) + 1}{2} x_i, \quad i = 0, 1, \ldots",
    kinds=(Layer,),
    evolved=False,  # known from one paper; evolution has selectors of early and late layers
)
def wave(x: Tensor, entries: Entries) -> Tensor:
    """Each layer's number weighed by a sine of its place, as ParZC without training weighs it.

    Layers are counted from 0 in their order; a weight is from 0 to 1.

    >>> wave(torch.tensor([[2.0, 2.0]]), Entries(torch.tensor([2.0])))
    tensor([[1.0000, 1.0998]])
    """
    there = torch.ones_like(x) if entries.present is None else entries.present.to(x.dtype)
    places = there.cumsum(-1) - 1
    return x * (torch.sin(places / 10) + 1) / 2

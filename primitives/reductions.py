"""Reductions: a layer's entries to the layer's number, a network's layers to the network's number.

On a sample of a tensor, sums and norms are scaled to the true number of entries; `max` and `min`
are those of the sample. Results smaller than rounding errors are 0, so that rounding is not ranked.
"""

from __future__ import annotations

import torch
from torch import Tensor

from autoprox.primitives.elementwise import smallest, square
from autoprox.primitives.entries import RESOLUTION, Entries, significant
from autoprox.primitives.facts import Facts
from autoprox.primitives.normalisations import min_max, softmax, standardise
from autoprox.primitives.registering import primitive


def _mean(x: Tensor, entries: Entries) -> Tensor:
    mean = entries.mean(x)
    if entries.present is None:
        # The root of the mean square is never less than the mean absolute value, and cheaper.
        most = entries.root_mean_square(x)
        if (mean.abs() >= 2 * RESOLUTION * most).all():
            return mean
    return significant(mean, entries.mean(x.abs()))


@primitive(
    "reduction",
    latex=r"\sum_{{{index}}} {0}",
    facts=Facts(sums="entries", constant_of=(standardise, softmax)),
)
def sum(x: Tensor, entries: Entries) -> Tensor:
    """Sum of the entries.

    >>> sum(torch.tensor([[1.0, 3.0]]), Entries(torch.tensor([200.0])))
    tensor([400.])
    """
    return _mean(x, entries) * entries.size


@primitive(
    "reduction",
    latex=r"\operatorname{{mean}}_{{{index}}} {0}",
    formula=r"\frac{1}{n} \sum_{i} x_i",
    facts=Facts(sums="entries", constant_of=(standardise,)),
)
def mean(x: Tensor, entries: Entries) -> Tensor:
    """Mean of the entries.

    >>> mean(torch.tensor([[1.0, 3.0]]), Entries(torch.tensor([200.0])))
    tensor([2.])
    """
    return _mean(x, entries)


@primitive(
    "reduction",
    latex=r"\operatorname{{std}}_{{{index}}} {0}",
    formula=r"\sqrt{\frac{1}{n} \sum_{i} \left(x_i - \overline{x}\right)^2}",
    facts=Facts(even="row", constant_of=(standardise,)),
)
def std(x: Tensor, entries: Entries) -> Tensor:
    """Standard deviation of the entries (that of the population).

    >>> std(torch.tensor([[1.0, 1.0, 3.0, 3.0]]), Entries(torch.tensor([4.0])))
    tensor([1.])
    """
    centre = entries.mean(x)
    deviation = entries.root_mean_square(x - entries.spread(centre, x))
    return significant(deviation, centre.abs())


@primitive(
    "reduction",
    latex=r"\left\|{0}\right\|_{{2,{index}}}",
    formula=r"\sqrt{\sum_{i} x_i^2}",
    facts=Facts(even="entry", sums=square),
)
def norm(x: Tensor, entries: Entries) -> Tensor:
    """Square root of the sum of the squares (Frobenius norm).

    >>> norm(torch.tensor([[3.0, 4.0]]), Entries(torch.tensor([2.0])))
    tensor([5.])
    """
    root = entries.root_mean_square(x)
    return (entries.size * root * root).sqrt()


@primitive("reduction", latex=r"\max_{{{index}}} {0}", facts=Facts(constant_of=(min_max,)))
def max(x: Tensor, entries: Entries) -> Tensor:
    """Largest entry.

    >>> max(torch.tensor([[3.0, 4.0]]), Entries(torch.tensor([2.0])))
    tensor([4.])
    """
    return entries.max(x)


@primitive("reduction", latex=r"\min_{{{index}}} {0}", facts=Facts(constant_of=(min_max,)))
def min(x: Tensor, entries: Entries) -> Tensor:
    """Smallest entry.

    >>> min(torch.tensor([[3.0, 4.0]]), Entries(torch.tensor([2.0])))
    tensor([3.])
    """
    return entries.min(x)


@primitive("reduction", latex=r"\#_{{{index}}} {0}", formula=r"n", facts=Facts(counts=True))
def count(x: Tensor, entries: Entries) -> Tensor:
    """Number of entries, whatever they are.

    >>> count(torch.tensor([[3.0, 4.0]]), Entries(torch.tensor([200.0])))
    tensor([200.])
    """
    return entries.size.clone()


@primitive(
    "reduction",
    latex=r"\operatorname{{H}}_{{{index}}}\left({0}\right)",
    guard="0 where all entries are 0",
    formula=r"-\sum_{i} p_i \log p_i, "
    r"\quad p_i = \frac{\left|x_i\right|}{\sum_{j} \left|x_j\right|}",
    facts=Facts(even="entry"),
)
def entropy(x: Tensor, entries: Entries) -> Tensor:
    """Entropy, in nats, of the absolute values taken as shares of their sum.

    >>> entropy(torch.tensor([[1.0, 1.0]]), Entries(torch.tensor([2.0])))
    tensor([0.6931])
    """
    magnitude = x.abs()
    total = entries.sum(magnitude)
    surprise = entries.sum(magnitude.clamp_min(smallest(x)).log_().mul_(magnitude))
    there = torch.where(total > 0, total, 1.0)
    log_total = there.log()
    return significant(log_total - surprise / there, log_total.abs())

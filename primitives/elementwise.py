"""Elementwise primitives: one number in (or two), one number out, on every kind.

Where the function of mathematics is undefined or overflows, a guard keeps the language closed; each
guard is stated. `EXP_LIMIT` keeps `exp` within float32.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import threshold

from autoprox.primitives.entries import significant
from autoprox.primitives.facts import Facts
from autoprox.primitives.registering import primitive

EXP_LIMIT = 60.0
STEPS_PER_OCTAVE = 10


def smallest(x: Tensor) -> float:
    """Smallest normal number of a tensor's type.

    Guards are written with it, and with `threshold` and `nan_to_num`, because torch vectorises
    these, while `where` and the square root of 0 cost twenty times as much. What a function has
    made itself it may overwrite: that halves the memory that passes through the cache.
    """
    return torch.finfo(x.dtype).tiny


@primitive(
    "elementwise",
    latex=r"\left|{0}\right|",
    facts=Facts(even="entry", nonnegative=True, fixes_nonnegative=True),
)
def absolute(x: Tensor) -> Tensor:
    """Absolute value.

    >>> absolute(torch.tensor([-2.0, 3.0]))
    tensor([2., 3.])
    """
    return x.abs()


@primitive("elementwise", latex=r"-{0}", facts=Facts(negates=True))
def negative(x: Tensor) -> Tensor:
    """Change of sign.

    >>> negative(torch.tensor([-2.0, 3.0]))
    tensor([ 2., -3.])
    """
    return -x


@primitive("elementwise", latex=r"\left({0}\right)^2", facts=Facts(even="entry", nonnegative=True))
def square(x: Tensor) -> Tensor:
    """Second power.

    >>> square(torch.tensor([-2.0, 3.0]))
    tensor([4., 9.])
    """
    return x * x


@primitive(
    "elementwise",
    latex=r"\sqrt{{{0}}}",
    guard="0 for negative numbers",
    facts=Facts(nonnegative=True, rising=True),
)
def sqrt(x: Tensor) -> Tensor:
    """Square root.

    >>> sqrt(torch.tensor([-2.0, 9.0]))
    tensor([0., 3.])
    """
    least = smallest(x)
    return x.clamp_min(least).sqrt_().sub_(least**0.5)


@primitive(
    "elementwise", latex=r"\log\left({0}\right)", guard="0 for numbers that are not positive"
)
def log(x: Tensor) -> Tensor:
    """Natural logarithm.

    >>> log(torch.tensor([1.0, 7.389056]))
    tensor([0., 2.])
    """
    return threshold(x, 0.0, 1.0).clamp_min_(smallest(x)).log_()


@primitive("elementwise", latex=r"\log\left|{0}\right|", guard="0 at 0", facts=Facts(even="entry"))
def log_absolute(x: Tensor) -> Tensor:
    """Natural logarithm of the absolute value.

    >>> log_absolute(torch.tensor([1.0, -7.389056]))
    tensor([0., 2.])
    """
    return threshold(x.abs(), 0.0, 1.0, inplace=True).clamp_min_(smallest(x)).log_()


@primitive(
    "elementwise",
    latex=r"e^{{{0}}}",
    guard="arguments are cut at 60",
    facts=Facts(nonnegative=True, rising=True, flattening=True),
)
def exp(x: Tensor) -> Tensor:
    """Exponential function.

    >>> exp(torch.tensor([0.0]))
    tensor([1.])
    """
    return x.clamp_max(EXP_LIMIT).exp_()


@primitive(
    "elementwise", latex=r"\frac{{1}}{{{0}}}", guard="0 at 0, and where the result overflows"
)
def reciprocal(x: Tensor) -> Tensor:
    """One over the number.

    >>> reciprocal(torch.tensor([0.0, 4.0]))
    tensor([0.0000, 0.2500])
    """
    return x.reciprocal().nan_to_num_(nan=torch.nan, posinf=0.0, neginf=0.0)


@primitive(
    "elementwise",
    latex=r"\operatorname{{relu}}\left({0}\right)",
    formula=r"\max\left(x, 0\right)",
    facts=Facts(nonnegative=True, fixes_nonnegative=True, rising=True, flattening=True),
)
def relu(x: Tensor) -> Tensor:
    """The number if it is positive, else 0.

    >>> relu(torch.tensor([-2.0, 3.0]))
    tensor([0., 3.])
    """
    return x.clamp_min(0.0)


@primitive(
    "elementwise",
    latex=r"\sigma\left({0}\right)",
    formula=r"\frac{1}{1 + e^{-x}}",
    facts=Facts(nonnegative=True, rising=True, flattening=True),
)
def sigmoid(x: Tensor) -> Tensor:
    """Logistic function.

    >>> sigmoid(torch.tensor([0.0]))
    tensor([0.5000])
    """
    return x.sigmoid()


@primitive("elementwise", latex=r"\tanh\left({0}\right)", facts=Facts(rising=True, flattening=True))
def tanh(x: Tensor) -> Tensor:
    """Hyperbolic tangent.

    >>> tanh(torch.tensor([0.0]))
    tensor([0.])
    """
    return x.tanh()


@primitive(
    "elementwise",
    latex=r"\operatorname{{sign}}\left({0}\right)",
    facts=Facts(rising=True, flattening=True, constant_under=(log, log_absolute)),
)
def sign(x: Tensor) -> Tensor:
    """-1, 0 or 1.

    >>> sign(torch.tensor([-2.0, 0.0, 3.0]))
    tensor([-1.,  0.,  1.])
    """
    return x.sign().add_(x, alpha=0)  # 0 times what is not finite is not a number


@primitive(
    "elementwise",
    latex=r"\left\lfloor {0}\right\rceil_{{7\%}}",
    guard="0 at 0",
    formula=r"\operatorname{sign}\left(x\right) \cdot 2^{k / 10}, "
    r"\quad k = \operatorname{round}\left(10 \log_2 \left|x\right|\right)",
    facts=Facts(rising=True),
    evolved=False,  # all that it can do for a score is to tie, and ties earn nothing
)
def coarsen(x: Tensor) -> Tensor:
    """Nearest power of the tenth root of two: what differs by a few percent is equal.

    >>> coarsen(torch.tensor([0.98, 1.02, -2.0, 0.0]))
    tensor([ 1.,  1., -2.,  0.])
    """
    octaves = x.abs().clamp_min_(smallest(x)).log2_()
    steps = octaves.mul_(STEPS_PER_OCTAVE).round_().div_(STEPS_PER_OCTAVE)
    return steps.exp2_().mul_(x.sign())


def _settled(result: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Return a sum of two numbers, 0 where they cancel to within rounding.

    Not for entries of tensors, which are too many, and whose rounding is averaged out.
    """
    if result.dtype is torch.float32:
        return result
    return significant(result, x.abs() + y.abs())


@primitive("elementwise", latex=r"\left({0} + {1}\right)", commutative=True)
def add(x: Tensor, y: Tensor) -> Tensor:
    """Sum of two numbers.

    >>> add(torch.tensor([1.0]), torch.tensor([2.0]))
    tensor([3.])
    """
    return _settled(x + y, x, y)


@primitive(
    "elementwise",
    latex=r"\left({0} - {1}\right)",
    facts=Facts(anticommutative=True, diagonal="constant"),
)
def subtract(x: Tensor, y: Tensor) -> Tensor:
    """Difference of two numbers.

    >>> subtract(torch.tensor([1.0]), torch.tensor([2.0]))
    tensor([-1.])
    """
    return _settled(x - y, x, y)


@primitive("elementwise", latex=r"{0} \cdot {1}", commutative=True, facts=Facts(diagonal=square))
def multiply(x: Tensor, y: Tensor) -> Tensor:
    """Product of two numbers.

    >>> multiply(torch.tensor([3.0]), torch.tensor([2.0]))
    tensor([6.])
    """
    return x * y


@primitive(
    "elementwise",
    latex=r"\frac{{{0}}}{{{1}}}",
    guard="0 where the divisor is 0, or its reciprocal overflows",
    facts=Facts(diagonal="constant"),
)
def divide(x: Tensor, y: Tensor) -> Tensor:
    """Quotient of two numbers.

    >>> divide(torch.tensor([3.0, 1.0]), torch.tensor([2.0, 0.0]))
    tensor([1.5000, 0.0000])
    """
    return x * reciprocal(y)

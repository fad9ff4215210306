"""Limits on what a network may cost, and the configurations of bits that keep within one."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from autoprox.errors import QuantisationError
from autoprox.quantise.layers import END_BITS, Bits, Costs, bits_per_layer
from autoprox.quantise.weights import checked_bits
from autoprox.runtime.quantities import COUNTS, read_quantity

Places = NDArray[np.int64]
"""Configurations, ``(configurations, inner layers)``: the place of each layer's bits among the
widths. The inner layers are those between the first and the last."""


def average_bits(costs: Costs, bits: Bits) -> Fraction:
    """The mean bits of the weights between the first and the last layer."""
    pairs = list(zip(costs.layers, bits_per_layer(costs.layers, bits), strict=True))[1:-1]
    weights = sum(layer.weights for layer, _ in pairs)
    return Fraction(sum(layer.weights * width for layer, width in pairs), weights)


@dataclass(frozen=True, slots=True)
class Measure:
    """What can be limited.

    Attributes:
        cost: what a network costs at its bits.
        unit: that of the cost, in words.
        suffixes: what the number in a text is multiplied by; in lower case.
    """

    cost: Callable[[Costs, Bits], Fraction | int]
    unit: str
    suffixes: Mapping[str, int]


MEASURES: Mapping[str, Measure] = {
    "size": Measure(
        Costs.size_bytes, "bytes", {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9}
    ),
    "bops": Measure(Costs.bops, "bit operations", COUNTS),
    "average_bits": Measure(average_bits, "bits a weight", {"": 1}),
}
"""The limits by name. Sizes and operations are those of `Costs`, a kilobyte is 1000 bytes; average
bits are those of the weights between the first and the last layer."""


@dataclass(frozen=True, slots=True)
class Limit:
    """The most that a network may cost.

    Attributes:
        name: one of `MEASURES`.
        most: in the measure's unit.
    """

    name: str
    most: Fraction

    @property
    def text(self) -> str:
        """The limit for a reader.

        >>> Limit("size", Fraction(80000)).text
        '80000 bytes'
        """
        return f"{float(self.most):.12g} {MEASURES[self.name].unit}"

    def cost(self, costs: Costs, bits: Bits) -> Fraction | int:
        """What a network costs at its bits, in the measure's unit."""
        return MEASURES[self.name].cost(costs, bits)


def limit_of(limits: Mapping[str, float | str | None]) -> Limit:
    """The one limit that is given.

    >>> limit_of({"size": "80KB", "bops": None})
    Limit(name='size', most=Fraction(80000, 1))

    Raises:
        QuantisationError: there is none, there are several, or it is no positive quantity.
    """
    given_limits = {name: value for name, value in limits.items() if value is not None}
    if len(given_limits) != 1:
        raise QuantisationError(
            f"expected one limit, {', '.join(limits)}; got {', '.join(given_limits) or 'none'}"
        )
    ((name, value),) = given_limits.items()
    return Limit(name, _quantity(name, value))


def _quantity(name: str, value: float | str) -> Fraction:
    """Read a number, or a text of a number and a suffix."""
    suffixes = MEASURES[name].suffixes
    try:
        return read_quantity(value, suffixes)
    except ValueError:
        endings = ", ".join(suffix.upper() for suffix in suffixes if suffix)
        raise QuantisationError(
            f"{name} is a positive number{f', alone or with {endings}' if endings else ''}; "
            f"got {value!r}"
        ) from None


@dataclass(frozen=True, slots=True, eq=False)
class BitSpace:
    """The configurations of a network that keep within a limit; first and last layer have 8 bits.

    Attributes:
        costs: of the network.
        widths: the bits to choose from, the fewest first.
        prices: the cost of each inner layer at each width above that at the smallest, in equal
            whole parts of the measure's unit, int64 ``(inner layers, widths)``.
        most: what the prices may add up to.
    """

    costs: Costs
    widths: tuple[int, ...]
    prices: NDArray[np.int64]
    most: int

    def fits(self, places: Places) -> NDArray[np.bool_]:
        """Which configurations keep within the limit, ``(configurations,)``."""
        total: NDArray[np.int64] = self.prices[np.arange(len(self.prices)), places].sum(1)
        return total <= self.most

    def uniform(self) -> Places:
        """The configurations with one width that fit, the fewest bits first."""
        places = np.arange(len(self.widths))[:, None].repeat(len(self.prices), 1)
        return places[self.fits(places)]

    def bits(self, places: Places) -> NDArray[np.int64]:
        """The bits of all layers, ``(configurations, layers)``."""
        return np.pad(np.array(self.widths)[places], ((0, 0), (1, 1)), constant_values=END_BITS)

    def repaired(self, places: Places, generator: np.random.Generator) -> Places:
        """Make configurations fit: lower one random layer by a width until they do."""
        places = places.copy()
        while not (fit := self.fits(places)).all():
            rows = np.flatnonzero(~fit)
            drawn = np.where(places[rows] > 0, generator.random(places[rows].shape), -1.0)
            places[rows, drawn.argmax(1)] -= 1
        return places


def space_of(costs: Costs, widths: Sequence[int], limit: Limit) -> BitSpace:
    """The configurations of a network that keep within a limit.

    Raises:
        QuantisationError: widths are no integers from 1 to 16 or fewer than two, the network has no
            layer between the first and the last, or no configuration fits.
    """
    chosen = tuple(sorted({checked_bits(width) for width in widths}))
    if len(chosen) < 2:
        raise QuantisationError(f"expected two widths or more to choose from; got {list(chosen)}")
    if len(costs.layers) < 3:
        raise QuantisationError(
            f"the network has {len(costs.layers)} layers to quantise; the first and the last have "
            f"{END_BITS} bits, so there is nothing to choose"
        )
    inner = range(1, len(costs.layers) - 1)
    fewest = [END_BITS, *[chosen[0] for _ in inner], END_BITS]
    least = limit.cost(costs, fewest)
    if least > limit.most:
        raise QuantisationError(
            f"nothing fits in {limit.text}: the smallest possible is {float(least):.12g}, with "
            f"{chosen[0]} bits in every layer but the first and the last, which have {END_BITS}"
        )

    def price(layer: int, width: int) -> Fraction:
        bits = [
            width if place == layer else width_there for place, width_there in enumerate(fewest)
        ]
        return Fraction(limit.cost(costs, bits) - least)

    exact = [[price(layer, width) for width in chosen] for layer in inner]
    parts = math.lcm(*(price.denominator for row in exact for price in row))
    prices = np.array([[int(price * parts) for price in row] for row in exact], np.int64)
    most = min(math.floor((limit.most - least) * parts), int(prices.max(1).sum()))
    return BitSpace(costs, chosen, prices, most)

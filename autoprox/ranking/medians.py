"""The median of a figure over repetitions, with an interval that assumes no distribution."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

COVERAGE = 0.95
"""How often an interval over runs should hold the median of all such runs, if that is possible."""


@dataclass(frozen=True)
class Median:
    """The median of a figure over runs.

    Attributes:
        middle: the median.
        low, high: an interval for the median of all such runs: two of the figures themselves, the
            nearest with which it has the coverage; the least and the greatest if none have.
        coverage: how often such an interval holds it, whatever the distribution of the figure:
            1 - 2 P(B < k) with B binomial (runs, 1/2) and the figures in the places k and, from
            above, k.
        runs: how many there are.
    """

    middle: float
    low: float
    high: float
    coverage: float
    runs: int


def median(values: Sequence[float]) -> Median:
    """Return the median of a figure over runs, with its interval.

    >>> median([0.5, 0.7, 0.6, 0.8, 0.4])
    Median(middle=0.6, low=0.4, high=0.8, coverage=0.9375, runs=5)
    """
    ordered, count = sorted(values), len(values)

    def missed(place: int) -> float:
        return sum(math.comb(count, below) for below in range(place + 1)) / 2.0 ** (count - 1)

    place = 0
    while 2 * (place + 1) < count and missed(place + 1) <= 1 - COVERAGE:
        place += 1
    ends = ordered[place], ordered[count - 1 - place]
    return Median(statistics.median(ordered), *ends, max(0.0, 1 - missed(place)), count)

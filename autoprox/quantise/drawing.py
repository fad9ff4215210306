"""Configurations that are drawn at random: bits for every layer but the first and the last."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from autoprox.errors import QuantisationError
from autoprox.quantise.layers import END_BITS


def drawn(layers: int, widths: Sequence[int], rows: int, seed: int) -> list[tuple[int, ...]]:
    """Distinct configurations of a network; the first and the last layer have 8 bits.

    Bits that are drawn layer by layer from one distribution all have nearly the same average. So
    each configuration first draws its expected average, uniform between the smallest and the
    largest width, and then every layer's bits from the distribution of that average that has the
    largest entropy, ``p(b) ~ exp(tilt b)``. More rows of the same seed begin with the fewer.

    Args:
        layers: how many the network has, at least 3.
        widths: the bits to choose from, at least two.
        rows: how many configurations.
        seed: a non-negative integer.

    Raises:
        QuantisationError: more than half of all configurations there are were asked for.
    """
    inner = max(0, layers - 2)
    if 2 * rows > len(widths) ** inner:
        raise QuantisationError(
            f"{inner} layers between the first and the last have {len(widths) ** inner} "
            f"configurations of {len(widths)} widths, of which at most half are drawn; "
            f"asked for {rows}"
        )
    generator = np.random.default_rng(seed)
    chosen: dict[tuple[int, ...], None] = {}
    while len(chosen) < rows:
        average = generator.uniform(min(widths), max(widths))
        bits = generator.choice(widths, size=inner, p=_tilted(widths, average))
        chosen.setdefault((END_BITS, *bits.tolist(), END_BITS))
    return list(chosen)


def _tilted(widths: Sequence[int], average: float) -> NDArray[np.float64]:
    """The distribution over `widths` of largest entropy with that average, by bisection."""
    offsets = np.asarray(widths, dtype=np.float64) - average
    low, high = -64.0, 64.0
    for _ in range(64):  # a halving each; the last leaves less than a rounding
        tilt = (low + high) / 2
        weights: NDArray[np.float64] = np.exp(tilt * offsets - (tilt * offsets).max())
        weights /= weights.sum()
        low, high = (tilt, high) if weights @ offsets < 0 else (low, tilt)
    return weights

"""Configurations that are drawn at random: bits for every layer but the first and the last."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from autoprox.errors import QuantisationError
from autoprox.quantise.layers import END_BITS


def drawn_spread(layers: int, widths: Sequence[int], rows: int, seed: int) -> list[tuple[int, ...]]:
    """Distinct configurations of a network whose average bits spread; the ends have 8.

    Each configuration first draws its expected average, uniform between the smallest and the
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

    def draw(generator: np.random.Generator, inner: int) -> NDArray[np.int64]:
        average = generator.uniform(min(widths), max(widths))
        return generator.choice(widths, size=inner, p=_tilted(widths, average))

    return _distinct(layers, widths, rows, seed, draw)


def drawn_evenly(layers: int, widths: Sequence[int], rows: int, seed: int) -> list[tuple[int, ...]]:
    """Distinct configurations of a network in which each layer has each width as often.

    As every layer draws by itself, all have nearly the same average, and a proxy has to know which
    layers matter. Arguments, errors and order are those of `drawn_spread`.
    """
    return _distinct(
        layers, widths, rows, seed, lambda generator, inner: generator.choice(widths, size=inner)
    )


def _distinct(
    layers: int,
    widths: Sequence[int],
    rows: int,
    seed: int,
    draw: Callable[[np.random.Generator, int], NDArray[np.int64]],
) -> list[tuple[int, ...]]:
    """Draw the bits of the inner layers until there are enough distinct ones."""
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
        chosen.setdefault((END_BITS, *draw(generator, inner).tolist(), END_BITS))
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

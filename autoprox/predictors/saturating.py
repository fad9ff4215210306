"""An accuracy that saturates with size: three numbers, fitted to a few trained networks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autoprox.errors import AutoproxError

Array = NDArray[np.float64]

LEAST = 4
"""The fewest networks that three numbers and an error can be fitted to."""


@dataclass(frozen=True)
class Saturating:
    """The curve: accuracy = ceiling - loss * (size / scale) ** -power.

    Attributes:
        ceiling: what it rises to.
        loss: how far below that a network of size `scale` is.
        power: how fast it rises.
        scale: the median size of the networks that it was fitted to.
        error: the root mean squared error on these.
    """

    ceiling: float
    loss: float
    power: float
    scale: float
    error: float

    def __call__(self, sizes: Array) -> Array:
        """Return the accuracies of networks of some sizes, ``(n,)``."""
        return np.asarray(self.ceiling - self.loss * (sizes / self.scale) ** -self.power)


def fit_saturating(sizes: Array, accuracies: Array) -> Saturating:
    """Fit the curve by least squares.

    Args:
        sizes: ``(n,)``, above 0, such as NN-Mass or the number of parameters.
        accuracies: ``(n,)``.

    Raises:
        AutoproxError: there are fewer than `LEAST` networks, a size is not above 0, a size or an
            accuracy is not finite, or all sizes or all accuracies are the same.
    """
    from scipy.optimize import least_squares

    if len(sizes) < LEAST:
        raise AutoproxError(
            f"a curve of three numbers needs at least {LEAST} networks; got {len(sizes)}"
        )
    if not (sizes > 0).all():
        raise AutoproxError(f"sizes are above 0; got {sizes.min():g}")
    for name, values in {"sizes": sizes, "accuracies": accuracies}.items():
        if not (finite := np.isfinite(values)).all():
            raise AutoproxError(
                f"{name} are finite numbers; got {values[~finite][0]}: leave such networks out"
            )
    if np.ptp(sizes) == 0 or np.ptp(accuracies) == 0:
        raise AutoproxError("all sizes or all accuracies are the same: no curve can be fitted")
    scale = float(np.median(sizes))

    def curve(numbers: Array) -> Array:
        ceiling, loss, power = numbers
        return np.asarray(ceiling - np.exp(loss) * (sizes / scale) ** -np.exp(power))

    start = [accuracies.max() + 1, np.log(np.ptp(accuracies)), -0.3]
    optimum = least_squares(lambda numbers: curve(numbers) - accuracies, start, max_nfev=2000).x
    error = float(np.sqrt(np.mean((curve(optimum) - accuracies) ** 2)))
    ceiling, loss, power = optimum
    return Saturating(float(ceiling), float(np.exp(loss)), float(np.exp(power)), scale, error)

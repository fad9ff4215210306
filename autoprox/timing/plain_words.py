"""The language's primitives as plain NumPy functions, for the comparison with DEAP's own way.

They take the numbers of one network: ``(layers, …)`` of a tensor, ``(layers,)`` of a Layer, one
number of a Network. NaN stands for a layer that lacks a statistic. `size`, ``(layers,)``, is the
number of entries of the layers' whole tensors; the present layers of a network are counted.

Without the guard of autoprox's own words, which makes 0 of what cancels to within rounding: that
would make them slower.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

EXP_LIMIT = 60.0
STEPS_PER_OCTAVE = 10
SMALLEST_SHARE, SMALLEST = 1e-6, 1e-12


def _divisor(x: Array) -> Array:
    """What to divide by, so that the quotient is 0 where `x` is."""
    return np.where(x == 0, np.inf, x)


def _log(x: Array) -> Array:
    return np.log(np.where(x <= 0, 1, x))


def _divide(x: Array, y: Array) -> Array:
    return x / _divisor(y)


def _coarsen(x: Array) -> Array:
    octaves = np.log2(np.where(x == 0, 1, np.abs(x)))
    return np.sign(x) * np.exp2(np.round(octaves * STEPS_PER_OCTAVE) / STEPS_PER_OCTAVE)


ELEMENTWISE: Mapping[str, Callable[..., Array]] = {
    "absolute": np.abs,
    "negative": np.negative,
    "square": np.square,
    "sqrt": lambda x: np.sqrt(np.maximum(x, 0)),
    "log": _log,
    "log_absolute": lambda x: np.log(np.where(x == 0, 1, np.abs(x))),
    "exp": lambda x: np.exp(np.minimum(x, EXP_LIMIT)),
    "reciprocal": lambda x: _divide(np.ones_like(x), x),
    "relu": lambda x: np.maximum(x, 0),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "tanh": np.tanh,
    "sign": np.sign,
    "coarsen": _coarsen,
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "divide": _divide,
    "matmul": np.matmul,
}
"""Functions of one or two values."""


def _mean(x: Array) -> Array:
    return np.asarray(np.nanmean(x) if x.ndim == 1 else x.reshape(len(x), -1).mean(1))


def _std(x: Array) -> Array:
    return np.asarray(np.nanstd(x) if x.ndim == 1 else x.reshape(len(x), -1).std(1))


def _max(x: Array) -> Array:
    return np.asarray(np.nanmax(x) if x.ndim == 1 else x.reshape(len(x), -1).max(1))


def _min(x: Array) -> Array:
    return np.asarray(np.nanmin(x) if x.ndim == 1 else x.reshape(len(x), -1).min(1))


def _sum(x: Array, size: Array) -> Array:
    return _mean(x) * size


def _beside(a_row: Array, x: Array) -> Array:
    """Numbers of layers, in the shape and type that combines with the entries of `x`."""
    return np.asarray(np.reshape(a_row, (-1,) + (1,) * (x.ndim - 1)), dtype=x.dtype)


def _entropy(x: Array, size: Array) -> Array:
    magnitude = np.abs(x)
    total = _sum(magnitude, size)
    surprise = _sum(magnitude * np.log(np.where(magnitude == 0, 1, magnitude)), size)
    there = np.where(total == 0, 1, total)
    return np.log(there) - surprise / there


def _log_determinant(x: Array, size: Array) -> Array:
    values = np.linalg.svd(x.astype(np.float64), compute_uv=False)
    floor = np.maximum(values.max(-1, keepdims=True) * SMALLEST_SHARE, SMALLEST)
    return np.asarray(np.log(np.maximum(values, floor)).sum(-1))


REDUCTIONS: Mapping[str, Callable[[Array, Array], Array]] = {
    "sum": _sum,
    "mean": lambda x, size: _mean(x),
    "std": lambda x, size: _std(x),
    "norm": lambda x, size: np.sqrt(_sum(x * x, size)),
    "max": lambda x, size: _max(x),
    "min": lambda x, size: _min(x),
    "count": lambda x, size: size,
    "entropy": _entropy,
    "trace": lambda x, size: np.trace(x, axis1=-2, axis2=-1),
    "log_determinant": _log_determinant,
}
"""Functions of a value and the sizes of its rows, which leave a number a row."""


def _softmax(x: Array, size: Array) -> Array:
    powers = np.exp(x - _beside(_max(x), x))
    return np.asarray(powers / _beside(_sum(powers, size), x))


def _log_softmax(x: Array, size: Array) -> Array:
    shifted = x - _beside(_max(x), x)
    return shifted - _beside(np.log(_sum(np.exp(shifted), size)), x)


NORMALISATIONS: Mapping[str, Callable[[Array, Array], Array]] = {
    "standardise": lambda x, size: (x - _beside(_mean(x), x)) / _beside(_divisor(_std(x)), x),
    "min_max": lambda x, size: (x - _beside(_min(x), x)) / _beside(_divisor(_max(x) - _min(x)), x),
    "softmax": _softmax,
    "log_softmax": _log_softmax,
    "share": lambda x, size: x / _beside(_divisor(_sum(np.abs(x), size)), x),
}
"""Functions of a value and the sizes of its rows, which keep its shape."""


def of_layers(function: Callable[[Array, Array], Array]) -> Callable[[Array], Array]:
    """Make a reduction or normalisation count the layers that are there itself."""

    def counting(x: Array) -> Array:
        return function(x, np.count_nonzero(~np.isnan(x)))  # type: ignore[arg-type]  # one number

    return counting


def select(x: Array, chosen: Array) -> Array:
    """Keep the layers that are chosen."""
    return np.where(chosen, x, np.nan)

"""Models of latency and energy: a sum over features, fitted to a few measurements."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoprox.errors import BenchError, short
from autoprox.runtime.schema import FileKind

Array = NDArray[np.float64]

FOLDS = 5

SUFFIX = ".json"


@dataclass(frozen=True)
class CostModel:
    """What a network costs on a device, as a sum of non-negative prices of its features.

    Attributes:
        device: what it was measured on.
        unit: ``ms`` or ``mj``.
        space: whose features it reads, or ``any`` for those of any torch module.
        prices: feature to price.
        measurements: how many it was fitted to.
        error: the median relative error of cross-validation, as a share.
        spearman: the rank correlation of cross-validation.
    """

    device: str
    unit: str
    space: str
    prices: dict[str, float]
    measurements: int
    error: float
    spearman: float

    def __post_init__(self) -> None:
        """Check the numbers that a file may say.

        Raises:
            ValueError: one cannot be; the file's reader says where.
        """
        wrong = [name for name, price in self.prices.items() if not 0 <= price < math.inf]
        if wrong:
            raise ValueError(f"expected prices from 0; that of {short(wrong[0])!r} is none")
        if self.measurements < 1 or not self.error >= 0 or not abs(self.spearman) <= 1.001:
            raise ValueError("expected measurements, an error from 0 and a correlation")

    def __call__(self, features: Mapping[str, float]) -> float:
        """Return the cost of a network with these features; an unknown feature costs nothing."""
        return sum(price * features.get(name, 0.0) for name, price in self.prices.items())

    def save(self, path: Path) -> Path:
        """Write the model as JSON, and return its path.

        Raises:
            BenchError: its name does not end with ``.json``, by which limits know it.
            RunError: it cannot be written.
        """
        COST.write(model_path(path), asdict(self))
        return path


def model_path(path: Path) -> Path:
    """Return the path of a file for a cost model.

    Raises:
        BenchError: its name does not end with ``.json``.
    """
    if path.suffix != SUFFIX:
        raise BenchError(f"a cost model is a file NAME{SUFFIX}; got {str(path)!r}")
    return path


COST = FileKind("autoprox cost model", 4, CostModel, sealed=2)


def cost_model(path: Path) -> CostModel:
    """Return the model in a file.

    Raises:
        AutoproxError: it cannot be read, is none, or of another version.
    """
    return COST.read(path, oldest=4)  # earlier ones count blocks of fbnet and modules otherwise


def fit_cost(
    features: Sequence[Mapping[str, float]],
    costs: Sequence[float],
    device: str = "",
    unit: str = "ms",
    space: str = "any",
) -> CostModel:
    """Fit prices to measurements, none of them negative, so that absolute deviations are least.

    Some measurements of a device are far off (a clock that was lowered, another process); squared
    deviations would follow those. The error is that of five folds: each measurement is predicted by
    a model that did not see it.

    Raises:
        BenchError: there are fewer measurements than folds, all are the same, or one is no number
            above 0.
    """
    values = _checked(costs)
    names = sorted({name for row in features for name in row})
    table = np.array([[row.get(name, 0.0) for name in names] for row in features])
    predicted = np.empty(len(values))
    order = np.random.default_rng(0).permutation(len(values))
    for fold in range(FOLDS):
        out = order[fold::FOLDS]
        others = np.setdiff1d(order, out)
        predicted[out] = table[out] @ _prices(table[others], values[others])
    prices = dict(zip(names, _prices(table, values).tolist(), strict=True))
    error, spearman = errors(predicted, values)
    return CostModel(device, unit, space, prices, len(values), error, spearman)


def _checked(costs: Sequence[float]) -> Array:
    """Return measurements that a model can be fitted to."""
    values = np.asarray(costs, dtype=np.float64)
    wrong = np.flatnonzero(~((values > 0) & np.isfinite(values)))
    if wrong.size:
        raise BenchError(
            f"time and energy are above 0; measurement {wrong[0]}, counted from 0, is "
            f"{values[wrong[0]]:g}: leave it out, or measure it again"
        )
    if len(values) < 2 * FOLDS:
        raise BenchError(
            f"a cost model needs {2 * FOLDS} measurements or more; got {len(values)}: measure more"
        )
    if np.ptp(values) == 0:
        raise BenchError(f"all {len(values)} measurements are {values[0]:g}: nothing can be fitted")
    return values


def errors(predicted: Array, values: Array) -> tuple[float, float]:
    """Return the median relative error and Spearman's correlation of predictions."""
    from autoprox.ranking import spearman

    relative = np.abs(predicted - values) / values
    return float(np.median(relative)), float(spearman(predicted, values))


def _prices(table: Array, values: Array) -> Array:
    """Return the non-negative prices with the least sum of absolute deviations.

    They are the multipliers of the dual linear program, over the signs of the deviations. Features
    and values are scaled, as bytes dwarf counts. Sums without deviation give their exact prices.
    """
    from scipy.optimize import linprog, nnls

    most, unit = np.abs(table).max(0), float(np.abs(values).max())
    scale = np.where(most > 0, most, 1.0)
    exact, left = nnls(table / scale, values / unit)
    if left <= 1e-9 * np.linalg.norm(values / unit):
        return np.asarray(exact * unit / scale)
    solution: Any = linprog(-values / unit, (table / scale).T, np.zeros(len(scale)), bounds=(-1, 1))
    prices = -solution.ineqlin.marginals.clip(max=0) * unit / scale
    return np.asarray(prices + 0.0)  # which makes 0 of -0

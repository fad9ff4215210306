"""A random forest: grown by scikit-learn, kept as arrays that NumPy alone reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoprox.errors import AutoproxError

Array = NDArray[np.float64]


def fit(inputs: Array, labels: Array, seed: int, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Grow the trees; return them one after another, a row a node.

    Raises:
        AutoproxError: scikit-learn is not installed.
    """
    try:
        from sklearn.ensemble import RandomForestRegressor
    except ImportError:
        raise AutoproxError(
            "the model 'forest' needs scikit-learn: pip install 'autoprox[forest]'"
        ) from None
    forest = RandomForestRegressor(
        settings["trees"], max_features=settings["share"], random_state=seed
    )
    trees = [estimator.tree_ for estimator in forest.fit(inputs, labels).estimators_]
    starts = np.cumsum([0, *(tree.node_count for tree in trees)])
    nodes = list(zip(trees, starts[:-1], strict=True))
    return {
        "starts": starts[:-1].astype(np.int64),
        "left": np.concatenate([_shifted(tree.children_left, start) for tree, start in nodes]),
        "right": np.concatenate([_shifted(tree.children_right, start) for tree, start in nodes]),
        "feature": np.concatenate([tree.feature for tree in trees]).astype(np.int64),
        "threshold": np.concatenate([tree.threshold for tree in trees]),
        "value": np.concatenate([tree.value.reshape(-1) for tree in trees]),
    }


def _shifted(children: NDArray[np.int64], start: int) -> NDArray[np.int64]:
    """Return places in all nodes; a leaf's stay -1."""
    return np.where(children < 0, -1, children + start)


def predict(
    arrays: Mapping[str, Any], inputs: Array, settings: Mapping[str, Any]
) -> tuple[Array, Array]:
    """Return the mean and the standard deviation over the trees, ``(n,)`` each."""
    numbers = inputs.astype(np.float32)  # as scikit-learn compares
    nodes = np.arange(len(arrays["left"]))
    for side in ("left", "right"):
        if ((arrays[side] >= 0) & (arrays[side] <= nodes)).any():
            raise AutoproxError("a tree's branches lead back to its root: the file is damaged")
    at = np.repeat(arrays["starts"][None], len(inputs), axis=0)
    rows = np.arange(len(inputs))[:, None]
    while (inner := arrays["left"][at] >= 0).any():
        lower = numbers[rows, arrays["feature"][at].clip(0)] <= arrays["threshold"][at]
        below = np.where(lower, arrays["left"][at], arrays["right"][at])
        at = np.where(inner, below, at)
    values = arrays["value"][at]
    return values.mean(1), values.std(1)

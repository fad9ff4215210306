"""RoBoT: linear weights of scores, found by Bayesian optimisation.

References:
    He et al., Robustifying and Boosting Training-Free Neural Architecture Search, ICLR 2024,
    https://arxiv.org/abs/2403.07591. Its weights are those under which the networks that are
    trained rank best; the greedy search of the paper that follows is not here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoprox.predictors.kernels import fit_gp, predict_gp
from autoprox.ranking import somers

Array = NDArray[np.float64]

CANDIDATES = 500
"""Among how many drawn weights the next are chosen."""


def fit(inputs: Array, labels: Array, seed: int, settings: Mapping[str, Any]) -> dict[str, Array]:
    """Return the weights, from -1 to 1, under which the sum of inputs ranks the labels best.

    Weights are drawn until there are ``drawn`` of them; the following ones have, of `CANDIDATES`,
    the largest expected improvement under a Gaussian process of Somers' D over weights. Half of the
    candidates are drawn anew, half near the best so far. As long as all weights are worth the same
    the next are drawn anew.
    """
    random = np.random.default_rng(seed)
    count = inputs.shape[1]
    tried = random.uniform(-1, 1, (settings["drawn"], count))
    values = np.array([somers(inputs @ weights, labels) for weights in tried])
    for _ in range(settings["steps"]):
        best = tried[values.argmax()]
        near = best + random.normal(0, 0.2, (CANDIDATES // 2, count))
        candidates = np.concatenate([random.uniform(-1, 1, near.shape), near]).clip(-1, 1)
        chosen = candidates[_improvements(tried, values, candidates, seed).argmax()]
        tried = np.vstack([tried, chosen])
        values = np.append(values, somers(inputs @ chosen, labels))
    return {"weights": tried[values.argmax()]}


def _improvements(tried: Array, values: Array, candidates: Array, seed: int) -> Array:
    """Return the expected improvement of each candidate, ``(n,)``.

    Where all that was tried is worth the same nothing tells candidates apart, and each improves
    nothing: the first is as good as any, which was drawn anew.
    """
    from scipy.stats import norm

    if np.ptp(values) == 0:
        return np.zeros(len(candidates))
    mean, spread = predict_gp(fit_gp(tried, values, seed, {}), candidates, {})
    spread = spread.clip(1e-9)
    gain = (mean - values.max()) / spread
    return np.asarray(spread * (gain * norm.cdf(gain) + norm.pdf(gain)))


def predict(
    arrays: Mapping[str, Array], inputs: Array, settings: Mapping[str, Any]
) -> tuple[Array, Array]:
    """Return the weighted sums, ``(n,)``; their spread is not known and 0."""
    return inputs @ arrays["weights"], np.zeros(len(inputs))

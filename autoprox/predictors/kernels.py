"""Ridge regression and Gaussian processes: closed form, a decomposition of one small matrix."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

PENALTIES = 10.0 ** np.arange(-3, 6)
"""The penalties that leave-one-out chooses from."""


def fit_ridge(
    inputs: Array, labels: Array, seed: int, settings: Mapping[str, Any]
) -> dict[str, Array]:
    """Return weights for standardised inputs; leave-one-out chooses the penalty.

    The errors of leave-one-out are residuals over one minus the leverage (Allen's PRESS).
    """
    centre, scale = _scale(inputs)
    x, y = (inputs - centre) / scale, labels - labels.mean()
    values, vectors = np.linalg.eigh(x @ x.T)
    values = values.clip(0)
    turned = vectors.T @ y
    errors = []
    for penalty in PENALTIES:
        shrunk = values / (values + penalty)
        leverage = (vectors**2 @ shrunk) + 1 / len(y)
        residuals = y - vectors @ (shrunk * turned)
        errors.append(np.mean((residuals / np.maximum(1 - leverage, 1e-9)) ** 2))
    penalty = PENALTIES[int(np.argmin(errors))]
    weights = x.T @ (vectors @ (turned / (values + penalty)))
    return {"centre": centre, "scale": scale, "weights": weights, "mean": np.array(labels.mean())}


def predict_ridge(
    arrays: Mapping[str, Array], inputs: Array, settings: Mapping[str, Any]
) -> tuple[Array, Array]:
    """Return predictions, ``(n,)``; their spread is not known and 0."""
    x = (inputs - arrays["centre"]) / arrays["scale"]
    predicted = x @ arrays["weights"] + arrays["mean"]
    return predicted, np.zeros(len(inputs))


def fit_gp(
    inputs: Array, labels: Array, seed: int, settings: Mapping[str, Any]
) -> dict[str, Array]:
    """Return a Gaussian process with a Matérn 5/2 kernel of one length, and white noise.

    Length and share of noise have the largest marginal likelihood; the variance follows from them.

    References:
        Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006, equations 2.30, 4.17.
    """
    from scipy.optimize import minimize

    centre, scale = _scale(inputs)
    x = ((inputs - centre) / scale).clip(-FAR, FAR)
    mean, deviation = labels.mean(), labels.std()
    y, eye = (labels - mean) / deviation, np.eye(len(labels))
    root = inputs.shape[1] ** 0.5

    def likelihood(logs: Array) -> float:
        length, noise = np.exp(logs)
        covariance = (1 - noise) * matern(x, x, length * root) + noise * eye
        lower = np.linalg.cholesky(covariance)
        half = np.linalg.solve(lower, y)
        return float(len(y) / 2 * np.log(half @ half) + np.log(np.diag(lower)).sum())

    bounds = [(np.log(0.1), np.log(100.0)), (np.log(1e-3), np.log(0.95))]
    starts = ((0.0, np.log(0.1)), (2.0, np.log(0.3)))
    ends = [minimize(likelihood, start, bounds=bounds, method="L-BFGS-B") for start in starts]
    length, noise = np.exp(min(ends, key=lambda end: float(end.fun)).x)
    covariance = (1 - noise) * matern(x, x, length * root) + noise * eye
    inverse = np.linalg.inv(covariance)
    variance = float(y @ inverse @ y) / len(y)
    return {
        "centre": centre,
        "scale": scale,
        "known": x,
        "weights": inverse @ y,
        "inverse": inverse,
        "facts": np.array([length * root, noise, variance, mean, deviation]),
    }


def predict_gp(
    arrays: Mapping[str, Array], inputs: Array, settings: Mapping[str, Any]
) -> tuple[Array, Array]:
    """Return the mean and the standard deviation of the process, ``(n,)`` each."""
    x = ((inputs - arrays["centre"]) / arrays["scale"]).clip(-FAR, FAR)
    length, noise, variance, mean, deviation = arrays["facts"]
    covariance = (1 - noise) * matern(x, arrays["known"], length)
    left = 1 - noise - np.einsum("nk,kl,nl->n", covariance, arrays["inverse"], covariance)
    spread = deviation * np.sqrt(variance * left.clip(0))
    return mean + deviation * (covariance @ arrays["weights"]), spread


FAR = 5.0
"""How many standard deviations from the mean a number counts at most."""


def matern(first: Array, second: Array, length: float) -> Array:
    """Return the Matérn 5/2 kernel of ``(n, d)`` and ``(m, d)``: ``(n, m)``, 1 at no distance."""
    squares = (first**2).sum(1)[:, None] + (second**2).sum(1) - 2 * first @ second.T
    distance = np.sqrt(5 * squares.clip(0)) / length
    return np.asarray((1 + distance + distance**2 / 3) * np.exp(-distance))


def _scale(inputs: Array) -> tuple[Array, Array]:
    """Return the mean and the standard deviation of each input, 1 where it is constant."""
    deviation = inputs.std(0)
    return inputs.mean(0), np.where(deviation > 1e-12, deviation, 1.0)

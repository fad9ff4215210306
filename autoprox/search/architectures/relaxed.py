"""Search in two stages where architectures are vectors of numbers: relax, then round.

First the numbers become continuous, and SHGO finds where a fitted accuracy is largest while fitted
costs keep their limits. Then what lies around the rounded optimum is enumerated. Fitted costs may
be far off, so that the optimum is held against the limits by what its own network costs: where that
is above them, fitted costs are taken to be as far off beside it, and the search goes on.

References:
    Li, Mandal, Ogras and Marculescu, FLASH: Fast Neural Architecture Search with Hardware
    Optimization, ACM TECS 2021, https://arxiv.org/abs/2108.00568, whose search this follows in
    outline; its code is not public. Endres, Sandrock and Focke, A simplicial homology algorithm for
    Lipschitz optimisation, Journal of Global Optimization 72, 2018, which is `scipy.optimize.shgo`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, product
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from autoprox.errors import SpaceError
from autoprox.hardware.cost import CostModel, fit_cost
from autoprox.hardware.pricing import QUANTITIES
from autoprox.predictors.models import MODELS, check_labels, predict_by

Array = NDArray[np.float64]
Places = NDArray[np.int64]
Known: TypeAlias = Callable[[Places], NDArray[np.bool_]]
"""Which of ``(n, numbers)`` are architectures of a space."""

TrueCosts: TypeAlias = Callable[[Places], Mapping[str, float] | None]
"""What the network of ``(numbers,)`` costs, by names; None if it cannot be built or run."""

STARTS, DESCENTS = 256, 8
"""How many points SHGO looks at, and from how many it descends."""

STEP = 1e-5
"""What gradients are differences over."""

ROUNDING = 1e-9
"""Accuracies that differ by less are equal; and by what share costs may be inexact."""

FAR = math.exp(-3)
"""Three steps from a network of known costs these count as much as fitted ones."""

TRIES = 100
"""How many networks are asked for what they cost, at the most."""

NEIGHBOURS = 20_000
"""Up to how many neighbours all changes by one step are tried; else those of two numbers."""


@dataclass(frozen=True)
class StepModels:
    """Models of accuracy and costs over the steps of an architecture's numbers.

    A network is its places ``(numbers,)``: 0 for the first value of a number, 1 for the second.
    In between lies what the relaxation needs. Models read how far each step is taken, from 0 to 1;
    costs also the products of neighbouring numbers, such as widths.

    Attributes:
        steps: how many values each number has.
        model: what predicts the accuracy, a name in `autoprox.predictors.MODELS`.
        arrays: of that model.
        costs: name to cost model.
        built: places of networks whose costs are known, with these as multiples of fitted ones.
    """

    steps: tuple[int, ...]
    model: str
    arrays: Mapping[str, Array]
    costs: Mapping[str, CostModel]
    built: tuple[tuple[Places, Mapping[str, float]], ...] = ()

    def accuracies(self, places: Array) -> Array:
        """Return what is predicted of ``(n, numbers)``."""
        return predict_by(self.model, self.arrays, taken(places, self.steps), {})[0]

    def cost(self, name: str, places: Array) -> Array:
        """Return one of the costs of ``(n, numbers)``.

        Beside a network of known costs it is mended by how far off the fitted one is there, which
        counts less the more steps lie between.
        """
        fitted = self._fitted(name, places)
        if not self.built:
            return fitted
        apart = np.abs(places[:, None] - np.stack([at for at, _ in self.built])).sum(2)
        weights = np.exp(-apart)
        shares = weights / (weights.sum(1, keepdims=True) + FAR)
        return np.asarray(fitted * np.exp(shares @ np.log([off[name] for _, off in self.built])))

    def _fitted(self, name: str, places: Array) -> Array:
        prices = self.costs[name].prices
        inputs = cost_inputs(places, self.steps)
        return np.asarray(
            inputs @ np.array([prices[f"{column:03}"] for column in range(inputs.shape[1])])
        )

    def costs_at(self, place: Places) -> dict[str, float]:
        """Return the costs of ``(numbers,)``."""
        at = place[None].astype(np.float64)
        return {name: float(self.cost(name, at)[0]) for name in self.costs}

    def beside(self, place: Places, costs: Mapping[str, float]) -> StepModels:
        """Return the models with the known costs of ``(numbers,)``."""
        at = place[None].astype(np.float64)
        fitted = {name: float(self._fitted(name, at)[0]) for name in self.costs}
        off = {
            name: costs[name] / cost if cost > 0 < costs[name] else 1.0
            for name, cost in fitted.items()
        }
        return replace(self, built=(*self.built, (place, off)))

    def fitting(self, places: Array, limits: Mapping[str, float]) -> NDArray[np.bool_]:
        """Say which of ``(n, numbers)`` keep the limits."""
        fits = [self.cost(name, places) <= most * (1 + ROUNDING) for name, most in limits.items()]
        return np.asarray(np.logical_and.reduce([np.ones(len(places), dtype=bool), *fits]))


def taken(places: Array, steps: Sequence[int]) -> Array:
    """Return how far each step of each number is taken, ``(n, steps)``, from 0 to 1.

    >>> taken(np.array([[0.0, 1.5]]), (2, 3)).tolist()
    [[0.0, 1.0, 0.5]]
    """
    parts = [
        (places[:, number, None] - np.arange(count - 1)).clip(0, 1)
        for number, count in enumerate(steps)
    ]
    return np.concatenate(parts, axis=1)


def cost_inputs(places: Array, steps: Sequence[int]) -> Array:
    """Return what cost models read: 1, `taken`, and products of neighbouring numbers."""
    beside = (1 + places[:, :-1]) * (1 + places[:, 1:])
    return np.concatenate([np.ones((len(places), 1)), taken(places, steps), beside], axis=1)


def fit_models(
    places: Places,
    accuracies: Array,
    costs: Mapping[str, Array],
    steps: Sequence[int],
    model: str = "gp",
    seed: int = 0,
) -> StepModels:
    """Fit the models to trained networks.

    Args:
        places: ``(n, numbers)``.
        accuracies: ``(n,)``.
        costs: name to ``(n,)``.
        steps: how many values each number has.
        model: of the accuracy, a name in `autoprox.predictors.MODELS`.
        seed: of the model.

    Raises:
        AutoproxError: the labels are too few, or all the same.
        BenchError: the costs are too few, or all the same.
    """
    check_labels(model, accuracies)
    entry, where = MODELS[model], places.astype(np.float64)
    arrays = entry.function("fit")(taken(where, steps), accuracies, seed, entry.settings)
    rows = [
        {f"{column:03}": value for column, value in enumerate(row)}
        for row in cost_inputs(where, steps).tolist()
    ]
    models = {name: fit_cost(rows, values.tolist(), name) for name, values in costs.items()}
    return StepModels(tuple(steps), model, arrays, models)


def maximise(
    fits: StepModels,
    limits: Mapping[str, float],
    known: Known,
    true: TrueCosts | None = None,
) -> Places:
    """Return the places, ``(numbers,)``, of the largest fitted accuracy within limits of costs.

    Args:
        fits: the models.
        limits: the most that each cost may be.
        known: says which places are in the space.
        true: says what a network costs, which has to keep the limits; it is asked for optima alone.
            None for what is fitted.

    Raises:
        SpaceError: nothing keeps the limits.
    """
    starts, true = _relaxed(fits, limits), true or fits.costs_at
    incumbent: tuple[float, Places] | None = None
    over = np.zeros((0, len(fits.steps)), dtype=np.int64)
    for _ in range(TRIES):
        if (top := _best(starts, fits, limits, _without(known, over), incumbent)) is None:
            break
        costs, fitted = true(top[1]), fits.costs_at(top[1])
        if costs is None or any(costs[name] > most for name, most in limits.items()):
            over = np.vstack([over, top[1]])
        else:
            incumbent = top
            if all(np.isclose(costs[name], fitted[name], 1e-6, 0) for name in limits):
                break
        fits = fits if costs is None else fits.beside(top[1], costs)
    if incumbent is None:
        raise SpaceError(f"no architecture was found within {said(limits)}")
    return incumbent[1]


def _best(
    starts: Sequence[Array],
    fits: StepModels,
    limits: Mapping[str, float],
    known: Known,
    incumbent: tuple[float, Places] | None,
) -> tuple[float, Places] | None:
    """Return the best that is reached if it is better than what was found; None if it is not.

    As long as nothing was found the cheapest architecture will do, whatever its fitted costs.
    """
    reached = [top for start in starts if (top := _climbed(start, fits, limits, known))]
    if incumbent is None and not reached:
        cheapest = np.zeros((1, len(fits.steps)), dtype=np.int64)
        values = fits.accuracies(cheapest.astype(np.float64))
        reached = [(float(values[0]), cheapest[0])] if known(cheapest)[0] else []
    best = max(reached, key=lambda top: top[0], default=None)
    return best if best and (incumbent is None or best[0] > incumbent[0] + ROUNDING) else None


def _without(known: Known, places: Places) -> Known:
    """Return what says which places are in the space, without some."""
    return lambda near: known(near) & ~(near[:, None] == places).all(2).any(1)


def _climbed(
    start: Array,
    fits: StepModels,
    limits: Mapping[str, float],
    known: Known,
) -> tuple[float, Places] | None:
    """Go from a rounded optimum to better neighbours; None if none is within the limits."""
    at, best = start.round().astype(np.int64), -np.inf
    while True:
        near = _near(at, fits.steps)
        near = near[fits.fitting(near.astype(np.float64), limits)]
        near = near[known(near)]
        values = fits.accuracies(near.astype(np.float64)) if len(near) else np.array([-np.inf])
        if values.max() <= best + ROUNDING:
            return None if best == -np.inf else (best, at)
        best, at = float(values.max()), near[values.argmax()]


def said(limits: Mapping[str, float]) -> str:
    """Return limits in words."""
    units = {name: QUANTITIES.get(name.partition(":")[0], "") for name in limits}
    texts = (
        f"{name} of at most {most:.6g} {units[name]}".rstrip() for name, most in limits.items()
    )
    return " and ".join(texts) or "all"


def _relaxed(fits: StepModels, limits: Mapping[str, float]) -> list[Array]:
    """Return the optima of the relaxed problem, the best first; the cheapest corner is last."""
    from scipy.optimize import shgo

    def loss(places: Array) -> Array:
        return -fits.accuracies(places)

    def room(places: Array, name: str) -> Array:
        return 1 - fits.cost(name, places) / limits[name]

    constraints: list[dict[str, Any]] = [
        {"type": "ineq", "fun": at_one(room), "jac": slope_of(room, fits.steps), "args": (name,)}
        for name in limits
    ]
    result = shgo(
        at_one(loss),
        [(0.0, count - 1.0) for count in fits.steps],
        constraints=constraints or None,
        n=STARTS,
        sampling_method="simplicial",
        options={"local_iter": DESCENTS, "jac": slope_of(loss, fits.steps)},
        minimizer_kwargs={"method": "SLSQP", "options": {"maxiter": 30}},
    )
    optima = [*np.atleast_2d(result.xl)] if result.success else []
    return [*optima, np.zeros(len(fits.steps))]


def at_one(function: Callable[..., Array]) -> Callable[..., float]:
    """Return a function of ``(n, numbers)`` as one of ``(numbers,)``."""
    return lambda place, *args: float(function(place[None], *args)[0])


def slope_of(function: Callable[..., Array], steps: Sequence[int]) -> Callable[..., Array]:
    """Return the gradient of a function by differences, all numbers in one call."""

    def slope(place: Array, *args: Any) -> Array:
        change = np.where(place + STEP < np.array(steps) - 1, STEP, -STEP)
        values = function(np.vstack([place[None], place + np.diag(change)]), *args)
        return np.asarray((values[1:] - values[0]) / change)

    return slope


def _near(at: Places, steps: Sequence[int]) -> Places:
    """Return a place and its neighbours: each number one step down, kept, or one step up."""
    if 3 ** len(at) <= NEIGHBOURS:
        moves = np.array([*product((-1, 0, 1), repeat=len(at))])
    else:
        pairs = [*combinations(range(len(at)), 2)]
        moves = np.zeros((9 * len(pairs), len(at)), dtype=np.int64)
        for row, (pair, change) in enumerate(product(pairs, product((-1, 0, 1), repeat=2))):
            moves[row, list(pair)] = change
    near = at + moves
    inside = ((near >= 0) & (near < np.array(steps))).all(1)
    return np.unique(near[inside], axis=0)

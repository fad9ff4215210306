"""The architecture of the largest accuracy within limits, from the accuracies of a few."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np

from autoprox.errors import SpaceError, UnknownNameError
from autoprox.runtime.arguments import is_finite, listed, named_options
from autoprox.search.architectures.found import cost_text
from autoprox.search.architectures.limits import Range, cost_of, ranges_of
from autoprox.search.architectures.relaxed import (
    ROUNDING,
    Places,
    StepModels,
    TrueCosts,
    fit_models,
    maximise,
    said,
)
from autoprox.search.architectures.space import Config, Space, asked, load_space

Trained: TypeAlias = Sequence[tuple[Config, float]]
"""Configurations with their accuracies, or the losses of a bench's target that is one."""

WHOLE = 100_000
"""Up to how many architectures a space is gone through, to check what was found."""

BUILT = 10
"""How many of those that are better by the models are built for that, at the most."""


@runtime_checkable
class Numbered(Protocol):
    """A space whose architectures are vectors of numbers."""

    @property
    def levels(self) -> Sequence[Sequence[float]]:
        """The values that each number takes, in the order of what they cost."""

    def numbers(self, config: Config) -> Sequence[float]:
        """Return the numbers of a configuration."""

    def at(self, numbers: Sequence[float]) -> Config | None:
        """Return the configuration of some numbers; None if the space has none."""


@dataclass(frozen=True)
class Choice:
    """An architecture that was chosen by fitted models.

    Attributes:
        config: its configuration.
        predicted: its fitted accuracy, or loss, in the unit of those that were fitted.
        costs: its fitted costs, by the names of the limits.
        true_costs: what its network costs, which keeps the limits: parameters and operations as
            counted, latency and energy as the device's measurement or model says.
        errors: of each cost model, the median relative error of cross-validation.
        limits: the most that each cost may be.
        trained: how many accuracies the models were fitted to.
        seconds: what the search took, without fitting.
        best: whether no architecture that keeps the limits by fitted and by true costs has a better
            fitted accuracy; None if too many would have to be looked at.
        accuracy: its published accuracy, or loss, in its own unit; None if there is none.
    """

    config: Config
    predicted: float
    costs: Mapping[str, float]
    true_costs: Mapping[str, float]
    errors: Mapping[str, float]
    limits: Mapping[str, float]
    trained: int
    seconds: float
    best: bool | None
    accuracy: float | None

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON data."""
        return asdict(self)


@named_options()
def search_by_accuracies(
    space: str | Path | Space,
    trained: Trained | int = 25,
    *,
    params: str | None = None,
    flops: str | None = None,
    limits: str | Sequence[str] = (),
    target: str | None = None,
    model: str = "gp",
    seed: int = 0,
) -> Choice:
    """The architecture that a few accuracies promise most of, within limits of what it costs.

    Models of accuracy and costs over the architectures' numbers are fitted to the trained ones.
    Then the numbers are relaxed, the fitted accuracy is maximised within the limits by SHGO, and
    the neighbours of the optimum are enumerated. The choice keeps the limits by what its network
    costs, which is built for that. Of a target that is a loss the least is best.

    Args:
        space: a name such as ``"resnet64"``, a file, or a `Space` that is `Numbered`, too.
        trained: configurations with their accuracies (of a bench's target that is a loss, with
            their losses); or how many of a bench's are drawn.
        params: a range of parameters without a lower end, such as ``":0.5M"``; None for no limit.
        flops: likewise, of operations for one input.
        limits: of devices, such as ``latency:here.json:5ms``, or several.
        target: which of a bench's accuracies; None for its first one.
        model: what predicts the accuracy, ``gp`` or ``ridge``.
        seed: of the model, and of what is drawn.

    Raises:
        UnknownNameError: there is no such space, target, model or device.
        SpaceError: the space is not one of numbers, or no architecture keeps the limits.
        AutoproxError: there are too few accuracies, or all are the same.
    """
    loaded = load_space(space)
    if not isinstance(loaded, Numbered):
        raise SpaceError(
            f"the architectures of {loaded.name} are no vectors of numbers: this search needs a "
            "space with levels, numbers(config) and at(numbers), such as resnet64"
        )
    if model not in (smooth := ("gp", "ridge")):
        raise UnknownNameError("model without steps", model, smooth)
    ranges, named = _ranges(params, flops, limits), _target(loaded, target)
    pairs = _drawn(loaded, trained, named, seed) if isinstance(trained, int) else trained
    fits = fit_space(loaded, pairs, ranges, model, seed, _is_loss(loaded, named))
    most = {name: float(limit.most) for name, limit in ranges.items()}
    true = true_costs(loaded, [*most])
    _check_least(fits, most, true)
    begun = time.perf_counter()
    place = maximise(fits, most, lambda near: known_places(loaded, near), true)
    seconds = time.perf_counter() - begun
    return _choice(loaded, fits, place, most, true, len(pairs), seconds, named)


def _ranges(params: str | None, flops: str | None, limits: str | Sequence[str]) -> dict[str, Range]:
    """Return the limits by name; refuse one with a lower end."""
    ranges = ranges_of(params, flops, listed(limits))
    for name, limit in ranges.items():
        if limit.least or not limit.most:
            raise SpaceError(
                f"{name}: this search keeps limits from above, as in :5M; got {limit.text!r}"
            )
    return ranges


def _target(space: Any, target: str | None) -> str | None:
    """Return the target of the space's bench that is meant; None if it has no bench."""
    bench = getattr(space, "bench", None)
    if bench is None:
        return None
    if target is not None and target not in bench.targets:
        raise UnknownNameError(f"target of {bench.name}", target, bench.targets)
    named: str = target or bench.targets[0]
    return named


def _is_loss(space: Any, target: str | None) -> bool:
    """Say whether a target of the space's bench is better the lower it is."""
    return target is not None and target in space.bench.lower_is_better


def _drawn(space: Any, count: int, target: str | None, seed: int) -> list[tuple[Config, float]]:
    """Return architectures of a bench with their figures, drawn at random."""
    if target is None:
        raise SpaceError(
            f"nothing is known of the accuracies of {space.name}: give pairs of a configuration "
            "and its accuracy as trained"
        )
    bench = space.bench
    if not 0 < count <= len(bench.architectures):
        raise SpaceError(
            f"{bench.name} has {len(bench.architectures)} architectures with accuracies; got "
            f"labels={count}"
        )
    places = np.random.default_rng([seed, count]).permutation(len(bench.architectures))[:count]
    rows = [bench.architectures[place] for place in sorted(places.tolist())]
    return [(row.config, row.accuracies[target]) for row in rows]


def fit_space(
    space: Any,
    pairs: Trained,
    ranges: Mapping[str, Range],
    model: str,
    seed: int,
    loss: bool = False,
) -> StepModels:
    """Return the models, fitted to trained architectures and what they cost.

    The accuracy of the models is higher where it is better: if `loss`, it is minus what is given.

    Raises:
        SpaceError: a configuration is not of the space, or an accuracy is no number.
        AutoproxError: there are too few accuracies or costs, or all are the same.
    """
    places = np.array([_places(space, config) for config, _ in pairs])
    for config, accuracy in pairs:
        if not is_finite(accuracy):
            raise SpaceError(f"an accuracy is a number; got {accuracy!r} for {config}")
    costs = {
        name: np.array([cost_of(space, config, name) for config, _ in pairs]) for name in ranges
    }
    accuracies = np.array([-accuracy if loss else accuracy for _, accuracy in pairs])
    return fit_models(places, accuracies, costs, [*map(len, space.levels)], model, seed)


def _places(space: Any, config: Config) -> list[int]:
    """Return which of the values of each number a configuration of the space has."""
    numbers = [*asked(space, "numbers", space.numbers, config)]
    levels = [list(values) for values in space.levels]
    if len(numbers) != len(levels):
        raise SpaceError(
            f"{config} is not of {space.name}: it has {len(numbers)} numbers, not {len(levels)}"
        )
    for number, values in zip(numbers, levels, strict=True):
        if number not in values:
            raise SpaceError(
                f"{config} is not of {space.name}: {number:g} is none of "
                f"{', '.join(f'{value:g}' for value in values)}"
            )
    return [values.index(number) for number, values in zip(numbers, levels, strict=True)]


def true_costs(space: Any, names: Sequence[str]) -> TrueCosts:
    """Return what says the costs of an architecture of a space by its network, each built once."""

    @cache
    def costs(place: tuple[int, ...]) -> Mapping[str, float] | None:
        config = config_at(space, np.array(place))
        try:
            return None if config is None else {n: cost_of(space, config, n) for n in names}
        except SpaceError:  # it cannot be built, or the device cannot run it
            return None

    return lambda place: costs(tuple(place.tolist()))


def _check_least(fits: StepModels, limits: Mapping[str, float], true: TrueCosts) -> None:
    """Refuse a limit below what the cheapest architecture costs, by the model if it has none."""
    cheapest = np.zeros(len(fits.steps), dtype=np.int64)
    costs = true(cheapest)
    by = ", by the fitted model," if costs is None else ""
    for name, least in (costs or fits.costs_at(cheapest)).items():
        if limits[name] < least:
            raise SpaceError(
                f"no architecture has {said({name: limits[name]})}: the least{by} is "
                f"{cost_text(name, least)}"
            )


def known_places(space: Any, places: Places) -> Any:
    """Say which of some places are architectures of a space."""
    return np.array([config_at(space, place) is not None for place in places], dtype=bool)


def config_at(space: Any, place: Places) -> Config | None:
    """Return the configuration at some places; None if the space has none."""
    numbers = [values[index] for values, index in zip(space.levels, place.tolist(), strict=True)]
    config: Config | None = asked(space, "at", space.at, numbers)
    return config


def _choice(
    space: Any,
    fits: StepModels,
    place: Places,
    limits: Mapping[str, float],
    true: TrueCosts,
    trained: int,
    seconds: float,
    target: str | None,
) -> Choice:
    """Return the choice, checked against all architectures where they are few."""
    config = config_at(space, place)
    predicted = float(fits.accuracies(place[None].astype(np.float64))[0])
    accuracy = None
    if target is not None and config is not None:
        accuracy = space.rows[space.numbers(config)].accuracies[target]
    return Choice(
        dict(config or {}),
        -predicted if _is_loss(space, target) else predicted,
        fits.costs_at(place),
        true(place) or {},
        {name: fits.costs[name].error for name in limits},
        limits,
        trained,
        seconds,
        _is_best(space, fits, predicted, limits, true),
        accuracy,
    )


def _is_best(
    space: Any,
    fits: StepModels,
    predicted: float,
    limits: Mapping[str, float],
    true: TrueCosts,
) -> bool | None:
    """Say whether nothing within the limits is better; None if that takes too long to know.

    What is better within the limits by fitted costs is built, the cheapest first.
    """
    if np.prod(fits.steps, dtype=np.float64) > WHOLE:
        return None
    every = np.stack(np.meshgrid(*map(np.arange, fits.steps), indexing="ij"), -1)
    every = every.reshape(-1, len(fits.steps))
    every = every[fits.fitting(every.astype(np.float64), limits)]
    better = every[fits.accuracies(every.astype(np.float64)) > predicted + ROUNDING]
    better = better[known_places(space, better)]
    shares = [fits.cost(name, better.astype(np.float64)) / most for name, most in limits.items()]
    order = np.argsort(np.max([np.zeros(len(better)), *shares], axis=0), kind="stable")
    for place in better[order[:BUILT]]:
        costs = true(place)
        if costs is not None and all(costs[name] <= most for name, most in limits.items()):
            return False
    return True if len(better) <= BUILT else None

"""What is compared: pairs of ways of doing the same."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from autoprox.errors import RunError
from autoprox.timing import rival, ways
from autoprox.timing.stage import Lap, Stage, Way

CHECKED = 100
"""How many candidates' fitness is compared."""


@dataclass(frozen=True, slots=True)
class Unit:
    """What a figure is given in.

    Attributes:
        name: as it is printed.
        figure: turns the seconds that an item takes into the figure.
    """

    name: str
    figure: Callable[[float], float]


A_SECOND = Unit("candidates/s", lambda seconds: 1 / seconds)
MICROSECONDS = Unit("µs a candidate", lambda seconds: 1e6 * seconds)
SECONDS = Unit("s a network", lambda seconds: seconds)
NETWORKS = Unit("networks/s", lambda seconds: 1 / seconds)
ELEMENTS = Unit("G node-elements/s", lambda seconds: 1e-9 / seconds)


@dataclass(frozen=True, slots=True)
class Pair:
    """Two ways of doing the same.

    Attributes:
        name: what ``--only`` calls it.
        title: what is done.
        unit: of the figures.
        first, second: the ways; the ratio says how many times as fast the second one is.
        share: the factor that the first way's seconds are multiplied by before the comparison.
        difference: how far what they computed lies apart; None where they do not compute the same.
        tolerance: how far it may.
    """

    name: str
    title: str
    unit: Unit
    first: Way
    second: Way
    share: Callable[[Stage], float] = lambda stage: 1.0
    difference: Callable[[Any, Any], float] | None = None
    tolerance: float = 0.0

    def gap(self, first: Lap, second: Lap) -> float | None:
        """Return how far what two laps computed lies apart."""
        return None if self.difference is None else self.difference(first.value, second.value)


def _search_split(stage: Stage) -> float:
    """Return the share of the search split's networks, spread evenly over the processes."""
    return len(stage.ground.search) / len(stage.places) / stage.jobs


def _relative(first: np.ndarray, second: np.ndarray) -> float:
    """Return the largest difference, relative to the largest number of its row."""
    scale = np.nanmax(np.abs(first), axis=tuple(range(1, first.ndim)), keepdims=True)
    return float(np.nanmax(np.abs(first - second) / np.where(scale == 0, 1, scale)))


def _absolute(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.abs(first - second).max())


def _of_gradients(first: list[list[Any]], second: list[list[Any]]) -> float:
    """Return the largest difference of gradients, relative to the largest entry of the layer."""
    return max(
        float((a.flatten() - b.flatten()).abs().max() / a.abs().max().clamp_min(1e-30))
        for network, other in zip(first, second, strict=True)
        for a, b in zip(network, other, strict=True)
    )


def _of_files(first: dict[str, bytes], second: dict[str, bytes]) -> float:
    """Return the share of files that differ."""
    names = first.keys() | second.keys()
    return sum(first.get(name) != second.get(name) for name in names) / max(len(names), 1)


def _of_fitness(fitness: Callable[[Any], float], judged: Mapping[Any, float]) -> float:
    """Return the median difference of the fitness of the best that both sides can write.

    Not the largest: rounding may make ties.

    Raises:
        RunError: there is none.
    """
    shared = sorted(filter(rival.writes, judged), key=judged.__getitem__)[-CHECKED:]
    if not shared:
        raise RunError(
            f"none of the {len(judged)} candidates that the search judged is written with words of "
            "both sides, so that no fitness can be compared: give it more evaluations"
        )
    return statistics.median(abs(fitness(graph) - judged[graph]) for graph in shared)


_ALL = (
    Pair("cold", "One candidate, nothing of it known", A_SECOND, ways.RERUN, ways.COLD,
         difference=_relative, tolerance=1e-5),
    Pair("warm", "Candidates whose arguments are known", A_SECOND, ways.RERUN, ways.WARM,
         difference=_relative, tolerance=1e-5),
    Pair("run", "Candidates of a whole run", A_SECOND, ways.RERUN, ways.WHOLE_RUN,
         share=_search_split),
    Pair("search", "The search loop", A_SECOND, rival.DEAP, ways.WHOLE_RUN,
         share=lambda stage: 1 / stage.jobs,  # as if all processes shared the work evenly
         difference=_of_fitness, tolerance=1e-3),
    Pair("kendall", "Somers' D with every target", MICROSECONDS, ways.SCIPY, ways.RANKER,
         difference=_absolute, tolerance=1e-9),
    Pair("expressions", "Sub-expressions over tensors", ELEMENTS, ways.NUMPY, ways.PROGRAM,
         difference=_relative, tolerance=1e-3),
    Pair("extraction", "Measuring a network", SECONDS, ways.EXTRACTION, ways.BARE,
         difference=_of_gradients, tolerance=1e-4),
    Pair("workers", "Measuring networks in parallel", NETWORKS, ways.ONE, ways.SEVERAL,
         difference=_of_files),
)  # fmt: skip

PAIRS = {pair.name: pair for pair in _ALL}
"""The comparisons by name."""

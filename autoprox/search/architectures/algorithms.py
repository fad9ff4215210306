"""How a search proposes architectures: at random, by regularised evolution, or by NSGA-II."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoprox.runtime.registry import Registry
from autoprox.search.architectures.scoring import Scored
from autoprox.search.architectures.space import Config, Space, asked

POPULATION = 50
"""Of evolution the architectures that live, the youngest; of NSGA-II those that are selected."""

TOURNAMENT = 10
"""How many of a population compete to be the parent of one child of evolution."""


class RandomSearch:
    """Every architecture is drawn at random; the other algorithms derive from this one."""

    def __init__(self, space: Space) -> None:
        self.space = space

    def propose(self, random: Random) -> Config:
        """Return a random configuration; that of an algorithm need neither be new nor fit."""
        return asked(self.space, "sample", self.space.sample, random)

    def learn(
        self, scored: Sequence[Scored], merits: NDArray[np.float64], since: int, cost: str
    ) -> None:
        """Learn nothing; other algorithms take note of a generation.

        Args:
            scored: everything scored so far.
            merits: its merits, NaN for failures.
            since: where in `scored` the new generation begins.
            cost: what pays for merit.
        """

    def mutated(self, config: Config, random: Random) -> Config:
        """Return a configuration that differs a little."""
        return asked(self.space, "mutate", self.space.mutate, dict(config), random)


class Evolution(RandomSearch):
    """Regularised evolution: the oldest die, whatever their merit.

    A child is a mutation of the best of `TOURNAMENT` drawn from the population, which is the
    youngest `POPULATION` architectures. Children are scored a generation at a time, not one by one
    as published, so that their networks can be measured in parallel.

    Real et al., Regularized Evolution for Image Classifier Architecture Search, AAAI 2019,
    algorithm 1.
    """

    def __init__(self, space: Space) -> None:
        super().__init__(space)
        self.population: deque[int] = deque(maxlen=POPULATION)
        self.scored: Sequence[Scored] = ()
        self.merits: NDArray[np.float64] = np.zeros(0)

    def propose(self, random: Random) -> Config:
        """Return a child, or a random configuration until the population is there."""
        if len(self.population) < POPULATION:
            return super().propose(random)
        drawn = random.sample(sorted(self.population), TOURNAMENT)
        parent = max(drawn, key=lambda place: self.merits[place])
        return self.mutated(self.scored[parent].config, random)

    def learn(
        self, scored: Sequence[Scored], merits: NDArray[np.float64], since: int, cost: str
    ) -> None:
        """Let the new ones that have a merit live, and the oldest die."""
        self.scored, self.merits = scored, merits
        self.population.extend(
            place for place in range(since, len(scored)) if np.isfinite(merits[place])
        )


class Pareto(RandomSearch):
    """NSGA-II: the population is what is best and cheap, spread over the front.

    Parents win tournaments of two, by their front and then by the room around them. A child is a
    mutation of the crossover of two parents, or of one where the space has no crossover.

    Deb et al., A Fast and Elitist Multiobjective Genetic Algorithm: NSGA-II, IEEE TEC 2002; the
    selection is DEAP's.
    """

    def __init__(self, space: Space) -> None:
        super().__init__(space)
        self.population: list[Any] = []

    def propose(self, random: Random) -> Config:
        """Return a child, or a random configuration until the population is there."""
        if len(self.population) < POPULATION:
            return super().propose(random)
        first, second = (self._parent(random) for _ in range(2))
        cross: Callable[..., Config] | None = getattr(self.space, "crossover", None)
        mixed = (
            first
            if cross is None
            else asked(self.space, "crossover", cross, dict(first), dict(second), random)
        )
        return self.mutated(mixed, random)

    def _parent(self, random: Random) -> Config:
        place = min(random.randrange(len(self.population)) for _ in range(2))
        config: Config = self.population[place].config
        return config

    def learn(
        self, scored: Sequence[Scored], merits: NDArray[np.float64], since: int, cost: str
    ) -> None:
        """Select from the population and the new ones; the population is sorted, best first."""
        from deap.tools import emo

        born = [individual.place for individual in self.population]
        born += range(since, len(scored))
        alive = [
            _individual(place, scored[place].config, merits[place], price)
            for place in born
            if np.isfinite(merits[place]) and (price := scored[place].cost(cost)) is not None
        ]
        chosen = emo.selNSGA2(alive, min(POPULATION, len(alive)))
        fronts = emo.sortNondominated(chosen, len(chosen))
        for front in fronts:
            emo.assignCrowdingDist(front)
            front.sort(key=lambda individual: (-individual.fitness.crowding_dist, individual.place))
        self.population = [individual for front in fronts for individual in front]


def _individual(place: int, config: Config, merit: float, price: float) -> Any:
    """Return an architecture as DEAP takes one."""
    from types import SimpleNamespace

    from deap.base import Fitness

    class Both(Fitness):  # type: ignore[misc]
        """The merit is to be large, the cost small."""

        weights = (1.0, -1.0)

    return SimpleNamespace(place=place, config=config, fitness=Both((merit, price)))


def non_dominated(merits: NDArray[np.float64], prices: NDArray[np.float64]) -> list[int]:
    """Return the places of what nothing beats, the cheapest first.

    An architecture is beaten by one that has no less merit at no higher price, and more merit or a
    lower price; of equal ones the first counts. NaN is never in the front.

    >>> non_dominated(np.array([1.0, 3.0, 2.0, 0.0]), np.array([1.0, 3.0, 3.0, 2.0]))
    [0, 1]
    """
    places = np.flatnonzero(np.isfinite(merits) & np.isfinite(prices))
    order = sorted(places.tolist(), key=lambda place: (prices[place], -merits[place], place))
    front: list[int] = []
    for place in order:
        if not front or merits[place] > merits[front[-1]]:
            front.append(place)
    return front


ALGORITHMS: Registry[Callable[[Space], RandomSearch]] = Registry("algorithm")
"""Name to what makes the algorithm for a space."""

ALGORITHMS.register("evolution", Evolution)
ALGORITHMS.register("random", RandomSearch)
ALGORITHMS.register("pareto", Pareto)

"""What a search algorithm is, the names of all that are registered, and what they share."""

from __future__ import annotations

import dataclasses
import inspect
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from autoprox.errors import RunError
from autoprox.evolution.drawing import random
from autoprox.evolution.judge import Candidate
from autoprox.evolution.variation import Variation
from autoprox.language.graph import Graph
from autoprox.runtime.arguments import check_numbers
from autoprox.runtime.registry import Registry


@dataclass(frozen=True, slots=True)
class Proposal:
    """A graph to judge.

    Attributes:
        graph: the graph.
        parents: the texts of the candidates that it was made from; none if it was drawn at random.
    """

    graph: Graph
    parents: tuple[str, ...] = ()


@dataclass(frozen=True)
class World:
    """What a search gives its algorithm.

    Attributes:
        variation: random proxies and offspring; call it inside of `ask` and `tell` only.
        size: the size of the population.
        proposals: how many graphs `ask` returns; part of the result, so it does not follow the
            number of jobs.
        seeds: graphs that the first population starts with.
        families: the places of each family's columns if parents are to be chosen by lexicase
            selection over the families, which `default` alone does; else none.
    """

    variation: Variation
    size: int
    proposals: int
    seeds: tuple[Graph, ...] = ()
    families: tuple[tuple[int, ...], ...] = ()


PARSIMONY = 1e-3
"""What a node costs in joint correlation.

Simple proxies hold what they promise on unseen architectures.
"""

RULE = (
    "of the best proxies of the runs, that with the highest fitness on its own search split less "
    f"{PARSIMONY:g} a node"
)
"""How one proxy is picked: no held-out figure is looked at."""


def worth(candidate: Candidate) -> float:
    """Return the fitness less what the proxy's size costs."""
    return (candidate.fitness or 0.0) - PARSIMONY * candidate.graph.complexity


def ranked(
    candidates: Sequence[Candidate], key: Callable[[Candidate], float] | None = None
) -> list[Candidate]:
    """Return the candidates with a fitness, by `key` or fitness, best first.

    Equals are in the order of size, then text.
    """
    valid = [candidate for candidate in candidates if candidate.fitness is not None]
    value = key or (lambda candidate: candidate.fitness or 0.0)
    return sorted(valid, key=lambda c: (-value(c), c.graph.complexity, c.graph.text))


@dataclass(eq=False)
class Algorithm:
    """A search algorithm: what to try next, and what to keep.

    `ask` proposes graphs; the search has them judged and hands the candidates back to `tell` in the
    same order. Random numbers come from `autoprox.evolution.drawing.random`, which follows the seed
    of the search. `population` is all that a checkpoint keeps, beside what `state` returns.

    A subclass is a dataclass whose fields, all with defaults, are its parameters: numbers, texts
    and lists of them, which the run's settings keep. It overrides `offspring`, which this class
    calls as soon as a first population is complete, and `survive` if others than the best are to
    stay, or `ask` and `tell`; what else it remembers begins in `begin`.
    """

    def begin(self, world: World) -> None:
        """Start with an empty population."""
        self.variation = world.variation
        self.size = world.size
        self.proposals = world.proposals
        self.seeds = world.seeds
        self.families = world.families
        self.population: list[Candidate] = []
        self.filled = False
        self.sown = False

    @property
    def kept(self) -> list[Candidate]:
        """The candidates that a checkpoint keeps, and `restore` is given, with their ranks."""
        return self.population

    def parameters(self) -> dict[str, Any]:
        """Return the values of the fields, by name."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    def ask(self) -> Iterable[Proposal]:
        """Return seeds once, and random graphs until the population is full, then offspring."""
        if not self.filled:
            seeds = [] if self.sown else [Proposal(seed) for seed in self.seeds]
            self.sown = True
            return seeds + [self.newcomer() for _ in range(self.proposals - len(seeds))]
        return self.offspring()

    def newcomer(self) -> Proposal:
        """Return a random graph."""
        return Proposal(self.variation.random())

    def fittest(self, few: int) -> Candidate:
        """Return the fittest of so many random members, or of all if there are no more."""
        drawn = random.sample(self.population, min(few, len(self.population)))
        return ranked(drawn)[0]

    def mutant(self, parent: Graph) -> Proposal:
        """Return a mutated graph."""
        return Proposal(self.variation.mutated(parent), (parent.text,))

    def tell(self, candidates: Sequence[Candidate]) -> None:
        """Fill the population first; then let the algorithm decide who survives."""
        if not self.filled:
            self.join(candidates)
            self.filled = len(self.population) == self.size
        else:
            self.survive(candidates)

    def join(self, candidates: Iterable[Candidate]) -> None:
        """Add those that it admits and that behave like no member, then remove the worst."""
        known = {member.behaviour for member in self.population}
        for candidate in candidates:
            if self.admits(candidate) and candidate.behaviour not in known:
                known.add(candidate.behaviour)
                self.population.append(candidate)
        self.remove_worst()

    def admits(self, candidate: Candidate) -> bool:
        """Say whether a candidate may be a member at all."""
        return candidate.fitness is not None

    def offspring(self) -> Iterable[Proposal]:
        """Return the graphs to judge next, given a full population.

        Raises:
            RunError: a subclass has neither this method nor an `ask` of its own.
        """
        raise RunError(f"{type(self).__name__} defines no offspring(), which proposes graphs")

    def survive(self, candidates: Sequence[Candidate]) -> None:
        """Make the next population of the best that differ, members and judged offspring."""
        self.join(ranked(candidates))

    def state(self) -> dict[str, Any]:
        """Return whether the first population is complete: it may shrink later."""
        return {"filled": self.filled}

    def restore(
        self, population: list[Candidate], state: Mapping[str, Any], known: Mapping[str, Candidate]
    ) -> None:
        """Go back to where the algorithm was.

        Args:
            population: what `kept` was.
            state: what `state` returned.
            known: every valid candidate judged so far, by its text; without `ranks`.
        """
        self.population = population
        self.filled = state["filled"]
        self.sown = True

    def remove_worst(self) -> None:
        """Remove the candidates with the lowest fitness until the population has its size."""
        self.population = ranked(self.population)[: self.size]


class Checked(Algorithm):
    """An algorithm whose parameters are all shares, from 0 to 1, or, if whole, counts, from 1."""

    def __post_init__(self) -> None:
        """Raise `RunError` if a parameter is out of its range."""
        check_numbers(self, RunError)
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(field.default, int):
                if value < 1:
                    raise RunError(f"{field.name} is a count, at least 1; got {value!r}")
            elif not 0 <= value <= 1:
                raise RunError(f"{field.name} is a share, from 0 to 1; got {value!r}")


ALGORITHMS: Registry[type[Algorithm]] = Registry(
    "algorithm", lambda registered: not registered.__module__.startswith("autoprox.")
)
"""The search algorithms by name."""

OneAlgorithm = TypeVar("OneAlgorithm", bound=type[Algorithm])


def algorithm(name: str) -> Callable[[OneAlgorithm], OneAlgorithm]:
    """Register a search algorithm, so that a run can name it.

    Args:
        name: the name, as in ``--algorithm NAME``.

    Raises:
        RunError: what it decorates is no dataclass derived from `Algorithm`, a parameter has no
            default or none that can be kept in a file, or there is no docstring.
        AutoproxError: the name is taken.
    """

    def register(kind: OneAlgorithm) -> OneAlgorithm:
        if not (inspect.isclass(kind) and issubclass(kind, Algorithm)):
            raise RunError(f"algorithm {name!r}: derive the class from autoprox.Algorithm")
        summary = kind.__doc__ or ""
        documented = summary and not summary.startswith(f"{kind.__name__}(")  # the dataclass's own
        if not documented and sys.flags.optimize < 2:  # python -OO drops docstrings
            raise RunError(f"algorithm {name!r}: say how it searches in a docstring")
        if "__dataclass_fields__" not in vars(kind):
            raise RunError(f"algorithm {name!r}: decorate the class with dataclass(eq=False) too")
        try:
            check_parameters(kind())
        except TypeError as error:
            raise RunError(f"algorithm {name!r}: give every parameter a default: {error}") from None
        ALGORITHMS.register(name, kind)
        return kind

    return register


def check_parameters(algorithm: Algorithm) -> None:
    """Raise `RunError` if a parameter cannot be kept in a file as it is."""
    for name, value in algorithm.parameters().items():
        try:
            same = json.loads(json.dumps(value, allow_nan=False)) == value
        except (TypeError, ValueError):
            same = False
        if not same:
            raise RunError(
                f"parameter {name!r} of {type(algorithm).__name__} is kept in the run's settings: "
                f"expected a number, a text, true or false, or a list of these; got {value!r}"
            )


def name_of(algorithm: Algorithm) -> str:
    """Return the name of an algorithm: the registered one, or that of its class.

    Raises:
        RunError: it is no algorithm, or its class has the name of a registered one.
    """
    if not isinstance(algorithm, Algorithm):
        raise RunError(
            "algorithm is a name or an object of a class derived from autoprox.Algorithm; "
            f"got {algorithm!r}"
        )
    for name, registered in ALGORITHMS.items():
        if registered is type(algorithm):
            return name
    name = type(algorithm).__name__
    if name in ALGORITHMS:
        raise RunError(f"{name!r} is the name of a registered algorithm; rename the class")
    return name

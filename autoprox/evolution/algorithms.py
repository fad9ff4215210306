"""The search algorithms that ship: what to try next, and what to keep.

Their fields are their parameters, see `Algorithm`.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from autoprox.errors import UnknownNameError
from autoprox.evaluation.evaluate import tensor_reductions
from autoprox.evolution.base import ALGORITHMS as ALGORITHMS
from autoprox.evolution.base import (
    Algorithm,
    Checked,
    Proposal,
    World,
    algorithm,
    ranked,
    worth,
)
from autoprox.evolution.drawing import random
from autoprox.evolution.judge import Candidate
from autoprox.evolution.lexicase import lexicase
from autoprox.evolution.variation import ATTEMPTS
from autoprox.language.graph import Graph

ROUNDING = 2e-7
"""What is nearer to a limit on correlations may be beyond it but for rounding, and counts so: ranks
are kept in float32, and a product of them, in float64, is wrong by up to about 1e-7."""


@algorithm("random")
@dataclass(eq=False)
class Random(Algorithm):
    """Random search: the baseline that every other algorithm has to beat."""

    def offspring(self) -> list[Proposal]:
        """Return random graphs."""
        return [self.newcomer() for _ in range(self.proposals)]


@algorithm("autoprox")
@dataclass(eq=False)
class AutoProx(Checked):
    """Algorithm 1 of Auto-Prox (Wei et al., AAAI 2024): mutation with elitism-preserve.

    Draw a share of the population; mutate one of its best; accept the child only if it is better
    than its parent by a margin, else mutate the same parent again; remove the worst. The paper's
    sizes are not published: those here are ours, and so is the cap on repeated mutation, which the
    algorithm as printed does not have. `proposals` such iterations run side by side. A child that
    is a member already enters once more, as nothing as printed forbids it: after 1,500 candidates
    on vit101 69 of the 100 members differ.
    """

    sampled: float = 0.5
    top: int = 5
    margin: float = 1e-3
    tries: int = 5

    def begin(self, world: World) -> None:
        """Start with no parent in work."""
        super().begin(world)
        self.at_work: list[tuple[Candidate, int]] = []

    def offspring(self) -> list[Proposal]:
        """Mutate the parents whose last child was refused, and new ones."""
        while len(self.at_work) < self.proposals:
            drawn = random.sample(self.population, max(1, int(self.sampled * len(self.population))))
            self.at_work.append((random.choice(ranked(drawn)[: self.top]), 0))
        return [self.mutant(parent.graph) for parent, _ in self.at_work]

    def survive(self, candidates: Sequence[Candidate]) -> None:
        """Accept the children that improve on their parents, then remove as many of the worst."""
        refused = []
        for (parent, tries), child in zip(self.at_work, candidates, strict=True):
            gain = -1.0 if child.fitness is None else child.fitness - (parent.fitness or 0.0)
            if gain >= self.margin:
                self.population.append(child)
            elif tries + 1 < self.tries:
                refused.append((parent, tries + 1))
        self.at_work = refused
        self.remove_worst()

    def state(self) -> dict[str, Any]:
        """Return the parents in work."""
        return super().state() | {
            "retries": [[parent.graph.text, tries] for parent, tries in self.at_work]
        }

    def restore(
        self, population: list[Candidate], state: Mapping[str, Any], known: Mapping[str, Candidate]
    ) -> None:
        """Take population and parents back; a parent may have left the population since."""
        super().restore(population, state, known)
        self.at_work = [(known[text], tries) for text, tries in state["retries"]]


@algorithm("emq")
@dataclass(eq=False)
class Emq(Checked):
    """EMQ's diversity-prompting selection, with its screening (Dong et al., ICCV 2023).

    Two of the best cross and mutate; a random newcomer competes with their child, the better enters
    and the worst leaves. Compatibility screening: a candidate that ranks like a member is not let
    in (equivalence check), nor is one that cannot tell the first few architectures apart (early
    rejection). The sizes are those of the authors' sibling systems, where the paper gives none.
    """

    top: float = 0.2
    crossover: float = 0.5
    mutation: float = 0.5

    def admits(self, candidate: Candidate) -> bool:
        """Reject early what gives the first few architectures the same score."""
        return super().admits(candidate) and candidate.tells_few_apart

    def offspring(self) -> list[Proposal]:
        """Return child and newcomer, child and newcomer, and so on."""
        best = ranked(self.population)[: max(2, int(self.top * len(self.population)))]
        proposals = []
        for _ in range(self.proposals // 2):
            first, second = random.sample(best, 2)
            child, parents = first.graph, [first.graph.text]
            if random.random() < self.crossover:
                child = self.variation.crossed(child, second.graph)
                parents.append(second.graph.text)
            if child is first.graph or random.random() < self.mutation:
                child = self.variation.mutated(child)
            proposals += [Proposal(child, tuple(parents)), self.newcomer()]
        return proposals

    def survive(self, candidates: Sequence[Candidate]) -> None:
        """Let the better of each pair in if it passes the screening; remove the worst."""
        better: list[Candidate] = []
        for pair in zip(candidates[::2], candidates[1::2], strict=True):
            better += ranked([candidate for candidate in pair if self.admits(candidate)])[:1]
        self.join(better)


@algorithm("default")
@dataclass(eq=False)
class Default(Checked):
    """Ours: lexicase parents, survival of the fittest that rank differently, new starts.

    Parents are chosen among the best of the population by lexicase selection over the columns, so
    that a proxy that is outstanding on one target has children even if others have a higher mean;
    with ``--over lexicase`` in the whole population, over the families.
    What survives is best by `worth`, and ranks the architectures of the search split differently
    from everything better (clearing). A population without a better best for some generations has
    found what it will find: a new one starts at random, and the two join when that one stops, too.
    Reducing the tensors of all architectures takes most of the time, so most children combine
    reductions that are known already.
    """

    newcomers: float = 0.05
    crossover: float = 0.4
    alike: float = 0.995
    top: float = 0.2
    competing: int = 5
    patience: int = 6
    novel: float = 0.3
    """How often a child may bring reductions of tensors that no candidate had before."""

    def begin(self, world: World) -> None:
        """Start with a population that has no best yet."""
        super().begin(world)
        self.highest: float | None = None
        self.stale = 0
        self.elders: list[Candidate] = []
        self.reductions: set[Graph] = set()

    def tell(self, candidates: Sequence[Candidate]) -> None:
        """Fill the population or let the best survive; where nothing gets better, start anew."""
        super().tell(candidates)
        self._know(candidates)
        best = max(map(worth, self.population), default=None)
        if best is not None and (self.highest is None or best > self.highest):
            self.highest, self.stale = best, 0
        else:
            self.stale += 1
        if self.filled and self.stale >= self.patience:
            self.highest, self.stale = None, 0
            elders, self.elders = self.elders, []
            if elders:
                self.survive(elders)
            else:
                self.elders, self.population, self.filled = self.population, [], False

    @property
    def kept(self) -> list[Candidate]:
        """The members, and after them the population that waits for a new one to join."""
        return [*self.population, *self.elders]

    def admits(self, candidate: Candidate) -> bool:
        """Leave out what an earlier population knew: its ranks are no longer at hand."""
        return super().admits(candidate) and candidate.ranks is not None

    def state(self) -> dict[str, Any]:
        """Return how long the population has not had a better best."""
        facts = {"highest": self.highest, "stale": self.stale, "elders": len(self.elders)}
        return super().state() | facts

    def restore(
        self, population: list[Candidate], state: Mapping[str, Any], known: Mapping[str, Candidate]
    ) -> None:
        """Take population, patience and what is known back."""
        members = len(population) - state["elders"]
        super().restore(population[:members], state, known)
        self.elders = population[members:]
        self.highest, self.stale = state["highest"], state["stale"]
        self._know(known.values())

    def _know(self, candidates: Iterable[Candidate]) -> None:
        """Remember the reductions of tensors that candidates have."""
        valid = (candidate.graph for candidate in candidates if candidate.fitness is not None)
        self.reductions.update(itertools.chain.from_iterable(map(tensor_reductions, valid)))

    def offspring(self) -> Iterable[Proposal]:
        """Return children of lexicase parents and a few newcomers."""
        return (self._cheap_child() for _ in range(self.proposals))

    def _cheap_child(self) -> Proposal:
        """Return a child, most often one whose reductions of tensors are known."""
        for _ in range(ATTEMPTS):
            child = self._child()
            known = self.reductions.issuperset(tensor_reductions(child.graph))
            if known or random.random() < self.novel:
                break
        return child

    def _child(self) -> Proposal:
        if not self.population or random.random() < self.newcomers:
            return self.newcomer()
        first = self._parent()
        if random.random() >= self.crossover:
            return self.mutant(first)
        second = self._parent()
        return Proposal(self.variation.crossed(first, second), (first.text, second.text))

    def _parent(self) -> Graph:
        if self.families:
            return lexicase(self.population, self.families).graph
        best = self.population[: max(2, int(self.top * len(self.population)))]
        return lexicase(random.sample(best, min(self.competing, len(best)))).graph

    def survive(self, candidates: Sequence[Candidate]) -> None:
        """Keep the best that rank differently from every better one."""
        import torch

        contenders, ranks = [], []
        for candidate in ranked([*self.population, *candidates], worth):
            if candidate.ranks is not None:
                contenders.append(candidate)
                ranks.append(torch.from_numpy(candidate.ranks))
        if not contenders:
            self.population = []
            return
        # By torch, which keeps to one thread: numpy's threads wait in the way of others.
        table = torch.stack(ranks).double()
        alike = (table @ table.T > self.alike - ROUNDING).numpy()
        alone = np.ones(len(contenders), dtype=bool)
        self.population = []
        for place, candidate in enumerate(contenders):
            if alone[place] and len(self.population) < self.size:
                self.population.append(candidate)
                alone &= ~alike[place]


class UnknownAlgorithmError(UnknownNameError):
    """A name under which no algorithm is registered."""


def algorithm_of(name: str, parameters: Mapping[str, Any]) -> Algorithm:
    """Return a registered algorithm; a parameter that is not given has its default.

    Raises:
        UnknownAlgorithmError: there is no such algorithm.
        UnknownNameError: it has no such parameter.
        RunError: a parameter is out of its range.
    """
    if name not in ALGORITHMS:
        raise UnknownAlgorithmError("algorithm", name, ALGORITHMS)
    registered = ALGORITHMS[name]
    known = [field.name for field in dataclasses.fields(registered)]
    for parameter in parameters:
        if parameter not in known:
            raise UnknownNameError(f"parameter of the algorithm {name}", parameter, known)
    return registered(**parameters)

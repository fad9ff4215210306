"""The search algorithms: what to try next, and what to keep.

One class each, all with `ask` and `tell`. `ask` proposes graphs; the search has them judged and
hands the candidates back to `tell` in the same order. All draw from the global `random`, inside
`drawing_from`. `population` is all their state, but for what `state` returns, so that a checkpoint
is small and a resumed run goes on as if nothing had happened.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from autoprox.evaluation.evaluate import tensor_reductions
from autoprox.evolution.judge import Candidate
from autoprox.evolution.lexicase import lexicase
from autoprox.evolution.variation import ATTEMPTS, Variation
from autoprox.language.graph import Graph
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


ALGORITHMS: Registry[type[Base]] = Registry("algorithm")
"""The search algorithms by name."""


ROUNDING = 2e-7
"""What is nearer to a limit on correlations may be beyond it but for rounding, and counts so: ranks
are kept in float32, and a product of them, in float64, is wrong by up to about 1e-7."""

PARSIMONY = 1e-3
"""What a node costs in joint correlation.

Simple proxies hold what they promise on unseen architectures.
"""


def worth(candidate: Candidate) -> float:
    """Return the fitness less what the proxy's size costs."""
    return (candidate.fitness or 0.0) - PARSIMONY * candidate.graph.complexity


def ranked(
    candidates: Sequence[Candidate], key: Callable[[Candidate], float] | None = None
) -> list[Candidate]:
    """Return the candidates with a fitness, best first; equals in the order of size, then text.

    Args:
        candidates: in any order; those that failed are left out.
        key: what is best; the fitness if None.
    """
    valid = [each for each in candidates if each.fitness is not None]
    value = key or (lambda each: each.fitness or 0.0)
    return sorted(valid, key=lambda c: (-value(c), c.graph.complexity, c.graph.text))


class Base:
    """What the algorithms share: a population that starts at random, and batches of a fixed size.

    Args:
        variation: random proxies and offspring.
        size: the size of the population.
        batch: how many graphs `ask` returns; part of the result, so it does not follow the number
            of jobs.
        seeds: graphs that the first population starts with.
    """

    def __init__(
        self, variation: Variation, size: int, batch: int, seeds: Sequence[Graph] = ()
    ) -> None:
        """Start with an empty population."""
        self.variation = variation
        self.size = size
        self.batch = batch
        self.seeds = tuple(seeds)
        self.population: list[Candidate] = []
        self.filled = False

    def ask(self) -> Iterable[Proposal]:
        """Return random graphs until the population is full, offspring from then on."""
        if not self.filled:
            seeds = [] if self.population else [Proposal(seed) for seed in self.seeds]
            return seeds + [self.newcomer() for _ in range(self.batch - len(seeds))]
        return self.offspring()

    def newcomer(self) -> Proposal:
        """Return a random graph."""
        return Proposal(self.variation.random())

    def mutant(self, parent: Graph) -> Proposal:
        """Return a mutated graph."""
        return Proposal(self.variation.mutated(parent), (parent.text,))

    def tell(self, candidates: Sequence[Candidate]) -> None:
        """Fill the population first; then let the algorithm decide who survives."""
        if not self.filled:
            known = {each.behaviour for each in self.population}
            for each in candidates:
                if self.admits(each) and each.behaviour not in known:
                    known.add(each.behaviour)
                    self.population.append(each)
            self.remove_worst()
            self.filled = len(self.population) == self.size
        else:
            self.survive(candidates)

    def admits(self, candidate: Candidate) -> bool:
        """Say whether a candidate may be a member at all."""
        return candidate.fitness is not None

    def offspring(self) -> Iterable[Proposal]:
        """Return the graphs to judge next, given a full population."""
        raise NotImplementedError

    def survive(self, candidates: Sequence[Candidate]) -> None:
        """Make the next population of the present one and the judged offspring."""
        raise NotImplementedError

    def state(self) -> dict[str, Any]:
        """Return whether the first population is complete: it may shrink later."""
        return {"filled": self.filled}

    def restore(self, population: list[Candidate], state: dict[str, Any]) -> None:
        """Take the population back."""
        self.population = population
        self.filled = state["filled"]

    def remove_worst(self) -> None:
        """Remove the candidates with the lowest fitness until the population has its size."""
        self.population = ranked(self.population)[: self.size]


class Random(Base):
    """Random search: the baseline that every other algorithm has to beat."""

    def offspring(self) -> list[Proposal]:
        """Return random graphs."""
        return [self.newcomer() for _ in range(self.batch)]

    def survive(self, candidates: Sequence[Candidate]) -> None:
        """Keep the best that differ in behaviour."""
        known = {each.behaviour for each in self.population}
        for each in ranked(candidates):
            if each.behaviour not in known:
                known.add(each.behaviour)
                self.population.append(each)
        self.remove_worst()


class AutoProx(Base):
    """Algorithm 1 of Auto-Prox (Wei et al., AAAI 2024): mutation with elitism-preserve.

    Draw a share of the population; mutate one of its best; accept the child only if it is better
    than its parent by a margin, else mutate the same parent again; remove the worst. The paper's
    sizes are not published: those here are ours, and so is the cap on repeated mutation, which the
    algorithm as printed does not have. `batch` such iterations run side by side.
    """

    SAMPLED = 0.5
    TOP = 5
    MARGIN = 1e-3
    RETRIES = 5

    def __init__(
        self, variation: Variation, size: int, batch: int, seeds: Sequence[Graph] = ()
    ) -> None:
        """Start with no parent in work."""
        super().__init__(variation, size, batch, seeds)
        self.retries: list[tuple[Candidate, int]] = []

    def offspring(self) -> list[Proposal]:
        """Mutate the parents whose last child was refused, and new ones."""
        while len(self.retries) < self.batch:
            drawn = random.sample(self.population, max(1, int(self.SAMPLED * len(self.population))))
            self.retries.append((random.choice(ranked(drawn)[: self.TOP]), 0))
        return [self.mutant(parent.graph) for parent, _ in self.retries]

    def survive(self, candidates: Sequence[Candidate]) -> None:
        """Accept the children that improve on their parents, then remove as many of the worst."""
        refused = []
        for (parent, tries), child in zip(self.retries, candidates, strict=True):
            gain = -1.0 if child.fitness is None else child.fitness - (parent.fitness or 0.0)
            if gain >= self.MARGIN:
                self.population.append(child)
            elif tries + 1 < self.RETRIES:
                refused.append((parent, tries + 1))
        self.retries = refused
        self.remove_worst()

    def state(self) -> dict[str, Any]:
        """Return the parents in work."""
        return super().state() | {
            "retries": [[parent.graph.text, tries] for parent, tries in self.retries]
        }

    def restore(self, population: list[Candidate], state: dict[str, Any]) -> None:
        """Take population and parents back; a parent may have left the population since."""
        super().restore(population, state)
        known: dict[str, Candidate] = state["candidates"]
        self.retries = [(known[text], tries) for text, tries in state["retries"]]


class Emq(Base):
    """EMQ's diversity-prompting selection, with its screening (Dong et al., ICCV 2023).

    Two of the best cross and mutate; a random newcomer competes with their child, the better enters
    and the worst leaves. Compatibility screening: a candidate that ranks like a member is not let
    in (equivalence check), nor is one that cannot tell the first few architectures apart (early
    rejection). The sizes are those of the authors' sibling systems, where the paper gives none.
    """

    TOP = 0.2
    CROSSOVER = 0.5
    MUTATION = 0.5

    def admits(self, candidate: Candidate) -> bool:
        """Reject early what gives the first few architectures the same score."""
        return super().admits(candidate) and candidate.tells_few_apart

    def offspring(self) -> list[Proposal]:
        """Return child and newcomer, child and newcomer, and so on."""
        best = ranked(self.population)[: max(2, int(self.TOP * len(self.population)))]
        proposals = []
        for _ in range(self.batch // 2):
            first, second = random.sample(best, 2)
            child, parents = first.graph, [first.graph.text]
            if random.random() < self.CROSSOVER:
                child = self.variation.crossed(child, second.graph)
                parents.append(second.graph.text)
            if child is first.graph or random.random() < self.MUTATION:
                child = self.variation.mutated(child)
            proposals += [Proposal(child, tuple(parents)), self.newcomer()]
        return proposals

    def survive(self, candidates: Sequence[Candidate]) -> None:
        """Let the better of each pair in if it passes the screening; remove the worst."""
        known = {each.behaviour for each in self.population}
        for pair in zip(candidates[::2], candidates[1::2], strict=True):
            better = ranked([each for each in pair if self.admits(each)])[:1]
            if better and better[0].behaviour not in known:
                known.add(better[0].behaviour)
                self.population += better
        self.remove_worst()


class Default(Base):
    """Ours: lexicase parents, survival of the fittest that rank differently, new starts.

    Parents are chosen among the best of the population by lexicase selection over the columns, so
    that a proxy that is outstanding on one target has children even if others have a higher mean.
    What survives is best by `worth`, and ranks the architectures of the search split differently
    from everything better (clearing). A population without a better best for some generations has
    found what it will find: a new one starts at random. Reducing the tensors of all architectures
    takes most of the time, so most children combine reductions that are known already.
    """

    NEWCOMERS = 0.05
    CROSSOVER = 0.4
    ALIKE = 0.995
    TOP = 0.2
    COMPETING = 5
    PATIENCE = 6
    NOVEL = 0.1
    """How often a child may bring reductions of tensors that no candidate had before."""

    def __init__(
        self, variation: Variation, size: int, batch: int, seeds: Sequence[Graph] = ()
    ) -> None:
        """Start with a population that has no best yet."""
        super().__init__(variation, size, batch, seeds)
        self.highest: float | None = None
        self.stale = 0
        self.reductions: set[Graph] = set()

    def tell(self, candidates: Sequence[Candidate]) -> None:
        """Fill the population or let the best survive; start anew where nothing gets better."""
        super().tell(candidates)
        self._know(candidates)
        best = max(map(worth, self.population), default=None)
        if best is not None and (self.highest is None or best > self.highest):
            self.highest, self.stale = best, 0
        else:
            self.stale += 1
        if self.filled and self.stale >= self.PATIENCE:
            self.population, self.filled = [], False
            self.highest, self.stale = None, 0

    def admits(self, candidate: Candidate) -> bool:
        """Leave out what an earlier population knew: its ranks are no longer at hand."""
        return super().admits(candidate) and candidate.ranks is not None

    def state(self) -> dict[str, Any]:
        """Return how long the population has not had a better best."""
        return super().state() | {"highest": self.highest, "stale": self.stale}

    def restore(self, population: list[Candidate], state: dict[str, Any]) -> None:
        """Take population, patience and what is known back."""
        super().restore(population, state)
        self.highest, self.stale = state["highest"], state["stale"]
        self._know(state["candidates"].values())

    def _know(self, candidates: Iterable[Candidate]) -> None:
        """Remember the reductions of tensors that candidates have."""
        valid = (each.graph for each in candidates if each.fitness is not None)
        self.reductions.update(itertools.chain.from_iterable(map(tensor_reductions, valid)))

    def offspring(self) -> Iterable[Proposal]:
        """Return children of lexicase parents and a few newcomers."""
        return (self._cheap_child() for _ in range(self.batch))

    def _cheap_child(self) -> Proposal:
        """Return a child, most often one whose reductions of tensors are known."""
        for _ in range(ATTEMPTS):
            child = self._child()
            known = self.reductions.issuperset(tensor_reductions(child.graph))
            if known or random.random() < self.NOVEL:
                break
        return child

    def _child(self) -> Proposal:
        if not self.population or random.random() < self.NEWCOMERS:
            return self.newcomer()
        first = self._parent()
        if random.random() >= self.CROSSOVER:
            return self.mutant(first)
        second = self._parent()
        return Proposal(self.variation.crossed(first, second), (first.text, second.text))

    def _parent(self) -> Graph:
        best = self.population[: max(2, int(self.TOP * len(self.population)))]
        return lexicase(random.sample(best, min(self.COMPETING, len(best)))).graph

    def survive(self, candidates: Sequence[Candidate]) -> None:
        """Keep the best that rank differently from every better one."""
        import torch

        contenders, ranks = [], []
        for each in ranked([*self.population, *candidates], worth):
            if each.ranks is not None:
                contenders.append(each)
                ranks.append(torch.from_numpy(each.ranks))
        if not contenders:
            self.population = []
            return
        # By torch, which keeps to one thread: numpy's threads wait in the way of others.
        table = torch.stack(ranks).double()
        alike = (table @ table.T > self.ALIKE - ROUNDING).numpy()
        alone = np.ones(len(contenders), dtype=bool)
        self.population = []
        for place, each in enumerate(contenders):
            if alone[place] and len(self.population) < self.size:
                self.population.append(each)
                alone &= ~alike[place]


ALGORITHMS.register("random", Random)
ALGORITHMS.register("autoprox", AutoProx)
ALGORITHMS.register("emq", Emq)
ALGORITHMS.register("default", Default)

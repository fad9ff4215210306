"""Variation: random proxies, crossover and mutation, by DEAP's typed operators.

They draw from `autoprox.evolution.drawing.random`, so that one seed gives one result whatever else
the process does. Kinds have a stable hash, without which DEAP's typed crossover would pick other
points in every process.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from autoprox.assessment.ablation import replaced
from autoprox.errors import LanguageError
from autoprox.evaluation.evaluate import reduces_tensor
from autoprox.evolution.drawing import gp, random
from autoprox.evolution.vocabulary import Tree, Vocabulary
from autoprox.language.graph import Graph, apply, atom
from autoprox.primitives import PRIMITIVES
from autoprox.primitives.kinds import TENSOR_KINDS, Kind, Network
from autoprox.primitives.primitive import makes_constant
from autoprox.statistics import STATISTICS
from autoprox.statistics.words import OF_TEACHER, TAUGHT

GROWTH = 4
"""The height of the sub-trees that a mutation plants."""
PATIENCE = 1000
"""How many random proxies are drawn before the limits are taken to be impossible."""
REDUCTION_NODES = 6
"""The most distinct nodes of a reduction of tensors, itself and its statistics included.

All published proxies keep to it (SNIP's has five). Longer ones cost most of the time, as they are
computed entry by entry, and did not rank better.
"""
ATTEMPTS = 20
"""How often a variation is drawn again when it changed nothing or grew too large."""


@dataclass(frozen=True)
class Variation:
    """Random proxies and offspring within limits. Call it inside `drawing_from`.

    Attributes:
        vocabulary: the words.
        height: the height of random proxies.
        complexity: the most distinct nodes of any proxy.
        needs_bits: whether every proxy uses a statistic that depends on bits: on configurations of
            one network all others are constant.
        comparing: whether every proxy `compares` the network with its teacher.
    """

    vocabulary: Vocabulary
    height: int = 7
    complexity: int = 16
    needs_bits: bool = False
    comparing: bool = False

    def __post_init__(self) -> None:
        """Forget which graphs were sound: a word may have been defined anew."""
        is_sound.cache_clear()

    def random(self) -> Graph:
        """Return a random proxy."""
        for _ in range(PATIENCE):
            height = random.randint(self.vocabulary.heights[Network] + 1, self.height)
            graph = self.vocabulary.graph(self.vocabulary.random_tree(Network, height))
            if self.comparing:
                graph = self._compared(graph)
            if self.allows(graph):
                return graph
        raise LanguageError(
            f"no proxy of at most {self.complexity} nodes was drawn in {PATIENCE} attempts; "
            "allow more nodes (--complexity) or more statistics"
        )

    def _compared(self, graph: Graph) -> Graph:
        """Return a proxy with both networks' statistic in the place of one that it reads of one."""
        words = self.vocabulary.statistics
        taught = [node for node in graph if not node.args and node.word in TAUGHT]
        if compares(graph) or not taught:
            return graph
        node = random.choice(taught)
        statistic = node.word.removeprefix(OF_TEACHER)
        if statistic not in words or OF_TEACHER + statistic not in words:
            return graph
        known = [(name, PRIMITIVES[name]) for name in self.vocabulary.primitives]
        joining = [name for name, word in known if word.arity == 2 and node.kind in word.kinds]
        pair = apply(random.choice(joining), atom(statistic), atom(OF_TEACHER + statistic))
        return replaced(graph, node, pair)

    def allows(self, graph: Graph) -> bool:
        """Say whether a proxy is within the limits and has no part that is plainly constant."""
        if graph.complexity > self.complexity or not is_sound(graph):
            return False
        if self.comparing and not compares(graph):
            return False
        return not self.needs_bits or any(STATISTICS[name].needs_bits for name in graph.statistics)

    def mutated(self, parent: Graph) -> Graph:
        """Return a proxy that differs from `parent` in one place, or a random one if that fails."""
        for _ in range(ATTEMPTS):
            tree = gp.PrimitiveTree(self.vocabulary.tree(parent))
            (tree,) = random.choices(MUTATIONS, MUTATION_WEIGHTS)[0](tree, self.vocabulary)
            graph = self.vocabulary.graph(list(tree))
            if graph is not parent and self.allows(graph):
                return graph
        return self.random()

    def crossed(self, first: Graph, second: Graph) -> Graph:
        """Return `first` with a sub-expression of `second` in place of one of its own.

        The two are of the same kind.
        """
        for _ in range(ATTEMPTS):
            trees = [gp.PrimitiveTree(self.vocabulary.tree(parent)) for parent in (first, second)]
            child = self.vocabulary.graph(list(gp.cxOnePoint(*trees)[0]))
            if child is not first and child is not second and self.allows(child):
                return child
        return self.mutated(first)


@lru_cache(maxsize=2**13)
def is_sound(graph: Graph) -> bool:
    """Say whether no part of a graph is plainly constant, or a long reduction of tensors."""
    long = graph.complexity > REDUCTION_NODES and reduces_tensor(graph)
    return not long and not is_constant(graph) and all(map(is_sound, graph.args))


@lru_cache(maxsize=2**13)
def compares(graph: Graph) -> bool:
    """Say whether tensors of a network and of its teacher meet, and not only numbers made of them.

    What is read of the teacher alone is much the same beside every network.
    """
    whose = {name.startswith(OF_TEACHER) for name in graph.statistics}
    if len(whose) < 2:
        return False
    return graph.kind in TENSOR_KINDS or any(map(compares, graph.args))


def is_constant(node: Graph) -> bool:
    """Say whether a node is one number, whatever the network, by facts of its topmost words."""
    if not node.args:
        return False
    primitive = PRIMITIVES[node.word]
    if primitive.arity == 2:
        return primitive.facts.diagonal == "constant" and node.args[0] is node.args[1]
    (arg,) = node.args
    return bool(arg.args) and makes_constant(primitive, PRIMITIVES[arg.word])


def _plant(tree: Any, vocabulary: Vocabulary) -> tuple[Any]:
    """Replace a sub-tree by a random one."""

    def expression(pset: Any, type_: type[Kind]) -> Tree:
        return vocabulary.random_tree(
            type_, max(vocabulary.heights[type_], random.randint(1, GROWTH))
        )

    mutated: tuple[Any] = gp.mutUniform(tree, expression, vocabulary.pset)
    return mutated


def _insert(tree: Any, vocabulary: Vocabulary) -> tuple[Any]:
    """Put a word above a sub-tree."""
    index = random.randrange(len(tree))
    span = tree.searchSubtree(index)
    kind = tree[index].ret
    above = [entry for entry in vocabulary.pset.primitives[kind] if kind in entry.args]
    if above:
        entry = random.choice(above)
        place = random.randrange(entry.arity)
        planted: Tree = [entry]
        for i, arg in enumerate(entry.args):
            low = vocabulary.heights[arg]
            planted += (
                tree[span]
                if i == place
                else vocabulary.random_tree(arg, random.randint(low, low + 2))
            )
        tree[span] = planted
    return (tree,)


MUTATIONS: tuple[Callable[[Any, Vocabulary], tuple[Any]], ...] = (
    _plant,
    lambda tree, vocabulary: gp.mutNodeReplacement(tree, vocabulary.pset),  # one word by another
    _insert,
    lambda tree, vocabulary: gp.mutShrink(tree),  # the word above an argument by the argument
)
MUTATION_WEIGHTS = (4, 3, 2, 2)

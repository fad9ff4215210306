"""The words that evolution writes with, as DEAP's typed primitive set."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from functools import cached_property
from typing import Any

from deap import gp

from autoprox.errors import LanguageError
from autoprox.graph import Graph, apply, atom
from autoprox.kinds import KINDS, Kind, Layer, Network
from autoprox.primitives import PRIMITIVES, Form
from autoprox.statistics import STATISTICS

Tree = list[Any]
"""A tree in DEAP's form: `gp.Primitive` and `gp.Terminal` nodes, parents before children."""

SEPARATOR = "@"
LEAF_SHARE = 0.3
"""How often a random tree ends in a statistic where it could go on."""
FORM_WEIGHTS = {Form.REDUCTION: 5, Form.ELEMENTWISE: 4, Form.NORMALISATION: 1, Form.SELECTOR: 1}


class Vocabulary:
    """The statistics and primitives of a search, and the trees that can be written with them.

    Args:
        statistics: names of statistics.
        primitives: names of primitives; None for all.

    Raises:
        UnknownNameError: a name is unknown.
        LanguageError: no proxy can be written with these words.
    """

    def __init__(self, statistics: Sequence[str], primitives: Sequence[str] | None = None) -> None:
        """Build the primitive set: one typed entry for each kind that a primitive takes."""
        self.statistics = tuple(statistics)
        self.primitives = tuple(PRIMITIVES if primitives is None else primitives)
        self.pset = gp.PrimitiveSetTyped("proxy", [], Network)
        for name in self.statistics:
            self.pset.addTerminal(name, STATISTICS[name].kind, name=name)
        self._choices: dict[type[Kind], dict[Form, list[Any]]] = defaultdict(lambda: defaultdict(list))
        for name in self.primitives:
            made = PRIMITIVES[name]
            for kind in made.kinds:
                typed = f"{name}{SEPARATOR}{kind.__name__}"
                self.pset.addPrimitive(abs, [kind] * made.arity, made.result(kind), name=typed)
                self._choices[made.result(kind)][made.form].append(self.pset.mapping[typed])
        if Network not in self.heights:
            raise LanguageError(
                f"no proxy can be written with the statistics {', '.join(self.statistics) or '(none)'} and the "
                f"primitives {', '.join(self.primitives) or '(none)'}; reductions lead to one number a network"
            )

    @cached_property
    def heights(self) -> dict[type[Kind], int]:
        """The height of the smallest tree of each kind that can be written at all."""
        known = {kind: 1 for kind in KINDS if self.pset.terminals[kind]}
        for _ in KINDS:
            for kind, forms in self._choices.items():
                for entry in (entry for entries in forms.values() for entry in entries):
                    if all(arg in known for arg in entry.args):
                        height = 1 + max(known[arg] for arg in entry.args)
                        known[kind] = min(known.get(kind, height), height)
        return known

    def random_tree(self, kind: type[Kind], height: int) -> Tree:
        """Return a random tree of `kind`, at most `height` high if that can be.

        It draws from the global `random`, as DEAP's own generators do; see `drawing_from`.
        """
        terminals = self.pset.terminals[kind]
        fitting = {
            form: fits
            for form, entries in self._choices[kind].items()
            if (fits := [entry for entry in entries if self._fits(entry, height)])
        }
        if terminals and (not fitting or random.random() < LEAF_SHARE):
            return [random.choice(terminals)]
        if not fitting:
            return self.random_tree(kind, self.heights[kind])
        forms = list(fitting)
        form = random.choices(forms, [FORM_WEIGHTS[each] for each in forms])[0]
        entry = self._entry(fitting[form])
        return [entry, *(node for arg in entry.args for node in self.random_tree(arg, height - 1))]

    def _entry(self, entries: list[Any]) -> Any:
        """Choose a kind of argument first, then a word: kinds with many words are not favoured."""
        kinds = list(dict.fromkeys(entry.args[0] for entry in entries))
        kind = random.choice(kinds)
        return random.choice([entry for entry in entries if entry.args[0] is kind])

    def _fits(self, entry: Any, height: int) -> bool:
        return all(self.heights.get(arg, height) < height for arg in entry.args)

    def graph(self, tree: Tree) -> Graph:
        """Return the graph of a tree."""
        stack: list[Graph] = []
        for node in reversed(tree):
            if node.arity:
                args = [stack.pop() for _ in range(node.arity)]
                stack.append(apply(node.name.partition(SEPARATOR)[0], *args))
            else:
                stack.append(atom(node.name))
        (graph,) = stack
        return graph

    def tree(self, graph: Graph) -> Tree:
        """Return a graph as a tree; shared sub-expressions are written out.

        Raises:
            UnknownNameError: the graph has a word that is not of this vocabulary.
        """
        if not graph.args:
            if graph.kind is None:
                return [gp.Terminal(graph.word, True, Layer)]
            return [self.pset.mapping[graph.word]]
        typed = f"{graph.word}{SEPARATOR}{graph.args[0].kind.__name__}"
        return [self.pset.mapping[typed], *(node for arg in graph.args for node in self.tree(arg))]

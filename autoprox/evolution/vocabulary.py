"""The words that evolution writes with, as DEAP's typed primitive set."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import cached_property
from typing import Any

from autoprox.errors import LanguageError
from autoprox.evolution.drawing import gp, random
from autoprox.language.graph import Graph, apply, atom
from autoprox.primitives import PRIMITIVES, Form
from autoprox.primitives.kinds import KINDS, MATRIX_KINDS, Kind, Layer, Network, Number
from autoprox.primitives.matrices import ROW_WISE
from autoprox.runtime.arguments import listed
from autoprox.statistics import STATISTICS

Tree = list[Any]
"""A tree in DEAP's form: `gp.Primitive` and `gp.Terminal` nodes, parents before children."""

SEPARATOR = "@"
LEAF_SHARE = 0.3
"""How often a random tree ends in a statistic where it could go on."""
FORM_WEIGHTS = {Form.REDUCTION: 5, Form.ELEMENTWISE: 4, Form.NORMALISATION: 1, Form.SELECTOR: 1}


REMEMBERED = 100_000
"""How many graphs are remembered by the entry and the arguments that they were made of."""

NUMBERS = (0.5, 2.0, 3.0, 10.0)
"""The constants that evolution may put beside values of a layer or a network; and, where there is a
teacher, beside matrices, as temperatures divide logits."""


class Vocabulary:
    """The statistics and primitives of a search, and the trees that can be written with them.

    Args:
        statistics: names of statistics.
        primitives: names of primitives; None for all that evolution writes with by itself.
        seeds: graphs whose primitives are added.

    Raises:
        UnknownNameError: a name is unknown.
        LanguageError: no proxy can be written with these words.
    """

    def __init__(
        self,
        statistics: Sequence[str],
        primitives: Sequence[str] | None = None,
        seeds: Sequence[Graph] = (),
    ) -> None:
        """Build the primitive set: one typed entry for each kind that a primitive takes."""
        self.statistics: tuple[str, ...] = listed(statistics)
        taught = any(STATISTICS[name].needs_teacher for name in self.statistics)
        numbered = {Layer, Network, *(MATRIX_KINDS if taught else ())}
        if primitives is None:
            rows = ROW_WISE if taught else ()
            primitives = [name for name, word in PRIMITIVES.items() if word.evolved or name in rows]
        sown = [node.word for seed in seeds for node in seed if node.args]
        self.primitives = tuple(dict.fromkeys([*listed(primitives), *sown]))
        self._trees: dict[Graph, Tree] = {}
        self._graphs: dict[tuple[str, tuple[Graph, ...]], Graph] = {}
        self._known_fitting: dict[tuple[type[Kind], int], dict[Form, list[list[Any]]]] = {}
        self.pset = gp.PrimitiveSetTyped("proxy", [], Network)
        for name in self.statistics:
            self.pset.addTerminal(name, STATISTICS[name].kind, name=name)
        for value in NUMBERS:
            self.pset.addTerminal(value, Number, name=str(value))
        self._choices: dict[type[Kind], dict[Form, list[Any]]] = defaultdict(
            lambda: defaultdict(list)
        )
        for name in self.primitives:
            word = PRIMITIVES[name]
            for kind in word.kinds:
                if kind is Network and word.facts.flattening:
                    continue
                typed = f"{name}{SEPARATOR}{kind.__name__}"
                self.pset.addPrimitive(abs, [kind] * word.arity, word.result(kind), name=typed)
                self._choices[word.result(kind)][word.form].append(self.pset.mapping[typed])
                if word.arity == 2 and kind in numbered and word.kinds == KINDS:
                    typed = f"{typed}{SEPARATOR}{Number.__name__}"
                    self.pset.addPrimitive(abs, [kind, Number], kind, name=typed)
                    self._choices[kind][word.form].append(self.pset.mapping[typed])
        if Network not in self.heights:
            raise LanguageError(
                "no proxy can be written with the statistics "
                f"{', '.join(self.statistics) or '(none)'} and the primitives "
                f"{', '.join(self.primitives) or '(none)'}; reductions lead to one number a network"
            )

    @cached_property
    def heights(self) -> dict[type[Kind], int]:
        """The height of the smallest tree of each kind that can be written at all."""
        kinds: tuple[type[Kind], ...] = (*KINDS, Number)
        known = {kind: 1 for kind in kinds if self.pset.terminals[kind]}
        for _ in KINDS:
            for kind, forms in self._choices.items():
                for entry in (entry for entries in forms.values() for entry in entries):
                    if all(arg in known for arg in entry.args):
                        height = 1 + max(known[arg] for arg in entry.args)
                        known[kind] = min(known.get(kind, height), height)
        return known

    def random_tree(self, kind: type[Kind], height: int) -> Tree:
        """Return a random tree of `kind`, at most `height` high if that can be.

        It draws from `autoprox.evolution.drawing.random`.
        """
        terminals = self.pset.terminals[kind]
        fitting = self._fitting(kind, height)
        if terminals and (not fitting or random.random() < LEAF_SHARE):
            return [random.choice(terminals)]
        if not fitting:
            return self.random_tree(kind, self.heights[kind])
        (by_kind,) = random.choices(
            list(fitting.values()), [FORM_WEIGHTS[form] for form in fitting]
        )
        # A kind of argument first, then a word: kinds with many words are not favoured.
        entry = random.choice(random.choice(by_kind))
        return [entry, *(node for arg in entry.args for node in self.random_tree(arg, height - 1))]

    def _fitting(self, kind: type[Kind], height: int) -> dict[Form, list[list[Any]]]:
        """Return the entries that give `kind` at the root of a tree of at most that height.

        By form, then by the kind of the first argument.
        """
        fitting = self._known_fitting.get((kind, height))
        if fitting is None:
            fitting = self._known_fitting[kind, height] = {}
            for form, entries in self._choices[kind].items():
                by_kind: dict[type[Kind], list[Any]] = {}
                for entry in entries:
                    if all(self.heights.get(arg, height) < height for arg in entry.args):
                        by_kind.setdefault(entry.args[0], []).append(entry)
                if by_kind:
                    fitting[form] = list(by_kind.values())
        return fitting

    def graph(self, tree: Tree) -> Graph:
        """Return the graph of a tree."""
        stack: list[Graph] = []
        for node in reversed(tree):
            stack.append(self._node(node.name, tuple([stack.pop() for _ in range(node.arity)])))
        (graph,) = stack
        return graph

    def _node(self, name: str, args: tuple[Graph, ...]) -> Graph:
        """Return the graph of an entry; evolution often writes it with the same arguments."""
        known = self._graphs.get((name, args))
        if known is None:
            if len(self._graphs) >= REMEMBERED:
                self._graphs.clear()
            known = apply(name.partition(SEPARATOR)[0], *args) if args else atom(name)
            self._graphs[name, args] = known
        return known

    def tree(self, graph: Graph) -> Tree:
        """Return a graph as a new tree; shared sub-expressions are written out.

        Raises:
            LanguageError: the graph cannot be written in this vocabulary.
        """
        if graph not in self._trees:
            self._trees[graph] = self._written(graph)
        return list(self._trees[graph])

    def _written(self, graph: Graph) -> Tree:
        if graph.kind is None:
            return [gp.Terminal(graph.word, True, Number)]
        args = graph.args
        name = graph.word
        if args:
            if PRIMITIVES[graph.word].commutative:  # evolution puts numbers second
                args = tuple(sorted(args, key=lambda arg: arg.kind is None))
            first = args[0].kind or Number
            name += SEPARATOR + first.__name__
            if any(arg.kind is None for arg in args):
                name += SEPARATOR + Number.__name__
        if name not in self.pset.mapping:
            raise LanguageError(
                f"this search does not write {graph.word!r} as in {graph.text!r}; "
                "add the word to it"
            )
        return [self.pset.mapping[name], *(node for arg in args for node in self._written(arg))]

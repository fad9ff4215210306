"""The search as a user of DEAP would write it: `eaSimple`, `gp.compile` and NumPy.

On the same sampled arrays, trees of the same distribution, networks and figures as those of
`autoprox evolve`, with those of its words that are a line of NumPy, and all selectors. `gp.compile`
calls `eval` on text that DEAP wrote of trees in memory; nothing that comes from a file or a user is
evaluated. Nothing but the comparison uses this module.
"""

from __future__ import annotations

import operator
import random
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from deap import algorithms, base, gp, tools
from numpy.typing import NDArray

from autoprox.evaluation.blocks import whole
from autoprox.evaluation.evaluate import Table
from autoprox.evolution.variation import Variation
from autoprox.evolution.vocabulary import NUMBERS, Vocabulary
from autoprox.language.graph import Graph
from autoprox.primitives import PRIMITIVES, Form
from autoprox.primitives.kinds import KINDS, TENSOR_KINDS, Kind, KindType, Layer, Network, Number
from autoprox.ranking import Column, resolved, somers
from autoprox.statistics import STATISTICS, Measurement
from autoprox.timing.laps import Lap, Way, seconds_of
from autoprox.timing.stage import Stage

CROSSOVER, MUTATION = 0.5, 0.2
TOURNAMENT = 3
HEIGHT = 17
"""DEAP's usual settings, those of its documentation."""

GENERATIONS = 5
"""How many generations are bred, beside the first population."""

FAILED = -1.0
"""The fitness of a tree without a finite score on every network."""


Array = NDArray[Any]
"""Of one network: ``(layers, …)`` of a tensor, ``(layers,)`` of a Layer, one number of a Network.

NaN stands for a layer that lacks a statistic.
"""


def _mean(x: Array) -> Array:
    return np.asarray(np.nanmean(x) if x.ndim == 1 else x.reshape(len(x), -1).mean(1))


ELEMENTWISE: Mapping[str, Callable[..., Array]] = {
    "absolute": np.abs,
    "negative": np.negative,
    "square": np.square,
    "sqrt": lambda x: np.sqrt(np.maximum(x, 0)),
    "log": lambda x: np.log(np.where(x <= 0, 1, x)),
    "exp": lambda x: np.exp(np.minimum(x, 60.0)),
    "relu": lambda x: np.maximum(x, 0),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "tanh": np.tanh,
    "sign": np.sign,
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "divide": lambda x, y: x / np.where(y == 0, np.inf, y),
}
"""Functions of one or two values. Not guarded against rounding, which would make them slower."""

REDUCTIONS: Mapping[str, Callable[[Array, Array], Array]] = {
    "sum": lambda x, size: _mean(x) * size,
    "mean": lambda x, size: _mean(x),
    "std": lambda x, size: np.asarray(
        np.nanstd(x) if x.ndim == 1 else x.reshape(len(x), -1).std(1)
    ),
    "norm": lambda x, size: np.sqrt(_mean(x * x) * size),
    "max": lambda x, size: np.nanmax(x) if x.ndim == 1 else x.reshape(len(x), -1).max(1),
    "min": lambda x, size: np.nanmin(x) if x.ndim == 1 else x.reshape(len(x), -1).min(1),
}
"""Functions of a value and the numbers of entries of its rows' whole tensors: a number a row."""


def of_layers(function: Callable[[Array, Array], Array]) -> Callable[[Array], Array]:
    """Make a reduction count the layers that are there itself."""
    return lambda x: function(x, np.asarray(np.count_nonzero(~np.isnan(x))))


def select(x: Array, chosen: Array) -> Array:
    """Keep the layers that are chosen."""
    return np.where(chosen, x, np.nan)


def words() -> tuple[str, ...]:
    """Return the words that the rival writes with."""
    selectors = (name for name, each in PRIMITIVES.items() if each.form is Form.SELECTOR)
    return (*ELEMENTWISE, *REDUCTIONS, *selectors)


def writes(graph: Graph) -> bool:
    """Say whether the rival can write a graph."""
    return {node.word for node in graph if node.args} <= set(words())


class Chosen(Kind):
    """Which layers a selector keeps: ``(layers,)`` of bool."""


SIZES: dict[type[Kind], KindType] = {
    kind: KindType(f"{kind.__name__}Sizes", (Kind,), {}) for kind in TENSOR_KINDS
}
"""The types of the numbers of entries of the layers' whole tensors, ``(layers,)``, of each kind."""


class Fitness(base.Fitness):  # type: ignore[misc]  # DEAP ships no types
    """The joint correlation."""

    weights = (1.0,)


class Individual(gp.PrimitiveTree):  # type: ignore[misc]
    """A tree with its fitness."""

    def __init__(self, content: Any) -> None:
        """Start without a fitness."""
        super().__init__(content)
        self.fitness = Fitness()


class Rival:
    """DEAP's primitive set for the words of a search, on the networks of a table.

    Args:
        stage: says the statistics, and the size of the trees.
        table: the statistics, one measurement a network, sampled.
    """

    def __init__(self, stage: Stage, table: Table) -> None:
        """Read the arrays of every network."""
        vocabulary = Vocabulary(stage.words, words())
        self.variation = Variation(vocabulary, complexity=stage.settings.complexity)
        self._statistics = stage.words
        kinds = dict.fromkeys(STATISTICS[name].kind for name in self._statistics)
        self._sized = tuple(kind for kind in kinds if kind in SIZES)
        self._selectors = tuple(w for w in words() if PRIMITIVES[w].form is Form.SELECTOR)
        self.pset = self._primitive_set()
        self.inputs = [self._arrays(each) for each in table.measurements]

    def _primitive_set(self) -> Any:
        types: list[KindType] = [STATISTICS[name].kind for name in self._statistics]
        types += [SIZES[kind] for kind in self._sized] + [Chosen for _ in self._selectors]
        names = [*self._statistics, *(SIZES[kind].__name__ for kind in self._sized)]
        pset = gp.PrimitiveSetTyped("rival", types, Network)
        pset.renameArguments(
            **{f"ARG{i}": name for i, name in enumerate([*names, *self._selectors])}
        )
        for value in NUMBERS:
            pset.addTerminal(value, Number, name=repr(value))
        pset.addPrimitive(select, [Layer, Chosen], Layer, name="select")
        for word in (*ELEMENTWISE, *REDUCTIONS):
            self._add(pset, word)
        return pset

    def _add(self, pset: Any, word: str) -> None:
        """Add a word, for each kind that there are values of."""
        made = PRIMITIVES[word]
        for kind in made.kinds:
            if kind not in (*self._sized, Layer, Network):
                continue
            name = f"{word}_{kind.__name__}"
            if made.form is Form.ELEMENTWISE:
                pset.addPrimitive(ELEMENTWISE[word], [kind] * made.arity, kind, name=name)
                if made.arity == 2 and made.kinds == KINDS:
                    name += "_Number"
                    pset.addPrimitive(ELEMENTWISE[word], [kind, Number], kind, name=name)
                continue
            function = REDUCTIONS[word]
            if kind is Layer:
                pset.addPrimitive(of_layers(function), [kind], made.result(kind), name=name)
            else:
                pset.addPrimitive(function, [kind, SIZES[kind]], made.result(kind), name=name)

    def _arrays(self, measurement: Measurement) -> tuple[Array, ...]:
        """Return a network's statistics, sizes and chosen layers, in the order of the arguments."""
        values: list[Array] = []
        sizes: dict[type[Kind], Array] = {}
        for name in self._statistics:
            kind = STATISTICS[name].kind
            array = whole(measurement.values[name]).numpy().copy()
            array[~measurement.present[name].numpy()] = np.nan
            values.append(array)
            sizes.setdefault(kind, measurement.sizes[name].numpy())
        position = np.arange(len(measurement.layers)) / max(len(measurement.layers) - 1, 1)
        chosen = (
            PRIMITIVES[word].function(measurement.roles, position) for word in self._selectors
        )
        return (
            *values,
            *(sizes[kind] for kind in self._sized),
            *(np.asarray(each) for each in chosen),
        )

    def tree(self, graph: Graph) -> list[Any]:
        """Return a graph as a tree of this set; shared sub-expressions are written out."""
        args = graph.args
        if not args:
            return [self._node(graph.word)]
        if len(args) == 2 and args[0].kind is None:  # commutative: evolution puts numbers second
            args = args[::-1]
        made, kind = PRIMITIVES[graph.word], args[0].kind
        assert kind is not None
        below = [node for arg in args for node in self.tree(arg)]
        if made.form is Form.SELECTOR:
            return [self._node("select"), *below, self._node(graph.word)]
        name = f"{graph.word}_{kind.__name__}"
        if args[-1].kind is None:
            name += "_Number"
        if made.form is not Form.ELEMENTWISE and kind in SIZES:
            below.append(self._node(SIZES[kind].__name__))
        return [self._node(name), *below]

    def _node(self, name: str) -> Any:
        return self.pset.mapping[name]

    def compiled(self, graph: Graph) -> Callable[..., Any]:
        """Return the function of a network's arrays that computes a graph."""
        function: Callable[..., Any] = gp.compile(gp.PrimitiveTree(self.tree(graph)), self.pset)
        return function

    def scores(self, function: Callable[..., Any]) -> NDArray[np.float64]:
        """Return what a compiled tree gives on every network."""
        return np.array([float(function(*arrays)) for arrays in self.inputs])

    def drawn(self) -> list[Any]:
        """Return a random tree."""
        return self.tree(self.variation.random())

    def planted(self, pset: Any, type_: type[Kind]) -> list[Any]:
        """Return a sub-tree of a random tree, of a type.

        DEAP's own generators fail on such sets: they ask for terminals of types that have none.
        """
        while True:
            tree = gp.PrimitiveTree(self.drawn())
            places = [i for i, node in enumerate(tree) if node.ret is type_]
            if places:
                return list(tree[tree.searchSubtree(random.choice(places))])


@contextmanager
def global_random(seed: int) -> Iterator[None]:
    """Seed the global `random`, from which DEAP draws, and put its state back afterwards."""
    outer = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(outer)


@contextmanager
def silence() -> Iterator[None]:
    """Let NumPy overflow, and average nothing, without a word."""
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        yield


def joint_correlation(scores: NDArray[np.float64], columns: Sequence[Column]) -> float:
    """Return the mean of Somers' D over the columns, by SciPy; `FAILED` where there is none."""
    if not np.isfinite(scores).all() or not np.ptp(scores):
        return FAILED
    return float(np.mean([somers(scores[each.places], each.accuracies) for each in columns]))


def search(rival: Rival, columns: Sequence[Column], population: int, generations: int) -> int:
    """Run `eaSimple`; return how many distinct trees it judged. It draws from `random`."""
    seen: set[str] = set()
    toolbox = base.Toolbox()

    def judged(individual: Individual) -> tuple[float]:
        seen.add(str(individual))
        function = gp.compile(individual, rival.pset)
        return (joint_correlation(rival.scores(function), columns),)

    toolbox.register("evaluate", judged)
    toolbox.register("individual", tools.initIterate, Individual, rival.drawn)
    toolbox.register("population", tools.initRepeat, list, toolbox.individual)
    toolbox.register("select", tools.selTournament, tournsize=TOURNAMENT)
    toolbox.register("mate", gp.cxOnePoint)
    toolbox.register("mutate", gp.mutUniform, expr=rival.planted, pset=rival.pset)
    limit = gp.staticLimit(key=operator.attrgetter("height"), max_value=HEIGHT)
    toolbox.decorate("mate", limit)
    toolbox.decorate("mutate", limit)
    with silence():
        algorithms.eaSimple(
            toolbox.population(population),
            toolbox,
            CROSSOVER,
            MUTATION,
            generations,
            verbose=False,
        )
    return len(seen)


def _deap(stage: Stage) -> Callable[[], Lap]:
    """Run DEAP's `eaSimple` on the search split, in one process."""
    table = stage.table.subset(stage.search_split)
    columns = stage.columns(stage.search_split, stage.bench.default_targets)
    rival = Rival(stage, table)

    def fitness(graph: Graph) -> float:
        with silence():  # what differs by rounding alone ties, as it does in a run
            return joint_correlation(resolved(rival.scores(rival.compiled(graph))), columns)

    def lap() -> Lap:
        judged = 0

        def work() -> None:
            nonlocal judged
            with global_random(stage.seed):
                judged = search(rival, columns, stage.settings.population, GENERATIONS)

        seconds = seconds_of(work)
        note = (
            f"DEAP's search judged {judged} distinct candidates in {seconds:.1f} s in one process, "
            f"and is counted {stage.jobs} times, as if {stage.jobs} processes were so many times "
            "as fast; it writes with those words that are a line of NumPy: "
            f"{', '.join((*ELEMENTWISE, *REDUCTIONS))}, and the selectors"
        )
        return Lap(seconds / judged, fitness, note)

    return lap


DEAP = Way("DEAP's eaSimple, gp.compile and NumPy", _deap)

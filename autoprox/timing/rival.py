"""The search as a user of DEAP would write it: `eaSimple`, `gp.compile` and NumPy.

On the same sampled arrays, trees of the same distribution, networks and figures as those of
`autoprox evolve`, with those of its words that are a line of NumPy. `gp.compile` calls `eval` on
text that DEAP wrote of trees in memory; nothing that comes from a file or a user is evaluated.
Nothing but the comparison uses this module.
"""

from __future__ import annotations

import operator
import random
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from deap import algorithms, base, gp, tools
from numpy.typing import NDArray
from scipy.stats import kendalltau

from autoprox.evaluation.blocks import whole
from autoprox.evaluation.evaluate import Table
from autoprox.evolution.variation import Variation
from autoprox.evolution.vocabulary import NUMBERS, Vocabulary
from autoprox.language.graph import Graph
from autoprox.primitives import PRIMITIVES
from autoprox.primitives.kinds import Kind, Layer, Network, Number
from autoprox.ranking import Column, resolved
from autoprox.statistics import STATISTICS, Measurement
from autoprox.timing.stage import Lap, Stage, Way, seconds_of

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

NaN stands for a layer that lacks a statistic."""


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

REDUCTIONS: Mapping[str, Callable[[Array], Array]] = {
    "mean": _mean,
    "std": lambda x: np.asarray(np.nanstd(x) if x.ndim == 1 else x.reshape(len(x), -1).std(1)),
    "max": lambda x: np.nanmax(x) if x.ndim == 1 else x.reshape(len(x), -1).max(1),
    "min": lambda x: np.nanmin(x) if x.ndim == 1 else x.reshape(len(x), -1).min(1),
}
"""Functions of a value to a number a row; sums would need to know what a sample is a sample of."""

WORDS = (*ELEMENTWISE, *REDUCTIONS)


def writes(graph: Graph) -> bool:
    """Say whether the rival can write a graph."""
    return {node.word for node in graph if node.args} <= {*WORDS}


class Fitness(base.Fitness):  # type: ignore[misc]  # DEAP ships no types
    """The joint correlation."""

    weights = (1.0,)


class Individual(gp.PrimitiveTree):  # type: ignore[misc]
    """A tree with its fitness."""

    def __init__(self, content: Any) -> None:
        super().__init__(content)
        self.fitness = Fitness()


class DeapSearch:
    """DEAP's primitive set for the words of a search, on the networks of a table.

    Args:
        stage: says the statistics, and the size of the trees.
        table: the statistics, one measurement a network, sampled.
    """

    def __init__(self, stage: Stage, table: Table) -> None:
        statistics = stage.ground.vocabulary.statistics
        vocabulary = Vocabulary(statistics, WORDS)
        self.variation = Variation(vocabulary, complexity=stage.ground.settings.complexity)
        kinds = [STATISTICS[name].kind for name in statistics]
        self.pset = gp.PrimitiveSetTyped("rival", kinds, Network)
        self.pset.renameArguments(**{f"ARG{i}": name for i, name in enumerate(statistics)})
        for value in NUMBERS:
            self.pset.addTerminal(value, Number, name=repr(value))
        for word in WORDS:
            for kind in PRIMITIVES[word].kinds:
                if kind in (*kinds, Layer, Network):
                    self._add(word, kind)
        self.inputs = [_arrays(measured, statistics) for measured in table.measurements]

    def _add(self, word: str, kind: type[Kind]) -> None:
        """Add a word for one kind; one of two values takes a number as its second too."""
        primitive, name = PRIMITIVES[word], f"{word}_{kind.__name__}"
        function: Callable[..., Array] = {**ELEMENTWISE, **REDUCTIONS}[word]
        result = primitive.result(kind)
        self.pset.addPrimitive(function, [kind] * primitive.arity, result, name=name)
        if primitive.arity == 2:
            self.pset.addPrimitive(function, [kind, Number], kind, name=f"{name}_Number")

    def tree(self, graph: Graph) -> list[Any]:
        """Return a graph as a tree of this set; shared sub-expressions are written out."""
        args = graph.args
        if not args:
            return [self.pset.mapping[graph.word]]
        if args[0].kind is None:  # of a commutative word: evolution puts numbers second
            args = args[::-1]
        assert args[0].kind is not None
        name = f"{graph.word}_{args[0].kind.__name__}{'' if args[-1].kind else '_Number'}"
        return [self.pset.mapping[name], *(node for arg in args for node in self.tree(arg))]

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


def _arrays(measured: Measurement, statistics: Sequence[str]) -> list[Array]:
    """Return a network's statistics, in the order of the arguments."""
    arrays = []
    for name in statistics:
        array = whole(measured.values[name]).numpy().copy()
        array[~measured.present[name].numpy()] = np.nan
        arrays.append(array)
    return arrays


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
    """Silence NumPy's warnings of overflows and of means of nothing."""
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        yield


def correlations(scores: NDArray[np.float64], columns: Sequence[Column]) -> NDArray[np.float64]:
    """Return Somers' D of rows of scores with columns, ``(rows, columns)``, by SciPy.

    SciPy's own ``somersd`` makes a table of all values first. Its Kendall's τ-b, corrected for
    ties, is the fastest that it offers, in one call for the columns of the same architectures.
    D is 0 where the scores or the accuracies are constant.
    """
    alike = defaultdict(list)
    for number, column in enumerate(columns):
        alike[column.places.tobytes()].append(number)
    ds = np.empty((len(scores), len(columns)))
    for numbers in alike.values():
        column_scores = scores[:, columns[numbers[0]].places]
        true = np.array([columns[number].accuracies for number in numbers])
        with np.errstate(divide="ignore", invalid="ignore"):
            untied = _untied(column_scores)[:, None] / _untied(true)
            ds[:, numbers] = _taus(column_scores, true) * np.sqrt(untied)
    return np.where(np.isnan(ds), 0, ds)


def _taus(scores: Array, accuracies: Array) -> Array:
    """Return Kendall's τ-b of each row with each other; NaN where one of the two is constant."""
    try:
        return np.asarray(kendalltau(scores[:, None], accuracies[None], axis=-1).statistic)
    except TypeError:  # an older SciPy takes two vectors at a time
        return np.array([[kendalltau(x, y).statistic for y in accuracies] for x in scores])


def _untied(rows: Array) -> Array:
    """Return twice how many pairs of each row differ."""
    counts = [np.unique(row, return_counts=True)[1] for row in rows]
    return np.array([rows.shape[1] ** 2 - ties @ ties for ties in counts])


def joint_correlation(scores: NDArray[np.float64], columns: Sequence[Column]) -> float:
    """Return the mean of Somers' D over the columns, by SciPy; `FAILED` where there is none."""
    if not np.isfinite(scores).all() or not np.ptp(scores):
        return FAILED
    return float(correlations(scores[None], columns).mean())


def search(rival: DeapSearch, columns: Sequence[Column], population: int, generations: int) -> int:
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
            toolbox.population(population), toolbox, CROSSOVER, MUTATION, generations, verbose=False
        )
    return len(seen)


def _deap(stage: Stage) -> Iterator[Lap]:
    """Run DEAP's `eaSimple` on the search split, in one process."""
    ground = stage.ground
    columns = ground.columns(ground.search)
    rival = DeapSearch(stage, stage.table.subset(ground.search))
    judged = 0

    def fitness(graph: Graph) -> float:
        with silence():  # what differs by rounding alone ties, as it does in a run
            return joint_correlation(resolved(rival.scores(rival.compiled(graph))), columns)

    def work() -> None:
        nonlocal judged
        with global_random(ground.settings.seed):
            judged = search(rival, columns, ground.settings.population, GENERATIONS)

    while True:
        seconds = seconds_of(work)
        note = (
            f"DEAP's search judged {judged} distinct candidates in {seconds:.1f} s in one process, "
            f"and is counted {stage.jobs} times, as if {stage.jobs} processes were so many times "
            "as fast; it writes with those words that are a line of NumPy: "
            f"{', '.join(WORDS)}"
        )
        yield Lap(seconds / judged, fitness, note)


DEAP = Way("DEAP's eaSimple, gp.compile and NumPy", _deap)

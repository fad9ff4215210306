"""Small formulas: products and quotients of two terms, each a sum or a mean over the layers.

A term sums a size of the layers, the quotient of two sizes, one number of a statistic, or such a
number times a size, or the square root of these. There are few of them beside all that the language
can say, so that a search over several families has less room to fit the families that it sees.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import permutations

from autoprox.benches import Bench
from autoprox.errors import BenchError, LanguageError
from autoprox.evolution.drawing import random
from autoprox.evolution.judge import unsigned
from autoprox.evolution.settings import Settings
from autoprox.evolution.variation import ATTEMPTS, Variation
from autoprox.evolution.vocabulary import Vocabulary
from autoprox.language.graph import Graph, apply, atom
from autoprox.language.text import parse
from autoprox.primitives.kinds import Network
from autoprox.ranking import AGAINST_COUNTS

MANY_FAMILIES = 3
"""The fewest families that say anything of families in general."""

SIZES = ("params", "flops", "fan_in", "fan_out", "out_entries")
"""The words that say how large a layer is."""

READINGS = (
    "norm(weight)",
    "entropy(weight_spectrum)",
    "max(weight_spectrum)",
    "norm(grad)",
    "entropy(grad)",
    "entropy(grad_spectrum)",
    "max(grad_spectrum)",
    "std(act)",
    "entropy(act)",
    "norm(act_grad)",
    "entropy(act_grad)",
    "log_determinant(act_gram)",
    "entropy(act_gram)",
    "log_determinant(code_gram)",
    "std(code_gram)",
    "sum(absolute(multiply(grad, weight)))",
    "sum(divide(grad_abs_mean, grad_std))",
)
"""The numbers of a layer that terms read: what published proxies read, sizes and spreads."""

OUTER = ("sum", "mean")
"""How the layers' numbers become the network's."""

TOGETHER = ("multiply", "divide")
"""How two terms become one formula."""


def terms(statistics: tuple[str, ...]) -> tuple[Graph, ...]:
    """Return all terms that can be written with some statistics, and the number of layers.

    If they have none of what terms read, there are those of the sizes alone, or none.
    """
    sizes = [atom(name) for name in SIZES if name in statistics]
    readings = [parse(text) for text in READINGS]
    readings = [graph for graph in readings if {*graph.statistics} <= {*statistics}]
    layers = [
        *sizes,
        *(apply("divide", above, below) for above, below in permutations(sizes, 2)),
        *readings,
        *(apply("multiply", size, graph) for graph in readings for size in sizes),
    ]
    inner = [number for layer in layers for number in (layer, apply("sqrt", layer))]
    depth = [apply("count", size) for size in sizes[:1]]
    return (*depth, *(apply(outer, number) for number in inner for outer in OUTER))


def reading(term: Graph) -> str:
    """Return which of `READINGS` a term reads; an empty text for sizes alone.

    >>> reading(parse("sum(multiply(flops, norm(grad)))")), reading(parse("sum(flops)"))
    ('norm(grad)', '')
    """
    return next((node.text for node in term if node.text in READINGS), "")


def factors(graph: Graph) -> tuple[Graph, ...]:
    """Return the two terms of a formula, or the only one, whatever its sign.

    >>> [term.text for term in factors(parse("divide(sum(params), mean(flops))"))]
    ['sum(params)', 'mean(flops)']
    """
    graph = unsigned(graph)
    both = graph.word in TOGETHER and all(arg.kind is Network for arg in graph.args)
    return graph.args if both else (graph,)


@dataclass(frozen=True)
class SmallFormulas(Variation):
    """Random small formulas, and offspring that differ in one of their two terms."""

    @cached_property
    def terms(self) -> dict[str, list[Graph]]:
        """All terms that can be written, by what they read."""
        by_reading: dict[str, list[Graph]] = {}
        for term in filter(self.allows, terms(self.vocabulary.statistics)):
            by_reading.setdefault(reading(term), []).append(term)
        return by_reading

    def random(self) -> Graph:
        """Return a random formula of two terms that read one of `READINGS` at most."""
        return self._drawn(lambda: self._beside(self._term())) or self._term()

    def mutated(self, parent: Graph) -> Graph:
        """Return a formula with another term in the place of one, or with another word between."""
        drawn = self._drawn(lambda: self._beside(random.choice(factors(parent))), parent)
        return drawn or self.random()

    def crossed(self, first: Graph, second: Graph) -> Graph:
        """Return a formula of a term of each of two."""

        def joined() -> Graph:
            return _together(*(random.choice(factors(parent)) for parent in (first, second)))

        return self._drawn(joined, first, second) or self.mutated(first)

    def _term(self) -> Graph:
        return random.choice(random.choice(list(self.terms.values())))

    def _beside(self, term: Graph) -> Graph:
        """Return a formula of a term and another one that reads nothing else."""
        read = reading(term)
        fitting = [*self.terms.get("", ()), *self.terms.get(read, ())]
        partner = random.choice(fitting) if read else self._term()
        return _together(*random.sample((term, partner), 2))

    def _drawn(self, draw: Callable[[], Graph], *known: Graph) -> Graph | None:
        """Return what is drawn, once it is new and within the limits; None if it never is."""
        for _ in range(ATTEMPTS):
            graph = draw()
            read = {*map(reading, factors(graph))} - {""}
            if graph not in known and len(read) <= 1 and self.allows(graph):
                return graph
        return None


def _together(first: Graph, second: Graph) -> Graph:
    return apply(random.choice(TOGETHER), first, second)


def variation_of(settings: Settings, vocabulary: Vocabulary, needs_bits: bool) -> Variation:
    """Return what varies the formulas of a run; see `Variation`.

    Raises:
        LanguageError: no small formula can be written with these words.
    """
    kind = SmallFormulas if settings.formulas == "small" else Variation
    variation = kind(
        vocabulary,
        complexity=settings.complexity,
        needs_bits=needs_bits,
        comparing=settings.comparing,
    )
    if isinstance(variation, SmallFormulas) and not variation.terms:
        raise LanguageError(
            "no small formula can be written with the statistics "
            f"{', '.join(vocabulary.statistics)} and {settings.complexity} nodes: give --formulas "
            f"any, or sizes ({', '.join(SIZES)}) among the statistics"
        )
    return variation


def usual_of_families(families: int) -> dict[str, str]:
    """Return the settings that hold best elsewhere for so many families.

    >>> usual_of_families(3)
    {'over': 'wins', 'formulas': 'small'}
    """
    many = families >= MANY_FAMILIES
    return {"over": "wins" if many else "mean", "formulas": "small" if many else "any"}


def for_families(
    settings: Settings, benches: Sequence[Bench], families: int, words: tuple[str, ...]
) -> Settings:
    """Return settings with what holds best elsewhere for so many families, unless asked for.

    Raises:
        BenchError: the fitness compares with counts, which configurations of one network share.
    """
    trained = [bench.name for bench in benches if bench.trained]
    if trained and settings.over in AGAINST_COUNTS:
        raise BenchError(
            f"the networks of {', '.join(trained)} do not differ in params, FLOPs, depth and "
            f"width, with which --over {settings.over} compares: give another"
        )
    usual = usual_of_families(0 if trained else families)
    if settings.permutations:
        usual["over"] = "mean"
    if settings.comparing or len(terms(words)) <= 1:
        usual["formulas"] = "any"
    asked = {name: value for name in usual if (value := getattr(settings, name)) is not None}
    return replace(settings, **{**usual, **asked})

"""What small formulas are worth on a family of networks that their choice never saw.

    python results/small_formulas.py

All products and quotients of two small terms are judged: a term is the sum or the mean over the
layers of a size, of the quotient of two sizes, of a statistic, or of a statistic times a size, or
of the square root of these. For each of the ten families of the set ``general`` (100 architectures
of each, shown seeded noise) and each of five splits one formula is chosen on the search
architectures of the nine others, by its fitness over these less what its nodes cost, and judged on
all drawn architectures of the tenth; so with every fitness over families that ``autoprox evolve
--over`` has. By lexicase selection over the families that is the formula which automatic
epsilon-lexicase selection (La Cava et al., GECCO 2016) selects most often in `DRAWS` orders of the
families. A row has, for one fitness and family, the median over the splits of its joint
Somers' D, those of params, FLOPs, depth and width, and the formula of the first split. Below stand
means over the families, beside the known proxies, with the 95 % interval of the difference
over families (Student's t). results/small_formulas_by_family.csv has what the formulas of the first
split are worth on every family, and what the best formula, and the best of each family, would have
been in hindsight. Measuring takes half an hour of one core, all else two minutes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from csv_tables import write_csv
from left_out_rows import Families, left_out_rows, write_left_out
from numpy.typing import NDArray

from autoprox.benches.counts import COUNTS
from autoprox.evolution.base import PARSIMONY
from autoprox.evolution.judge import negated
from autoprox.evolution.settings import Settings
from autoprox.evolution.small import READINGS, SIZES, reading, terms
from autoprox.language.graph import Graph, apply
from autoprox.language.text import parse
from autoprox.ranking import AGAINST_COUNTS, OVER, Over, Ranker, by_family, over_families
from autoprox.ranking.medians import median
from autoprox.runs.ground import Ground, lay
from autoprox.runs.left_out import LeftOut
from autoprox.statistics.store import default_folder

SEEDS = range(5)
AT_ONCE = 4000
DRAWS = 300
FAMILY, ASKED = "nb201", 0.7
"""What a general formula should have on a family: what the best of those is worth that have it."""
NONE = "nothing"
"""What is left out when a formula is chosen on all families."""

Array = NDArray[np.float64]


def pairs(known: Sequence[tuple[Graph, str]]) -> list[tuple[int, int, str]]:
    """Return places of terms, and a word, of all formulas that read one statistic at most."""
    together = [
        (i, j)
        for (i, (_, own)), (j, (_, beside)) in combinations(enumerate(known), 2)
        if not own or not beside or own == beside
    ]
    turned = [(j, i) for i, j in together]
    return [
        *((i, j, "multiply") for i, j in together),
        *((i, j, "divide") for i, j in [*together, *turned]),
    ]


def scores_of(values: Array, chosen: Sequence[tuple[int, int, str]]) -> Array:
    """Return the scores of formulas, ``(formulas, networks)``; a quotient by 0 is 0."""
    first = values[[i for i, _, _ in chosen]]
    second = values[[j for _, j, _ in chosen]]
    quotient = np.array([word == "divide" for *_, word in chosen])[:, None]
    factor = np.where(quotient, 1 / np.where(second == 0, np.inf, second), second)
    return first * factor


@dataclass(frozen=True)
class Choice:
    """A formula that was chosen.

    Attributes:
        seed: of the split.
        over: the fitness.
        left_out: the family that the choice never saw, or `NONE`.
        graph: the formula.
        figures: by family its joint D on all drawn architectures.
    """

    seed: int
    over: Over
    left_out: str
    graph: Graph
    figures: dict[str, float]


class Small:
    """All small formulas, and what they are worth on the architectures of one split after another.

    Args:
        seed: of the first split.
        written: the terms that can be written with some statistics.
        benches: the families.
    """

    def __init__(
        self,
        seed: int,
        written: Callable[[tuple[str, ...]], tuple[Graph, ...]] = terms,
        benches: str = "general",
    ) -> None:
        """Compute the terms on all drawn architectures."""
        self.benches, self.ground = benches, ground_of(seed, benches)
        self.families = Families.of(self.ground)
        everywhere = range(len(self.ground.bench.architectures))
        judge = self.ground.judge(everywhere)
        known = [(term, reading(term)) for term in written(self.ground.vocabulary.statistics)]
        failures, self.values = judge.scores([graph for graph, _ in known])
        self.terms = [term for term, why in zip(known, failures, strict=True) if why is None]
        self.ranker, self.columns = judge.ranker, judge.ranker.columns
        missing, scores = judge.scores(list(self.ground.known.values()))
        names = [name for name, why in zip(self.ground.known, missing, strict=True) if why is None]
        figures = by_family(judge.ranker.correlations(scores), self.columns)
        self.known = dict(zip(names, figures.tolist(), strict=True))
        counts = [self.ground.known[name] for name in COUNTS]
        self.counts = judge.scores(counts)[1]

    def write(self) -> None:
        """Write all formulas of the terms, and compute their figures."""
        self.formulas = pairs(self.terms)
        self.everywhere = by_family(self.correlations(self.ranker, self.values), self.columns)
        sizes = np.array([graph.complexity for graph, _ in self.terms])
        self.nodes = np.array([1 + sizes[i] + sizes[j] for i, j, _ in self.formulas])

    def correlations(self, ranker: Ranker, values: Array) -> Array:
        """Return the correlation of each formula with each column."""
        blocks = (
            self.formulas[start : start + AT_ONCE]
            for start in range(0, len(self.formulas), AT_ONCE)
        )
        return np.concatenate([ranker.correlations(scores_of(values, block)) for block in blocks])

    def graph(self, place: int, sign: float) -> Graph:
        """Return the graph of a formula."""
        i, j, word = self.formulas[place]
        graph = apply(word, self.terms[i][0], self.terms[j][0])
        return graph if sign > 0 else negated(graph)

    def chosen(self, seed: int, fitnesses: Sequence[Over] = OVER) -> Iterator[Choice]:
        """Choose with some fitnesses without each family, and without none of them."""
        ground = ground_of(seed, self.benches)
        places = list(ground.search)
        ranker = Ranker(ground.columns(places))
        correlations = self.correlations(ranker, self.values[:, places])
        counts = ranker.correlations(self.counts[:, places])
        families = list(dict.fromkeys(column.family for column in ranker.columns))
        for family in [*families, NONE]:
            left = [place for place, column in enumerate(ranker.columns) if column.family != family]
            columns = [ranker.columns[place] for place in left]
            mean = over_families(correlations[:, left], columns, "mean")
            signs = np.where(mean < 0, -1.0, 1.0)
            turned = correlations[:, left] * signs[:, None]
            for over in fitnesses:
                if over == "lexicase":
                    best = int(selected(by_family(turned, columns), seed).argmax())
                else:
                    own = counts_for(over, counts[:, left])
                    fitness = over_families(turned, columns, over, own)
                    best = int((fitness - PARSIMONY * (self.nodes + (signs < 0))).argmax())
                figures = signs[best] * self.everywhere[best]
                graph = self.graph(best, signs[best])
                yield Choice(seed, over, family, graph, dict(zip(families, figures, strict=True)))


def selected(families: Array, seed: int) -> Array:
    """Return how often automatic epsilon-lexicase selection over families selects each formula.

    Args:
        families: ``(formulas, families)``, the correlations.
        seed: of the orders of the families.
    """
    generator = np.random.default_rng(seed)
    found = np.zeros(len(families))
    for _ in range(DRAWS):
        left = np.arange(len(families))
        for family in generator.permutation(families.shape[1]):
            values = families[left, family]
            spared = np.median(np.abs(values - np.median(values)))
            left = left[values >= values.max() - spared]
        found[left] += 1 / len(left)
    return found / DRAWS


def counts_for(over: Over, counts: Array) -> Array | None:
    """Return the counts if a fitness compares with them."""
    return counts if over in AGAINST_COUNTS else None


def ground_of(seed: int, benches: str) -> Ground:
    """Return the families, split, with the statistics that the terms read."""
    read = [word for reading in READINGS for word in parse(reading).statistics]
    words = tuple(dict.fromkeys([*SIZES, *read]))
    settings = Settings(bench=benches, architectures=100, split_seed=seed, statistics=words)
    return lay(benches, settings, default_folder(), new=True)


def rows_of(over: Over, choices: Sequence[Choice], small: Small) -> Iterator[dict[str, Any]]:
    """Return a row for each family, and one for each known proxy in the mean over them."""
    own = [choice for choice in choices if choice.over == over]
    families = list(own[0].figures)
    known = {
        name: dict(zip(families, figures, strict=True)) for name, figures in small.known.items()
    }
    left_out = {
        family: [choice for choice in own if choice.left_out == family] for family in families
    }
    table = LeftOut(
        {
            family: median([choice.figures[family] for choice in left_out[family]])
            for family in families
        },
        known,
    )
    graphs = {family: [choice.graph for choice in left_out[family]] for family in families}
    return left_out_rows(over, table, graphs, small.families)


def matrix_of(choices: Sequence[Choice], small: Small) -> Iterator[dict[str, Any]]:
    """Return what formulas are worth on every family, and what hindsight would reach there."""

    def row(what: str, figures: Sequence[float], formula: str = "") -> dict[str, Any]:
        rounded = {name: round(value, 4) for name, value in zip(families, figures, strict=True)}
        return {
            "what": what,
            **rounded,
            "mean": round(float(np.mean(figures)), 4),
            "formula": formula,
        }

    families = list(choices[0].figures)
    for name in COUNTS:
        yield row(name, small.known[name])
    for choice in choices:
        if (choice.seed, choice.over) == (SEEDS[0], "wins"):
            label = f"chosen without {choice.left_out}"
            yield row(label, list(choice.figures.values()), choice.graph.text)
    turned = small.everywhere * np.sign(small.everywhere.mean(axis=1))[:, None]
    good = turned[:, families.index(FAMILY)] >= ASKED
    for what, allowed in (("", np.ones(len(turned))), (f" with {ASKED:g} on {FAMILY}", good)):
        best = int(np.where(allowed, turned.mean(axis=1), -1).argmax())
        graph = small.graph(best, float(np.sign(small.everywhere[best].mean())))
        yield row(f"the best one in hindsight{what}", turned[best].tolist(), graph.text)
    yield row("the best of each family in hindsight", turned.max(axis=0).tolist())
    counts = np.array([small.known[name] for name in COUNTS])
    yield row("the best count of each family in hindsight", counts.max(axis=0).tolist())


def main() -> None:
    """Choose with every fitness, and write the tables."""
    small = Small(SEEDS[0])
    small.write()
    choices = [choice for seed in SEEDS for choice in small.chosen(seed)]
    rows = [row for over in OVER for row in rows_of(over, choices, small)]
    path = Path(__file__).with_suffix(".csv")
    write_left_out(path, rows)
    write_csv(path.with_name("small_formulas_by_family.csv"), list(matrix_of(choices, small)))


if __name__ == "__main__":
    main()

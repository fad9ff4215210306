"""What a formula is worth on a family of networks that its search never saw.

    python results/generality.py

For each of the ten families of the set ``general`` (100 architectures of each, shown seeded noise)
five searches on the nine others, each with a seed and a split of its own: those that ``autoprox
evolve --bench general --architectures 100 --leave-one-out --seeds 5`` makes. Here they share one
table, on which every term is computed once, and write no reports, so that all take minutes.

A row has, for one fitness and the family that was left out, the median over the seeds of the joint
Somers' D of the formula that was best on the others, on all drawn architectures of that family, and
the D of params, FLOPs, depth and width, and the formula of the first seed. Below stand means over
the families, beside the known proxies: with Student's 95 % interval of the difference over families
(low, high), and with the 95 % bootstrap interval over the architectures of these families. Formulas
that are in runs/general already are read. Measuring takes half an hour of one core, the searches
ten minutes. Writes results/generality.csv; with families as an argument (`vit101,nb201,...`)
these alone are looked at, and the file's name has their number.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np
from left_out_rows import Families, left_out_rows, write_left_out
from numpy.typing import NDArray

from autoprox.benches.counts import COUNTS
from autoprox.evaluation.evaluate import Evaluator
from autoprox.evolution.judge import Judge, that_differ
from autoprox.evolution.search import Search
from autoprox.evolution.settings import Settings
from autoprox.evolution.small import factors, variation_of
from autoprox.language.graph import Graph
from autoprox.language.text import parse
from autoprox.ranking import Over, Ranker
from autoprox.ranking.medians import median
from autoprox.runs.ground import Ground, lay
from autoprox.runs.left_out import LeftOut
from autoprox.runtime.files import write_text
from autoprox.statistics.store import default_folder

SEEDS = range(5)
FITNESSES: tuple[Over, ...] = ("wins", "mean", "lexicase", "share")
GENERAL = "general"
KEPT_BYTES = 400 * 2**20
"""How much is kept of the layers' numbers, from which terms are made."""


@dataclass
class Terms:
    """The scores of formulas on all drawn architectures; every term is computed once."""

    evaluator: Evaluator
    known: dict[Graph, NDArray[np.float64]] = field(default_factory=dict)

    def scores(self, graph: Graph) -> NDArray[np.float64]:
        """Return the scores of a formula, ``(architectures,)``; not finite where it has none."""
        terms = factors(graph)
        for term in terms:
            if term not in self.known:
                self.known[term] = np.asarray(self.evaluator(term, reasons=1).values)
                self.evaluator.trim(KEPT_BYTES)
        first = self.known[terms[0]]
        if len(terms) == 1:
            return first
        second = self.known[terms[1]]
        if graph.word == "multiply":
            return first * second
        return first * np.where(second == 0, 0.0, 1 / np.where(second == 0, 1.0, second))


class SharedJudge(Judge):
    """Judges on the search split by what was computed for all architectures."""

    def __init__(self, terms: Terms, ground: Ground) -> None:
        """Look at the places of the search split alone."""
        self.terms = terms
        self.places = list(ground.search)
        ranker = Ranker(ground.columns(self.places))
        counts = [ground.known[name] for name in COUNTS]
        super().__init__(
            terms.evaluator.table, ranker, over=ground.settings.over or "mean", counts=counts
        )

    def scores(self, graphs: Sequence[Graph]) -> tuple[list[str | None], NDArray[np.float64]]:
        """Return why each graph has no scores, or None, and the scores of those that have."""
        with np.errstate(all="ignore"):
            scores = [self.terms.scores(graph)[self.places] for graph in graphs]
        finite = [bool(np.isfinite(values).all()) for values in scores]
        usable = np.array(list(compress(scores, finite))).reshape(-1, len(self.places))
        return that_differ([None if is_finite else "not finite" for is_finite in finite], usable)


def best_of(benches: str, over: Over, family: str, seed: int, terms: Terms) -> Graph:
    """Return the best formula of a search without a family."""
    settings = Settings(
        bench=benches, architectures=100, over=over, leave_out=(family,), seed=seed,
        split_seed=seed,
    )  # fmt: skip
    ground = lay(benches, settings, default_folder(), new=True)
    variation = variation_of(ground.settings, ground.vocabulary, needs_bits=False)
    search = Search(ground.settings, variation, SharedJudge(terms, ground), (), ground.algorithm)
    while not search.done:
        search.step()
    assert search.best is not None
    return search.best.graph


def found(benches: str, families: Sequence[str], terms: Terms) -> dict[str, str]:
    """Return the best formula of each search by what it was, searching for those not yet kept."""
    file = Path(f"runs/general/found_{len(families)}.json")
    file.parent.mkdir(parents=True, exist_ok=True)
    formulas: dict[str, str] = json.loads(file.read_text()) if file.is_file() else {}
    for over in FITNESSES:
        for seed in SEEDS:
            for family in families:
                key = f"{over} {family} {seed}"
                if key not in formulas:
                    formulas[key] = best_of(benches, over, family, seed, terms).text
                    write_text(file, json.dumps(formulas, indent=1))
    return formulas


def rows_of(
    over: Over, formulas: Mapping[str, str], families: Families
) -> Iterator[dict[str, Any]]:
    """Return a row for each family, and one for each known proxy in the mean over them."""
    names = list(families.assessors)
    graphs = {name: [parse(formulas[f"{over} {name} {seed}"]) for seed in SEEDS] for name in names}
    joints = {
        name: median([families.assessors[name]("found", graph).joint or 0.0 for graph in own])
        for name, own in graphs.items()
    }
    known = {
        proxy: {name: families.assessors[name](proxy, graph).joint for name in names}
        for proxy, graph in families.known.items()
    }
    complete = {name: own for name, own in known.items() if None not in own.values()}
    return left_out_rows(over, LeftOut(joints, complete), graphs, families)  # type: ignore[arg-type]


def main(benches: str = GENERAL) -> None:
    """Search for what is missing, and write the table."""
    settings = Settings(bench=benches, architectures=100)
    ground = lay(benches, settings, default_folder(), new=True)
    terms = Terms(Evaluator(ground.table(range(len(ground.bench.architectures)))))
    names = [plan.bench.name for plan in ground.plans]
    formulas = found(benches, names, terms)
    families = Families.of(ground)
    rows = [row for over in FITNESSES for row in rows_of(over, formulas, families)]
    suffix = "" if benches == GENERAL else f"_{len(names)}"
    write_left_out(Path(__file__).with_name(f"generality{suffix}.csv"), rows)


if __name__ == "__main__":
    main(*sys.argv[1:])

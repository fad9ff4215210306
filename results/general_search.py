"""What searching by a formula gives on spaces that its choice never saw.

    python results/general_search.py

For two families of the set ``general``, the formula is that which ``results/small_formulas.py``
chose without them (the first split; results/small_formulas_by_family.csv). Of the 100 drawn
architectures so many as the budget says are drawn at random, and the one with the best score is
taken; a row has the mean published accuracy over 1,000 draws, of a formula, of params, FLOPs and
the known proxies that the measured statistics express, of an architecture at random, and of the
best one of each draw. Writes results/general_search.csv.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from csv_tables import write_csv
from numpy.typing import NDArray

from autoprox.evolution.settings import Settings
from autoprox.language.text import parse
from autoprox.runs.ground import lay
from autoprox.statistics.store import default_folder

FAMILIES = {"nb201": "c100", "macro": "c10"}
BUDGETS = (10, 30, 100)
DRAWS = 1000
KNOWN = ("params", "flops", "zico", "l2_norm", "snip", "pruner_zero")


def formula_without(family: str) -> str:
    """Return the formula that was chosen without a family."""
    with Path(__file__).with_name("small_formulas_by_family.csv").open() as file:
        rows = list(csv.DictReader(file))
    return next(row["formula"] for row in rows if row["what"] == f"chosen without {family}")


def scores_of(family: str, target: str) -> tuple[dict[str, NDArray[np.float64]], list[float]]:
    """Return the scores of the drawn architectures, by what gives them, and their accuracies."""
    settings = Settings(bench="general", architectures=100)
    ground = lay("general", settings, default_folder(), new=True)
    drawn = [
        (place, accuracy)
        for place, row in enumerate(ground.bench.architectures)
        if row.space.startswith(f"{family}/") and (accuracy := row.accuracies[target]) is not None
    ]
    judge = ground.judge([place for place, _ in drawn])
    graphs = {"the formula": parse(formula_without(family))}
    graphs |= {name: ground.known[name] for name in KNOWN}
    _, scores = judge.scores(list(graphs.values()))
    return dict(zip(graphs, scores, strict=True)), [accuracy for _, accuracy in drawn]


def rows() -> Iterator[dict[str, object]]:
    """Return a row for each family, budget and way to choose."""
    for family, target in FAMILIES.items():
        scores, published = scores_of(family, target)
        accuracies = np.array(published)
        scores |= {"the best of the draw": accuracies, "at random": 0 * accuracies}
        for budget in BUDGETS:
            generator = np.random.default_rng(0)
            draws = [generator.choice(len(accuracies), budget, replace=False) for _ in range(DRAWS)]
            for name, own in scores.items():  # ties: the first of a draw, which is random
                taken = [accuracies[draw[own[draw].argmax()]] for draw in draws]
                mean = round(float(np.mean(taken)), 3)
                row = {"family": family, "target": target, "budget": budget, "by": name}
                yield {**row, "accuracy": mean, "formula": formula_without(family)}


if __name__ == "__main__":
    write_csv(Path(__file__).with_suffix(".csv"), list(rows()))

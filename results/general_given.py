"""What formulas say of the ten families beyond parameters and operations.

    python results/general_given.py

For ``general_best``, for the small formula that was chosen without the family (the first split;
results/small_formulas_by_family.csv), and for depth, width, ZiCo and the L2 norm of the weights, on
the 100 drawn architectures of each family: Somers' D; Spearman's correlation; the same given params
and operations (a partial correlation: what is left of the ranks after a regression on both); and D
over those pairs alone whose params and operations both differ by less than 10 %, with the number of
these pairs. Means over a family's targets; a cell is empty where nothing is left: a
family whose sizes all differ has no such pairs. The last row of each has the means over the
families that have a figure. Writes results/general_given.csv; with families as an argument
(`vit101,nb201,...`) these alone are looked at, and the file's name has their number.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from csv_tables import rounded, write_csv
from numpy.typing import NDArray

from autoprox.evolution.settings import Settings
from autoprox.language.graph import Graph
from autoprox.language.text import parse
from autoprox.proxies.loading import load
from autoprox.ranking import alike, partial_given, somers, somers_among, spearman
from autoprox.runs.ground import Ground, lay
from autoprox.statistics.store import default_folder

GENERAL = "general"

WITHIN = 1.1
"""By what factor sizes differ that are nearly equal."""

KNOWN = ("depth", "width", "zico", "l2_norm")
SIZES = ("params", "flops")
FIGURES = ("d", "rho", "partial_rho", "d_at_equal_size", "pairs_at_equal_size")


def found_without() -> dict[str, Graph]:
    """Return by family the small formula that was chosen without it."""
    with Path(__file__).with_name("small_formulas_by_family.csv").open() as file:
        rows = list(csv.DictReader(file))
    before = "chosen without "
    return {
        row["what"].removeprefix(before): parse(row["formula"])
        for row in rows
        if row["what"].startswith(before)
    }


def figures(
    scores: NDArray[np.float64], sizes: NDArray[np.float64], ground: Ground, places: list[int]
) -> dict[str, float | None]:
    """Return the figures of the scores of a family's architectures, means over its columns."""
    rows = []
    for column in ground.columns(places):
        own, true = scores[column.places], column.accuracies
        counts = sizes[:, column.places]
        among, pairs = somers_among(own, true, alike(counts, WITHIN))
        partial = partial_given(own, true, counts)
        rows.append((somers(own, true), spearman(own, true), partial, among, pairs))
    means = [[value for value in figure if value is not None] for figure in zip(*rows, strict=True)]
    return {
        name: float(np.mean(values)) if values else None
        for name, values in zip(FIGURES, means, strict=True)
    }


def rows_of(ground: Ground) -> Iterator[dict[str, Any]]:
    """Yield a row for each family and formula."""
    without = found_without()
    names = [plan.bench.name for plan in ground.plans for _ in plan.bench.architectures]
    for family in dict.fromkeys(names):
        places = [place for place, name in enumerate(names) if name == family]
        graphs = {
            "general_best": load("general_best").graph,
            "chosen without it": without[family],
            **{name: ground.known[name] for name in KNOWN},
        }
        needed = [*graphs.values(), *(ground.known[name] for name in SIZES)]
        missing, scores = ground.judge(places).scores(needed)
        if any(missing[-len(SIZES) :]):
            raise SystemExit(f"params or flops do not tell the architectures of {family} apart")
        remaining = iter(scores)
        by_formula = {
            name: next(remaining) for name, why in zip(graphs, missing, strict=False) if why is None
        }
        for name, own in by_formula.items():
            row = figures(own, scores[-len(SIZES) :], ground, places)
            yield {"formula": name, "family": family, **row, "text": graphs[name].text}


def with_means(rows: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield the rows, formula by formula, each with its means over the families."""
    for name in dict.fromkeys(row["formula"] for row in rows):
        own = [row for row in rows if row["formula"] == name]
        yield from own
        means = {
            figure: float(np.mean([row[figure] for row in own if row[figure] is not None]))
            for figure in FIGURES
        }
        yield {"formula": name, "family": "mean over families", **means, "text": ""}


def main(benches: str = GENERAL) -> None:
    """Compute all figures, and write the table."""
    settings = Settings(bench=benches, architectures=100)
    ground = lay(benches, settings, default_folder(), new=True)
    rows = [rounded(row) for row in with_means(list(rows_of(ground)))]
    suffix = "" if benches == GENERAL else f"_{len(ground.plans)}"
    write_csv(Path(__file__).with_name(f"general_given{suffix}.csv"), rows)


if __name__ == "__main__":
    main(*sys.argv[1:])

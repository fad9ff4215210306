"""How far formulas of the four plain counts carry over, and which families contradict each other.

    python results/count_formulas.py

All products of powers of params, FLOPs, depth and width (exponents from -2 to 2 in steps of a half)
are judged on 100 architectures of each of the ten families of the set ``general``, those that
other scripts here draw (of ``autoformer_s`` on 75, the others were not counted), by their counts in
benches/counts.csv.gz: nothing is built or measured. Rows of results/count_formulas.csv, each with
Somers' D on every family and their mean:

* the counts;
* for each fitness over families, what the product that is best on the nine others is worth on each
  (a node costs what it does in a search; ``left out``), and its mean difference to FLOPs with
  Student's 95 % interval over families;
* the best product of each family in hindsight, on every family (``best on``): how much the families
  contradict each other;
* the best product over all ten in hindsight, and an oracle that takes the best count, or the best
  product, of each family.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path

import numpy as np
from csv_tables import write_csv
from numpy.typing import NDArray

from autoprox.assessment.assess import columns
from autoprox.benches import drawn, load_bench, several
from autoprox.benches.counts import COUNTS, counted
from autoprox.evolution.base import PARSIMONY
from autoprox.ranking import OVER, Column, Over, Ranker, over_families
from autoprox.runs.left_out import of_mean

EXPONENTS = np.array(
    [powers for powers in product(np.arange(-2, 2.5, 0.5), repeat=4) if any(powers)]
)
NODES = 3 * (EXPONENTS != 0).sum(axis=1) + (~np.isin(EXPONENTS, (0, 1))).sum(axis=1) - 1
"""A count is two nodes, what joins it to the others a third, a power a fourth."""

FAMILIES = several("general")
COLUMNS = [Column(name, "", np.arange(3), np.arange(3.0), family=name) for name in FAMILIES]
"""One column a family: what stands for it is its mean."""

FITNESSES = tuple(over for over in OVER if over not in ("share", "lexicase"))
"""Without those that choose among formulas of counts as the mean does, or nearly so."""

Array = NDArray[np.float64]


def on_family(family: str) -> Array:
    """Return Somers' D of all products, then of the counts, on a family: ``(products + 4,)``."""
    bench = drawn(load_bench(family), 100)
    rows, counts = counted(bench)
    place_of = {row.name: i for i, row in enumerate(bench.architectures)}
    places = [place_of[row.name] for row in rows]
    ranker = Ranker(columns(bench, places, bench.default_targets))
    powers = np.exp(np.round(EXPONENTS @ np.log(counts).T, 9))
    return np.asarray(ranker.correlations(np.concatenate([powers, counts.T])).mean(axis=1))


def text(exponents: Array) -> str:
    """Return a product as a text.

    >>> text(np.array([1.0, -0.5, 0.0, 0.0]))
    'params flops^-0.5'
    """
    named = zip(COUNTS, exponents, strict=True)
    return " ".join(name if power == 1 else f"{name}^{power:g}" for name, power in named if power)


def chosen(found: Array, counts: Array, over: Over, left: Sequence[int]) -> int:
    """Return the place of the product that is best on some families."""
    own = [COLUMNS[place] for place in left]
    fitness = over_families(found[:, left], own, over, counts[:, left])
    return int((fitness - PARSIMONY * NODES).argmax())


def row(what: str, figures: Sequence[float] | Array, formula: str = "") -> dict[str, object]:
    """Return a row of the table."""
    own = {name: round(float(figure), 4) for name, figure in zip(FAMILIES, figures, strict=True)}
    cells = {"what": what, **own, "mean": round(float(np.mean(figures)), 4)}
    return {**cells, "over_flops": "", "low": "", "high": "", "formula": formula}


def rows() -> Iterator[dict[str, object]]:
    """Return the rows."""
    figures = np.stack([on_family(family) for family in FAMILIES], axis=1)
    products, counts = figures[: -len(COUNTS)], figures[-len(COUNTS) :]
    for name, figures_of_count in zip(COUNTS, counts, strict=True):
        yield row(name, figures_of_count)
    for over in FITNESSES:
        left = [[i for i in range(len(FAMILIES)) if i != out] for out in range(len(FAMILIES))]
        places = [chosen(products, counts, over, others) for others in left]
        worth = products[places, range(len(FAMILIES))]
        gains = worth - counts[COUNTS.index("flops")]
        low, high = of_mean(gains)
        formulas = "; ".join(dict.fromkeys(text(EXPONENTS[place]) for place in places))
        ends = {"over_flops": gains.mean(), "low": low, "high": high}
        cells = {name: round(float(end), 4) for name, end in ends.items()}
        yield {**row(f"left out, by {over}", worth, formulas), **cells}
    for family, place in zip(FAMILIES, products.argmax(axis=0), strict=True):
        yield row(f"best on {family}", products[place], text(EXPONENTS[place]))
    best = int(products.mean(axis=1).argmax())
    yield row("best over all ten in hindsight", products[best], text(EXPONENTS[best]))
    yield row("oracle: the best count of each family", counts.max(axis=0))
    yield row("oracle: the best product of each family", products.max(axis=0))


if __name__ == "__main__":
    write_csv(Path(__file__).with_suffix(".csv"), list(rows()))

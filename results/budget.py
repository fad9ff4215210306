"""What more candidates are worth on nb201. Writes results/budget.csv.

    python results/budget.py cifar10_train.npz

The long runs of together.py, of the default algorithm and of random search on twenty splits of 300
cells, shown 16 training images of CIFAR-10 (an .npz of uint8 `x` and labels `y`), judge 50,000
distinct candidates; on the first three splits further ones judge 100,000. A row has the joint
Somers' D of the best by the search split after so many candidates, on the search split and held
out: a run with that budget would have stopped there. Medians below, that of 100,000 of three
splits. A run that is in ``runs/together`` or ``runs/budget`` already is read, not repeated; one of
100,000 takes four minutes on a core.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from csv_tables import write_csv
from seeds import SEEDS, options_of
from together import long_on, run_in

from autoprox.runs.record import Run

FURTHER = 3
"""On how many of the splits there are runs of the largest budget."""

BUDGETS = (1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000)
ALGORITHMS = ("default", "random")


def runs(images: str) -> Iterator[tuple[str, int, Run]]:
    """Yield the longest run of each algorithm on each split, which is made if need be."""
    options = options_of("nb201", images)
    for split in SEEDS["nb201"]:
        found = long_on(split, options) if split >= FURTHER else further_on(split, options)
        for algorithm, run in zip(ALGORITHMS, found, strict=True):
            yield algorithm, split, run


def further_on(split: int, options: dict[str, Any]) -> list[Run]:
    """Return the runs of the largest budget on a split."""
    return [
        run_in(Path(f"runs/budget/{algorithm}-{split}"), split, algorithm, BUDGETS[-1], options)
        for algorithm in ALGORITHMS
    ]


def rows_of(algorithm: str, split: int, run: Run) -> list[dict[str, Any]]:
    """Return the figures of a run after each budget up to its own."""
    rows = []
    for budget in (budget for budget in BUDGETS if budget <= run.settings.evaluations):
        step = next(step for step in run.generations if step.evaluations >= budget)
        rows.append(
            {
                "algorithm": algorithm,
                "split": split,
                "candidates": budget,
                "search": round(step.best or 0.0, 4),
                "held_out": round(step.held_out or 0.0, 4),
                "nodes": step.complexity,
            }
        )
    return rows


def main(images: str) -> None:
    """Run what there is to run, and write the table with the medians below."""
    rows = [row for found in runs(images) for row in rows_of(*found)]
    medians = []
    for algorithm, budget in product(ALGORITHMS, BUDGETS):
        own = [row for row in rows if (row["algorithm"], row["candidates"]) == (algorithm, budget)]
        medians.append(
            {"algorithm": algorithm, "split": f"median of {len(own)}", "candidates": budget}
            | {
                key: round(float(np.median([row[key] for row in own])), 4)
                for key in ("search", "held_out", "nodes")
            }
        )
    write_csv(Path(__file__).with_suffix(".csv"), [*rows, *medians])


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(str(Path(sys.argv[1]).resolve()))

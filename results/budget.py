"""What more candidates are worth on nb201. Writes results/budget.csv.

    python results/budget.py cifar10_train.npz

The default algorithm and random search judge 100,000 distinct candidates on 300 cells, shown 16
training images of CIFAR-10 (an .npz of uint8 `x` and labels `y`), on the first three splits of
together.py and with the search seed of its long runs. A row has the joint Somers' D of the best by
the search split after so many candidates, on the search split and held out: a run with that budget
would have stopped there. A run that is in ``runs/budget`` already is read, not repeated; a run
takes four minutes on a core.
"""

from __future__ import annotations

import os
import sys
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from csv_tables import write_csv

import autoprox
from autoprox.runs.record import read_run

SPLITS = range(3)
BUDGETS = (1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000)
ALGORITHMS = ("default", "random")


def rows_of(algorithm: str, split: int, images: str) -> list[dict[str, Any]]:
    """Run if need be, and return the figures after each budget."""
    folder = Path("runs/budget") / f"{algorithm}-{split}"
    if not (folder / "report.json").is_file():
        autoprox.evolve(
            "nb201",
            out=folder,
            jobs=len(os.sched_getaffinity(0)),
            architectures=300,
            images=images,
            batch=16,
            algorithm=algorithm,
            split_seed=split,
            evaluations=BUDGETS[-1],
        )
    steps = read_run(folder).generations
    rows = []
    for budget in BUDGETS:
        step = next(generation for generation in steps if generation.evaluations >= budget)
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
    rows = [row for name in ALGORITHMS for split in SPLITS for row in rows_of(name, split, images)]
    medians = []
    for algorithm, budget in product(ALGORITHMS, BUDGETS):
        own = [row for row in rows if (row["algorithm"], row["candidates"]) == (algorithm, budget)]
        medians.append(
            {"algorithm": algorithm, "split": "median", "candidates": budget}
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

"""What more candidates are worth on nb201. Writes results/budget.csv.

    python results/budget.py cifar10_train.npz
    python results/budget.py cifar10_train.npz random

The default algorithm and random search judge 100,000 distinct candidates on 300 cells, shown 16
training images of CIFAR-10 (an .npz of uint8 `x` and labels `y`); search seed and split seed are
the same. A row has the joint Somers' D of the best by the search split after so many candidates, on
the search split and held out: a run with that budget would have stopped there. The second command
makes the rows of one algorithm anew and keeps those of the other. A run that is in ``runs/budget``
already is read, not repeated; a run takes five to ten minutes on two cores.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from csv_tables import read_csv, write_csv

import autoprox
from autoprox.runs.record import read_run

SEEDS = range(3)
BUDGETS = (1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000)
ALGORITHMS = ("default", "random")


def rows_of(algorithm: str, seed: int, images: str) -> list[dict[str, Any]]:
    """Run if need be, and return the figures after each budget."""
    folder = Path("runs/budget") / f"{algorithm}-{seed}"
    if not (folder / "report.json").is_file():
        autoprox.evolve(
            "nb201",
            out=folder,
            jobs=len(os.sched_getaffinity(0)),
            architectures=300,
            images=images,
            batch=16,
            algorithm=algorithm,
            seed=seed,
            split_seed=seed,
            evaluations=BUDGETS[-1],
        )
    steps = read_run(folder).generations
    rows = []
    for budget in BUDGETS:
        step = next(generation for generation in steps if generation.evaluations >= budget)
        rows.append(
            {
                "algorithm": algorithm,
                "seed": seed,
                "candidates": budget,
                "search": round(step.best or 0.0, 4),
                "held_out": round(step.held_out or 0.0, 4),
                "nodes": step.complexity,
            }
        )
    return rows


def main(images: str, anew: Sequence[str]) -> None:
    """Run what is to be made anew, and write the table with the medians below."""
    path = Path(__file__).with_suffix(".csv")
    rows = [row for name in anew for seed in SEEDS for row in rows_of(name, seed, images)]
    others = [row for row in read_csv(path) if row["algorithm"] not in anew]
    rows += [row for row in others if row["seed"] != "median"]
    rows.sort(key=lambda row: ALGORITHMS.index(row["algorithm"]))
    for algorithm in ALGORITHMS:
        for budget in BUDGETS:
            own = [
                row for row in rows if (row["algorithm"], row["candidates"]) == (algorithm, budget)
            ]
            medians = {
                key: round(float(np.median([row[key] for row in own])), 4)
                for key in ("search", "held_out", "nodes")
            }
            rows.append({"algorithm": algorithm, "seed": "median", "candidates": budget, **medians})
    write_csv(path, rows)


if __name__ == "__main__":
    images, *anew = sys.argv[1:] or [""]
    if not images or set(anew) - set(ALGORITHMS):
        sys.exit(__doc__)
    main(str(Path(images).resolve()), anew or ALGORITHMS)

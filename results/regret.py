"""What picking by a proxy costs in accuracy. Writes results/regret.csv.

    python results/regret.py vit101
    python results/regret.py nb201 cifar10_train.npz

Of each space some architectures are drawn, 100 times; the k with the best scores are trained, as it
were, and the most accurate of them is kept. A row has the mean over the draws of its published
accuracy, and of its regret: how much more accurate the most accurate one of the draw is, with the
standard deviation over the draws. Beside the proxies stand #params, FLOPs and a random choice. Each
call replaces the rows of its own bench. The scores are those of `autoprox rank` on the default
sample of the bench: all 300 vision transformers, shown noise, and 1,000 cells, shown 16 training
images of CIFAR-10 (an .npz of uint8 `x` and labels `y`); with cached scores a call takes seconds.
"""

from __future__ import annotations

import csv
import os
import sys
from pathlib import Path

import numpy as np
from csv_tables import write_csv
from numpy.typing import NDArray

import autoprox
from autoprox.ranking import resolved

DRAWS = 100
TOPS = (1, 5, 10)
DRAWN = {"vit101": (50,), "nb201": (100, 500)}
COUNTS = ("params", "flops")
PROXIES = {
    "vit101": (
        *COUNTS, "l2_norm", "auto_prox_a", "auto_prox_p", "zico", "synflow",
        "naswot", "dss", "snip", "grad_norm",
    ),
    "nb201": (*COUNTS, "zico", "synflow", "naswot", "snip", "grad_norm", "fisher", "zen_score"),
}  # fmt: skip


def picked(
    scores: NDArray[np.float64], figures: NDArray[np.float64], top: int
) -> NDArray[np.float64]:
    """Return the best figure among those of the best scores, ``(draws, drawn)`` to ``(draws,)``."""
    best = np.argsort(-scores, axis=1, kind="stable")[:, :top]  # equal scores are in random order
    return np.take_along_axis(figures, best, axis=1).max(1)


def rows_of(name: str, options: dict[str, object]) -> list[dict[str, object]]:
    """Return the rows of one bench."""
    bench = autoprox.load_bench(name)
    jobs = len(os.sched_getaffinity(0))
    board = autoprox.rank(PROXIES[name], bench, timed=False, jobs=jobs, **options)
    by_name = {row.name: row for row in bench.architectures}
    ranked = [by_name[name] for name in board.architectures]
    scores = {
        proxy: resolved(np.nan_to_num(values, nan=-np.inf))
        for proxy, values in board.scores.items()
    }
    scores["random"] = np.zeros(len(ranked))
    spaces = np.array([row.space for row in ranked])
    rows: list[dict[str, object]] = []
    for space in bench.spaces:
        for target in bench.default_targets:
            figures = bench.accuracies(target, ranked)
            places = np.flatnonzero((spaces == space) & np.isfinite(figures))
            for drawn in DRAWN[name]:
                generator = np.random.default_rng(0)
                draws = np.stack([generator.permutation(places)[:drawn] for _ in range(DRAWS)])
                most = figures[draws].max(1)
                shared = {"bench": name, "space": space, "target": target, "drawn": len(draws[0])}
                for proxy, values in scores.items():
                    row: dict[str, object] = {**shared, "proxy": proxy}
                    for top in TOPS:
                        accuracy = picked(values[draws], figures[draws], top)
                        row[f"top{top}_accuracy"] = round(float(accuracy.mean()), 3)
                        row[f"top{top}_regret"] = round(float((most - accuracy).mean()), 3)
                        row[f"top{top}_regret_std"] = round(float((most - accuracy).std()), 3)
                    rows.append({**row, "best_accuracy": round(float(most.mean()), 3)})
    return rows


def main(name: str, options: dict[str, object]) -> None:
    """Rank, draw, write."""
    path = Path(__file__).with_suffix(".csv")
    others: list[dict[str, object]] = []
    if path.is_file():
        with path.open(newline="") as file:
            others = [row for row in csv.DictReader(file) if row["bench"] != name]
    new = rows_of(name, options)
    order = list(DRAWN)
    write_csv(path, sorted([*others, *new], key=lambda row: order.index(str(row["bench"]))))


if __name__ == "__main__":
    if sys.argv[1:] == ["vit101"]:
        main("vit101", {})
    elif sys.argv[1:2] == ["nb201"] and len(sys.argv) == 3:
        main("nb201", {"batch": 16, "images": sys.argv[2]})
    else:
        sys.exit(__doc__)

"""What a student is worth that a proxy chooses for a teacher. Writes results/teacher_search.csv.

    python results/teacher_search.py images.npz

Of the 64 residual networks so many are drawn, all or those up to a number of parameters, and the
one that a proxy scores highest is trained beside a teacher: its published accuracy, in the mean
over all possible draws and over ten seeds of the scores, which teacher_resnet64.py makes. The least
and the largest mean of a seed stand beside it. `random` takes any of those drawn, `best` the best.
A minute once the scores are there.
"""

from __future__ import annotations

import sys
from math import comb
from pathlib import Path

import numpy as np
from csv_tables import write_csv
from numpy.typing import NDArray
from teacher_resnet64 import SEEDS, TEN_SEEDS, ranking

from autoprox.benches import load_bench

LIMITS = {"none": np.inf, "400K parameters": 400_000}
BUDGETS = (4, 16, None)
"""How many are drawn; None for all that there are."""


def expected(scores: NDArray[np.float64], figures: NDArray[np.float64], drawn: int) -> float:
    """Return the mean over all draws of the figure of the one that has the highest score.

    Of those in the order of their scores the k-th from 0 is the highest of a draw if all others
    come from behind it.
    """
    order, count = np.argsort(-scores, kind="stable"), len(scores)
    ways = [comb(count - 1 - rank, drawn - 1) for rank in range(count)]
    return float(np.dot(ways, figures[order]) / comb(count, drawn))


def main(images: str) -> None:
    """Choose by each proxy, and write."""
    figures = load_bench("resnet64").accuracies("c100_kd")
    boards = [ranking(TEN_SEEDS, seed, images).scores for seed in SEEDS]
    rows: list[dict[str, object]] = []
    for limit, most in LIMITS.items():
        fit = np.flatnonzero(boards[0]["params"] <= most)
        for budget in BUDGETS:
            drawn = budget or len(fit)
            chosen = {"random": [figures[fit].mean()]}
            chosen["best"] = [expected(figures[fit], figures[fit], drawn)]
            for name in TEN_SEEDS:
                chosen[name] = [expected(board[name][fit], figures[fit], drawn) for board in boards]
            rows += [
                {
                    "limit": limit, "networks": len(fit), "drawn": drawn, "chosen_by": name,
                    "accuracy": round(float(np.mean(accuracies)), 3),
                    "least": round(min(accuracies), 3), "largest": round(max(accuracies), 3),
                }
                for name, accuracies in chosen.items()
            ]  # fmt: skip
    write_csv(Path(__file__).with_suffix(".csv"), rows)
    for row in rows:
        print(*row.values())


if __name__ == "__main__":
    main(*sys.argv[1:])

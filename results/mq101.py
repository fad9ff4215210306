"""Known and evolved proxies for bits. Writes results/mq101_ranking.csv and results/mq101_seeds.csv.

    python results/mq101.py cifar10_train.npz

The networks are shown 64 training images of CIFAR-10 (an .npz of uint8 `x` and labels `y`). Search
seed and split seed vary together. About ten minutes on two cores; a run that is in ``runs/mq101``
already is read, not repeated.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
from csv_tables import write_csv

import autoprox

FOLDER = Path(__file__).parent
SEEDS = range(5)
BATCH = 64
RIVAL = "bit_snip"


def row(seed: int, images: str) -> dict[str, object]:
    """Run if need be, and return held-out figures beside those of the best known proxy."""
    folder = Path("runs/mq101") / f"default-{seed}"
    seeds = {"seed": seed, "split_seed": seed}
    if not (folder / "report.json").is_file():
        options = {"images": images, "probe_batch": BATCH, **seeds}
        autoprox.evolve("mq101", out=folder, jobs=len(os.sched_getaffinity(0)), **options)
    held_out = {
        each["name"]: each for each in json.loads((folder / "report.json").read_text())["held_out"]
    }
    best = held_out["top 1"]
    shown = {"images": images, "batch": BATCH, "sample": 512, "timed": False}
    board = autoprox.rank([folder, RIVAL], "mq101", held_out=True, split_seed=seed, **shown)
    found = next(each for each in board if each.name != RIVAL)
    return {
        "seed": seed,
        "kendall": round(found.joint, 4),
        "spearman": round(found.joint_spearman, 4),
        **{f"spearman@{share:.0%}": round(rho, 4) for share, rho in found.best.items()},
        f"kendall_{RIVAL}": round(board[RIVAL].joint, 4),
        f"spearman_{RIVAL}": round(board[RIVAL].joint_spearman, 4),
        **{f"spearman@{s:.0%}_{RIVAL}": round(rho, 4) for s, rho in board[RIVAL].best.items()},
        "kendall_model_size": round(held_out["model_size"]["joint"], 4),
        "nodes": best["complexity"],
        "formula": best["expression"],
    }


def main(images: str) -> None:
    """Rank, run, write."""
    board = autoprox.rank(None, "mq101", batch=BATCH, images=images)
    (FOLDER / "mq101_ranking.csv").write_text(board.to_csv())
    rows = [row(seed, images) for seed in SEEDS]
    numbers = [key for key, value in rows[0].items() if isinstance(value, float)]
    median = {key: round(float(np.median([each[key] for each in rows])), 4) for key in numbers}
    write_csv(
        FOLDER / "mq101_seeds.csv",
        [*rows, {**rows[0], **median, "seed": "median", "nodes": "", "formula": ""}],
    )


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])

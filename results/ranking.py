"""The known proxies on vit101 and nb201. Writes results/*_ranking*.csv.

    python results/ranking.py vit101
    python results/ranking.py nb201 cifar10_train.npz

The first scores every proxy that ships but one on 300 networks (40 minutes on two cores, and next
to nothing when repeated), all and those that the search behind `vit101_best` did not see. EPE-NAS
is left out: it compares samples of one class, and a batch in which 100 classes repeat costs more
than all the others. The second scores the proxies that ZiCo's table has on 1,000 cells of NAS-
Bench-201, shown 16 training images of CIFAR-10 (an .npz of uint8 `x` and labels `y`), 20 minutes,
and then all proxies on 300 of these cells.

Costs are not timed here, because the scores were taken with other work on the machine.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from pathlib import Path

import numpy as np
from csv_tables import write_csv

import autoprox
from autoprox import proxies
from autoprox.benches import load_bench
from autoprox.ranking import resampled_taus

FOLDER = Path(__file__).parent
SEED_OF_THE_BEST = 2
FEWER = 300
"""Of how many cells all proxies are scored: the costly ones take seconds a cell."""

PUBLISHED = "params flops grad_norm snip grasp fisher synflow naswot zen_score zico".split()


def vit101() -> None:
    """Rank on all networks, by the distilled and by all columns, and on those held out.

    Held out are those that the search for `vit101_best` did not see.
    """
    names = [name for name in proxies.names() if name != "epe_nas"]
    parts = {
        "": {},
        "_all_columns": {"targets": load_bench("vit101").targets},
        "_held_out": {"held_out": True, "split_seed": SEED_OF_THE_BEST},
    }
    for suffix, part in parts.items():
        board = autoprox.rank(names, "vit101", jobs=_cores(), timed=False, **part)
        (FOLDER / f"vit101_ranking{suffix}.csv").write_text(board.to_csv())


def nb201(images: str) -> None:
    """Rank the proxies of ZiCo's table, also as if every equal cell were there; then all."""
    shown = {"batch": 16, "images": images, "jobs": _cores(), "timed": False}
    board = autoprox.rank(PUBLISHED, "nb201", **shown)
    (FOLDER / "nb201_ranking.csv").write_text(board.to_csv())
    every = autoprox.rank(None, "nb201", architectures=FEWER, **shown)
    (FOLDER / "nb201_ranking_all_proxies.csv").write_text(every.to_csv())
    bench = load_bench("nb201")
    cells = {each.name: each for each in bench.architectures}
    drawn = [cells[name] for name in board.architectures]
    equal = Counter(each.isomorph for each in bench.architectures)
    counts = np.array([float(equal[each.isomorph]) for each in drawn])
    rows = []
    for name in PUBLISHED:
        scores = np.array(board.scores[name])
        there = np.isfinite(scores)
        taus = {}
        for target in bench.default_targets:
            figures = bench.accuracies(target, drawn)
            weighted = resampled_taus(scores[there], figures[there], counts[there][None])
            taus[f"{target} kendall"] = round(float(weighted[0]), 4)
        rows.append({"proxy": name, **taus})
    write_csv(FOLDER / "nb201_ranking_weighted.csv", rows)


def _cores() -> int:
    return len(os.sched_getaffinity(0))


if __name__ == "__main__":
    if sys.argv[1:] == ["vit101"]:
        vit101()
    elif sys.argv[1:2] == ["nb201"] and len(sys.argv) == 3:
        nb201(sys.argv[2])
    else:
        sys.exit(__doc__)

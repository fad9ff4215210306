"""What a search by proxies finds on NAS-Bench-201. Writes results/nb201_search.csv.

    python results/nb201_search.py cifar10_train.npz
    python results/nb201_search.py cifar10_train.npz zico+naswot params

Evolution scores 1,000 cells, which are shown 16 training images of CIFAR-10 (an .npz of uint8 `x`
and labels `y`); then the accuracies that were published for the found cell are looked up. No
accuracy is used to search. The arguments after the images are proxies to search by, instead of
`SETS`; those with a plus between them are combined by rank. The first of `SETS` was chosen by the
accuracies of the 300 cells of results/nb201_ranking_all_proxies.csv, the others were not. 30
core-minutes a search by it, 10 by ZiCo, 5 by NASWOT, 1 by #params; a search that was interrupted
goes on, one that is in ``runs/nb201_search`` already is read. The table is written after each.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from csv_tables import write_csv

import autoprox

SETS = ("logsynflow+ntk_condition", "synflow+naswot", "zico", "naswot", "params")
SEEDS = range(1)
BATCH = 16
BUDGET = 1000
ROOT = Path("runs/nb201_search")
PUBLISHED = {"search": "ZiCo (Li et al., ICLR 2023)", "c10": 94.0, "c100": 71.1, "in16": 41.8}


def found_cell(proxies: str, seed: int, images: str) -> tuple[str, int]:
    """Search if need be; return the cell and how many were scored."""
    folder = ROOT / f"{proxies}-{seed}"
    shared = {"jobs": len(os.sched_getaffinity(0)), "progress": _said}
    if (folder / "top.json").is_file() and json.loads((folder / "top.json").read_text())[
        "finished"
    ]:
        report = json.loads((folder / "top.json").read_text())
        return report["top"][0]["config"]["cell"], report["scored"]
    if (folder / "state.json").is_file():
        search = autoprox.search_architectures(resume=folder, **shared)
    else:
        options = {"evaluations": BUDGET, "seed": seed, "batch": BATCH, "images": images}
        names = proxies.split("+")
        search = autoprox.search_architectures("nb201", names, out=folder, **options, **shared)
    if not search.finished:
        sys.exit("interrupted; call again to go on")
    return search.top(1)[0].config["cell"], len(search.scored)


def _said(task: str, done: int, total: int) -> None:
    if done % 16 == 0:
        print(f"{done} of {total} scored", flush=True)


def main(images: str, sets: Sequence[str]) -> None:
    """Search, look up, write."""
    bench = autoprox.load_bench("nb201")
    rows_of = {row.config["cell"]: row for row in bench.architectures}
    columns = {target: bench.accuracies(target) for target in bench.default_targets}
    best = {target: float(figures.max()) for target, figures in columns.items()}
    rows: list[dict[str, object]] = [
        {"search": "best of the table", "seed": "", "scored": "", "cell": "", **best},
        PUBLISHED,
    ]
    for seed in SEEDS:
        for proxies in sets:
            print(f"{proxies}, seed {seed}", flush=True)
            cell, scored = found_cell(proxies, seed, images)
            figures = {target: rows_of[cell].accuracies[target] for target in columns}
            better = {
                f"{target}_better": int(np.sum(columns[target] > figures[target]))
                for target in columns
            }
            rows.append(
                {
                    "search": proxies,
                    "seed": seed,
                    "scored": scored,
                    "cell": cell,
                    **figures,
                    **better,
                }
            )
            print(rows[-1], flush=True)
            empty = dict.fromkeys(rows[-1], "")
            write_csv(Path(__file__).with_suffix(".csv"), [{**empty, **row} for row in rows])


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2:] or SETS)

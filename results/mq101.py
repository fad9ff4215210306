"""Known and evolved proxies for bits. Writes results/mq101_ranking.csv and results/mq101_seeds.csv.

    python results/mq101.py cifar10_train.npz

The networks are shown 64 training images of CIFAR-10 (an .npz of uint8 `x` and labels `y`). On each
network of mq101 that has a table five searches are made, search seed and split seed together. Each
found proxy stands beside the best of the known ones, column by column, on configurations that its
search did not see: held out, or of another network, to which it is transferred. Which known one is
the best is read off the same configurations, in favour of the known ones. About ten minutes a
network on two cores; a run that is in ``runs/mq101`` already is read, not repeated.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from csv_tables import write_csv

import autoprox
from autoprox.leaderboard.board import Leaderboard, Row
from autoprox.leaderboard.figures import ColumnFigures
from autoprox.proxy import AnyProxy, load

FOLDER = Path(__file__).parent
SEEDS = range(5)
BATCH = 64


ALL = "all"
"""Stands for all networks at once."""


def found(network: str, seed: int, images: str, bench: str = "mq101") -> Path:
    """The folder of a search on one network, or on all, which is made if need be."""
    folder = Path("runs") / bench / f"{network}-{seed}"
    if not (folder / "report.json").is_file():
        autoprox.evolve(
            bench,
            out=folder,
            jobs=len(os.sched_getaffinity(0)),
            spaces=None if network == ALL else (network,),
            images=images,
            correlation="spearman",
            probe_batch=BATCH,
            seed=seed,
            split_seed=seed,
        )
    return folder


def discovered(proxy: AnyProxy) -> bool:
    """Whether a proxy was found by autoprox."""
    return "found_by" in proxy.provenance


def figures(column: ColumnFigures, suffix: str = "") -> dict[str, float]:
    """What a column says of a proxy."""
    best = {f"spearman@{each.share:.0%}{suffix}": each.spearman for each in column.best}
    values = {f"spearman{suffix}": column.spearman, f"kendall{suffix}": column.kendall, **best}
    return {name: round(value, 4) for name, value in values.items()}


def rows(
    network: str, seed: int, folder: Path, known: list[str], images: str
) -> Iterator[dict[str, Any]]:
    """A found proxy beside the best known one, column by column."""
    shown = {"images": images, "batch": BATCH, "sample": 512, "timed": False}
    board: Leaderboard = autoprox.rank(
        [folder, *known], "mq101", held_out=True, split_seed=seed, **shown
    )
    (own,) = (each for each in board if each.name not in known)
    for place, name in enumerate(board.columns):

        def rho(row: Row, place: int = place) -> float:
            return row.columns[place].spearman

        best = max((each for each in board if each.name in known and each.place), key=rho)
        yield {
            "searched_on": network,
            "seed": seed,
            "column": name,
            "part": "held out" if name.startswith(f"{network}/") else "transfer",
            **figures(own.columns[place]),
            "best_known": best.name,
            **figures(best.columns[place], "_of_best_known"),
            "formula": own.formula,
        }


def medians(
    several: list[dict[str, Any]], by: tuple[str, ...], varying: tuple[str, ...]
) -> Iterator[dict[str, Any]]:
    """The medians over the seeds of each group of rows, without what varies with the seed."""
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for each in several:
        groups.setdefault(tuple(each[name] for name in by), []).append(each)
    for group in groups.values():
        numbers = [name for name, value in group[0].items() if isinstance(value, float)]
        median = {name: round(float(np.median([e[name] for e in group])), 4) for name in numbers}
        yield {**group[0], **median, **dict.fromkeys(varying, ""), "seed": "median"}


def main(images: str) -> None:
    """Rank, search, write."""
    board = autoprox.rank(None, "mq101", batch=BATCH, images=images)
    (FOLDER / "mq101_ranking.csv").write_text(board.to_csv())
    known = [each.name for each in board if not discovered(load(each.name))]
    several: list[dict[str, Any]] = []
    for network in autoprox.load_bench("mq101").spaces:
        for seed in SEEDS:
            folder = found(network, seed, images)
            several += rows(network, seed, folder, known, images)
    middle = medians(several, ("searched_on", "column"), ("best_known", "formula"))
    write_csv(FOLDER / "mq101_seeds.csv", [*several, *middle])


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])

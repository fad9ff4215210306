"""Evolved and known proxies for bits on the same held-out rows. Writes results/BENCH_evolved.csv.

    python results/mq101_evolved.py mq101 cifar10_train.npz
    python results/mq101_evolved.py mq101wide cifar10_train.npz

Searches five times on each network of the bench, and five times on all at once (search seed and
split seed together, shown 64 training images of CIFAR-10, an .npz of uint8 `x` and labels `y`); a
search that is in ``runs/BENCH`` already is read. The best proxy of each stands beside all known
expressions that the measured statistics allow, on the configurations that its search did not see:
those held out, and those of the networks that it did not search on, to which it is transferred; 512
entries a tensor. On mq101wide mq101_best stands beside them, which was found on mq101. A
quarter of an hour.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from csv_tables import write_csv

import autoprox
from autoprox import proxies
from autoprox.evaluation.evaluate import Evaluator
from autoprox.evolution.settings import Settings
from autoprox.proxies.loading import load
from autoprox.proxies.proxy import Proxy
from autoprox.ranking import CORRELATIONS, resolved
from autoprox.runs.ground import Ground, lay
from autoprox.statistics.store import default_folder

SEEDS = range(5)
BATCH = 64
ALL = "all"
"""Stands for all networks at once."""


def found(bench: str, network: str, seed: int, images: str) -> Path:
    """The folder of a search on one network, or on all, which is made if need be."""
    folder = Path("runs") / bench / f"{network}-{seed}"
    if not (folder / "report.json").is_file():
        autoprox.evolve(
            bench,
            out=folder,
            jobs=len(os.sched_getaffinity(0)),
            spaces=None if network == ALL else (network,),
            images=images,
            batch=BATCH,
            seed=seed,
            split_seed=seed,
        )
    return folder


def compared(bench: str, network: str, seed: int, folder: Path) -> Iterator[dict[str, Any]]:
    """The evolved proxy of a run and the known ones on what the run did not see."""
    settings = Settings.from_json(json.loads((folder / "config.json").read_text())["settings"])
    ground = lay(bench, settings, default_folder())
    known = {name: load(name) for name in proxies.names() if name != f"{bench}_best"}
    candidates = {
        name: proxy
        for name, proxy in {"evolved": load(folder), **known}.items()
        if isinstance(proxy, Proxy) and proxy.needs_bits and {*proxy.statistics} <= {*ground.names}
    }
    for part, places in (("held out", ground.held_out), ("transfer", ground.transfer)):
        if places:
            for row in figures(ground, places, candidates):
                yield {"searched_on": network, "seed": seed, "part": part, **row}


def figures(
    ground: Ground, places: Sequence[int], candidates: dict[str, Proxy]
) -> Iterator[dict[str, Any]]:
    """Correlations of proxies with the columns of some configurations; none of one that fails."""
    evaluator = Evaluator(ground.table(places))
    for column in ground.columns(places):
        for name, proxy in candidates.items():
            values = evaluator(proxy.graph).values[column.places]
            ranks = np.isfinite(values).all() and np.ptp(resolved(values)) > 0
            yield {
                "column": column.name,
                "configurations": len(values),
                "proxy": name,
                **{
                    kind: round(correlation(values, column.accuracies), 4) if ranks else ""
                    for kind, correlation in CORRELATIONS.items()
                },
                "formula": proxy.graph.text,
            }


def medians(rows: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The medians over the seeds."""
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        key = tuple(row[name] for name in ("searched_on", "part", "column", "proxy"))
        groups.setdefault(key, []).append(row)
    for group in groups.values():
        valid = [row for row in group if row["somers"] != ""]
        middle = {
            name: round(float(np.median([row[name] for row in valid])), 4) if valid else ""
            for name in CORRELATIONS
        }
        yield {**group[0], **middle, "formula": "", "seed": f"median of {len(valid)}"}


def main(bench: str, images: str) -> None:
    """Search if need be, compare, write."""
    rows = [
        row
        for network in (*autoprox.load_bench(bench).spaces, ALL)
        for seed in SEEDS
        for row in compared(bench, network, seed, found(bench, network, seed, images))
    ]
    write_csv(Path(__file__).parent / f"{bench}_evolved.csv", [*rows, *medians(rows)])


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])

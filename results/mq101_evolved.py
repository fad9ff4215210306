"""Evolved and known proxies for bits on the same held-out rows. Writes results/BENCH_evolved.csv.

    python results/mq101_evolved.py mq101 cifar10_train.npz
    python results/mq101_evolved.py mq101wide cifar10_train.npz

Searches five times on each network of the bench, and five times on all at once (search seed and
split seed together, shown 64 training images of CIFAR-10, an .npz of uint8 `x` and labels `y`); a
search that is in ``runs/BENCH`` already is read. The best proxy of each stands beside all known
expressions that the measured statistics allow, on the configurations that its search did not see,
512 entries a tensor. On mq101wide mq101_best stands beside them, which was found on mq101. A
quarter of an hour.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from csv_tables import write_csv
from mq101 import ALL, SEEDS, discovered, found, medians

import autoprox
from autoprox import proxies
from autoprox.evaluate import Evaluator
from autoprox.evolution.ground import lay
from autoprox.evolution.settings import Settings
from autoprox.proxy import Proxy, load
from autoprox.ranking import kendall, spearman
from autoprox.statistics.store import default_folder


def rows(bench: str, network: str, seed: int, folder: Path) -> Iterator[dict[str, Any]]:
    """The evolved proxy of a run and the known ones on what the run did not see."""
    settings = Settings.from_json(json.loads((folder / "config.json").read_text())["settings"])
    ground = lay(bench, settings, default_folder())
    evaluator = Evaluator(ground.table(ground.held_out))
    shipped = {name: load(name) for name in proxies.names()}
    known = {
        name: each
        for name, each in shipped.items()
        if not discovered(each) or (bench, name) == ("mq101wide", "mq101_best")
    }
    candidates = {"evolved": load(folder)} | {
        name: each
        for name, each in known.items()
        if isinstance(each, Proxy) and each.needs_bits and {*each.statistics} <= {*ground.names}
    }
    for column in ground.columns(ground.held_out):
        for name, proxy in candidates.items():
            scores = evaluator(proxy.graph)
            if scores.failure is None:
                values = scores.values[column.places]
                yield {
                    "searched_on": network,
                    "seed": seed,
                    "column": column.name,
                    "configurations": len(values),
                    "proxy": name,
                    "kendall": round(kendall(values, column.accuracies), 4),
                    "spearman": round(spearman(values, column.accuracies), 4),
                    "formula": proxy.graph.text,
                }


def main(bench: str, images: str) -> None:
    """Search if need be, compare, write."""
    several = [
        row
        for network in (*autoprox.load_bench(bench).spaces, ALL)
        for seed in SEEDS
        for row in rows(bench, network, seed, found(network, seed, images, bench))
    ]
    middle = medians(several, ("searched_on", "column", "proxy"), ("formula",))
    write_csv(Path(__file__).parent / f"{bench}_evolved.csv", [*several, *middle])


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])

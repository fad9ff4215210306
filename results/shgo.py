"""Search by fitted models against going through whole spaces. Writes results/shgo.csv.

    python results/shgo.py

Models of accuracy and of a cost are fitted to a few trained networks of a bench; for each of 50
random limits of the cost SHGO and the neighbours of its optimum choose an architecture. A row is a
bench: how often no architecture within the limit has a larger fitted accuracy, the seconds of one
search, and the regret, which is the best published accuracy within the limit less that of the
choice, in points. Networks are built without memory to count what they cost. A few minutes.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
from csv_tables import write_csv

from autoprox.benches.spaces import BenchSpace
from autoprox.search.architectures.by_accuracies import fit_space, known_places
from autoprox.search.architectures.limits import range_of
from autoprox.search.architectures.relaxed import maximise
from autoprox.search.architectures.space import load_space

BENCHES = {"resnet64": (25, "params"), "macro": (25, "flops"), "natssss": (78, "flops")}
"""Bench to how many networks are trained, and which cost is limited."""

LIMITS = 50


def row_of(name: str, count: int, cost: str) -> dict[str, Any]:
    """Return what 50 searches of a bench reach."""
    space = load_space(name)
    assert isinstance(space, BenchSpace)
    target = space.bench.default_targets[0]
    random = np.random.default_rng(0)
    rows = [*space.rows.values()]
    trained = [rows[place] for place in random.permutation(len(rows))[:count]]
    pairs = [(row.config, row.accuracies[target]) for row in trained]
    fits = fit_space(space, pairs, {cost: range_of(cost, ":1")}, "gp", 0)
    places = np.array(
        [
            [values.index(number) for values, number in zip(space.levels, key, strict=True)]
            for key in space.rows
        ]
    )
    place_of = {tuple(place): index for index, place in enumerate(places.tolist())}
    accuracies = np.array([row.accuracies[target] for row in rows])
    predicted = fits.accuracies(places.astype(np.float64))
    costs = fits.cost(cost, places.astype(np.float64))
    hits, seconds, regrets = 0, [], []
    for limit in random.uniform(*np.quantile(costs, [0.02, 1]), LIMITS):
        begun = time.process_time()
        chosen = maximise(fits, {cost: limit}, lambda near: known_places(space, near))
        seconds.append(time.process_time() - begun)
        at, within = place_of[tuple(chosen.tolist())], costs <= limit
        hits += predicted[at] >= predicted[within].max() - 1e-9
        regrets.append(accuracies[within].max() - accuracies[at])
    return {
        "bench": name,
        "architectures": len(rows),
        "trained": count,
        "limit_of": cost,
        "hits": int(hits),
        "of": LIMITS,
        "median_seconds": round(float(np.median(seconds)), 3),
        "most_seconds": round(max(seconds), 3),
        "median_regret": round(float(np.median(regrets)), 3),
        "most_regret": round(float(max(regrets)), 3),
        "cost_error": round(fits.costs[cost].error, 4),
    }


if __name__ == "__main__":
    table = []
    for bench, (networks, limited) in BENCHES.items():
        table.append(row_of(bench, networks, limited))
        print(table[-1], flush=True)
    write_csv(Path(__file__).with_suffix(".csv"), table)

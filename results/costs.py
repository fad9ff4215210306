"""Cost models of nb201's cells and FBNet's networks with few measurements; writes costs.csv here.

    python results/costs.py

A row is a device with so many measurements: medians over 20 draws of Spearman's correlation and of
the median relative error on all other cells, one of each class of equal ones (fbnet: on 1,000
others). Two minutes; nothing is measured.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
from csv_tables import write_csv

from autoprox.hardware.cost import errors, fit_cost
from autoprox.hardware.devices import devices, measured
from autoprox.hardware.features import OF_SPACES

SIZES = {"nb201": (25, 100), "fbnet": (500,)}
DRAWS = 20
OTHERS = 1000


@cache
def features(space: str, name: str) -> dict[str, float]:
    """Return what the model reads of an architecture."""
    return OF_SPACES[space](name)


def row_of(space: str, device: str, count: int) -> dict[str, object]:
    """Return what a model reaches with some measurements."""
    costs = measured(space, device)
    names = list(costs)
    if space == "nb201":  # measured once a class of equal cells
        names = [name for name in measured("nb201", "pi5_litert_ms") if name in costs]
    errors_of_draws = []
    for seed in range(DRAWS):
        order = np.random.default_rng([seed, count]).permutation(len(names)).tolist()
        known = [names[index] for index in order[:count]]
        others = [names[index] for index in order[count:][: OTHERS if space == "fbnet" else None]]
        model = fit_cost([features(space, name) for name in known], [costs[name] for name in known])
        predicted = np.array([model(features(space, name)) for name in others])
        errors_of_draws.append(errors(predicted, np.array([costs[name] for name in others])))
    error, spearman = np.median(errors_of_draws, axis=0)
    return {
        "space": space,
        "device": device,
        "measurements": count,
        "spearman": round(float(spearman), 3),
        "median_error": round(float(error), 4),
    }


if __name__ == "__main__":
    rows = [
        row_of(space, device, count)
        for space, sizes in SIZES.items()
        for device in devices(space)
        for count in sizes
    ]
    write_csv(Path(__file__).parent / "costs.csv", rows)

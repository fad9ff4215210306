"""NN-Mass on two spaces, and accuracies predicted from it. Writes results/nn_mass.csv.

    python results/nn_mass.py

Kendall's tau-b with the published accuracies: on all 64 networks of resnet64, where NN-Mass ranks
better than the counts, and on all 6,561 of macro, where it fails. A network's mass is the sum of
its blocks'; on macro it is summed from the seventeen networks that have at most one block. Below,
with a number of trained networks: the root mean squared error, in points, of a curve that flattens
on the other networks of resnet64, the median over 50 draws. Under a minute.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from csv_tables import write_csv
from numpy.typing import NDArray
from scipy.stats import kendalltau

import autoprox
from autoprox.benches import Architecture, Bench
from autoprox.benches.counts import counted
from autoprox.predictors.saturating import fit_saturating
from autoprox.proxies import nn_mass

Array = NDArray[np.float64]

SIZES, DRAWS = (10, 15, 25, 40), 50


def mass(bench: Bench, architecture: Architecture) -> float:
    """Return the NN-Mass of an architecture."""
    return nn_mass(bench.network(architecture, 0), torch.zeros(1, 3, 32, 32))


def macro_masses(bench: Bench) -> Array:
    """Return the NN-Mass of all architectures of macro, ``(6561,)``."""
    rows = {row.config["blocks"]: row for row in bench.architectures}
    empty = mass(bench, rows["0" * 8])
    added = np.zeros((8, 3))
    for place in range(8):
        for block in (1, 2):
            text = "0" * place + str(block) + "0" * (7 - place)
            added[place, block] = mass(bench, rows[text]) - empty
    return np.array(
        [empty + sum(added[place, int(digit)] for place, digit in enumerate(text)) for text in rows]
    )


def error(sizes: Array, accuracies: Array, count: int) -> float:
    """Return the median error on the networks that are not drawn."""
    errors = []
    for draw in range(DRAWS):
        order = np.random.default_rng([draw, count]).permutation(len(sizes))
        known, others = order[:count], order[count:]
        curve = fit_saturating(sizes[known], accuracies[known])
        errors.append(np.sqrt(np.mean((curve(sizes[others]) - accuracies[others]) ** 2)))
    return float(np.median(errors))


def main() -> None:
    """Write the table."""
    rows: list[dict[str, Any]] = []

    def add(bench: str, target: str, score: str, trained: int, tau: float, points: float) -> None:
        names = ("bench", "target", "score", "trained", "tau", "rmse_points")
        figures = (
            "" if np.isnan(tau) else round(float(tau), 3),
            "" if np.isnan(points) else round(points, 2),
        )
        rows.append(dict(zip(names, (bench, target, score, trained, *figures), strict=True)))
        print(rows[-1], flush=True)

    residual, macro = autoprox.load_bench("resnet64"), autoprox.load_bench("macro")
    own, counts = counted(residual)
    scores = {"nn_mass": np.array([mass(residual, row) for row in own]), "params": counts[:, 0]}
    for target in ("c100", "c100_kd"):
        accuracies = residual.accuracies(target, own)
        for name, values in scores.items():
            add("resnet64", target, name, 0, kendalltau(values, accuracies).statistic, np.nan)
            for count in SIZES:
                add("resnet64", target, name, count, np.nan, error(values, accuracies, count))
    masses = macro_masses(macro)
    add("macro", "c10", "nn_mass", 0, kendalltau(masses, macro.accuracies("c10")).statistic, np.nan)
    blocks = [8 - row.config["blocks"].count("0") for row in macro.architectures]
    add("macro", "c10", "blocks", 0, kendalltau(blocks, macro.accuracies("c10")).statistic, np.nan)
    write_csv(Path(__file__).with_suffix(".csv"), rows)


if __name__ == "__main__":
    main()

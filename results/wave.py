"""ParZC without training: sums over layers weighted by a wave, beside plain sums; writes wave.csv.

    python results/wave.py vit101
    python results/wave.py nb201 cifar10_train.npz

The weights of layers are (sin(i/10) + 1)/2, as in ParZC's released code. A row is a bench and a
statistic: Somers' D given the accuracy on all architectures that are drawn (joint over spaces and
targets), of the plain sum and of the weighted one, and the 95 % interval of the difference over
1,000 bootstrap resamples of the architectures, the same for both. nb201: 300 cells, one of each
class of equal ones, 16 images; vit101 is shown noise. What is in the cache is not measured again.
The rows of other benches stay.
"""

from __future__ import annotations

import csv
import os
import sys
from pathlib import Path

import numpy as np
from csv_tables import rounded, write_csv
from numpy.typing import NDArray

import autoprox
from autoprox.assessment.assess import columns
from autoprox.benches import drawn
from autoprox.evaluation.evaluate import Evaluator
from autoprox.measuring.probe import Probe
from autoprox.measuring.tables import Plan, load_table, measure_bench
from autoprox.ranking import joint, somers, weights
from autoprox.ranking.resampling import interval, resampled_columns, resampled_ds
from autoprox.runtime.parallel import open_workers
from autoprox.statistics import Store
from autoprox.statistics.store import default_folder

LAYERS = {
    "snip": "sum(absolute(multiply(grad, weight)))",
    "synflow": "sum(absolute(multiply(flow_grad, weight)))",
    "grad_norm": "norm(grad)",
    "l2_norm": "norm(weight)",
}
"""What is summed over the layers."""

RESAMPLES = 1000


def rows_of(name: str, images: str | None) -> list[dict[str, object]]:
    """Return a row for each statistic of `LAYERS` on a bench."""
    bench = drawn(autoprox.load_bench(name), 300 if images else None)
    probe = Probe(16, images=images) if images else Probe()
    plan = Plan(bench, name, ("weight", "grad", "flow_grad"), probe, default_folder())
    store = Store(plan.folder)
    with open_workers(len(os.sched_getaffinity(0)), folder=plan.folder) as workers:
        table = load_table(store, measure_bench(plan, store, workers), plan.names)
    evaluator = Evaluator(table)
    own = columns(bench, range(len(bench.architectures)), bench.default_targets)
    counts = resampled_columns(own, RESAMPLES, 0)

    def figures(expression: str) -> tuple[float, NDArray[np.float64]]:
        scores = evaluator(autoprox.parse(expression)).values
        ds = np.array([somers(scores[column.places], column.accuracies) for column in own])
        drawn_ds = [
            resampled_ds(scores[column.places], column.accuracies, drawn)
            for column, drawn in zip(own, counts, strict=True)
        ]
        return float(joint(ds, weights(own))), joint(np.array(drawn_ds).T, weights(own))

    rows = []
    for statistic, layers in LAYERS.items():
        plain, resampled = figures(f"sum({layers})")
        waved, resampled_waved = figures(f"sum(wave({layers}))")
        low, high = interval(resampled_waved - resampled)
        row = {"bench": name, "statistic": statistic, "plain": plain, "wave": waved}
        rows.append(rounded(row | {"difference": waved - plain, "low": low, "high": high}))
    return rows


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    path = Path(__file__).with_suffix(".csv")
    before: list[dict[str, object]] = []
    if path.exists():
        with path.open(newline="") as file:
            before = [row for row in csv.DictReader(file) if row["bench"] != sys.argv[1]]
    write_csv(path, [*before, *rows_of(sys.argv[1], (sys.argv[2:] or [None])[0])])

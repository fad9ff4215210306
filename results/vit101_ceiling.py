"""How well the vision transformers of vit101 can be ranked. Writes results/vit101_ceiling.csv.

    python results/vit101_ceiling.py

No proxy sees accuracies, or how an architecture is described. Here is what one reaches who sees
both: kernel ridge regression from the description (depth, widths, heads, ratios, #params, FLOPs)
to each accuracy, its width and penalty chosen by cross-validation among the known ones. It knows
the accuracies of the search split of a run and predicts the held-out ones, or (``nine_tenths``)
those of nine tenths of the space and predicts the rest, with the same width and penalty. Ten
splits, those of runs with --split-seed 0 to 9; beside it the simple proxies on the same
architectures. Somers' D, joint and by column. A minute.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from csv_tables import write_csv
from numpy.typing import NDArray

import autoprox
from autoprox.assessment.assess import columns as columns_of
from autoprox.benches import Architecture, Bench, split
from autoprox.evaluation.evaluate import Evaluator
from autoprox.evolution.settings import Settings
from autoprox.ranking import somers
from autoprox.runs.ground import lay
from autoprox.runtime.parallel import open_workers
from autoprox.statistics.store import default_folder

Array = NDArray[np.float64]
SPLITS, FOLDS = range(10), 5
WIDTHS, PENALTIES = (1.0, 2.0, 4.0, 8.0), (0.03, 0.1, 0.3, 1.0, 3.0)


def description(architecture: Architecture) -> list[float]:
    """Return an architecture as numbers: of long lists the mean, the deviation and both halves."""
    numbers: list[float] = []
    for value in architecture.config.values():
        if isinstance(value, str):  # which of the published files it is from
            continue
        own = np.atleast_1d(np.array(value, dtype=np.float64))
        if len(own) <= 3:
            numbers += own.tolist()
        else:
            halves = np.array_split(own, 2)
            numbers += [own.mean(), own.std(), halves[0].mean(), halves[1].mean()]
    return numbers


def predicted(known: Array, figures: Array, asked: Array, width: float, penalty: float) -> Array:
    """Return what kernel ridge regression predicts, ``(asked,)``."""
    centre, scale = known.mean(0), known.std(0) + 1e-9
    first, second = ((inputs - centre) / scale for inputs in (known, asked))

    def kernel(one: Array, other: Array) -> Array:
        squares = ((one[:, None] - other[None]) ** 2).mean(-1)
        return np.asarray(np.exp(-squares / (2 * width**2)))

    own = kernel(first, first) + penalty * np.eye(len(first)) / len(first)
    weights = np.linalg.solve(own, figures - figures.mean())
    return np.asarray(kernel(second, first) @ weights + figures.mean())


def chosen(known: Array, figures: Array) -> tuple[float, float]:
    """Return the width and the penalty whose predictions rank best within the known ones."""
    folds = np.random.default_rng(0).permutation(len(known)) % FOLDS
    best = {
        (width, penalty): somers(_outside(known, figures, folds, width, penalty), figures)
        for width in WIDTHS
        for penalty in PENALTIES
    }
    return max(best, key=best.__getitem__)


def _outside(
    known: Array, figures: Array, folds: NDArray[np.int64], width: float, penalty: float
) -> Array:
    """Return predictions of each fold from the others."""
    out = np.empty(len(known))
    for fold in np.unique(folds):
        there = folds != fold
        out[~there] = predicted(known[there], figures[there], known[~there], width, penalty)
    return out


def rows_of(
    bench: Bench, described: Array, scores: Mapping[str, Array], seed: int
) -> list[dict[str, Any]]:
    """Return what is reached on one split."""
    parts = split(bench, seed)
    rows: list[dict[str, Any]] = []
    for column in columns_of(bench, range(len(bench.architectures)), bench.default_targets):
        there = np.isin(column.places, parts.held_out)
        seen, asked = column.places[~there], column.places[there]
        figures, truth = column.accuracies[~there], column.accuracies[there]
        own = _described(described, column.places)
        known = own[~there]
        options = chosen(known, figures)
        guessed = predicted(known, figures, own[there], *options)
        folds = np.random.default_rng(seed).permutation(len(own)) % 10
        most = _outside(own, column.accuracies, folds, *options)
        rows.append(
            {
                "split": seed,
                "column": column.name,
                "known": len(seen),
                "from_description": somers(guessed, truth),
                "nine_tenths": somers(most, column.accuracies),
                **{name: somers(values[asked], truth) for name, values in scores.items()},
                **{
                    f"{name}_all": somers(values[column.places], column.accuracies)
                    for name, values in scores.items()
                },
            }
        )
    numbers = [key for key, value in rows[0].items() if isinstance(value, float)]
    joint = {key: float(np.mean([row[key] for row in rows])) for key in numbers}
    return [*rows, {"split": seed, "column": "joint", "known": "", **joint}]


def _described(described: Array, places: Sequence[int] | NDArray[np.intp]) -> Array:
    """Return the descriptions of a space, without the numbers that it does not have."""
    own = described[places]
    return own[:, np.isfinite(own).all(0)]


def main() -> None:
    """Predict, compare, write."""
    settings = Settings("vit101", statistics=("weight", "params", "flops"))
    ground = lay("vit101", settings, default_folder())
    with open_workers(len(os.sched_getaffinity(0)), folder=default_folder()) as workers:
        ground.measure(workers, lambda done, total: None)
    bench = ground.bench
    evaluator = Evaluator(ground.table(range(len(bench.architectures))))
    scores = {
        name: evaluator(autoprox.load(name).graph).values for name in ("l2_norm", "params", "flops")
    }
    rows = [description(row) for row in bench.architectures]
    described = np.full((len(rows), max(map(len, rows)) + 2), np.nan)
    for place, row in enumerate(rows):
        described[place, : len(row)] = row
    described[:, -2:] = np.log(np.stack([scores["params"], scores["flops"]], axis=1))
    table = [row for seed in SPLITS for row in rows_of(bench, described, scores, seed)]
    for name in dict.fromkeys(row["column"] for row in table):
        own = [row for row in table if row["column"] == name]
        medians = {
            key: float(np.median([row[key] for row in own]))
            for key, value in own[0].items()
            if isinstance(value, float)
        }
        table.append({"split": "median", "column": name, "known": own[0]["known"], **medians})
    keys = list(table[0])
    write_csv(
        Path(__file__).with_suffix(".csv"),
        [
            {key: round(row[key], 4) if isinstance(row[key], float) else row[key] for key in keys}
            for row in table
        ],
    )


if __name__ == "__main__":
    main()

"""Whether a run's estimate of its own luck is right, where the truth is known.

    python results/luck.py truth cifar10_train.npz
    python results/luck.py null cifar10_train.npz

Both search on cells of NAS-Bench-201 (one of each class of equal ones, shown 16 training images of
CIFAR-10, an .npz of uint8 `x` and labels `y`) whose statistics are measured once: 1,620 cells, 12
minutes on two cores. Formulas are of the statistics that several convolutional benches share.

The first searches with the default algorithm on 20 to 320 of them, thirty times on each number and
sixty times on 40, with other cells and another seed, lets each search estimate how much of its
winner's joint Somers' D is luck (`autoprox.ranking.luck.selection_luck`), corrects it by one more
search on shuffled accuracies, too, and compares with the winner's figure on the cells that were not
searched on, at least 1,300.
Writes results/luck_truth.csv. A search that is in ``runs/luck`` already is read, not repeated;
an hour and a half on two cores.

The second searches on 100 cells whose accuracies are shuffled, so that there is nothing to find,
40 times, with 1,000 candidates, and asks each as a run does with ``--permutations 19``. Writes
results/luck_null.csv with the p of each, and the Kolmogorov-Smirnov test that they are uniform.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from csv_tables import write_csv
from scipy.stats import kstest

from autoprox.benches import nb201
from autoprox.evaluation.evaluate import Evaluator
from autoprox.evolution.judge import Judge
from autoprox.evolution.search import Search
from autoprox.evolution.settings import Settings
from autoprox.evolution.variation import Variation
from autoprox.ranking import Column, Ranker, joint
from autoprox.ranking.figures import last_where
from autoprox.ranking.luck import null_luck, shuffled, without_luck
from autoprox.runs.ground import Ground, lay
from autoprox.runs.report import luck_of
from autoprox.runtime.files import write_text
from autoprox.runtime.parallel import open_workers
from autoprox.statistics.store import default_folder

FOLDER = Path(__file__).parent
CELLS = 1620
SEARCHES, EVALUATIONS = {20: 30, 40: 60, 80: 30, 160: 30, 320: 30}, 10_000
NULLS, PERMUTATIONS, NULL_SIZE, NULL_EVALUATIONS = 40, 19, 100, 1000


def ground_of(images: str) -> Ground:
    """Return the cells and their figures."""
    settings = Settings(
        "nb201", architectures=CELLS, images=images, batch=16, statistics=nb201.STATISTICS
    )
    return lay("nb201", settings, default_folder())


def drawn(ground: Ground, count: int, seed: int) -> list[int]:
    """Return the places of cells that are drawn at random."""
    cells = len(ground.bench.architectures)
    return sorted(np.random.default_rng([seed, count]).permutation(cells)[:count].tolist())


def searched(
    ground: Ground, judge: Judge, seed: int, evaluations: int, columns: Sequence[Column]
) -> Search:
    """Return a search that came to its end, on the cells of a judge and on some figures."""
    settings = replace(ground.settings, seed=seed, evaluations=evaluations)
    own = Judge(judge.portions[0].evaluator.table, Ranker(columns, settings.measure))
    own.portions = judge.portions  # what one search has computed serves the next
    search = Search(settings, Variation(ground.vocabulary), own)
    while not search.done:
        search.step()
    return search


def true_row(images: str, count: int, seed: int) -> dict[str, Any]:
    """Return what a search on some cells reaches and says, and what is true on the others."""
    ground = ground_of(images)
    places = drawn(ground, count, seed)
    judge = ground.judge(places)
    columns = judge.ranker.columns
    search = searched(ground, judge, seed, EVALUATIONS, columns)
    luck = luck_of(search, {})
    best = search.best
    assert luck is not None
    assert best is not None
    others = sorted(set(range(CELLS)) - set(places))
    scores = Evaluator(ground.table(others))(best.graph)
    ranks = last_where(~np.isfinite(scores.values), scores.values)
    ranker = Ranker(ground.columns(others), ground.settings.measure)
    truth = float(joint(ranker.correlations(ranks[None]), ranker.weights)[0])
    null = searched(ground, judge, seed, EVALUATIONS, shuffled(columns, [seed, 1])).best
    low, high = luck.corrected_interval
    return {
        "cells": count,
        "seed": seed,
        "search": luck.search,
        "truth": truth,
        "without_score": len(scores.failures),
        "outside": luck.outside,
        "floor": luck.floor,
        "corrected": luck.corrected,
        "corrected_low": low,
        "corrected_high": high,
        "shuffled": 0.0 if null is None else null.fitness,
        "nodes": best.graph.complexity,
        "formula": best.graph.text,
    }


def truth(images: str) -> None:
    """Write the searches, and the means over the seeds of each size."""
    tasks = [(images, size, seed) for size, count in SEARCHES.items() for seed in range(count)]
    rows = _done("truth", true_row, tasks)
    for row in rows:
        row["corrected_by_shuffled"] = without_luck(row["search"], row["shuffled"], "somers")
        for name in ("outside", "corrected", "corrected_by_shuffled"):
            row[f"error_of_{name}"] = row[name] - row["truth"]
        row["covered"] = int(row["corrected_low"] <= row["truth"] <= row["corrected_high"])
    rows.sort(key=lambda row: (row["cells"], row["seed"]))
    for size in SEARCHES:
        own = [row for row in rows if row["cells"] == size]
        means = {
            name: float(np.mean([row[name] for row in own]))
            for name, value in own[0].items()
            if isinstance(value, int | float)
        }
        rows.append({**means, "cells": size, "seed": f"mean of {len(own)}", "formula": ""})
    keys = [*(key for key in rows[0] if key != "formula"), "formula"]
    write_csv(FOLDER / "luck_truth.csv", [{key: _short(row[key]) for key in keys} for row in rows])


def _short(value: Any) -> Any:
    """Return a number with four digits."""
    return round(value, 4) if isinstance(value, float) else value


def null_row(images: str, number: int) -> dict[str, Any]:
    """Return the p of a search where there is nothing to find."""
    ground = ground_of(images)
    judge = ground.judge(drawn(ground, NULL_SIZE, number))
    columns = shuffled(judge.ranker.columns, [number, 0])
    bests = [
        searched(
            ground,
            judge,
            number,
            NULL_EVALUATIONS,
            columns if shuffle == 0 else shuffled(columns, [number, shuffle]),
        ).best
        for shuffle in range(PERMUTATIONS + 1)
    ]
    values = [0.0 if best is None else best.fitness or 0.0 for best in bests]
    null = null_luck(values[0], values[1:], "somers")
    return {
        "world": number,
        "search": round(values[0], 4),
        "floor": round(null.floor, 4),
        "p": null.p,
    }


def null(images: str) -> None:
    """Write the p of each world, and whether they are uniform."""
    rows = _done("null", null_row, [(images, number) for number in range(NULLS)])
    # A p is a multiple of 1 / 20; within its step it may be anywhere.
    step = 1 / (PERMUTATIONS + 1)
    spread = np.array([row["p"] for row in rows]) - step * np.random.default_rng(0).random(NULLS)
    test = kstest(spread, "uniform")
    rows.append({"world": "uniform", "search": "", "floor": "", "p": round(float(test.pvalue), 4)})
    write_csv(FOLDER / "luck_null.csv", rows)


def _done(name: str, function: Any, tasks: Iterable[tuple[Any, ...]]) -> list[dict[str, Any]]:
    """Return what a function gives for each task; what is in ``runs/luck`` already is read."""
    files = {
        Path("runs/luck") / f"{name}-{'-'.join(map(str, task[1:]))}.json": task for task in tasks
    }
    ground = ground_of(sys.argv[2])
    with open_workers(len(os.sched_getaffinity(0)), folder=default_folder()) as workers:
        ground.measure(workers, lambda done, total: None)
        missing = [(path, function, *task) for path, task in files.items() if not path.is_file()]
        for _ in workers.unordered(_kept, missing):
            pass
    return [json.loads(path.read_text()) for path in files]


def _kept(path: Path, function: Any, *task: Any) -> None:
    """Keep what a function gives."""
    write_text(path, json.dumps(function(*task)))


if __name__ == "__main__":
    parts = {"truth": truth, "null": null}
    if len(sys.argv) != 3 or sys.argv[1] not in parts:
        sys.exit(__doc__)
    parts[sys.argv[1]](str(Path(sys.argv[2]).resolve()))

"""Every algorithm on a bench, many seeds, same budget. Writes results/BENCH_seeds.csv.

    python results/seeds.py vit101
    python results/seeds.py nb201 cifar10_train.npz
    python results/seeds.py nb201 cifar10_train.npz default

The last one makes the rows of one algorithm anew and keeps those of the others: the same seed gives
the same run.

Search seed and split seed vary together: ten on vit101, twenty on nb201; 10,000 distinct candidates
each. vit101 has all its 300 networks, shown noise; nb201 300 cells, drawn as a run draws them,
shown 16 training images of CIFAR-10 (an .npz of uint8 `x` and labels `y`). A row has the figures of
the best proxy by the search split alone, on the held-out architectures; its difference to the best
known proxy that the run itself reports, and to further known proxies that `autoprox rank` scores
with full tensors; and on nb201 its joint Somers' D on 1,000 further cells that no run has measured.
What has no score on one of these architectures counts as 0. Below stand medians, and how the
algorithms compare with random search, seed by seed.

A run that is in ``runs/seeds`` already is read, not repeated: an hour on two cores for nb201,
half of one for vit101, when everything is measured.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from csv_tables import read_csv, write_csv
from numpy.typing import NDArray
from scipy.stats import binomtest

import autoprox
from autoprox.evolution.settings import Settings
from autoprox.language.graph import Graph
from autoprox.language.text import parse
from autoprox.ranking.figures import Comparison, Figures
from autoprox.ranking.resampling import interval
from autoprox.runs.ground import Ground, lay
from autoprox.runs.record import read_run
from autoprox.runtime.parallel import open_workers
from autoprox.statistics.store import default_folder

SEEDS = {"vit101": range(10), "nb201": range(20)}
ALGORITHMS = ("default", "random", "autoprox", "emq")
JOBS = len(os.sched_getaffinity(0))
MEASURED = {"vit101": None, "nb201": 300}
FURTHER = {"vit101": (), "nb201": ("az_nas", "meco", "naswot", "zico_paper", "swap")}
"""Known proxies that are among the best of the bench on full tensors."""

CELLS = 1300
"""A run that draws so many cells draws 1,000 beside those of the runs here."""


def options_of(bench: str, images: str | None) -> dict[str, Any]:
    """Return the settings of the runs on a bench."""
    drawn = MEASURED[bench]
    shown: dict[str, Any] = {"images": images, "batch": 16} if images else {}
    return shown | ({"architectures": drawn} if drawn else {})


def run_of(bench: str, algorithm: str, seed: int, options: Mapping[str, Any]) -> Path:
    """Return the folder of a run, which is made if need be."""
    folder = Path("runs/seeds") / f"{bench}-{algorithm}-{seed}"
    if not (folder / "report.json").is_file():
        varied = {"seed": seed, "split_seed": seed, "algorithm": algorithm}
        autoprox.evolve(bench, out=folder, jobs=JOBS, **varied, **options)
    return folder


def further_scores(bench: str, options: Mapping[str, Any]) -> Mapping[str, NDArray[np.float64]]:
    """Return the scores of the further known proxies on what the runs draw, full tensors."""
    if not FURTHER[bench]:
        return {}
    board = autoprox.rank(
        FURTHER[bench],
        bench,
        architectures=options["architectures"],
        batch=options["batch"],
        images=options["images"],
        timed=False,
        jobs=JOBS,
    )
    return board.scores


def unseen(images: str) -> tuple[Ground, list[int]]:
    """Return 1,000 cells that no run measures."""
    settings = Settings("nb201", architectures=CELLS, images=images, batch=16)
    ground = lay("nb201", settings, default_folder())
    drawn = autoprox.load_bench("nb201").sampled(MEASURED["nb201"] or 0)
    seen = {row.name for row in drawn.architectures}
    names = [row.name for row in ground.bench.architectures]
    return ground, [place for place, name in enumerate(names) if name not in seen]


def beside(own: Figures, other: Figures) -> tuple[float, float, float]:
    """Return a difference of joint correlations, and its 95 % interval on the same resamples."""
    return own.joint - other.joint, *interval(own.resampled - other.resampled)


def row_of(
    bench: str, algorithm: str, seed: int, options: Mapping[str, Any], further: Mapping[str, Any]
) -> dict[str, Any]:
    """Run if need be, and return what came out."""
    folder = run_of(bench, algorithm, seed, options)
    run = read_run(folder)
    ground = lay(bench, run.settings, default_folder())
    best, on_search = run.held_out[0], run.search[0]
    rival = max(
        (proxy for proxy in run.held_out if proxy.known), key=lambda proxy: proxy.joint or -1.0
    )
    low, high = best.difference_interval or (np.nan, np.nan)
    joint = best.joint or 0.0
    row: dict[str, Any] = {
        "algorithm": algorithm,
        "seed": seed,
        "evaluations": run.evaluations,
        "held_out": joint,
        "held_out_low": best.joint_interval[0] if best.joint_interval else np.nan,
        "held_out_high": best.joint_interval[1] if best.joint_interval else np.nan,
        "held_out_kendall": best.mean("kendall"),
        "held_out_spearman": best.mean("spearman"),
        "search": on_search.joint,
        "corrected": run.luck.corrected if run.luck else np.nan,
        "optimism": run.luck.optimism if run.luck else np.nan,
        "best_known": rival.name,
        "best_known_held_out": rival.joint,
        "over_best_known": joint - (rival.joint or 0.0),
        "over_best_known_low": low,
        "over_best_known_high": high,
        "top1_regret": best.mean("top1_regret"),
        "top5_regret": best.mean("top5_regret"),
        "top_share": best.mean("top_share"),
        "params_held_out": next(proxy.joint for proxy in run.held_out if proxy.name == "params"),
        "l2_norm_held_out": next(proxy.joint for proxy in run.held_out if proxy.name == "l2_norm"),
        "distinct_per_second": round(run.evaluations / run.seconds),
        "nodes": best.complexity,
        "failure": best.failure or "",
        "formula": best.expression,
    }
    assessor = ground.assessor(ground.held_out)
    compare = Comparison(assessor.columns)
    scored = best.joint is not None
    own = compare(assessor.evaluator(parse(best.expression)).values) if scored else None
    for name, scores in further.items():
        rival_figures = compare(scores[list(ground.held_out)])
        difference, low, high = (
            beside(own, rival_figures) if own else (-rival_figures.joint, np.nan, np.nan)
        )
        row |= {name: rival_figures.joint, f"over_{name}": difference}
        row |= {f"over_{name}_low": low, f"over_{name}_high": high}
    return row


def on_unseen(rows: list[dict[str, Any]], images: str) -> None:
    """Add the joint correlations on cells that no run has measured, and the best known one's."""
    ground, places = unseen(images)
    with open_workers(JOBS, folder=default_folder()) as workers:
        ground.measure(workers, lambda done, total: None)
    assessor = ground.assessor(places)
    known: dict[str, Graph] = dict(assessor.known)
    figures = {name: assessor(name, graph).joint for name, graph in known.items()}
    best = max(figures, key=lambda name: figures[name] or -1.0)
    for row in rows:
        assessment = assessor("found", parse(row["formula"]))
        row["unseen"] = assessment.joint or 0.0
        row["unseen_best_known"] = figures[best]
        row["unseen_failure"] = assessment.failure or ""


def summary(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return medians of each algorithm, and how they compare with random search by seed."""
    by_seed = {row["seed"]: row for row in rows if row["algorithm"] == "random"}
    medians_of_all = []
    for algorithm in ALGORITHMS:
        own = [row for row in rows if row["algorithm"] == algorithm]
        numbers = [key for key, value in own[0].items() if isinstance(value, float | int)]
        medians = {
            key: float(np.nanmedian([np.nan if row[key] is None else row[key] for row in own]))
            for key in numbers
        }
        gains = [row["held_out"] - by_seed[row["seed"]]["held_out"] for row in own]
        known = [row["over_best_known"] for row in own]
        medians_of_all.append(
            {
                **medians,
                "algorithm": algorithm,
                "seed": "median",
                "over_random": float(np.median(gains)),
                "over_random_wins": sum(gain > 0 for gain in gains),
                "over_random_p": _sign_test(gains),
                "over_best_known_wins": sum(gain > 0 for gain in known),
                "over_best_known_p": _sign_test(known),
            }
        )
    return medians_of_all


def _sign_test(gains: list[float]) -> float | str:
    """Return the two-sided p of a sign test; nothing where there is nothing to compare."""
    told = [gain for gain in gains if gain != 0]
    if not told:
        return ""
    return float(binomtest(sum(gain > 0 for gain in told), len(told)).pvalue)


def rounded(row: Mapping[str, Any], keys: list[str]) -> dict[str, Any]:
    """Return a row with every key, four digits."""
    return {
        key: round(value, 4) if isinstance(value := row.get(key, ""), float) else value
        for key in keys
    }


def main(bench: str, images: str | None, anew: Sequence[str]) -> None:
    """Run what is to be made anew, and write the table with the medians below."""
    options, path = options_of(bench, images), Path(__file__).parent / f"{bench}_seeds.csv"
    for seed in SEEDS[bench]:  # a stopped script has whole seeds
        for algorithm in anew:
            run_of(bench, algorithm, seed, options)
    further = further_scores(bench, options)
    rows = [
        row_of(bench, algorithm, seed, options, further)
        for algorithm in anew
        for seed in SEEDS[bench]
    ]
    if images is not None:
        on_unseen(rows, images)
    others = [row for row in read_csv(path) if row["algorithm"] not in anew]
    rows += [row for row in others if row["seed"] != "median"]
    rows.sort(key=lambda row: (ALGORITHMS.index(row["algorithm"]), row["seed"]))
    rows += summary(rows)
    keys = list(dict.fromkeys(key for row in rows for key in row))
    write_csv(path, [rounded(row, keys) for row in rows])
    print(json.dumps(rows[-len(ALGORITHMS) :], indent=1, default=str))


if __name__ == "__main__":
    bench, *rest = sys.argv[1:] or [""]
    images = str(Path(rest.pop(0)).resolve()) if bench == "nb201" and rest else None
    if bench not in MEASURED or (bench == "nb201") != (images is not None):
        sys.exit(__doc__)
    if unknown := set(rest) - set(ALGORITHMS):
        sys.exit(f"no algorithm {', '.join(unknown)}; there are {', '.join(ALGORITHMS)}")
    main(bench, images, rest or ALGORITHMS)

"""Every algorithm on vit101, five seeds each, same budget. Writes results/vit101_seeds.csv.

    python results/vit101_seeds.py

Search seed and split seed vary together. Needs the measured statistics (made by the first `autoprox
evolve --bench vit101`, or by this script); with them, about a minute a run on two cores. A run that
is in ``runs/seeds`` already is read, not repeated.
"""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import numpy as np
from csv_tables import write_csv

import autoprox
from autoprox.assess import Assessment
from autoprox.evolution.ground import lay
from autoprox.evolution.settings import Settings
from autoprox.statistics.store import default_folder

SEEDS = range(5)
ALGORITHMS = ("default", "random", "autoprox", "emq")
AUTOFORMER = ("autoformer/c100_kd", "autoformer/flower_kd")
CHAOYANG = ("autoformer/chaoyang_kd", "pit/chaoyang_kd")


def mean_tau(assessment: Assessment, columns: tuple[str, ...]) -> float:
    """Return the mean of Kendall's τ over some columns."""
    taus = {each.column: each.kendall for each in assessment.correlations}
    return float(np.mean([taus[column] for column in columns]))


def mean_rho(assessment: Assessment) -> float:
    """Return the mean of Spearman's rank correlation over all columns."""
    return float(np.mean([each.spearman for each in assessment.correlations]))


def row(algorithm: str, seed: int) -> dict[str, object]:
    """Run if need be, and return what came out."""
    folder = Path("runs/seeds") / f"{algorithm}-{seed}"
    if not (folder / "report.json").is_file():
        options = {"seed": seed, "split_seed": seed, "algorithm": algorithm}
        autoprox.evolve("vit101", out=folder, jobs=len(os.sched_getaffinity(0)), **options)
    report = json.loads((folder / "report.json").read_text())
    *_, last = csv.DictReader((folder / "generations.csv").read_text().splitlines())
    lines = [json.loads(line) for line in (folder / "candidates.jsonl").read_text().splitlines()]
    ground = lay("vit101", Settings.from_json(report["settings"]), default_folder())
    assessor = ground.assessor(ground.held_out)
    best = assessor("best", autoprox.load(folder).graph)
    params = assessor("params", autoprox.load("params").graph)
    coarse = assessor("coarse params", autoprox.load("coarsen(sum(params))").graph)
    return {
        "algorithm": algorithm,
        "seed": seed,
        "evaluations": report["evaluations"],
        "held_out_joint": round(best.joint, 4),
        "interval_low": round(best.joint_interval[0], 4),
        "interval_high": round(best.joint_interval[1], 4),
        "params_joint": round(params.joint, 4),
        "over_params": round(best.joint - params.joint, 4),
        "over_best_baseline": round(best.difference, 4),
        "over_best_baseline_low": round(best.difference_interval[0], 4),
        "over_best_baseline_high": round(best.difference_interval[1], 4),
        "over_coarse_params": round(best.joint - coarse.joint, 4),
        "spearman_over_params": round(mean_rho(best) - mean_rho(params), 4),
        "search_joint": round(report["search"][0]["joint"], 4),
        "autoformer_c100_flower": round(mean_tau(best, AUTOFORMER), 4),
        "params_autoformer_c100_flower": round(mean_tau(params, AUTOFORMER), 4),
        "chaoyang": round(mean_tau(best, CHAOYANG), 4),
        "params_chaoyang": round(mean_tau(params, CHAOYANG), 4),
        "valid_share": round(np.mean(["failure" not in line for line in lines]), 4),
        "distinct_per_second": round(report["evaluations"] / float(last["seconds"])),
        "nodes": best.complexity,
        "formula": best.expression,
    }


def main() -> None:
    """Run all, and write the table with the medians below."""
    rows = [row(algorithm, seed) for algorithm in ALGORITHMS for seed in SEEDS]
    for algorithm in ALGORITHMS:
        own = [each for each in rows if each["algorithm"] == algorithm]
        numbers = [key for key, value in own[0].items() if isinstance(value, float | int)]
        medians = {key: round(float(np.median([each[key] for each in own])), 4) for key in numbers}
        rows.append({**medians, "algorithm": algorithm, "seed": "median", "formula": ""})
    write_csv(Path(__file__).with_suffix(".csv"), rows)


if __name__ == "__main__":
    main()

"""Five searches on one split of nb201, together and alone. Writes results/together.csv.

    python results/together.py cifar10_train.npz

On each of twenty splits of 300 cells, shown 16 training images of CIFAR-10 (an .npz of uint8 `x`
and labels `y`), five runs of 10,000 candidates with the seeds 0 to 4; the splits are those of
seeds.py. A row has the joint Somers' D on the held-out cells, and on 1,000 cells that no run
measures, of each run's best proxy in the mean, of the one that the search scores pick, and of all
five by the mean of their ranks; what the last loses by its choice; its difference to `az_nas` on
the same cells. What has no score on a cell comes last there. Medians and sign tests below.

Runs that are in ``runs/together`` already are read, not repeated: some minutes a split on one core.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from csv_tables import rounded, write_csv
from numpy.typing import NDArray
from seeds import JOBS, SEEDS, beside, further_scores, options_of, sign_test, unseen

import autoprox
from autoprox.proxies.function import mean_of_ranks
from autoprox.ranking.figures import Comparison, Figures, last_where
from autoprox.runs.ground import Ground, lay
from autoprox.runs.several_record import Runs, read_runs
from autoprox.runtime.parallel import open_workers
from autoprox.statistics.store import default_folder

RUNS = 5
"""How many searches there are on each split."""


def runs_of(split: int, options: dict[str, Any]) -> Runs:
    """Return the runs on a split, which are made if need be."""
    folder = Path("runs/together") / str(split)
    if not (folder / "report.json").is_file():
        autoprox.evolve_seeds("nb201", RUNS, split_seed=split, out=folder, jobs=JOBS, **options)
    return read_runs(folder)


def figures_of(
    runs: Runs, ground: Ground, places: list[int]
) -> tuple[dict[str, float], Figures, Comparison]:
    """Return D of the runs alone, and of the pick; the figures of all together; the comparison."""
    assessor = ground.assessor(places)
    compare = Comparison(assessor.columns)
    scores: dict[str, NDArray[np.float64]] = {}
    for name, run in runs.reported.items():
        values = assessor.evaluator(run.best.graph).values
        scores[name] = last_where(~np.isfinite(values), values)
    joints = {name: compare(own).joint for name, own in scores.items()}
    alone = {"alone": float(np.mean([*joints.values()])), "pick": joints[runs.pick]}
    return alone, compare(mean_of_ranks(np.stack([*scores.values()]))), compare


def main(images: str) -> None:
    """Run what there is to run, and write the table."""
    options = options_of("nb201", images)
    az_nas = further_scores("nb201", options)["az_nas"]
    others, cells = unseen(images)
    with open_workers(JOBS, folder=default_folder()) as workers:
        others.measure(workers, lambda done, total: None)
    rows: list[dict[str, Any]] = []
    for split in SEEDS["nb201"]:
        runs = runs_of(split, options)
        ground = lay("nb201", next(iter(runs.settings.values())), default_folder())
        alone, together, compare = figures_of(runs, ground, [*ground.held_out])
        elsewhere, further, _ = figures_of(runs, others, cells)
        gain, low, high = beside(together, compare(az_nas[[*ground.held_out]]))
        rows.append(
            {
                "split": split,
                **alone,
                "together": together.joint,
                "together_top1_regret": _mean(together, "top1_regret"),
                "together_top5_regret": _mean(together, "top5_regret"),
                "over_az_nas": gain,
                "over_az_nas_low": low,
                "over_az_nas_high": high,
                **{f"unseen_{name}": joint for name, joint in elsewhere.items()},
                "unseen_together": further.joint,
            }
        )
        print(rows[-1], flush=True)
    summary = _summary(rows)
    table = [rounded({key: row.get(key, "") for key in summary}) for row in (*rows, summary)]
    write_csv(Path(__file__).with_suffix(".csv"), table)


def _mean(figures: Figures, name: str) -> float:
    return float(np.mean([getattr(column, name) for column in figures.columns]))


def _summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return medians, and in how many splits all together are above the pick and above az_nas."""
    medians = {key: float(np.median([row[key] for row in rows])) for key in rows[0]}
    over_pick = [row["together"] - row["pick"] for row in rows]
    over_known = [row["over_az_nas"] for row in rows]
    return {
        **medians,
        "split": "median",
        "over_pick_wins": sum(gain > 0 for gain in over_pick),
        "over_pick_p": sign_test(over_pick),
        "over_az_nas_wins": sum(gain > 0 for gain in over_known),
        "over_az_nas_p": sign_test(over_known),
        "over_az_nas_excludes_0": sum(row["over_az_nas_low"] > 0 for row in rows),
    }


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])

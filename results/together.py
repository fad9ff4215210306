"""Five searches on one split of nb201, all of them together, and one five times as long.

    python results/together.py cifar10_train.npz

Writes results/together.csv. On each of twenty splits of 300 cells, those of seeds.py, shown 16
training images of CIFAR-10 (an .npz of uint8 `x` and labels `y`), five runs of 10,000 candidates
with the seeds 0 to 4, and with the seed 0 one of 50,000 and as many by random search. A row has the
joint Somers' D on the held-out cells, and on 1,000 cells that no run measures, of

* `alone`: the best proxy of each of the five by its search score, in the mean of the five;
* `pick`: that of the five which the search scores pick;
* `longer`, `random`: the best of each long run by its search score;
* `together`: the best ones of all five by the mean of their ranks;

what is lost by their choice, and their differences to the long random search and to `az_nas` on the
same held-out cells. What has no score on a cell comes last there. Medians below, and in how many
splits each is above random search, above `az_nas`, and with the 95 % interval of the difference.

Runs that are in ``runs/together`` already are read, not repeated: six minutes a split on a core.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from csv_tables import rounded, write_csv
from numpy.typing import NDArray
from seeds import JOBS, SEEDS, beside, further_scores, options_of, unseen

import autoprox
from autoprox.proxies.function import mean_of_ranks
from autoprox.ranking.figures import Comparison, Figures, last_where
from autoprox.runs.ground import Ground, lay
from autoprox.runs.record import Run, read_run
from autoprox.runs.several_record import Runs, read_runs
from autoprox.runtime.parallel import open_workers
from autoprox.statistics.store import default_folder

RUNS = 5
"""How many searches there are on each split."""

Found = TypeVar("Found", Run, Runs)

KINDS = ("pick", "together", "longer", "random")


def five_on(split: int, options: dict[str, Any]) -> Runs:
    """Return the five runs on a split, which are made if need be."""
    folder = Path(f"runs/together/{split}")
    if not folder.is_dir():
        autoprox.evolve_seeds("nb201", RUNS, out=folder, split_seed=split, jobs=JOBS, **options)
    return finished(read_runs(folder))


def long_on(split: int, options: dict[str, Any]) -> list[Run]:
    """Return the long runs on a split, that of random search last, which are made if need be."""
    return [
        run_in(Path(f"runs/together/{split}-{end}"), split, algorithm, RUNS * 10_000, options)
        for end, algorithm in {"longer": "default", "random": "random"}.items()
    ]


def run_in(
    folder: Path, split: int, algorithm: str, evaluations: int, options: dict[str, Any]
) -> Run:
    """Return the run in a folder, which is made if need be."""
    if not folder.is_dir():
        asked = {"algorithm": algorithm, "evaluations": evaluations, **options}
        autoprox.evolve("nb201", out=folder, split_seed=split, jobs=JOBS, **asked)
    return finished(read_run(folder))


def finished(found: Found) -> Found:
    """Return a run, or several, that came to their end."""
    if not found.finished:
        sys.exit(f"not finished: go on with autoprox evolve --resume {found.folder}")
    return found


def figures_of(
    runs: Runs, long: list[Run], ground: Ground, places: list[int]
) -> tuple[float, dict[str, Figures], Comparison]:
    """Return the mean D of the runs, the figures of each kind, and what compares scores."""
    assessor = ground.assessor(places)
    compare = Comparison(assessor.columns)

    def scored(run: Run) -> NDArray[np.float64]:
        values = assessor.evaluator(run.best.graph).values
        return last_where(~np.isfinite(values), values)

    scores = {name: scored(run) for name, run in runs.reported.items()}
    alone = float(np.mean([compare(own).joint for own in scores.values()]))
    ranks = mean_of_ranks(np.stack([*scores.values()]))
    compared = map(compare, (scores[runs.pick], ranks, *map(scored, long)))
    return alone, dict(zip(KINDS, compared, strict=True)), compare


def main(images: str) -> None:
    """Run what there is to run, and write the table."""
    options = options_of("nb201", images)
    az_nas = further_scores("nb201", options)["az_nas"]
    others, cells = unseen(images)
    with open_workers(JOBS, folder=default_folder()) as workers:
        others.measure(workers, lambda done, total: None)
    rows: list[dict[str, Any]] = []
    for split in SEEDS["nb201"]:
        runs, long = five_on(split, options), long_on(split, options)
        ground = lay("nb201", long[0].settings, default_folder())
        held_out = [*ground.held_out]
        alone, figures, compare = figures_of(runs, long, ground, held_out)
        unseen_alone, elsewhere, _ = figures_of(runs, long, others, cells)
        row = {"split": split, "alone": alone, "unseen_alone": unseen_alone}
        for name, own in figures.items():
            row |= {name: own.joint, f"unseen_{name}": elsewhere[name].joint}
            for lost in ("top1_regret", "top5_regret"):
                points = [getattr(column, lost) for column in own.columns]
                row[f"{name}_{lost}"] = float(np.mean(points))
            gain, low, high = beside(own, compare(az_nas[held_out]))
            row |= {f"{name}_over_az_nas": gain, f"{name}_low": low, f"{name}_high": high}
            row[f"{name}_over_random"] = own.joint - figures["random"].joint
        rows.append(row)
        print(row, flush=True)
    summary = _summary(rows)
    table = [rounded({key: row.get(key, "") for key in summary}) for row in (*rows, summary)]
    write_csv(Path(__file__).with_suffix(".csv"), table)


def _summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return medians, and how often each kind is above what it is compared with."""
    summary = {key: float(np.median([row[key] for row in rows])) for key in rows[0]}
    summary["split"] = "median"
    for name in KINDS:
        for end in ("over_random", "over_az_nas", "low"):
            summary[f"{name}_{end}_above_0"] = sum(row[f"{name}_{end}"] > 0 for row in rows)
    return summary


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])

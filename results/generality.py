"""What a formula is worth on a family of networks that its search never saw.

    python results/generality.py

For each of the ten families of the set ``general`` (100 architectures of each, shown seeded noise)
a search on the nine others, 10,000 candidates, with the mean over the families as fitness and with
the worst of them. A row has, for one fitness and the family that was left out, the joint Somers' D
of the formula that was best on the others, on all drawn architectures of that family, and of
params, FLOPs, depth and width. Below stand means over the families, beside the known proxies, with
Student's 95 % interval of the difference over families. Runs that are in ``runs/general``
already are read. Measuring takes half an hour of one core, a search a minute. Writes
results/generality.csv.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from left_out_rows import left_out_rows, write_left_out

import autoprox
from autoprox.evolution.runs import Runs, read_runs

FITNESSES = ("mean", "worst")


def runs_of(over: str) -> Runs:
    """Return the runs with a fitness, made if need be."""
    folder = Path("runs/general") / over
    if (folder / "report.json").is_file():
        return read_runs(folder)
    jobs = len(os.sched_getaffinity(0))
    return autoprox.evolve_leaving_one_out(
        "general", architectures=100, over=over, out=folder, jobs=jobs
    )


def rows_of(over: str) -> Iterator[dict[str, Any]]:
    """Return a row for each family, and one for each known proxy in the mean over them."""
    runs = runs_of(over)
    table = runs.left_out
    assert table is not None
    formulas = {run.settings.leave_out[0]: run.best_text for run in runs.reported.values()}
    return left_out_rows(over, table, formulas)


def main() -> None:
    """Run what is missing, and write the table."""
    rows = [row for over in FITNESSES for row in rows_of(over)]
    write_left_out(Path(__file__).with_suffix(".csv"), rows)


if __name__ == "__main__":
    main()

"""What a formula is worth on a family of networks that its search never saw.

    python results/generality.py

For each of the ten families of the set ``general`` (100 architectures of each, shown seeded noise)
five searches on the nine others, each with a split of its own, as ``autoprox evolve --bench general
--architectures 100 --leave-one-out --seeds 5`` makes them: 10,000 candidates, which by default are
small formulas, judged by how often they are above the counts. Beside it what either of the two
choices is worth without the other: small formulas judged by the mean, and any formulas judged by
wins, with one seed.

A row has, for one kind of search and the family that was left out, the median over the seeds of the
joint Somers' D of the formula that was best on the others, on all drawn architectures of that
family, and the D of params, FLOPs, depth and width, and the formula of the first seed. Below stand
means over the families, beside the known proxies: with Student's 95 % interval of the difference
over families (low, high), and with the 95 % bootstrap interval over the architectures of these
families. Runs that are in ``runs/general`` already are read. Measuring takes half an hour of one
core, a search on small formulas half a minute. Writes results/generality.csv.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from left_out_rows import Families, left_out_rows, write_left_out

import autoprox
from autoprox.evolution.ground import lay
from autoprox.evolution.runs import Runs, read_runs
from autoprox.evolution.settings import Settings
from autoprox.language.graph import Graph
from autoprox.statistics.store import default_folder

SEARCHES: dict[str, dict[str, Any]] = {
    "default: small, wins": {"seeds": 5},
    "small, mean": {"over": "mean"},
    "any, wins": {"formulas": "any"},
}
"""How to search."""


def runs_of(name: str) -> Runs:
    """Return the runs of a kind of search, made if need be."""
    folder = Path("runs/general") / name.replace(", ", "-").replace(": ", "-")
    if (folder / "report.json").is_file():
        return read_runs(folder)
    jobs = len(os.sched_getaffinity(0))
    going = {"resume": folder} if folder.is_dir() else {"out": folder, **SEARCHES[name]}
    if "resume" in going:
        return autoprox.evolve_several(jobs=jobs, **going)
    return autoprox.evolve_leaving_one_out("general", architectures=100, jobs=jobs, **going)


def rows_of(name: str, families: Families) -> Iterator[dict[str, Any]]:
    """Return a row for each family, and one for each known proxy in the mean over them."""
    runs = runs_of(name)
    table = runs.left_out
    assert table is not None
    graphs: dict[str, list[Graph]] = {}
    for run in runs.reported.values():
        graphs.setdefault(run.settings.leave_out[0], []).append(run.best.graph)
    return left_out_rows(name, table, graphs, families)


def main() -> None:
    """Run what is missing, and write the table."""
    settings = Settings(bench="general", architectures=100)
    families = Families.of(lay("general", settings, default_folder(), new=True))
    rows = [row for name in SEARCHES for row in rows_of(name, families)]
    write_left_out(Path(__file__).with_suffix(".csv"), rows)


if __name__ == "__main__":
    main()

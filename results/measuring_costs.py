"""What measuring a bench costs by its defaults. Writes results/measuring_costs.csv.

    python results/measuring_costs.py

For each bench of the set ``general`` and resnet64: how many architectures a run draws unless told
otherwise, the mean seconds of one core that measuring all statistics of a run on one of six of them
takes (building it included, eight inputs of noise), and the minutes that all take on two cores if
both are busy throughout. Processor time, so that it matters little what else the machine does;
vit101, whose networks see 224 pixels, is the one that takes longest.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
from csv_tables import write_csv

from autoprox.benches import drawn, load_bench, several
from autoprox.measuring.probe import Probe
from autoprox.runs.ground import searched_statistics, with_baselines
from autoprox.runtime.threads import one_thread
from autoprox.statistics import measure

COUNT = 6


def row_of(name: str) -> dict[str, object]:
    """Measure some networks of a bench, and return what all would cost."""
    bench, probe = drawn(load_bench(name)), Probe()
    words = with_baselines(bench, searched_statistics(bench))
    batch = probe.inputs(bench)
    count = len(bench.architectures)
    seconds = []
    for place in np.linspace(0, count - 1, COUNT).round().astype(int):
        begun = time.process_time()
        measure(bench.network(bench.architectures[place]), *batch, words, **bench.how)
        seconds.append(time.process_time() - begun)
    mean = float(np.mean(seconds))
    return {
        "bench": name,
        "architectures": count,
        "core_seconds_each": round(mean, 2),
        "minutes_on_two_cores": round(mean * count / 120, 1),
    }


def main() -> None:
    """Measure, and write."""
    rows = []
    with one_thread():
        row_of("resnet64")  # what is loaded once a process is no cost of a bench
        for name in (*several("general"), "resnet64"):
            rows.append(row_of(name))
            print(rows[-1], flush=True)
    write_csv(Path(__file__).with_suffix(".csv"), rows)


if __name__ == "__main__":
    main()

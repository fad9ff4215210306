"""What a candidate costs in tables of 300 to 20,000 architectures. Writes results/scale.csv.

    python results/scale.py FOLDER

First `MEASURED` cells of NAS-Bench-201 are built and measured, with small samples. Measuring 20,000
would take hours, so the larger tables hold copies of these files: each copy is a file of its own,
under a key of its own, and is read like any other. No accuracy is needed either: candidates are
ranked by what ZiCo gives. A search on the smallest table writes the candidates down; each table
then judges the same ones, generation by generation, in a new process that finds nothing but the
files. FOLDER needs room for 3 GB.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch
from csv_tables import write_csv

from autoprox.benches import load_bench
from autoprox.evaluation.evaluate import Evaluator
from autoprox.evolution.judge import Judge
from autoprox.evolution.search import Search
from autoprox.evolution.settings import DEFAULT_STATISTICS, Settings
from autoprox.evolution.variation import Variation
from autoprox.evolution.vocabulary import Vocabulary
from autoprox.language.text import parse_proxy
from autoprox.measuring.probe import Probe
from autoprox.measuring.tables import Plan, TableRow, load_table, measure_bench
from autoprox.proxies.loading import load
from autoprox.ranking import Column, Ranker
from autoprox.runtime.files import canonical, write_json
from autoprox.statistics import Store

MEASURED = 300
SAMPLE = 64
SIZES = (300, 2000, 20_000)
"""How many architectures the tables have."""
CANDIDATES = 200
"""How many candidates are judged on each, at least: whole generations are."""


def plan_in(folder: Path) -> Plan:
    """Return what is measured, and where."""
    bench = load_bench("nb201").sampled(MEASURED)
    words = bench.default_statistics or DEFAULT_STATISTICS
    names = tuple(dict.fromkeys([*words, *load("zico").statistics]))
    return Plan(bench, bench, names, Probe(sample=SAMPLE), folder)


def rows_of(plan: Plan, size: int) -> list[TableRow]:
    """Return the rows of a table; those beyond the measured ones are copies, made if need be."""
    store, rows = Store(plan.folder), plan.rows[:size]
    for number in range(len(rows), size):
        original = json.loads(plan.rows[number % MEASURED].key)
        key = {**original, "copy": number}
        if store.missing(key, plan.names):
            store.save(key, store.load(original, plan.names))
        rows.append(TableRow(canonical(key)))
    return rows


def judge_of(plan: Plan, size: int) -> Judge:
    """Return a judge that ranks by what ZiCo gives."""
    table = load_table(Store(plan.folder), rows_of(plan, size), plan.names)
    scores = Evaluator(table, 0)(load("zico").graph).values
    return Judge(table, Ranker([Column("nb201", "zico", np.arange(size), scores)]))


def generations(plan: Plan) -> list[list[str]]:
    """Return the candidates of a search on the smallest table, as they were proposed."""
    settings = Settings("nb201", evaluations=CANDIDATES)
    words = load_bench("nb201").default_statistics or DEFAULT_STATISTICS
    search = Search(settings, Variation(Vocabulary(words)), judge_of(plan, min(SIZES)))
    generations = []
    while not search.done:
        generations.append(list(search.step().new))
    return generations


def judged(plan: Plan, size: int) -> dict[str, object]:
    """Judge the candidates on one table; return what that took."""
    texts = json.loads((plan.folder / "candidates.json").read_text())
    begun = time.process_time(), time.perf_counter()
    judge = judge_of(plan, size)
    loaded = time.process_time(), time.perf_counter()
    count = 0
    for generation in texts:
        if count < CANDIDATES:
            count += len(judge([parse_proxy(text) for text in generation]))
    done = time.process_time(), time.perf_counter()
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "architectures": size,
        "of them copies": max(0, size - MEASURED),
        "candidates": count,
        "seconds to load": round(loaded[1] - begun[1], 1),
        "processor seconds to load": round(loaded[0] - begun[0], 1),
        "ms a candidate": round(1000 * (done[1] - loaded[1]) / count, 2),
        "processor ms a candidate": round(1000 * (done[0] - loaded[0]) / count, 2),
        "peak memory in MB": round(megabytes),
    }


def main(folder: Path, *only: str) -> None:
    """Measure, write copies, and judge on each table in a process of its own."""
    torch.set_num_threads(1)
    plan = plan_in(folder)
    if only:
        print(json.dumps(judged(plan, int(only[0]))))
        return
    measure_bench(plan, Store(folder))
    write_json(folder / "candidates.json", generations(plan))
    rows_of(plan, max(SIZES))
    rows = []
    for size in SIZES:
        command = [sys.executable, __file__, str(folder), str(size)]
        rows.append(json.loads(subprocess.check_output(command, text=True)))
        first = float(rows[0]["processor ms a candidate"]) / rows[0]["architectures"]
        own = float(rows[-1]["processor ms a candidate"]) / rows[-1]["architectures"]
        rows[-1]["of the first, an architecture"] = round(own / first, 2)
        print(rows[-1], flush=True)
    write_csv(Path(__file__).with_name("scale.csv"), rows)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])

"""How large must the sample of each tensor be? Writes results/sample_size.csv.

    python results/sample_size.py

For some architectures of each space of vit101, proxies are scored on full tensors and on samples;
the table says how well the two rankings agree (Kendall's τ), what measuring costs, and what a
measurement takes on disk. Two thirds of the time goes into the full measurements; about ten minutes
on two cores.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import torch
from csv_tables import write_csv

from autoprox.benches import load_bench
from autoprox.evaluation.evaluate import Evaluator, Table
from autoprox.measuring.probe import Probe
from autoprox.proxies.loading import load
from autoprox.ranking import kendall
from autoprox.runtime.parallel import open_workers
from autoprox.statistics import measure

SIZES = (128, 256, 512, 1024, 2048)
ARCHITECTURES = 40
PROXIES = {
    "snip": "snip",
    "synflow": "synflow",
    "zico": "zico",
    "grad_norm": "grad_norm",
    "activation norm": "sum(norm(act))",
    "nuclear norm of weights": "sum(sum(weight_spectrum))",
    "weight norm": "sum(norm(weight))",
    "deviation of activations": "sum(std(act))",
    "deviation of squashed activations": "sum(std(sigmoid(act)))",
    "Pruner-Zero": "pruner_zero",
    "Fisher": "sum(sum(square(multiply(act, act_grad))))",
    "attention entropy": "sum(entropy(attention))",
}


def scored(place: int) -> list[tuple[str, int | str, float, float, int]]:
    """Return (proxy, sample, score, seconds, bytes) of one architecture."""
    torch.set_num_threads(1)
    bench, probe = load_bench("vit101"), Probe()
    network = bench.network(bench.architectures[place])
    inputs, targets = probe.inputs(bench)
    names = sorted({name for text in PROXIES.values() for name in load(text).statistics})
    rows = []
    measure(network, inputs, targets, ("params",), sample=64)  # torch's lazy imports
    for sample in ("full", *SIZES):
        begun = time.process_time()
        measured = measure(network, inputs, targets, names, sample=sample)
        seconds = time.process_time() - begun
        held = sum(
            value.nbytes
            if isinstance(value, torch.Tensor)
            else sum(part.nbytes for part in value if part is not None)
            for value in measured.values.values()
        )
        evaluator = Evaluator(Table((measured,)))
        for name, text in PROXIES.items():
            value = float(evaluator(load(text).graph).values[0])
            rows.append((name, sample, value, seconds, held))
    return rows


def main() -> None:
    """Score, compare, write."""
    bench = load_bench("vit101")
    out = []
    for space in bench.spaces:
        places = [i for i, row in enumerate(bench.architectures) if row.space == space]
        chosen = np.random.default_rng(0).permutation(places)[:ARCHITECTURES]
        with open_workers(2) as workers:
            done = workers.map(scored, ((int(i),) for i in chosen))
        for sample in SIZES:
            for name in PROXIES:
                full, own = (  # score, seconds and bytes of every architecture
                    np.array([row[2:] for rows in done for row in rows if row[:2] == (name, size)])
                    for size in ("full", sample)
                )
                _, seconds, held = own.mean(0)
                error = np.abs(own[:, 0] / full[:, 0] - 1).max()
                out.append(
                    {
                        "space": space,
                        "architectures": len(chosen),
                        "sample": sample,
                        "proxy": name,
                        "tau_with_full": round(kendall(own[:, 0], full[:, 0]), 4),
                        "largest_relative_error": round(float(error), 5),
                        "seconds_per_network": round(float(seconds), 3),
                        "megabytes_per_network": round(float(held) / 1e6, 3),
                    }
                )
    write_csv(Path(__file__).with_suffix(".csv"), out)


if __name__ == "__main__":
    main()

"""Parameters, operations, depth and width of networks. Writes benches/counts.csv.gz.

    python results/trivial_counts.py [BENCH …]

Counted are the architectures that a run draws by itself of every bench of untrained networks, or of
those that are named; what the file has of the others stays.
"""

from __future__ import annotations

import gzip
import hashlib
import sys
from pathlib import Path

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from autoprox.benches import BENCHES, Architecture, Bench, drawn, load_bench
from autoprox.benches.counts import COUNTS
from autoprox.measuring.probe import Probe
from autoprox.runtime import threads

FILE = Path(__file__).parents[1] / "benches" / "counts.csv.gz"
LAYERS = (nn.Conv2d, nn.Linear, nn.Embedding)
"""The layers of all these networks."""

LEFT_OUT = ("mq101", "mq101wide", "mpnb201")
"""Benches of bits, whose configurations do not differ in these counts."""


def counts(bench: Bench, architecture: Architecture) -> list[str]:
    """Return the counts of a network on one input, without its weights.

    They are the scores of the proxies of these names, which a test compares; weights and data are
    shapes only, so that three thousand networks take minutes.
    """
    inputs, _ = Probe(batch=1).inputs(bench)
    with torch.device("meta"):
        network = bench.build(architecture)
        counter = FlopCounterMode(display=False)
        with counter, torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
            network(torch.empty_like(inputs, device="meta"))
    layers: dict[int, nn.Module] = {}
    for module in network.modules():
        if isinstance(module, LAYERS):
            layers.setdefault(id(module.weight), module)  # embeddings may be the head again
    fan_in = [
        len(layer.weight) if isinstance(layer, nn.Embedding) else layer.weight[0].numel()
        for layer in layers.values()
    ]
    size = sum(parameter.numel() for parameter in network.parameters())
    numbers = (size, counter.get_total_flops(), len(fan_in), sum(fan_in) / len(fan_in))
    return [f"{count:.10g}" for count in numbers]


def main(names: list[str]) -> None:
    """Count, and write."""
    lines: dict[str, list[str]] = {}
    if FILE.is_file():
        for line in gzip.decompress(FILE.read_bytes()).decode().splitlines()[1:]:
            lines.setdefault(line.split(",")[0], []).append(line)
    for name in names or [name for name in BENCHES if name not in LEFT_OUT]:
        bench = drawn(load_bench(name))
        lines[name] = [
            ",".join([name, row.name, *counts(bench, row)]) for row in bench.architectures
        ]
        print(name, len(lines[name]), flush=True)
    rows = [line for name in BENCHES for line in lines.get(name, [])]
    text = "\n".join([",".join(["bench", "architecture", *COUNTS]), *rows, ""])
    content = gzip.compress(text.encode(), mtime=0)
    FILE.write_bytes(content)
    print("SHA-256, for benches/counts.py:", hashlib.sha256(content).hexdigest())


if __name__ == "__main__":
    with threads.one_thread():
        main(sys.argv[1:])

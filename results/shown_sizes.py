"""Do networks rank alike as they are measured and as they were trained? Writes shown_sizes.csv.

    python results/shown_sizes.py [BENCH …]

Some benches show their networks smaller images or shorter texts than they were trained on, or build
fewer cells. For `COUNT` architectures of each, or `FEWER`, drawn as a run draws them, the scores of
some known proxies are taken in both forms, on one batch; the table has Somers' D between the two.
Rows of benches that are not named stay.
"""

from __future__ import annotations

import csv
import dataclasses
import sys
from functools import partial
from pathlib import Path

import numpy as np
from csv_tables import write_csv

from autoprox.benches import Bench, autoformer_s, darts, landmarks, load_bench, rnn
from autoprox.measuring.probe import Probe
from autoprox.proxies.frame import score
from autoprox.ranking import somers
from autoprox.runtime import threads
from autoprox.statistics import token_noise

FILE = Path(__file__).with_name("shown_sizes.csv")
COUNT = 20
FEWER = {"nb101": 12, "darts": 10}
"""Of the benches whose networks take long in the form that was trained."""

BATCH = 4
PROXIES = ("params", "flops", "l2_norm", "snip", "zico", "naswot")


def tokens(batch: int, seed: int) -> tuple[object, object]:
    """Return texts as long, and of as many tokens, as those that the networks were trained on."""
    return token_noise(rnn.TRAINED_TOKENS, rnn.TRAINED_VOCABULARY, batch, seed)


TRAINED = {
    "transnas": {"input_shape": (3, 256, 256)},
    "nb101": {"input_shape": (3, 32, 32)},
    "darts": {"build": partial(darts.build, cells=darts.TRAINED_CELLS, width=darts.TRAINED_WIDTH)},
    "autoformer_s": {
        "build": partial(autoformer_s.build, image_size=224),
        "input_shape": (3, 224, 224),
    },
    "landmarks": {"inputs": partial(landmarks.inputs, image_size=landmarks.TRAINED_SIZE)},
    "rnn": {"build": partial(rnn.build, vocabulary=rnn.TRAINED_VOCABULARY), "inputs": tokens},
}
"""Of each bench what differs in the form that was trained."""


def scores(bench: Bench) -> np.ndarray:
    """Return the scores of the networks of a bench, ``(networks, proxies)``; NaN without one."""
    inputs, targets = Probe(batch=BATCH).inputs(bench)
    frames = (
        score({row.name: bench.network(row)}, PROXIES, inputs, targets, loss=bench.loss)
        for row in bench.architectures
    )
    return np.concatenate([frame.scores for frame in frames])


def main(names: list[str]) -> None:
    """Measure, and write."""
    rows = list(csv.DictReader(FILE.open())) if FILE.is_file() else []
    for name in names or TRAINED:
        shown = load_bench(name).sampled(FEWER.get(name, COUNT))
        trained = dataclasses.replace(shown, **TRAINED[name])
        here, there = scores(shown), scores(trained)
        rows = [row for row in rows if row["bench"] != name]
        for proxy, own, full in zip(PROXIES, here.T, there.T, strict=True):
            both = np.isfinite(own) & np.isfinite(full)
            d = f"{somers(own[both], full[both]):.3f}" if both.any() else ""
            rows.append({"bench": name, "proxy": proxy, "networks": int(both.sum()), "somers_d": d})
        write_csv(FILE, rows)
        print(*(row for row in rows if row["bench"] == name), sep="\n", flush=True)


if __name__ == "__main__":
    with threads.one_thread():
        main(sys.argv[1:])

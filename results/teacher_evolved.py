"""What a teacher adds to evolved proxies on the 64 residual networks. Writes teacher_evolved.csv.

    python results/teacher_evolved.py images.npz

Ten splits of the networks into 38 that a search sees and 26 that it does not; search seed and split
seed are the same. On each split three searches judge 3,000 distinct candidates, on 16 images, see
teacher_resnet64.py: one with the words of the network and of an untrained resnet110 beside it, and
the known expressions that compare both in its first population; one with the words of their last
layers alone, of which the best candidate counts in which tensors of both meet; and one with the
words of the network alone. The best by the 38 are judged on the 26, beside the best by the 38 of
the hand-designed proxies that look at a teacher, and `params`. Accuracies are those after
distillation, figures Somers' D. Below stand the mean differences of the searches to the others,
with Student's 95 % interval over the ten splits, corrected for their overlap (Nadeau and Bengio,
Inference for the Generalization Error, Machine Learning 2003). auto_das_resnet was found on all 64.
A search that is in ``runs/teacher`` already is read. Ten minutes of one core.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from csv_tables import rounded, write_csv
from numpy.typing import NDArray

import autoprox
from autoprox.benches import load_bench, split
from autoprox.evolution.base import ranked, worth
from autoprox.evolution.ground import lay
from autoprox.evolution.left_out import of_mean
from autoprox.evolution.record import Run, read_run
from autoprox.language.graph import Graph
from autoprox.primitives.kinds import Layer, Network
from autoprox.ranking import somers
from autoprox.statistics.store import default_folder
from autoprox.statistics.words import TAUGHT

SPLITS = range(10)
SEARCHED, HELD_OUT = 38, 26
EVALUATIONS = 3000
TEACHER = "resnet110"
BATCH = 16
HAND_DESIGNED = (
    *"diswot_semantic diswot_relation diswot_ranks diswot_semantic_own".split(),
    *"diswot_relation_own kd fitnet rkd pkt cc at nst tvt_teacher tvt".split(),
)
"""The proxies that look at a teacher and that no search has found."""

SEEDS = ("diswot_semantic_own", "diswot_relation_own", "kd", "fitnet", "tvt_teacher")
"""The known expressions that compare both networks."""

SEARCHES: dict[str, dict[str, Any]] = {
    "with_teacher": {"teacher": TEACHER, "seed_proxies": SEEDS},
    "compares": {"teacher": TEACHER, "statistics": TAUGHT},
    "without_teacher": {},
}
"""The searches, and what they are told beside the split."""

OTHERS = ("without_teacher", "hand_designed", "params", "auto_das_resnet")


def run_of(name: str, seed: int, images: str) -> Run:
    """Return a search, which is made if need be."""
    folder = Path("runs/teacher") / f"{name}-{seed}"
    if (folder / "report.json").is_file():
        return read_run(folder)
    return autoprox.evolve(
        "resnet64", seed=seed, split_seed=seed, evaluations=EVALUATIONS, images=images,
        batch=BATCH, out=folder, **SEARCHES[name],
    )  # fmt: skip


def compares(graph: Graph) -> bool:
    """Whether tensors of both networks meet in a formula, and not only numbers made of them."""
    return any(
        node.kind not in (None, Layer, Network)
        and 0 < sum(word.startswith("teacher_") for word in node.statistics) < len(node.statistics)
        for node in graph
    )


def row_of(seed: int, images: str, scores: dict[str, NDArray[np.float64]]) -> dict[str, object]:
    """Return what both searches find on one split, beside known proxies."""
    bench = load_bench("resnet64")
    accuracies, parts = bench.accuracies("c100_kd"), split(bench, seed)

    def figure(name: str, places: tuple[int, ...]) -> float:
        return somers(scores[name][list(places)], accuracies[list(places)])

    hand = max(HAND_DESIGNED, key=lambda name: figure(name, parts.search))
    runs = {name: run_of(name, seed, images) for name in SEARCHES}
    comparing = [each.candidate for each in runs["compares"].judged]
    comparing = [each for each in comparing if compares(each.graph)]
    ground = lay("resnet64", runs["compares"].settings, default_folder())
    best = ground.assessor(ground.held_out)("best", ranked(comparing, worth)[0].graph)
    found = {name: run.held_out[0] for name, run in runs.items()} | {"compares": best}
    return {
        "split": seed,
        **{name: each.joint for name, each in found.items()},
        "hand_designed": figure(hand, parts.held_out),
        "params": figure("params", parts.held_out),
        "auto_das_resnet": figure("auto_das_resnet", parts.held_out),
        "best_hand_designed": hand,
        **{f"formula_{name}": each.expression for name, each in found.items()},
    }


def difference(rows: list[dict[str, object]], name: str, other: str) -> dict[str, object]:
    """Return the mean difference of two columns, and its interval over the splits."""
    gains = np.array([row[name] - row[other] for row in rows])  # type: ignore[operator]
    overlap = np.sqrt(1 + len(gains) * HELD_OUT / SEARCHED)
    low, high = gains.mean() + overlap * (np.array(of_mean(gains)) - gains.mean())
    return {
        "split": f"{name} over {other}", "difference": gains.mean(), "low": low, "high": high,
        "wins": int((gains > 0).sum()),
    }  # fmt: skip


def main(images: str) -> None:
    """Search if need be, compare, write."""
    board = autoprox.rank(
        [*HAND_DESIGNED, "params", "auto_das_resnet"], "resnet64", teacher=TEACHER, batch=BATCH,
        images=images, timed=False,
    )  # fmt: skip
    rows: list[dict[str, object]] = []
    for seed in SPLITS:
        rows.append(row_of(seed, images, board.scores))
        print(rows[-1], flush=True)
    pairs = [(name, other) for name in SEARCHES for other in OTHERS if name != other]
    table = [*rows, *(difference(rows, *pair) for pair in pairs)]
    keys = dict.fromkeys([*rows[0], *table[-1]], "")
    write_csv(Path(__file__).with_suffix(".csv"), [rounded({**keys, **row}) for row in table])
    for row in table[len(rows) :]:
        print(row)


if __name__ == "__main__":
    main(*sys.argv[1:])

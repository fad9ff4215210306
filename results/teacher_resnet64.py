"""Proxies of a teacher on the 64 residual networks. Writes results/teacher_resnet64.csv.

    python results/teacher_resnet64.py images.npz

The images are an .npz of uint8 `x` and labels `y` of 100 classes; the file here is of the first 100
classes of Tiny ImageNet at 32 pixels, as CIFAR-100, on which the networks were trained, was not at
hand. A seed draws the batch of 32, the weights of all networks, and those of the teacher, an
untrained resnet110. Columns: Somers' D, Kendall's tau-b and Spearman's rho with the accuracy after
distillation, Kendall's tau-b with that without a teacher, Spearman's partial correlation with the
former given the latter, Kendall's tau with both in figure 1 of the paper, and the least tau with
the former that any scores have whose tau with the latter is the paper's: 1 - tau is twice the share
of pairs in another order, so that no two of three rankings are further apart than both are from the
third (.006 less where ties count otherwise). The proxies of `TEN_SEEDS` are ranked with ten seeds,
the others with one. Ten minutes of one core; what was scored is not scored again.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from csv_tables import rounded, write_csv

import autoprox
from autoprox.benches import load_bench
from autoprox.leaderboard.board import Leaderboard
from autoprox.ranking import kendall

SEEDS = range(10)
TEN_SEEDS = (
    *"diswot_semantic diswot_relation diswot_ranks diswot_semantic_own".split(),
    *"diswot_relation_own naswot snip fisher params flops".split(),
)
"""The proxies that are ranked with every seed; the others with the first."""

PAPER = {"fisher": (0.629, 0.817), "naswot": (0.319, 0.403), "snip": (0.672, 0.847)}
"""Kendall's tau with both accuracies in figure 1 of DisWOT, as its released code draws it."""

PROXIES = (
    *TEN_SEEDS,
    *"kd fitnet rkd pkt cc at nst tvt_teacher tvt tvt_sum l2_norm".split(),
    *"auto_das_resnet auto_das_nb101 auto_das_nb201 auto_das_vit".split(),
)
PUBLISHED = ("paper_kendall", "paper_kendall_untaught", "least_kendall")
FIGURES = ("somers", "kendall", "spearman", "kendall_untaught", "partial_spearman")


def ranking(names: Sequence[str], seed: int, images: str) -> Leaderboard:
    """Rank with the weights, images and teacher of a seed; what was scored is not scored again."""
    return autoprox.rank(
        names, "resnet64", teacher="resnet110", probe_seed=seed, batch=32, images=images,
        timed=False,
    )  # fmt: skip


def main(images: str) -> None:
    """Rank, seed by seed, and print the means."""
    bench = load_bench("resnet64")
    plain = bench.accuracies("c100")
    alike = kendall(plain, bench.accuracies("c100_kd"))
    rows: list[dict[str, object]] = []
    for seed, names in (*((seed, TEN_SEEDS) for seed in SEEDS), (0, PROXIES[len(TEN_SEEDS) :])):
        board = ranking(names, seed, images)
        for name in names:
            (column,) = board[name].columns
            own = column.somers, column.kendall, column.spearman
            figures = (*own, kendall(board.scores[name], plain), column.partial)
            row = {"seed": seed, "proxy": name, **dict(zip(FIGURES, figures, strict=True))}
            told: tuple[object, ...] = ("", "", "")
            if name in PAPER:
                told = (*PAPER[name], PAPER[name][1] + alike - 1)
            rows.append({**row, **dict(zip(PUBLISHED, told, strict=True))})
        write_csv(Path(__file__).with_suffix(".csv"), [rounded(row) for row in rows])
    for name in PROXIES:
        own = np.array([[row[f] for f in FIGURES] for row in rows if row["proxy"] == name])
        told = "  ".join(f"{f} {mean:.3f}" for f, mean in zip(FIGURES, own.mean(0), strict=True))
        print(f"{name:22} {told}  D from {own[:, 0].min():.3f} to {own[:, 0].max():.3f}")


if __name__ == "__main__":
    main(*sys.argv[1:])

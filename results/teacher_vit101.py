"""TVT on the 300 transformers of ViT-Bench-101. Writes results/teacher_vit101.csv.

    python results/teacher_vit101.py cifar10_train.npz resnet56.th

Every network is shown 4 training images of CIFAR-10, at 224 pixels, beside a ResNet-56 that was
trained on CIFAR-10 and sees them at 32 (the published accuracies are those beside a ResNet-56
trained on each data set), and beside an untrained one as control. Figures are joint Somers' D on
the three data sets, with the 95 % interval of 2,000 resamples; the difference to `l2_norm` has the
interval on the same resamples.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from csv_tables import rounded, write_csv

import autoprox
from autoprox.assessment.assess import columns
from autoprox.benches import load_bench
from autoprox.ranking.figures import Comparison
from autoprox.ranking.resampling import interval

PROXIES = ("tvt_teacher", "tvt_blocks", "tvt", "tvt_sum", "l2_norm", "params")


def main(images: str, weights: str) -> None:
    """Rank beside both teachers."""
    bench = load_bench("vit101")
    rows = []
    for name, path in (("trained", weights), ("untrained", None)):
        board = autoprox.rank(
            PROXIES, "vit101", teacher="resnet56", teacher_weights=path, batch=4, images=images,
            timed=False,
        )  # fmt: skip
        places = range(len(bench.architectures))
        compare = Comparison(columns(bench, places, bench.default_targets))
        beside = compare(board.scores["l2_norm"])
        for proxy in PROXIES:
            if board[proxy].place is None:
                print(f"{proxy}: {board[proxy].reason}", file=sys.stderr)
                continue
            own = compare(board.scores[proxy])
            low, high = own.joint_interval
            less, more = interval(own.resampled - beside.resampled)
            rows.append({
                "teacher": name, "proxy": proxy, "joint": own.joint, "low": low, "high": high,
                "over_l2_norm": own.joint - beside.joint, "over_low": less, "over_high": more,
                **{column.column: column.somers for column in own.columns},
                "mean_partial_spearman": np.mean([
                    column.partial for column in own.columns if column.partial is not None
                ]),
            })  # fmt: skip
            print(rows[-1])
        write_csv(Path(__file__).with_suffix(".csv"), [rounded(row) for row in rows])


if __name__ == "__main__":
    main(*sys.argv[1:])

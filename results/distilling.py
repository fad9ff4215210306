"""DisWOT's distances as losses: a ResNet-20 beside a trained ResNet-56. Writes distilling.csv.

    python results/distilling.py cifar10_train.npz cifar10_test.npz resnet56.th STEPS

A ResNet-20 is trained for so many steps on CIFAR-10, 64 images each, with the labels alone and with
the labels and distances to a ResNet-56 of 93.4 %: those of DisWOT, semantic and relation, with the
weights 2.5 and 3,000 (usual ones of such losses; the paper's are not known) and with a tenth of
them, and softened labels (Hinton et al.) with 1 and .1. The tenths were added when the whole
weights had made things worse. The same three seeds draw weights, order and augmentation of each;
the learning rate is the same. A row has the accuracy on the first 2,000 test images; below stand
the mean differences to the labels alone over the seeds, with Student's 95 % interval. The figures
here are of 100 steps. A step of all five losses takes 1.7 seconds of one core.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from csv_tables import rounded, write_csv
from torch import Tensor, nn

from autoprox.benches import load_bench
from autoprox.benches.cifar import DEVIATION, MEAN, Labelled, cifar10
from autoprox.benches.teachers import build_teacher
from autoprox.evolution.left_out import of_mean
from autoprox.proxies.functions.distillation import relation_distance, semantic_distance
from autoprox.statistics.inputs import IMAGENET
from autoprox.training import Distillation, train
from autoprox.training.checkpoint import recorded_accuracy
from autoprox.training.distilling import soft_label_distance

SEEDS = range(3)
BATCH = 64
TESTED = 2000
LOSSES: dict[str, dict[Any, float] | None] = {
    "labels": None,
    "labels and DisWOT": {semantic_distance: 2.5, relation_distance: 3000.0},
    "labels and DisWOT, a tenth": {semantic_distance: 0.25, relation_distance: 300.0},
    "labels and softened labels": {soft_label_distance: 1.0},
    "labels and softened labels, a tenth": {soft_label_distance: 0.1},
}


class Renormalised(nn.Module):
    """A network that was trained on images normalised as ImageNet is."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        mean, deviation, *_ = IMAGENET
        ours, theirs = torch.tensor([MEAN, DEVIATION]), torch.tensor([mean, deviation])
        self.register_buffer("scale", (ours[1] / theirs[1]).view(-1, 1, 1))
        self.register_buffer("shift", ((ours[0] - theirs[0]) / theirs[1]).view(-1, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits."""
        return self.network(images * self.scale + self.shift)  # type: ignore[no-any-return]


def difference(rows: list[dict[str, object]], loss: str) -> dict[str, object]:
    """Return what a loss gains over the labels alone, by seed, and its interval."""
    by_loss = {
        name: np.array([row["accuracy"] for row in rows if row["loss"] == name])
        for name in ("labels", loss)
    }
    gains = by_loss[loss] - by_loss["labels"]
    low, high = of_mean(gains)
    return {"loss": f"{loss}, over labels", "accuracy": gains.mean(), "low": low, "high": high}


def main(images: str, test: str, weights: str, steps: str) -> None:
    """Train, compare, write."""
    torch.set_num_threads(1)
    shown = cifar10(images, "train")
    part = int(steps) * BATCH
    epochs = -(-part // len(shown.labels))
    shown = Labelled(*(each[: part // epochs] for each in shown))
    tested = Labelled(*(each[:TESTED] for each in cifar10(test, "test")))
    teacher = Renormalised(build_teacher("resnet56", load_bench("nb201"), weights))
    rows: list[dict[str, object]] = []
    for seed in SEEDS:
        for loss, distances in LOSSES.items():
            beside = None if distances is None else Distillation(teacher, distances)
            with tempfile.TemporaryDirectory() as folder:
                path = train(
                    "resnet20", shown, tested, folder, distillation=beside, epochs=epochs,
                    batch=BATCH, seed=seed, precision="bfloat16",
                )  # fmt: skip
                row = {"loss": loss, "seed": seed, "steps": steps, "low": "", "high": ""}
                rows.append({**row, "accuracy": recorded_accuracy(path)})
            print(rows[-1], flush=True)
    told = [{**dict.fromkeys(rows[0], ""), **difference(rows, loss)} for loss in [*LOSSES][1:]]
    write_csv(Path(__file__).with_suffix(".csv"), [rounded(row) for row in (*rows, *told)])
    print(*told, sep="\n")


if __name__ == "__main__":
    main(*sys.argv[1:])

"""DisWOT's distances as losses: a ResNet-20 beside a trained ResNet-56. Writes distilling.csv.

    python results/distilling.py cifar10_train.npz cifar10_test.npz resnet56.th STEPS

A ResNet-20 is trained for so many steps on CIFAR-10, 64 images each, with the labels alone, and
with the labels and distances to a ResNet-56 of 93.4 %: DisWOT's semantic one, its relation one, and
both. The weights that are usual for such losses, 2.5 and 3,000 (DisWOT's are not known), had made a
training of 100 steps worse on the first 2,000 test images, so that a tenth of them is taken. A row
has the accuracy on the other 8,000 test images, which chose nothing. The same three seeds draw
weights, order and augmentation of each; the learning rate is the same. Below stand the mean
differences to the labels alone over the seeds, with Student's 95 % interval. The figures here are
of 250 steps. A training that is in ``runs/distilling`` already is read. 250 steps of all losses
take 15 minutes of one core.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from csv_tables import rounded, write_csv
from torch import Tensor, nn

from autoprox.benches import load_bench
from autoprox.benches.cifar import DEVIATION, MEAN, Labelled, cifar10
from autoprox.benches.teachers import build_teacher
from autoprox.proxies.functions.distillation import relation_distance, semantic_distance
from autoprox.runs.left_out import of_mean
from autoprox.statistics.inputs import IMAGENET
from autoprox.training import Distillation, train
from autoprox.training.checkpoint import recorded_accuracy

SEEDS = range(3)
BATCH = 64
TESTED = slice(2000, None)
"""The test images on which the weights were not chosen."""

LOSSES: dict[str, dict[Any, float] | None] = {
    "labels": None,
    "semantic": {semantic_distance: 0.25},
    "relation": {relation_distance: 300.0},
    "both": {semantic_distance: 0.25, relation_distance: 300.0},
}
"""The losses by name: what is added to that of the labels, and with which weight."""


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


def accuracy_of(loss: str, seed: int, steps: int, files: Sequence[str]) -> float:
    """Return the accuracy in percent after a training, which is made if need be."""
    folder = Path("runs/distilling") / f"{steps}-{loss}-{seed}"
    path = folder / "resnet20.safetensors"
    if not path.is_file():
        images, test, weights = files
        shown = cifar10(images, "train")
        epochs = -(-steps * BATCH // len(shown.labels))
        shown = Labelled(*(part[: steps * BATCH // epochs] for part in shown))
        tested = Labelled(*(part[TESTED] for part in cifar10(test, "test")))
        teacher = Renormalised(build_teacher("resnet56", load_bench("nb201"), weights))
        distances = LOSSES[loss]
        train(
            "resnet20", shown, tested, folder, epochs=epochs, batch=BATCH, seed=seed,
            distillation=None if distances is None else Distillation(teacher, distances),
            precision="bfloat16",
        )  # fmt: skip
    accuracy = recorded_accuracy(path)
    assert accuracy is not None
    return accuracy


def difference(rows: list[dict[str, Any]], loss: str) -> dict[str, object]:
    """Return what a loss gains over the labels alone, by seed, and its interval."""
    by_loss = {
        name: np.array([row["accuracy"] for row in rows if row["loss"] == name])
        for name in ("labels", loss)
    }
    gains = by_loss[loss] - by_loss["labels"]
    low, high = of_mean(gains)
    return {"loss": f"{loss}, over labels", "accuracy": gains.mean(), "low": low, "high": high}


def main(images: str, test: str, weights: str, steps: str) -> None:
    """Train if need be, compare, write."""
    torch.set_num_threads(1)
    rows: list[dict[str, Any]] = []
    for seed in SEEDS:
        for loss in LOSSES:
            accuracy = accuracy_of(loss, seed, int(steps), (images, test, weights))
            row = {"loss": loss, "seed": seed, "steps": steps, "low": "", "high": ""}
            rows.append({**row, "accuracy": accuracy})
            print(rows[-1], flush=True)
    told = [{**dict.fromkeys(rows[0], ""), **difference(rows, loss)} for loss in [*LOSSES][1:]]
    write_csv(Path(__file__).with_suffix(".csv"), [rounded(row) for row in (*rows, *told)])
    print(*told, sep="\n")


if __name__ == "__main__":
    main(*sys.argv[1:])

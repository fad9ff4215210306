"""An external check: the published ResNet-20, whose uniform accuracies others know as well."""

import os
from pathlib import Path

import pytest
import torch
from torch import nn

from autoprox.benches.cifar import cifar10, normalised
from autoprox.benches.cifar.resnet import ResNet
from autoprox.quantise import Method, Quantiser, accuracy

DATA = os.environ.get("AUTOPROX_DATA")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not DATA, reason="AUTOPROX_DATA names no folder of real data"),
]


def published() -> nn.Module:
    """The ResNet-20 of akamaster/pytorch_resnet_cifar10, whose weights come in our order."""
    (path,) = (Path(DATA) / "weights").glob("resnet20-*.th")
    weights = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
    network = ResNet(20)
    kept = [name for name in network.state_dict() if not name.endswith("num_batches_tracked")]
    theirs = [value for name, value in weights.items() if not name.endswith("num_batches_tracked")]
    network.load_state_dict(dict(zip(kept, theirs, strict=True)), strict=False)
    return network.eval()


@pytest.mark.parametrize(
    ("method", "least"),
    [
        (Method("plain", corrected=False), {8: 91, 4: 89, 3: 70}),
        (Method("nearest"), {8: 91, 4: 90.5, 3: 88, 2: 68}),
        (Method("fitted"), {8: 91, 4: 91, 3: 90.5, 2: 87}),
    ],
)
def test_low_bits_degrade_as_measured_when_this_was_written(method, least):
    parts = {
        part: cifar10(Path(DATA) / "images" / f"cifar10_{part}_10000.npz")
        for part in ("train", "test")
    }
    # The published network has seen images normalised as ImageNet's.
    shown = {
        part: normalised(images[:2000], (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
        for part, (images, _) in parts.items()
    }
    labels = torch.from_numpy(parts["test"].labels[:2000])
    quantiser = Quantiser(published(), shown["train"][:512], method)
    got = {bits: accuracy(quantiser(bits), shown["test"], labels) for bits in least}
    assert all(got[bits] >= bound for bits, bound in least.items()), got

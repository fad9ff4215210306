"""Facial landmarks: 224 variants of MobileNetV2 with the errors of a regression.

References:
    Archai, https://github.com/microsoft/archai, tasks/facial_landmark_detection
    Sandler et al., MobileNetV2: Inverted Residuals and Linear Bottlenecks, CVPR 2018,
    https://arxiv.org/abs/1801.04381
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from autoprox.benches import nb201
from autoprox.benches.bench import Architecture, Bench
from autoprox.benches.table import shipped_table

if TYPE_CHECKING:
    from torch import Tensor, nn

DIGEST = "663fce2d43fa46c342d65f25f6afee4a75173c57e7db169a1ef09ba325a3187b"

OUTPUTS = 140
"""Two coordinates of seventy landmarks."""

IMAGE_SIZE = 64
"""The side of the images that the networks are shown."""

TRAINED_SIZE = 128
"""The side of those that they were trained on."""

CAVEATS = (
    "The figure is an error: lower is better. It is the validation error after 30 epochs on a "
    "fifth of the data.",
    "The rows are what an evolutionary search looked at: many are near relatives. By the rounding "
    "of widths and repeats some are the same network: 224 rows are 217 classes, never split. Their "
    "errors differ by up to .0022, where nine tenths of all lie between .037 and .049.",
    f"Images are {IMAGE_SIZE} pixels wide, for speed; the networks were trained with "
    f"{TRAINED_SIZE}. Scores in both sizes agree: of 20 networks by Somers' D of .97 (snip), .98 "
    "(naswot) and .99 (zico), see results/shown_sizes.csv.",
    "The networks are shown noise, and random coordinates from 0 to 1 as targets of a mean squared "
    "error. Images of files are not for them, as they come without landmarks.",
    "The channel multiplier ranks them best of all that is known without a network, with a "
    "Kendall's tau of .52; deeper ones are rather worse.",
)


@cache  # worker processes ask for it once an architecture
def landmarks() -> Bench:
    """The published errors."""
    return Bench(
        name="landmarks",
        kind="mobile networks",
        description="Variants of MobileNetV2 that find the landmarks of faces.",
        citation="Archai, https://github.com/microsoft/archai; on networks of Sandler et al., "
        "MobileNetV2: Inverted Residuals and Linear Bottlenecks, CVPR 2018, arXiv:1801.04381",
        source="https://github.com/microsoft/archai, tasks/facial_landmark_detection (MIT)",
        caveats=CAVEATS,
        architectures=shipped_table("landmarks", DIGEST, "error"),
        build=build,
        inputs=inputs,
        loss=squared_error,
        default_statistics=nb201.STATISTICS,
        lower_is_better=("error",),
    )


def inputs(batch: int, seed: int, image_size: int = IMAGE_SIZE) -> tuple[Tensor, Tensor]:
    """Normal noise ``(batch, 3, side, side)`` and uniform coordinates ``(batch, OUTPUTS)``."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(batch, 3, image_size, image_size, generator=generator)
    return images, torch.rand(batch, OUTPUTS, generator=generator)


def squared_error(outputs: Tensor, targets: Tensor) -> Tensor:
    """The mean squared error of the coordinates."""
    return (outputs - targets).square().mean()


def build(architecture: Architecture) -> nn.Module:
    """The untrained network of `architecture`, as torch initialises it."""
    from autoprox.benches.mobilenet import mobilenet_v2

    return mobilenet_v2(**architecture.config, outputs=OUTPUTS)

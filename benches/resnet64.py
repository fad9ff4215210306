"""64 residual networks with the accuracies that training alone, and with a teacher, gave them.

References:
    Dong, Li and Wei, DisWOT: Student Architecture Search for Distillation WithOut Training, CVPR
    2023, https://arxiv.org/abs/2303.15678
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from autoprox.benches.bench import Architecture, Bench
from autoprox.benches.nb201 import STATISTICS
from autoprox.benches.table import read_table, shipped
from autoprox.errors import BenchError

if TYPE_CHECKING:
    from torch import nn

DIGEST = "ee961c691e63c03f751c368eb3ddc097947f451c5f8420a6c4ae4a32a72e4971"

TARGETS = ("c100_kd", "c100")
"""Test accuracies on CIFAR-100, after training with a teacher, and without one."""

CAVEATS = (
    "64 architectures, one training each: the standard error of Kendall's tau is about 0.09, and "
    "differences of a few tenths of a point are noise.",
    "The parameter count alone is a strong baseline: Kendall's tau .873 with the accuracy after "
    "distillation and .789 with that without a teacher; the depth has .657 and .724.",
    "Both columns rank alike (tau .836): a proxy that sees distillation in particular shows in the "
    "partial correlation, not in the plain one.",
    "The weights are drawn as for the other residual networks here (He, by the inputs).",
)


def resnet64() -> Bench:
    """The published figures of all networks with 1, 3, 5 or 7 blocks in each of three stages."""
    return Bench(
        name="resnet64",
        description="Residual networks of 1, 3, 5 or 7 blocks a stage, on CIFAR-100, with and "
        "without a teacher.",
        citation="Dong, Li and Wei, DisWOT: Student Architecture Search for Distillation WithOut "
        "Training, CVPR 2023, arXiv:2303.15678",
        source="https://github.com/lilujunai/DisWOT-CVPR2023, exps/s1-gt-cls.txt and s1-gt-kd.txt",
        caveats=CAVEATS,
        kind="residual networks",
        architectures=read_table(shipped("resnet64.csv", DIGEST), targets=TARGETS),
        default_targets=TARGETS[:1],
        build=build,
        input_shape=(3, 32, 32),
        classes=100,
        default_statistics=STATISTICS,
        untaught={"c100_kd": "c100"},
    )


def build(architecture: Architecture, *, classes: int = 100) -> nn.Module:
    """The untrained network of `architecture`; shortcuts to another shape have weights.

    Raises:
        BenchError: its config has no numbers of blocks.
    """
    from autoprox.benches.cifar.resnet import ResNet

    depths = architecture.config.get("depths")
    if not isinstance(depths, list) or len(depths) != 3 or not all(type(n) is int for n in depths):
        raise BenchError(
            f"depths are the blocks of three stages, such as [3, 5, 7]; got {depths!r}"
        )
    return ResNet(depths, classes=classes, projected=True)

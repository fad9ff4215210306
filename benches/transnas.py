"""TransNAS-Bench-101, micro: 4,096 cells trained on seven tasks.

References:
    Duan et al., TransNAS-Bench-101: Improving Transferability and Generalizability of Cross-Task
    Neural Architecture Search, CVPR 2021, https://arxiv.org/abs/2105.11871
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from autoprox.benches import nb201
from autoprox.benches.bench import Architecture, Bench
from autoprox.benches.table import shipped_rows

if TYPE_CHECKING:
    from torch import nn

DIGEST = "34ee825d4447dcfd31bbf927a646c8e8b3f566c57ca5579d5d7bebffd961940b"

TARGETS = ("scene", "object", "jigsaw", "segmentation", "autoencoder", "normal", "room_loss")
"""Accuracies in percent (four), structural similarity from 0 to 1 (two), and a loss."""

CAVEATS = (
    "Equivalent cells share one training: 4,096 rows are 2,937 classes, which are never split. The "
    "169 cells without a path from input to output, at chance on every task, are one class, though "
    "their figures differ by up to .07 (autoencoder) and .13 (normal). In 1,616 rows some "
    "convolution of the cell lies on no such path: its gradient is 0.",
    "The networks here have a linear head for 47 classes at 64 pixels. Those of the table had 256 "
    "pixels, the autoencoder, the segmentation and the surface normals decoders, and the jigsaw "
    "nine tiles; the backbone, of which nothing is left out, is the same. Scores in both sizes of "
    "image agree: of 20 networks by Somers' D of .96 (snip), .99 (zico) and 1 (naswot), see "
    "results/shown_sizes.csv.",
    "The tasks disagree: Kendall's tau of the parameter count over connected cells, one a class, "
    "is .42 (scene), .23 (object), .22 (jigsaw), .50 (segmentation), -.10 (autoencoder), .41 "
    "(normal) and .06 (room_loss).",
    "Figures are those of the last epoch of one training.",
)


@cache  # worker processes ask for it once an architecture
def transnas() -> Bench:
    """The published figures of all cells."""
    return Bench(
        name="transnas",
        kind="convolutional cells",
        description="Convolutional networks of one repeated cell (TransNAS-Bench-101, micro), on "
        "seven tasks of vision.",
        citation="Duan et al., TransNAS-Bench-101: Improving Transferability and Generalizability "
        "of Cross-Task Neural Architecture Search, CVPR 2021, arXiv:2105.11871",
        source="https://github.com/yawen-d/TransNASBench (MIT), as kept in "
        "https://github.com/automl/NASLib (Apache-2.0)",
        caveats=CAVEATS,
        architectures=tuple(
            Architecture(
                f"transnas/{cell}",
                "transnas",
                {"cell": cell},
                dict(zip(TARGETS, map(float, figures), strict=True)),
                isomorph,
            )
            for cell, isomorph, *figures in shipped_rows("transnas.csv.gz", DIGEST)
        ),
        build=build,
        input_shape=(3, 64, 64),
        classes=47,
        default_statistics=nb201.STATISTICS,
        default_architectures=240,
        lower_is_better=("room_loss",),
    )


def build(architecture: Architecture) -> nn.Module:
    """The untrained network of `architecture`; the digits of its cell are those of nb201."""
    from autoprox.benches.cells import TaskNetwork

    return TaskNetwork(architecture.config["cell"], classes=47)

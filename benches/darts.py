"""DARTS cells: 545 pairs of cells, trained on CIFAR-10 for 50 epochs.

References:
    Liu, Simonyan and Yang, DARTS: Differentiable Architecture Search, ICLR 2019,
    https://arxiv.org/abs/1806.09055
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from autoprox.benches import nb201
from autoprox.benches.bench import Architecture, Bench
from autoprox.benches.table import shipped_rows

if TYPE_CHECKING:
    from torch import nn

DIGEST = "e29574db033d0413f46085d12e5d8d3a02919c54c36b5d2acb38ddf6a628f970"

CELLS, WIDTH = 8, 16
"""Cells and first channels of the networks that are measured, as DARTS itself searches on them."""

TRAINED_CELLS, TRAINED_WIDTH = 20, 36
"""Those of the networks that were trained."""

CAVEATS = (
    "The networks that were trained have 20 cells and 36 channels; those here have 8 and 16, as in "
    "DARTS' own search, and a seventeenth of the multiplications. Scores agree in part: of "
    "10 networks by Somers' D of .87 (flops, naswot, zico), .73 (params) and .47 (snip), see "
    "results/shown_sizes.csv.",
    "Figures are those of one training: how well they can be ranked at all is not known. The "
    "parameter count reaches a Kendall's tau of .03 (c10_50) and -.07 (c10_10) on the networks "
    "here, and of .09 and -.03 on those that were trained.",
    "Some edges are `none`, which brings nothing, in 359 rows. The two edges of a node may change "
    "places: 545 rows are 526 classes, which are never split.",
)


@cache  # worker processes ask for it once an architecture
def darts() -> Bench:
    """The published figures."""
    return Bench(
        name="darts",
        kind="convolutional cells",
        description="Networks of a normal and a reduction cell of the DARTS space, on CIFAR-10.",
        citation="OnceNAS-Bench, https://github.com/OnceNAS-Bench/OnceNAS-Bench; on cells of Liu, "
        "Simonyan and Yang, DARTS: Differentiable Architecture Search, ICLR 2019, arXiv:1806.09055",
        source="https://github.com/OnceNAS-Bench/OnceNAS-Bench, data-545.csv (no licence stated)",
        caveats=CAVEATS,
        architectures=tuple(
            Architecture(
                f"darts/{number:03}",
                "darts",
                {"normal": normal, "reduce": reduce},
                {"c10_50": float(long), "c10_10": float(short)},
                isomorph,
            )
            for number, (normal, reduce, isomorph, long, short) in enumerate(
                shipped_rows("darts.csv.gz", DIGEST)
            )
        ),
        default_targets=("c10_50",),
        build=build,
        input_shape=(3, 32, 32),
        classes=10,
        default_statistics=nb201.STATISTICS,
        default_architectures=200,
    )


def build(architecture: Architecture, *, cells: int = CELLS, width: int = WIDTH) -> nn.Module:
    """The untrained network of `architecture`, as torch initialises it."""
    from autoprox.benches.darts_cells import DartsNetwork, edges

    normal, reduce = (edges(architecture.config[key]) for key in ("normal", "reduce"))
    return DartsNetwork(normal, reduce, cells=cells, width=width)

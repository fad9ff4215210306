"""NATS-Bench's size space: one cell of NAS-Bench-201 in 32,768 widths, trained on CIFAR-10.

References:
    Dong et al., NATS-Bench: Benchmarking NAS Algorithms for Architecture Topology and Size, IEEE
    TPAMI 2021, https://arxiv.org/abs/2009.00437
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from autoprox.benches import nb201
from autoprox.benches.bench import Architecture, Bench
from autoprox.benches.table import shipped_rows

if TYPE_CHECKING:
    from torch import nn

DIGEST = "74135130d838ebb9b1ca16ca2e61cdc5f8886a0fb019afd30e293a2730bb1679"

CAVEATS = (
    "The networks differ in five widths alone, each one of 8, 16, … 64. The sum of the widths' "
    "logarithms ranks all of them with a Kendall's tau of .81, the parameter count with .69.",
    "Figures are those of one training of 90 epochs, on CIFAR-10. Those of the two other data sets "
    "are no part of this table.",
)


@cache  # worker processes ask for it once an architecture
def natssss() -> Bench:
    """The published figures of all widths, in the order of the published index."""
    return Bench(
        name="natssss",
        kind="convolutional cells",
        description="One cell of NAS-Bench-201 in five widths (NATS-Bench's size space).",
        citation="Dong et al., NATS-Bench: Benchmarking NAS Algorithms for Architecture Topology "
        "and Size, IEEE TPAMI 2021, arXiv:2009.00437",
        source="https://github.com/D-X-Y/NATS-Bench (MIT), as listed in "
        "https://github.com/changlin31/BossNAS, ranking_nats/ (no licence stated)",
        caveats=CAVEATS,
        architectures=tuple(
            Architecture(
                f"natssss/{channels}",
                "natssss",
                {"channels": [int(width) for width in channels.split(":")]},
                {"c10": float(accuracy)},
            )
            for channels, accuracy in shipped_rows("natssss.csv.gz", DIGEST)
        ),
        build=build,
        input_shape=(3, 32, 32),
        classes=10,
        default_statistics=nb201.STATISTICS,
        default_architectures=300,
    )


def build(architecture: Architecture) -> nn.Module:
    """The untrained network of `architecture`, as torch initialises it."""
    from autoprox.benches.cells import SizedNetwork

    return SizedNetwork(architecture.config["channels"])

"""NAS-Bench-Macro: 6,561 networks of eight mobile blocks, each trained three times on CIFAR-10.

References:
    Su et al., Prioritized Architecture Sampling with Monto-Carlo Tree Search, CVPR 2021,
    https://arxiv.org/abs/2103.11922
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from autoprox.benches import nb201
from autoprox.benches.bench import Architecture, Bench
from autoprox.benches.table import shipped_rows

if TYPE_CHECKING:
    from torch import nn

DIGEST = "bdf861d33a5beea046cf70b84554d3fa5f27a363e78c838bfa5f10e2d839ba85"

TARGETS = ("c10", "c10_first", "c10_second", "c10_third")
"""The mean of three trainings, and each of them."""

NOISE = dict(zip((f"macro/{target}" for target in TARGETS), (0.12, 0.21, 0.21, 0.21), strict=True))
"""The standard deviation over trainings, from the three of each network: see `Bench.noise`."""

CAVEATS = (
    "Within a stage it does not matter where the identities behind its first block stand: 6,561 "
    "rows are 3,969 networks, whose rows have the same figures; a class is never split.",
    "Two trainings of the same networks rank them alike with a Kendall's tau of .88: the figures "
    "of one training cannot be ranked much better than that.",
    "The number of blocks that are no identities ranks all networks with a Kendall's tau of .69, "
    "the multiplications with .56, the parameter count with .22.",
)


@cache  # worker processes ask for it once an architecture
def macro() -> Bench:
    """The published figures of all networks."""
    return Bench(
        name="macro",
        kind="mobile networks",
        description="Networks of eight mobile blocks or identities (NAS-Bench-Macro), on CIFAR-10.",
        citation="Su et al., Prioritized Architecture Sampling with Monto-Carlo Tree Search, CVPR "
        "2021, arXiv:2103.11922",
        source="https://github.com/xiusu/NAS-Bench-Macro (Apache-2.0)",
        caveats=CAVEATS,
        architectures=tuple(
            _row(blocks, isomorph, *map(float, figures))
            for blocks, isomorph, *figures in shipped_rows("macro.csv.gz", DIGEST)
        ),
        default_targets=TARGETS[:1],
        build=build,
        input_shape=(3, 32, 32),
        classes=10,
        default_statistics=nb201.STATISTICS,
        default_architectures=300,
        noise=NOISE,
    )


def _row(blocks: str, isomorph: str, *trainings: float) -> Architecture:
    """An architecture with the accuracies of its trainings, and their mean."""
    mean = round(sum(trainings) / len(trainings), 4)
    accuracies = dict(zip(TARGETS, (mean, *trainings), strict=True))
    return Architecture(f"macro/{blocks}", "macro", {"blocks": blocks}, accuracies, isomorph)


def build(architecture: Architecture) -> nn.Module:
    """The untrained network of `architecture`, as torch initialises it."""
    from autoprox.benches.mobilenet import macro_network

    return macro_network(architecture.config["blocks"])

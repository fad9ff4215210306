"""NAS-Bench-101: 500 cells, any graphs of at most seven vertices, trained on CIFAR-10.

References:
    Ying et al., NAS-Bench-101: Towards Reproducible Neural Architecture Search, ICML 2019,
    https://arxiv.org/abs/1902.09635
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from autoprox.benches import nb201
from autoprox.benches.bench import Architecture, Bench
from autoprox.benches.table import shipped_rows

if TYPE_CHECKING:
    from torch import nn

DIGEST = "113226d0140a31fdb0d01848b7859907a8a514952e7ed71c36e58781bc6d4e76"

CAVEATS = (
    "500 cells are here, drawn at random from the 423,624 published ones.",
    "Inputs are 16 pixels wide, for speed; the networks were trained with 32. Scores in both sizes "
    "agree: of 12 networks by Somers' D of .91 (naswot), .94 (snip) and .97 (zico), see "
    "results/shown_sizes.csv.",
    "Figures are validation accuracies after 108 epochs.",
)


@cache  # worker processes ask for it once an architecture
def nb101() -> Bench:
    """The published figures of 500 cells."""
    return Bench(
        name="nb101",
        kind="convolutional cells",
        description="Convolutional networks of one repeated graph (NAS-Bench-101), on CIFAR-10.",
        citation="Ying et al., NAS-Bench-101: Towards Reproducible Neural Architecture Search, "
        "ICML 2019, arXiv:1902.09635",
        source="https://github.com/google-research/nasbench (Apache-2.0), as kept in "
        "https://github.com/automl/NASLib, zc_nasbench101.json (Apache-2.0)",
        caveats=CAVEATS,
        architectures=tuple(
            Architecture(
                f"nb101/{number:03}",
                "nb101",
                {"adjacency": adjacency, "ops": ops.split("|")},
                {"c10": float(accuracy)},
            )
            for number, (adjacency, ops, accuracy) in enumerate(shipped_rows("nb101.csv", DIGEST))
        ),
        build=build,
        input_shape=(3, 16, 16),
        classes=10,
        default_statistics=nb201.STATISTICS,
        default_architectures=300,
    )


def build(architecture: Architecture) -> nn.Module:
    """The untrained network of `architecture`, as torch initialises it."""
    from autoprox.benches.nb101_cells import GraphNetwork

    return GraphNetwork(architecture.config["adjacency"], architecture.config["ops"])

"""NAS-Bench-201: all 15,625 cells of a small space, trained on three data sets and two more.

References:
    Dong and Yang, NAS-Bench-201: Extending the Scope of Reproducible Neural Architecture Search,
    ICLR 2020, https://arxiv.org/abs/2001.00326
    Tu et al., NAS-Bench-360: Benchmarking Neural Architecture Search on Diverse Tasks, NeurIPS
    2022, https://arxiv.org/abs/2110.05668
    Li et al., HW-NAS-Bench: Hardware-Aware Neural Architecture Search Benchmark, ICLR 2021,
    https://arxiv.org/abs/2103.10584
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

from autoprox.benches.bench import Architecture, Bench
from autoprox.benches.table import shipped, shipped_rows
from autoprox.errors import BenchError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    import numpy.typing as npt
    from torch import nn

DIGEST = "26a7353b89e4cada34bef05d8f1dd769229f690b002ffac43540771cee4ef1f5"
"""The SHA-256 of the table that ships: the columns cell, isomorph, and those of `TARGETS`."""

CELL = re.compile("[0-4]{6}")
"""A cell: the operation of each edge, by its place in `autoprox.benches.cells.OPERATIONS`."""

FULL = ("c10", "c100", "in16")
"""Test accuracies after 200 epochs on CIFAR-10, CIFAR-100 and ImageNet16-120."""

TARGETS = (*FULL, "c10_12", "c100_12", "in16_12", "ninapro", "darcy")

COSTS_DIGEST = "29eba698291e7bc2a2c69c7d2856b3749494c8b74320985eb1e3d0a760584d92"
"""The SHA-256 of the table of measured costs."""

COSTS = (
    "raspi4_ms",
    "pixel3_ms",
    "edgetpu_ms",
    "edgegpu_ms",
    "edgegpu_mj",
    "pi5_litert_ms",
    "pi5_litert_mj",
    "pi5_onnx_ms",
    "pi5_onnx_mj",
    "pi5_torchmobile_ms",
    "pi5_torchmobile_mj",
)
"""The columns of `costs`: a device, on a Raspberry Pi 5 its runtime, and the unit."""

STATISTICS = (
    "weight",
    "grad",
    "grad_abs_mean",
    "grad_std",
    "flow_grad",
    "act",
    "act_grad",
    "weight_spectrum",
    "grad_spectrum",
    "act_gram",
    "code_gram",
    "params",
    "flops",
    "fan_in",
    "fan_out",
    "position",
    "out_entries",
)
"""The usual ones less attention and heads, which cells of convolutions have not. Other benches of
such cells have them, too; nb201 has MeCo's as well."""

CAVEATS = (
    "Many cells compute the same: `none` cuts branches off, `skip_connect` shortens them. The "
    "15,625 cells are 4,660 classes, and a class is never split. (The published 6,466 classes also "
    "tell apart the orders of sums and branches that bring nothing.) Classes do not look at unused "
    "convolutions, so parameter counts may differ within one.",
    "Cells of one class were trained on their own: within classes the standard deviation of the "
    "accuracy is about 0.3 (c10), 0.4 (c100) and 0.6 (in16) points, and smaller differences say "
    "nothing.",
    "341 cells have no path from input to output. They stay at chance (10, 1 and 0.83 %) and tie.",
    "The parameter count alone is a strong baseline: Kendall's tau .58/.55/.52 on all cells (c10, "
    "c100, in16). The FLOPs of the convolutions order the cells in the same way.",
    "A sample takes one cell of a class, so correlations on it are not those on all cells: the "
    "parameter count reaches .60/.57/.53 on the 1,000 that a run draws.",
    "Networks are those for CIFAR-10 whatever the target: 32 pixels, 10 classes. Those trained on "
    "CIFAR-100 and ImageNet16-120 differ in the classes, and the last in the image size (16).",
    "Figures are means over the published seeds, rounded to three decimals; the 12-epoch ones come "
    "from a shorter training of its own.",
    "ninapro (accuracy of gestures from muscle signals, 1 x 52 x 16) and darcy (how well a flow is "
    "predicted, 1 x 88 x 88; 1 is perfect) are NAS-Bench-360's, after 200 epochs with one seed; "
    "the networks here stay those of CIFAR-10. They rank the cells otherwise: Kendall's tau with "
    "c100 is .19 and .31.",
)


@cache  # worker processes ask for it once an architecture
def nb201() -> Bench:
    """The published figures of all cells, in the order of the published index."""
    return Bench(
        name="nb201",
        kind="convolutional cells",
        description="Convolutional networks of one repeated cell (NAS-Bench-201), on three data "
        "sets.",
        citation="Dong and Yang, NAS-Bench-201: Extending the Scope of Reproducible Neural "
        "Architecture Search, ICLR 2020, arXiv:2001.00326",
        source="https://github.com/D-X-Y/NATS-Bench, topology search space; ninapro and darcy from "
        "https://github.com/roldebijvank/HW-NAS-Bench-360 (no licence stated)",
        caveats=CAVEATS,
        architectures=_architectures(),
        default_targets=FULL,
        build=build,
        input_shape=(3, 32, 32),
        classes=10,
        default_statistics=(*STATISTICS, "channel_spectrum"),
        default_architectures=1000,
        noise={"nb201/c10": 0.3, "nb201/c100": 0.4, "nb201/in16": 0.6},
    )


def _architectures() -> tuple[Architecture, ...]:
    """The rows of the table; reading them with `read_table` would take three times as long."""
    _, *lines = shipped("nb201.csv", DIGEST).read_text(encoding="utf-8").splitlines()
    rows = []
    for line in lines:
        cell, isomorph, *figures = line.split(",")
        accuracies = dict(zip(TARGETS, map(float, figures), strict=True))
        rows.append(Architecture(f"nb201/{cell}", "nb201", {"cell": cell}, accuracies, isomorph))
    return tuple(rows)


@cache
def isomorphs() -> Mapping[str, str]:
    """Cell to its class, that of the cells that compute the same, by the first of them."""
    return {row.config["cell"]: str(row.isomorph) for row in nb201().architectures}


@cache
def costs() -> Mapping[str, npt.NDArray[np.float64]]:
    """What an inference of each cell costs on devices: column to ``(15625,)``, as the bench's rows.

    Latency in ms and energy in mJ of one input of 3 x 32 x 32, of which all were measured; NaN
    where a device cannot run a cell. Figures on the Raspberry Pi 5 (100 classes) were measured once
    for cells that the published classes call equal, and repeat to about 3 %. From HW-NAS-Bench (Li
    et al., ICLR 2021, MIT; 10 classes) and https://github.com/roldebijvank/HW-NAS-Bench-360 (no
    licence stated).
    """
    import numpy as np

    rows = [
        [float(cell or "nan") for cell in row]
        for row in shipped_rows("nb201_costs.csv.gz", COSTS_DIGEST)
    ]
    return dict(zip(COSTS, np.array(rows).T, strict=True))


def build(architecture: Architecture, *, classes: int = 10) -> nn.Module:
    """The untrained network of `architecture`, as torch initialises it.

    Raises:
        BenchError: its config has no cell.
    """
    from autoprox.benches.cells import CellNetwork

    return CellNetwork(checked_cell(architecture.config.get("cell")), classes=classes)


def checked_cell(cell: object) -> str:
    """A cell, if it is one.

    Raises:
        BenchError: it is none.
    """
    if not isinstance(cell, str) or not CELL.fullmatch(cell):
        raise BenchError(
            f"a cell is the operations of six edges, each 0 to 4, such as '033132'; got {cell!r}"
        )
    return cell

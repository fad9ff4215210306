"""MP-NAS-Bench201: cells of NAS-Bench-201 trained with 2, 4 or 8 bits for each operation.

The tables are others' and have no licence, so they do not ship: a folder with them is named by the
environment variable ``AUTOPROX_MPNB201``, or given to `mpnb201`. Each is a CSV file with columns
``op0`` to ``op5``, the cell by places in `autoprox.benches.cells.OPERATIONS`;
``w0`` to ``w5``, the bits of its convolutions, 0 where there is none; and ``test_acc``, a share.

References:
    https://github.com/Leannnnnnn/MP-NAS-Bench201
    Dong and Yang, NAS-Bench-201, ICLR 2020, https://arxiv.org/abs/2001.00326
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from autoprox.benches import nb201
from autoprox.benches.bench import Architecture, Bench
from autoprox.benches.nb201 import CELL
from autoprox.benches.table import read_table
from autoprox.errors import BenchError, MissingTableError
from autoprox.runtime.files import user_path

VARIABLE = "AUTOPROX_MPNB201"

FILES = {
    "150ep": "mp_nasbench201_150ep_cell_uniform.csv",
    "50ep": "mp_nasbench201_50ep_cell_uniform.csv",
}
"""Space to its file: all cells of a network have the same bits, after so many epochs."""

WIDTHS = re.compile("[0248]{6}")
"""The bits of a cell's edges; 0 where there is no convolution."""

CONVOLUTIONS = "23"
"""Which places of `autoprox.benches.cells.OPERATIONS` are convolutions."""

COLLAPSED = 12.0
"""A network at or below this percentage is at chance: its training failed."""

FIXED_BITS = 8
"""Bits of the stem, the reductions and the head, in which the table's networks do not differ."""

CAVEATS = (
    "Accuracies are those after training with fake quantisation on half of CIFAR-10's training "
    "images; the test images were cropped and flipped at random, so the figures are noisy.",
    "That training began with the published weights of NAS-Bench-201. Here the networks are "
    "untrained: what a proxy sees is another network of the same shape.",
    "The two spaces differ in epochs, 150 and 50; some networks are in both.",
)


def mpnb201(folder: str | Path | None = None) -> Bench:
    """The published accuracies, but for the networks whose training failed.

    Args:
        folder: with one or both of `FILES`; None for the one that ``AUTOPROX_MPNB201`` names.

    Raises:
        MissingTableError: there is no such folder, or neither file in it.
        BenchError: a file is damaged.
    """
    chosen = folder or os.environ.get(VARIABLE)
    if not chosen:
        raise MissingTableError(
            "bench 'mpnb201' does not ship, as its tables have no licence; set "
            f"{VARIABLE} to a folder with {' or '.join(FILES.values())}"
        )
    return _read(user_path(chosen))


@cache
def _read(folder: Path) -> Bench:
    tables = {space: path for space, name in FILES.items() if os.path.isfile(path := folder / name)}
    if not tables:
        raise MissingTableError(
            f"bench 'mpnb201': there is neither {' nor '.join(FILES.values())} in {folder}"
        )
    rows = [row for space, path in tables.items() for row in _architectures(space, path)]
    known = [row for row in rows if row.accuracies["accuracy"] is not None]
    trained = tuple(row for row in known if (row.accuracies["accuracy"] or 0.0) > COLLAPSED)
    unknown = len(rows) - len(known)
    failed = (
        f"{len(rows) - len(trained)} of {len(rows)} networks are left out: "
        f"{len(known) - len(trained)} that stayed at chance, at {COLLAPSED:g} % or below"
        f"{f', and {unknown} without an accuracy' if unknown else ''}."
    )
    return Bench(
        name="mpnb201",
        kind="bits of layers",
        description="NAS-Bench-201 cells with 2, 4 or 8 bits for each convolution of the cell.",
        citation="MP-NAS-Bench201, https://github.com/Leannnnnnn/MP-NAS-Bench201; on cells of Dong "
        "and Yang, NAS-Bench-201, ICLR 2020, arXiv:2001.00326",
        source=f"{folder}; not part of autoprox",
        caveats=(*CAVEATS, failed),
        architectures=trained,
        build=nb201.build,
        input_shape=(3, 32, 32),
        classes=10,
        default_statistics=(*nb201.STATISTICS, "bits", "weight_error", "act_error"),
        default_architectures=1000,
        bits=bits,
    )


def _architectures(space: str, path: Path) -> Iterator[Architecture]:
    """The rows of a table; cells that compute the same are one class, whatever their bits."""
    classes = nb201.isomorphs()
    for row in read_table(path, targets=("test_acc",)):
        cell, widths = (
            "".join(str(row.config.get(f"{column}{edge}")) for edge in range(6))
            for column in ("op", "w")
        )
        share = row.accuracies["test_acc"]
        sound = CELL.fullmatch(cell) and WIDTHS.fullmatch(widths)
        fits = [word in CONVOLUTIONS for word in cell] == [width != "0" for width in widths]
        if not (sound and fits) or not (share is None or 0 <= share <= 1):
            raise BenchError(
                f"{path}, row {row.name} after the header: expected op0 to op5 from 0 to 4, w0 to "
                "w5 of 2, 4 and 8 for a convolution (2 and 3) and 0 for all else, and test_acc "
                f"from 0 to 1; got {cell}, {widths} and {share}: get the table again"
            )
        yield Architecture(
            f"{space}/{cell}-{widths}",
            space,
            {"cell": cell, "widths": widths},
            {"accuracy": None if share is None else 100 * share},
            isomorph=classes[cell],
        )


def bits(architecture: Architecture) -> tuple[int, ...]:
    """The bits of each layer, in the order of execution."""
    from autoprox.benches.cells import CELLS, WIDTHS

    cell = tuple(int(width) for width in architecture.config["widths"] if width != "0")
    stage, reduction = cell * CELLS, (FIXED_BITS,) * 3
    later = (reduction + stage) * (len(WIDTHS) - 1)
    return (FIXED_BITS, *stage, *later, FIXED_BITS)

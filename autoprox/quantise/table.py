"""Tables of quantised networks: configurations, each with the accuracy that it really leaves."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import io
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from filelock import FileLock
from torch import Tensor, nn

from autoprox.errors import AutoproxError, QuantisationError, RunError, UnknownNameError
from autoprox.quantise.drawing import drawn_evenly, drawn_spread
from autoprox.quantise.layers import END_BITS
from autoprox.quantise.quantiser import Method, Quantiser
from autoprox.quantise.running import logits, percent_right
from autoprox.runtime.files import write_text
from autoprox.runtime.quantities import read_bits
from autoprox.runtime.schema import FileKind, read_text, row_digest

SETS: Mapping[str, tuple[int, ...]] = {
    "234": (2, 3, 4),
    "234-even": (2, 3, 4),
    "2-8": (2, 3, 4, 5, 6, 7, 8),
    "uniform": (2, 3, 4, 5, 6, 7, 8),
}
"""Name to the bits of the layers between the first and the last. They are drawn so that the average
bits of configurations spread; in `234-even` layer by layer, so that they are nearly the same;
`uniform` has one configuration for each."""

ROWS = 425
"""How many configurations of a set are drawn."""

CALIBRATION = 512
"""How many training images calibrate unless told otherwise."""

FACTS = FileKind("autoprox quantised", 2, dict[str, Any], sealed=2)
"""NETWORK.json. Since version 2 it has a checksum, and so has each row of the table."""

CHECKSUM = "row_checksum"
SLACK = 1.0
"""Points by which a network may miss its recorded accuracy, beside four standard errors."""


@dataclass(frozen=True, slots=True)
class QuantisedRow:
    """One configuration and what it leaves and costs.

    Attributes:
        name: the set and the place in it, ``"234/0001"``.
        set: one of `SETS`.
        bits: of each layer in the order of execution.
        accuracy: percent of the test images.
        loss: mean cross entropy on the test images.
        size_bytes: of the parameters.
        bops: bit operations for one image.
    """

    name: str
    set: str
    bits: tuple[int, ...]
    accuracy: float
    loss: float
    size_bytes: int
    bops: int


COLUMNS = [field.name for field in dataclasses.fields(QuantisedRow)]


@dataclass(frozen=True, slots=True)
class TableSettings:
    """What determines the rows of a table beside network and images.

    Attributes:
        network: its name.
        seed: of the configurations and of the choice of calibration images.
        calibration: how many training images calibrate.
        method: how the network is quantised.
    """

    network: str
    seed: int = 0
    calibration: int = CALIBRATION
    method: Method = dataclasses.field(default_factory=Method)


@dataclass(frozen=True, slots=True, eq=False)
class Images:
    """Normalised images, float32 ``(images, 3, height, width)``, and labels, ``(images,)``."""

    images: Tensor
    labels: Tensor


def configurations(set_name: str, layers: int, rows: int, seed: int) -> dict[str, tuple[int, ...]]:
    """The configurations of a set by name.

    Raises:
        UnknownNameError: there is no such set.
        QuantisationError: there are not so many configurations.
    """
    if set_name not in SETS:
        raise UnknownNameError("set", set_name, SETS)
    widths = SETS[set_name]
    if set_name == "uniform":
        inner = layers - 2
        return {f"uniform/{bits}": (END_BITS, *[bits] * inner, END_BITS) for bits in widths}
    draw = drawn_evenly if set_name == "234-even" else drawn_spread
    drawn = draw(layers, widths, rows, seed)
    return {f"{set_name}/{place:04}": bits for place, bits in enumerate(drawn)}


class Builder:
    """Measures configurations of one trained network and keeps them in a table.

    The table is ``NETWORK.csv`` in the folder; ``NETWORK.json`` beside it says how, when and with
    what it was made. Both are written whole after every row, so that nothing but the row in work
    can be lost. Several processes may add rows to one table.

    Attributes:
        path: of the table.
        rows: what it holds, by name.
        layers: of the network, in the order of execution.
    """

    def __init__(
        self,
        network: nn.Module,
        train: Tensor,
        test: Images,
        settings: TableSettings,
        folder: Path,
        recorded: float | None = None,
    ) -> None:
        """Check the network, calibrate, and read the table if there is one.

        Args:
            network: trained; left as it is.
            train: the training images, normalised, of which some calibrate.
            test: what accuracies are measured on.
            settings: what determines the rows.
            folder: of the table.
            recorded: the network's known accuracy on the test images; None if nobody knows.

        Raises:
            QuantisationError: the network does not reach its recorded accuracy, there are too few
                training images, or the table in the folder was made in another way or lacks its
                JSON.
        """
        self._test, self._settings = test, settings
        self.path = folder / f"{settings.network}.csv"
        self._json = folder / f"{settings.network}.json"
        exact = percent_right(logits(network, test.images), test.labels)
        _check_accuracy(exact, recorded, len(test.labels))
        chosen = _calibration(train, settings)
        self._facts: dict[str, Any] = {
            "settings": dataclasses.asdict(settings),
            "weights": _digest(*network.state_dict().values()),
            "calibration_images": _digest(chosen),
            "test_images": _digest(test.images, test.labels),
            "test_count": len(test.labels),
        }
        self._notes = {
            "full_precision_accuracy": round(exact, 4),
            "begun": date.today().isoformat(),
            "torch": torch.__version__,
        }
        self.rows = self._kept()
        self._quantiser = Quantiser(network, chosen, settings.method)
        self.layers = self._quantiser.costs.layers

    def build(
        self, wanted: Mapping[str, tuple[int, ...]], observer: Callable[[int, int], None]
    ) -> None:
        """Measure the configurations that the table lacks, and add each.

        Args:
            wanted: name to bits, as `configurations` gives them.
            observer: told how many of those that lacked are done, and how many there are.

        Raises:
            QuantisationError: a row is another configuration's, or was changed.
            RunError: the folder cannot be written.
        """
        for name in wanted.keys() & self.rows.keys():
            self._check(self.rows[name], wanted[name])
        missing = [name for name in wanted if name not in self.rows]
        observer(0, len(missing))
        for done, name in enumerate(missing, start=1):
            if name not in self.rows:  # another process may have added it
                self.rows[name] = self.measured(name, wanted[name])
                self._write()
            observer(done, len(missing))

    def _check(self, row: QuantisedRow, bits: tuple[int, ...]) -> None:
        """Refuse a row whose bits or costs are not those of its configuration."""
        costs = self._quantiser.costs
        if (row.bits, row.size_bytes, row.bops) != (bits, costs.size_bytes(bits), costs.bops(bits)):
            raise QuantisationError(
                f"{self.path} is damaged: row {row.name!r} has {row.size_bytes} bytes and "
                f"{row.bops} bit operations at bits {'-'.join(map(str, row.bits))}; expected those "
                f"of {'-'.join(map(str, bits))}: take the row away and build again"
            )

    def measured(self, name: str, bits: tuple[int, ...]) -> QuantisedRow:
        """Quantise, test, and return the row; nothing is written.

        Raises:
            QuantisationError: the quantised network's outputs are not finite.
        """
        test, costs, outputs = self._test, self._quantiser.costs, self.outputs(bits)
        if not outputs.isfinite().all():
            raise QuantisationError(
                f"row {name!r}: at bits {'-'.join(map(str, bits))} the network's outputs are not "
                "all finite; check its weights and the images"
            )
        return QuantisedRow(
            name,
            name.partition("/")[0],
            bits,
            round(percent_right(outputs, test.labels), 4),
            round(float(F.cross_entropy(outputs, test.labels)), 5),
            costs.size_bytes(bits),
            costs.bops(bits),
        )

    def outputs(self, bits: tuple[int, ...]) -> Tensor:
        """What the quantised network returns on the test images, ``(images, classes)``."""
        return logits(self._quantiser(bits), self._test.images, self._settings.method.precision)

    def _kept(self) -> dict[str, QuantisedRow]:
        """The rows of the table in the folder; none if there is no table."""
        table = os.path.exists(self.path)  # asked first: another process writes the JSON first
        if not os.path.exists(self._json):
            if table:
                raise QuantisationError(
                    f"{self.path} lies there without its {self._json.name}, which would say how it "
                    "was made; move it away or choose another --out"
                )
            return {}
        facts = FACTS.read(self._json)
        for key, value in self._facts.items():
            if facts.get(key) != value:
                raise QuantisationError(
                    f"{self._json} says that its table was made with another {key}: "
                    f"{facts.get(key)!r}, not {value!r}; choose another --out"
                )
        self._notes = {key: facts.get(key, value) for key, value in self._notes.items()}
        return {row.name: row for row in read_rows(self.path, must=facts["version"] > 1)}

    def _write(self) -> None:
        """Write the table, with the rows that another process has added to it."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(self.path.with_name(f".{self.path.name}.lock")):
                self.rows = {**self._kept(), **self.rows}
                # The facts come first: rows without them would be nobody's.
                if not os.path.exists(self._json):
                    FACTS.write(self._json, {**self._facts, **self._notes})
                write_text(self.path, _text(sorted(self.rows.values(), key=lambda row: row.name)))
        except OSError as error:
            raise RunError(
                f"cannot write {self.path}: {error.strerror or error}; choose another --out"
            ) from None


def read_rows(path: Path, must: bool = False) -> list[QuantisedRow]:
    """The rows of a table; none if there is no such file.

    Args:
        path: the file.
        must: whether every row must have a checksum; what an earlier autoprox wrote has none.

    Raises:
        QuantisationError: the file cannot be read, is no such table, or a row cannot be one.
    """
    if not os.path.exists(path):
        return []
    line, rows = 1, dict[str, QuantisedRow]()
    try:
        reader = csv.reader(io.StringIO(read_text(path), newline=""), strict=True)
        header = next(reader, [])
        sealed = header == [*COLUMNS, CHECKSUM]
        if not sealed and (must or header != COLUMNS):
            raise ValueError(f"expected the columns {', '.join([*COLUMNS, CHECKSUM])}")
        for cells in filter(None, reader):
            line = reader.line_num
            row = _row(cells, sealed)
            if row.name in rows:
                raise ValueError(f"the name {row.name!r} occurs twice")
            rows[row.name] = row
    except (AutoproxError, csv.Error, ValueError) as error:
        raise QuantisationError(
            f"{path} is damaged or no table of quantised networks: line {line}: {error}; move it "
            "away and build again"
        ) from None
    return list(rows.values())


def _row(cells: list[str], sealed: bool) -> QuantisedRow:
    """Read a row, of which the last cell is a checksum if it is sealed."""
    if len(cells) != len(COLUMNS) + sealed:
        raise ValueError(f"expected {len(COLUMNS) + sealed} cells, got {len(cells)}")
    if sealed and cells.pop() != row_digest(cells):
        raise ValueError("its checksum does not fit, so it was altered")
    name, set_name, bits, accuracy, loss, size_bytes, bops = cells
    row = QuantisedRow(
        name, set_name, read_bits(bits), float(accuracy), float(loss), int(size_bytes), int(bops)
    )
    if row.name.partition("/")[0] != row.set:
        raise ValueError(f"expected a name that begins with the set, {row.set!r}; got {row.name!r}")
    if not (0 <= row.accuracy <= 100 and 0 <= row.loss < math.inf):
        raise ValueError(
            f"expected an accuracy from 0 to 100 and a loss from 0; got {row.accuracy} and "
            f"{row.loss}"
        )
    if row.size_bytes < 1 or row.bops < 1:
        raise ValueError(
            f"expected bytes and bit operations from 1; got {row.size_bytes} and {row.bops}"
        )
    return row


def _text(rows: list[QuantisedRow]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*COLUMNS, CHECKSUM])
    for row in rows:
        bits = "-".join(map(str, row.bits))
        cells = [str(cell) for cell in {**dataclasses.asdict(row), "bits": bits}.values()]
        writer.writerow([*cells, row_digest(cells)])
    return out.getvalue()


def _check_accuracy(exact: float, recorded: float | None, count: int) -> None:
    """Refuse a network whose accuracy is not the recorded one."""
    if recorded is None:
        return
    share = recorded / 100
    slack = SLACK + 400 * math.sqrt(share * (1 - share) / count)
    if abs(exact - recorded) > slack:
        raise QuantisationError(
            f"the network reaches {exact:.2f} % on the test images, but {recorded:.2f} % is "
            "recorded with its weights; give it the images that it was trained for, in its "
            "normalisation"
        )


def _calibration(train: Tensor, settings: TableSettings) -> Tensor:
    """The training images that calibrate."""
    check_calibration(settings.calibration, len(train))
    order = np.random.default_rng([settings.seed, 1]).permutation(len(train))
    return train[torch.from_numpy(order[: settings.calibration].copy())]


def usual_calibration(images: int) -> int:
    """How many of so many images calibrate unless it is said."""
    return min(CALIBRATION, images // 2)


def check_calibration(count: int, images: int) -> None:
    """Refuse to calibrate on so many of the training images.

    Raises:
        QuantisationError: they are too few or too many.
    """
    if not 2 <= count <= images:
        raise QuantisationError(
            f"calibration takes 2 to {images} of the training images; got {count}"
        )


def _digest(*tensors: Tensor) -> str:
    """SHA-256 of the bytes of tensors."""
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()

"""Published measurements of architectures on devices, and measurements in files of one's own.

A file is a table with a column ``architecture`` and one a device and quantity, such as
``raspi4_ms`` or ``edgegpu_mj``; an empty cell is no measurement. Those that ship:

* nb201: HW-NAS-Bench (Li et al., ICLR 2021, https://arxiv.org/abs/2103.10584): raspi4, edgegpu,
  edgetpu, pixel3, eyeriss, fpga, for CIFAR-10; the last two are simulated. HELP (Lee et al.,
  NeurIPS 2021, https://github.com/HayeonLee/HELP): 1080ti, one input. HW-NAS-Bench-360
  (https://github.com/roldebijvank/HW-NAS-Bench-360): pi5_litert, pi5_onnx, pi5_torchmobile, one
  input of CIFAR-100; one row a class of equal cells.
* fbnet: 5,000 networks of FBNet's space by HELP; an architecture is the operation of each of the 22
  blocks: 0 k3_e1, 1 k3_e1_g2, 2 k3_e3, 3 k3_e6, 4 k5_e1, 5 k5_e1_g2, 6 k5_e3, 7 k5_e6, 8 skip.
"""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from autoprox.errors import AutoproxError, BenchError, UnknownNameError, short
from autoprox.runtime.schema import read_text

UNITS = ("ms", "mj")
"""Milliseconds and millijoules."""

LEAST, MOST = 1e-9, 1e12
"""No measurement is smaller or larger."""

SPACES = ("nb201", "fbnet")
"""The spaces with measurements that ship."""

UNABLE = ("edgetpu_ms",)
"""Devices that cannot run the architectures which they have no measurement of."""


@cache
def devices(space: str) -> tuple[str, ...]:
    """Return the devices with their units that a space has measurements of.

    Raises:
        UnknownNameError: there is none of the space.

    >>> "raspi4_ms" in devices("nb201")
    True
    """
    with gzip.open(_path(space), "rt") as file:
        return tuple(file.readline().strip().split(",")[1:])


@cache
def measured(space: str, device: str) -> Mapping[str, float]:
    """Return architecture to what was measured on a device, which has its unit: ``raspi4_ms``.

    Raises:
        UnknownNameError: there is no such space or device.
    """
    if device not in devices(space):
        raise UnknownNameError(f"device of {space}", device, devices(space))
    with gzip.open(_path(space), "rt") as file:
        rows = csv.DictReader(file)
        return {row["architecture"]: float(row[device]) for row in rows if row[device]}


def _path(space: str) -> Path:
    if space not in SPACES:
        raise UnknownNameError("space with measurements", space, SPACES)
    return Path(__file__).with_name(f"{space}.csv.gz")


def measurements_of(path: Path) -> tuple[str, dict[str, float]]:
    """Read a file of measurements: the columns ``architecture``, and ``ms`` or ``mj``.

    Returns:
        The unit, and architecture to measurement.

    Raises:
        BenchError: it cannot be read, lacks a column, names an architecture twice, or has a
            measurement that is none.
    """
    try:
        reader = csv.reader(io.StringIO(read_text(path), newline=""), strict=True)
        rows = [(reader.line_num, cells) for cells in reader if cells]
    except AutoproxError as error:
        raise BenchError(str(error)) from None
    except csv.Error as error:
        raise BenchError(f"{path}: this is no CSV: {error}") from None
    header = [name.strip() for name in rows[0][1]] if rows else []
    units = [unit for unit in UNITS if unit in header]
    if "architecture" not in header or len(units) != 1 or len({*header}) < len(header):
        raise BenchError(
            f"{path}: measurements are a CSV with the columns architecture, and ms or mj; got "
            f"{short(', '.join(header)) or 'no rows'}"
        )
    (unit,) = units
    at, measured_at = header.index("architecture"), header.index(unit)
    measurements: dict[str, float] = {}
    for line, cells in rows[1:]:
        if len(cells) != len(header):
            raise BenchError(f"{path}, line {line}: expected {len(header)} cells, got {len(cells)}")
        name = cells[at].strip()
        if name in measurements:
            raise BenchError(f"{path}, line {line}: {short(name)} is there twice")
        measurements[name] = _positive(cells[measured_at], f"{path}, line {line}: {short(name)}")
    return unit, measurements


def _positive(text: str, place: str) -> float:
    """Return a measurement, a number above 0."""
    try:
        value = float(text)
    except ValueError:
        raise BenchError(f"{place}: expected a number; got {short(text)!r}") from None
    if value == -1:
        raise BenchError(f"{place}: -1 says that the device has no measurement; leave the row out")
    if not LEAST <= value <= MOST:
        raise BenchError(
            f"{place}: time and energy are above 0; got {short(text)}, and {LEAST:g} to {MOST:g} "
            "are read"
        )
    return value

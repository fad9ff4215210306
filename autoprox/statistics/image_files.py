"""Images and labels on disk: an .npz file or pictures, read within limits, checked, never cast."""

from __future__ import annotations

import math
import os
import reprlib
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from autoprox.errors import StatisticError

Draw: TypeAlias = Callable[[NDArray[np.int64]], NDArray[np.int64]]
"""Labels to the places of the images that are wanted."""

MOST_BYTES = 2**30
"""The most bytes that an .npz file may hold of images, or of labels, when it is unpacked."""

MOST_PIXELS = 2**25
"""The most pixels of one picture, 5,792 on each side of a square: more than cameras take."""

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")
"""Files of an image folder that are images."""

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP")
"""What such files may hold: for some other formats Pillow would start programs."""

EXPECTED = (
    "expected an .npz file with uint8 images 'x', (N, H, W, C) or (N, C, H, W), and labels 'y'"
)
_CHUNK = 2**20


@dataclass(frozen=True, slots=True)
class _Array:
    """What the header of an array in an .npz file says."""

    name: str
    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[Any]
    start: int


def stored(path: Path, draw: Draw | None = None) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Read an ``.npz`` file of images: uint8 ``(N, H, W, C)`` and labels, int64 ``(N,)``.

    Args:
        path: the file.
        draw: chooses the images to read; None for all. Others take no memory.

    Raises:
        StatisticError: there is no such file, it is something else, too large, or damaged; or its
            labels are no whole numbers.
    """
    if not os.path.isfile(path):
        raise StatisticError(f"no images at {path}; {EXPECTED}, or a folder of images")
    try:
        with zipfile.ZipFile(path) as archive:
            names = sorted(name.removesuffix(".npy") for name in archive.namelist())
            if not {"x", "y"} <= set(names):
                raise StatisticError(f"{path} holds {reprlib.repr(names)}; {EXPECTED}")
            if len({*names}) < len(names):
                raise ValueError("it holds two files of one name")
            x, y = (_header(archive, name) for name in ("x", "y"))
            _check_arrays(x, y, path)
            labels = whole_numbers(_rows(archive, y, None), path)
            places = None if draw is None else draw(labels)
            images = _channels_last(_rows(archive, x, places))
            return images, labels if places is None else labels[places]
    except StatisticError:
        raise
    except Exception as error:  # damaged bytes make zipfile, zlib and numpy raise anything
        reason = _reason(error)
        raise StatisticError(f"cannot read {path}: {reason}; {EXPECTED}: get it again") from None


def whole_numbers(labels: NDArray[Any], path: Path) -> NDArray[np.int64]:
    """Return labels as int64; floats may be whole numbers.

    Raises:
        StatisticError: there is one that is no whole number, or too large for a class.
    """
    numbers = labels.dtype.kind in "biuf" and labels.ndim == 1
    if numbers:
        wrong = np.flatnonzero(~(np.isfinite(labels) & (abs(labels.astype(float)) < 2**53)))
        if not len(wrong):
            wrong = np.flatnonzero(labels != np.floor(labels))
    if not numbers or len(wrong):
        came = f"{labels[wrong[0]]} at place {wrong[0]}" if numbers else f"type {labels.dtype}"
        raise StatisticError(
            f"the labels of {path} are to be whole numbers from 0, (N,); got {came}: number the "
            "classes"
        )
    return labels.astype(np.int64)


def read_picture(source: Path | IO[bytes], name: object) -> NDArray[np.uint8]:
    """Read a picture as ``(height, width, 3)``; 16-bit grey becomes the nearest of 8 bits.

    Args:
        source: a file.
        name: what messages call it.

    Raises:
        StatisticError: it is no picture, too large, or damaged; or Pillow is not installed.
    """
    try:
        from PIL import Image
    except ImportError:
        raise StatisticError("reading pictures needs Pillow: pip install pillow") from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(source, formats=FORMATS) as image:
                width, height = image.size
                if width * height > MOST_PIXELS:
                    raise ValueError(
                        f"it has {width:,} x {height:,} pixels, at most {MOST_PIXELS:,} are read"
                    )
                if image.mode.startswith("I"):  # only PNG files have this mode, for 16 bits
                    grey = (np.asarray(image).astype(np.int32) + 128) // 257
                    return np.repeat(grey.astype(np.uint8)[..., None], 3, axis=2)
                return np.array(image.convert("RGB"))
    except Exception as error:  # damaged bytes make decoders raise anything
        reason = _reason(error)
        raise StatisticError(f"cannot read {name}: {reason}; get the image again") from None


def _reason(error: Exception) -> str:
    """Return what a decoder says, on one line."""
    return " ".join(str(error).split())[:200] or type(error).__name__


def _header(archive: zipfile.ZipFile, name: str) -> _Array:
    """Read what an array is, and hold that against the size of its file."""
    member = archive.getinfo(f"{name}.npy")
    if member.flag_bits & 1:
        raise ValueError(f"{name} is encrypted")
    if member.file_size > MOST_BYTES:
        raise ValueError(
            f"{name} has {member.file_size:,} bytes, and at most {MOST_BYTES:,} are read"
        )
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{name} is compressed in a way that numpy does not use")
    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        readers = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }
        shape, fortran, dtype = readers[version](file)
        start = file.tell()
    if dtype.hasobject:
        raise ValueError(f"{name} holds Python objects, which may run code")
    if math.prod(shape) * dtype.itemsize != member.file_size - start:
        raise ValueError(f"{name} has another size than its header says")
    return _Array(name, shape, fortran, dtype, start)


def _check_arrays(x: _Array, y: _Array, path: Path) -> None:
    """Refuse arrays that are no images and labels."""
    if x.dtype != np.uint8 or len(x.shape) not in (3, 4) or y.shape != x.shape[:1]:
        raise StatisticError(
            f"{path} holds x {x.shape}, {x.dtype}, and y {y.shape}, {y.dtype}; {EXPECTED}, (N,)"
        )
    if not all(x.shape[1:]) or math.prod(x.shape[1:]) > 4 * MOST_PIXELS:
        raise StatisticError(
            f"{path} holds images of {' x '.join(map(str, x.shape[1:]))}; {EXPECTED}, of 1 to "
            f"{MOST_PIXELS:,} pixels each"
        )
    if y.dtype.kind not in "biuf":
        whole_numbers(np.empty(1, y.dtype), path)


def _rows(
    archive: zipfile.ZipFile, array: _Array, places: NDArray[np.int64] | None
) -> NDArray[Any]:
    """Read an array, or some of its rows, to the end, where zipfile compares the checksum."""
    with archive.open(f"{array.name}.npy") as file:
        _read(file, array.start)
        if places is None or array.fortran:
            content = _read(file, math.prod(array.shape) * array.dtype.itemsize)
            whole = np.frombuffer(content, array.dtype)
            whole = whole.reshape(array.shape, order="F" if array.fortran else "C")
            return whole if places is None else whole[places]
        size = math.prod(array.shape[1:]) * array.dtype.itemsize
        rows = np.empty((len(places), *array.shape[1:]), array.dtype)
        next_row = 0
        for place in np.argsort(places):
            _skip(file, (int(places[place]) - next_row) * size)
            rows[place] = np.frombuffer(_read(file, size), array.dtype).reshape(rows.shape[1:])
            next_row = int(places[place]) + 1
        _skip(file, (array.shape[0] - next_row) * size)
        return rows


def _read(file: IO[bytes], size: int) -> bytes:
    content = file.read(size)
    if len(content) < size:
        raise EOFError("it ends too early")
    return content


def _skip(file: IO[bytes], size: int) -> None:
    while size:
        size -= len(_read(file, min(size, _CHUNK)))


def _channels_last(x: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return images as ``(N, H, W, C)``."""
    if x.ndim == 3:
        return x[..., None]
    if x.shape[-1] not in (1, 3) and x.shape[1] in (1, 3):
        return x.transpose(0, 2, 3, 1)
    return x

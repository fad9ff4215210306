"""Batches to measure on: noise, or images from a file or a folder."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from autoprox.errors import StatisticError
from autoprox.statistics.trees import Inputs, Targets, leaves

Batch: TypeAlias = tuple[Tensor, Tensor]

Normalisation: TypeAlias = tuple[tuple[float, ...], tuple[float, ...]]
"""Mean and standard deviation of each channel."""

IMAGENET: Normalisation = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""What images are normalised by, whatever their source, unless a network was trained otherwise."""

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")
"""Files of an image folder that are images."""

_EXPECTED = (
    "expected an .npz file with uint8 images 'x', (N, H, W, C) or (N, C, H, W), and labels 'y'"
)


LARGEST_SEED = 2**32 - 1
"""The largest seed of a batch: torch and what is computed from it take it in every place."""


def noise(shape: tuple[int, ...], classes: int, batch: int = 8, seed: int = 0) -> Batch:
    """Standard normal inputs ``(batch, *shape)`` and uniform labels ``(batch,)``.

    >>> inputs, targets = noise((3, 4, 4), classes=10, batch=2)
    >>> inputs.shape, targets.shape
    (torch.Size([2, 3, 4, 4]), torch.Size([2]))
    """
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(batch, *shape, generator=generator)
    return inputs, torch.randint(0, classes, (batch,), generator=generator)


def images(
    path: str | Path,
    shape: tuple[int, int, int],
    classes: int,
    batch: int = 8,
    seed: int = 0,
    normalisation: Normalisation = IMAGENET,
) -> Batch:
    """A batch drawn from images on disk, resized to `shape` and normalised.

    Args:
        path: an ``.npz`` file with uint8 ``x``, ``(N, H, W, C)`` or ``(N, C, H, W)``, and labels
            ``y``, ``(N,)``; or a folder with one folder of images a class, whose labels are the
            places of their names in alphabetical order.
        shape: ``(channels, height, width)`` that the network takes; grey images are repeated over
            three channels if need be.
        classes: outputs of the network.
        batch: how many images to draw, without repetition.
        seed: decides which.
        normalisation: mean and deviation of the red, green and blue of pixels from 0 to 1.

    Returns:
        Float32 ``(batch, *shape)``, normalised, and int64 ``(batch,)``.

    Raises:
        StatisticError: there is no such file, it is something else, it is damaged, it has too few
            images, or more classes than the network.
    """
    path = Path(path)
    if path.is_dir():
        pictures, labels = _from_folder(path, classes, batch, seed)
    else:
        pictures, labels = _from_file(path, classes, batch, seed)
    ready = [_prepared(picture, shape, normalisation, path) for picture in pictures]
    return torch.stack(ready), torch.from_numpy(labels.astype(np.int64))


def stored(path: Path) -> tuple[NDArray[np.uint8], NDArray[Any]]:
    """Read an ``.npz`` file of images: uint8 ``(N, H, W, C)`` and labels ``(N,)``.

    Raises:
        StatisticError: there is no such file, it is something else, or it is damaged.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            if not {"x", "y"} <= set(archive):
                raise StatisticError(f"{path} holds {sorted(archive)}; {_EXPECTED}")
            x, y = archive["x"], archive["y"]
    except FileNotFoundError:
        raise StatisticError(f"no images at {path}; {_EXPECTED}, or a folder of images") from None
    except (OSError, EOFError, ValueError, TypeError, zipfile.BadZipFile, zipfile.error) as error:
        raise StatisticError(
            f"cannot read {path}: {error}; {_EXPECTED}: get the file again"
        ) from None
    if x.dtype != np.uint8 or x.ndim not in (3, 4) or y.shape != (len(x),):
        raise StatisticError(
            f"{path} holds x {x.shape}, {x.dtype}, and y {y.shape}, {y.dtype}; {_EXPECTED}, (N,)"
        )
    if x.ndim == 3:
        x = x[..., None]
    elif x.shape[-1] not in (1, 3) and x.shape[1] in (1, 3):
        x = x.transpose(0, 2, 3, 1)
    return x, y


def token_noise(
    length: int, vocabulary: int, batch: int = 8, seed: int = 0
) -> tuple[Tensor, Tensor]:
    """Uniform random token ids ``(batch, length)``, and the id after each, as targets.

    >>> ids, following = token_noise(5, vocabulary=50, batch=2)
    >>> ids.shape, ids.dtype, bool((ids[:, 1:] == following[:, :-1]).all())
    (torch.Size([2, 5]), torch.int64, True)
    """
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(0, vocabulary, (batch, length + 1), generator=generator)
    return ids[:, :-1].contiguous(), ids[:, 1:].contiguous()


def fingerprint(inputs: Inputs, targets: Targets) -> str:
    """SHA-256 of the shapes, types and bytes of a batch, 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for where, tensor in (*leaves(inputs), *leaves(targets)):
        digest.update(where.encode())
        if tensor is None:
            digest.update(b"none")
            continue
        if not isinstance(tensor, Tensor):
            digest.update(f"{tensor!r} ".encode())
            continue
        digest.update(f"{tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(
            tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()
        )
    return digest.hexdigest()


def _from_file(
    path: Path, classes: int, batch: int, seed: int
) -> tuple[list[NDArray[Any]], NDArray[Any]]:
    """Draw images and labels from an ``.npz`` file."""
    x, y = stored(path)
    chosen = _drawn(path, y, classes, batch, seed)
    return list(x[chosen]), y[chosen]


def _from_folder(
    path: Path, classes: int, batch: int, seed: int
) -> tuple[list[NDArray[Any]], NDArray[Any]]:
    """Draw images and labels from a folder with a folder a class."""
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError:
        raise StatisticError("reading an image folder needs Pillow: pip install pillow") from None
    folders = sorted(entry for entry in path.iterdir() if entry.is_dir())
    files = [
        (file, label)
        for label, folder in enumerate(folders)
        for file in sorted(folder.iterdir())
        if file.suffix.lower() in SUFFIXES
    ]
    if not files:
        raise StatisticError(
            f"{path} holds no images; expected a folder a class with {', '.join(SUFFIXES)} "
            f"files in it"
        )
    labels = np.array([label for _, label in files])
    chosen = _drawn(path, labels, classes, batch, seed)
    pictures = []
    for index in chosen:
        file = files[index][0]
        try:
            with Image.open(file) as image:
                pictures.append(np.asarray(image.convert("RGB")))
        except (OSError, UnidentifiedImageError) as error:
            raise StatisticError(f"cannot read {file}: {error}; get the image again") from None
    return pictures, labels[chosen]


def _drawn(
    path: Path, labels: NDArray[Any], classes: int, batch: int, seed: int
) -> NDArray[np.int64]:
    """Draw `batch` places of `labels`, or raise if the data does not fit."""
    if len(labels) < batch:
        raise StatisticError(
            f"{path} holds {len(labels)} images; expected {batch} or more for a batch"
        )
    if int(labels.min()) < 0 or int(labels.max()) >= classes:
        raise StatisticError(
            f"the labels of {path} go from {labels.min()} to {labels.max()}, but the network has "
            f"{classes} classes; choose data with {classes} classes or a network with "
            f"{int(labels.max()) + 1} outputs"
        )
    return np.random.default_rng(seed).permutation(len(labels))[:batch]


def _prepared(
    picture: NDArray[Any], shape: tuple[int, int, int], normalisation: Normalisation, path: Path
) -> Tensor:
    """Turn a uint8 ``(H, W, C)`` picture into a normalised float32 `shape`."""
    tensor = torch.from_numpy(np.array(picture)).permute(2, 0, 1).float() / 255
    if len(tensor) == 1 and shape[0] == 3:
        tensor = tensor.expand(3, -1, -1)
    if len(tensor) != shape[0]:
        raise StatisticError(
            f"the images of {path} have {len(tensor)} channels; expected {shape[0]}, as the "
            f"network takes"
        )
    if tensor.shape[1:] != shape[1:]:
        tensor = F.interpolate(
            tensor[None], size=shape[1:], mode="bilinear", antialias=True, align_corners=False
        )[0]
    mean, deviation = map(torch.tensor, normalisation)
    if shape[0] != 3:
        mean, deviation = mean.mean(), deviation.mean()
    return (tensor - mean.reshape(-1, 1, 1)) / deviation.reshape(-1, 1, 1)

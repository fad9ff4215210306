"""Batches to measure on: noise, or images from a file or a folder."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from autoprox.errors import StatisticError
from autoprox.statistics.image_files import SUFFIXES, Draw, read_picture, stored
from autoprox.statistics.trees import Inputs, Targets, children, leaves

Batch: TypeAlias = tuple[Tensor, Tensor]

Normalisation: TypeAlias = tuple[tuple[float, ...], tuple[float, ...]]
"""Mean and standard deviation of each channel."""

IMAGENET: Normalisation = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""What images are normalised by, whatever their source, unless a network was trained otherwise."""

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
            three channels if need be, and those of a folder may serve one channel.
        classes: outputs of the network.
        batch: how many images to draw, without repetition.
        seed: decides which.
        normalisation: mean and deviation of the red, green and blue of pixels from 0 to 1.

    Returns:
        Float32 ``(batch, *shape)``, normalised, and int64 ``(batch,)``.

    Raises:
        StatisticError: there is no such file, it is something else, it is damaged or larger than
            is read, labels are no whole numbers, there are too few images, or more classes than
            outputs of the network.
    """
    if batch < 1 or not 0 <= seed <= LARGEST_SEED:
        raise StatisticError(
            f"expected a batch of 1 or more and a seed from 0 to {LARGEST_SEED}; got {batch} and "
            f"{seed}"
        )
    path = Path(path)
    draw = partial(_drawn, path, classes=classes, batch=batch, seed=seed)
    pictures, labels = (
        _from_folder(path, shape[0], draw) if os.path.isdir(path) else stored(path, draw)
    )
    ready = [_prepared(picture, shape, normalisation, path) for picture in pictures]
    return torch.stack(ready), torch.from_numpy(labels)


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
    """SHA-256 of the form, shapes, types and bytes of a batch, 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for where in (*_lists(inputs), *_lists(targets)):  # of samples, where tuples are of parts
        digest.update(f"list {where}".encode())
    for where, tensor in (*leaves(inputs), *leaves(targets)):
        digest.update(where.encode())
        if tensor is None:
            digest.update(b"none")
            continue
        if not isinstance(tensor, Tensor):
            digest.update(f"{tensor!r} ".encode())
            continue
        digest.update(f"{tuple(tensor.shape)} {tensor.dtype}".encode())
        plain = tensor.detach().cpu().resolve_conj().resolve_neg().contiguous()
        digest.update(plain.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _lists(tree: object, where: str = "") -> Iterator[str]:
    """Yield where the lists of a tree stand."""
    if isinstance(tree, list):
        yield where
    for place, part in (children(tree) or {}).items():
        yield from _lists(part, where + place)


def _from_folder(
    path: Path, channels: int, draw: Draw
) -> tuple[Iterable[NDArray[np.uint8]], NDArray[np.int64]]:
    """Draw images and labels from a folder with a folder a class; images are read when due."""
    files = [(file, label) for label, file in _labelled_files(path)]
    if not files:
        raise StatisticError(
            f"{path} holds no images; expected a folder a class with {', '.join(SUFFIXES)} "
            "files in it"
        )
    labels = np.array([label for _, label in files])
    chosen = draw(labels)
    return (_picture(files[index][0], channels) for index in chosen), labels[chosen]


def _labelled_files(path: Path) -> Iterator[tuple[int, Path]]:
    """Yield the files of an image folder, each with the place of its folder's name."""
    try:
        folders = sorted(entry for entry in path.iterdir() if os.path.isdir(entry))
        for label, folder in enumerate(folders):
            for file in sorted(folder.iterdir()):
                if file.suffix.lower() in SUFFIXES and os.path.isfile(file):
                    yield label, file
    except OSError as error:
        raise StatisticError(
            f"cannot read the folder {error.filename}: {error.strerror}; expected a folder of "
            "images a class that you may read"
        ) from None


def _picture(file: Path, channels: int) -> NDArray[np.uint8]:
    """Read a picture with three channels, or with one if that is what the network takes."""
    picture = read_picture(file, file)
    if channels != 1:
        return picture
    if (picture != picture[..., :1]).any():
        raise StatisticError(
            f"the picture {file} is coloured; expected grey ones, as the network takes 1 channel"
        )
    return picture[..., :1]


def _drawn(
    path: Path, labels: NDArray[np.int64], classes: int, batch: int, seed: int
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
    picture: NDArray[np.uint8],
    shape: tuple[int, int, int],
    normalisation: Normalisation,
    path: Path,
) -> Tensor:
    """Turn a uint8 ``(H, W, C)`` picture into a normalised float32 `shape`."""
    channels = picture.shape[-1]
    if channels != shape[0] and (channels, shape[0]) != (1, 3):
        raise StatisticError(
            f"the images of {path} have {channels} channels; expected {shape[0]}, as the "
            "network takes"
        )
    tensor = torch.stack([_resized(picture[..., place], shape[1:]) for place in range(channels)])
    mean, deviation = map(torch.tensor, normalisation)
    if shape[0] != 3:
        mean, deviation = mean.mean(), deviation.mean()
    return (tensor - mean.reshape(-1, 1, 1)) / deviation.reshape(-1, 1, 1)


def _resized(channel: NDArray[np.uint8], sides: tuple[int, ...]) -> Tensor:
    """Turn one channel, ``(H, W)``, into float32 from 0 to 1; one at a time takes less memory."""
    tensor = torch.from_numpy(np.array(channel)).float() / 255
    if tensor.shape == sides:
        return tensor
    return F.interpolate(
        tensor[None, None], size=sides, mode="bilinear", antialias=True, align_corners=False
    )[0, 0]

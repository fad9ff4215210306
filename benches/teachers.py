"""Teachers: networks that the architectures of a bench are compared with."""

from __future__ import annotations

import dataclasses
import io
import pickle
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from autoprox.benches.bench import Architecture, Bench
from autoprox.benches.registry import called, executed, file_digest, unnamed_files
from autoprox.errors import AutoproxError, BenchError, RunError, short
from autoprox.runtime.files import absolute, user_path
from autoprox.runtime.schema import read_bytes
from autoprox.runtime.tensors import read_tensors

if TYPE_CHECKING:
    from torch import Tensor, nn

RESNET = re.compile(r"resnet(\d+)")
"""A residual network for images of 32 pixels, by its number of layers."""

DEEPEST = 1202
"""The layers of the deepest of them, that of He et al. (CVPR 2016)."""

IMAGE_SIZE = 32
"""The side of the images that these are shown, whatever the bench's networks see."""

BEST = "best"
"""The bench's architecture with the best figure for its first default target, see `best_of`."""

BESTS = (BEST, f"cell:{BEST}")
"""The names of it: a bench of cells has a best cell."""

COUNTER = "num_batches_tracked"
"""The end of the names of tensors that no network computes with."""

KNOWN = f"resnet20, resnet56, resnet110 (6n + 2 layers), {BEST} (of the bench), or FILE.py:FUNCTION"


def teacher_file(teacher: str) -> str | None:
    """Return the path of the Python file that a teacher comes from; None if it is a name.

    >>> teacher_file("mine.py:build"), teacher_file("resnet56")
    ('mine.py', None)
    """
    path, colon, _ = teacher.rpartition(":")
    return path if colon and path.endswith(".py") else None


def placed_teacher(teacher: str) -> str:
    """The name of a teacher; the path of its file, if it comes from one, is made absolute."""
    path = teacher_file(teacher)
    return teacher if path is None else f"{absolute(path)}:{teacher.rpartition(':')[2]}"


def check_same_teacher(folder: Path, began: str | None, again: str | None) -> None:
    """Refuse another teacher than the one that a resumed run or search began with.

    Args:
        folder: where it is kept.
        began: the teacher that it began with; None if it had none.
        again: the teacher that is given now.

    Raises:
        RunError: it is another one, or a file would be executed which nobody named.
    """
    if again is not None and placed_teacher(again) != began:
        raise RunError(
            f"{folder} began with {'no teacher' if began is None else f'the teacher {began}'}; got "
            f"{again}: give the same, or start anew"
        )
    file = teacher_file(began or "")
    if again is None and file is not None and unnamed_files([file]):
        raise RunError(
            f"{folder} says that {file} makes its teacher; no file is executed because a folder "
            f"says so: if you trust it, add --teacher {began}"
        )


def best_of(bench: Bench, architectures: Sequence[Architecture]) -> Architecture:
    """The best of some of a bench's architectures by its first default target; of equals the first.

    Raises:
        BenchError: none of them has a figure.
    """
    target = bench.default_targets[0]
    accuracies = bench.accuracies(target, architectures)
    if not np.isfinite(accuracies).any():
        raise BenchError(
            f"no architecture of bench {bench.name!r} that may be the teacher has a figure for "
            f"{target}, so that none is the best: name the teacher, as in --teacher resnet110"
        )
    return architectures[int(np.nanargmax(accuracies))]


def teacher_mark(teacher: str | Architecture, weights: str | None) -> dict[str, str]:
    """Return all that a teacher depends on beside the bench and the seed.

    Raises:
        BenchError: its file, or that of its weights, cannot be read.
    """
    if isinstance(teacher, Architecture):
        mark = {"architecture": teacher.name}
    elif (path := teacher_file(teacher)) is None:
        mark = {"teacher": teacher}
    else:
        mark = {"teacher": teacher.rpartition(":")[2], "file": file_digest(user_path(path))}
    return mark if weights is None else {**mark, "weights": file_digest(user_path(weights))}


def build_teacher(
    teacher: str | Architecture, bench: Bench, weights: str | None = None, seed: int = 0
) -> nn.Module:
    """The teacher of that name, untrained and in training mode; or trained, in evaluation mode.

    Args:
        teacher: ``resnet56`` and the like, with shortcuts that have weights unless trained ones
            have none; ``best`` or ``cell:best``, the bench's best architecture; an architecture of
            the bench; or ``FILE.py:FUNCTION``, which returns the network and takes nothing. If a
            network has the attribute `image_size`, images are resized to it.
        bench: whose classes it tells apart.
        weights: a file of ``torch.save`` or safetensors with the state of the network; of a
            residual network under any names, in the order of the layers.
        seed: of the weights that are drawn.

    Raises:
        BenchError: there is no such teacher, its file fails, or the weights do not fit.
    """
    if teacher in BESTS:
        teacher = best_of(bench, bench.architectures)
    if weights is None:
        return _drawn(teacher, bench, bench.classes, seed)
    resnet = isinstance(teacher, str) and RESNET.fullmatch(teacher) is not None
    state = _state(user_path(weights))
    last = state.get("head.bias", list(state.values())[-1])
    classes = len(last) if last.ndim else bench.classes
    refused = ""
    for projected in (True, False) if resnet else (True,):
        network = _drawn(teacher, bench, classes, seed, projected=projected)
        names = [name for name in network.state_dict() if not name.endswith(COUNTER)]
        alike = resnet and not state.keys() & {*names} and len(names) == len(state)
        named = dict(zip(names, state.values(), strict=True)) if alike else state
        try:
            missing, more = network.load_state_dict(named, strict=False)
        except RuntimeError as error:
            refused = " ".join(str(error).split())
            continue
        lost = [name for name in (*missing, *more) if not name.endswith(COUNTER)]
        if not lost:
            return network.eval()
        refused = f"{len(lost)} tensors are of one of the two alone, such as {lost[0]}"
    name = teacher if isinstance(teacher, str) else teacher.name
    raise BenchError(f"{weights} holds no weights of the teacher {name}: {short(refused)}")


def _state(path: Path) -> dict[str, Tensor]:
    """The tensors of a file of weights by name, without the counters of batches."""
    import torch

    try:
        if path.suffix == ".safetensors":
            loaded: Any = read_tensors(path)[0]
        else:
            content = read_bytes(path)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                loaded = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise BenchError(
            f"cannot read weights from {path}: it is damaged, or holds more than weights, and "
            "nothing in it is executed; save the state_dict of the network alone"
        ) from None
    except AutoproxError as error:
        raise BenchError(str(error)) from None
    except Exception as error:  # readers of damaged files raise anything
        message = short(" ".join(f"{type(error).__name__}: {error}".split())).rstrip(": ")
        raise BenchError(
            f"cannot read weights from {path}: expected safetensors, or what torch.save wrote of a "
            f"state_dict; got {message}"
        ) from None
    if isinstance(loaded, Mapping):
        loaded = loaded.get("state_dict", loaded)
    state = {
        str(name): tensor
        for name, tensor in (loaded.items() if isinstance(loaded, Mapping) else ())
        if isinstance(tensor, torch.Tensor) and not str(name).endswith(COUNTER)
    }
    if not state:
        raise BenchError(f"{path} holds no weights: no tensors by the names of parameters")
    for name, tensor in state.items():
        if tensor.layout != torch.strided or tensor.is_complex() or not 0 < _share(tensor) <= 1:
            raise BenchError(f"{path} holds no weights: {short(name)!r} is no plain tensor")
    return state


def _share(tensor: Tensor) -> float:
    """Return the bytes of a tensor over those of its storage; above 1 it repeats entries."""
    stored = tensor.untyped_storage().nbytes()
    return tensor.numel() * tensor.element_size() / stored if stored else 0.0


def _drawn(
    teacher: str | Architecture, bench: Bench, classes: int, seed: int, *, projected: bool = True
) -> nn.Module:
    """The untrained teacher; a seed gives the same weights in every process."""
    if isinstance(teacher, Architecture):
        return bench.network(teacher, seed)

    def build(_: Architecture) -> Any:
        return _built(teacher, classes, projected=projected)

    place = Architecture(f"teacher {teacher}", "", {}, {})
    return dataclasses.replace(bench, build=build).network(place, seed)


def _built(teacher: str, classes: int, *, projected: bool) -> Any:
    """What a name or a file gives."""
    from torch import nn

    from autoprox.benches.cifar.resnet import ResNet

    if (file := teacher_file(teacher)) is not None:
        path, name = user_path(file), teacher.rpartition(":")[2]
        if not path.is_file():
            raise BenchError(f"there is no file {path}, which would make the teacher")
        function = getattr(executed(path), name, None)
        if not callable(function):
            raise BenchError(f"{path} defines no function {name!r}, which would make the teacher")
        network = called(path, function)
        if not isinstance(network, nn.Module):
            raise BenchError(
                f"{path}: {name} returned {type(network).__name__}; expected a torch.nn.Module, "
                "the teacher"
            )
        return network
    named = RESNET.fullmatch(teacher)
    depth = int(named[1]) if named else 0
    if not 8 <= depth <= DEEPEST or depth % 6 != 2:
        raise BenchError(f"there is no teacher {teacher!r}; expected {KNOWN}")
    network = ResNet(depth, classes=classes, projected=projected)
    network.image_size = IMAGE_SIZE
    return network

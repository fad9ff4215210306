"""What a training leaves on disk: a safetensors file, with what it says in its header.

After each epoch that is all it needs to go on (weights, the optimiser's state, settings, history),
in the end the weights in half precision.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from autoprox.errors import AutoproxError, RunError
from autoprox.runtime.files import write_bytes
from autoprox.runtime.schema import Percent, check_keys, decoded
from autoprox.runtime.tensors import read_tensors, tensor_bytes
from autoprox.training.settings import TrainingSettings

T = TypeVar("T")

_KEY = "autoprox"
_NETWORK, _OPTIMISER = "network.", "optimiser."


@dataclass(frozen=True)
class Recorded:
    """What is read of the header of weights."""

    accuracy: Percent | None = None


@dataclass(frozen=True)
class Begun:
    """What the header of a checkpoint says.

    Attributes:
        settings: of the training.
        data: the digest of its images.
        history: loss and accuracy of each epoch that is over.
        distillation: what tells the teacher and its distances from others; None without one.
    """

    settings: TrainingSettings
    data: str
    history: list[dict[str, float]]
    distillation: dict[str, Any] | None = None


def write_weights(path: Path, weights: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Write tensors and facts about them, whole or not at all.

    Raises:
        RunError: the folder cannot be written.
    """
    write_bytes(path, tensor_bytes(weights, {_KEY: json.dumps(facts)}))


def read_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `write_weights` wrote.

    Raises:
        RunError: the file is missing, damaged, or not one of these.
    """
    return _read(path, dict[str, Any], sealed=False)  # what an earlier autoprox wrote has none


def recorded_accuracy(path: Path) -> float | None:
    """Return the accuracy in percent that stands with weights; None if there is none.

    Raises:
        RunError: the file is missing, damaged, or not one of these.
    """
    return _read(path, Recorded, sealed=False)[1].accuracy


def read_checkpoint(path: Path) -> tuple[dict[str, Tensor], Begun]:
    """Read what `write_checkpoint` wrote.

    Raises:
        RunError: the file is missing, damaged, or not one of these.
    """
    return _read(path, Begun, sealed=True)


def _read(path: Path, schema: type[T], sealed: bool) -> tuple[dict[str, Tensor], T]:
    """Read tensors, and the facts about them as a `schema`."""
    try:
        tensors, facts = read_tensors(path, sealed)
        if _KEY not in facts:
            raise AutoproxError(f"{path} is nothing that training wrote")
        if "checksum" not in facts:
            check_keys(facts[_KEY], f"{path}, its header,")
        return tensors, decoded(facts[_KEY].encode(), schema, f"{path}, its header,")
    except AutoproxError as error:
        raise RunError(str(error)) from None


def half(network: nn.Module) -> dict[str, Tensor]:
    """The state of a network with its floating-point numbers in half precision."""
    return {
        name: value.half() if value.is_floating_point() else value
        for name, value in network.state_dict().items()
    }


def write_checkpoint(
    path: Path, network: nn.Module, optimiser: Optimizer, facts: dict[str, Any]
) -> None:
    """Write all that a training needs to go on."""
    tensors = {f"{_NETWORK}{name}": value for name, value in network.state_dict().items()}
    for place, entries in optimiser.state_dict()["state"].items():
        for name, value in entries.items():
            tensors[f"{_OPTIMISER}{place}.{name}"] = value
    write_weights(path, tensors, facts)


def restore(tensors: dict[str, Tensor], network: nn.Module, optimiser: Optimizer) -> None:
    """Put the tensors of a checkpoint back where they were."""
    network.load_state_dict(
        {
            name.removeprefix(_NETWORK): value
            for name, value in tensors.items()
            if name.startswith(_NETWORK)
        }
    )
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    entries: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith(_OPTIMISER):
            place, entry = name.removeprefix(_OPTIMISER).split(".")
            like = parameters[int(place)]
            if value.shape == like.shape:  # in the memory format that it had
                value = torch.empty_like(like).copy_(value)
            entries.setdefault(int(place), {})[entry] = value
    optimiser.load_state_dict({**optimiser.state_dict(), "state": entries})

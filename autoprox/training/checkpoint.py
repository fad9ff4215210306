"""What a training leaves on disk: a safetensors file, with what it says in its header.

After each epoch that is all it needs to go on (weights, the optimiser's state, settings, history),
in the end the weights in half precision.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn
from torch.optim import Optimizer

from autoprox.errors import RunError
from autoprox.runtime.files import write_bytes

_KEY = "autoprox"
_NETWORK, _OPTIMISER = "network.", "optimiser."


def write_weights(path: Path, weights: dict[str, Tensor], facts: dict[str, Any]) -> None:
    """Write tensors and facts about them, whole or not at all.

    Raises:
        RunError: the folder cannot be written.
    """
    tensors = {name: value.detach().cpu().contiguous() for name, value in weights.items()}
    write_bytes(path, save(tensors, {_KEY: json.dumps(facts)}))


def read_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `write_weights` wrote.

    Raises:
        RunError: the file is missing, damaged, or not one of these.
    """
    try:
        with safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {})[_KEY])
            if not isinstance(facts, dict):
                raise ValueError(f"its facts are to be an object; got {type(facts).__name__}")
            return {name: file.get_tensor(name) for name in file.keys()}, facts
    except FileNotFoundError:
        raise RunError(f"there is nothing at {path}") from None
    except (SafetensorError, OSError, ValueError, KeyError, RecursionError) as error:
        raise RunError(f"{path} is damaged, or nothing that training wrote: {error}") from None


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
    parameters = [each for group in optimiser.param_groups for each in group["params"]]
    entries: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith(_OPTIMISER):
            place, entry = name.removeprefix(_OPTIMISER).split(".")
            like = parameters[int(place)]
            if value.shape == like.shape:  # in the memory format that it had
                value = torch.empty_like(like).copy_(value)
            entries.setdefault(int(place), {})[entry] = value
    optimiser.load_state_dict({**optimiser.state_dict(), "state": entries})

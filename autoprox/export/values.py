"""What a formula does with the layers of one network, in plain torch; copied into an export."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from autoprox.primitives.entries import Entries


def all_entries(x: Tensor) -> Entries:
    """The entries of a layer's tensor, ``(1, ...)``."""
    return Entries(torch.tensor([x.numel()], dtype=torch.float64))


def reduced(
    layers: Sequence[str], reduction: Callable[..., Tensor], *statistics: Mapping[str, Tensor]
) -> Tensor:
    """Each layer's tensors to the layer's number, ``(1, layers)``; 0 where one is missing."""
    numbers = torch.zeros(1, len(layers), dtype=torch.float64)
    for place, layer in enumerate(layers):
        if all(layer in each for each in statistics):
            numbers[:, place] = reduction(*(each[layer][None] for each in statistics)).double()
    return numbers


def in_a_row(layers: Sequence[str], numbers: Mapping[str, float]) -> Tensor:
    """The layers' numbers, ``(1, layers)``; 0 where one is missing."""
    return torch.tensor([[numbers.get(layer, 0.0) for layer in layers]], dtype=torch.float64)


def having(layers: Sequence[str], *statistics: Mapping[str, object]) -> Entries:
    """The layers of a network that show all of some statistics."""
    there = [all(layer in each for each in statistics) for layer in layers]
    return among(torch.tensor([there]))


def among(present: Tensor) -> Entries:
    """The layers of a network that are `present`, bool ``(1, layers)``."""
    return Entries(present.sum(1, dtype=torch.float64), present)


def selected(
    entries: Entries, selector: Callable[[Sequence[str], Tensor], Tensor], roles: Sequence[str]
) -> Entries:
    """Those of some layers that a selector keeps."""
    assert entries.present is not None  # they are layers
    position = torch.arange(len(roles), dtype=torch.float64) / max(len(roles) - 1, 1)
    return among(entries.present & selector(roles, position))


def finite(value: Tensor) -> float:
    """The score.

    Raises:
        ValueError: it is not finite.
    """
    score = float(value)
    if not math.isfinite(score):
        raise ValueError(f"the proxy has no score on this network: it gives {score}")
    return score

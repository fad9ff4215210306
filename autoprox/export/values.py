"""What a formula does with the layers of one network, in plain torch; copied into an export."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from autoprox.primitives.entries import Entries
from autoprox.statistics.measurement import Measurement


class Kind:
    """What the numbers of a statistic are entries of; never instantiated."""


def all_entries(*tensors: Tensor) -> Entries:
    """The entries of a layer's tensor, ``(1, ...)``; of spectra that meet, those of the longest."""
    return Entries(torch.tensor([max(x.numel() for x in tensors)], dtype=torch.float64))


def reduced(reduction: Callable[..., Tensor], *statistics: Sequence[Tensor | None]) -> Tensor:
    """Each layer's tensors to the layer's number, ``(1, layers)``; 0 where one is missing."""
    numbers = torch.zeros(1, len(statistics[0]), dtype=torch.float64)
    for place, tensors in enumerate(zip(*statistics, strict=True)):
        shown = [tensor[None] for tensor in tensors if tensor is not None]
        if len(shown) == len(tensors):
            numbers[:, place] = reduction(*shown).double()
    return numbers


def having(measured: Measurement, *names: str) -> Entries:
    """The layers of a network that show all of some statistics."""
    return among(torch.stack([measured.present[name] for name in names]).all(0)[None])


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

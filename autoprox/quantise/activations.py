"""Activations on a grid: affine, one scale and one zero point a tensor."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

ACTIVATION_BITS = 8
LEVELS = 2**ACTIVATION_BITS
SHARES = 80
"""How many shares of the range that was seen are tried as the range of the grid."""

ENTRIES = 2**16
"""How many entries of a tensor the search looks at, evenly spread."""


@dataclass(frozen=True, slots=True)
class Grid:
    """The 256 numbers ``scale * (0 - zero_point), …, scale * (255 - zero_point)``; 0 is one.

    Attributes:
        scale: the distance of neighbours.
        zero_point: the place of 0, from 0 to 255.
    """

    scale: float
    zero_point: int

    def nearest(self, tensor: Tensor) -> Tensor:
        """The nearest number of the grid for every entry, in a new tensor.

        Equals `torch.fake_quantize_per_tensor_affine`, which has no vectorised CPU kernel and
        takes several times as long.
        """
        low = -self.zero_point
        places = (tensor * (1 / self.scale)).round_().clamp_(low, low + LEVELS - 1)
        return places.mul_(self.scale)


def searched(tensor: Tensor) -> Grid:
    """The grid of least squared error among those that span a share of the range of `tensor`.

    Tried are ``k / 80`` of the range from the smallest to the largest entry (and 0), ``k`` from 1
    to 80; the widest wins a tie.
    """
    low, high = min(float(tensor.min()), 0.0), max(float(tensor.max()), 0.0)
    if low == high:
        return Grid(1.0, 0)
    flat = tensor.flatten()
    count = min(len(flat), ENTRIES)
    # In integers: floats of 32 bits cannot tell places above 2^24 apart.
    some = flat[torch.arange(count) * (len(flat) - 1) // max(1, count - 1)]
    tried = [_spanning(low * step / SHARES, high * step / SHARES) for step in range(SHARES, 0, -1)]
    return min(tried, key=lambda grid: float((some - grid.nearest(some)).square().sum()))


def _spanning(low: float, high: float) -> Grid:
    scale = (high - low) / (LEVELS - 1)
    return Grid(scale, round(-low / scale))

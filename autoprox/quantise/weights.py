"""Weights on a grid: symmetric, one scale a channel, searched without data.

With `b` bits a weight is ``scale * integer``, the integer between ``-2**(b - 1)`` and
``2**(b - 1) - 1``; with 1 bit it is ``+scale`` or ``-scale``. A channel is an entry of the first
dimension.
"""

from __future__ import annotations

import torch
from torch import Tensor

from autoprox.errors import QuantisationError

MAXIMUM_BITS = 16
SHARES = 80
"""How many shares of the largest weight of a channel are tried as the end of its grid."""


def checked_bits(bits: int) -> int:
    """Return `bits`.

    Raises:
        QuantisationError: it is no integer from 1 to 16.
    """
    if isinstance(bits, bool) or not isinstance(bits, int) or not 1 <= bits <= MAXIMUM_BITS:
        raise QuantisationError(f"bits are an integer from 1 to {MAXIMUM_BITS}; got {bits!r}")
    return bits


@torch.no_grad()
def quantised(weight: Tensor, bits: int) -> Tensor:
    """The nearest entries of the grid with the searched scales, of the shape of `weight`.

    >>> quantised(torch.tensor([[1.0, -0.5, 0.0]]), 2)
    tensor([[ 0.7500, -0.7500,  0.0000]])

    Raises:
        QuantisationError: `bits` is no integer from 1 to 16.
    """
    return on_grid(weight, scales(weight, bits), bits)


@torch.no_grad()
def scales(weight: Tensor, bits: int) -> Tensor:
    """The scale of each channel, ``(channels,)``: of those tried, that of least squared error.

    Tried are grids that end at ``k / 80`` of the channel's largest absolute weight, ``k`` from 1
    to 80; the widest wins a tie. With 1 bit the mean absolute weight is the best of all scales
    (Rastegari et al., XNOR-Net, ECCV 2016, eq. 6), so nothing is searched. A channel of zeros has
    scale 1.

    Raises:
        QuantisationError: `bits` is no integer from 1 to 16.
    """
    if checked_bits(bits) == 1:
        return _nonzero(weight.flatten(1).abs().mean(1))
    widest = widest_scales(weight, bits)
    best, least = widest, _squared_error(weight, widest, bits)
    for step in range(SHARES - 1, 0, -1):
        tried = widest * (step / SHARES)
        error = _squared_error(weight, tried, bits)
        better = error < least
        best, least = torch.where(better, tried, best), torch.where(better, error, least)
    return best


def widest_scales(weight: Tensor, bits: int) -> Tensor:
    """The scale of each channel, ``(channels,)``, at which no weight is clipped; 2 bits or more."""
    return _nonzero(weight.flatten(1).abs().amax(1) / (2 ** (bits - 1) - 1))


def on_grid(weight: Tensor, scale: Tensor, bits: int) -> Tensor:
    """The nearest entries, ``(channels, ...)``, of the grid with these scales, ``(channels,)``."""
    if bits == 1:
        ends = scale.reshape(-1, *[1] * (weight.ndim - 1)).expand_as(weight)
        return torch.where(weight < 0, -ends, ends)
    half = 2 ** (bits - 1)
    zeros = torch.zeros(len(weight), dtype=torch.int32, device=weight.device)
    nearest = torch.fake_quantize_per_channel_affine(  # torch has it in float32 alone
        weight.float(), scale.float(), zeros, 0, -half, half - 1
    )
    return nearest.to(weight.dtype)


def _nonzero(scale: Tensor) -> Tensor:
    return torch.where(scale > 0, scale, torch.ones_like(scale))


def _squared_error(weight: Tensor, scale: Tensor, bits: int) -> Tensor:
    return (weight - on_grid(weight, scale, bits)).square().flatten(1).sum(1)

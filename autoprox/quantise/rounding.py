"""Rounding that knows the inputs: the integers that change a layer's outputs least."""

from __future__ import annotations

import torch
from torch import Tensor

from autoprox.quantise.weights import checked_bits, on_grid, scales

SWEEPS = 20
"""The most passes over the inputs of a layer; most layers settle in fewer."""

DAMPING = 0.01
"""Share of the mean variance that is added to every input's, so that few images do not overfit."""

FINE_BITS = 9
"""From so many bits on rounding errors are far below those of 8-bit activations: the nearest is
taken."""


def fitted(weight: Tensor, covariance: Tensor, bits: int) -> Tensor:
    """Entries of a grid, of the shape of `weight`, that change the outputs little.

    Minimises, for each channel, the variance over the inputs of what the rounding changes, ``(w -
    s q) C (w - s q)^T`` with scale ``s``, integers ``q`` and covariance ``C``, by coordinate
    descent (Behdin et al., QuantEase, 2023, https://arxiv.org/abs/2309.01885): the nearest entries
    with the searched scale are the start, then in turn the best scale and, input after input, the
    best integer given all others. No step makes it worse.
    The mean of the change is left to the bias.

    Args:
        weight: ``(channels, inputs, ...)``.
        covariance: of the inputs of each group of channels, ``(groups, entries, entries)``, where
            `entries` is the number of weights of a channel.
        bits: from 1 to 16; above 8 the nearest entries are returned.

    Raises:
        QuantisationError: `bits` is no integer from 1 to 16.
    """
    if checked_bits(bits) == 1 or bits >= FINE_BITS:
        return on_grid(weight, scales(weight, bits), bits)
    scale = scales(weight, bits)
    groups, entries = covariance.shape[:2]
    rows = weight.reshape(groups, -1, entries)
    steps = scale.reshape(groups, -1, 1)
    integers = (on_grid(weight, scale, bits).reshape_as(rows) / steps).round()
    damped = _damped(covariance)
    for _ in range(SWEEPS):
        steps = _best_steps(rows, integers, damped, steps)
        before = integers
        integers = _swept(rows, integers, damped, steps, bits)
        if torch.equal(before, integers):
            break
    return (_best_steps(rows, integers, damped, steps) * integers).reshape_as(weight)


def _damped(covariance: Tensor) -> Tensor:
    variances = covariance.diagonal(dim1=1, dim2=2)
    extra = DAMPING * variances.mean(1) + torch.finfo(covariance.dtype).tiny
    return covariance + torch.diag_embed(extra[:, None].expand_as(variances))


def _best_steps(rows: Tensor, integers: Tensor, covariance: Tensor, steps: Tensor) -> Tensor:
    """The least-squares scale of each channel for its integers; the old one where none is > 0."""
    seen = integers @ covariance
    best = (seen * rows).sum(2, keepdim=True) / (seen * integers).sum(2, keepdim=True)
    return torch.where(best > 0, best, steps)  # 0 / 0 of a channel of zeros is no scale either


def _swept(rows: Tensor, integers: Tensor, covariance: Tensor, steps: Tensor, bits: int) -> Tensor:
    """Each integer in turn the best given all others; ``(groups, channels, entries)``."""
    half = 2 ** (bits - 1)
    integers, variances = integers.clone(), covariance.diagonal(dim1=1, dim2=2)
    slope = (rows - steps * integers) @ covariance
    for place in range(integers.shape[2]):
        old, variance = integers[:, :, place], variances[:, None, place]
        new = (old + slope[:, :, place] / (steps[:, :, 0] * variance)).round()
        new = new.clamp(-half, half - 1)
        moved = (new - old) * steps[:, :, 0]
        slope -= moved[:, :, None] * covariance[:, None, place]
        integers[:, :, place] = new
    return integers

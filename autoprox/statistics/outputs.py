"""What the numbers of a layer's output are: those of a sample, of a channel, of a sign."""

from __future__ import annotations

import torch
from torch import Tensor

from autoprox.errors import StatisticError
from autoprox.statistics.sampling import singular_values

CODES_AT_ONCE = 8192
"""Of how many entries the signs are compared at a time, so that they stay in the cache."""


def samples_first(
    output: Tensor, single: torch.Size, samples: int, stacked: bool = False
) -> Tensor:
    """View an output as ``(samples, ...)``.

    The dimension of the batch is the first one that grows with it, compared with the shape `single`
    on one sample. An output that does not depend on the batch is every sample's.

    Args:
        output: of a layer.
        single: its shape on one sample.
        samples: their number.
        stacked: whether the rows of a sample lie apart, ``(a0, b0, a1, b1)``, and not one after the
            other.

    Raises:
        StatisticError: the output has another shape than that of so many samples.
    """
    if samples > 1:
        grown = (d for d, size in enumerate(single) if output.shape[d] == size * samples)
        dim = next(grown, None) if output.ndim == len(single) else None
        if dim is None:
            if output.shape != single:
                raise StatisticError(
                    f"a layer's output has the shape {tuple(single)} on one sample and "
                    f"{tuple(output.shape)} on {samples}, so that it cannot be told apart by "
                    "sample; leave out what is measured on outputs for this network"
                )
            output = output if output.ndim and len(output) == 1 else output[None]
            return output.expand(samples, *output.shape[1:])
        output = output.movedim(dim, 0)
        if stacked:
            return output.reshape(-1, samples, *output.shape[1:]).transpose(0, 1)
    return output.reshape(samples, -1, *output.shape[1:]).squeeze(1)


def by_sample(output: Tensor, single: torch.Size, samples: int, stacked: bool = False) -> Tensor:
    """View an output as ``(samples, entries)``; see `samples_first`."""
    return samples_first(output, single, samples, stacked).reshape(samples, -1)


def channels_last(rows: Tensor, weight_dims: int) -> Tensor:
    """View `samples_first` as ``(samples, positions, channels)``; see `by_channel`."""
    if rows.ndim > 1:
        rows = rows.movedim(1 - weight_dims if weight_dims > 2 else -1, -1)
        return rows.reshape(len(rows), -1, rows.shape[-1])
    return rows[:, None, None]


def channel_spectrum(positions: Tensor) -> Tensor:
    """Eigenvalues of the correlations of channels, from ``(positions, channels)``, largest first.

    A channel that is constant correlates with nothing, not even itself, as in MeCo's code.
    """
    centred = positions.double() - positions.double().mean(0)
    length = centred.norm(dim=0)
    centred = centred / torch.where(length > 0, length, 1.0)
    values = torch.zeros(centred.shape[1], dtype=torch.float32)
    leading = singular_values(centred).square()
    values[: len(leading)] = leading
    return values


def by_channel(output: Tensor, weight_dims: int) -> Tensor:
    """View an output as ``(batch * positions, channels)``.

    The channels are the second dimension after a convolution, whose weight has more than two
    dimensions, and the last one elsewhere.
    """
    output = output.movedim(1, -1) if weight_dims > 2 else output
    return output.reshape(-1, output.shape[-1])


def agreement(values: Tensor) -> Tensor:
    """Count the entries above zero, or not, in both of two samples.

    NASWOT (Mellor et al., ICML 2021), eq. 2: ``bits - hamming distance``. From numbers, or whether
    they are above zero, ``(batch, entries)``, to float64 ``(batch, batch)``.
    """
    batch, entries = values.shape
    shared = torch.zeros(batch, batch, dtype=torch.float64, device=values.device)
    shape = batch, min(entries, CODES_AT_ONCE)
    ones = torch.empty(shape, dtype=torch.float32, device=values.device)
    for part in torch.split(values, CODES_AT_ONCE, 1):
        above = torch.gt(part, 0, out=ones[:, : part.shape[1]])
        shared += above @ above.T  # whole numbers, as all that follows
    counts = shared.diagonal()
    return entries - counts[:, None] - counts + 2 * shared

"""What layers show at full precision on calibration images: ranges, covariances, moments."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autoprox.quantise.activations import Grid, searched
from autoprox.quantise.layers import Module, watched

COVARIANCE_ROWS = 2**16
"""About how many input vectors of a layer its covariance is taken over: those of whole images, or
of whatever else the first axis counts, such as the windows or tokens of all images."""

TOGETHER = 8
"""Images whose outputs are looked at together: they stay in the cache of a core."""


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """Mean and standard deviation of each channel of an output, ``(channels,)``."""

    mean: Tensor
    deviation: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Observed:
    """What a layer shows at full precision.

    Attributes:
        grid: for its inputs.
        covariance: of its inputs on that grid, ``(groups, entries, entries)``, where `entries` is
            the number of weights of a channel.
        moments: of its outputs.
    """

    grid: Grid
    covariance: Tensor
    moments: Moments


@torch.no_grad()
def observed(network: nn.Module, images: Tensor) -> dict[str, Observed]:
    """What each layer of `network` shows on `images`, by name."""
    by_layer: dict[str, Observed] = {}

    def observe(name: str, layer: Module, inputs: Tensor, output: Tensor) -> None:
        grid = searched(inputs)
        vectors = output[0].numel() // len(layer.weight)
        some = grid.nearest(inputs[: max(1, COVARIANCE_ROWS // vectors)])
        by_layer[name] = Observed(grid, _covariance(layer, some), moments(layer, output))

    watched(network, images, observe)
    return by_layer


def moments(layer: Module, output: Tensor) -> Moments:
    """Mean and deviation of each channel of the output of `layer`."""
    channel = _channel_axis(layer, output.ndim)
    others = [axis for axis in range(output.ndim) if axis != channel]
    count = output.numel() // output.shape[channel]
    parts = torch.split(output, TOGETHER)
    # Many times as fast as torch.var_mean of the whole.
    mean = _total(part.float().sum(others, keepdim=True) for part in parts) / count
    variance = _total((part - mean).square_().sum(others) for part in parts) / count
    return Moments(mean.flatten(), variance.sqrt())


def _total(parts: Iterable[Tensor]) -> Tensor:
    return torch.stack(tuple(parts)).sum(0)


def along_channels(layer: Module, values: Tensor, ndim: int) -> Tensor:
    """One value a channel, ``(channels,)``, in a shape that fits the outputs of `layer`."""
    shape = [1] * ndim
    shape[_channel_axis(layer, ndim)] = -1
    return values.reshape(shape)


def _channel_axis(layer: Module, ndim: int) -> int:
    """Which axis of an output has the channels."""
    return ndim - 1 if isinstance(layer, nn.Linear) else 1


def _covariance(layer: Module, inputs: Tensor) -> Tensor:
    """The covariance of what the channels of `layer` read, ``(groups, entries, entries)``."""
    if isinstance(layer, nn.Linear):
        read = inputs.reshape(1, -1, inputs.shape[-1])
    else:
        read = _patches(layer, inputs)
    centred = read - read.mean(1, keepdim=True)
    return centred.mT @ centred / read.shape[1]


def _patches(layer: nn.Conv2d, inputs: Tensor) -> Tensor:
    """What each output of a convolution reads, ``(groups, outputs, entries)``."""
    mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
    padded = F.pad(inputs, layer._reversed_padding_repeated_twice, mode=mode)
    columns = F.unfold(padded, layer.kernel_size, dilation=layer.dilation, stride=layer.stride)
    grouped = columns.reshape(len(inputs), layer.groups, layer.weight[0].numel(), -1)
    return grouped.permute(1, 0, 3, 2).flatten(1, 2)

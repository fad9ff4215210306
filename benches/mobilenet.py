"""Networks of inverted residual blocks: NAS-Bench-Macro, and variants of MobileNetV2.

References:
    Sandler et al., MobileNetV2: Inverted Residuals and Linear Bottlenecks, CVPR 2018,
    https://arxiv.org/abs/1801.04381
    Su et al., Prioritized Architecture Sampling with Monto-Carlo Tree Search, CVPR 2021,
    https://arxiv.org/abs/2103.11922
"""

from __future__ import annotations

import math
import re

from torch import Tensor, nn

LAST = 1280
"""The channels of the last 1x1 convolution, as in MobileNetV2."""

STEM = 32
"""The channels of the first convolution."""


def convolution(
    width: int,
    wider: int,
    kernel: int = 1,
    stride: int = 1,
    groups: int = 1,
    activation: type[nn.Module] | None = None,
) -> nn.Sequential:
    """Convolution without bias, batch norm and, unless it is None, an activation."""
    conv = nn.Conv2d(width, wider, kernel, stride, padding=kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(wider), *([activation()] if activation else []))


class InvertedResidual(nn.Module):
    """A wide depthwise convolution between two 1x1 convolutions, the second without activation.

    ``(batch, width, side, side) -> (batch, wider, side / stride, side / stride)``. The input is
    added where it has the shape of the output. With an expansion of 1 the first 1x1 convolution is
    left out.
    """

    def __init__(
        self,
        width: int,
        wider: int,
        *,
        kernel: int,
        stride: int,
        expansion: int,
        activation: type[nn.Module],
    ) -> None:
        super().__init__()
        hidden = width * expansion
        first = [convolution(width, hidden, activation=activation)] if expansion > 1 else []
        self.body = nn.Sequential(
            *first,
            convolution(hidden, hidden, kernel, stride, hidden, activation),
            convolution(hidden, wider),
        )
        self.residual = stride == 1 and width == wider

    def forward(self, x: Tensor) -> Tensor:
        """Apply the body, and add the input if it fits."""
        branch: Tensor = self.body(x)
        return x + branch if self.residual else branch


class MobileNetwork(nn.Module):
    """Stem, blocks, a 1x1 convolution, the mean over the map and a linear layer."""

    def __init__(
        self,
        blocks: list[nn.Module],
        width: int,
        *,
        outputs: int,
        stem_stride: int,
        activation: type[nn.Module],
    ) -> None:
        """Put the blocks, which end with `width` channels, between stem and head."""
        super().__init__()
        self.stem = convolution(3, STEM, 3, stem_stride, activation=activation)
        self.blocks = nn.Sequential(*blocks)
        self.last = convolution(width, LAST, activation=activation)
        self.head = nn.Linear(LAST, outputs)

    def forward(self, images: Tensor) -> Tensor:
        """Return ``(batch, outputs)`` for ``(batch, 3, side, side)``."""
        x = self.last(self.blocks(self.stem(images)))
        return self.head(x.mean(dim=(2, 3)))  # type: ignore[no-any-return]


MACRO_STAGES = (2, 3, 3)
"""The blocks of each stage of NAS-Bench-Macro; the first doubles the channels, halves the map."""

MACRO_BLOCKS = {"1": (3, 3), "2": (6, 5)}
"""Expansion and kernel of the blocks; the digit 0 is the identity."""


def macro_network(arch: str, *, classes: int = 10) -> MobileNetwork:
    """The network of NAS-Bench-Macro whose blocks the eight digits of `arch` say."""
    blocks: list[nn.Module] = []
    width, digits = STEM, iter(arch)
    for count in MACRO_STAGES:
        for place in range(count):
            digit = next(digits)
            wider, stride = (width, 1) if place else (2 * width, 2)
            if digit != "0":
                expansion, kernel = MACRO_BLOCKS[digit]
                blocks.append(
                    InvertedResidual(
                        width,
                        wider,
                        kernel=kernel,
                        stride=stride,
                        expansion=expansion,
                        activation=nn.ReLU,
                    )
                )
            elif stride > 1:  # where an identity cannot be
                blocks.append(convolution(width, wider, stride=stride))
            width = wider
    return MobileNetwork(blocks, width, outputs=classes, stem_stride=1, activation=nn.ReLU)


STAGE = re.compile(r"(ds|ir)_r(\d+)_k(\d+)_s(\d+)(?:_e(\d+))?_c(\d+)")
"""A stage of a MobileNetV2: kind, repeats, kernel, stride, expansion and channels."""


def rounded(channels: float) -> int:
    """The nearest multiple of 8, but never less than nine tenths of `channels`."""
    whole = max(8, int(channels + 4) // 8 * 8)
    return whole + 8 if whole < 0.9 * channels else whole


def mobilenet_v2(
    stages: str, channel_multiplier: float, depth_multiplier: float, *, outputs: int
) -> MobileNetwork:
    """A MobileNetV2 of these stages.

    Args:
        stages: between spaces, such as ``ir_r2_k3_s2_e6_c24``; those of the kind ``ds`` have
            no expansion, and stay as they are.
        channel_multiplier: of the channels of the others, which are rounded to multiples of 8.
        depth_multiplier: of their repeats, which are rounded up.
        outputs: of the head.
    """
    blocks: list[nn.Module] = []
    width = STEM
    for kind, repeats, kernel, stride, expansion, channels in STAGE.findall(stages):
        count, wider = int(repeats), int(channels)
        if kind == "ir":
            count, wider = math.ceil(count * depth_multiplier), rounded(wider * channel_multiplier)
        for place in range(count):
            blocks.append(
                InvertedResidual(
                    width,
                    wider,
                    kernel=int(kernel),
                    stride=1 if place else int(stride),
                    expansion=int(expansion or 1),
                    activation=nn.ReLU6,
                )
            )
            width = wider
    return MobileNetwork(blocks, width, outputs=outputs, stem_stride=2, activation=nn.ReLU6)

"""Residual networks for 32-pixel images, with shortcuts that have no parameters.

References:
    He et al., Deep Residual Learning for Image Recognition, CVPR 2016, section 4.2,
    https://arxiv.org/abs/1512.03385
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

WIDTHS = (16, 32, 64)
"""The channels of the three stages; the side of the map halves from one to the next."""


class BasicBlock(nn.Module):
    """Two convolutions and a shortcut: ``(batch, width, …) -> (batch, wider, …)``.

    The shortcut is the paper's option A: every `stride`-th pixel, and zeros for the new channels,
    half of them before the old ones and half behind; or, if `projected`, its option B: a
    convolution of one pixel and its norm.
    """

    def __init__(self, width: int, wider: int, stride: int, *, projected: bool = False) -> None:
        super().__init__()
        self.stride = stride
        self.padding = (wider - width) // 2
        self.conv1 = nn.Conv2d(width, wider, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(wider)
        self.conv2 = nn.Conv2d(wider, wider, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(wider)
        self.shortcut = None
        if projected and (stride > 1 or self.padding):
            convolution = nn.Conv2d(width, wider, 1, stride, bias=False)
            self.shortcut = nn.Sequential(convolution, nn.BatchNorm2d(wider))

    def forward(self, x: Tensor) -> Tensor:
        """Add what the convolutions say to the shortcut."""
        branch = self.norm2(self.conv2(torch.relu(self.norm1(self.conv1(x)))))
        if self.shortcut is not None:
            x = self.shortcut(x)
        elif self.stride > 1 or self.padding:
            x = x[:, :, :: self.stride, :: self.stride]
            x = F.pad(x, (0, 0, 0, 0, self.padding, self.padding))
        return torch.relu(branch + x)


class ResNet(nn.Module):
    """A residual network of 6n + 2 layers, ``(batch, 3, side, side) -> (batch, classes)``.

    Its state has the order and the shapes of the published weights of these networks, under names
    of its own.

    Args:
        depth: the number of layers; or the blocks of each stage.
        classes: the number of logits.
        projected: whether shortcuts to other shapes have weights, see `BasicBlock`.
    """

    image_size: int | None = None
    """The side of the images that a teacher is shown; None for those of its students."""

    def __init__(
        self, depth: int | Sequence[int] = 20, *, classes: int = 10, projected: bool = False
    ) -> None:
        """Create stem, three stages of (depth - 2) / 6 blocks, and head."""
        super().__init__()
        self.conv = nn.Conv2d(3, WIDTHS[0], 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(WIDTHS[0])
        blocks, width = [], WIDTHS[0]
        depths = [(depth - 2) // 6] * 3 if isinstance(depth, int) else depth
        for wider, count in zip(WIDTHS, depths, strict=True):
            for _ in range(count):
                blocks.append(BasicBlock(width, wider, stride=wider // width, projected=projected))
                width = wider
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(width, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits of `images`."""
        x = self.blocks(torch.relu(self.norm(self.conv(images))))
        return self.head(x.mean(dim=(2, 3)))  # type: ignore[no-any-return]

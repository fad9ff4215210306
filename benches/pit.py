"""Networks of the PiT space: vision transformers in three stages, with pooling between them.

References:
    Heo et al., Rethinking Spatial Dimensions of Vision Transformers, ICCV 2021,
    https://arxiv.org/abs/2103.16302
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from autoprox.benches.transformer import EncoderBlock, linear, norm, table

PATCH = 16
STRIDE = 8


class Pooling(nn.Module):
    """Half the side and more channels, by a depthwise convolution; a linear layer for the token.

    ``(batch, 1 + side * side, width) -> (batch, 1 + half * half, wider)``, half = (side + 1) // 2.
    """

    def __init__(self, width: int, wider: int) -> None:
        """Create both layers; `wider` must be a multiple of `width`."""
        super().__init__()
        self.convolution = nn.Conv2d(width, wider, 3, stride=2, padding=1, groups=width)
        self.token = linear(width, wider)

    def forward(self, x: Tensor) -> Tensor:
        """Pool the map of the patch tokens."""
        side = int((x.shape[1] - 1) ** 0.5 + 0.5)
        patches = x[:, 1:].transpose(1, 2).reshape(len(x), -1, side, side)
        pooled = self.convolution(patches).flatten(2).transpose(1, 2)
        return torch.cat([self.token(x[:, :1]), pooled], dim=1)


class PiT(nn.Module):
    """A pooling-based vision transformer, ``(batch, 3, side, side) -> (batch, classes)``.

    Stage s has ``depth[s]`` blocks of width ``base_dim * num_heads[s]``. The head reads the class
    token after the final norm.
    """

    def __init__(
        self,
        base_dim: int,
        num_heads: Sequence[int],
        depth: Sequence[int],
        mlp_ratio: float,
        *,
        classes: int = 100,
        image_size: int = 224,
    ) -> None:
        """Create one stage for each entry of `num_heads` and `depth`."""
        super().__init__()
        widths = [base_dim * heads for heads in num_heads]
        side = (image_size - PATCH) // STRIDE + 1
        self.patch_embedding = nn.Conv2d(3, widths[0], PATCH, stride=STRIDE)
        self.class_token = table(1, 1, widths[0])
        self.positions = table(1, widths[0], side, side)
        self.stages = nn.ModuleList(
            nn.Sequential(*(EncoderBlock(width, heads, mlp_ratio) for _ in range(blocks)))
            for width, heads, blocks in zip(widths, num_heads, depth, strict=True)
        )
        self.poolings = nn.ModuleList(Pooling(width, wider) for width, wider in pairwise(widths))
        self.norm = norm(widths[-1])
        self.head = linear(widths[-1], classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits of `images`."""
        patches = self.patch_embedding(images) + self.positions
        token = self.class_token.expand(len(images), -1, -1)
        x = torch.cat([token, patches.flatten(2).transpose(1, 2)], dim=1)
        x = self.stages[0](x)
        for pooling, stage in zip(self.poolings, list(self.stages)[1:], strict=True):
            x = stage(pooling(x))
        return self.head(self.norm(x[:, 0]))  # type: ignore[no-any-return]

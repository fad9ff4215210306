"""A small vision transformer for 32-pixel images.

References:
    Dosovitskiy et al., An Image is Worth 16x16 Words, ICLR 2021, https://arxiv.org/abs/2010.11929
"""

from __future__ import annotations

from torch import Tensor, nn

from autoprox.benches.transformer import EncoderBlock, linear, norm, table

SIDE, PATCH = 32, 4
"""The sides of an image and of a patch: 64 tokens."""

WIDTH, HEADS, DEPTH, MLP_RATIO = 96, 3, 6, 2


class ViT(nn.Module):
    """Pre-norm blocks on patches, ``(batch, 3, 32, 32) -> (batch, classes)``.

    There is no class token: the head reads the mean of the tokens.
    """

    def __init__(self, *, classes: int = 10) -> None:
        super().__init__()
        self.embedding = nn.Conv2d(3, WIDTH, PATCH, PATCH)
        self.positions = table(1, (SIDE // PATCH) ** 2, WIDTH)
        self.blocks = nn.Sequential(*(EncoderBlock(WIDTH, HEADS, MLP_RATIO) for _ in range(DEPTH)))
        self.norm = norm(WIDTH)
        self.head = linear(WIDTH, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits of `images`."""
        x = self.embedding(images).flatten(2).transpose(1, 2) + self.positions
        return self.head(self.norm(self.blocks(x)).mean(dim=1))  # type: ignore[no-any-return]

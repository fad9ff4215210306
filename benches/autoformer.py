"""Networks of the AutoFormer spaces: a vision transformer whose blocks differ.

References:
    Chen et al., AutoFormer: Searching Transformers for Visual Recognition, ICCV 2021,
    https://arxiv.org/abs/2107.00651
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from autoprox.benches.transformer import EncoderBlock, SelfAttention, linear, norm, table

PATCH = 16


class AutoFormer(nn.Module):
    """A vision transformer, ``(batch, 3, image_size, image_size) -> (batch, classes)``.

    The number of heads and the MLP ratio are chosen block by block. The head reads the mean of the
    patch tokens after the final norm.
    """

    def __init__(
        self,
        hidden_dim: int,
        num_heads: Sequence[int],
        mlp_ratio: Sequence[float],
        *,
        classes: int = 100,
        image_size: int = 224,
        attention: Callable[[int, int], nn.Module] = SelfAttention,
    ) -> None:
        """Create one block for each entry of `num_heads` and `mlp_ratio`.

        `attention` makes what attends in a block, of its width and its number of heads.
        """
        super().__init__()
        patches = (image_size // PATCH) ** 2
        self.patch_embedding = nn.Conv2d(3, hidden_dim, PATCH, stride=PATCH)
        self.class_token = table(1, 1, hidden_dim)
        self.positions = table(1, patches + 1, hidden_dim)
        self.blocks = nn.Sequential(
            *(
                EncoderBlock(hidden_dim, *pair, attention)
                for pair in zip(num_heads, mlp_ratio, strict=True)
            )
        )
        self.norm = norm(hidden_dim)
        self.head = linear(hidden_dim, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits of `images`."""
        patches = self.patch_embedding(images).flatten(2).transpose(1, 2)
        token = self.class_token.expand(len(images), -1, -1)
        x = torch.cat([token, patches], dim=1) + self.positions
        x = self.norm(self.blocks(x))
        return self.head(x[:, 1:].mean(dim=1))  # type: ignore[no-any-return]

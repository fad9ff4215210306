"""Attention of AutoFormer as its authors search it: heads of 64, and relative positions.

References:
    Chen et al., AutoFormer: Searching Transformers for Visual Recognition, ICCV 2021,
    https://arxiv.org/abs/2107.00651
    Shaw et al., Self-Attention with Relative Position Representations, NAACL 2018,
    https://arxiv.org/abs/1803.02155
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from autoprox.benches.transformer import linear, table

HEAD = 64
"""The width of a head."""

FARTHEST = 14
"""Patches farther away than that, by row or by column, count as that far away."""


class RelativePositions(nn.Module):
    """A vector for each pair of tokens: one of their rows' distance, plus one of their columns'."""

    def __init__(self) -> None:
        """Create both tables; entry 0 is that of pairs with the class token."""
        super().__init__()
        self.rows = table(2 * FARTHEST + 2, HEAD)
        self.columns = table(2 * FARTHEST + 2, HEAD)

    def forward(self, side: int) -> Tensor:
        """Return ``(tokens, tokens, HEAD)`` for a class token and ``side * side`` patches."""
        places = torch.arange(side * side, device=self.rows.device)
        vectors = []
        for entries, along in ((self.rows, places // side), (self.columns, places % side)):
            distance = (along[None] - along[:, None]).clamp(-FARTHEST, FARTHEST)
            vectors.append(entries[nn.functional.pad(distance + FARTHEST + 1, (1, 0, 1, 0))])
        return vectors[0] + vectors[1]


class RelativeAttention(nn.Module):
    """Self-attention with relative positions, ``(batch, tokens, width)`` to the same shape."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = linear(width, 3 * HEAD * heads)
        self.projection = linear(HEAD * heads, width)
        self.key_positions, self.value_positions = RelativePositions(), RelativePositions()

    def forward(self, x: Tensor) -> Tensor:
        """Attend."""
        batch, tokens, _ = x.shape
        side = round((tokens - 1) ** 0.5)
        # (3, batch, heads, tokens, HEAD)
        qkv = self.qkv(x).view(batch, tokens, 3, self.heads, HEAD).permute(2, 0, 3, 1, 4)
        query, key, value = qkv.unbind()
        scores = query @ key.transpose(-2, -1)
        scores = scores + torch.einsum("bhqd,qkd->bhqk", query, self.key_positions(side))
        maps = (scores * HEAD**-0.5).softmax(dim=-1)
        x = maps @ value + torch.einsum("bhqk,qkd->bhqd", maps, self.value_positions(side))
        return self.projection(x.transpose(1, 2).reshape(batch, tokens, -1))  # type: ignore[no-any-return]

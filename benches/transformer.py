"""The parts that both vision-transformer spaces are made of.

Layers are created without their usual initialisation and drawn once: a network of ten million
parameters takes a tenth of a second.

References:
    Dosovitskiy et al., An Image is Worth 16x16 Words, ICLR 2021, https://arxiv.org/abs/2010.11929
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

STD = 0.02
"""The standard deviation of the initial weights.

The published code truncates at -2 and 2, a hundred standard deviations away: the plain normal
distribution is the same, is faster to draw, and does not change with torch's version.
"""


def linear(inputs: int, outputs: int) -> nn.Linear:
    """A linear layer with weights of standard deviation `STD` and zero biases."""
    layer = nn.Linear(inputs, outputs, device="meta").to_empty(device=torch.get_default_device())
    nn.init.normal_(layer.weight, std=STD)
    nn.init.zeros_(layer.bias)
    return layer


def norm(width: int) -> nn.LayerNorm:
    """A layer norm with the epsilon of vision transformers, 1e-6."""
    return nn.LayerNorm(width, eps=1e-6)


def table(*shape: int) -> nn.Parameter:
    """A learned table (class token, positions) of that shape."""
    return nn.Parameter(torch.empty(shape).normal_(std=STD))


class SelfAttention(nn.Module):
    """Multi-head self-attention, ``(batch, tokens, width) -> (batch, tokens, width)``.

    Queries, keys and values are `width` wide together whatever the number of heads, so the heads
    change no parameter count.
    """

    def __init__(self, width: int, heads: int) -> None:
        """Create the two layers; `heads` must divide `width`."""
        super().__init__()
        self.heads = heads
        self.qkv = linear(width, 3 * width)
        self.projection = linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Attend."""
        batch, tokens, width = x.shape
        # (3, batch, heads, tokens, width of a head)
        qkv = self.qkv(x).view(batch, tokens, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        x = F.scaled_dot_product_attention(qkv[0], qkv[1], qkv[2])
        return self.projection(x.transpose(1, 2).reshape(batch, tokens, width))  # type: ignore[no-any-return]


class Mlp(nn.Module):
    """Two linear layers with a GELU between them, ``(…, width) -> (…, width)``."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = linear(width, hidden)
        self.fc2 = linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the exact (not the tanh) GELU."""
        return self.fc2(F.gelu(self.fc1(x)))  # type: ignore[no-any-return]


class EncoderBlock(nn.Module):
    """A pre-norm transformer block, ``(batch, tokens, width) -> (batch, tokens, width)``."""

    def __init__(
        self,
        width: int,
        heads: int,
        mlp_ratio: float,
        attention: Callable[[int, int], nn.Module] = SelfAttention,
    ) -> None:
        """Create both halves; the hidden width of the MLP is ``int(width * mlp_ratio)``."""
        super().__init__()
        self.attention_norm = norm(width)
        self.attention = attention(width, heads)
        self.mlp_norm = norm(width)
        self.mlp = Mlp(width, int(width * mlp_ratio))

    def forward(self, x: Tensor) -> Tensor:
        """Add what attention and MLP say to the residual stream."""
        x = x + self.attention(self.attention_norm(x))
        return x + self.mlp(self.mlp_norm(x))  # type: ignore[no-any-return]

"""Maps of one dimension: what convolutions give, with the channels before the positions."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakTensorKeyDictionary

from autoprox.statistics.hooks import Intercepting

CONVOLUTIONS = frozenset({"conv1d", "conv_transpose1d"})
"""The functions that give ``(batch, channels, positions)``."""

ARRANGING = frozenset({
    "__get__", "__matmul__", "__rmatmul__", "_transformer_encoder_layer_fwd", "baddbmm", "bmm",
    "einsum", "flatten", "gru", "layer_norm", "linear", "lstm", "matmul", "moveaxis", "movedim",
    "multi_head_attention_forward", "permute", "reshape", "rms_norm", "rnn_relu", "rnn_tanh",
    "scaled_dot_product_attention", "swapaxes", "swapdims", "t", "tensordot", "transpose",
    "unflatten", "view", "view_as",
})  # fmt: skip
"""The functions that move dimensions, or take the last one for the channels."""


class ChannelsFirst(Intercepting):
    """Follows what convolutions of one dimension give while a network runs inside its context."""

    def __init__(self) -> None:
        """Know of nothing."""
        super().__init__()
        self._known: MutableMapping[Tensor, None] = WeakTensorKeyDictionary()

    def __contains__(self, tensor: Tensor) -> bool:
        """Say whether a tensor is known to be ``(batch, channels, positions)``."""
        return tensor in self._known

    def add(self, tensor: Tensor) -> None:
        """Let a tensor be known as one."""
        self._known[tensor] = None

    def run(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run a function, and know of what it gives what is known of what it takes."""
        result = func(*args, **kwargs)
        name = getattr(func, "__name__", "")
        if name in CONVOLUTIONS:
            shapes = [result.shape]
        elif not self._known or name in ARRANGING:
            return result
        else:
            taken = (leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor))
            shapes = [tensor.shape for tensor in taken if tensor in self._known]
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor) and any(_alike(tensor.shape, shape) for shape in shapes):
                self.add(tensor)
        return result


def _alike(one: torch.Size, other: torch.Size) -> bool:
    """Say whether two shapes are of as many samples, and of as many channels or positions."""
    if len(one) != len(other) or len(one) != 3:
        return False
    return one[0] == other[0] and (one[1] == other[1] or one[2] == other[2])

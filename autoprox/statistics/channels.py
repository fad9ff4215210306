"""Maps whose channels lie otherwise than most: first in one dimension, or last in two."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from typing import Any

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

MOVING = ARRANGING - {"layer_norm", "linear", "rms_norm"}
"""Those that move dimensions."""


class _Following(Intercepting):
    """Follows tensors of one layout while a network runs inside its context.

    Attributes:
        dims: of such tensors, of which the first is that of the samples.
        channels: the dimension of their channels.
        beginning: the functions that may give one, whatever is known of what they take.
        losing: those of whose results nothing is known by what they take.
    """

    dims: int
    channels: int
    beginning: frozenset[str]
    losing: frozenset[str]

    def __init__(self) -> None:
        """Know of nothing."""
        super().__init__()
        self._known: MutableMapping[Tensor, None] = WeakTensorKeyDictionary()

    def __contains__(self, tensor: Tensor) -> bool:
        """Say whether a tensor is known to lie so."""
        return tensor in self._known

    def add(self, tensor: Tensor) -> None:
        """Let a tensor be known to do so."""
        self._known[tensor] = None

    def begins(self, taken: list[Tensor], output: Tensor) -> bool:
        """Say whether one of the functions that are `beginning` gives a tensor that lies so."""
        raise NotImplementedError

    def run(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run a function, and know of what it gives what is known of what it takes."""
        result = func(*args, **kwargs)
        name = getattr(func, "__name__", "")
        begins, keeps = name in self.beginning, self._known and name not in self.losing
        if not begins and not keeps:
            return result
        taken = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        known = [tensor for tensor in taken if tensor in self._known] if keeps else []
        for output in tree_leaves(result):
            if isinstance(output, Tensor) and output.ndim == self.dims:
                kept = any(self._alike(output, tensor) for tensor in known)
                if kept or (begins and self.begins(taken, output)):
                    self.add(output)
        return result

    def _alike(self, one: Tensor, other: Tensor) -> bool:
        """Say whether two tensors are of as many samples, and of as many channels or positions."""
        pairs = enumerate(zip(one.shape, other.shape, strict=True))
        other_sizes = [dim for dim, (size, another) in pairs if size != another]
        return 0 not in other_sizes and (self.channels not in other_sizes or len(other_sizes) == 1)


class ChannelsFirst(_Following):
    """Follows ``(batch, channels, positions)``, which convolutions of one dimension give."""

    dims, channels, beginning, losing = 3, 1, CONVOLUTIONS, ARRANGING

    def begins(self, taken: list[Tensor], output: Tensor) -> bool:
        """Say so of whatever they give."""
        return True


class ChannelsLast(_Following):
    """Follows ``(batch, height, width, channels)``, which moving the channels makes of maps."""

    dims, channels, beginning, losing = 4, 3, MOVING, MOVING

    def begins(self, taken: list[Tensor], output: Tensor) -> bool:
        """Say whether it is a map, not known to lie so itself, with the channels at the end."""
        moved = [tensor.permute(0, 2, 3, 1) for tensor in taken
                 if tensor.ndim == 4 and tensor not in self]  # fmt: skip
        return (output.shape, output.stride()) in [
            (tensor.shape, tensor.stride()) for tensor in moved
        ]

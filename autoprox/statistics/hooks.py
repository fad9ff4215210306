"""The tensors that hooks of modules see."""

from __future__ import annotations

from torch import Tensor

from autoprox.statistics.wrapped import plain


def first_tensor(output: object) -> Tensor | None:
    """The tensor that a module returned, or the first one of a tuple or list."""
    if isinstance(output, (tuple, list)):
        output = next((part for part in output if isinstance(part, Tensor)), None)
    return plain(output) if isinstance(output, Tensor) else None

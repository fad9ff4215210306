"""The tensors behind those that `torch.func` wraps."""

from __future__ import annotations

import torch
from torch import Tensor

_functorch = torch._C._functorch


def plain(tensor: Tensor) -> Tensor:
    """Return the tensor behind one that is seen inside of `torch.func`; others as they are.

    Inside of `torch.vmap` a tensor looks like one of its rows; all of them are returned, the
    mapped dimension first, which is that of the samples where a network maps over these.
    """
    while _functorch.is_functorch_wrapped_tensor(tensor):
        dim = _functorch.maybe_get_bdim(tensor) if _functorch.is_batchedtensor(tensor) else 0
        tensor = _functorch.get_unwrapped(tensor)
        tensor = tensor.movedim(dim, 0) if dim > 0 else tensor
    return tensor

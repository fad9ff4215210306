"""A network in float64, whatever its forward makes, casts or holds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from autoprox.statistics.hooks import Intercepting
from autoprox.statistics.trees import mapped

_WIDER = {
    torch.float16: torch.float64,
    torch.bfloat16: torch.float64,
    torch.float32: torch.float64,
    torch.complex64: torch.complex128,
}


class InFloat64(Intercepting):
    """Runs the functions of torch that are called inside its context in float64.

    What they are given, and what they return, is widened: states that a forward makes of zeros,
    casts to a type of its own, tensors that are no buffers.
    """

    def __init__(self) -> None:
        """Begin with nothing that was widened."""
        super().__init__()
        self._wide: dict[int, tuple[Tensor, Tensor]] = {}

    def run(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run `func` on wide numbers, and return wide ones."""
        args, kwargs = mapped((args, kwargs), self._kept)
        return mapped(func(*args, **kwargs), _widened)

    def _kept(self, tensor: Tensor) -> Tensor:
        """Return the wide form of a tensor, the same each time: it may be written into."""
        if tensor.dtype in _WIDER and id(tensor) not in self._wide:
            self._wide[id(tensor)] = tensor, _widened(tensor)
        return self._wide.get(id(tensor), (tensor, tensor))[1]


def _widened(tensor: Tensor) -> Tensor:
    wider = _WIDER.get(tensor.dtype)
    return tensor if wider is None else tensor.to(wider)

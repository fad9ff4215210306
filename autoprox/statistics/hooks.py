"""What looks into a network that runs: functions of torch, intercepted, and the tensors seen."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

_functorch = torch._C._functorch


class Intercepting(TorchFunctionMode):
    """Runs `run` in place of every function of torch that is called inside its context."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # a torch function returns anything
        """Hand the call to `run`."""
        return self.run(func, args, dict(kwargs or {}))

    def run(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call `func`, looking at what it is given or returns."""
        raise NotImplementedError


class InterceptingOperations(TorchDispatchMode):  # type: ignore[no-untyped-call]  # as torch has it
    """Has its method called in place of every operation that runs inside its context."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Say that torch need not keep its compiler away, which it would load to do so."""
        return False


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


def first_tensor(output: object) -> Tensor | None:
    """The tensor that a module returned, or the first one of a tuple or list."""
    if isinstance(output, (tuple, list)):
        output = next((part for part in output if isinstance(part, Tensor)), None)
    return plain(output) if isinstance(output, Tensor) else None

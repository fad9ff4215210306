"""The functions and operations of torch, intercepted wherever a network calls them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode


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

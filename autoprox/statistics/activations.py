"""Activation functions, intercepted wherever a network calls them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from autoprox.statistics.hooks import Intercepting, plain

_NAMES = (
    "celu", "elu", "gelu", "hardswish", "hardtanh", "leaky_relu", "mish", "prelu", "relu", "relu6",
    "rrelu", "selu", "silu", "tanh",
)  # fmt: skip

ACTIVATIONS = frozenset(
    getattr(home, name + ending)
    for home in (F, torch, Tensor)
    for name in _NAMES
    for ending in ("", "_")
    if hasattr(home, name + ending)
)
"""The activation functions that keep the sign of their argument, in place or not.

So the code of NASWOT (which outputs are above 0) is that of the arguments. Sigmoid and softplus are
positive everywhere and have no code.
"""


class ActivationInputs(Intercepting):
    """Shows the arguments of the activation functions called inside its context."""

    def __init__(self, show: Callable[[Tensor], None]) -> None:
        """Call `show` before each activation, with its argument."""
        super().__init__()
        self.show = show

    def run(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Show the argument if `func` is an activation function, and run it."""
        if func in ACTIVATIONS:
            self.show(plain((args[0] if args else kwargs["input"]).detach()))
        return func(*args, **kwargs)

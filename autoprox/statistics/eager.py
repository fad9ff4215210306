"""Functions of torch that compile what they are given, or call cuDNN, run as they are written."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from autoprox.statistics.operations import Operations


def _branch(
    chosen: Tensor, first: Callable[..., Any], second: Callable[..., Any], operands: tuple[Any, ...]
) -> Any:
    """Run a branch of `torch.cond`."""
    return first(*operands) if chosen else second(*operands)


def _dense_attention(*args: Any) -> Any:
    """Compute `flex_attention` by products of matrices, as torch does where it does not compile."""
    from torch._higher_order_ops.flex_attention import math_attention

    return math_attention(*args)


class _WithoutCudnn:
    """Torch's functions, run without cuDNN, which gives recurrent layers no second derivative."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        function = getattr(torch._VF, name)

        def run(*args: Any) -> Any:
            cudnn: Any = torch.backends.cudnn
            before, cudnn.enabled = cudnn.enabled, False
            try:
                return function(*args)
            finally:
                cudnn.enabled = before

        return run


REPLACED: Mapping[str, Mapping[str, Any]] = {
    "torch._higher_order_ops.utils": {
        "_hop_compile_and_call": lambda function, args: function(*args)
    },
    "torch._higher_order_ops.cond": {"cond_op": _branch},
    "torch.nn.attention.flex_attention": {
        "flex_attention_hop": _dense_attention,
        "_validate_device": lambda *_: None,  # it refuses gradients on a CPU
        "_FLEX_ATTENTION_DISABLE_COMPILE_DEBUG": True,
    },
    "torch.nn.modules.rnn": {"_VF": _WithoutCudnn()},
}
"""Modules of torch, if they are imported, and what their names stand for meanwhile."""


@contextmanager
def counting() -> Iterator[Operations]:
    """Count the operations of what runs: products of matrices, also within attention, one by one.

    Otherwise torch runs attention, or a whole block of it, as one operation of its own.
    """
    from torch.backends import mha
    from torch.nn.attention import SDPBackend, sdpa_kernel

    from autoprox.statistics.operations import Operations

    operations, fast = Operations({}, {}, ()), mha.get_fastpath_enabled()
    mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH), as_written(), operations:
            yield operations
    finally:
        mha.set_fastpath_enabled(fast)


@contextmanager
def as_written() -> Iterator[None]:
    """Run `torch.cond`, `flex_attention` and recurrent layers operation by operation.

    What is compiled, or run by cuDNN, cannot be looked into, and has no second derivatives.
    """
    before: list[tuple[dict[str, Any], dict[str, Any]]] = []
    for module, names in REPLACED.items():
        known = vars(sys.modules[module]) if module in sys.modules else {}
        before.append((known, {name: known[name] for name in names if name in known}))
        known.update({name: names[name] for name in before[-1][1]})
    try:
        yield
    finally:
        for known, names in before:
            known.update(names)

"""Hooks of modules, put on for a time, and the tensors that they see."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from torch import Tensor
from torch.utils.hooks import RemovableHandle

from autoprox.statistics.wrapped import plain


@contextmanager
def hooked(handles: Callable[[list[RemovableHandle]], None]) -> Iterator[None]:
    """Remove on leaving what `handles` has put into the list that it is given."""
    held: list[RemovableHandle] = []
    try:
        handles(held)
        yield
    finally:
        for handle in held:
            handle.remove()


def first_tensor(output: object) -> Tensor | None:
    """The tensor that a module returned, or the first one of a tuple or list."""
    if isinstance(output, (tuple, list)):
        output = next((part for part in output if isinstance(part, Tensor)), None)
    return plain(output) if isinstance(output, Tensor) else None

"""Hooks of modules, put on for a time, and the tensors that they see."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from torch import Tensor
from torch.utils.hooks import RemovableHandle

from autoprox.statistics.wrapped import plain


@contextmanager
def hooked(handles: Iterable[RemovableHandle]) -> Iterator[None]:
    """Remove hooks on leaving; `handles` may put one on each time that it is asked for the next."""
    held: list[RemovableHandle] = []
    try:
        for handle in handles:
            held.append(handle)  # if the next one fails, this one is removed
        yield
    finally:
        for handle in held:
            handle.remove()


def first_tensor(output: object) -> Tensor | None:
    """The tensor that a module returned, or the first one of a tuple or list."""
    if isinstance(output, (tuple, list)):
        output = next((part for part in output if isinstance(part, Tensor)), None)
    return plain(output) if isinstance(output, Tensor) else None

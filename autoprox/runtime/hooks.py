"""Hooks of modules, put on for a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from torch.utils.hooks import RemovableHandle


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

"""How functions that take long say how far they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

Progress: TypeAlias = Callable[[str, int, int], None]
"""Is told what is done, how much of it is, and of how much."""


def silent(what: str, done: int, total: int) -> None:
    """Say nothing."""

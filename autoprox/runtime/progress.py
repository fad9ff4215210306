"""How functions that take long say how far they are."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TypeAlias

from autoprox.runtime.markup import tag

Progress: TypeAlias = Callable[[str, int, int], None]
"""A callback, ``(task, done, total)``; a total of 0 is not known."""


def silent(what: str, done: int, total: int) -> None:
    """Say nothing."""


UPDATE_SECONDS = 0.2
"""The least time between two pictures of a bar in a notebook."""


def notebook_bar() -> Progress | None:
    """Return what shows a bar below the cell of a notebook that runs; None anywhere else."""
    if "IPython" not in sys.modules:
        return None
    from IPython import get_ipython
    from IPython.display import HTML, display

    if getattr(get_ipython(), "kernel", None) is None:  # a terminal
        return None
    shown = display(HTML(""), display_id=True)
    last = float("-inf")

    def show(what: str, done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if done < total and now - last < UPDATE_SECONDS:
            return
        last = now
        bar = tag("progress", value=done, max=max(total, 1), style="width: 20em")
        shown.update(HTML(tag("div", bar, f" {what} {done:,}/{total:,}")))

    return show

"""A bench in a file that defines a word of its own: the tiny one, and a primitive."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from autoprox.benches import registry
from autoprox.primitives import PRIMITIVES
from tests import tiny_bench

NAME = "cubed_here"
OWN = f"sum(sum({NAME}(absolute(act))))"
"""A proxy with the word, the best of the first 20 of a search that begins with it."""

WORD = f"""
from autoprox import primitive


@primitive('elementwise', latex='{{0}}^3')
def {NAME}(x):
    \"\"\"Third power.\"\"\"
    return x * x * x
"""


@contextmanager
def own_words(path: Path) -> Iterator[str]:
    """Write the file and yield where; afterwards nobody has loaded it, and its word is unknown."""
    path.write_text(Path(tiny_bench.__file__).read_text() + WORD)
    try:
        yield str(path)
    finally:
        if NAME in PRIMITIVES:
            PRIMITIVES.unregister(NAME)
        for loaded, place in ((registry._MADE, 1), (registry._EXECUTED, 0)):
            for key in [key for key in loaded if key[place] == path.resolve()]:
                loaded.pop(key) if isinstance(loaded, dict) else loaded.remove(key)

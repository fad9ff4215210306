"""What holds of every reader, whatever it is given: see `read_or_refused`."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from autoprox.errors import AutoproxError

T = TypeVar("T")

SECONDS = 5
MEBIBYTES = 500
LETTERS = 2000

COUNTS: Counter[str] = Counter()
"""How many inputs were ``read`` and how many ``refused`` since somebody last looked."""

_STATUS, _REFERENCES = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def read_or_refused(read: Callable[..., T], *arguments: object) -> T | None:
    """Return what is read, or None where it is refused.

    A refusal is one sentence. Neither takes long, or much memory. Nothing else may be raised.
    """
    found, refusal = None, None
    resident, begun = _memory("VmRSS"), time.process_time()
    try:
        found = read(*arguments)
    except AutoproxError as error:
        refusal = str(error)
    assert time.process_time() - begun < SECONDS
    if resident is not None:
        assert (_memory("VmHWM") or 0) - resident < MEBIBYTES * 1024
    assert refusal is None or 0 < len(refusal) < LETTERS
    COUNTS["read" if refusal is None else "refused"] += 1
    return found


def _memory(name: str) -> int | None:
    """Return a figure of this process in KiB, or None where nobody knows; a peak is of now on."""
    try:
        if name == "VmRSS":
            _REFERENCES.write_text("5")
        return int(re.findall(rf"{name}:\s*(\d+)", _STATUS.read_text())[0])
    except (OSError, IndexError):
        return None

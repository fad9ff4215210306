"""Statistics: tensors that a network shows per layer, measured once and cached.

`STATISTICS` names them, `measure` measures them on any network, `Store` keeps them on disk. Names
and definitions need no torch; the other names are imported when they are first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from autoprox.statistics.measurement import ROLES, Measurement, Mode, Sample
from autoprox.statistics.words import (
    DEFAULT_SAMPLE,
    MICRO_BATCHES,
    STATISTICS,
    STATISTICS_VERSION,
    Statistic,
)

if TYPE_CHECKING:
    from autoprox.statistics.inputs import fingerprint, images, noise, token_noise
    from autoprox.statistics.measuring import measure
    from autoprox.statistics.own import statistic
    from autoprox.statistics.store import Store

_HOMES = {
    "Store": "store",
    "fingerprint": "inputs",
    "images": "inputs",
    "measure": "measuring",
    "noise": "inputs",
    "statistic": "own",
    "token_noise": "inputs",
}


def __getattr__(name: str) -> object:
    """Import `name` from its module on first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


__all__ = [
    "DEFAULT_SAMPLE",
    "MICRO_BATCHES",
    "ROLES",
    "STATISTICS",
    "STATISTICS_VERSION",
    "Measurement",
    "Mode",
    "Sample",
    "Statistic",
    "Store",
    "fingerprint",
    "images",
    "measure",
    "noise",
    "statistic",
    "token_noise",
]

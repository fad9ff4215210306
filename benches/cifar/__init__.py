"""Networks for CIFAR-10 that the project trains itself, and the data that they are trained on.

    >>> from autoprox.benches.cifar import NETWORKS
    >>> sorted(NETWORKS)
    ['mobilenetv2', 'resnet20', 'vit']
    >>> sum(parameter.numel() for parameter in NETWORKS["resnet20"]().parameters())
    269722

All of them take images normalised by `MEAN` and `DEVIATION`, as `normalised` gives them. The
constants need no torch; the other names are imported when they are first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from autoprox.benches.cifar.constants import CLASSES, DEVIATION, MEAN

if TYPE_CHECKING:
    from autoprox.benches.cifar.data import Labelled, cifar10, normalised
    from autoprox.benches.cifar.networks import NETWORKS, trained

_HOMES = {
    "NETWORKS": "networks",
    "Labelled": "data",
    "cifar10": "data",
    "normalised": "data",
    "trained": "networks",
}


def __getattr__(name: str) -> object:
    """Import `name` from its module on first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


__all__ = [
    "CLASSES",
    "DEVIATION",
    "MEAN",
    "NETWORKS",
    "Labelled",
    "cifar10",
    "normalised",
    "trained",
]

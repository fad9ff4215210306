"""Networks for CIFAR-10 that the project trains itself, and the data that they are trained on.

    >>> from autoprox.benches.cifar import NETWORKS
    >>> sorted(NETWORKS)
    ['mobilenetv2', 'resnet20', 'vit']
    >>> sum(parameter.numel() for parameter in NETWORKS["resnet20"]().parameters())
    269722

All of them take images normalised by `MEAN` and `DEVIATION`, as `normalised` gives them.
"""

from autoprox.benches.cifar.data import (
    CLASSES,
    DEVIATION,
    MEAN,
    Labelled,
    cifar10,
    normalised,
)
from autoprox.benches.cifar.networks import NETWORKS, trained

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

"""The networks by name, untrained and trained."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from autoprox.benches.cifar.mobilenet import MobileNetV2
from autoprox.benches.cifar.resnet import ResNet
from autoprox.benches.cifar.vit import ViT
from autoprox.errors import AutoproxError, BenchError, short
from autoprox.runtime.registry import Registry
from autoprox.runtime.tensors import read_tensors

NETWORKS: Registry[Callable[[], nn.Module]] = Registry("network")
"""Name to a function that builds the network, untrained: ``(batch, 3, 32, 32) -> (batch, 10)``."""

NETWORKS.register("resnet20", ResNet)
NETWORKS.register("mobilenetv2", MobileNetV2)
NETWORKS.register("vit", ViT)

SHIPPED = Path(__file__).parent.parent / "mq101"
"""Where the weights that ship are, NETWORK.safetensors each."""


def trained(name: str, path: str | Path | None = None) -> nn.Module:
    """The network of that name with trained weights, in float32 and in eval mode.

    Args:
        name: one of `NETWORKS`.
        path: a file that ``autoprox bench train`` wrote; the weights that ship unless given.

    Raises:
        UnknownNameError: no network has that name.
        BenchError: there are no such weights, they are another network's, or not finite.
    """
    build = NETWORKS[name]
    path = SHIPPED / f"{name}.safetensors" if path is None else Path(path)
    how = f"make them with: autoprox bench train {name} --data FILE"
    if not os.path.isfile(path):
        raise BenchError(f"no weights at {path}; {how}")
    try:
        weights, _ = read_tensors(path)
    except AutoproxError as error:
        raise BenchError(f"{error}; {how}") from None
    with torch.random.fork_rng(devices=[]):
        network = build()
    try:
        network.load_state_dict(weights)  # in float32, whatever the file has
    except RuntimeError as error:
        message = short(" ".join(str(error).split()))  # which lists every layer
        raise BenchError(f"{path} holds no weights of {name}: {message}; {how}") from None
    for name, value in network.state_dict().items():
        if not value.isfinite().all():
            raise BenchError(f"{path}: {name} has weights that are not finite; {how}")
    return network.eval()

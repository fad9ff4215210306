"""Batch norm taken into the convolution before it, where that changes nothing."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights
from torch.utils.hooks import RemovableHandle

from autoprox.quantise.running import evaluating
from autoprox.runtime.hooks import hooked

TOLERANCE = 1e-4
"""How much outputs may change, relative to the largest: rounding of float32."""


@torch.no_grad()
def folded(network: nn.Module, images: Tensor) -> nn.Module:
    """A copy of `network` in evaluation mode in which batch norms are part of convolutions.

    A batch norm that reads what a convolution returned becomes an `nn.Identity`. Grids with a scale
    a channel are the same before and after. Where the folded network computes something else, for
    example because a second reader of the convolution wants its bare output, nothing is folded; a
    module that runs at several places is left as it is. `images` show the order of the modules.
    """
    plain = copy.deepcopy(network).eval()
    together = copy.deepcopy(plain)
    for convolution, norm in _pairs(plain, images):
        _fold(together, convolution, norm)
    with evaluating(plain):
        expected, got = plain(images), together(images)
    same = (expected - got).abs().max() <= TOLERANCE * expected.abs().max()
    return together if same else plain


def _pairs(network: nn.Module, images: Tensor) -> list[tuple[str, str]]:
    """Names of the convolutions and of the batch norms that read their outputs, each run once."""
    returned: list[tuple[str, Tensor]] = []
    pairs: dict[str, str] = {}
    runs: Counter[str] = Counter()

    def after(name: str, output: Tensor) -> None:
        runs[name] += 1
        returned.append((name, output))

    def before(name: str, tensor: Tensor) -> None:
        runs[name] += 1
        for convolution, output in returned:
            if output is tensor:
                pairs[convolution] = name

    def hooks() -> Iterator[RemovableHandle]:
        for name, module in network.named_modules():
            if isinstance(module, nn.Conv2d):
                yield module.register_forward_hook(lambda _, __, out, name=name: after(name, out))
            elif isinstance(module, nn.BatchNorm2d) and module.track_running_stats:
                yield module.register_forward_pre_hook(
                    lambda _, args, name=name: before(name, args[0])
                )

    with hooked(hooks()):
        network(images)
    return [pair for pair in pairs.items() if all(runs[name] == 1 for name in pair)]


def _fold(network: nn.Module, convolution: str, norm: str) -> None:
    layer, batch_norm = network.get_submodule(convolution), network.get_submodule(norm)
    assert isinstance(layer, nn.Conv2d)
    assert isinstance(batch_norm, nn.BatchNorm2d)
    mean, variance = batch_norm.running_mean, batch_norm.running_var
    assert mean is not None
    assert variance is not None
    layer.weight, layer.bias = fuse_conv_bn_weights(
        layer.weight, layer.bias, mean, variance, batch_norm.eps, batch_norm.weight, batch_norm.bias
    )
    parent, _, child = norm.rpartition(".")
    setattr(network.get_submodule(parent), child, nn.Identity())

"""What a network's cost is a sum over: operations, bytes and counts for each kind of layer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

    from autoprox.statistics.trees import Inputs

Features = Mapping[str, float]

FLOAT_BYTES = 4


def features_of(network: nn.Module, inputs: Inputs) -> dict[str, float]:
    """Return for each kind of layer its multiply-adds, the bytes it moves, and how often it runs.

    Kinds are dense convolutions by kernel, grouped ones by kernel, linear layers, norms,
    activations and pools; a module that is none of these, and has no parts, is ``other``. Bytes are
    those of input, output and weights as 32-bit floats. ``one`` is 1.

    Args:
        network: any module; it runs once, in evaluation mode.
        inputs: one sample, see `autoprox.measure`.
    """
    import torch
    from torch import Tensor

    from autoprox.quantise.running import evaluating
    from autoprox.statistics.trees import arguments

    features: Counter[str] = Counter({"one": 1.0})

    def seen(module: nn.Module, args: tuple[Any, ...], result: Any) -> None:
        if not isinstance(result, Tensor):
            return
        kind, weight = kind_of(module), getattr(module, "weight", None)
        tensors = [value for value in (*args, result, weight) if isinstance(value, Tensor)]
        features[f"{kind} count"] += 1
        features[f"{kind} bytes"] += FLOAT_BYTES * sum(tensor.numel() for tensor in tensors)
        if isinstance(weight, Tensor) and weight.dim() > 1:
            places = result.numel() // result.shape[-1 if weight.dim() == 2 else 1]
            features[f"{kind} macs"] += weight.numel() * places

    leaves = [module for module in network.modules() if not any(module.children())]
    hooks = [module.register_forward_hook(seen) for module in leaves]
    positional, keywords = arguments(inputs)
    try:
        with evaluating(network), torch.no_grad():
            network(*positional, **keywords)
    finally:
        for hook in hooks:
            hook.remove()
    return dict(features)


def kind_of(module: nn.Module) -> str:
    """Return the kind of a module without parts."""
    from torch import nn
    from torch.nn.modules.batchnorm import _NormBase
    from torch.nn.modules.conv import _ConvNd
    from torch.nn.modules.pooling import _AdaptiveAvgPoolNd, _AvgPoolNd, _MaxPoolNd

    if isinstance(module, _ConvNd):
        size = "x".join(map(str, module.kernel_size))
        return f"convolution {size}{' grouped' if module.groups > 1 else ''}"
    if isinstance(module, nn.Linear):
        return "linear"
    if isinstance(module, (_NormBase, nn.LayerNorm, nn.GroupNorm)):
        return "norm"
    if isinstance(module, (_AvgPoolNd, _MaxPoolNd, _AdaptiveAvgPoolNd)):
        return "pool"
    if type(module).__module__ == "torch.nn.modules.activation":
        return "activation"
    return "other"


def nb201_features(name: str) -> dict[str, float]:
    """Return the counts of a cell's edges by operation.

    Those that no path leads on from to the output are counted apart, as ``unused``: a compiler
    leaves them out, where an interpreter of the network runs them.

    >>> {word: count for word, count in nb201_features("nb201/300103").items() if count}
    {'one': 1.0, 'none': 3.0, 'skip_connect': 1.0, 'nor_conv_3x3': 1.0, 'unused nor_conv_3x3': 1.0}
    """
    from autoprox.benches.cells import EDGES, OPERATIONS
    from autoprox.benches.nb201 import checked_cell

    cell = checked_cell(name.removeprefix("nb201/"))
    counts = {f"{use}{word}": 0.0 for use in ("", "unused ") for word in OPERATIONS}
    used = {3}
    for digit, (start, end) in reversed([*zip(cell, EDGES, strict=True)]):
        counts[("" if end in used else "unused ") + OPERATIONS[int(digit)]] += 1
        if end in used and digit != "0":
            used.add(start)
    return {"one": 1.0, **counts}


def fbnet_features(name: str) -> dict[str, float]:
    """Return 1 for each block's operation, of 22 blocks and nine operations."""
    blocks = enumerate(name.removeprefix("fbnet/"))
    return {"one": 1.0, **{f"block {place} operation {op}": 1.0 for place, op in blocks}}


OF_SPACES: Mapping[str, Callable[[str], dict[str, float]]] = {
    "nb201": nb201_features,
    "fbnet": fbnet_features,
}
"""What the architectures of some spaces are told apart by, from their names."""

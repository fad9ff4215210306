"""What a network's cost is a sum over: operations, bytes and counts for each kind of layer."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn
    from torch.utils.hooks import RemovableHandle

    from autoprox.statistics.operations import Operations
    from autoprox.statistics.trees import Inputs

Features = Mapping[str, float]

FLOAT_BYTES = 4


def features_of(network: nn.Module, inputs: Inputs) -> dict[str, float]:
    """Return for each kind of layer its multiply-adds, the bytes it moves, and how often it runs.

    Kinds are dense convolutions by kernel, grouped ones by kernel, linear layers, attention,
    recurrent layers, norms, activations and pools; a module that is none of these, and has no
    parts, is ``other``, and so are the multiply-adds of what runs outside of such modules.
    Multiply-adds are half of what the statistic `flops` counts. Bytes are those of inputs, outputs
    and weights as 32-bit floats. ``one`` is 1.

    Args:
        network: any module; it runs once, in evaluation mode.
        inputs: one sample, see `autoprox.measure`.
    """
    import torch

    from autoprox.quantise.running import evaluating
    from autoprox.runtime.hooks import hooked
    from autoprox.statistics.eager import counting
    from autoprox.statistics.trees import arguments

    positional, keywords = arguments(inputs)
    with evaluating(network), torch.no_grad(), counting() as operations:
        counted = _Counted(operations)
        with hooked(counted.hooks(network)):
            network(*positional, **keywords)
    counted.take()
    return dict(counted.features)


class _Counted:
    """What the layers of a network do while it runs, by hooks, beside a count of operations."""

    def __init__(self, operations: Operations) -> None:
        self.features = defaultdict[str, float](float, one=1.0)
        self._operations, self._taken = operations, 0
        self._kinds = ["other"]

    def hooks(self, network: nn.Module) -> Iterator[RemovableHandle]:
        """Put hooks on the modules without parts, and on attention, which runs none of its own."""
        from torch import nn

        for module in network.modules():
            if isinstance(module, nn.MultiheadAttention) or not any(module.children()):
                yield module.register_forward_pre_hook(self._enter)
                yield module.register_forward_hook(self._leave, with_kwargs=True)

    def take(self) -> None:
        """Give the operations since the last time to the kind that has run since."""
        operations = self._operations.total - self._taken
        if operations:
            self.features[f"{self._kinds[-1]} macs"] += operations / 2
        self._taken += operations

    def _enter(self, module: nn.Module, _: Any) -> None:
        self.take()
        self._kinds.append(kind_of(module))

    def _leave(self, module: nn.Module, args: Any, keywords: Any, result: Any) -> None:
        from autoprox.statistics.trees import tensors

        self.take()
        kind, results = self._kinds.pop(), tensors(result)
        if not results:
            return
        parts = (*module.named_parameters(), *module.named_buffers())
        weights = [part for name, part in parts if "weight" in name]
        moved = [*tensors((args, keywords)), *results, *weights]
        self.features[f"{kind} count"] += 1
        self.features[f"{kind} bytes"] += FLOAT_BYTES * sum(tensor.numel() for tensor in moved)


def kind_of(module: nn.Module) -> str:
    """Return the kind of a module without parts, or of attention."""
    from torch import nn
    from torch.nn.modules.batchnorm import _NormBase
    from torch.nn.modules.conv import _ConvNd
    from torch.nn.modules.pooling import _AdaptiveAvgPoolNd, _AvgPoolNd, _MaxPoolNd

    if isinstance(module, _ConvNd):
        size = "x".join(map(str, module.kernel_size))
        return f"convolution {size}{' grouped' if module.groups > 1 else ''}"
    if isinstance(module, nn.Linear):
        return "linear"
    if isinstance(module, nn.MultiheadAttention):
        return "attention"
    if isinstance(module, (nn.RNNBase, nn.RNNCellBase)):
        return "recurrent"
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

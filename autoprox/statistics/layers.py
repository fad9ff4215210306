"""Which parameters of a network are layers, and where their inputs and outputs are."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.utils._python_dispatch import is_traceable_wrapper_subclass

from autoprox.errors import StatisticError

WeightShape: TypeAlias = Literal[
    "matrix", "transposed matrix", "convolution", "transposed convolution", "bilinear"
]
"""The dimensions of a weight: ``(..., out, in)``, ``(..., in, out)``, ``(out, in / groups,
*kernel)``, ``(in, out / groups, *kernel)`` and ``(out, first in, second in)``."""

NORM = re.compile(r"norm(?!.*(linear|conv|embed|attention))", re.IGNORECASE)
"""Names of classes that normalise: their weights scale channels and are no layers."""

HOOKED = (("_g", "_v"), ("_orig",))
"""Ends of the names of the parameters that a weight is computed from by a hook: those of
`torch.nn.utils.weight_norm`, and of `spectral_norm` and `prune`."""

PACKED = frozenset({torch.int8, torch.uint8, torch.int16, torch.int32}) | {
    kind
    for name, kind in vars(torch).items()
    if isinstance(kind, torch.dtype) and name.startswith(("float4_", "float8_", "uint16", "uint32"))
}
"""The types of the numbers that quantised weights are packed in."""

PARAMETRISED = re.compile(r"parametrizations\.(\w+)\..*")
"""Names of the parameters that a parametrised weight is computed from."""


@dataclass(frozen=True, slots=True)
class Axes:
    """Where the inputs and outputs of a weight are.

    Attributes:
        arrangement: what its dimensions are.
        groups: into how many parts a convolution divides its channels.
        shape: the last two dimensions of a matrix that data are multiplied by, where the weight is
            stored in others; None where it is not.
    """

    arrangement: WeightShape
    groups: int = 1
    shape: tuple[int, int] | None = None

    @property
    def channels_last(self) -> bool:
        """Whether the channels are the last dimension of the output, or the second one."""
        return "convolution" not in self.arrangement

    def fans(self, shape: tuple[int, ...]) -> tuple[int, int]:
        """Inputs to one output entry, and output entries fed by one input, of a weight's shape.

        Those of a convolution are counted as if its stride were 1 and the image had no border.
        """
        kernel = prod(shape[2:])
        shape = self.shape or shape
        if self.arrangement == "matrix":
            return shape[-1], shape[-2]
        if self.arrangement == "transposed matrix":
            return shape[-2], shape[-1]
        if self.arrangement == "bilinear":
            return shape[1] * kernel, shape[0]
        if self.arrangement == "convolution":
            return shape[1] * kernel, shape[0] // self.groups * kernel
        return shape[0] // self.groups * kernel, shape[1] * kernel

    def matrix(self, weight: Tensor) -> Tensor:
        """View a tensor of the weight's shape as ``(out, rest)``."""
        weight = weight.reshape(-1, *self.shape) if self.shape else weight
        if self.arrangement == "matrix":
            return weight.flatten(0, -2)
        if self.arrangement == "transposed matrix":
            return weight.mT.flatten(0, -2)
        if self.arrangement == "transposed convolution":
            parts = weight.reshape(self.groups, -1, *weight.shape[1:]).transpose(1, 2)
            return parts.flatten(2).flatten(0, 1)
        return weight.flatten(1)


MATRIX = Axes("matrix")
TRANSPOSED = Axes("transposed matrix")


def layer_axes(module: nn.Module, name: str, parameter: Tensor) -> Axes | None:
    """Axes of a parameter by the type of the module that owns it; None if it is no layer's weight.

    Of a module of unknown type a parameter is taken for a matrix if its name in the module ends
    with "weight" and it has two dimensions or more that are longer than 1, unless the type is
    called a norm.
    """
    if not _may_be_weight(parameter):
        return None
    if isinstance(module, _ConvNd):
        transposed = isinstance(module, _ConvTransposeNd)
        arrangement: WeightShape = "transposed convolution" if transposed else "convolution"
        return Axes(arrangement, module.groups) if name == "weight" else None
    if isinstance(module, nn.Bilinear):
        return Axes("bilinear") if name == "weight" else None
    if isinstance(module, (nn.Embedding, nn.EmbeddingBag)) or _is_conv1d(module):
        return TRANSPOSED if name == "weight" else None
    if isinstance(module, (nn.RNNBase, nn.RNNCellBase)):
        return MATRIX if name.startswith("weight") else None
    if isinstance(module, (nn.Linear, nn.MultiheadAttention)):
        return MATRIX if name.endswith("weight") else None
    if NORM.search(type(module).__name__) or not name.endswith("weight"):
        return None
    if sum(size > 1 for size in parameter.shape) < 2:
        return None
    return Axes("convolution") if "conv" in type(module).__name__.lower() else MATRIX


def _may_be_weight(parameter: Tensor) -> bool:
    """Say whether a parameter is a real tensor of two dimensions or more, with entries."""
    real = parameter.is_floating_point() and parameter.numel() > 0
    return parameter.ndim > 1 and real and not may_be_packed(parameter)


def _is_conv1d(module: nn.Module) -> bool:
    """Say whether a module is the linear layer that transformers calls Conv1D."""
    return type(module).__name__ == "Conv1D" and hasattr(module, "nf")


def may_be_packed(tensor: Tensor) -> bool:
    """Say whether a parameter or buffer may be a quantised weight.

    That is one of integers, or of a class of its own that holds others. Numbers of places are int64
    or bool, and none of these.
    """
    packed = tensor.dtype in PACKED or tensor.is_quantized
    return tensor.ndim > 1 and (packed or is_traceable_wrapper_subclass(tensor))


def packed_tensors(network: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers that may be quantised weights, by name."""
    tensors = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    return {name: tensor for name, tensor in tensors.items() if may_be_packed(tensor)}


def packed_objects(network: nn.Module) -> list[str]:
    """Names of what modules hold of weights in a form of their own, as torch's quantised ones."""
    return [
        f"{prefix}.{key}" if prefix else key
        for prefix, module in network.named_modules()
        for key, value in vars(module).items()
        if isinstance(value, torch.ScriptObject)
    ]


def unregistered(network: nn.Module) -> list[str]:
    """Names of the attributes that hold parameters, or modules, that torch does not know of."""
    known = {id(parameter) for parameter in network.parameters()}
    return [
        f"{prefix}.{key}" if prefix else key
        for prefix, module in network.named_modules()
        for key, value in vars(module).items()
        if type(value) in (list, tuple, dict)
        for item in (value.values() if isinstance(value, dict) else value)
        if any(id(parameter) not in known for parameter in _parameters_in(item))
    ]


def _parameters_in(value: object) -> Iterable[Tensor]:
    if isinstance(value, nn.Module):
        return value.parameters()
    return [value] if isinstance(value, nn.Parameter) else ()


def hint_of_packed(names: Sequence[str]) -> str:
    """Return what to do about quantised weights of these names, to end a sentence with."""
    if not names:
        return ""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return (
        f"; its weights {', '.join(names[:3])}{more} are quantised, and neither measured nor "
        "differentiated: measure the network as it was before"
    )


def of_known_type(module: nn.Module) -> bool:
    """Say whether the type of a module says which of its parameters are weights."""
    known = (
        _ConvNd, nn.Bilinear, nn.Embedding, nn.EmbeddingBag, nn.RNNBase, nn.RNNCellBase,
        nn.Linear, nn.MultiheadAttention,
    )  # fmt: skip
    return isinstance(module, known) or _is_conv1d(module)


def static_axes(network: nn.Module) -> dict[str, Axes]:
    """Axes of the layers' weights, by the types of modules, in the order of registration."""
    axes, modules = {}, dict(network.named_modules())
    for name, parameter in network.named_parameters():
        owner, _, own_name = name.rpartition(".")
        own_axes = layer_axes(modules[owner], own_name, parameter)
        if own_axes is not None:
            axes[name] = own_axes
    return axes


def renormalised(network: nn.Module) -> set[str]:
    """Weights of embeddings that rescale rows when they look them up."""
    return {
        f"{name}.weight" if name else "weight"
        for name, module in network.named_modules()
        if getattr(module, "max_norm", None) is not None
    }


def used_axes(
    network: nn.Module, factors: Mapping[str, Axes], seen: frozenset[str]
) -> dict[str, Axes]:
    """Axes of the layers' weights, by types and by what the network computes with them.

    A parameter is a weight if data are multiplied by it as by a matrix, or looked up in it. So
    tables that are looked up by position, or added, are none, whatever holds them; and parameters
    of other names, or of a module of unknown type, are.

    Args:
        network: the network.
        factors: parameters that data were multiplied by, or looked up in.
        seen: parameters that took part in any operation.
    """
    axes, modules = static_axes(network), dict(network.named_modules())
    used = {}
    for name, parameter in network.named_parameters():
        module = modules[name.rpartition(".")[0]]
        known = of_known_type(module)
        certain = known and not isinstance(module, (nn.Embedding, nn.EmbeddingBag))
        if name in axes and (certain or name in factors or name not in seen):
            used[name] = axes[name] if known else factors.get(name, axes[name])
        elif name in factors and _may_be_weight(parameter):
            used[name] = factors[name]
    return used


def unseen(names: Iterable[str], layers: Iterable[str]) -> tuple[str, ...]:
    """Return the parameters of a network that are no layer, and that none is computed from.

    Args:
        names: of the network's parameters.
        layers: names of its layers, as its private copy has them: compiled modules are replaced
            there by what was compiled, and weights that are computed have their own names.

    >>> unseen(["a._orig_mod.weight_g", "a._orig_mod.weight_v", "a._orig_mod.bias"], ["a.weight"])
    ('a._orig_mod.bias',)
    """
    known = set(layers)
    ends = [end for group in HOOKED for end in group]

    def computed(name: str) -> set[str]:
        plain = PARAMETRISED.sub(r"\1", name.replace("_orig_mod.", ""))
        return {name, plain, *(plain.removesuffix(end) for end in ends)}

    return tuple(name for name in names if not computed(name) & known)


def more_parameters(original: nn.Module, network: nn.Module, owner: str) -> int:
    """How many parameters a module has more than its private copy, where weights are computed."""
    try:
        module = original.get_submodule(owner)
    except AttributeError:  # inside of what torch.compile returned, which computes no weights
        return 0
    count = sum(parameter.numel() for parameter in module.parameters(recurse=False))
    inner = module._modules.get("parametrizations")
    count += sum(parameter.numel() for parameter in inner.parameters()) if inner is not None else 0
    copied = network.get_submodule(owner)
    return count - sum(parameter.numel() for parameter in copied.parameters(recurse=False))


def made_before(network: nn.Module) -> Callable[[nn.Module, object, object], None]:
    """Return a hook that raises `StatisticError` if a pass has made parameters of a network."""
    known = {name for name, _ in network.named_parameters(remove_duplicate=False)}

    def check(network: nn.Module, _inputs: object, _output: object) -> None:
        added = [name for name, _ in network.named_parameters() if name not in known]
        if added:
            raise StatisticError(
                f"{type(network).__name__} has {', '.join(added[:3])} only once it has run; run it "
                "once before measuring it, or make its layers when you make the network"
            )

    return check

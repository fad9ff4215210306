"""The layers that can be quantised: which they are, in what order they run, what they cost."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from autoprox.errors import QuantisationError, UnknownNameError
from autoprox.quantise.activations import ACTIVATION_BITS
from autoprox.quantise.running import check_normalised, evaluating
from autoprox.quantise.weights import checked_bits
from autoprox.runtime.hooks import hooked

END_BITS = 8
"""Bits of the first and the last layer, and of layers that no bits are given for."""

Bits = int | Sequence[int] | Mapping[str, int]
"""One number for all layers but the first and the last, one for each layer in the order of
execution, or some by name."""

OTHER_BITS = 32
"""Bits of a parameter that is not quantised."""


@dataclass(frozen=True, slots=True)
class QuantisableLayer:
    """One layer that can be quantised.

    Attributes:
        name: of the module, an `nn.Conv2d` or an `nn.Linear`.
        weights: how many.
        macs: multiplications for one image.
    """

    name: str
    weights: int
    macs: int


@dataclass(frozen=True, slots=True)
class Costs:
    """What a network costs at any bits.

    Attributes:
        layers: in the order of execution.
        others: parameters that are not quantised: biases, norms, positions.
    """

    layers: tuple[QuantisableLayer, ...]
    others: int

    def size_bytes(self, bits: Bits) -> int:
        """Bytes of the parameters: weights at their bits, all others at 32.

        The scales (32 bits a channel) do not count, as usual.
        """
        pairs = zip(self.layers, bits_per_layer(self.layers, bits), strict=True)
        layer_bytes = sum(math.ceil(layer.weights * width / 8) for layer, width in pairs)
        return layer_bytes + self.others * OTHER_BITS // 8

    def bops(self, bits: Bits) -> int:
        """Bit operations for one image: multiplications times weight bits times activation bits.

        Those inside attention, of activations with activations, do not count.
        """
        pairs = zip(self.layers, bits_per_layer(self.layers, bits), strict=True)
        return sum(layer.macs * width * ACTIVATION_BITS for layer, width in pairs)


def bits_per_layer(layers: Sequence[QuantisableLayer], bits: Bits) -> tuple[int, ...]:
    """The bits of each layer.

    Args:
        layers: in the order of execution.
        bits: a number for all but the first and the last, which have 8; or one for every layer; or
            some by name, while the others have 8.

    Raises:
        QuantisationError: there are too few or too many, or one is no integer from 1 to 16.
        UnknownNameError: a name is no layer's.
    """
    names = [layer.name for layer in layers]
    if isinstance(bits, Mapping):
        for name in bits:
            if name not in names:
                raise UnknownNameError("layer", name, names)
        return tuple(checked_bits(bits.get(name, END_BITS)) for name in names)
    if not isinstance(bits, Sequence):
        inner = checked_bits(bits)
        ends = {0, len(names) - 1}
        return tuple(END_BITS if place in ends else inner for place in range(len(names)))
    if len(bits) != len(names):
        raise QuantisationError(
            f"the network has {len(names)} layers to quantise, from {names[0]!r} to "
            f"{names[-1]!r}; got bits for {len(bits)}"
        )
    return tuple(checked_bits(width) for width in bits)


def quantisable_layers(network: nn.Module, images: Tensor) -> tuple[str, ...]:
    """Names of the layers that can be quantised, in the order of execution.

    Raises:
        QuantisationError: there is none, or one runs more than once.
    """
    return tuple(layer.name for layer in costs(network, images).layers)


def costs(network: nn.Module, images: Tensor) -> Costs:
    """Which layers can be quantised, and what they cost.

    Args:
        network: left as it is.
        images: a batch to run it on; the first is enough.

    Raises:
        QuantisationError: no layer can be quantised, one runs more than once, has no weight of its
            own, or the images are of an integer type or none.
    """
    check_normalised(images)
    layers: list[QuantisableLayer] = []
    owners: dict[Tensor, str] = {}

    def note(name: str, module: Module, _: Tensor, output: Tensor) -> None:
        _check_weight(name, module, owners)
        # All of the output is of one image, whatever its first axis: a module may merge it.
        macs = output.numel() * module.weight[0].numel()
        layers.append(QuantisableLayer(name, module.weight.numel(), macs))

    with evaluating(network), torch.no_grad():
        watched(network, images[:1], note)
    total = sum(parameter.numel() for parameter in network.parameters())
    return Costs(tuple(layers), total - sum(layer.weights for layer in layers))


Module = nn.Conv2d | nn.Linear


def _check_weight(name: str, module: Module, owners: dict[Tensor, str]) -> None:
    """Refuse a weight that is computed from others, or that two layers share; note its owner."""
    if "weight" not in dict(module.named_parameters(recurse=False)):
        raise QuantisationError(
            f"the weight of layer {name!r} is computed from other parameters; make it a plain one "
            "first, as torch.nn.utils.parametrize.remove_parametrizations does"
        )
    if module.weight in owners:
        raise QuantisationError(
            f"layers {owners[module.weight]!r} and {name!r} share one weight, which cannot have "
            "two scales; give each layer a weight of its own"
        )
    owners[module.weight] = name


def watched(
    network: nn.Module, images: Tensor, see: Callable[[str, Module, Tensor, Tensor], None]
) -> None:
    """Run `network` and show the name, module, input and output of each layer when it has run.

    Args:
        network: its layers are `nn.Conv2d` and `nn.Linear` modules that the run calls.
        images: what it runs on.
        see: is shown the tensors themselves; a vector, such as one that all images share, as a row.

    Raises:
        QuantisationError: no layer ran, or one ran more than once.
    """
    seen: set[str] = set()

    def after(name: str, module: nn.Module, args: tuple[Tensor, ...], out: Tensor) -> None:
        assert isinstance(module, Module)
        if name in seen:
            raise QuantisationError(
                f"layer {name!r} runs more than once; a layer that is quantised has one input: use "
                "a module of its own at each place"
            )
        seen.add(name)
        see(name, module, _rows(args[0]), _rows(out))

    with hooked(
        module.register_forward_hook(
            lambda module, args, out, name=name: after(name, module, args, out)
        )
        for name, module in network.named_modules()
        if isinstance(module, Module)
    ):
        network(images)
    if not seen:
        raise QuantisationError(
            f"{type(network).__name__} runs no layer that can be quantised; expected nn.Conv2d or "
            "nn.Linear modules"
        )


def _rows(tensor: Tensor) -> Tensor:
    """The tensor itself; a vector as one row."""
    return tensor if tensor.ndim > 1 else tensor[None]

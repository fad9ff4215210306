"""What bits change in a layer, and how much the loss minds, in plain torch."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from autoprox.export.outputs import joined
from autoprox.export.running import (
    Subject,
    gradients_of,
    logits_of,
    loss_of,
    parts,
    state_of,
)
from autoprox.export.weights import Numbers, Tensors, flat
from autoprox.quantise.weights import checked_bits, quantised
from autoprox.statistics.curvature import Products, top, trace
from autoprox.statistics.outputs import samples_first
from autoprox.statistics.quantised import repeated
from autoprox.statistics.structure import owner_of


def measure_bits(
    subject: Subject, layers: Sequence[str], shapes: Mapping[str, torch.Size]
) -> Numbers:
    """Bits that the layer's weight is quantised to.

    Raises:
        ValueError: there are too few or too many, or one is no integer from 1 to 16.
    """
    modules, bits = dict(subject.network.named_modules()), subject.bits or ()
    having = [
        layer
        for layer in layers
        if owner_of(layer) in shapes
        and isinstance(modules[owner_of(layer)], (nn.Conv2d, nn.Linear))
    ]
    if len(bits) != len(having):
        raise ValueError(f"the network has {len(having)} layers with bits; got {len(bits)} bits")
    return {layer: float(checked_bits(each)) for layer, each in zip(having, bits, strict=True)}


def measure_quantised_weights(weights: Tensors, bits: Numbers) -> Tensors:
    """The weights on the grid of their bits."""
    return {layer: quantised(weights[layer], int(each)) for layer, each in bits.items()}


def measure_weight_error(weights: Tensors, quantised_weights: Tensors) -> Tensors:
    """The layer's weight minus its quantised self."""
    return flat({layer: weights[layer] - each for layer, each in quantised_weights.items()})


def measure_act_error(
    subject: Subject, shapes: Mapping[str, torch.Size], quantised_weights: Tensors
) -> Tensors:
    """By how much the layer's output changes, on its own input, with its quantised weight."""
    found = []
    for low, high in parts(subject):
        errors: Tensors = {}
        samples = high - low

        def see(
            layer: str,
            _: Tensor,
            error: Tensor,
            errors: Tensors = errors,
            samples: int = samples,
        ) -> None:
            owner = owner_of(layer)
            errors[owner] = samples_first(error.detach(), shapes[owner], samples).clone()

        with repeated(subject.network, quantised_weights, see):
            logits_of(subject, state_of(subject.network), low, high)
        found.append(errors)
    return flat(joined(subject, found))


def of_blocks(
    subject: Subject,
    layers: Sequence[str],
    name: str,
    number: Callable[[Products, Tensor, torch.Generator], float],
) -> Numbers:
    """A number of each layer's own block of the loss's Hessian."""
    with sdpa_kernel(SDPBackend.MATH):  # the one that can be differentiated twice
        loss, weights = loss_of(subject, 0, len(subject.inputs))
        first = gradients_of(loss, weights, twice=True)
    found = {}
    for place, layer in enumerate(layers):
        weight, grad = weights[layer], first[layer]

        def times(vector: Tensor, weight: Tensor = weight, grad: Tensor = grad) -> Tensor:
            dot = (grad * vector).sum()
            if not dot.requires_grad:
                return torch.zeros_like(weight)
            (product,) = torch.autograd.grad(
                dot, [weight], retain_graph=True, allow_unused=True, materialize_grads=True
            )
            return product

        generator = torch.Generator().manual_seed(zlib.crc32(f"0 {name} {place}".encode()))
        found[layer] = number(times, weight, generator)
    return found


def measure_hessian_trace(subject: Subject, layers: Sequence[str]) -> Numbers:
    """Trace of the loss's Hessian by the layer's weight."""
    return of_blocks(subject, layers, "hessian_trace", trace)


def measure_hessian_top(subject: Subject, layers: Sequence[str]) -> Numbers:
    """Largest eigenvalue, by its size, of the loss's Hessian by the layer's weight."""
    return of_blocks(subject, layers, "hessian_top", top)

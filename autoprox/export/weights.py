"""What the weights and their gradients show, in plain torch.

This module, `outputs`, `places` and `samples` hold what an export copies. ``measure_X`` gives the
statistic ``X``, layer to value; layers that do not show it are missing. Its parameters say what it
is measured from: the subject, or what the ``measure_`` function of that name gives.
"""

from __future__ import annotations

from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from autoprox.export.running import (
    Subject,
    added,
    gradients_of,
    loss_of,
    micro_batches,
    ones_gradients,
    parts,
    state_of,
)
from autoprox.statistics.passes import FLOW_LIMIT
from autoprox.statistics.sampling import singular_values
from autoprox.statistics.structure import credited_parameters
from autoprox.statistics.words import MICRO_BATCHES

Tensors: TypeAlias = dict[str, Tensor]
"""Layer to tensor."""

Numbers: TypeAlias = dict[str, float]
"""Layer to number."""


def kept(tensor: Tensor) -> Tensor:
    """A tensor as formulas take it: float32, on the CPU."""
    return tensor.detach().to("cpu", torch.float32)


def flat(tensors: Tensors) -> Tensors:
    """The entries of tensors."""
    return {layer: kept(tensor).flatten() for layer, tensor in tensors.items()}


def spectra(tensors: Tensors) -> Tensors:
    """Singular values of tensors as ``(first dimension, rest)`` matrices."""
    return {
        layer: singular_values(tensor.detach().flatten(1).cpu())
        for layer, tensor in tensors.items()
    }


def measure_weights(subject: Subject) -> Tensors:
    """The layers' weights."""
    state = state_of(subject.network)
    return {layer: state[layer] for layer in subject.layers}


def measure_weight(weights: Tensors) -> Tensors:
    """Entries of the layers' weights."""
    return flat(weights)


def measure_weight_spectrum(weights: Tensors) -> Tensors:
    """Singular values of the weights."""
    return spectra(weights)


def measure_params(subject: Subject) -> Numbers:
    """Parameters: the layer's own and those registered between it and the next layer."""
    counts = credited_parameters(subject.network, subject.layers)
    return dict(zip(subject.layers, counts.tolist(), strict=True))


def measure_fan_in(weights: Tensors) -> Numbers:
    """Inputs to one output entry."""
    return {layer: float(weight[0].numel()) for layer, weight in weights.items()}


def measure_fan_out(weights: Tensors) -> Numbers:
    """Output entries fed by one input."""
    return {layer: float(weight[:, 0].numel()) for layer, weight in weights.items()}


def measure_gradients(subject: Subject) -> Tensors:
    """Gradients of the batch's mean cross-entropy with respect to the weights."""
    total: Tensors = {}
    for low, high in parts(subject):
        loss, weights = loss_of(subject, low, high)
        share = (high - low) / len(subject.inputs)
        total = added(total, gradients_of(loss * share, weights))
    return total


def measure_grad(gradients: Tensors) -> Tensors:
    """Entries of the gradients."""
    return flat(gradients)


def measure_grad_spectrum(gradients: Tensors) -> Tensors:
    """Singular values of the gradients."""
    return spectra(gradients)


def measure_micro_gradients(subject: Subject) -> Tensors:
    """Gradients of the losses of four micro-batches, ``(4, entries)``.

    Raises:
        ValueError: there are fewer than four samples.
    """
    if len(subject.inputs) < MICRO_BATCHES:
        raise ValueError(f"this proxy needs {MICRO_BATCHES} samples or more, one a micro-batch")
    found = [
        flat(gradients_of(*loss_of(subject, low, high))) for low, high in micro_batches(subject)
    ]
    return {layer: torch.stack([each[layer] for each in found]) for layer in subject.layers}


def measure_grad_abs_mean(micro_gradients: Tensors) -> Tensors:
    """Mean over micro-batches of the absolute gradient."""
    return {layer: grads.abs().mean(0) for layer, grads in micro_gradients.items()}


def measure_grad_std(micro_gradients: Tensors) -> Tensors:
    """Standard deviation over micro-batches of the signed gradient."""
    return {layer: grads.std(0, correction=0) for layer, grads in micro_gradients.items()}


def measure_grad_abs_std(micro_gradients: Tensors) -> Tensors:
    """Standard deviation over micro-batches of the absolute gradient."""
    return {layer: grads.abs().std(0, correction=0) for layer, grads in micro_gradients.items()}


def measure_hessian_grad(subject: Subject, gradients: Tensors) -> Tensors:
    """The loss's Hessian times its gradient, over the weights of all layers."""
    total: Tensors = {}
    with sdpa_kernel(SDPBackend.MATH):  # the one that can be differentiated twice
        for low, high in parts(subject):
            loss, weights = loss_of(subject, low, high)
            share = (high - low) / len(subject.inputs)
            first = gradients_of(loss * share, weights, twice=True)
            dot = torch.stack([(first[layer] * gradients[layer]).sum() for layer in first]).sum()
            second = [torch.zeros_like(weight) for weight in weights.values()]
            if dot.requires_grad:
                second = list(
                    torch.autograd.grad(dot, list(weights.values()), materialize_grads=True)
                )
            total = added(total, dict(zip(weights, second, strict=True)))
    return flat(total)


def measure_flow(subject: Subject) -> Tensors:
    """SynFlow's gradients: of the summed outputs for absolute parameters and an input of ones."""
    return ones_gradients(subject, absolute=True)


def flow_type(flow: Tensors) -> torch.dtype:
    """Float32 if the flow fits; it grows by a factor a layer where nothing normalises it."""
    largest = max(float(grad.abs().max()) for grad in flow.values())
    return torch.float32 if 1 / FLOW_LIMIT < largest < FLOW_LIMIT else torch.float64


def measure_flow_grad(flow: Tensors) -> Tensors:
    """Entries of SynFlow's gradients."""
    dtype = flow_type(flow)
    return {layer: grad.flatten().to("cpu", dtype) for layer, grad in flow.items()}


def measure_flow_spectrum(flow: Tensors) -> Tensors:
    """Singular values of SynFlow's gradients, scaled lest their squares overflow."""
    dtype, found = flow_type(flow), {}
    for layer, grad in flow.items():
        scale = float(grad.abs().max()) or 1.0
        values = singular_values((grad / scale).flatten(1).cpu()).double() * scale
        found[layer] = values.to(dtype)
    return found


def measure_ones_grad(subject: Subject) -> Tensors:
    """Gradients of the summed outputs for an input of ones."""
    return flat(ones_gradients(subject, absolute=False))

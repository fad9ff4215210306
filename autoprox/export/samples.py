"""What tells the samples of a batch apart, in plain torch: a gradient for each of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from autoprox.export.running import Subject, coupled, gradients_of, logits_of, parts, state_of
from autoprox.export.weights import Tensors, flat, kept


def sample_gradients(
    subject: Subject, outcomes: Callable[[Tensor, int, int], Tensor]
) -> dict[str, Tensor]:
    """Gradients of one number a sample with respect to the weights, ``(batch, *weight)``.

    Args:
        subject: the network and the batch.
        outcomes: logits, and their first and last + 1 sample, to a number a sample.
    """
    found = []
    for low, high in together(subject):
        state = state_of(subject.network, subject.layers)
        weights = {layer: state[layer] for layer in subject.layers}
        logits = logits_of(subject, state, low, high)
        found += [gradients_of(each, weights, again=True) for each in outcomes(logits, low, high)]
    return {layer: torch.stack([each[layer] for each in found]) for layer in subject.layers}


def together(subject: Subject) -> list[tuple[int, int]]:
    """First and last + 1 sample of what runs together: each alone, unless they are coupled."""
    batch = len(subject.inputs)
    return [(0, batch)] if coupled(subject) else [(low, low + 1) for low in range(batch)]


def gram(gradients: Tensors) -> Tensor:
    """Inner products of the samples' gradients by all weights, float64 ``(batch, batch)``."""
    rows = torch.cat([each.flatten(1).double() for each in gradients.values()], dim=1)
    return rows @ rows.T


def eigenvalues(matrix: Tensor) -> Tensor:
    """Eigenvalues of a matrix that has no negative ones, largest first."""
    values: Tensor = torch.linalg.eigvalsh(matrix.cpu())
    return kept(values.clamp(min=0).flip(0))


def measure_loss_gradients(subject: Subject) -> Tensors:
    """Gradients of each sample's loss, ``(batch, *weight)``."""
    targets = subject.targets
    if targets is None:
        raise ValueError("this proxy needs targets: the classes of the inputs, int64 (batch,)")

    def losses(logits: Tensor, low: int, high: int) -> Tensor:
        return F.cross_entropy(logits, targets[low:high], reduction="none")

    return sample_gradients(subject, losses)


def measure_grad_sign(loss_gradients: Tensors) -> Tensors:
    """Sum over the samples of the signs of their loss's gradient."""
    return flat({layer: grads.sign().sum(0) for layer, grads in loss_gradients.items()})


def measure_grad_gram(loss_gradients: Tensors, layers: Sequence[str]) -> Tensors:
    """Inner products of the samples' gradients of their loss by all weights."""
    return {layers[0]: kept(gram(loss_gradients))}


def measure_kernel(subject: Subject) -> Tensor:
    """Inner products of the samples' gradients of their summed logits by all weights."""
    return gram(sample_gradients(subject, lambda logits, _low, _high: logits.sum(1)))


def measure_ntk(kernel: Tensor, layers: Sequence[str]) -> Tensors:
    """The kernel, on the first layer only."""
    return {layers[0]: kept(kernel)}


def measure_ntk_spectrum(kernel: Tensor, layers: Sequence[str]) -> Tensors:
    """Eigenvalues of the kernel, on the first layer only."""
    return {layers[0]: eigenvalues(kernel)}


def measure_jacobian(subject: Subject) -> Tensor:
    """Gradients of the samples' summed logits by the input, ``(batch, entries)``."""
    rows = []
    for low, high in parts(subject):
        inputs = subject.inputs.detach().clone().requires_grad_()
        part = replace(subject, inputs=inputs, targets=None)
        logits = logits_of(part, state_of(subject.network), low, high)
        rows.append(torch.autograd.grad(logits.sum(), inputs)[0][low:high].flatten(1).float())
    return torch.cat(rows)


def measure_jacobian_gram(jacobian: Tensor, layers: Sequence[str]) -> Tensors:
    """Inner products of the samples' input gradients."""
    return {layers[0]: kept(jacobian @ jacobian.T)}


def measure_correlation(jacobian: Tensor) -> Tensor:
    """Pearson correlations of the samples' input gradients, float64 ``(batch, batch)``."""
    centred = jacobian.double() - jacobian.double().mean(1, keepdim=True)
    centred = centred / centred.norm(dim=1, keepdim=True)
    correlation: Tensor = centred @ centred.T
    return correlation


def measure_jacobian_correlation(correlation: Tensor, layers: Sequence[str]) -> Tensors:
    """The correlations, on the first layer only."""
    return {layers[0]: kept(correlation)}


def measure_jacobian_spectrum(correlation: Tensor, layers: Sequence[str]) -> Tensors:
    """Eigenvalues of the correlations, on the first layer only."""
    return {layers[0]: eigenvalues(correlation)}

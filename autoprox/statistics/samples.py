"""The passes that tell the samples of a batch apart: a gradient for each of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from autoprox.errors import StatisticError
from autoprox.statistics.outcomes import loss_of
from autoprox.statistics.passes import Passes
from autoprox.statistics.private import placed
from autoprox.statistics.sampling import spread
from autoprox.statistics.subject import Subject, check_heard, explained, gradients
from autoprox.statistics.trees import holds_lists, mapped, rows, tensors, told

HELD_BYTES = 2**30
"""The most memory that the gradients of all samples may take at once."""


def measure_losses(passes: Passes) -> None:
    """Measure the gradients of the samples' losses: `grad_sign` and `grad_gram`.

    Where batch norm couples the samples they run together, as one batch, and the gradient is that
    of a sample's loss within the batch; elsewhere each runs alone.
    """
    subject = passes.subject

    def losses(output: Any, low: int, high: int) -> list[Tensor]:
        return [
            loss_of(subject, rows(output, slice(at - low, at - low + 1)), at, at + 1)
            for at in range(low, high)
        ]

    layers = dict(enumerate(layer for layer, _ in passes.places()))
    gram = torch.zeros(subject.batch, subject.batch, dtype=torch.float64)
    heard = []
    for place, grads in _by_weight(subject, losses):
        heard += [subject.names[place]] if grads.any() else []
        gram += _products(grads)
        if "grad_sign" in passes.asked:
            layer, signs = layers[place], grads.sign().sum(0)
            picked = passes.picker.weight(signs, layer)
            passes.findings.put("grad_sign", layer, picked, signs.numel())
    check_heard(subject, heard)
    if "grad_gram" in passes.asked:
        passes.findings.put("grad_gram", 0, gram, gram.numel())


def measure_logits(passes: Passes) -> None:
    """Measure the gradients of the samples' summed logits: `ntk` and `ntk_spectrum`."""
    subject = passes.subject
    gram = torch.zeros(subject.batch, subject.batch, dtype=torch.float64)

    def sums(output: Any, low: int, high: int) -> list[Tensor]:
        return list(subject.logits(output, high - low).reshape(high - low, -1).sum(1))

    for _, grads in _by_weight(subject, sums):
        gram += _products(grads)
    if "ntk" in passes.asked:
        passes.findings.put("ntk", 0, gram, gram.numel())
    if "ntk_spectrum" in passes.asked:
        _eigenvalues(passes, "ntk_spectrum", gram)


def measure_jacobian(passes: Passes) -> None:
    """Measure the gradients of the summed logits by the input, and how they relate.

    Raises:
        StatisticError: the inputs are not floating point, the logits do not depend on them, or a
            gradient is constant, so that it correlates with nothing.
    """
    asked = sorted(name for name in passes.asked if name.startswith("jacobian_"))
    jacobian = _jacobian(passes.subject, asked[0])
    if "jacobian_gram" in asked:
        matrix = jacobian @ jacobian.T
        passes.findings.put("jacobian_gram", 0, matrix, matrix.numel())
    if asked == ["jacobian_gram"]:
        return
    centred = jacobian.double() - jacobian.double().mean(1, keepdim=True)
    length = centred.norm(dim=1, keepdim=True)
    if (length == 0).any():
        constant = int((length[:, 0] == 0).nonzero()[0])
        raise StatisticError(
            f"{asked[-1]!r} cannot be measured: the gradient by input number {constant} is the "
            "same in all its entries, and correlates with nothing; leave it out for this network"
        )
    correlation = (centred / length) @ (centred / length).T
    if "jacobian_correlation" in asked:
        passes.findings.put("jacobian_correlation", 0, correlation, correlation.numel())
    if "jacobian_spectrum" in asked:
        _eigenvalues(passes, "jacobian_spectrum", correlation)


def _by_weight(
    subject: Subject, outcomes: Callable[[Any, int, int], list[Tensor]]
) -> Iterator[tuple[int, Tensor]]:
    """Yield each layer's place among `subject.names` and its gradients, ``(batch, *weight)``.

    The layers are taken in groups whose gradients fit in `HELD_BYTES`, each with forward passes of
    its own. `outcomes` takes what the network returns for the samples `low` to `high`, and these
    two numbers, to one number a sample.
    """
    for group in _groups(subject):
        names = tuple(subject.names[place] for place in group)
        grads: list[list[Tensor]] = [[] for _ in names]
        for low, high in _together(subject):
            state = subject.leaves()
            output = subject.forward(subject.part(low, high), state, low)
            for outcome in outcomes(output, low, high):
                of_sample = gradients(subject, outcome, state, names=names, again=high - low > 1)
                for of_layer, grad in zip(grads, of_sample, strict=True):
                    of_layer.append(grad)
        for place in group:
            yield place, torch.stack(grads.pop(0))


def _together(subject: Subject) -> list[tuple[int, int]]:
    """First and last + 1 sample of what runs together: each alone, unless they are coupled.

    The gradient of one sample's outcome goes back through all that ran with it.
    """
    if subject.coupled:
        return [(0, subject.batch)]
    return [(low, low + 1) for low in range(subject.batch)]


def _groups(subject: Subject) -> list[list[int]]:
    """Places of the layers, together as long as the gradients of all samples fit in memory."""
    state, held = subject.state(), 0
    groups: list[list[int]] = [[]]
    for place, name in enumerate(subject.names):
        size = subject.batch * state[name].numel() * state[name].element_size()
        if groups[-1] and held + size > HELD_BYTES:
            groups.append([])
            held = 0
        groups[-1].append(place)
        held += size
    return groups


def _products(grads: Tensor) -> Tensor:
    """Inner products of the samples' ``(batch, ...)``, float64 ``(batch, batch)`` on the CPU."""
    flat = grads.flatten(1).double()
    return (flat @ flat.T).cpu()


def _eigenvalues(passes: Passes, name: str, matrix: Tensor) -> None:
    """Note the eigenvalues of a matrix that has no negative ones, on the first layer."""
    values: Tensor = torch.linalg.eigvalsh(matrix.cpu()).clamp(min=0).flip(0)
    passes.findings.put(name, 0, spread(values, passes.picker.sample), len(values))


def _jacobian(subject: Subject, name: str) -> Tensor:
    """Gradients of the summed logits by all floating-point inputs, ``(batch, entries)`` float32."""
    if holds_lists(subject.inputs):
        raise StatisticError(
            f"{name!r} compares the entries of samples, and a list of samples may have samples of "
            "different sizes; pass one tensor, or leave it out"
        )
    if not any(tensor.is_floating_point() for tensor in tensors(subject.inputs)):
        raise StatisticError(
            f"{name!r} needs floating-point inputs to differentiate by; got "
            f"{told(subject.inputs)}; leave it out for this network"
        )
    jacobians: list[Tensor] = []
    for low, high in subject.parts():
        part = mapped(subject.part(low, high), _differentiable)
        inputs = [tensor for tensor in tensors(part) if tensor.requires_grad]
        state = subject.state()
        logits = subject.logits(subject.forward(part, state, low), high - low)
        grads: tuple[Tensor | None, ...] = (None,) * len(inputs)
        if logits.requires_grad:
            with (
                placed(subject.network, state, subject.mode),
                explained(subject.inputs, backward=True),
            ):
                grads = torch.autograd.grad(logits.sum(), inputs, allow_unused=True)
        if all(grad is None for grad in grads):
            raise StatisticError(
                f"the logits do not depend on the inputs differentiably, so {name!r} cannot be "
                "measured; leave it out for this network"
            )
        flat = [
            (torch.zeros_like(tensor) if grad is None else grad).reshape(high - low, -1).float()
            for tensor, grad in zip(inputs, grads, strict=True)
        ]
        jacobians.append(torch.cat(flat, 1))
    return torch.cat(jacobians)


def _differentiable(tensor: Tensor) -> Tensor:
    return tensor.detach().clone().requires_grad_() if tensor.is_floating_point() else tensor

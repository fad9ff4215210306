"""The passes that tell the samples of a batch apart: a gradient for each of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from autoprox.errors import StatisticError
from autoprox.statistics.passes import Passes, Subject, explained, gradients, loss_of
from autoprox.statistics.private import placed
from autoprox.statistics.sampling import spread

HELD_BYTES = 2**30
"""The most memory that the gradients of all samples may take at once."""


def measure_losses(passes: Passes) -> None:
    """Measure the gradients of the samples' losses: `grad_sign` and `grad_gram`.

    Where batch norm couples the samples they run together, as one batch, and the gradient is that
    of a sample's loss within the batch; elsewhere each runs alone.
    """
    subject = passes.subject
    assert subject.targets is not None  # measure() asks for them first
    targets = subject.targets

    def losses(logits: Tensor, low: int) -> Tensor:
        loss_of(subject, logits, low)  # checks the targets
        return F.cross_entropy(logits, targets[low : low + len(logits)], reduction="none")

    layers = dict(enumerate(layer for layer, _ in passes.places()))
    gram = torch.zeros(subject.batch, subject.batch, dtype=torch.float64)
    for place, rows in _by_weight(subject, losses):
        gram += _products(rows)
        if "grad_sign" in passes.asked:
            layer, signs = layers[place], rows.sign().sum(0)
            picked = passes.picker.weight(signs, layer)
            passes.findings.put("grad_sign", layer, picked, signs.numel())
    if "grad_gram" in passes.asked:
        passes.findings.put("grad_gram", 0, gram, gram.numel())


def measure_logits(passes: Passes) -> None:
    """Measure the gradients of the samples' summed logits: `ntk` and `ntk_spectrum`."""
    subject = passes.subject
    gram = torch.zeros(subject.batch, subject.batch, dtype=torch.float64)
    for _, rows in _by_weight(subject, lambda logits, _: logits.sum(1)):
        gram += _products(rows)
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
    subject: Subject, outcomes: Callable[[Tensor, int], Tensor]
) -> Iterator[tuple[int, Tensor]]:
    """Yield each layer's place among `subject.names` and its gradients, ``(batch, *weight)``.

    The layers are taken in groups whose gradients fit in `HELD_BYTES`, each with forward passes of
    its own.

    Args:
        subject: the network and the batch.
        outcomes: the logits of the samples from a number on -> one number a sample.
    """
    for group in _groups(subject):
        names = tuple(subject.names[place] for place in group)
        rows: list[list[Tensor]] = [[] for _ in names]
        for low, high in _together(subject):
            state = subject.leaves()
            logits = subject.forward(subject.inputs[low:high], state, low)
            for outcome in outcomes(logits, low):
                found = gradients(subject, outcome, state, names=names, again=high - low > 1)
                for row, grad in zip(rows, found, strict=True):
                    row.append(grad)
        for place in group:
            yield place, torch.stack(rows.pop(0))


def _together(subject: Subject) -> list[tuple[int, int]]:
    """First and last + 1 sample of what runs together: each alone, unless they are coupled.

    The gradient of one sample's outcome goes back through all that ran with it.
    """
    if subject.coupled:
        return [(0, subject.batch)]
    return [(low, low + 1) for low in range(subject.batch)]


def _groups(subject: Subject) -> list[list[int]]:
    """Places of the layers, together as long as the gradients of all samples fit in memory."""
    state, groups, held = subject.state(), [[0]], 0
    for place, name in enumerate(subject.names):
        size = subject.batch * state[name].numel() * state[name].element_size()
        held += size
        if place and held > HELD_BYTES:
            groups.append([])
            held = size
        if place:
            groups[-1].append(place)
    return groups


def _products(rows: Tensor) -> Tensor:
    """Inner products of the samples' ``(batch, ...)``, float64 ``(batch, batch)`` on the CPU."""
    flat = rows.flatten(1).double()
    return (flat @ flat.T).cpu()


def _eigenvalues(passes: Passes, name: str, matrix: Tensor) -> None:
    """Note the eigenvalues of a matrix that has no negative ones, on the first layer."""
    values: Tensor = torch.linalg.eigvalsh(matrix.cpu()).clamp(min=0).flip(0)
    passes.findings.put(name, 0, spread(values, passes.picker.sample), len(values))


def _jacobian(subject: Subject, name: str) -> Tensor:
    """Gradients of the summed logits by the input, ``(batch, entries)`` float32."""
    if not subject.inputs.is_floating_point():
        raise StatisticError(
            f"{name!r} needs floating-point inputs to differentiate by; got "
            f"{subject.inputs.dtype}; leave it out for this network"
        )
    rows: list[Tensor] = []
    for low, high in subject.parts():
        part = subject.inputs[low:high].detach().clone().requires_grad_()
        state = subject.state()
        logits = subject.forward(part, state, low)
        found = None
        if logits.requires_grad:
            with placed(subject.network, state, subject.mode), explained(subject.inputs):
                found = torch.autograd.grad(logits.sum(), part, allow_unused=True)[0]
        if found is None:
            raise StatisticError(
                f"the logits do not depend on the inputs differentiably, so {name!r} cannot be "
                "measured; leave it out for this network"
            )
        rows.append(found.flatten(1).float())
    return torch.cat(rows)

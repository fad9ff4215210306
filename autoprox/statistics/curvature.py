"""What the second derivatives of the loss show."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from autoprox.statistics.outcomes import loss_of
from autoprox.statistics.passes import Passes
from autoprox.statistics.private import placed
from autoprox.statistics.subject import Subject, explained, gradients
from autoprox.statistics.words import ITERATIONS, PRODUCTS

Products: TypeAlias = Callable[[Tensor], Tensor]
"""The product of a symmetric matrix, such as a block of a Hessian, with a vector of any shape."""

TOLERANCE = 1e-3
"""A power iteration ends when its eigenvalue changes by less than this share."""


def measure_hessian_grad(passes: Passes, grads: Sequence[Tensor]) -> None:
    """Measure the Hessian of the loss times its gradient `grads`."""
    subject = passes.subject
    total: list[Tensor] = []
    for low, high in subject.parts():
        share = (high - low) / subject.batch
        first, state = _first(subject, low, high, share)
        with placed(subject.network, state, subject.mode):
            second = _times(subject, first, [state[name] for name in subject.names], grads)
        total = [a.add_(b) for a, b in zip(total, second, strict=True)] if total else second
    passes.keep("hessian_grad", total)


def measure_curvature(passes: Passes) -> None:
    """Measure each layer's own block of the Hessian: `hessian_trace` and `hessian_top`.

    The batch runs as a whole, once; its graph stays in memory for all products.
    """
    subject = passes.subject
    first, state = _first(subject, 0, subject.batch)
    weights = [state[name] for name in subject.names]
    for name, measured in (("hessian_trace", trace), ("hessian_top", top)):
        if name not in passes.asked:
            continue
        numbers = torch.zeros(len(weights), dtype=torch.float64)
        for (layer, _), grad, weight in zip(passes.places(), first, weights, strict=True):
            seed = zlib.crc32(f"{subject.seed} {name} {layer}".encode())

            def times(vector: Tensor, grad: Tensor = grad, weight: Tensor = weight) -> Tensor:
                return _times(subject, [grad], [weight], [vector], again=True)[0]

            with placed(subject.network, state, subject.mode):
                numbers[layer] = measured(times, weight, torch.Generator().manual_seed(seed))
        passes.findings.layerwise[name] = numbers


def _first(
    subject: Subject, low: int, high: int, share: float = 1.0
) -> tuple[list[Tensor], dict[str, Tensor]]:
    """Gradients of `share` of the loss of some samples, to differentiate again, and the state."""
    state = subject.leaves()
    with sdpa_kernel(SDPBackend.MATH):
        output = subject.forward(subject.part(low, high), state, low)
        loss = loss_of(subject, output, low, high) * share
        grads = gradients(subject, loss, state, twice=True)
    return grads, state


def _times(
    subject: Subject,
    first: Sequence[Tensor],
    weights: Sequence[Tensor],
    vectors: Sequence[Tensor],
    *,
    again: bool = False,
) -> list[Tensor]:
    """The Hessian by `weights` times `vectors`, from the gradients `first`, which have a graph.

    It is 0 where the gradient is constant; `again` says whether more products of `first` follow.
    """
    dot = torch.stack([(a * b).sum() for a, b in zip(first, vectors, strict=True)]).sum()
    if not dot.requires_grad:
        return [torch.zeros_like(weight) for weight in weights]
    with explained(subject.inputs, backward=True):
        products = torch.autograd.grad(
            dot, weights, allow_unused=True, materialize_grads=True, retain_graph=again or None
        )
    return [product.to_dense() if product.is_sparse else product for product in products]


def trace(times: Products, weight: Tensor, generator: torch.Generator) -> float:
    """Estimate the trace of a weight's block of the Hessian.

    Hutch++ (Meyer et al., SOSA 2021, algorithm 1): exact in the space that a few products with
    random signs span, which holds most of the trace as few eigenvalues are large; and Hutchinson's
    mean of ``v . H v`` over signs ``v``, which is all that HAWQ-V2 takes, in what is left of them.
    """
    third = PRODUCTS // 3

    def signs() -> Tensor:
        return torch.randint(0, 2, (weight.numel(),), generator=generator).to(weight) * 2 - 1

    def flat_times(vector: Tensor) -> Tensor:
        return times(vector.reshape(weight.shape)).flatten()

    sketch = torch.stack([flat_times(signs()) for _ in range(third)], 1)
    basis: Tensor = torch.linalg.qr(sketch.double())[0].to(weight)
    within = sum(float(column @ flat_times(column)) for column in basis.T)
    outside = 0.0
    for _ in range(third):
        vector = signs()
        vector = vector - basis @ (basis.T @ vector)
        outside += float(vector @ flat_times(vector))
    return within + outside / third


def top(times: Products, weight: Tensor, generator: torch.Generator) -> float:
    """Find the eigenvalue of a weight's block of the Hessian that is largest by its size.

    HAWQ's power iteration, from a random vector, with at most `ITERATIONS` products.
    """
    vector = torch.randn(weight.shape, generator=generator, dtype=torch.float32).to(weight)
    value = 0.0
    for _ in range(ITERATIONS):
        vector = vector / vector.norm()
        product = times(vector)
        before, value = value, float((vector * product).sum())
        if abs(value - before) <= TOLERANCE * abs(value):
            break
        vector = product
    return value

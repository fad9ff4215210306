"""WRCor: how alike the samples' responses are, the more of a block the later it comes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge

from autoprox.errors import StatisticError
from autoprox.proxies.function import FunctionProxy
from autoprox.proxies.functions.az_nas import chain
from autoprox.statistics.activations import ACTIVATIONS
from autoprox.statistics.hooks import hooked
from autoprox.statistics.intercepting import Intercepting
from autoprox.statistics.outcomes import loss_of
from autoprox.statistics.subject import Subject


def weighted_response_correlation(subject: Subject) -> float:
    """Return the log-determinant of the samples' response correlations, late blocks weighing most.

    .. code-block:: text

        A = argument of an activation function, one row a sample; G = gradient of the loss by it
        K = sum over the activation functions of 2^b (|corr(A)| + |corr(G)|),  b = its block
        score = log |det K|

    corr is Pearson's correlation of the rows, ``(samples, samples)``. Jing et al., Zero-Shot Neural
    Architecture Search with Weighted Response Correlation (Neurocomputing 2025), as in the code
    released with it. Conventions: training mode, the network's own initial weights; matrices with
    a row that is constant do not count.

    Raises:
        StatisticError: the batch has one sample, or the network calls no activation function on the
            samples.
    """
    if subject.batch < 2:
        raise StatisticError("it compares samples with each other and needs 2 or more; got 1")
    responses = _Responses(subject.batch)
    blocks = (module for module in chain(subject.network) if next(module.children(), None))
    hooks = (block.register_forward_pre_hook(responses.enter) for block in blocks)
    with hooked(hooks), responses:
        output = subject.forward(subject.inputs, subject.leaves(), 0)
    if not responses.arguments:
        raise StatisticError(
            "it needs activation functions that keep the sign (ReLU, GELU, SiLU and the like), "
            "called on the samples; this network calls none"
        )
    loss = loss_of(subject, output, 0, subject.batch)
    gradients = torch.autograd.grad(loss, responses.edges, allow_unused=True)
    total = torch.zeros(subject.batch, subject.batch, dtype=torch.float64)
    shown = zip(responses.blocks, responses.arguments, gradients, strict=True)
    for block, argument, gradient in shown:
        for response in (argument, gradient):
            if response is not None:
                matrix = torch.corrcoef(response.double().cpu().flatten(1))
                if torch.isfinite(matrix).all():
                    total += 2.0**block * matrix.abs()
    return float(torch.linalg.slogdet(total).logabsdet)


class _Responses(Intercepting):
    """Keeps the arguments of activation functions, with the number of the block they are in.

    Attributes:
        blocks: the number of the block of each, from 0.
        arguments: each as it was before its function, which may write into it.
        edges: where in the graph the gradient by each comes in.
    """

    def __init__(self, batch: int) -> None:
        """Start before the first block."""
        super().__init__()
        self.batch = batch
        self.blocks: list[int] = []
        self.arguments: list[Tensor] = []
        self.edges: list[GradientEdge] = []
        self._begun = 0

    def enter(self, _module: nn.Module, _inputs: object) -> None:
        """Begin the next block."""
        self._begun += 1

    def run(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Keep the argument if `func` is an activation function, and run it.

        It runs on a copy, which is written back where it works in place: so the gradient before it
        is found in views, too.
        """
        if func not in ACTIVATIONS:
            return func(*args, **kwargs)
        argument = args[0] if args else kwargs.pop("input")
        if not (argument.requires_grad and argument.ndim and len(argument) == self.batch):
            return func(argument, *args[1:], **kwargs)
        self.blocks.append(max(0, self._begun - 1))
        self.arguments.append(argument.detach().clone())
        copy = argument.clone()
        before = get_gradient_edge(copy)
        result = func(copy, *args[1:], **kwargs)
        in_place = result is copy
        self.edges.append(before if in_place else get_gradient_edge(argument))
        return argument.copy_(copy) if in_place else result


wrcor = FunctionProxy(
    "wrcor",
    weighted_response_correlation,
    "WRCor: how differently the activations and gradients of the last blocks answer to samples.",
    {
        "deviations": "Blocks are found by structure, what the network runs one after the other "
        "with containers opened; the released code knows the cells of three spaces, and leaves "
        "out what is before the first. Every activation function that keeps the sign counts; "
        "there only modules whose type is a ReLU. The network keeps its own initial weights.",
        "paper": "Zero-Shot Neural Architecture Search with Weighted Response Correlation (Jing "
        "et al., Neurocomputing 2025)",
        "released_code": "kunjing96/ZSNAS-WRCor",
        "url": "https://arxiv.org/abs/2507.08841",
        "year": 2025,
    },
    needs_labels=True,
    batch=2,
    version=2,
)

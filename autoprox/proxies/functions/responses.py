"""WRCor: how alike the samples' responses are, the more of a block the later it comes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge

from autoprox.errors import ScoreError, StatisticError
from autoprox.proxies.function import FunctionProxy
from autoprox.proxies.functions.az_nas import chain
from autoprox.proxies.functions.patterns import activations, of_samples
from autoprox.runtime.hooks import hooked
from autoprox.statistics.activations import ACTIVATIONS
from autoprox.statistics.hooks import Intercepting
from autoprox.statistics.outcomes import loss_of
from autoprox.statistics.structure import Structure
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
        StatisticError: the batch has one sample, the network calls no activation function on the
            samples, or these cannot be told apart in an argument.
        ScoreError: no matrix counts.
    """
    if subject.batch < 2:
        raise StatisticError("it compares samples with each other and needs 2 or more; got 1")
    responses = _Responses(activations(subject), subject.batch)
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
    for block, rows in responses.by_block(gradients):
        matrix = torch.corrcoef(rows.double().cpu())
        if torch.isfinite(matrix).all():
            total += 2.0**block * matrix.abs()
    if not total.any():
        raise ScoreError("no response correlates, as some sample's are all the same")
    return float(torch.linalg.slogdet(total).logabsdet)


class _Responses(Intercepting):
    """Keeps the arguments of activation functions, with the number of the block they are in.

    Attributes:
        blocks: the number of the block of each, from 0.
        places: the number of the call of each, among all of activation functions.
        arguments: each as it was before its function, which may write into it.
        edges: where in the graph the gradient by each comes in.
    """

    def __init__(self, structure: Structure, batch: int) -> None:
        """Start before the first block, for a network of a `structure` and `batch` samples."""
        super().__init__()
        self.structure, self.batch = structure, batch
        self.blocks: list[int] = []
        self.places: list[int] = []
        self.arguments: list[Tensor] = []
        self.edges: list[GradientEdge] = []
        self._begun = self._called = 0

    def by_block(self, gradients: Sequence[Tensor | None]) -> Iterator[tuple[int, Tensor]]:
        """Return arguments and gradients ``(samples, entries)``, with their blocks' numbers.

        Those of which a sample has a single entry are left out: one number correlates with nothing.
        """
        for at, block in enumerate(self.blocks):
            for response in (self.arguments[at], gradients[at]):
                if response is not None:
                    rows = of_samples(response, self.places[at], self.structure, self.batch)
                    if rows.shape[1] > 1:
                        yield block, rows

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
        place, self._called = self._called, self._called + 1
        single = self.structure.activated[place] if place < len(self.structure.activated) else None
        if not argument.requires_grad or argument.shape == single:
            return func(argument, *args[1:], **kwargs)
        self.blocks.append(max(0, self._begun - 1))
        self.places.append(place)
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

"""VKDNW: how evenly a network's outputs depend on its parameters, by the Fisher information."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.autograd.forward_ad import dual_level, make_dual, unpack_dual
from torch.nn.attention import SDPBackend, sdpa_kernel

from autoprox.errors import StatisticError
from autoprox.proxies.function import Ensemble, FunctionProxy
from autoprox.proxies.functions.az_nas import sum_of_log_ranks
from autoprox.statistics.subject import Subject

EVEN = 0.05
"""How much of the class probabilities is spread evenly over the classes."""

DECILES = tuple(tenth / 10 for tenth in range(1, 10))


def knowledge(subject: Subject) -> float:
    """Return the number of parameter tensors, plus the entropy of the Fisher information's deciles.

    .. code-block:: text

        J = derivative of a sample's logits by the first entry of each parameter tensor
        p = 0.95 softmax(logits) + 0.05 / classes
        F = mean over the samples of J' (diag(p) - p p') J
        d = the nine deciles of the eigenvalues of F, over their sum
        score = number of parameter tensors - sum of d log d

    Tybl and Neumann, Training-free Neural Architecture Search through Variance of Knowledge of Deep
    Network Weights (CVPR 2025), VKDNW_single; the smoothing of p and the parameters as in the code
    released with it. Conventions: the subject's mode, the network's own initial weights, no labels.
    """
    derivatives, logits = _derivatives(subject)
    classes = logits.shape[-1]
    chances = (1 - EVEN) * logits.softmax(-1) + EVEN / classes
    mean = torch.einsum("nc,ncp->np", chances, derivatives)
    within = torch.einsum("nc,ncp,ncq->pq", chances, derivatives, derivatives)
    fisher = (within - mean.T @ mean) / len(logits)
    return derivatives.shape[-1] + entropy_of_deciles(torch.linalg.svdvals(fisher))


def entropy_of_deciles(values: Tensor) -> float:
    """Return the entropy of the nine deciles of some values taken as shares; 0 if all are 0."""
    deciles = torch.quantile(values, torch.tensor(DECILES, dtype=values.dtype))
    total = deciles.sum()
    shares = deciles / total if total > 0 else deciles
    return float(-torch.special.xlogy(shares, shares).sum())


def _derivatives(subject: Subject) -> tuple[Tensor, Tensor]:
    """Return derivatives ``(rows, classes, parameters)`` and logits ``(rows, classes)``, float64.

    A row is a sample, or a token of one.
    """
    state = subject.state()
    columns, logits = [], torch.empty(0)
    for name, _ in subject.network.named_parameters():
        tangent = torch.zeros_like(state[name])
        tangent[(0,) * tangent.ndim] = 1
        with _forward_derivatives():
            weight = make_dual(state[name], tangent)  # type: ignore[no-untyped-call]
            moved = {**subject.state(), name: weight}
            output = subject.forward(subject.inputs, moved, 0)
            dual_logits = subject.logits(output, subject.batch)
            dual = unpack_dual(dual_logits)  # type: ignore[no-untyped-call]
            logits = dual.primal.detach()
            slope = torch.zeros_like(logits) if dual.tangent is None else dual.tangent.detach()
        columns.append(slope)
    stacked = torch.stack(columns, -1).double().cpu()
    return stacked.flatten(0, -3), logits.double().cpu().flatten(0, -2)


@contextmanager
def _forward_derivatives() -> Iterator[None]:
    """Compute attention and recurrent layers in the ways that have a forward derivative."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's, of its own code
        plain = torch.backends.mkldnn.flags(enabled=False)
        try:
            with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), plain, dual_level():
                yield
        except StatisticError as error:
            if not isinstance(error.__cause__, NotImplementedError):
                raise
            reason = str(error.__cause__).splitlines()[0]
            raise StatisticError(
                f"torch has no forward derivative of the network: {reason}"
            ) from error


_PAPER = {
    "paper": "Training-free Neural Architecture Search through Variance of Knowledge of Deep "
    "Network Weights (Tybl and Neumann, CVPR 2025)",
    "released_code": "ondratybl/VKDNW",
    "url": "https://arxiv.org/abs/2502.04975",
    "year": 2025,
}

vkdnw = FunctionProxy(
    "vkdnw",
    knowledge,
    "VKDNW, single: parameter tensors, and how even the Fisher information's eigenvalues are.",
    {
        "deviations": "The network keeps its own initial weights and runs in training mode on the "
        "batch that it is given; there Kaiming's weights, evaluation mode and 64 inputs of noise. "
        "The sum is the paper's; the released code ranks by the number of tensors first. There the "
        "square root of the covariance of the classes stands transposed, which gives another "
        "matrix than the Fisher information that the paper defines; here it is the paper's.",
        **_PAPER,
    },
    costly=True,
)

vkdnw_aggregate = Ensemble(
    "vkdnw_aggregate",
    ("vkdnw", "jacob_cov", "az_expressivity", "az_trainability", "flops"),
    sum_of_log_ranks,
    "VKDNW, aggregate: the sum of the logarithms of five ranks.",
    {
        "deviations": "The parts are those of the released code. Ranks are those among the ranked "
        "architectures of one space. What the parts deviate in holds for the ensemble.",
        **_PAPER,
    },
    costly=True,
)

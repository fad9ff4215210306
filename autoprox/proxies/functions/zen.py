"""Zen-Score: how much the feature map answers to a small change of the input."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from autoprox.errors import ScoreError, StatisticError
from autoprox.proxies.function import FunctionProxy
from autoprox.runtime.hooks import hooked
from autoprox.statistics.hooks import Intercepting
from autoprox.statistics.subject import Subject
from autoprox.statistics.trees import Inputs, check_floating, mapped, numbers, tensors

STEP = 0.01
"""How far the input is moved, in standard deviations of its noise."""

REPEATS = 4
"""Over how many draws of weights and inputs the score is a mean."""

MOMENTUM = 0.1
"""What a batch adds to a running variance, which starts at 1: torch's default."""


def gaussian_complexity(subject: Subject) -> float:
    """Return the logarithm of the answer to a small change, with batch norm's scales undone.

    .. code-block:: text

        W ~ N(0, 1), biases 0, batch norm's scales 1 and shifts 0;  x, e ~ N(0, 1)
        f = feature map before the pooling over all positions
        score = log mean over samples of sum |f(x) - f(x + 0.01 e)|
              + sum over the batch norms of log sqrt(mean over channels of running variance)

    Lin et al., Zen-NAS: A Zero-Shot NAS for High-Performance Image Recognition (ICCV 2021), as in
    the code released with it. Conventions: training mode; only the shape of the inputs counts;
    weights, inputs and steps are drawn anew `REPEATS` times, and the score is the mean. The running
    variance is that of an untrained network after the two passes: 0.81 + 0.09 variance of the first
    batch + 0.1 variance of the second. So a batch norm that is shown zeros takes only 0.1 off.

    Raises:
        StatisticError: the network has no batch norm, or no feature map before a pooling.
        ScoreError: the change does not reach the feature map.
    """
    network = subject.network
    if not any(isinstance(module, _BatchNorm) for module in network.modules()):
        raise StatisticError(
            f"it undoes the scales of batch norms, and {type(network).__name__} has none"
        )
    check_floating(subject.inputs, "it", "as it moves them a little")
    draws = []
    with torch.no_grad():
        for repeat in range(REPEATS):
            state, inputs, moved = _drawn(subject, repeat)
            first, before = _feature_map(subject, state, inputs)
            second, after = _feature_map(subject, state, moved)
            change = (first - second).abs().flatten(1).sum(1).mean()
            if change == 0:
                raise ScoreError("a change of the input does not reach the feature map")
            running = torch.ones_like(before).lerp(before, MOMENTUM).lerp(after, MOMENTUM)
            draws.append(change.double().log() + running.sqrt().log().sum())
    return float(torch.stack(draws).mean())


def _drawn(subject: Subject, repeat: int) -> tuple[dict[str, Tensor], Inputs, Inputs]:
    """Return Gaussian weights, inputs, and inputs a step away; the same on every device.

    Masks among the inputs stay.
    """
    generator = torch.Generator().manual_seed(1_000_003 * subject.seed + repeat)

    def normal(like: Tensor) -> Tensor:
        return torch.randn(like.shape, generator=generator).to(like)

    state = subject.state()
    norms = {
        name for name, module in subject.network.named_modules() if isinstance(module, _BatchNorm)
    }
    for name, parameter in subject.network.named_parameters():
        owner, _, kind = name.rpartition(".")
        if kind.endswith("bias"):
            state[name] = torch.zeros_like(parameter)
        elif owner in norms:
            state[name] = torch.ones_like(parameter)
        elif parameter.ndim > 1:
            state[name] = normal(parameter.detach())
    noise = [normal(tensor) for tensor in tensors(subject.inputs) if numbers(tensor)]
    moved = [tensor + STEP * normal(tensor) for tensor in noise]

    def replaced(by: list[Tensor]) -> Inputs:
        remaining = iter(by)
        return mapped(subject.inputs, lambda tensor: next(remaining) if numbers(tensor) else tensor)

    return state, replaced(noise), replaced(moved)


def _feature_map(
    subject: Subject, state: Mapping[str, Tensor], inputs: Inputs
) -> tuple[Tensor, Tensor]:
    """Return the feature map and the variances that the batch norms saw.

    ``(batch, channels, height, width)`` and the means over channels, ``(norms,)``.
    """
    variances: list[Tensor] = []

    def seen(module: nn.Module, args: tuple[Any, ...]) -> None:
        variances.append(args[0].double().transpose(0, 1).flatten(1).var(1).mean())

    norms = (module for module in subject.network.modules() if isinstance(module, _BatchNorm))
    last = _LastMap()
    with hooked(norm.register_forward_pre_hook(seen) for norm in norms), last:
        subject.forward(inputs, state, 0)
    if last.feature_map is None:
        raise StatisticError(
            "no feature map (batch, channels, height, width) is pooled or flattened before the head"
        )
    return last.feature_map, torch.stack(variances)


class _LastMap(Intercepting):
    """Keeps the last feature map that lost its positions: by pooling, a mean, or flattening."""

    def __init__(self) -> None:
        super().__init__()
        self.feature_map: Tensor | None = None

    def run(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run the function, and look at what it did to its first argument."""
        result = func(*args, **kwargs)
        argument = args[0] if args else kwargs.get("input")
        if isinstance(argument, Tensor) and isinstance(result, Tensor) and argument.ndim == 4:
            positions = argument.shape[2:].numel()
            left = result.shape[2:].numel() if result.ndim == 4 else 1
            if result.shape[:1] == argument.shape[:1] and left == 1 < positions:
                self.feature_map = argument
        return result


zen_score = FunctionProxy(
    "zen_score",
    gaussian_complexity,
    "Zen-Score: how much the feature map changes with the input, whatever batch norm hides.",
    {
        "deviations": "The running variance starts at 1 for every draw and moves at momentum 0.1, "
        "whatever the network's own; the released code keeps it from draw to draw. Batch norms of "
        "any dimension count, there those of two. Residual connections stay; the published search "
        "removes them. The mean is over 4 draws of the batch's size, there 32, or 1 in its search. "
        "Weights of two dimensions or more are drawn (linear, convolution), parameters called bias "
        "are 0. On NAS-Bench-201 much depends on convolutions that are shown zeros and on which "
        "cells are ranked. On 1,000 of all cells Kendall's tau is .22/.21/.23 without the 21 that "
        "have no path from input to output, and so no score, and .25/.24/.27 if they come last, as "
        "with the minus infinity of the released code (published .29/.28/.29); on 1,000 cells of "
        "different classes it is .10/.08/.10.",
        "paper": "Zen-NAS: A Zero-Shot NAS for High-Performance Image Recognition (Lin et al., "
        "ICCV 2021)",
        "released_code": "idstcv/ZenNAS",
        "url": "https://arxiv.org/abs/2102.01063",
        "year": 2021,
    },
    version=2,
)

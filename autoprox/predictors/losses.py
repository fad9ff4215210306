"""What a predictor is trained to make small: predictions and labels, ``(n,)`` each, to a number."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import softplus

Loss = Callable[[Tensor, Tensor], Tensor]

ALPHA = 0.5
"""How steep the soft sign of DiffKendall is."""


def diff_kendall(predicted: Tensor, labels: Tensor) -> Tensor:
    """Minus a differentiable Kendall correlation, from -2 to 2.

    The sign of a difference is softened to tanh(difference * ALPHA / 2), of predictions and of
    labels. As in the released code, the sum over ordered pairs is divided by the number of
    unordered ones.

    References:
        Dong et al., ParZC: Parametric Zero-Cost Proxies for Efficient NAS, AAAI 2025,
        https://arxiv.org/abs/2402.02105
    """
    predicted_signs = torch.tanh(ALPHA / 2 * (predicted[:, None] - predicted))
    true = torch.tanh(ALPHA / 2 * (labels[:, None] - labels))
    count = len(labels)
    return -(predicted_signs * true).sum() / (count * (count - 1) / 2)


def pairwise(predicted: Tensor, labels: Tensor) -> Tensor:
    """Mean of log(1 + exp(-(x_i - x_j) · sign(y_i - y_j))) over pairs with different labels."""
    order = torch.sign(labels[:, None] - labels)
    margins = (predicted[:, None] - predicted) * order
    ordered = order != 0
    return softplus(-margins[ordered]).sum() / ordered.sum().clamp_min(1)


def squared(predicted: Tensor, labels: Tensor) -> Tensor:
    """Mean squared error."""
    return (predicted - labels).square().mean()


LOSSES: dict[str, Loss] = {loss.__name__: loss for loss in (diff_kendall, pairwise, squared)}

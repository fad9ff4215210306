"""Proxies that count activation patterns: which arguments of activation functions are above 0."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from autoprox.errors import AutoproxError, StatisticError
from autoprox.proxies.function import FunctionProxy
from autoprox.proxies.functions.whole import measured
from autoprox.statistics.activations import ActivationInputs
from autoprox.statistics.looking import several_rows
from autoprox.statistics.outputs import by_sample
from autoprox.statistics.structure import Structure
from autoprox.statistics.subject import Subject, told_apart, traced


def distinct_samples(subject: Subject) -> float:
    """Return the number of linear regions that the samples lie in.

    .. code-block:: text

        a_i = (argument of every activation function > 0), on sample i
        score = sum over i of 1 / #{j: a_j = a_i} = the number of different a_i

    Chen, Gong and Wang, Neural Architecture Search on ImageNet in Four GPU Hours (TE-NAS, ICLR
    2021), the part on linear regions; the sum of reciprocals is how the code released with it
    counts. Conventions: the subject's mode, the network's own initial weights, every activation
    function that keeps the sign (ReLU, GELU and the like), its argument's sign for its output's.

    Raises:
        StatisticError: the batch has one sample, or the network calls no such function.
    """
    agreement = measured(subject, "code_total").values["code_total"][0]
    assert isinstance(agreement, Tensor)
    same = agreement == agreement.diagonal().max()  # a sample agrees with itself on every bit
    return float((1 / same.sum(1).double()).sum())


linear_regions = FunctionProxy(
    "linear_regions",
    distinct_samples,
    "Linear regions: how many activation patterns the samples of the batch show.",
    {
        "deviations": "The released code counts on a thin version of each architecture (one "
        "channel, no stem) that is shown 3000 images of 1 x 3 x 3, with Kaiming's initial weights, "
        "as a mean of 3 draws; here the network itself counts on the batch that it is shown. On a "
        "network of usual width no two inputs have the same pattern, and the score is the size of "
        "the batch: it ranks nothing. Only ReLU modules on feature maps count there.",
        "paper": "Neural Architecture Search on ImageNet in Four GPU Hours: A Theoretically "
        "Inspired Perspective (TE-NAS, Chen et al., ICLR 2021)",
        "released_code": "VITA-Group/TENAS",
        "url": "https://arxiv.org/abs/2102.11535",
        "year": 2021,
    },
    version=2,
)


def activations(subject: Subject) -> Structure:
    """Return the structure of a network with how samples lie in what it activates."""
    structure = traced(subject)
    return told_apart(subject, structure)[1] if several_rows(structure) else structure


def of_samples(argument: Tensor, place: int, structure: Structure, samples: int) -> Tensor:
    """View the argument of an activation function as ``(samples, entries)``.

    Args:
        argument: of the function, or a tensor of its shape.
        place: the number of the call, from 0.
        structure: see `activations`.
        samples: their number.

    Raises:
        StatisticError: the samples cannot be told apart.
    """
    shapes = structure.activated
    if place >= len(shapes) or argument.ndim != len(shapes[place]):
        raise StatisticError(
            "this network calls other activation functions on a batch than on a single sample"
        )
    if structure.mixed(place, argument, samples):
        raise StatisticError(
            f"an activation function is called on {tuple(argument.shape)}, whose rows follow no "
            f"order of the {samples} samples"
        )
    return by_sample(argument, shapes[place], samples, place in structure.stacked)


def distinct_neurons(subject: Subject) -> float:
    """Return the number of sample-wise activation patterns.

    .. code-block:: text

        p_u = (argument of activation u > 0 on sample 1, ..., on sample S)
        score = the number of different p_u, over the entries u of all activation functions

    Peng et al., SWAP-NAS: Sample-Wise Activation Patterns for Ultra-Fast NAS (ICLR 2024), the score
    without regularisation (see `regularised`). Conventions: training mode, the network's own
    initial weights, every activation function that keeps the sign, its argument's sign for its
    output's. At most ``2 ** S``.

    Raises:
        StatisticError: the batch has one sample, the network calls no such function, its arguments
            cannot be told apart by sample, or it shows all patterns that there are.
    """
    batch = subject.batch
    if batch < 2:
        raise StatisticError("it compares samples with each other and needs 2 or more; got 1")
    patterns: list[NDArray[np.generic]] = []
    structure = activations(subject)

    def collect(argument: Tensor) -> None:
        rows = of_samples(argument, len(patterns), structure, batch)
        patterns.append(_different(_packed(rows > 0)))

    with torch.no_grad(), ActivationInputs(collect):
        subject.forward(subject.inputs, subject.state(), 0)
    if not patterns:
        raise StatisticError(
            "it needs activation functions that keep the sign (ReLU, GELU, SiLU and the like); "
            "this network calls none"
        )
    count = len(_different(np.concatenate(patterns)))
    if count == 2**batch:
        raise StatisticError(
            f"it says nothing on this network: its activations show all 2**{batch} patterns that "
            f"{batch} samples can have; show it more samples"
        )
    return float(count)


def _packed(codes: Tensor) -> NDArray[np.generic]:
    """Pack each unit's bits: bool ``(samples, units)`` to ``(units,)``.

    They are numbers for up to 64 samples, and raw bytes for more.
    """
    packed = np.packbits(codes.cpu().numpy(), axis=0)
    needed = len(packed)
    size = next((width for width in (1, 2, 4, 8) if width >= needed), needed)
    rows = np.zeros((packed.shape[1], size), np.uint8)
    rows[:, :needed] = packed.T
    return rows.view(f"u{size}" if size <= 8 else f"V{size}")[:, 0]


def _different(patterns: NDArray[np.generic]) -> NDArray[np.generic]:
    """Return each pattern once; asked for counts NumPy sorts, which is faster than its hashing."""
    distinct: NDArray[np.generic] = np.unique(patterns, return_counts=True)[0]
    return distinct


_SWAP = {
    "deviations": "The batch is 32 in a ranking, unless it is larger; the released script shows 16 "
    "images. The network keeps its own initial weights and scores once; there the score is the "
    "mean over 32 draws of normal weights. Every activation function that keeps the sign counts, "
    "and the argument of GELU and the like is compared with 0, as that of ReLU; there only ReLU "
    "modules on feature maps count.",
    "paper": "SWAP-NAS: Sample-Wise Activation Patterns for Ultra-Fast NAS (Peng et al., ICLR "
    "2024)",
    "released_code": "pym1024/SWAP",
    "url": "https://arxiv.org/abs/2403.04161",
    "year": 2024,
}

swap = FunctionProxy(
    "swap",
    distinct_neurons,
    "SWAP: how many patterns over the samples the activations of the network show.",
    _SWAP,
    batch=32,
    version=2,
)


def regularised(centre: float, width: float) -> FunctionProxy:
    """Return SWAP regularised by the number of parameters, which prefers networks of one size.

    The paper chooses both numbers for a space: there is no default. The released code counts
    parameters in thousands: its mu is ``centre / 1e3``, its sigma ``width / 1e6``.

    Args:
        centre: the number of parameters preferred, mu in the paper.
        width: how much others are allowed, sigma in the paper: ``exp(-(parameters - centre)**2 /
            width)`` multiplies the score.

    Raises:
        AutoproxError: the width is not positive.
    """
    if not width > 0:
        raise AutoproxError(f"the width of the regularisation is positive; got {width!r}")

    def regularised_neurons(subject: Subject) -> float:
        """Return the SWAP score times ``exp(-(parameters - centre)**2 / width)``."""
        count = sum(parameter.numel() for parameter in subject.network.parameters())
        return distinct_neurons(subject) * math.exp(-((count - centre) ** 2) / width)

    return FunctionProxy(
        f"swap_regularised_{centre!r}_{width!r}",
        regularised_neurons,
        f"SWAP, regularised by the number of parameters: centre {centre!r}, width {width!r}.",
        _SWAP,
        batch=swap.batch,
        version=swap.version,
    )

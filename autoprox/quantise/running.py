"""Networks on images: modes, logits, accuracy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from autoprox.errors import QuantisationError

BATCH = 125
"""Images at a time: the activations of small networks then stay in the cache of a core."""

PRECISIONS = ("float32", "bfloat16")
"""In which layers compute; the latter is three times as fast on processors that have it."""


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Put every module in evaluation mode, and restore the modes.

    The attribute is set, for modules of `torch.export` refuse `train` and `eval`.
    """
    modes = [(module, module.training) for module in network.modules()]
    try:
        for module, _ in modes:
            module.training = False
        yield
    finally:
        for module, mode in modes:
            module.training = mode


def check_normalised(images: Tensor) -> None:
    """Refuse images that come straight from a file, what is no tensor, and what holds no image.

    Raises:
        QuantisationError: they are of an integer type, there are none, or they are no tensor.
    """
    if not isinstance(images, Tensor):
        raise QuantisationError(
            "quantising runs the network on one tensor of images, (batch, ...); got a "
            f"{type(images).__name__}: put what takes more into a module that takes one tensor"
        )
    if not images.is_floating_point():
        raise QuantisationError(
            f"expected normalised images of a floating type; got {images.dtype}: divide by 255, "
            "subtract the mean and divide by the deviation that the network was trained with"
        )
    if not images.numel():
        raise QuantisationError(
            f"expected one image or more; got a tensor of shape {tuple(images.shape)}"
        )


def computing(precision: str) -> torch.autocast:
    """The context in which layers compute in a precision.

    Raises:
        QuantisationError: there is no such precision.
    """
    if precision not in PRECISIONS:
        raise QuantisationError(f"expected precision {' or '.join(PRECISIONS)}; got {precision!r}")
    return torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16")


@torch.inference_mode()
def logits(network: nn.Module, images: Tensor, precision: str = "float32") -> Tensor:
    """What `network` returns in evaluation mode, float32 ``(images, classes)``.

    Args:
        network: left as it is.
        images: float ``(images, channels, height, width)``, normalised as the network takes them.
        precision: one of `PRECISIONS`.

    Raises:
        QuantisationError: the images are of an integer type, there are none, or there is no such
            precision.
    """
    check_normalised(images)
    with evaluating(network), computing(precision):
        return torch.cat([network(batch).float() for batch in torch.split(images, BATCH)])


def accuracy(
    network: nn.Module, images: Tensor, labels: Tensor, precision: str = "float32"
) -> float:
    """The percentage of `images` that `network` gives their labels.

    Args:
        network: left as it is.
        images: as `logits` takes them.
        labels: int64 ``(images,)``.
        precision: one of `PRECISIONS`.

    Raises:
        QuantisationError: as `logits`.
    """
    return percent_right(logits(network, images, precision), labels)


def percent_right(outputs: Tensor, labels: Tensor) -> float:
    """The percentage of rows of `outputs` whose largest entry is at the label."""
    return 100 * int((outputs.argmax(1) == labels).sum()) / len(labels)

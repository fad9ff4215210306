"""What a choice of bits is worth: its true accuracy beside that of other choices within a limit."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import Tensor, nn

from autoprox.benches import Bench
from autoprox.benches.cifar import DEVIATION, MEAN, cifar10, normalised
from autoprox.errors import BenchError, UnknownNameError
from autoprox.quantise.layers import Costs
from autoprox.quantise.quantiser import Method
from autoprox.quantise.table import (
    CALIBRATION,
    Builder,
    Images,
    TableSettings,
    check_calibration,
    usual_calibration,
)
from autoprox.search.bits.bits import WIDTHS
from autoprox.search.bits.limits import Limit, space_of
from autoprox.search.bits.programme import solved
from autoprox.training.settings import processor_precision

CIFAR_SHAPE = (3, 32, 32)


def trained_network(bench: Bench, name: str) -> nn.Module:
    """The network that a space of a bench has configurations of.

    Raises:
        BenchError: the bench's networks have no bits.
        UnknownNameError: it has no such network.
    """
    if bench.bits is None:
        raise BenchError(
            f"the networks of bench {bench.name!r} have no bits; use a bench of configurations, "
            "such as mq101"
        )
    if name not in bench.spaces:
        raise UnknownNameError("network", name, bench.spaces)
    return bench.network(bench.in_space(name)[0])


def cifar_images(bench: Bench, path: str, part: str) -> Images:
    """The training or test images of CIFAR-10, normalised as a bench's networks take them.

    Args:
        bench: whose networks take them.
        path: as `autoprox.benches.cifar.cifar10` reads it.
        part: ``"train"`` or ``"test"``.

    Raises:
        BenchError: the file cannot be read, or the networks take something else.
    """
    if bench.input_shape != CIFAR_SHAPE:
        raise BenchError(
            f"the networks of bench {bench.name!r} take inputs of shape {bench.input_shape}; "
            f"CIFAR-10 has {CIFAR_SHAPE}"
        )
    read = cifar10(path, "train" if part == "train" else "test")
    images = normalised(read.images, *(bench.normalisation or (MEAN, DEVIATION)))
    return Images(images, torch.from_numpy(read.labels))


def calibration_of(train: Images, asked: int | None) -> int:
    """How many training images calibrate: as asked, else the usual number, at most half of them.

    Raises:
        QuantisationError: they are too few or too many.
    """
    images = len(train.labels)
    count = usual_calibration(images) if asked is None else asked
    check_calibration(count, images)
    return count


def drawn_batch(images: Images, batch: int, seed: int) -> tuple[Tensor, Tensor]:
    """Some images and their labels, drawn without repetition."""
    order = np.random.default_rng(seed).permutation(len(images.labels))[:batch]
    chosen = torch.from_numpy(order)
    return images.images[chosen], images.labels[chosen]


def others(
    bench: Bench, name: str, costs: Costs, limit: Limit, widths: Sequence[int] = WIDTHS
) -> dict[str, tuple[int, ...]]:
    """Return other choices for a network within a limit, to compare a search's choice with.

    Returns:
        Bits by name: the widest uniform bits, the most bits of weights, and the best row of the
        bench by the first target that has figures, as far as there are any.
    """
    space = space_of(costs, widths, limit)
    uniform = space.bits(space.uniform()[-1:])
    weights = [layer.weights for layer in costs.layers[1:-1]]
    largest = solved(space, np.outer(weights, space.widths).astype(np.float64))
    choices = {f"uniform {uniform[0, 1]}": uniform}
    if largest is not None:
        choices["most bits"] = space.bits(largest)
    named = {key: tuple(bits[0].tolist()) for key, bits in choices.items()}
    assert bench.bits is not None
    within = [
        row for row in bench.in_space(name) if limit.cost(costs, bench.bits(row)) <= limit.most
    ]
    for target in bench.targets:
        accuracies = bench.accuracies(target, within)
        if np.isfinite(accuracies).any():
            best = within[int(np.nanargmax(accuracies))]
            named[f"best of the table: {best.name}"] = bench.bits(best)
            break
    return named


def builder_of(
    bench: Bench, name: str, train: Images, test: Images, calibration: int = CALIBRATION
) -> Builder:
    """A builder that measures true accuracies, as ``autoprox bench quantise`` does, and keeps none.

    Raises:
        QuantisationError: there are too few training images to calibrate on.
    """
    method = Method(precision=processor_precision())
    settings = TableSettings(name, calibration=calibration, method=method)
    with TemporaryDirectory() as folder:
        return Builder(trained_network(bench, name), train.images, test, settings, Path(folder))

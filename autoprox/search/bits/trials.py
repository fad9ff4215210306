"""Bits tried on the network itself: a local search from what a proxy chose.

A proxy scores configurations in milliseconds, without running the quantised network. Some dozen
configurations near its choice are therefore quantised and run on images without labels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch.nn.functional as F
from torch import Tensor, nn

from autoprox.errors import QuantisationError
from autoprox.quantise.quantiser import Method, Quantiser
from autoprox.quantise.running import check_normalised, logits
from autoprox.quantise.table import usual_calibration
from autoprox.search.bits.limits import BitSpace, Places
from autoprox.training.settings import processor_precision

PLENTY = 2048
"""So many images that are run are enough."""

CHANGED = 2
"""How many layers change at most on the way to a neighbour, before it is made to fit."""

PATIENCE = 1000
"""The search ends after so many neighbours in a row that were tried already."""

Divergence: TypeAlias = Callable[[tuple[int, ...]], float]
"""From the bits of all layers to the divergence of the network's outputs, in nats."""


def divergence_of(
    network: nn.Module,
    images: Tensor,
    method: Method | None = None,
    calibration: int | None = None,
) -> Divergence:
    """The Kullback-Leibler divergence of a quantised network's outputs from the network's own.

    The mean over images that do not calibrate, of the classes' probabilities. Both networks run in
    the precision of the method, so that it is 0 where rounding does nothing.

    Args:
        network: trained, with outputs ``(images, classes)``; left as it is.
        images: ``(images, ...)``, normalised as the network takes them, in random order. The first
            calibrate; the others are run.
        method: how to quantise; None for the best way, in the precision that is faster on this
            processor.
        calibration: how many calibrate; None for 512, or half if there are fewer.

    Raises:
        QuantisationError: there are fewer than four images, none is left to be run, they are not
            normalised or not finite, or the network's own outputs are not finite, or not of two
            classes or more.
    """
    cut = _calibrating(len(images), calibration)
    check_normalised(images)
    if not images.isfinite().all():
        raise QuantisationError("some of the images are not finite; check what prepares them")
    how = method or Method(precision=processor_precision())

    def shares(network: nn.Module) -> Tensor:
        """The logarithms of the classes' probabilities, float64 ``(images, classes)``."""
        return logits(network, images[cut:], how.precision).double().log_softmax(1)

    reference = shares(network)
    if reference.ndim != 2 or reference.shape[1] < 2:
        raise QuantisationError(
            "trials compare the probabilities of classes: expected outputs (images, 2 classes or "
            f"more); got {tuple(reference.shape)}"
        )
    if not reference.isfinite().all():
        raise QuantisationError("the network's outputs on the images are not finite; check both")
    quantiser = Quantiser(network, images[:cut], how)

    def divergence(bits: tuple[int, ...]) -> float:
        outputs = shares(quantiser(bits))
        return float(F.kl_div(outputs, reference, reduction="batchmean", log_target=True))

    return divergence


def _calibrating(images: int, asked: int | None) -> int:
    """How many of the images calibrate."""
    if images < 4:
        raise QuantisationError(
            f"some of the images calibrate and the others are run: give 4 or more; got {images}"
        )
    count = usual_calibration(images) if asked is None else asked
    if not 2 <= count < images:
        raise QuantisationError(
            f"trials run the images that do not calibrate: 2 to {images - 1} of {images} may; got "
            f"{count}"
        )
    return count


@dataclass(frozen=True, slots=True)
class Tried:
    """What trials found.

    Attributes:
        places: the configuration of the least divergence, ``(1, inner layers)``.
        divergence: its.
        count: how many were tried; fewer than allowed where no neighbour is left.
        finished: whether Ctrl-C did not end them.
    """

    places: Places
    divergence: float
    count: int
    finished: bool


def tried(
    space: BitSpace,
    starts: Places,
    divergence: Divergence,
    generator: np.random.Generator,
    trials: int,
    progress: Callable[[int, int], None],
) -> Tried:
    """Look for the configuration of the least divergence.

    Hill climbing from the best of the starts: a neighbour that diverges less takes its place.
    Ctrl-C ends it with what is found by then.

    Args:
        space: what fits.
        starts: ``(starts, inner layers)``, all of which fit.
        divergence: of bits.
        generator: all that is random.
        trials: how many configurations are tried at most, the starts included.
        progress: called as ``progress(done, total)``.

    Raises:
        QuantisationError: none has finite outputs.
        KeyboardInterrupt: Ctrl-C before anything was found.
    """
    seen: set[bytes] = set()
    best, least = starts[:1], np.inf
    waiting, finished = list(starts), True
    progress(0, trials)
    try:
        while len(seen) < trials:
            place = waiting.pop(0) if waiting else _unseen(space, best[0], seen, generator)
            if place is None:
                break
            if place.tobytes() in seen:
                continue
            least_here = divergence(tuple(space.bits(place[None])[0].tolist()))
            seen.add(place.tobytes())
            if least_here < least:
                best, least = place[None], least_here
            progress(len(seen), trials)
    except KeyboardInterrupt:
        if not np.isfinite(least):
            raise
        finished = False
    if not np.isfinite(least):
        raise QuantisationError("no configuration that was tried has finite outputs")
    return Tried(best, float(least), len(seen), finished)


def _unseen(
    space: BitSpace, place: Places, seen: set[bytes], generator: np.random.Generator
) -> Places | None:
    """A neighbour that was not tried yet; None if none is found."""
    for _ in range(PATIENCE):
        near = neighbour(space, place, generator)
        if near.tobytes() not in seen:
            return near
    return None


def neighbour(space: BitSpace, place: Places, generator: np.random.Generator) -> Places:
    """A configuration near another, ``(inner layers,)`` both, that leaves no room for more bits.

    A layer or two go to the next width, up or down; then random layers go down until it fits, and
    up as long as it does.
    """
    layers, widths = space.prices.shape
    near: Places = place.copy()
    for layer in generator.integers(layers, size=generator.integers(1, CHANGED + 1)):
        near[layer] = np.clip(near[layer] + generator.choice([-1, 1]), 0, widths - 1)
    (near,) = space.repaired(near[None], generator)
    room = list(generator.permutation(layers))
    while room:
        higher = near.copy()
        higher[room[0]] += 1
        if higher[room[0]] < widths and space.fits(higher[None])[0]:
            near = higher
            room.append(room[0])
        room.pop(0)
    return near

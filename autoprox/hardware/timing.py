"""Measuring how long a network takes on this machine."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

    from autoprox.statistics.trees import Inputs

WARM_UP, PASSES = 3, 15


@dataclass(frozen=True)
class Latency:
    """How long a forward pass of one input takes.

    Attributes:
        seconds: the median.
        noise: half the distance of the quartiles, as a share of the median.
    """

    seconds: float
    noise: float


def time_network(network: nn.Module, inputs: Inputs, passes: int = PASSES) -> Latency:
    """Return the latency of a network in use, by one thread on one core, after a warm-up."""
    import torch

    from autoprox.quantise.running import evaluating
    from autoprox.runtime.threads import one_thread
    from autoprox.statistics.trees import arguments

    positional, keywords = arguments(inputs)
    seconds = []
    with one_thread(), one_core(), evaluating(network), torch.no_grad():
        for _ in range(WARM_UP + passes):
            begun = time.perf_counter()
            network(*positional, **keywords)
            seconds.append(time.perf_counter() - begun)
    ordered = sorted(seconds[WARM_UP:])
    middle = statistics.median(ordered)
    return Latency(middle, (ordered[(3 * passes) // 4] - ordered[passes // 4]) / 2 / middle)


@contextmanager
def one_core() -> Iterator[None]:
    """Keep this process on the last of its cores, where the system lets it; then on all again."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)

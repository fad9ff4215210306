"""Blocks: a few measurements, the layers of one below those of the other.

What a primitive makes of a row does not depend on the other rows, so that a block is computed like
one large network, in fewer and longer steps.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from autoprox.statistics import Measurement

PROCESSOR = torch.device("cpu")
"""Where blocks are computed unless a device is asked for."""

BLOCK_NUMBERS = 2**17
"""How many entries a statistic of a block has at most: half a megabyte, several of which are in
work at a time and should stay in the processor's cache.

Measured on a core with 2 MB of it: 1.6 times faster than one network at a time; blocks of four to
eight vision transformers are equally fast, larger ones slower.
"""

DEVICE_BLOCK_NUMBERS = 2**20
"""The same on a GPU: four megabytes, as there a step takes long to begin. Not measured."""

KEPT_BYTES = 512 * 2**20
"""How much the stacked statistics of a table may take; what is beyond is stacked anew each time."""

DEVICE_KEPT_BYTES = 2 * 2**30
"""The same on a GPU, to which they would be copied anew each time."""

Shape: TypeAlias = tuple[tuple[str, torch.dtype, tuple[int, ...]], ...]


@dataclass(frozen=True, slots=True)
class Extent:
    """What decides which measurements fit into one block.

    Attributes:
        shape: the type and shape of a row of each statistic; None if it stands alone.
        numbers: of entries of its largest statistic.
    """

    shape: Shape | None
    numbers: int


def extent(measurement: Measurement) -> Extent:
    """Return the extent of a measurement; full tensors stand alone."""
    if measurement.sample == "full":
        return Extent(None, 0)
    values = {name: whole(tensor) for name, tensor in measurement.values.items()}
    shape = tuple((name, tensor.dtype, tuple(tensor.shape[1:])) for name, tensor in values.items())
    return Extent(shape, max((tensor.numel() for tensor in values.values()), default=0))


def cut(extents: Sequence[Extent], device: torch.device = PROCESSOR) -> list[range]:
    """Cut a sequence of measurements into blocks of neighbours for a device.

    >>> [list(block) for block in cut([Extent((), 2**16)] * 3 + [Extent(None, 0)] * 2)]
    [[0, 1], [2], [3], [4]]
    """
    most = BLOCK_NUMBERS if device == PROCESSOR else DEVICE_BLOCK_NUMBERS
    starts: list[int] = []
    numbers = 0
    for place, extent in enumerate(extents):
        alike = place > 0 and extent.shape is not None and extent.shape == extents[place - 1].shape
        if not alike or numbers + extent.numbers > most:
            starts.append(place)
            numbers = 0
        numbers += extent.numbers
    return [range(*pair) for pair in itertools.pairwise([*starts, len(extents)])]


class Budget:
    """How many more bytes may be kept."""

    def __init__(self, left: int = KEPT_BYTES) -> None:
        self.left = left

    def take(self, wanted: int) -> bool:
        """Take some bytes if there are as many, and say whether there were."""
        if wanted > self.left:
            return False
        self.left -= wanted
        return True


class Block:
    """A few measurements as one.

    Args:
        measurements: of one shape, see `cut`; one alone may be of full tensors.
        budget: of what is kept of the stacked statistics; None to keep nothing.
        device: where it is computed.
    """

    def __init__(
        self,
        measurements: Sequence[Measurement],
        budget: Budget | None = None,
        device: torch.device = PROCESSOR,
    ) -> None:
        self.measurements = tuple(measurements)
        self.device = device
        self.layers = [len(measured.layers) for measured in self.measurements]
        self._budget = budget or Budget(0)
        self._kept: dict[tuple[str, str], Tensor] = {}

    def values(self, name: str) -> Tensor:
        """Return the entries of a sampled statistic, ``(layers of all, …)``."""
        return self._stacked("values", name, lambda measured: whole(measured.values[name]))

    def sizes(self, name: str) -> Tensor:
        """Return the true numbers of entries, ``(layers of all,)``."""
        return self._stacked("sizes", name, lambda measured: measured.sizes[name])

    def _stacked(self, of: str, name: str, part: Callable[[Measurement], Tensor]) -> Tensor:
        if len(self.measurements) == 1 and self.device == PROCESSOR:
            return part(self.measurements[0])
        known = self._kept.get((of, name))
        if known is None:
            known = torch.cat([part(measured) for measured in self.measurements]).to(self.device)
            if self._budget.take(known.nbytes):
                self._kept[of, name] = known
        return known


def whole(value: Tensor | tuple[Tensor | None, ...]) -> Tensor:
    """Return a value that holds all layers in one tensor."""
    assert isinstance(value, Tensor)
    return value

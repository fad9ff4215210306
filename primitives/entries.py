"""Which numbers of a value belong together, and how many true ones they stand for."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

RESOLUTION = 2.0**-20
"""A difference that is smaller than this share of its operands may be rounding alone.

The entries of tensors are float32, with 24 bits.
"""


def significant(x: Tensor, scale: Tensor) -> Tensor:
    """Return `x`, 0 where it is within rounding of 0, given the size of what was added up.

    A size that overflowed says nothing.
    """
    noise = (RESOLUTION * scale).nan_to_num_(nan=0.0, posinf=0.0)
    return x.masked_fill(x.abs() < noise, 0.0)


@dataclass(frozen=True, slots=True)
class Entries:
    """The entries of each row of a value, for reductions and normalisations.

    A row is a layer (its entries are those of a tensor: a fixed-size sample, or all) or a network
    (its entries are its layers, of which some may be absent). The methods take values of shape
    ``(rows, entries)`` or, for relations, ``(rows, batch, batch)`` and return ``(rows,)``.

    Attributes:
        size: ``(rows,)``, the true number of entries of each row.
        present: ``(rows, entries)`` of bool, or None if all entries are there.
    """

    size: Tensor
    present: Tensor | None = None

    def sum(self, x: Tensor) -> Tensor:
        """Sum over all true entries: the mean of the sample times the true number."""
        return self.mean(x) * self.size

    def mean(self, x: Tensor) -> Tensor:
        """Mean over the entries."""
        if self.present is None:
            return x.flatten(1).mean(1)
        return torch.where(self.present, x, 0.0).sum(1) / self.size

    def root_mean_square(self, x: Tensor) -> Tensor:
        """Square root of the mean of the squares of the entries."""
        if self.present is None:
            flat = x.flatten(1)
            norm: Tensor = torch.linalg.vector_norm(flat, dim=1)
            return norm.mul_(flat.shape[1] ** -0.5)
        return self.mean(x * x).sqrt()

    def max(self, x: Tensor) -> Tensor:
        """Largest of the entries."""
        if self.present is None:
            return x.flatten(1).amax(1)
        return self._extreme(torch.where(self.present, x, -torch.inf).amax(1))

    def min(self, x: Tensor) -> Tensor:
        """Smallest of the entries."""
        if self.present is None:
            return x.flatten(1).amin(1)
        return self._extreme(torch.where(self.present, x, torch.inf).amin(1))

    def _extreme(self, extremes: Tensor) -> Tensor:
        """Return the extremes of rows; not a number where none of a row's entries is present."""
        return extremes.masked_fill(self.size == 0, torch.nan)

    def spread(self, per_row: Tensor, like: Tensor) -> Tensor:
        """Repeat a number a row, ``(rows,)``, so that it combines with the entries of `like`."""
        return per_row.reshape(-1, *[1] * (like.dim() - 1)).to(like.dtype)

"""Which entries of a tensor a measurement keeps."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from autoprox.statistics.measurement import Sample

Places: TypeAlias = NDArray[np.integer]


POOL = 65536
"""How many entries of a tensor are looked at, at most, to choose those that are kept."""


@dataclass(frozen=True, slots=True, eq=False)
class Pool:
    """Entries of a matrix, of which a measurement keeps some.

    Attributes:
        places: their flat positions, distinct and ascending, ``(entries,)``; int32 where they fit.
        offsets: where in its strip of the sorted entries each kept one lies, ``(sample,)`` from 0
            to 1.
    """

    places: Places
    offsets: NDArray[np.float64]

    def kept(self, values: Tensor) -> Places:
        """Which entries of the pool are kept, ascending, ``(sample,)``, by values ``(entries,)``.

        The entries are sorted by their `values` and cut into strips of equal length, from each of
        which one is kept: so the kept ones have nearly the distribution of the values of the whole
        matrix. Where there are fewer entries than are kept, each occurs equally often, to within
        one.
        """
        sample = len(self.offsets)
        edges = np.arange(sample + 1) * len(self.places) // sample
        ranks = edges[:-1] + (self.offsets * np.diff(edges)).astype(np.int64)
        return np.sort(_order(_sortable(values))[ranks])


@lru_cache(maxsize=512)
def pool(rows: int, columns: int, sample: int, seed: int, kind: str, layer: int) -> Pool:
    """The entries of a ``(rows, columns)`` matrix to choose `sample` from.

    All of them where there are at most `POOL`; else about as many, and, where that can be, a Latin
    hypercube: they fall equally on the rows, and equally on the columns, because most of the
    variance of a layer's gradients lies between its rows and its columns. The same arguments give
    the same pool in every process.

    Args:
        rows: size of the first dimension.
        columns: product of the other dimensions.
        sample: how many entries are to be kept.
        seed: the measurement's seed.
        kind: name of the kind: its statistics share their entries in a layer.
        layer: place of the layer.
    """
    generator = np.random.default_rng((seed, zlib.crc32(kind.encode()), layer))
    total, count, offsets = rows * columns, max(POOL, sample), generator.random(sample)
    integer: type[np.integer] = np.int32 if total < 2**31 else np.int64
    if total <= count:
        flat = np.arange(total, dtype=integer)
    elif total < 4 * count:
        flat = np.sort(generator.choice(total, count, replace=False, shuffle=False).astype(integer))
    else:
        row, column = _strata(generator, count, rows), _strata(generator, count, columns)
        flat = np.sort((row * columns + column).astype(integer))
        flat = np.delete(flat, np.flatnonzero(flat[1:] == flat[:-1]))
    return Pool(flat, offsets)


def _sortable(values: Tensor) -> NDArray[np.int32]:
    """Integers of 32 bits in the order of float32 `values`."""
    bits = values.detach().cpu().float().numpy().view(np.int32)
    signs = bits >> 31  # -1 or 0; the sign's bit is followed by the magnitude, which is negated
    return (bits ^ (signs & 0x7FFFFFFF)) - signs


def _order(keys: NDArray[np.int32]) -> Places:
    """Places of integers of up to 32 bits in ascending order; equal ones keep theirs.

    Sorting keys and places as one number is several times faster than a stable `numpy.argsort`.
    """
    return np.sort(keys.astype(np.int64) << 31 | np.arange(len(keys))) & 0x7FFFFFFF


def _strata(generator: np.random.Generator, sample: int, size: int) -> Places:
    """Draw `sample` numbers below `size` evenly, in random order.

    Each number occurs equally often, to within one; or, if there are more numbers than draws, one
    number comes from each of `sample` equal strips.
    """
    if size <= sample:
        repeated = np.tile(generator.permutation(size), -(-sample // size))
        return generator.permutation(repeated[:sample])
    strip = (generator.permutation(sample) + generator.random(sample)) / sample
    return np.minimum((strip * size).astype(np.int64), size - 1)


def spread(values: Tensor, sample: Sample) -> Tensor:
    """Sorted `values` at the middles of `sample` strips of equal length, ``(sample,)``.

    Each value stands for equally many, to within one, so that a mean stays what it was.
    """
    if sample == "full":
        return values
    return values[_middles(sample, len(values))]


def _middles(count: int, entries: int) -> Tensor:
    """Places of the middles of `count` strips of equal length of so many entries, ``(count,)``."""
    return ((torch.arange(count, dtype=torch.float64) + 0.5) * (entries / count)).long()


def aligned(*spectra: Tensor) -> list[Tensor]:
    """Spectra of a layer, ``(..., entries)``, as long as the longest, each by relative rank."""
    longest = max(values.shape[-1] for values in spectra)
    return [
        values[..., _middles(longest, values.shape[-1]).to(values.device)] for values in spectra
    ]


def singular_values(matrix: Tensor) -> Tensor:
    """Singular values of ``(rows, columns)``, largest first, float32 ``(min(rows, columns),)``.

    They are the roots of the eigenvalues of the smaller Gram matrix, in float64: several times
    faster than a singular value decomposition in float32 and, squaring included, more accurate.
    """
    tall = matrix if matrix.shape[0] >= matrix.shape[1] else matrix.T
    tall = tall.double()
    squares: Tensor = torch.linalg.eigvalsh(tall.T @ tall)
    return squares.clamp(min=0).sqrt().flip(0).float()

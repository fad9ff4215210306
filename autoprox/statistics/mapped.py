"""What is on disk, mapped when it is asked for: tables of any size take little memory."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Generic, TypeVar

import torch
from torch import Tensor

from autoprox.errors import AutoproxError, CacheError, short
from autoprox.runtime.schema import decoded
from autoprox.runtime.tensors import Dtype, TensorFact
from autoprox.statistics.measurement import Sample

TYPES: Mapping[Dtype, torch.dtype] = {
    "F32": torch.float32,
    "F64": torch.float64,
    "BOOL": torch.bool,
    "I64": torch.int64,
}
"""The types of numbers, by the names that safetensors gives them."""

Part = TypeVar("Part")


@dataclass(frozen=True, slots=True)
class TensorSpan:
    """Where in a file a tensor lies: its first byte, and the byte after its last."""

    dtype: torch.dtype
    shape: tuple[int, ...]
    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class Header:
    """What a file says of itself; what is equal in many files is held once."""

    key: str
    layers: tuple[str, ...]
    roles: tuple[str, ...]
    sample: Sample
    names: tuple[str, ...]
    places: Mapping[str, TensorSpan]
    size: int


@dataclass(frozen=True, slots=True)
class File:
    """A file, and what it says of itself."""

    path: Path
    header: Header

    def mapped(self, name: str) -> Tensor | None:
        """Map a tensor, or return None if there is none of this name.

        Raises:
            CacheError: the file was removed or is another one.
        """
        place = self.header.places.get(name)
        if place is None:
            return None
        if place.begin == place.end:
            return torch.empty(place.shape, dtype=place.dtype)
        try:
            with self.path.open("rb", buffering=0) as file:
                content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
            if len(content) != self.header.size:
                raise ValueError("it has another size")
        except (OSError, ValueError) as error:  # an empty file cannot be mapped
            raise CacheError(f"{self.path} changed while it was read: {error}; try again") from None
        count = (place.end - place.begin) // place.dtype.itemsize
        flat = torch.frombuffer(content, dtype=place.dtype, count=count, offset=place.begin)
        return flat.reshape(place.shape)

    def present(self, name: str) -> Tensor:
        """Which layers show a statistic."""
        return _there(self.mapped(f"present/{name}"))

    def sizes(self, name: str) -> Tensor:
        """How many entries the layers' whole tensors have."""
        return _there(self.mapped(f"sizes/{name}"))

    def values(self, name: str) -> Tensor | tuple[Tensor | None, ...]:
        """The numbers of a statistic."""
        whole = self.mapped(f"values/{name}/")
        if whole is not None:
            return whole
        places = range(len(self.header.layers))
        return tuple(self.mapped(f"values/{name}/{place}") for place in places)


class OnDisk(Mapping[str, Part], Generic[Part]):
    """A part of each statistic, mapped anew each time that it is asked for."""

    __slots__ = ("_homes", "_part")

    def __init__(
        self, homes: Mapping[str, tuple[File, str]], part: Callable[[File, str], Part]
    ) -> None:
        """Read nothing yet; `homes` say where each statistic lies, and under which name."""
        self._homes = homes
        self._part = part

    def __getitem__(self, name: str) -> Part:
        """Map the part of a statistic."""
        return self._part(*self._homes[name])

    def __iter__(self) -> Iterator[str]:
        """Go through the names."""
        return iter(self._homes)

    def __len__(self) -> int:
        """Count the statistics."""
        return len(self._homes)


@lru_cache(maxsize=1024)
def words(text: str) -> tuple[str, ...]:
    """The words of a list in JSON.

    Raises:
        AutoproxError: it is none.
    """
    return decoded(text.encode(), tuple[str, ...], "its list of names")


@lru_cache(maxsize=1024)
def places(text: str, start: int, size: int) -> Mapping[str, TensorSpan]:
    """Where tensors lie in a file of some `size`, by what its header, which ends at `start`, says.

    Raises:
        AutoproxError: one is of another type, or does not lie in the file.
    """
    facts = decoded(text.encode(), dict[str, TensorFact], "its header")
    for name, fact in facts.items():
        if fact.dtype not in TYPES or start + fact.data_offsets[1] > size:
            raise AutoproxError(f"its tensor {short(name)!r} is no statistic, or not in the file")
    return {
        name: TensorSpan(TYPES[fact.dtype], fact.shape, *(start + at for at in fact.data_offsets))
        for name, fact in facts.items()
    }


def _there(tensor: Tensor | None) -> Tensor:
    """A tensor that every file has."""
    assert tensor is not None
    return tensor

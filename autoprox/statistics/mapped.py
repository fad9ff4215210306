"""What is on disk, mapped when it is asked for: tables of any size take little memory."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Generic, TypeVar

import torch
from torch import Tensor, UntypedStorage

from autoprox.errors import AutoproxError, CacheError, reason_of, short
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

    def mapped(self) -> UntypedStorage:
        """Map the file; the map stays while a tensor in it does.

        Raises:
            CacheError: the file was removed, is another one, or cannot be mapped.
        """
        path, size = os.fsencode(self.path), self.header.size  # bytes: a path need be no text
        try:
            if os.stat(path).st_size != size:
                raise ValueError("it has another size")
            # Unlike `mmap`, a map of torch keeps no file open.
            whole = torch.from_file(path, False, size, dtype=torch.uint8)  # type: ignore[arg-type]
        except (OSError, ValueError) as error:
            raise CacheError(f"{self.path} changed while it was read: {error}; try again") from None
        except RuntimeError as error:
            raise CacheError(f"cannot map {self.path}: {reason_of(error)}") from None
        return whole.untyped_storage()

    def tensor(self, content: UntypedStorage, name: str) -> Tensor:
        """A tensor in a map of the file, with a storage of its own, which shares the memory."""
        place = self.header.places[name]
        empty = torch.empty(0, dtype=place.dtype)
        return empty.set_(content[place.begin : place.end], 0, place.shape)  # type: ignore[call-overload, no-any-return]

    def present(self, name: str) -> Tensor:
        """Which layers show a statistic."""
        return self.tensor(self.mapped(), f"present/{name}")

    def sizes(self, name: str) -> Tensor:
        """How many entries the layers' whole tensors have."""
        return self.tensor(self.mapped(), f"sizes/{name}")

    def values(self, name: str) -> Tensor | tuple[Tensor | None, ...]:
        """The numbers of a statistic."""
        content, places = self.mapped(), self.header.places
        if (whole := f"values/{name}/") in places:
            return self.tensor(content, whole)
        parts = (f"{whole}{place}" for place in range(len(self.header.layers)))
        return tuple(self.tensor(content, part) if part in places else None for part in parts)


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

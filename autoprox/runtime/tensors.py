"""Files of tensors: safetensors, with a checksum in the header; equal contents are equal bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

from autoprox.errors import AutoproxError
from autoprox.runtime.files import canonical
from autoprox.runtime.schema import Count, check_keys, converted, decoded, read_bytes

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")

Dtype: TypeAlias = Literal["BOOL", "I64", "I32", "I16", "I8", "U8", "F16", "BF16", "F32", "F64"]
"""The types of numbers, by the names that safetensors gives them."""

SIZES: Mapping[Dtype, int] = {
    "BOOL": 1, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1,
    "F16": 2, "BF16": 2, "F32": 4, "F64": 8,
}  # fmt: skip
"""Their bytes."""

_FACTS = "__metadata__"
_CHECKSUM_DIGITS = 64


@dataclass(frozen=True)
class TensorFact:
    """What a header says of a tensor.

    Attributes:
        dtype: of its numbers.
        shape: of the tensor.
        data_offsets: its first byte after the header, and the byte after its last.
    """

    dtype: Dtype
    shape: tuple[Count, ...]
    data_offsets: tuple[Count, Count]

    def __post_init__(self) -> None:
        """Check that the numbers fill the bytes.

        Raises:
            ValueError: they do not; the file's reader says where.
        """
        begin, end = self.data_offsets
        if end - begin != prod(self.shape) * SIZES[self.dtype]:
            raise ValueError(f"expected the bytes of {self.shape} numbers, got {begin} to {end}")


@dataclass(frozen=True, slots=True)
class Opened:
    """What the header of a file says.

    Attributes:
        facts: texts by name.
        tensors: JSON data by name, which `TensorFact` describes.
        start: where the header ends.
        intact: whether its checksum fits; None if there is none.
    """

    facts: Mapping[str, str]
    tensors: Mapping[str, dict[str, Any]]
    start: int
    intact: bool | None


def tensor_bytes(tensors: Mapping[str, Tensor], facts: Mapping[str, str]) -> bytes:
    """Return the bytes of a file with these tensors and facts, and a checksum."""
    from safetensors.torch import save

    # Separate copies: safetensors refuses tensors that share memory.
    copies = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    return with_checksum(save(copies, dict(facts)))


def with_checksum(draft: bytes) -> bytes:
    """Return a file of tensors and facts with a checksum.

    safetensors writes facts in random order; here, equal contents give equal bytes.
    """
    header, start = _header(draft, "")
    header[_FACTS]["checksum"] = _checksum(header, draft[start:])
    text = canonical(header).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + draft[start:]


def opened(content: bytes, place: str) -> Opened:
    """Return what the header of a file says, after a look at its checksum.

    Raises:
        AutoproxError: it is truncated, or no such file; the message begins with `place`.
    """
    header, start = _header(content, place)
    try:
        facts = converted(header.pop(_FACTS, {}), dict[str, str], _FACTS)
    except AutoproxError as error:
        raise AutoproxError(f"{place} is damaged: {error}") from None
    intact = None
    if "checksum" in facts:
        intact = _as_written(content, start, facts["checksum"]) or (
            facts["checksum"] == _checksum({**header, _FACTS: facts}, content[start:])
        )
    else:
        check_keys(content[8:start], f"{place}, its header,")
    return Opened(facts, header, start, intact)


def read_tensors(path: Path, sealed: bool = False) -> tuple[dict[str, Tensor], Mapping[str, str]]:
    """Return the tensors and the facts of a file.

    Args:
        path: the file.
        sealed: whether it must have a checksum; weights of elsewhere have none.

    Raises:
        AutoproxError: it cannot be read, is no such file, or was truncated or altered.
    """
    from safetensors.torch import load

    return read_by(load, path, sealed)


def read_by(
    load: Callable[[bytes], dict[str, T]], path: Path, sealed: bool = False, most: int | None = None
) -> tuple[dict[str, T], Mapping[str, str]]:
    """Return the tensors, as `load` of safetensors has them, and the facts of a file.

    Args:
        load: of ``safetensors.torch`` or ``safetensors.numpy``.
        path: the file.
        sealed: whether it must have a checksum.
        most: its largest size in bytes; None for any size.

    Raises:
        AutoproxError: it cannot be read, is no such file, or was truncated or altered.
    """
    from safetensors import SafetensorError

    content = read_bytes(path, most)
    header = opened(content, str(path))
    if header.intact is False or (sealed and not header.intact) or _renamed(header.facts):
        raise AutoproxError(
            f"{path} is damaged: its checksum does not fit, so it was truncated or altered"
        )
    try:
        return load(content), header.facts
    except (SafetensorError, KeyError, ValueError) as error:  # a KeyError: an unknown dtype
        raise AutoproxError(f"{path} is damaged: {error}") from None


def _renamed(facts: Mapping[str, str]) -> bool:
    """Say whether a file of ours has a checksum under a name that was damaged."""
    others = (fact for name, fact in facts.items() if name not in ("autoprox", "checksum"))
    return "autoprox" in facts and any(len(fact) == _CHECKSUM_DIGITS for fact in others)


def _header(content: bytes, place: str) -> tuple[dict[str, dict[str, Any]], int]:
    """Return the header of a file and the place where its data start."""
    length = int.from_bytes(content[:8], "little")
    if len(content) < 8 or length > len(content) - 8:
        raise AutoproxError(f"{place} is damaged: it is truncated, or no safetensors file")
    header = decoded(content[8 : 8 + length], dict[str, dict[str, Any]], f"{place}, its header,")
    return header, 8 + length


def _as_written(content: bytes, start: int, checksum: str) -> bool:
    """Say whether a checksum fits a file as `with_checksum` writes it.

    That is known from the bytes alone, in a fifth of the time that writing the header again takes.
    """
    text = content[8:start].rstrip(b" ")
    entry = f'"checksum":"{checksum}"'.encode(errors="replace")
    before, _, after = text.partition(entry)
    if before.endswith(b","):
        before = before[:-1]
    else:
        after = after.removeprefix(b",")
    digest = hashlib.sha256(before)
    digest.update(after)
    digest.update(memoryview(content)[start:])
    return digest.hexdigest() == checksum


def _checksum(header: Mapping[str, Any], data: bytes) -> str:
    """Return the SHA-256 of a header, but for the checksum itself, and of the data."""
    facts = {name: fact for name, fact in header[_FACTS].items() if name != "checksum"}
    digest = hashlib.sha256(canonical({**header, _FACTS: facts}).encode())
    digest.update(data)
    return digest.hexdigest()

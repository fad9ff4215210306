"""Files of JSON that are read back: one schema for each kind of file, checked here alone.

A file says what it is (``format``) and by which version of that it was written (``version``). What
a search goes on from ends with a checksum of all that stands before it, so that no changed digit is
believed; so does each line of a file of lines. msgspec checks keys, types, ranges and nesting while
it reads, so that a hostile file is refused before it takes memory.
"""

from __future__ import annotations

import json
import math
import os
import re
import stat
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Generic, TypeAlias, TypeVar

import msgspec

from autoprox.errors import AutoproxError, short
from autoprox.runtime.files import digits, write_text

T = TypeVar("T")

Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
"""A whole number that is not negative."""

Correlation: TypeAlias = Annotated[float, msgspec.Meta(ge=-1.001, le=1.001)]
Percent: TypeAlias = Annotated[float, msgspec.Meta(ge=0, le=100)]

MIB = 2**20
MOST_BYTES = 64 * MIB
"""No file of JSON is larger, unless its kind says so."""

MOST_CHECKED = 4 * MIB
"""No larger text is searched for keys that stand twice."""

_CHUNK = 2**16

_CHECKSUM = '"checksum": "'
_DIGITS = 16

_WORDS = {
    "int": "a whole number",
    "float": "a number",
    "str": "text",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
}
"""What msgspec calls a type, and what a message calls it."""

_ESCAPE = re.compile(r"JSON is malformed: .*(surrogate pair|end of hex escape)")
"""What msgspec says of an escape such as ``\\ud800`` that stands alone."""


@dataclass(frozen=True)
class _Head:
    """What every file says of itself."""

    format: str = ""
    version: int = 0


@dataclass(frozen=True)
class FileKind(Generic[T]):
    """A kind of file: a JSON object with the keys ``format`` and ``version``.

    Attributes:
        form: what the key ``format`` says.
        version: the newest version, which is written.
        schema: the dataclass of the object's other keys, or ``dict[str, Any]`` for any.
        sealed: the first version whose files end with a checksum; None if people write such files.
        most: the largest size in bytes.
    """

    form: str
    version: int
    schema: type[T]
    sealed: int | None = None
    most: int = MOST_BYTES

    def read(self, path: Path, oldest: int = 1) -> T:
        """Return what a file says.

        Args:
            path: the file.
            oldest: the earliest version that will do.

        Raises:
            AutoproxError: the file is missing, too large, truncated, altered, of another kind, or
                of a version that cannot be read; or a key is missing or has a value that it cannot
                have. The message names file, line and key.
        """
        content = read_bytes(path, self.most)
        head = decoded(content, _Head, str(path))
        if head.format != self.form:
            raise AutoproxError(
                f"{path} is no {self.form!r} file: its format is {short(head.format)!r}"
            )
        if head.version > self.version:
            raise AutoproxError(
                f"{path} has version {head.version} of the format {self.form!r}; "
                f"this autoprox reads up to {self.version}: upgrade autoprox"
            )
        if head.version < oldest:
            raise AutoproxError(
                f"{path} has version {head.version} of the format {self.form!r}; expected "
                f"{oldest} or later: an earlier autoprox wrote it, do it again with this one"
            )
        must = self.sealed is not None and head.version >= self.sealed
        if must or (self.sealed is not None and _CHECKSUM.encode() in content):
            check_seal(content, str(path))
        else:
            check_keys(content, str(path))
        return decoded(content, self.schema, str(path))

    def write(
        self, path: Path, data: Mapping[str, Any], other: str = "--out", indent: int | None = 2
    ) -> None:
        """Write an object with these keys; without an indent on one line, which is faster.

        Raises:
            RunError: the file cannot be written; the message says to choose another `other`.
        """
        write_text(path, self.text(data, indent), other)

    def text(self, data: Mapping[str, Any], indent: int | None = 2) -> str:
        """Return the text of a file with these keys."""
        whole = {"format": self.form, "version": self.version, **data}
        return (dumped if self.sealed is None else sealed)(whole, indent) + "\n"


def dumped(data: Mapping[str, Any], indent: int | None = None) -> str:
    """Return an object as JSON, with "?" for lone surrogates, which UTF-8 cannot hold."""
    text = json.dumps(data, indent=indent, ensure_ascii=False, allow_nan=False)
    return text.encode(errors="replace").decode()


def sealed(data: Mapping[str, Any], indent: int | None = None) -> str:
    """Return an object as JSON, with a checksum as its last key.

    >>> sealed({"a": 1})
    '{"a": 1, "checksum": "15a1c17341c913f1"}'
    """
    text = dumped({**data, "checksum": ""}, indent)
    at = text.rindex(_CHECKSUM) + len(_CHECKSUM)
    return text[:at] + digits(text[:at], _DIGITS) + text[at:]


def check_seal(text: bytes, place: str) -> None:
    """Check the checksum at the end of a JSON object.

    Raises:
        AutoproxError: there is none, it does not fit, or more than the object's end follows it.
    """
    before, key, end = text.rpartition(_CHECKSUM.encode())
    mark = digits(before + key, _DIGITS).encode() + b'"'
    if not end.startswith(mark) or end.removeprefix(mark).strip() != b"}":
        raise AutoproxError(
            f"{place} is damaged: its checksum does not fit, so it was truncated or altered"
        )


def row_digest(cells: Iterable[str]) -> str:
    """Return the checksum of a row of a table, which stands in its last cell.

    >>> row_digest(["a", "1"])
    '0fa951528f20c6c5'
    """
    return digits(",".join(cells).encode(errors="replace"), _DIGITS)


class RepeatedKeyError(ValueError):
    """A key that an object of JSON has twice, of which only one value would be taken."""


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make an object of the keys and values in JSON.

    Raises:
        RepeatedKeyError: a key occurs twice.
    """
    entries = dict(pairs)
    if len(entries) < len(pairs):
        twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise RepeatedKeyError(f"the key {short(twice)!r} occurs twice")
    return entries


_KEYS = json.JSONDecoder(
    object_pairs_hook=unique, parse_int=str, parse_float=str, parse_constant=str
)


def check_keys(content: bytes | str, place: str) -> None:
    """Check that no object in JSON has a key twice, which a checksum tells where there is one.

    A text larger than `MOST_CHECKED` is not checked: Python's reader, which alone sees both keys,
    may take twenty times its size in memory.

    Raises:
        AutoproxError: one has, or it is no JSON; the message begins with `place`.
    """
    if len(content) > MOST_CHECKED:
        return
    try:
        _KEYS.decode(content if isinstance(content, str) else content.decode())
    except RecursionError:
        raise AutoproxError(f"{place} is damaged: it is nested too deeply") from None
    except RepeatedKeyError as error:
        raise AutoproxError(f"{place} is damaged: {error}; keep one of them") from None
    except ValueError as error:
        raise AutoproxError(f"{place} is damaged or no JSON: {error}") from None


def decoded(content: bytes, schema: type[T], place: str) -> T:
    """Return the JSON value that `content` is, as `schema` has it.

    Raises:
        AutoproxError: it is no such value; the message begins with `place`.
    """
    try:
        value: T = _decoder(schema).decode(content)
        return value
    except RecursionError:
        raise AutoproxError(f"{place} is damaged: it is nested too deeply") from None
    except (msgspec.MsgspecError, ValueError) as error:
        raise AutoproxError(f"{place} is damaged{_reason(str(error), content)}") from None


_decoder: Callable[[Any], msgspec.json.Decoder[Any]] = cache(msgspec.json.Decoder)
"""Returns what reads a schema; to make one takes longer than to read a small file."""


def converted(data: object, schema: type[T], key: str = "") -> T:
    """Return JSON data as `schema` has it.

    Raises:
        AutoproxError: it is no such value; the message names the key, below `key`.
    """
    try:
        return msgspec.convert(data, type=schema)
    except msgspec.MsgspecError as error:
        reason = _reason(str(error).replace("- at `$", f"- at `$.{key}"), b"")
        raise AutoproxError(reason.removeprefix(": ")) from None


def sealed_lines(content: bytes, schema: type[T], path: Path, must: bool = True) -> Iterator[T]:
    """Yield the objects of a file of lines.

    Args:
        content: of the file, or its beginning.
        schema: of each line, without the checksum.
        path: the file.
        must: whether every line has a checksum; what an earlier autoprox wrote has none.

    Raises:
        AutoproxError: a line was altered, or is no such object; the message names it.
    """
    decoder = _decoder(schema)
    for number, line in enumerate(content.splitlines(), start=1):
        if must:
            check_seal(line, f"{path}, line {number},")
        try:
            value: T = decoder.decode(line)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            value = decoded(line, schema, f"{path}, line {number},")
        yield value


def read_bytes(path: Path, most: int | None = None) -> bytes:
    """Return what a file holds.

    What has no end, or a pipe that nobody may ever write into, is no file; but a pipe that the
    shell opened, as ``<(...)`` does, is read like one.

    Args:
        path: the file.
        most: its largest size in bytes; None for any size.

    Raises:
        AutoproxError: it cannot be read, is no file, or is larger than `most` bytes.
    """
    try:
        kind = os.stat(path).st_mode
        opened = path.parts[:2] in (("/", "dev"), ("/", "proc"))
        if (stat.S_ISFIFO(kind) and not opened) or (most is None and not stat.S_ISREG(kind)):
            raise OSError(
                f"it is a {'folder' if stat.S_ISDIR(kind) else 'pipe or device'}, no file"
            )
        with open(path, "rb", buffering=0) as file:
            limit = math.inf if most is None else most
            # Not `read(most + 1)`: it would take that much memory, and a pipe has no size.
            size = os.fstat(file.fileno()).st_size
            content = file.read(size + 1) if size <= limit else b""
            size = len(content) or size  # a first read may be short
            parts = [content]
            while size <= limit and (more := file.read(_CHUNK)):
                parts.append(more)
                size += len(more)
    except (OSError, ValueError) as error:  # a NUL in a path is a ValueError
        raise AutoproxError(
            f"cannot read {path}: {getattr(error, 'strerror', None) or error}"
        ) from None
    if most is not None and size > most:
        raise AutoproxError(f"{path} is larger than {most // MIB} MiB, which no such file is")
    return b"".join(parts) if len(parts) > 1 else content


def read_text(path: Path, most: int = MOST_BYTES) -> str:
    """Return the text of a file in UTF-8, without the byte-order mark that spreadsheets write.

    Raises:
        AutoproxError: it cannot be read, is no file, no text, or larger than `most` bytes.
    """
    try:
        text = read_bytes(path, most).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise AutoproxError(
            f"cannot read {path}: it is no text in UTF-8 ({error.reason} at byte {error.start}); "
            "save it as UTF-8"
        ) from None
    if "\0" in text:
        raise AutoproxError(f"cannot read {path}: it is no text, it has a NUL")
    return text


def _reason(message: str, content: bytes) -> str:
    """Return what msgspec says, with the place first and in plain words."""
    if (byte := re.search(r"\(byte (\d+)\)", message)) is not None:
        line = content.count(b"\n", 0, int(byte[1])) + 1
        message = _ESCAPE.sub(
            r"a \\u in a text begins no character: it is cut off or a lone surrogate", message
        )
        return f" or no JSON, in line {line}: {message.partition(' (byte')[0]}"
    message, _, place = message.partition(" - at `$")
    key = place.rstrip("`").lstrip(".")
    missing = re.fullmatch(r"Object missing required field `(.*)`", message)
    if missing is not None:
        return f": the key {'.'.join(filter(None, (key, missing[1])))} is missing"
    message = re.sub(
        r"\b(int|float|str|bool|array|object)\b", lambda match: _WORDS[match[0]], message
    )
    message = message.replace("`", "").replace(" | ", " or ")
    return f": {f'{key}: ' if key else ''}{message[:1].lower()}{message[1:]}"

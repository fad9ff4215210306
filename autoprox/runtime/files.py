"""Files: written whole or not at all, or added to; read with care; named by their key."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from autoprox.errors import AutoproxError, CacheError, RunError


def write_bytes(path: Path, content: bytes, other: str = "--out") -> None:
    """Write `content` to a temporary name beside `path`, then rename it; make the folder first.

    Args:
        path: the file.
        content: all of it.
        other: what the message of a failure says to choose another one of.

    Raises:
        RunError: the folder cannot be written, or the disk is full.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(content)
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True) if temporary.parent.is_dir() else None
        raise RunError(
            f"cannot write {path}: {error.strerror or error}; choose another {other}"
        ) from None


def write_text(path: Path, text: str, other: str = "--out") -> None:
    """Write text in UTF-8 as `write_bytes` does."""
    write_bytes(path, text.encode(), other)


def append_text(path: Path, text: str) -> int:
    """Put text in UTF-8 at the end of a file; return how many bytes the file has then.

    Raises:
        OSError: the file cannot be written; some of the text may stand in it.
    """
    with path.open("a", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        return os.fstat(file.fileno()).st_size


def free_folder(base: Path) -> Path:
    """Return a folder's path, or the first of ``base-2``, ``base-3``, ... that is not taken."""
    folder, number = base, 1
    while folder.exists():
        number += 1
        folder = base.with_name(f"{base.name}-{number}")
    return folder


def absolute(path: str) -> str:
    """Return a path so that it holds in any folder."""
    return str(Path(path).expanduser().resolve())


def write_json(
    path: Path, data: dict[str, Any], other: str = "--out", indent: int | None = 2
) -> None:
    """Write JSON data as `write_bytes` does; without an indent on one line, which is faster."""
    text = json.dumps(data, indent=indent, ensure_ascii=False, allow_nan=False) + "\n"
    write_text(path, text, other)


def read_json(path: Path, form: str, version: int) -> dict[str, Any]:
    """Return the JSON object in a file of ours.

    Args:
        path: the file.
        form: what its key ``format`` says.
        version: the newest version of that format that is understood.

    Raises:
        AutoproxError: the file is missing, truncated, of another format, or newer.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise AutoproxError(f"cannot read {path}: {error.strerror or error}") from None
    except ValueError as error:
        raise AutoproxError(f"{path} is damaged or no JSON: {error}") from None
    if not isinstance(data, dict) or data.get("format") != form:
        found = data.get("format") if isinstance(data, dict) else type(data).__name__
        raise AutoproxError(f"{path} is no {form!r} file: its format is {found!r}")
    if not isinstance(data.get("version"), int) or data["version"] > version:
        raise AutoproxError(
            f"{path} has version {data.get('version')!r} of the format {form!r}; "
            f"this autoprox reads up to {version}: upgrade autoprox"
        )
    return data


def check_known(data: Iterable[str], settings: type) -> None:
    """Check the names of settings that were read from a run's folder.

    Args:
        data: the names.
        settings: the dataclass that they are fields of.

    Raises:
        RunError: there is an unknown one.
    """
    unknown = sorted(set(data) - {field.name for field in fields(settings)})
    if unknown:
        raise RunError(f"unknown settings {', '.join(unknown)}: the run is of another autoprox")


def canonical(key: object) -> str:
    """Return the one JSON text of a key.

    Raises:
        CacheError: it is not made of JSON values.

    >>> canonical({"b": 1, "a": [True, None]})
    '{"a":[true,null],"b":1}'
    """
    try:
        return json.dumps(key, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise CacheError(
            f"expected a key made of JSON values; got {key!r} ({error}); give the config of an "
            "architecture plain numbers and text"
        ) from None


def digits(text: str, count: int) -> str:
    """Return the first `count` hexadecimal digits of the SHA-256 of a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:count]


def tupled(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return JSON data with tuples for lists, as frozen dataclasses have them."""
    return {
        name: tuple(value) if isinstance(value, list) else value for name, value in data.items()
    }

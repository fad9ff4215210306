"""Files: written whole or not at all, or added to; read with care; named by their key."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import platform
import re
import secrets
import stat
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

from autoprox.errors import AutoproxError, CacheError, RunError

STALE_SECONDS = 3600.0
"""A temporary file that is older belongs to nobody who still writes it."""

PATIENCE = 4.0
"""For how many seconds a pipe is waited for that nobody reads."""

_TEMPORARY = re.compile(r"\.(?P<machine>[0-9a-f]{8})\.(?P<process>[0-9]+)\.[0-9a-f]{8}\.tmp")
"""What `replace` calls a file before it is whole."""


def write_bytes(path: Path, content: bytes, other: str = "--out") -> None:
    """Write `content` as `replace` does, for good; make the folder first.

    A pipe or a device is written into, and so is what ``/dev/stdout`` and its like stand for.

    Args:
        path: the file.
        content: all of it.
        other: what the message of a failure says to choose another one of.

    Raises:
        RunError: the folder cannot be written, the disk is full, or `path` is no name of a file.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if is_stream(path):
            with _stream(path) as stream:
                stream.write(content)
        else:
            replace(path, content)
    except (OSError, ValueError) as error:  # a NUL in a path is a ValueError
        raise RunError(
            f"cannot write {str(path)!r}: {getattr(error, 'strerror', None) or error}; choose "
            f"another {other}"
        ) from None


def is_stream(path: Path) -> bool:
    """Say whether a path names no file, but what takes bytes.

    A link is replaced, but not those of the system to what the shell opened, file or not.
    """
    if path.is_symlink():
        return path.parts[:2] == ("/", "dev") and path.exists()
    return path.exists() and not (path.is_file() or path.is_dir())


def _stream(path: Path) -> BinaryIO:
    """Open what takes bytes, once somebody reads it.

    Raises:
        OSError: it cannot be opened, or nobody reads it.
    """
    end = time.monotonic() + PATIENCE
    while True:
        try:
            number = os.open(path, os.O_WRONLY | getattr(os, "O_NONBLOCK", 0))
        except OSError as error:
            if error.errno != errno.ENXIO or not stat.S_ISFIFO(os.stat(path).st_mode):
                raise
            if time.monotonic() > end:
                raise OSError(error.errno, "it is a pipe that nobody reads") from None
            time.sleep(0.02)
        else:
            os.set_blocking(number, True)
            return os.fdopen(number, "wb")


def replace(path: Path, content: bytes, lasting: bool = True) -> None:
    """Write `content` to a temporary name beside `path`, then rename it: all of it, or nothing.

    What processes that were killed have left half written beside it goes first.

    Args:
        path: the file.
        content: all of it.
        lasting: whether it is on the disk when this returns, so that after a power loss no file is
            older than one that was written before it. What is checked on reading, and can be made
            again, need not be.

    Raises:
        OSError: it cannot be written.
        ValueError: `path` is no name of a file.
    """
    if path.name in ("", ".."):
        raise ValueError("it is no name of a file")
    mark = f"{_machine()}.{os.getpid()}.{secrets.token_hex(4)}"
    temporary = path.with_name(f".{mark}.tmp")
    remove_stale(path.parent)
    try:
        temporary.write_bytes(content)
        if lasting:
            with temporary.open("r+b") as file:
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):  # where nothing can be written, nothing can be removed
            temporary.unlink(missing_ok=True)
        raise
    if lasting:
        _settle(path.parent)


def _settle(folder: Path) -> None:
    """Put a folder's names on the disk, where the platform can."""
    with suppress(OSError):
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


@cache
def _machine() -> str:
    """Return a mark of where the numbers of processes say anything.

    That is this machine since it was booted, and this container: others may have its name.
    """
    known = [platform.node()]
    with suppress(OSError):  # no Linux
        known.append(Path("/proc/sys/kernel/random/boot_id").read_text())
        known.append(os.readlink("/proc/self/ns/pid"))
    return digits(" ".join(known), 8)


def remove_stale(folder: Path) -> None:
    """Remove the temporary files of `replace` whose processes were killed, and nobody else's."""
    with suppress(OSError):  # a folder that cannot be read
        names = [entry.name for entry in os.scandir(folder)]
        for name in names:
            if (match := _TEMPORARY.fullmatch(name)) is None:
                continue
            path = folder / name
            with suppress(OSError):
                abandoned = match["machine"] == _machine() and not _runs(int(match["process"]))
                if abandoned or time.time() - path.stat().st_mtime > STALE_SECONDS:
                    path.unlink()


def _runs(process: int) -> bool:
    """Say whether a process of this machine runs, as far as can be known."""
    if os.name == "nt":  # where asking would end it
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # somebody else's, or no number of a process
        return True
    return True


def write_text(path: Path, text: str, other: str = "--out") -> None:
    """Write text in UTF-8 as `write_bytes` does.

    Raises:
        RunError: it has a lone surrogate, which UTF-8 lacks, or the file cannot be written.
    """
    try:
        content = text.encode()
    except UnicodeEncodeError as error:
        raise RunError(
            f"cannot write {path}: the text has the lone surrogate {text[error.start]!r}, which is "
            "no character; give what is called so another name"
        ) from None
    write_bytes(path, content, other)


def append_text(path: Path, text: str) -> int:
    """Put text in UTF-8 at the end of a file, for good; return how many bytes the file has then.

    Raises:
        OSError: the file cannot be written; some of the text may stand in it.
    """
    with path.open("a", encoding="utf-8", errors="replace") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
        return os.fstat(file.fileno()).st_size


def free_folder(base: Path) -> Path:
    """Return a folder's path, or the first of ``base-2``, ``base-3``, ... that is not taken."""
    folder, number = base, 1
    while folder.exists():
        number += 1
        folder = base.with_name(f"{base.name}-{number}")
    return folder


def absolute(path: str) -> str:
    """Return a path so that it holds in any folder.

    Raises:
        AutoproxError: it is in the home folder of an unknown user, or no path at all.
    """
    try:
        return str(user_path(path).resolve())
    except (OSError, RuntimeError, ValueError) as error:
        raise AutoproxError(f"{path!r} is no path: {error}") from None


def user_path(path: str | Path) -> Path:
    """Return a path as a user writes it, with the home folder for ``~``.

    Raises:
        AutoproxError: the home folder is not known.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise AutoproxError(
            f"the home folder in {str(path)!r} is not known; give the whole path, or set HOME"
        ) from None


def write_json(path: Path, data: dict[str, Any]) -> None:
    """Write JSON data as `write_bytes` does."""
    write_text(path, json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def check_known(data: Iterable[str], settings: type) -> None:
    """Check that names in a run's folder are fields of the dataclass `settings`.

    Raises:
        RunError: there is an unknown one.
    """
    unknown = sorted(set(data) - {field.name for field in fields(settings)})
    if unknown:
        raise RunError(f"unknown settings {', '.join(unknown)}: the run is of another autoprox")


_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)


def canonical(key: object) -> str:
    """Return the one JSON text of a key.

    Raises:
        CacheError: it is not made of JSON values.

    >>> canonical({"b": 1, "a": [True, None]})
    '{"a":[true,null],"b":1}'
    """
    try:
        return _CANONICAL.encode(key)
    except (TypeError, ValueError) as error:
        raise CacheError(
            f"expected a key made of JSON values; got {key!r} ({error}); give the config of an "
            "architecture plain numbers and text"
        ) from None


def cache_error(verb: str, folder: Path, error: OSError) -> CacheError:
    """Return the error to raise where a cache folder cannot be used: ``"read"``, ``"write to"``."""
    reasons = {errno.ENOSPC: "the disk is full", errno.EROFS: "it is read-only"}
    reason = reasons.get(error.errno or 0, error.strerror or str(error))
    return CacheError(
        f"cannot {verb} the cache folder {folder}: {reason}; choose another one with --cache or "
        "the environment variable AUTOPROX_CACHE"
    )


def digits(content: str | bytes, count: int) -> str:
    """Return the first `count` hexadecimal digits of the SHA-256 of a text, or of bytes."""
    content = content.encode() if isinstance(content, str) else content
    return hashlib.sha256(content).hexdigest()[:count]


def tupled(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return JSON data with tuples for lists, as frozen dataclasses have them."""
    return {
        name: tuple(value) if isinstance(value, list) else value for name, value in data.items()
    }

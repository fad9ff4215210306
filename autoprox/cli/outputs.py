"""Files that a command is to write: tried before anything is computed."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from tempfile import TemporaryFile

from autoprox.errors import RunError
from autoprox.runtime.files import is_stream


def check_writable(path: Path, flag: str) -> None:
    """Refuse a file that could not be written; nothing is left of the try.

    Pipes and devices are not tried, for that would be writing into them.

    Args:
        path: the file, whose folder need not exist.
        flag: the option that names it.

    Raises:
        RunError: it is a folder, or lies where no file can be made.
    """
    try:
        if path.is_dir():
            raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))
        if is_stream(path):
            return
        folder = next(parent for parent in path.absolute().parents if parent.exists())
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise RunError(
            f"cannot write {str(path)!r}: {error.strerror or error}; choose another {flag}"
        ) from None

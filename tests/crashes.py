"""A process that ends at a given point of its writing, as by kill -9."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path


class Ended(BaseException):
    """The process is no more."""


class Writing:
    """Counts what is put on the disk: every write and flush of a file, rename and removal.

    Args:
        last: the number of the event after which the process ends; None for none.
        torn: whether of the last write or flush only a part has reached the disk.
    """

    def __init__(self, last: int | None = None, torn: bool = False) -> None:
        self.last, self.torn = last, torn
        self.events = 0

    def count(self, path: str | Path | None = None) -> None:
        """Note an event; the process may end with it."""
        self.events += 1
        if self.last is not None and self.events >= self.last:
            if self.torn and path is not None and Path(path).is_file():
                os.truncate(path, max(0, os.path.getsize(path) - 7))
            raise Ended

    def check(self) -> None:
        """Raise if the process has ended."""
        if self.last is not None and self.events >= self.last:
            raise Ended


@contextmanager
def writing(monkeypatch, last=None, torn=False):
    """Count what is written inside; the process ends after the event of that number."""
    counter = Writing(last, torn)
    replace, fsync, unlink, opened = os.replace, os.fsync, Path.unlink, Path.open
    write_bytes = Path.write_bytes

    def counted_replace(source, target):
        counter.check()
        replace(source, target)
        counter.count()

    def counted_fsync(number):
        counter.check()
        fsync(number)
        counter.count(f"/proc/self/fd/{number}")

    def counted_unlink(path, missing_ok=False):
        counter.check()
        unlink(path, missing_ok)
        counter.count()

    def counted_write(path, content):
        written = write_bytes(path, content)
        counter.count(path)
        return written

    def checked_open(path, mode="r", *args, **kwargs):
        if mode[0] in "aw":
            counter.check()
        return opened(path, mode, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", counted_replace)
        patch.setattr(os, "fsync", counted_fsync)
        patch.setattr(Path, "unlink", counted_unlink)
        patch.setattr(Path, "open", checked_open)
        patch.setattr(Path, "write_bytes", counted_write)
        try:
            yield counter
        except Ended:
            pass


def contents(folder: Path) -> dict[str, bytes]:
    """Return the files of a folder, but for locks and what a dead process left half written."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock" and path.suffix != ".tmp"
    }

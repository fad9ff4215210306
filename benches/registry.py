"""The benches by name, and benches in a user's own file."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import sys
import traceback
import zlib
from collections.abc import Callable, Iterable
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn, TypeVar

from autoprox.benches.autoformer_s import autoformer_s
from autoprox.benches.bench import Bench
from autoprox.benches.darts import darts
from autoprox.benches.landmarks import landmarks
from autoprox.benches.macro import macro
from autoprox.benches.mpnb201 import mpnb201
from autoprox.benches.mq101 import mq101, mq101wide
from autoprox.benches.natssss import natssss
from autoprox.benches.nb101 import nb101
from autoprox.benches.nb201 import nb201
from autoprox.benches.resnet64 import resnet64
from autoprox.benches.rnn import rnn
from autoprox.benches.transnas import transnas
from autoprox.benches.vit101 import vit101
from autoprox.errors import AutoproxError, BenchError, UnknownNameError
from autoprox.runtime.files import digits, user_path
from autoprox.runtime.registry import Registry
from autoprox.runtime.schema import read_bytes

Made = TypeVar("Made")

BENCHES: Registry[Callable[[], Bench]] = Registry("bench")
"""Name to a function that reads the bench."""

for _bench in (
    vit101,
    nb201,
    mq101,
    mq101wide,
    mpnb201,
    natssss,
    transnas,
    nb101,
    macro,
    darts,
    autoformer_s,
    landmarks,
    rnn,
    resnet64,
):
    BENCHES.register(_bench.__name__, _bench)

MOST_TOLD = 1000
"""How much a message quotes of an error of a user's own file."""

_GENERAL = "vit101 nb201 natssss transnas nb101 macro darts autoformer_s landmarks rnn"
BENCH_SETS: dict[str, tuple[str, ...]] = {"general": tuple(_GENERAL.split())}
"""Sets of benches by name; each bench is a family, and every family counts the same."""


def load_bench(source: str | Path | Bench) -> Bench:
    """The bench of that name, or the one that a Python file defines; a bench is returned as it is.

    The file must define `bench`: a `Bench`, or a function without arguments that returns one.

    Raises:
        UnknownNameError: no bench has that name, and it is no file.
        BenchError: the file is missing, does not end with ``.py``, fails, or defines no bench; or a
            table is damaged; or it is several benches, of which one has to be named.
    """
    if isinstance(source, Bench):
        return source
    text = str(source)
    if text.endswith(".py"):
        return remembered(user_path(text), "bench", _bench_in)
    if text not in BENCHES and len(parts := several(text)) > 1:
        raise BenchError(
            f"{text!r} is {len(parts)} benches, which autoprox evolve takes all at once; name one "
            f"of them here: {', '.join(parts)}"
        )
    if text not in BENCHES and os.path.isfile(user_path(text)):
        raise BenchError(
            f"the name of a bench's file ends in .py; got {text!r}: write a file that defines "
            "`bench`, whose table autoprox.benches.read_table reads from CSV or JSON Lines"
        )
    if text not in BENCHES:
        raise _UnknownBenchError("bench", text, [*BENCHES, *BENCH_SETS])
    return BENCHES[text]()


def several(text: str) -> tuple[str, ...]:
    """The names and paths that `text` has between its commas: one bench, or several.

    A file that exists is one bench, even if its path has a comma; the name of a set stands for the
    benches of `BENCH_SETS`.

    Raises:
        BenchError: there is nothing between two commas.

    >>> several("vit101"), several("vit101, nb201")
    (('vit101',), ('vit101', 'nb201'))
    """
    if text.endswith(".py") and os.path.isfile(user_path(text)):
        return (text,)
    parts = tuple(part.strip() for part in text.split(","))
    if len(parts) > 1 and not all(parts):
        raise BenchError(f"expected benches between commas, as in vit101,nb201; got {text!r}")
    return tuple(name for part in parts for name in BENCH_SETS.get(part, (part,)))


def load_named(source: str | Path | Bench) -> None:
    """Load the benches that a user named, if any: words that their files define are then known.

    Raises:
        AutoproxError: one of them cannot be loaded, see `load_bench`.
    """
    for name in several(str(source)) if source and not isinstance(source, Bench) else ():
        load_bench(name)


class _UnknownBenchError(UnknownNameError):
    """A name that no bench has; says that a path works too."""

    def __str__(self) -> str:
        return f"{super().__str__()}; a path to a .py file that defines `bench` works too"


def remembered(path: Path, word: str, make: Callable[[Path, str], Made]) -> Made:
    """What `make` makes of a user's file and its digest, once: what a file registers stays so.

    Raises:
        BenchError: there is no such file, or it cannot be read.
    """
    if not os.path.isfile(path):
        raise BenchError(f"there is no file {path}; give a {word}'s name or a path to a .py file")
    digest = file_digest(path)
    key = word, path.resolve(), digest
    if key not in _MADE:
        _MADE[key] = make(path, digest)
    made: Made = _MADE[key]
    return made


_MADE: dict[tuple[str, Path, str], Any] = {}
"""What was made of files so far, by word, path and digest."""


def file_digest(path: Path) -> str:
    """The first 16 digits of the SHA-256 of a file of a user's own.

    Raises:
        BenchError: it cannot be read.
    """
    try:
        return digits(read_bytes(path), 16)
    except AutoproxError as error:
        raise BenchError(f"{error}; give a file that you may read") from None


def _bench_in(path: Path, digest: str) -> Bench:
    """The bench that the file `path` defines; its text is part of the bench's version."""
    module = executed(path)
    if not hasattr(module, "bench"):
        raise BenchError(
            f"{path} defines no `bench`; it must define a Bench, or a function that returns one"
        )
    bench = called(path, module.bench) if callable(module.bench) else module.bench
    if not isinstance(bench, Bench):
        raise BenchError(
            f"{path}: `bench` must be a Bench, or a function that returns one; "
            f"got {type(bench).__name__}"
        )
    return dataclasses.replace(bench, version=f"{bench.version} {digest}")


_EXECUTED: set[tuple[Path, str]] = set()
"""The files that this process has executed, with digests of their content."""


def unnamed_files(names: Iterable[str]) -> list[str]:
    """Those of the names of benches or spaces that are files this process has not executed.

    No file is executed because a run's folder names it: somebody else may have sent the folder.
    What this process has executed before, its user named.
    """
    return [name for name in names if name.endswith(".py") and not _is_executed(Path(name))]


def known_bench(name: str) -> Bench | None:
    """The bench that a run's folder names, or None if it cannot be had; see `unnamed_files`."""
    try:
        return None if unnamed_files([name]) else load_bench(name)
    except AutoproxError:
        return None


def _is_executed(path: Path) -> bool:
    """Whether this process has executed a file as it is now; no if it cannot be read."""
    try:
        return (path.resolve(), file_digest(path)) in _EXECUTED
    except (BenchError, OSError, ValueError):
        return False


class _Anew(SourceFileLoader):
    """Compiles a file as it is now; compiled code beside it may be older, or another file's."""

    def path_stats(self, path: str) -> NoReturn:
        """Raise, so that compiled code is neither looked up nor kept."""
        raise OSError


def executed(path: Path) -> ModuleType:
    """The module that results from executing the file `path`."""
    _EXECUTED.add((path.resolve(), file_digest(path)))
    name = f"autoprox_file_{path.stem}_{zlib.crc32(str(path.resolve()).encode()):08x}"
    spec = importlib.util.spec_from_file_location(name, path, loader=_Anew(name, str(path)))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up while the file is executed
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise failure(path, error) from None
    finally:
        # A worker process cannot import the file by this name. While it is not among the loaded
        # modules, cloudpickle sends what the file defines by value, and the workers need no import.
        del sys.modules[name]
    return module


def called(path: Path, function: Callable[[], Any]) -> Any:
    """What a function or class of the file `path` returns.

    Raises:
        BenchError: it fails.
    """
    try:
        return function()
    except (Exception, SystemExit) as error:
        raise failure(path, error) from None


def failure(path: Path, error: BaseException) -> BenchError:
    """What went wrong in the user's file: type, message and the deepest line of that file."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if Path(frame.filename) == path.absolute()]
    lines += [frame.lineno for frame in frames if frame.filename == str(path)]
    line = lines[-1] if lines else getattr(error, "lineno", None)
    where = f"{path}, line {line}" if line else str(path)
    message = str(error)
    message = message if len(message) <= MOST_TOLD else f"{message[:MOST_TOLD]}..."
    return BenchError(f"{where}: {type(error).__name__}: {message}")

"""The cache: measurements on disk, a safetensors file for what was measured together.

A file is named by the digest of its key (everything that determines its content) and the digest of
the names of its statistics. So writers of different statistics never touch the same file, writers
of the same ones write the same content, and what is stored of an architecture is the union of its
files. Files appear complete or not at all, and are checked in full when they are first read.

What is loaded knows where its tensors lie, and maps one each time that it is asked for. So a table
of any size takes little memory, and only what is used is read.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from autoprox.errors import AutoproxError, CacheError
from autoprox.runtime.files import cache_error, canonical, digits, replace, user_path
from autoprox.runtime.schema import converted, decoded
from autoprox.runtime.tensors import opened, tensor_bytes
from autoprox.statistics.mapped import File, Header, OnDisk, places, words
from autoprox.statistics.measurement import Measurement, Sample
from autoprox.statistics.words import STATISTICS, TAUGHT

FORMAT = 1
"""Version of the layout of a file."""

TEACHER = "teacher"
"""What a key says of a teacher; what is measured of a network alone is kept under a key without."""

_SUFFIX = ".safetensors"


@dataclass(frozen=True, slots=True)
class Info:
    """The extent of a cache."""

    files: int
    bytes: int
    architectures: int


class _Damaged(Exception):
    """A file that is not what was written."""


def default_folder() -> Path:
    """The cache folder: ``AUTOPROX_CACHE``, else ``autoprox`` in the user's folder for caches.

    Raises:
        CacheError: nobody knows the user's home folder.
    """
    if chosen := os.environ.get("AUTOPROX_CACHE"):
        return Path(chosen)
    if os.name == "nt" and (local := os.environ.get("LOCALAPPDATA")):
        return Path(local) / "autoprox"
    try:
        return user_path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "autoprox"
    except AutoproxError:
        raise CacheError(
            "there is no home folder to keep a cache in; name one with --cache or the environment "
            "variable AUTOPROX_CACHE"
        ) from None


class Store:
    """Measurements in a folder, which any number of processes may share.

    Attributes:
        folder: where the files lie, in subfolders by the first two digits of their names.
        damaged: files found unreadable, with the reason. What they held counts as missing, and is
            put in their place when it is saved again.
    """

    def __init__(self, folder: str | Path | None = None) -> None:
        """Open the cache in `folder`, by default `default_folder()`; nothing is written yet."""
        self.folder = Path(folder) if folder is not None else default_folder()
        self.damaged: list[tuple[Path, str]] = []
        self._checked: dict[Path, tuple[tuple[int, int], Header]] = {}

    def missing(self, key: Mapping[str, object], names: Iterable[str]) -> tuple[str, ...]:
        """Those of `names` that no readable file of `key` holds.

        Raises:
            CacheError: a file belongs to another key, or was written by a newer version.
        """
        held = {name for file in self._files(key) for name in file.header.names}
        return tuple(name for name in names if _stored_name(name) not in held)

    def save(self, key: Mapping[str, object], measurement: Measurement) -> Path:
        """Write `measurement` under `key` and return the file, or one of two.

        Beside a teacher, what is measured of the network alone has a file that other teachers read.

        Raises:
            CacheError: the folder cannot be written, or `key` is not made of JSON values.
        """
        taught = [name for name in measurement.names if TEACHER in key and name in TAUGHT]
        alone = [name for name in measurement.names if name not in taught]
        parts = [(_alone(key), alone), (key, taught)]
        *_, path = [
            self._write(
                canonical(part_key), measurement.renamed({n: _stored_name(n) for n in names})
            )
            for part_key, names in parts
            if names
        ]
        return path

    def _write(self, text: str, measurement: Measurement) -> Path:
        """Write one file under the text of a key."""
        digest, part = digits(text, 16), digits(",".join(sorted(measurement.names)), 8)
        path = self.folder / digest[:2] / f"{digest}.{part}{_SUFFIX}"
        content = _content(text, measurement)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            replace(path, content, lasting=False)
        except OSError as error:
            raise cache_error("write to", self.folder, error) from None
        self._checked.pop(path, None)
        self.damaged = [(file, reason) for file, reason in self.damaged if file != path]
        return path

    def load(self, key: Mapping[str, object], names: Iterable[str]) -> Measurement:
        """The statistics `names` stored under `key`, each memory-mapped when it is asked for.

        Writing into the tensors changes a private copy, never the file.

        Raises:
            CacheError: some are missing or damaged, a file belongs to another key, or was written
                by a newer version.
        """
        wanted = {name: _stored_name(name) for name in names}
        files = self._files(key)
        holders = {name: file for file in reversed(files) for name in file.header.names}
        absent = [name for name, stored in wanted.items() if stored not in holders]
        if absent or not files:
            reasons = "".join(f"; {path.name}: {reason}" for path, reason in self.damaged)
            raise CacheError(
                f"{', '.join(absent) or 'the architecture'} not in the cache {self.folder} for "
                f"{canonical(key)[:200]}{reasons}; measure and save first"
            )
        first = files[0].header
        if len({(file.header.layers, file.header.roles, file.header.sample) for file in files}) > 1:
            raise CacheError(
                "the files of one architecture disagree on its layers: "
                f"{', '.join(file.path.name for file in files)} in {self.folder}; remove them "
                "and measure again"
            )
        homes = {name: (holders[stored], stored) for name, stored in wanted.items()}
        return Measurement(
            first.layers,
            first.roles,
            first.sample,
            OnDisk(homes, File.values),
            OnDisk(homes, File.present),
            OnDisk(homes, File.sizes),
        )

    def info(self) -> Info:
        """Count the files, their bytes and their architectures, without reading them."""
        files = list(self.folder.glob(f"??/*{_SUFFIX}"))
        digests = {file.name.partition(".")[0] for file in files}
        return Info(len(files), sum(file.stat().st_size for file in files), len(digests))

    def _files(self, key: Mapping[str, object]) -> list[File]:
        """The readable files of `key`, with a teacher and without; damaged ones are noted."""
        texts = dict.fromkeys(canonical(part) for part in (key, _alone(key)))
        return [file for text in texts for file in self._files_of(text)]

    def _files_of(self, text: str) -> list[File]:
        """The readable files of the text of a key, in alphabetical order."""
        digest = digits(text, 16)
        files = []
        for path in sorted((self.folder / digest[:2]).glob(f"{digest}.*{_SUFFIX}")):
            try:
                header = self._verified(path)
            except FileNotFoundError:
                continue
            except _Damaged as damage:
                if all(path != file for file, _ in self.damaged):
                    self.damaged.append((path, str(damage)))
                continue
            except OSError as error:
                raise cache_error("read", self.folder, error) from None
            if header.key != text:
                raise CacheError(
                    f"{path} belongs to {header.key[:200]}, not to {text[:200]}; "
                    "it was renamed or copied here: remove it"
                )
            files.append(File(path, header))
        return files

    def _verified(self, path: Path) -> Header:
        """The header of `path`, checked in full unless this store already did."""
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # a pipe would be read for ever
            raise _Damaged("it is no file")
        stamp = (status.st_mtime_ns, status.st_size)
        known = self._checked.get(path)
        if known is None or known[0] != stamp:
            known = self._checked[path] = (stamp, _checked_header(path))
        return known[1]


def _alone(key: Mapping[str, object]) -> dict[str, object]:
    """The key of what does not depend on a teacher."""
    return {name: value for name, value in key.items() if name != TEACHER}


def _stored_name(name: str) -> str:
    """The name that files keep a statistic under."""
    return STATISTICS[name].stored_name if name in STATISTICS else name


def _content(key: str, measurement: Measurement) -> bytes:
    """The bytes of the file that holds `measurement` under `key`."""
    tensors: dict[str, Tensor] = {}
    for name, values in measurement.values.items():
        parts = {"": values} if isinstance(values, Tensor) else dict(enumerate(values))
        for part, tensor in parts.items():
            if tensor is not None:
                tensors[f"values/{name}/{part}"] = tensor
        tensors[f"present/{name}"] = measurement.present[name]
        tensors[f"sizes/{name}"] = measurement.sizes[name]
    facts = {
        "format": str(FORMAT),
        "key": key,
        "layers": json.dumps(measurement.layers),
        "roles": json.dumps(measurement.roles),
        "sample": json.dumps(measurement.sample),
        "names": json.dumps(measurement.names),
    }
    return tensor_bytes(tensors, facts)


@dataclass(frozen=True)
class _HeaderFacts:
    """What a file says of its tensors: a key, and JSON."""

    key: str
    layers: str
    roles: str
    sample: str
    names: str


def _checked_header(path: Path) -> Header:
    """The header of `path`, with its version and checksum checked."""
    content = path.read_bytes()
    try:
        header = opened(content, "it")
        version = header.facts.get("format", "")
        if header.intact is None or not re.fullmatch("[0-9]{1,9}", version):
            raise AutoproxError("it was not written by autoprox")
        if not header.intact:
            raise AutoproxError("its checksum does not match: it is truncated or altered")
        if int(version) < FORMAT:
            raise AutoproxError(f"it has the old format {version}")
        if int(version) == FORMAT:
            facts = converted(header.facts, _HeaderFacts)
            return Header(
                facts.key,
                words(facts.layers),
                words(facts.roles),
                decoded(facts.sample.encode(), Sample, "its sample"),  # type: ignore[arg-type]
                words(facts.names),
                places(canonical(header.tensors), header.start, len(content)),
                len(content),
            )
    except AutoproxError as error:
        raise _Damaged(str(error)) from None
    raise CacheError(
        f"{path} has format {version}, this autoprox reads up to {FORMAT}: upgrade autoprox, or "
        "choose another folder with --cache or the environment variable AUTOPROX_CACHE"
    )

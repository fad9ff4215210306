"""The cache of scores: what proxies gave on an architecture, in small JSON files.

A file holds the scores that were computed together. It is named by the digest of the architecture's
key (all that determines what a network shows) and of what it holds, so that writers of different
scores never touch the same file. A failure is kept with its reason, as a score is.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from autoprox.errors import AutoproxError
from autoprox.primitives import PRIMITIVES
from autoprox.proxies.fitted import FittedProxy
from autoprox.proxies.function import FunctionProxy
from autoprox.proxies.functions import HOMES
from autoprox.proxies.loading import Scorable
from autoprox.runtime.digest import Digest, digest
from autoprox.runtime.files import cache_error, canonical, digits, replace
from autoprox.runtime.schema import FileKind
from autoprox.statistics import STATISTICS

SCORES_VERSION = 5
"""Raised whenever a primitive, or the way expressions are evaluated, changes a score."""


@dataclass
class Kept:
    """The scores of proxies on one architecture, by the proxies' identities (see `identity`).

    Attributes:
        scores: finite scores.
        failures: why there is no score.
        seconds: how long the proxy alone took.
    """

    scores: dict[str, float] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def knows(self, proxy: str) -> bool:
        """Say whether the proxy was tried."""
        return proxy in self.scores or proxy in self.failures

    def add(self, other: Kept) -> None:
        """Add what else is known."""
        self.scores.update(other.scores)
        self.failures.update(other.failures)
        self.seconds.update(other.seconds)


@dataclass(frozen=True)
class ScoreFile:
    """A file of scores: the key, and what is kept under it; see `Kept`."""

    key: dict[str, Any]
    scores: dict[str, float]
    failures: dict[str, str]
    seconds: dict[str, float]


SCORES = FileKind("autoprox scores", 2, ScoreFile, sealed=2)


def identity(proxy: Scorable) -> str:
    """Return a text that changes whenever the proxy may give other scores.

    It holds the expression, the function's name and version, or the digest of what was fitted, the
    versions of its statistics, and a digest of all code that does not ship with autoprox. It is the
    same in every process if the scores can be cached, see `keepable`.
    """
    name, digests = _own_code(proxy)
    kept = keepable(proxy)
    marks = [f" {code.text if kept else code.mark}" for code in digests]
    if not isinstance(proxy, FunctionProxy):
        used = [STATISTICS[word] for word in proxy.statistics]
        marks += [f" {word.stored_name}" for word in used if word.version and not word.own]
    return name + "".join(marks)


def keepable(proxy: Scorable) -> bool:
    """Say whether scores can be cached: all code has a digest, or a version was declared."""
    if isinstance(proxy, FunctionProxy) and proxy.version is not None:
        return True
    return not any(code.missing for code in _own_code(proxy)[1])


def _own_code(proxy: Scorable) -> tuple[str, list[Digest]]:
    """Return what a proxy is called, and digests of its code that does not ship."""
    if isinstance(proxy, FunctionProxy):
        name = f"{proxy.name} {1 if proxy.version is None else proxy.version}"
        if proxy.name in HOMES and _from_autoprox(proxy.function):
            return name, []
        shown = f" {proxy.batch} {proxy.needs_bits:d}{proxy.needs_teacher:d}"
        return name + shown, [digest(proxy.function)]

    graphs = proxy.inputs if isinstance(proxy, FittedProxy) else (proxy.graph,)
    words = sorted({node.word for graph in graphs for node in graph if node.args})
    functions = [PRIMITIVES[word].function for word in words]
    functions = [function for function in functions if not _from_autoprox(function)]
    functions += [own.function for name in proxy.statistics if (own := STATISTICS[name].own)]
    name = f"fitted {proxy.digest}" if isinstance(proxy, FittedProxy) else proxy.graph.text
    return name, [digest(function) for function in functions]


def _from_autoprox(function: Callable[..., Any]) -> bool:
    return (getattr(function, "__module__", None) or "").startswith("autoprox.")


class ScoreStore:
    """Scores in the folder ``scores`` of a cache, which any number of processes may share."""

    def __init__(self, cache: Path) -> None:
        self.folder = cache / "scores"

    @cached_property
    def _files(self) -> dict[str, list[Path]]:
        """The files of each key, by its digest, as they were when the first was asked for."""
        paths: dict[str, list[Path]] = {}
        try:
            for path in sorted(self.folder.glob("??/*.json")):
                paths.setdefault(path.name.partition(".")[0], []).append(path)
        except OSError as error:
            raise cache_error("read", self.folder, error) from None
        return paths

    def load(self, key: Mapping[str, Any]) -> Kept:
        """Return what is kept under `key`; damaged files, and those of others, count as missing.

        Raises:
            CacheError: the folder cannot be read, or `key` is not made of JSON values.
        """
        text = _text(key)
        kept = Kept()
        for path in self._files.get(digits(text, 16), ()):
            try:
                written = SCORES.read(path)
            except AutoproxError:
                continue
            if written.key == json.loads(text):
                kept.add(Kept(written.scores, written.failures, written.seconds))
        return kept

    def save(self, key: Mapping[str, Any], kept: Kept) -> None:
        """Write scores under `key`.

        Raises:
            CacheError: the folder cannot be written, or `key` is not made of JSON values.
        """
        text = _text(key)
        names = json.dumps([sorted(kept.scores | kept.failures), sorted(kept.seconds)])
        digest = digits(text, 16)
        path = self.folder / digest[:2] / f"{digest}.{digits(names, 8)}.json"
        content = SCORES.text(
            {
                "key": json.loads(text),
                "scores": kept.scores,
                "failures": kept.failures,
                "seconds": kept.seconds,
            }
        )
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            replace(path, content.encode(), lasting=False)
        except OSError as error:
            raise cache_error("write to", self.folder, error) from None


def _text(key: Mapping[str, Any]) -> str:
    """Return the text of a key, with the version of the scores, whose digest names its files."""
    return canonical({**key, "scores": SCORES_VERSION})

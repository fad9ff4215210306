"""Finding a proxy: by name, by file, by a run's folder, or from an expression."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TypeAlias

from autoprox.errors import AutoproxError, UnknownNameError, short
from autoprox.language.graph import Graph
from autoprox.language.text import parse_proxy
from autoprox.proxies import fitted
from autoprox.proxies.fitted import FittedProxy
from autoprox.proxies.function import Ensemble, FunctionProxy
from autoprox.proxies.proxy import Proxy, from_file
from autoprox.proxies.shipped import get, names

Scorable: TypeAlias = Proxy | FunctionProxy | FittedProxy
"""What has a score on one network."""

AnyProxy: TypeAlias = Scorable | Ensemble
"""What can be loaded, shown and ranked."""

Source: TypeAlias = str | Path | Graph | AnyProxy
"""What `load` takes."""


def load(source: Source) -> AnyProxy:
    """Return a proxy by name, by file, by a run's folder, or from an expression.

    Those that are no expressions come by name only, a `FunctionProxy` or an `Ensemble`, or from the
    file that `autoprox.fit` writes, a `FittedProxy`.

    Raises:
        UnknownNameError: it is a plain word that is no known proxy.
        LanguageError: it is a malformed expression.
        AutoproxError: it is a file that is missing or holds no proxy, or nothing of all this.

    >>> load("sum(mean(absolute(grad)))")
    Proxy(sum(mean(absolute(grad))))
    """
    if isinstance(source, (Proxy, FunctionProxy, Ensemble, FittedProxy)):
        return source
    if isinstance(source, Graph):
        return Proxy(source)
    if not isinstance(source, str | Path):
        raise AutoproxError(
            "a proxy is loaded by its name, file, run's folder, expression or Graph, or is one; "
            f"got {short(repr(source))}"
        )
    text = str(source).strip()
    if text in names():
        return get(text)
    try:
        path = Path(source).expanduser()
    except RuntimeError as error:  # a path in the home folder of an unknown user
        raise AutoproxError(f"there is no proxy file {short(text)!r}: {error}") from None
    if path.suffix == fitted.SUFFIX:
        return fitted.from_file(path)
    if path.suffix == ".py":
        raise AutoproxError(
            f"{short(text)} is no file of a proxy: a function is a proxy in Python alone, as in "
            "autoprox.rank([FunctionProxy(...)], bench)"
        )
    if isinstance(source, Path) or text.endswith(".json") or _exists(path):
        return from_file(path)
    if text.isidentifier():
        raise UnknownNameError("proxy", text, names())
    if "/" in text and "(" not in text:
        raise AutoproxError(f"there is no proxy file or run folder {short(text)!r}")
    return Proxy(parse_proxy(text))


def load_all(sources: Iterable[Source]) -> dict[str, AnyProxy]:
    """Return the distinct proxies by name; where two share a name, the later ones are numbered.

    One without a name has that of the run's folder that it is loaded from, or its formula.
    """
    by_name: dict[str, AnyProxy] = {}
    for source in sources:
        proxy = load(source)
        first = name = _name(source, proxy)
        number = 1
        while name in by_name and by_name[name] != proxy:
            number += 1
            name = f"{first} ({number})"
        by_name[name] = proxy
    return by_name


def _name(source: Source, proxy: AnyProxy) -> str:
    """Return what a proxy that was loaded is called beside others."""
    if not proxy.name and isinstance(source, str | Path):
        path = Path(source).expanduser()
        if os.path.isdir(path):
            return path.resolve().name
    return str(proxy)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # an expression longer than a file name may be, or with a NUL
        return False

"""Proxies that ship with autoprox, each a JSON file here: known ones and discovered ones.

>>> from autoprox.proxies import snip
>>> snip.graph
parse('sum(sum(absolute(multiply(grad, weight))))')
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from autoprox.errors import UnknownNameError

if TYPE_CHECKING:
    from autoprox.proxy import Proxy

_FOLDER = Path(__file__).parent


@cache
def names() -> tuple[str, ...]:
    """Return the names of the proxies that ship, sorted."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.json")))


@cache
def get(name: str) -> Proxy:
    """Return the proxy called `name`.

    Raises:
        UnknownNameError: there is none of that name.
    """
    from autoprox.proxy import from_file

    if name not in names():
        raise UnknownNameError("proxy", name, names())
    return from_file(_FOLDER / f"{name}.json")


def __getattr__(name: str) -> Proxy:
    """Return a proxy by attribute, so that it can be imported by name."""
    if name.startswith("_") or name not in names():
        raise AttributeError(
            f"module {__name__!r} has no proxy {name!r}; it has {', '.join(names())}"
        )
    return get(name)


def __dir__() -> list[str]:
    """List the functions and the proxies."""
    return ["get", "names", *names()]

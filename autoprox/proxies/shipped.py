"""The proxies that ship, by name; nothing is read or imported before it is asked for."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from autoprox.errors import UnknownNameError
from autoprox.proxies import functions

if TYPE_CHECKING:
    from autoprox.proxies.loading import AnyProxy

_FOLDER = Path(__file__).parent


@cache
def expressions() -> tuple[str, ...]:
    """Return the names of the proxies that are expressions, sorted."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.json")))


@cache
def names() -> tuple[str, ...]:
    """Return the names of the proxies that ship, sorted: expressions, functions, ensembles."""
    return tuple(sorted({*expressions(), *functions.HOMES}))


@cache
def get(name: str) -> AnyProxy:
    """Return the proxy called `name`.

    Raises:
        UnknownNameError: there is none of that name.
    """
    from autoprox.proxies.proxy import from_file

    if name not in names():
        raise UnknownNameError("proxy", name, names())
    if name in functions.HOMES:
        return functions.get(name)
    return from_file(_FOLDER / f"{name}.json")

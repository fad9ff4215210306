"""Proxies that ship with autoprox: known ones and discovered ones.

Most are expressions, each a JSON file here; what no expression can say is a function (see
`autoprox.proxies.functions`) with the same call.

>>> from autoprox.proxies import snip
>>> snip.graph
parse('sum(sum(absolute(multiply(grad, weight))))')
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from autoprox.proxies.shipped import expressions, get, names

if TYPE_CHECKING:
    from autoprox.proxies.loading import AnyProxy


__all__ = ["expressions", "get", "names"]


def __getattr__(name: str) -> AnyProxy:
    """Return a proxy by attribute, so that it can be imported by name."""
    if name.startswith("_") or name not in names():
        raise AttributeError(
            f"module {__name__!r} has no proxy {name!r}; it has {', '.join(names())}"
        )
    return get(name)


def __dir__() -> list[str]:
    """List the functions and the proxies."""
    return ["expressions", "get", "names", *names()]

"""Proxies in forms that others read: a Python file that needs torch alone, LaTeX, JSON, SVG."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from autoprox.errors import AutoproxError

if TYPE_CHECKING:
    from autoprox.proxies.loading import AnyProxy

FORMS = ("python", "latex", "json", "svg")
"""What a proxy can be exported to."""


def exported(proxy: AnyProxy, form: str) -> str:
    r"""Return the text of a proxy in another form.

    Args:
        proxy: the proxy; one that is no expression has only the form ``"json"``.
        form: one of `FORMS`.

    Raises:
        AutoproxError: the form is unknown, or the proxy does not have it.

    >>> from autoprox.proxies.loading import load
    >>> print(exported(load("sum(mean(absolute(grad)))"), "latex"), end="")
    \sum_{\ell} \operatorname{mean}_{i} \left|G\right|
    """
    from autoprox.proxies.proxy import Proxy, dumps

    if form not in FORMS:
        raise AutoproxError(f"a proxy is exported to {', '.join(FORMS)}; got {form!r}")
    if not isinstance(proxy, Proxy):
        if form != "json":
            code = proxy.to_json().get("function")
            raise AutoproxError(
                f"{proxy} is no expression and has the form json alone"
                + (f"; its code is {code}" if code else "")
            )
        return json.dumps(proxy.to_json(), indent=2, ensure_ascii=False) + "\n"
    if form == "python":
        from autoprox.export.python import to_python

        return to_python(proxy)
    if form == "svg":
        from autoprox.language.svg import to_svg

        return to_svg(proxy.graph, proxy.name) + "\n"
    return dumps(proxy) if form == "json" else proxy.latex() + "\n"

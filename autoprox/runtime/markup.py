"""HTML, SVG and MathML, written so that no text can be taken for markup."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from markupsafe import Markup as Markup
from markupsafe import escape

from autoprox.runtime.arguments import printable


def join(parts: Iterable[str]) -> Markup:
    r"""Return parts one after the other, escaped unless they are markup.

    Control characters, which would make a file no HTML or XML, and those that reorder text are
    left out.

    >>> print(join(["a < b", Markup("<br>"), "red \x1b[31m"]))
    a &lt; b<br>red [31m
    """
    return Markup().join(
        part if isinstance(part, Markup) else escape(printable(part)) for part in parts
    )


def tag(name: str, *children: str, **attributes: str | float | bool | None) -> Markup:
    """Return an element; `children` are escaped unless they are markup.

    Args:
        name: the element's.
        children: what is in it.
        attributes: ``_`` stands for ``-``, and one at the end is dropped; a float is written with
            two digits; True is an attribute without a value, and False and None are none.

    >>> print(tag("td", "a < b", class_="wide", data_value=0.5, hidden=False))
    <td class="wide" data-value="0.50">a &lt; b</td>
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_value(value)}"'
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    return Markup(f"<{name}{written}>{join(children)}</{name}>")


def _value(value: str | float | bool) -> Markup:
    if value is True:
        return Markup()
    return join([f"{value:.2f}" if isinstance(value, float) else str(value)])


def table(caption: str, headings: Sequence[str], rows: Iterable[Sequence[str]]) -> Markup:
    """Return a table of texts; the parts of a column's name, ``space/target``, are lines."""
    heads = [
        Markup("<br>").join(join([part]) for part in heading.split("/")) for heading in headings
    ]
    lines = [tag("tr", *(tag("td", cell) for cell in row)) for row in rows]
    head = tag("tr", *(tag("th", heading) for heading in heads))
    return tag("table", tag("caption", caption), head, *lines)

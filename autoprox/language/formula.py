r"""Writing a formula in LaTeX: parentheses where another reading would be possible, and no others.

A sum reaches over the factors behind it, so that ``\sum_{i} x \cdot y`` is the sum of products.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_BRACES = re.compile(r"\{[^{}]*\}")
_PAIR = re.compile(r"\\left(?:\\\w+|\\.|.)(?:(?!\\left|\\right).)*\\right(?:\\\w+|\\.|.)")
_REACHING = re.compile(r"\\(?:sum|prod|max|min|operatorname|#)_? ")
"""What reaches over the factors behind it, in a text without the inside of its brackets."""

_SYMBOL = re.compile(r"\\?[A-Za-z]+(?:_\w)?")
_BRACKETED = r"(?:\{{\{{|\\left(?:\(|\[|\||\\\||\\lfloor ))\{{{place}\}}(?:\}}\}}|\\right)"
_POWER = re.compile(r"\\left\(\{0\}\\right\)\^")
_NUMBER = re.compile(r"(-?)(\d+(?:\.\d+)?)(?:e([+-]\d+))?")


def number(text: str) -> str:
    r"""Return a number as LaTeX.

    >>> number("1e-05"), number("2.5e+20"), number("1.0"), number("0.25")
    ('10^{-5}', '2.5 \\cdot 10^{20}', '1', '0.25')
    """
    parts = _NUMBER.fullmatch(text)
    if parts is None:
        return text
    sign, digits, exponent = parts.groups()
    digits = digits.removesuffix(".0")
    if exponent is None:
        return f"{sign}{digits}"
    power = f"10^{{{int(exponent)}}}"
    return f"{sign}{power}" if digits == "1" else rf"{sign}{digits} \cdot {power}"


def filled(template: str, parts: Sequence[str], index: str) -> str:
    r"""Return the template of a word with its arguments.

    Args:
        template: as of a primitive: ``{0}``, ``{1}`` are the arguments, ``{index}`` the index.
        parts: the arguments in LaTeX.
        index: what a reduction runs over.

    >>> print(filled(r"{0} \cdot {1}", [r"\sum_{i} x", "-y"], "i"))
    \left(\sum_{i} x\right) \cdot \left(-y\right)
    >>> print(filled(r"\sqrt{{{0}}}", [r"\left(x + y\right)"], "i"))
    \sqrt{x + y}
    """
    if _POWER.match(template) and _SYMBOL.fullmatch(parts[0]):
        template = _POWER.sub("{0}^", template)
    fitted = [_fitted(template, place, part) for place, part in enumerate(parts)]
    return template.format(*fitted, index=index)


def _fitted(template: str, place: int, part: str) -> str:
    """Return an argument as it has to stand at its place of the template."""
    slot = rf"\{{{place}\}}"
    brackets = re.findall(_BRACKETED.format(place=place), template)
    if brackets and len(brackets) == len(re.findall(slot, template)):
        return bare(part)
    outside = _outside(part)
    if r"\cdot" in outside and re.search(rf"{slot}\\,|\\,{slot}", template):
        return rf"\left({part}\right)"
    before_factor = re.search(rf"{slot}(?: \\cdot|\\,)", template)
    if before_factor and _REACHING.search(outside):
        return rf"\left({part}\right)"
    if part.startswith("-") and re.search(rf"(?:\\cdot |\\,|[+-] ?|\}}\}} ){slot}", template):
        return rf"\left({part}\right)"
    return part


def _outside(text: str) -> str:
    """Return what of a text stands in no brackets; each pair of brackets is ``()``."""
    for pattern, left in ((_BRACES, ""), (_PAIR, "()")):
        before = None
        while before != text:
            before, text = text, pattern.sub(left, text)
    return text


def bare(text: str) -> str:
    """Return a text without the parentheses around the whole of it."""
    start, end = r"\left(", r"\right)"
    if text.startswith(start) and text.endswith(end) and _outside(text) == "()":
        return text[len(start) : -len(end)]
    return text

r"""A graph as a formula in MathML, which browsers draw without help.

The formula is read from its LaTeX, so that each word says in one place how it is written. What is
understood is the part of LaTeX that formulas of proxies are written in: scripts, ``\frac``,
``\sqrt``, ``\overline``, ``\left`` and ``\right``, names and symbols.
"""

from __future__ import annotations

import re

from autoprox.language.graph import Graph
from autoprox.runtime.markup import Markup, join, tag

_TOKEN = re.compile(r"\\[A-Za-z]+|\\.|\d+(?:\.\d+)?(?:e[+-]?\d+)?|\S")
_LETTERS = dict(
    zip(
        "alpha beta gamma delta epsilon varepsilon zeta eta theta iota kappa lambda mu nu xi pi "
        "rho sigma tau upsilon phi chi psi omega "
        "Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega ell".split(),
        "αβγδϵεζηθικλμνξπρστυφχψωΓΔΘΛΞΠΣΥΦΨΩℓ",
        strict=True,
    )
)
_OPERATORS = {
    r"\cdot": "⋅",
    r"\times": "×",  # noqa: RUF001
    r"\pm": "±",
    r"\lfloor": "⌊",
    r"\rfloor": "⌋",
    r"\lceil": "⌈",
    r"\rceil": "⌉",
    r"\|": "‖",
    "-": "−",  # noqa: RUF001
    "*": "∗",  # noqa: RUF001
}
_FUNCTIONS = frozenset("log exp sin cos tan tanh det max min sup inf arg".split())
_UNDER = frozenset(("max", "min", "sup", "inf", "∑", "∏"))
"""What has its subscript beneath it."""
_LARGE = {r"\sum": "∑", r"\prod": "∏"}
_NAMES = (r"\operatorname", r"\mathrm", r"\text")


class _Unreadable(Exception):
    """The LaTeX is not of the part that is understood."""


def to_mathml(graph: Graph) -> Markup:
    """Return the formula of `graph` as a displayed ``math`` element."""
    return from_latex(graph.latex(), display="block")


def from_latex(latex: str, display: str = "inline") -> Markup:
    r"""Return a formula in MathML; LaTeX that is not understood is shown as it is.

    >>> print(from_latex(r"\sqrt{x}"))
    <math display="inline" alttext="\sqrt{x}"><msqrt><mi>x</mi></msqrt></math>
    """
    reader = _LatexReader(latex)
    try:
        content = reader.row()
        if reader.next is not None:
            raise _Unreadable
    except _Unreadable:
        content = tag("mtext", latex)
    return tag("math", content, display=display, alttext=latex)


class _LatexReader:
    """Reads LaTeX from left to right.

    Args:
        latex: the formula.
    """

    def __init__(self, latex: str) -> None:
        self.latex = latex
        self.tokens = list(_TOKEN.finditer(latex))
        self.at = 0

    @property
    def next(self) -> str | None:
        """The token that comes next; None at the end."""
        return self.tokens[self.at].group() if self.at < len(self.tokens) else None

    def take(self) -> str:
        """Return the next token and pass it."""
        token = self.next
        if token is None:
            raise _Unreadable
        self.at += 1
        return token

    def expect(self, token: str) -> None:
        """Pass this token."""
        if self.take() != token:
            raise _Unreadable

    def row(self) -> Markup:
        r"""Return what comes before the next ``}``, ``\right`` or end."""
        items: list[Markup] = []
        while self.next not in (None, "}", r"\right"):
            items.append(self.scripted())
        return items[0] if len(items) == 1 else tag("mrow", *items)

    def scripted(self) -> Markup:
        """Return the next thing with its scripts."""
        first = self.tokens[self.at].group()
        name = self._function()
        base = tag("mi", name) if name else self.base()
        under = name in _UNDER or first in _LARGE
        scripts: dict[str, Markup] = {}
        while (mark := self.next) in ("_", "^") and mark not in scripts:
            self.take()
            scripts[mark] = self.base()
        names = {"_": "munder" if under else "msub", "^": "msup", "_^": "msubsup"}
        if scripts:
            kind = names["".join(sorted(scripts, key="_^".index))]
            base = tag(kind, base, *(scripts[mark] for mark in "_^" if mark in scripts))
        if name and self.next not in (None, "}", "(", r"\right") and not self._at(r"\left", "("):
            return join([base, _space("0.17em")])
        return base

    def _at(self, *tokens: str) -> bool:
        """Say whether these tokens come next."""
        following = self.tokens[self.at : self.at + len(tokens)]
        return tuple(token.group() for token in following) == tokens

    def _function(self) -> str:
        """Pass the name of a function and return it; nothing if something else comes."""
        token = self.next or ""
        if token == r"\operatorname":
            self.take()
            return self.words()
        return self.take()[1:] if token[1:] in _FUNCTIONS and token[0] == "\\" else ""

    def words(self) -> str:
        """Return a group of plain text, spaces included."""
        self.expect("{")
        start = self.tokens[self.at].start() if self.next else 0
        while self.next not in (None, "}"):
            self.take()
        self.expect("}")
        return self.latex[start : self.tokens[self.at - 1].start()]

    def base(self) -> Markup:
        """Return a group, a command with its arguments, or a symbol."""
        token = self.take()
        if token == "{":
            content = self.row()
            self.expect("}")
            return content
        if token == r"\left":
            return self._fenced()
        if token == r"\frac":
            return tag("mfrac", self.base(), self.base())
        if token == r"\sqrt":
            return tag("msqrt", self.base())
        if token == r"\overline":
            return tag("mover", self.base(), tag("mo", "‾"), accent="true")
        if token in _NAMES:
            return self._name(token)
        return _symbol(token)

    def _fenced(self) -> Markup:
        opening = tag("mo", _fence(self.take()), form="prefix", fence="true", stretchy="true")
        content = self.row()
        self.expect(r"\right")
        closing = tag("mo", _fence(self.take()), form="postfix", fence="true", stretchy="true")
        return tag("mrow", opening, content, closing)

    def _name(self, token: str) -> Markup:
        name = self.words()
        if token == r"\text":
            return tag("mtext", name)
        return tag("mi", name, mathvariant="normal" if len(name) == 1 else None)


def _fence(token: str) -> str:
    """Return a delimiter; ``.`` is none."""
    return "" if token == "." else _OPERATORS.get(token, token.removeprefix("\\"))


def _space(width: str) -> Markup:
    return tag("mspace", width=width)


def _symbol(token: str) -> Markup:
    """Return a token that stands for itself."""
    if token in ("}", "_", "^", "&", r"\right", r"\\"):
        raise _Unreadable
    if token == r"\,":
        return _space("0.17em")
    if token[0] == "\\" and token[1:] in _LETTERS:
        return tag("mi", _LETTERS[token[1:]])
    if token in _LARGE:
        return tag("mo", _LARGE[token])
    if token in _OPERATORS:
        return tag("mo", _OPERATORS[token])
    if token[0] == "\\":
        if token[1:].isalpha():
            raise _Unreadable
        return tag("mi", token[1:])
    if token == "|":
        return tag("mo", token, stretchy="false", lspace="0", rspace="0")
    if token[0].isdigit():
        return tag("mn", token)
    return tag("mi" if token.isalpha() else "mo", token)

"""From text to graph, with errors that point at the place.

    expression = name | number | name "(" expression { "," expression } ")"

>>> str(parse("sum(mean(absolute(grad)))"))
'sum(mean(absolute(grad)))'
>>> parse("sum(mean(absolut(grad)))")
Traceback (most recent call last):
    ...
autoprox.errors.LanguageError: unknown primitive 'absolut'; did you mean 'absolute'?
  sum(mean(absolut(grad)))
           ^
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import NoReturn

from autoprox.errors import LanguageError, short
from autoprox.language.graph import MAX_DEPTH, MAX_TEXT, Graph, apply, check_root, leaf, number
from autoprox.primitives import PRIMITIVES
from autoprox.primitives.kinds import Kind
from autoprox.statistics import STATISTICS

TOKEN = re.compile(
    r"\s*(?:(?P<name>[A-Za-z_]\w*)|(?P<number>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)|(?P<mark>[(),]))"
)
SHOWN = 60
"""How many characters on each side of a mistake a message shows."""


def parse(text: str) -> Graph:
    """Return the graph that `text` describes, of any kind.

    Raises:
        LanguageError: the text is malformed, has an unknown word, does not type-check, or is longer
            than `MAX_TEXT` characters or `MAX_DEPTH` calls; the message points at the place.
    """
    if len(text) > MAX_TEXT:
        raise LanguageError(
            f"an expression is at most {MAX_TEXT:,} characters long; got {len(text):,}"
        )
    reader = _ExpressionReader(text)
    graph = reader.expression(0)
    reader.end()
    return graph


def parse_proxy(text: str) -> Graph:
    """Return the graph that `text` describes, which must be one number a network.

    Raises:
        LanguageError: as `parse`, or the root is of another kind.
    """
    return check_root(parse(text))


class _ExpressionReader:
    """A recursive-descent reader over one text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def fail(self, message: str, at: int) -> NoReturn:
        line_start = self.text.rfind("\n", 0, at) + 1
        start = max(line_start, at - SHOWN)
        line = self.text[start:].partition("\n")[0]
        line = line if len(line) <= at - start + SHOWN else f"{line[: at - start + SHOWN]}..."
        cut = "..." if start > line_start else ""
        raise LanguageError(f"{message}\n  {cut}{line}\n  {' ' * (len(cut) + at - start)}^")

    def _skip(self) -> None:
        while self.at < len(self.text) and self.text[self.at].isspace():
            self.at += 1

    def mark(self, wanted: str) -> bool:
        """Consume the mark if it comes next."""
        if not self.text.startswith(wanted, self.at):
            self._skip()
            if not self.text.startswith(wanted, self.at):
                return False
        self.at += 1
        return True

    def end(self) -> None:
        self._skip()
        if self.at < len(self.text):
            self.fail("expected the end of the expression", self.at)

    def expression(self, depth: int) -> Graph:
        self._skip()
        start = self.at
        if depth > MAX_DEPTH:
            self.fail(f"an expression is at most {MAX_DEPTH} calls deep", start)
        match = TOKEN.match(self.text, start)
        if match is None or match.lastgroup == "mark":
            self.fail("expected a statistic, a primitive or a number", start)
        self.at = match.end()
        if match.lastgroup == "number":
            return number(float(match["number"]))
        word = match["name"]
        return self.call(word, start, depth) if self.mark("(") else self.name(word, start)

    def name(self, word: str, start: int) -> Graph:
        if word in STATISTICS:
            return leaf(word)
        if word in PRIMITIVES:
            self.fail(f"{word} is a primitive: give its arguments, {word}(...)", start)
        self.fail(_unknown("statistic", word, STATISTICS), start)

    def call(self, word: str, start: int, depth: int) -> Graph:
        if word in STATISTICS and word not in PRIMITIVES:
            self.fail(f"{word} is a statistic and takes no arguments", start)
        if word not in PRIMITIVES:
            self.fail(_unknown("primitive", word, PRIMITIVES), start)
        args, places = [], []
        while True:
            self._skip()
            places.append(self.at)
            args.append(self.expression(depth + 1))
            if not self.mark(","):
                break
        if not self.mark(")"):
            self.fail(f"expected ',' or ')' in the arguments of {word}", self.at)
        return self.checked(word, start, args, places)

    def checked(self, word: str, start: int, args: list[Graph], places: list[int]) -> Graph:
        """Apply the primitive; a kind that does not fit is shown with those that do."""
        try:
            return apply(word, *args)
        except LanguageError as error:
            self.misfits(word, args, places)
            self.fail(str(error), start)

    def misfits(self, word: str, args: list[Graph], places: list[int]) -> None:
        """Fail at the first argument that the primitive does not take."""
        called = PRIMITIVES[word]
        if len(args) != called.arity:
            return
        first = next((arg.kind for arg in args if arg.kind is not None), None)
        for place, arg in zip(places, args, strict=True):
            if arg.kind is not None and arg.kind not in called.kinds:
                takes = ", ".join(kind.__name__ for kind in called.kinds)
                self.fail(
                    f"{short(arg.text)} is {arg.kind.__name__}, but {word} takes {takes}", place
                )
            if first is not None and arg.kind not in (first, None):
                self.fail(_misfit(word, args[0], arg, first), place)


def _unknown(noun: str, word: str, known: Iterable[str]) -> str:
    word = short(word)
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(known))}"
    return f"unknown {noun} {word!r}; {hint}"


def _misfit(word: str, first: Graph, arg: Graph, kind: type[Kind]) -> str:
    fits = [name for name, word_of_kind in STATISTICS.items() if word_of_kind.kind is kind]
    return (
        f"{short(arg.text)} is {arg.kind.__name__ if arg.kind else 'a number'}, "
        f"but beside {short(first.text)} {word} takes {kind.__name__} "
        f"(such as {', '.join(fits) or 'a reduction to the network'})"
    )

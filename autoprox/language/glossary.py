"""What the words of a formula mean."""

from __future__ import annotations

import inspect
from collections.abc import Iterable

from autoprox.language.graph import Graph
from autoprox.language.mathml import from_latex
from autoprox.primitives import PRIMITIVES
from autoprox.runtime.markup import Markup, tag
from autoprox.statistics import STATISTICS


def meaning(node: Graph) -> str:
    """Return what a node of a graph is, in words: its word, kind, definition and formula."""
    if node.kind is None:
        return f"{node.word}: a number"
    kind = f"{node.kind.__name__}, {_first_line(node.kind)}"
    if not node.args:
        return f"{node.word} ({kind}): {STATISTICS[node.word].description}"
    word = PRIMITIVES[node.word]
    return f"{node.word} ({word.form.value}; {kind}): {_defined(node.word)} Here: {node.text}"


def _first_line(documented: object) -> str:
    """Return the first line of a docstring up to its first full stop or colon, in plain text."""
    text = (inspect.getdoc(documented) or "").partition("\n")[0].partition(":")[0]
    first = text.partition(".")[0]
    return first[:1].lower() + first[1:]


def _defined(word: str) -> str:
    """Return the definition of a word of the language as a sentence or two."""
    if word in STATISTICS:
        description = STATISTICS[word].description
        return f"{description[:1].upper()}{description[1:]}."
    called = PRIMITIVES[word]
    summary = called.summary.replace("``", "").replace("`", "")
    return f"{summary} Guard: {called.guard}." if called.guard else summary


def glossary(graphs: Iterable[Graph]) -> Markup:
    """Return the words of some graphs as a table: statistics first, then primitives."""
    used = {node.word for graph in graphs for node in graph if node.kind is not None}
    rows = [
        tag("tr", tag("th", name, scope="row"), tag("td", from_latex(word.latex)),
            tag("td", word.kind.__name__), tag("td", _defined(name)))
        for name, word in STATISTICS.items() if name in used
    ]  # fmt: skip
    rows += [
        tag("tr", tag("th", name, scope="row"),
            tag("td", from_latex(word.latex.format("x", "y", index="i"))),
            tag("td", word.form.value), tag("td", _defined(name)))
        for name, word in PRIMITIVES.items() if name in used
    ]  # fmt: skip
    heads = [tag("th", text, scope="col") for text in ("word", "written", "what", "definition")]
    caption = tag("caption", "The words of the formulas on this page")
    return tag("table", caption, tag("thead", tag("tr", *heads)), tag("tbody", *rows))

"""What the words of a formula mean."""

from __future__ import annotations

import inspect
from collections.abc import Iterable

from autoprox.language.graph import Graph, primitive, statistic
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
        return f"{node.word} ({kind}): {statistic(node.word).description}"
    made = primitive(node.word)
    return f"{node.word} ({made.form.value}; {kind}): {_defined(node.word)} Here: {node.text}"


def _first_line(documented: object) -> str:
    """Return the first line of a docstring up to its first full stop or colon, in plain text."""
    text = (inspect.getdoc(documented) or "").partition("\n")[0].partition(":")[0]
    first = text.partition(".")[0]
    return first[:1].lower() + first[1:]


def _defined(word: str) -> str:
    """Return the definition of a word of the language as a sentence or two."""
    if word in STATISTICS:
        description = statistic(word).description
        return f"{description[:1].upper()}{description[1:]}."
    made = primitive(word)
    summary = made.summary.replace("``", "").replace("`", "")
    return f"{summary} Guard: {made.guard}." if made.guard else summary


def glossary(graphs: Iterable[Graph]) -> Markup:
    """Return the words of some graphs as a table: statistics first, then primitives."""
    used = {node.word for graph in graphs for node in graph if node.kind is not None}
    rows = [
        tag("tr", tag("th", name, scope="row"), tag("td", from_latex(each.latex)),
            tag("td", each.kind.__name__), tag("td", _defined(name)))
        for name, each in STATISTICS.items() if name in used
    ]  # fmt: skip
    rows += [
        tag("tr", tag("th", name, scope="row"),
            tag("td", from_latex(each.latex.format("x", "y", index="i"))),
            tag("td", each.form.value), tag("td", _defined(name)))
        for name, each in PRIMITIVES.items() if name in used
    ]  # fmt: skip
    heads = [tag("th", text, scope="col") for text in ("word", "written", "what", "definition")]
    caption = tag("caption", "The words of the formulas on this page")
    return tag("table", caption, tag("thead", tag("tr", *heads)), tag("tbody", *rows))

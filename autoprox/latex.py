"""A graph as a formula in LaTeX."""

from __future__ import annotations

from autoprox.graph import Graph, primitive, statistic
from autoprox.kinds import Layer

ENTRY, LAYER = "i", r"\ell"


def to_latex(graph: Graph) -> str:
    r"""Return the formula of `graph`; entries of a layer are indexed by i, layers by \ell.

    >>> from autoprox.text import parse
    >>> to_latex(parse("sum(mean(absolute(grad)))"))
    '\\sum_{\\ell} \\operatorname{mean}_{i} \\left|G\\right|'
    """
    if graph.kind is None:
        return graph.word
    if not graph.args:
        return statistic(graph.word).latex
    index = LAYER if graph.args[0].kind is Layer else ENTRY
    return primitive(graph.word).latex.format(*map(to_latex, graph.args), index=index)

"""One formula for all proxies that rank alike, as far as the facts of their words tell."""

from __future__ import annotations

from autoprox.evaluation.evaluate import tensor_reductions
from autoprox.evaluation.shorter import shorter
from autoprox.evolution.judge import unsigned
from autoprox.language.graph import Graph, apply
from autoprox.runs.record import Run


def forms(run: Run) -> dict[str, Graph]:
    """Return the best proxies of a run, those of its report and its front, by their `form`."""
    graphs = [proxy.graph for proxy in run.proxies]
    graphs += [judged.candidate.graph for judged in run.front]
    return {form(graph).text: graph for graph in graphs}


def form(graph: Graph) -> Graph:
    """Return one graph for all that rank alike, as far as the words' facts tell.

    >>> from autoprox.language.text import parse
    >>> form(parse("negative(sum(norm(absolute(weight))))")).text
    'sum(norm(weight))'
    """
    reductions = set(tensor_reductions(graph))

    def shortened(node: Graph) -> Graph:
        if node in reductions:
            return shorter(node)
        return apply(node.word, *map(shortened, node.args)) if node.args else node

    return unsigned(shortened(graph))

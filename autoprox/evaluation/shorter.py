"""Reductions of tensors that give the same numbers, to the last bit, in fewer steps.

Evolution writes many of them: the norm of absolute values, the count of anything. A candidate keeps
the words that it was written with; only what is computed for it is shorter. What may be left out
follows from the facts that the words declare, see `autoprox.primitives.Facts`.

>>> from autoprox.language.text import parse
>>> shorter(parse("norm(absolute(negative(act)))")).text
'norm(act)'
>>> shorter(parse("count(tanh(act))")).text
'count(act)'
"""

from __future__ import annotations

from autoprox.language.graph import Graph, apply, leaf
from autoprox.primitives import PRIMITIVES
from autoprox.primitives.primitive import word_of
from autoprox.statistics import STATISTICS


def shorter(graph: Graph) -> Graph:
    """Return a tensor expression or a reduction of one with the same numbers and statistics."""
    if not graph.args:
        return graph
    facts = PRIMITIVES[graph.word].facts
    if facts.counts and len(graph.statistics) == 1:
        return apply(graph.word, leaf(*graph.statistics))
    args = [shorter(arg) for arg in graph.args]
    if len(args) == 2:
        if args[0] is args[1] and callable(facts.diagonal) and (word := word_of(facts.diagonal)):
            return shorter(apply(word, args[0]))
        return _with(graph, args)
    (arg,) = args
    while arg.args and facts.ignores(PRIMITIVES[arg.word].facts):
        arg = arg.args[0]
    if facts.fixes_nonnegative and _is_nonnegative(arg):
        return arg
    if facts.negates and arg.args and PRIMITIVES[arg.word].facts.negates:
        return arg.args[0]
    return _with(graph, [arg])


def _is_nonnegative(graph: Graph) -> bool:
    """Say whether it is a fact of its word that no entry is below 0."""
    if graph.args:
        return PRIMITIVES[graph.word].facts.nonnegative
    return STATISTICS[graph.word].nonnegative


def _with(graph: Graph, args: list[Graph]) -> Graph:
    """Return the graph with other arguments; itself if they are its own."""
    same = all(new is old for new, old in zip(args, graph.args, strict=True))
    return graph if same else apply(graph.word, *args)

"""Reductions of tensors that give the same numbers, to the last bit, in fewer steps.

Evolution writes many of them: the norm of absolute values, the count of anything. A candidate keeps
the words that it was written with; only what is computed for it is shorter.

>>> from autoprox.language.text import parse
>>> shorter(parse("norm(absolute(negative(act)))")).text
'norm(act)'
>>> shorter(parse("count(tanh(act))")).text
'count(act)'
"""

from __future__ import annotations

from autoprox.language.graph import Graph, apply, leaf

MIRRORED = frozenset({"absolute", "entropy", "log_absolute", "norm", "square"})
"""Words to which the sign of the entries makes no difference."""
NOT_NEGATIVE = frozenset(
    {"absolute", "exp", "min_max", "relu", "sigmoid", "softmax", "sqrt", "square"}
    | {"attention", "grad_abs_mean", "grad_spectrum", "grad_std", "weight_spectrum"}
)
"""Words whose entries are not negative: primitives, and statistics."""
IDLE = frozenset({"absolute", "relu"})
"""Words that change nothing where nothing is negative."""


def shorter(graph: Graph) -> Graph:
    """Return a tensor expression or a reduction of one with the same numbers."""
    if not graph.args:
        return graph
    if graph.word == "count":
        return apply("count", leaf(graph.statistics[0]))
    args = [shorter(arg) for arg in graph.args]
    if len(args) == 2:
        if graph.word == "multiply" and args[0] is args[1]:
            return shorter(apply("square", args[0]))
        return _with(graph, args)
    (arg,) = args
    while arg.args and _without(graph.word, arg):
        arg = arg.args[0]
    if graph.word in IDLE and arg.word in NOT_NEGATIVE:
        return arg
    if graph.word == arg.word == "negative":
        return arg.args[0]
    return _with(graph, [arg])


def _without(word: str, arg: Graph) -> bool:
    """Say whether `word` gives the same without the word below it."""
    if arg.word == "negative" and word == "std":
        return True
    return word in MIRRORED and arg.word in ("absolute", "negative")


def _with(graph: Graph, args: list[Graph]) -> Graph:
    """Return the graph with other arguments; itself if they are its own."""
    same = all(new is old for new, old in zip(args, graph.args, strict=True))
    return graph if same else apply(graph.word, *args)

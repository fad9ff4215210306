"""The genotypes of the published systems, in the language.

Auto-Prox, EMQ and LPZero write a proxy as two inputs, two unary operations on each, and a binary
one: each input of a layer goes through its operations, is reduced to a number by a mean, both
numbers are combined, and the score is the mean over the layers. Their operations are numbered; the
numbers here are those of LPZero's released code, which decodes the released Auto-Prox configuration
consistently. The inputs' names (``t1``, ``t2`` …) are documented nowhere, so inputs are given as
statistics.
"""

from __future__ import annotations

from collections.abc import Sequence

from autoprox.errors import LanguageError
from autoprox.language.graph import Graph, apply, leaf
from autoprox.primitives.kinds import Layer

UNARY: tuple[tuple[str, str], ...] = (
    ("element_wise_log", "log"),
    ("element_wise_abslog", "log_absolute"),
    ("element_wise_abs", "absolute"),
    ("element_wise_pow", "square"),
    ("element_wise_exp", "exp"),
    ("normalize", "standardise"),
    ("element_wise_relu", "relu"),
    ("element_wise_invert", "reciprocal"),
    ("frobenius_norm", "norm"),
    ("element_wise_normalized_sum", "mean"),
    ("l1_norm", "mean absolute"),
    ("softmax", "softmax"),
    ("sigmoid", "sigmoid"),
    ("logsoftmax", "log_softmax"),
    ("element_wise_sqrt", "sqrt"),
    ("element_wise_revert", "negative"),
    ("min_max_normalize", "min_max"),
    ("to_mean_scalar", "mean"),
    ("to_std_scalar", "std"),
    ("no_op", ""),
)
"""The published unary operations in their order, and the words here, outermost first."""

BINARY: tuple[tuple[str, str], ...] = (
    ("element_wise_sum", "add"),
    ("element_wise_difference", "subtract"),
    ("element_wise_product", "multiply"),
    ("matrix_multiplication", "matmul"),
)
"""The published binary operations in their order, and the words here."""

OF_A_NUMBER = {"mean": "", "mean absolute": "absolute", "norm": "absolute"}
"""What those operations that reduce a tensor are on a layer's number, which is reduced already."""
CONSTANT = ("standardise", "softmax", "log_softmax", "min_max", "std")
"""The operations that give every layer the same number if they are applied to a layer's number."""


def tree(inputs: Sequence[str], unary: Sequence[Sequence[int]], binary: int) -> Graph:
    """Return the graph of a published tree.

    Args:
        inputs: two statistics.
        unary: for each input, the numbers of its operations, the one applied first in front.
        binary: the number of the operation that combines both.

    Raises:
        LanguageError: a number is out of range, or the tree says nothing: an operation gives every
            layer the same number, or matrices are multiplied where there are only numbers (the
            published systems call these invalid).

    >>> tree(("weight", "act_grad"), ((16, 8), (12, 14)), 0)
    parse('mean(add(mean(sqrt(sigmoid(act_grad))), norm(min_max(weight))))')
    """
    if not 0 <= binary < len(BINARY) - 1:
        raise LanguageError(
            f"a tree combines two numbers a layer by operation 0, 1 or 2; got {binary}"
        )
    branches = [_branch(leaf(name), ops) for name, ops in zip(inputs, unary, strict=True)]
    return apply("mean", apply(BINARY[binary][1], *branches))


def _branch(graph: Graph, operations: Sequence[int]) -> Graph:
    """Apply unary operations, then reduce to a number a layer."""
    for number in operations:
        if not 0 <= number < len(UNARY):
            raise LanguageError(
                f"the unary operations are numbered 0 to {len(UNARY) - 1}; got {number}"
            )
    return applied(graph, [UNARY[number][1] for number in operations])


def applied(graph: Graph, operations: Sequence[str]) -> Graph:
    """Return operations applied to a layer's entries, reduced to a number a layer.

    Args:
        graph: of the entries.
        operations: the words of each, outermost first; the one applied first in front.

    Raises:
        LanguageError: an operation gives every layer the same number.
    """
    for word in operations:
        if graph.kind is Layer:
            if word in CONSTANT:
                raise LanguageError(f"{word} of one number is the same for every layer")
            word = OF_A_NUMBER.get(word, word)
        for name in reversed(word.split()):
            graph = apply(name, graph)
    return graph if graph.kind is Layer else apply("mean", graph)

"""The genotypes of Auto-DAS, which looks at a teacher, in the language.

Its score is an instinct, four unary operations on a statistic of the student's layers, added up,
plus an interaction: three transforms on the same output of both networks, a distance between what
comes out, and a weight.

References:
    Sun et al., Auto-DAS: Automated Proxy Discovery for Training-Free Distillation-Aware
    Architecture Search, ECCV 2024; the code released with it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from autoprox.errors import LanguageError, UnknownNameError
from autoprox.language.graph import Graph, apply, leaf, number
from tests.language.genotype import applied

STATISTICS = {"act": "act", "grad": "grad", "weight": "weight", "virtual_grad": "ones_grad"}
"""The inputs of an instinct, and the statistics here."""

UNARY = {
    "abslog": "log_absolute",
    "abs": "absolute",
    "exp": "exp",
    "normalize": "standardise",
    "tanh": "tanh",
    "square": "square",
    "relu": "relu",
    "invert": "reciprocal",
    "frobenius_norm": "norm",
    "normalized_sum": "mean",
    "l1_norm": "mean absolute",
    "softmax": "softmax",
    "sigmoid": "sigmoid",
    "logsoftmax": "log_softmax",
    "sqrt": "sqrt",
    "revert": "negative",
    "no_op": "",
}
"""The unary operations of an instinct but for log, and the words here, outermost first."""

INPUTS = {"k2": "pooled", "k3": "logits"}
"""The inputs of an interaction that have a common form, and the statistics of the student here."""

Change = Callable[[Graph], Graph]


def _words(text: str) -> Change:
    def changed(graph: Graph) -> Graph:
        for word in reversed(text.split()):
            graph = apply(word, graph)
        return graph

    return changed


def _mish(x: Graph) -> Graph:
    softplus = apply("log", apply("add", apply("exp", x), number(1)))
    return apply("multiply", x, apply("tanh", softplus))


TRANSFORMS: dict[str, Change] = {
    "abs": _words("absolute"),
    "exp": _words("exp"),
    "logsoftmax_C": _words("row_log_softmax"),
    "logsoftmax_N": _words("row_log_softmax"),  # in the released code it runs over C, too
    "min_max_normalize": _words("min_max"),
    "mish": _mish,
    "norm_C": _words("row_unit"),
    "pow2": _words("square"),
    "pow4": _words("square square"),
    "relu": _words("relu"),
    "scale": lambda x: apply("multiply", apply("add", x, number(1)), number(0.5)),
    "sigmoid": _words("sigmoid"),
    "softmax_C": _words("row_softmax"),
    "softmax_N": _words("column_softmax"),
    "sqrt": _words("sqrt"),
    "swish": lambda x: apply("multiply", x, apply("sigmoid", x)),
    "tanh": _words("tanh"),
    **dict.fromkeys(
        ("batch", "bmm", "channel", "local_s1", "local_s2", "local_s4", "mask", "mm",
         "multi_scale_r1", "multi_scale_r2", "multi_scale_r4", "nop", "norm_HW", "satt",
         "softmax_HW", "logsoftmax_HW"),
        _words(""),
    ),
}  # fmt: skip
"""The transforms, as they act on a vector for each sample, which many of them leave as it is."""

RANDOM = ("drop", "batchnorm")
"""Transforms that are drawn anew each time, or are a batch norm in training."""


def _divergence(temperature: int) -> Callable[[Graph, Graph], Graph]:
    """Kullback-Leibler divergence of the teacher's softmax from the student's, mean over samples.

    A row of a softmax adds up to 1, so that the sum over a softmax counts the samples.
    """

    def distance(student: Graph, teacher: Graph) -> Graph:
        s, t = student, teacher
        if temperature != 1:
            s, t = (apply("divide", tensor, number(temperature)) for tensor in (s, t))
        shares = apply("row_softmax", t)
        logs = apply("subtract", apply("row_log_softmax", t), apply("row_log_softmax", s))
        total = apply("sum", apply("multiply", shares, logs))
        mean = apply("divide", total, apply("sum", shares))
        return apply("multiply", mean, number(temperature**2)) if temperature != 1 else mean

    return distance


def _mean_of(word: str, outer: str = "") -> Callable[[Graph, Graph], Graph]:
    return lambda s, t: apply("mean", _words(outer)(apply(word, s, t)))


DISTANCES: dict[str, Callable[[Graph, Graph], Graph]] = {
    "kl_T1": _divergence(1),
    "kl_T4": _divergence(4),
    "kl_T8": _divergence(8),
    "l1_loss": _mean_of("subtract", "absolute"),
    "l2_loss": _mean_of("subtract", "square"),
    "matrix_multiplication": lambda s, t: apply("sum", apply("multiply", s, t)),
    "mse_loss": _mean_of("subtract", "square"),
    "multiply": _mean_of("multiply"),
    "subtract": _mean_of("subtract"),
}
"""The distances, of a student and a teacher."""


def _cosines(student: Graph, teacher: Graph) -> Graph:
    """100 times the mean over the features of their cosines along the batch."""

    def along(x: Graph, y: Graph) -> Graph:
        return apply("column_mean", apply("multiply", x, y))

    lengths = apply("sqrt", apply("multiply", along(student, student), along(teacher, teacher)))
    cosines = apply("mean", apply("divide", along(student, teacher), lengths))
    return apply("multiply", cosines, number(100))


def instinct(statistic: str, unary: Sequence[str]) -> Graph:
    """Return the graph of an instinct: each layer's mean, added up.

    Raises:
        UnknownNameError: there is no such input or operation.
        LanguageError: an operation gives every layer the same number.
    """
    words = [UNARY[_known("operation", name, UNARY)] for name in unary]
    graph = leaf(STATISTICS[_known("input", statistic, STATISTICS)])
    return apply("sum", applied(graph, words))


def interaction(source: str, transforms: Sequence[str], distance: str, weight: str) -> Graph:
    """Return the graph of an interaction.

    Raises:
        UnknownNameError: there is no such transform, distance or weight.
        LanguageError: the input is a feature map, or a transform is drawn anew each time.
    """
    if source == "k1":
        raise LanguageError(
            "k1, the last feature map, has another shape for each network, and its entries cannot "
            "be compared one by one; its relations of samples and its attention can: map_gram, "
            "map_energy"
        )
    name = INPUTS[_known("input", source, INPUTS)]
    student, teacher = leaf(name), leaf(f"teacher_{name}")
    for word in transforms:
        if word in RANDOM:
            raise LanguageError(f"the transform {word!r} is random; leave it out to have its mean")
        change = TRANSFORMS[_known("transform", word, TRANSFORMS)]
        student, teacher = change(student), change(teacher)
    graph = DISTANCES[_known("distance", distance, DISTANCES)](student, teacher)
    if _known("weight", weight, ("w1_teacher", "w100_teacher_student")) != "w1_teacher":
        graph = apply("multiply", graph, _cosines(student, teacher))
    return apply("sum", graph)


def _known(what: str, name: str, names: Collection[str]) -> str:
    if name not in names:
        raise UnknownNameError(what, name, tuple(names))
    return name

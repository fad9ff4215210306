"""What the layers of a network contribute to a proxy."""

from __future__ import annotations

from dataclasses import dataclass

from autoprox.errors import ScoreError
from autoprox.evaluation.evaluate import Evaluator, Table
from autoprox.language.graph import Graph
from autoprox.primitives.kinds import Layer, Network
from autoprox.proxies.proxy import score_of
from autoprox.statistics import Measurement


@dataclass(frozen=True)
class Contributions:
    """The numbers of the layers that one reduction takes to a number of the network.

    Of ``sum`` they are the layers' contributions, and of ``mean`` too, once divided by the number
    of layers. Other reductions compare them (``max``, ``min``), take their spread (``std``), their
    squares (``norm``) or their shares (``entropy``); to ``count`` they do not matter.

    Attributes:
        reduction: the word.
        text: what is reduced, one number a layer.
        layers: the names of the layers that have a number, in the order of execution.
        roles: what they are.
        values: their numbers.
        result: the number of the network.
    """

    reduction: str
    text: str
    layers: tuple[str, ...]
    roles: tuple[str, ...]
    values: tuple[float, ...]
    result: float


def contributions(graph: Graph, measurement: Measurement) -> tuple[Contributions, ...]:
    """Return the contributions to each reduction of a proxy from layers to the network.

    A proxy has several if it combines numbers of the network, as in ``divide(sum(x), max(y))``.

    Raises:
        ScoreError: the proxy has no finite value on the network.
    """
    evaluator = Evaluator(Table((measurement,)))
    try:
        score_of(graph, evaluator)
    except ScoreError as error:
        raise ScoreError(f"{graph.text} has no score on this network: {error}") from None
    reductions = [n for n in graph if n.kind is Network and any(a.kind is Layer for a in n.args)]
    return tuple(_contributions(reduction, measurement, evaluator) for reduction in reductions)


def _contributions(
    reduction: Graph, measurement: Measurement, evaluator: Evaluator
) -> Contributions:
    (reduced,) = reduction.args
    value = evaluator.value(reduced)
    assert value.present is not None
    places = value.present[0].nonzero().flatten().tolist()
    return Contributions(
        reduction.word,
        reduced.text,
        tuple(measurement.layers[i] for i in places),
        tuple(measurement.roles[i] for i in places),
        tuple(value.numbers[0, places].tolist()),
        float(evaluator.value(reduction).numbers[0]),
    )

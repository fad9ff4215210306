"""What predictors read: the values of expressions on networks, scaled, as one row a network.

An expression of kind Layer gives one number a layer, one of kind Network a single one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from autoprox.errors import AutoproxError
from autoprox.evaluation.evaluate import Evaluator
from autoprox.language.graph import Graph
from autoprox.primitives.kinds import Layer, Network

Array = NDArray[np.float64]

KNOTS = 101
"""How many quantiles of the networks that a scale is taken from are kept."""

LOW = 1
"""Which quantile of logarithms is 0: the lowest hundredth of layers say nearly nothing."""

LayerScale: TypeAlias = Literal["within", "magnitudes"]


def layer_expressions(graph: Graph) -> tuple[Graph, ...]:
    """Return a proxy's expression without its last reduction: what it says of each layer.

    >>> from autoprox.language.text import parse
    >>> layer_expressions(parse("log(sum(norm(grad)))"))
    (parse('norm(grad)'),)
    """
    if graph.kind is Layer:
        return (graph,)
    if graph.kind is not Network:
        return ()
    parts = (part for arg in graph.args for part in layer_expressions(arg))
    return tuple(dict.fromkeys(parts))


def check_input(graph: Graph) -> None:
    """Refuse an expression of tensors.

    Raises:
        AutoproxError: it gives more than a number a layer.
    """
    if graph.kind not in (Layer, Network):
        raise AutoproxError(
            f"an input of a predictor is a number a layer or a network; {graph.text!r} is neither: "
            f"reduce it, as in mean({graph.text})"
        )


@dataclass(frozen=True)
class Scales:
    """How the values of expressions become inputs.

    Attributes:
        widths: for each expression how many layers it is padded to; 0 for one number a network.
        knots: ``(expressions, KNOTS)``, quantiles of the single numbers, or of the logarithms of
            numbers of layers that are read as magnitudes; 0 for those that are scaled within.
        layers: how numbers of layers are scaled.
    """

    widths: tuple[int, ...]
    knots: Array
    layers: LayerScale = "within"

    def __call__(
        self, graphs: Sequence[Graph], evaluator: Evaluator
    ) -> tuple[Array, dict[int, str]]:
        """Return the inputs of the networks of a table, ``(networks, inputs)``, and failures.

        Numbers of layers are scaled to 0…1 ``"within"`` their network (ParZC, section 3.1), which
        forgets how large they are; or, as ``"magnitudes"``, their logarithms are scaled alike for
        all networks, from 0 at the lowest quantile that is kept to 1 at the median. What is absent
        or not finite is 0, and zeros follow the last layer. A single number becomes the normal
        score of its place among the quantiles.

        Returns:
            The inputs, and why a network has none, by its place.
        """
        parts: list[Array] = []
        failures: dict[int, str] = {}
        for graph, width, knots in zip(graphs, self.widths, self.knots, strict=True):
            values = evaluator.value(graph)
            numbers = values.numbers.numpy()
            if values.present is None:
                parts.append(_normal(numbers, knots)[:, None])
                failures |= {
                    int(place): f"its input {graph.text} is not finite"
                    for place in np.flatnonzero(~np.isfinite(numbers))
                }
                continue
            present = values.present.numpy()
            for place in np.flatnonzero(present[:, width:].any(1)):
                count = int(np.flatnonzero(present[place])[-1]) + 1
                failures[int(place)] = f"it has {count} layers; it was fitted on at most {width}"
            part = np.zeros((len(numbers), width))
            usable = present & np.isfinite(numbers)
            scaled = (
                _within(numbers, usable)
                if self.layers == "within"
                else _logarithms(numbers, usable, knots)
            )[:, :width]
            part[:, : scaled.shape[1]] = scaled
            parts.append(part)
        return np.concatenate(parts, axis=1), failures


def scales_of(
    graphs: Sequence[Graph],
    evaluator: Evaluator,
    places: Sequence[int],
    layers: LayerScale = "within",
) -> Scales:
    """Return the scales of expressions by the networks at some places; no label is looked at.

    Raises:
        AutoproxError: there is no expression, or one has no finite value on any network.
    """
    if not graphs:
        raise AutoproxError("a predictor needs an input; name proxies or expressions of layers")
    widths: list[int] = []
    knots = np.zeros((len(graphs), KNOTS))
    for place, graph in enumerate(graphs):
        check_input(graph)
        values = evaluator.value(graph)
        numbers = values.numbers.numpy()[list(places)]
        if values.present is None:
            finite = numbers[np.isfinite(numbers)]
            if not len(finite):
                raise AutoproxError(f"the input {graph.text} is finite on no network")
            knots[place] = np.quantile(finite, np.linspace(0, 1, KNOTS))
            widths.append(0)
        else:
            present = values.present.numpy()[list(places)]
            if not present.any():
                raise AutoproxError(f"the input {graph.text} is on no layer of any network")
            widths.append(int(np.flatnonzero(present.any(0))[-1]) + 1)
            if layers == "magnitudes":
                sizes = np.abs(numbers[present])
                sizes = sizes[np.isfinite(sizes) & (sizes > 0)]
                if len(sizes):
                    knots[place] = np.quantile(np.log(sizes), np.linspace(0, 1, KNOTS))
    return Scales(tuple(widths), knots, layers)


def _within(numbers: Array, usable: NDArray[np.bool_]) -> Array:
    """Scale the numbers of each network's layers to 0…1; 0 where a layer has none."""
    low = np.where(usable, numbers, np.inf).min(1, keepdims=True)
    high = np.where(usable, numbers, -np.inf).max(1, keepdims=True)
    with np.errstate(invalid="ignore"):
        span = np.where(high > low, high - low, 1.0)
        return np.where(usable, (numbers - low) / span, 0.0)


def _logarithms(numbers: Array, usable: NDArray[np.bool_], knots: Array) -> Array:
    """Scale the logarithms of numbers of layers by quantiles; 0 where there is none, or below."""
    low, middle = knots[LOW], knots[KNOTS // 2]
    sizes = np.log(np.where(usable & (numbers != 0), np.abs(numbers), np.exp(low)))
    return np.asarray(((sizes - low) / ((middle - low) or 1.0)).clip(0))


def _normal(numbers: Array, knots: Array) -> Array:
    """Return the normal scores of numbers by their places among quantiles."""
    from scipy.special import ndtri

    edge = 0.5 / len(knots)
    places = np.linspace(edge, 1 - edge, len(knots))
    # Equal quantiles share their mean place, so that many equal numbers have one score.
    values, inverse = np.unique(knots, return_inverse=True)
    mean = np.bincount(inverse, places) / np.bincount(inverse)
    return np.asarray(ndtri(np.interp(numbers, values, mean)))


def normal_scores(values: Array) -> Array:
    """Return the normal scores of the ranks of values, ``(n,)``; equal ones share theirs."""
    from scipy.special import ndtri
    from scipy.stats import rankdata

    return np.asarray(ndtri((rankdata(values) - 0.5) / len(values)))

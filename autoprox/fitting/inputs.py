"""What a predictor reads, from the names of proxies and expressions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from autoprox.assessment.assess import expressible
from autoprox.benches import Bench
from autoprox.errors import AutoproxError, LanguageError
from autoprox.language.graph import Graph
from autoprox.language.text import parse
from autoprox.predictors.features import LayerScale, check_input, layer_expressions
from autoprox.proxies.loading import load
from autoprox.proxies.proxy import Proxy
from autoprox.runs.ground import with_baselines

LAYERS = ("norm(grad)", "mean(absolute(multiply(grad, weight)))",
          "mean(absolute(multiply(flow_grad, weight)))")  # fmt: skip
"""What ParZC reads of each layer: grad_norm, SNIP and SynFlow, the last two as means."""

SCALES: dict[str, LayerScale] = {"layers": "within", "magnitudes": "magnitudes"}
"""The inputs that are numbers of layers, and how these are scaled."""


def inputs_of(sources: Sequence[str], bench: Bench, words: Sequence[str]) -> tuple[Graph, ...]:
    """Return the expressions that some names stand for; see `autoprox.fit`.

    Raises:
        UnknownNameError: there is no such proxy.
        LanguageError: it cannot be read, or is no expression.
        AutoproxError: it has no numbers of layers, or gives tensors.
    """
    graphs: list[Graph] = []
    for source in sources:
        kind, colon, name = source.partition(":")
        if source == "known":
            graphs += expressible(bench, with_baselines(bench, tuple(words))).values()
        elif kind in SCALES and not colon:
            graphs += map(parse, LAYERS)
        elif kind in SCALES:
            graphs += _layers_of(name, kind)
        else:
            graphs.append(_graph_of(source))
    for graph in graphs:
        check_input(graph)
    return tuple(dict.fromkeys(graphs))


def scale_of(sources: Sequence[str]) -> LayerScale:
    """Return how the numbers of layers that some inputs stand for are scaled.

    Raises:
        AutoproxError: in both ways.
    """
    kinds = {kind for source in sources if (kind := source.partition(":")[0]) in SCALES}
    if len(kinds) > 1:
        raise AutoproxError("numbers of layers are read as layers or as magnitudes; got both")
    return SCALES[kinds.pop()] if kinds else "within"


def searches_of(sources: Sequence[str]) -> dict[str, Any]:
    """Return the settings of the searches that found some inputs, by these, as JSON data."""
    searches: dict[str, Any] = {}
    for source in sources:
        kind, colon, name = source.partition(":")
        if source == "known" or (kind in SCALES and not colon):
            continue
        try:
            recorded = load(name if kind in SCALES else source).provenance.get("settings")
        except LanguageError:  # an expression of layers, which no search found
            continue
        if recorded is not None:
            searches[source] = recorded
    return searches


def _graph_of(source: str) -> Graph:
    """Return the graph of a proxy, or of an expression of layers."""
    try:
        proxy = load(source)
    except LanguageError:
        return parse(source)
    if not isinstance(proxy, Proxy):
        raise LanguageError(
            f"{source} is no expression; a predictor reads expressions, so that what was measured "
            "serves it"
        )
    return proxy.graph


def _layers_of(name: str, kind: str) -> tuple[Graph, ...]:
    expressions = layer_expressions(_graph_of(name))
    if not expressions:
        raise AutoproxError(f"{name} says nothing of single layers; leave out '{kind}:'")
    return expressions

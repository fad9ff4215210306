"""The scores of many configurations of bits of one network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from autoprox.errors import AutoproxError, QuantisationError, ScoreError
from autoprox.evaluation.evaluate import Evaluator, Table
from autoprox.language.graph import Graph, apply
from autoprox.measuring.tables import by_bits
from autoprox.primitives import PRIMITIVES, Form
from autoprox.primitives.facts import Function
from autoprox.primitives.kinds import Layer
from autoprox.primitives.primitive import word_of
from autoprox.proxies.function import FunctionProxy
from autoprox.proxies.proxy import Proxy, scores_of
from autoprox.runtime.progress import Progress
from autoprox.statistics import Sample, measure

BitScorer: TypeAlias = Callable[[NDArray[np.int64]], NDArray[np.float64]]
"""Bits of configurations, ``(configurations, layers)``, to scores; NaN where there is none."""


class TableScorer:
    """Scores an expression: the network is measured once, and once for each width.

    Args:
        proxy: the expression.
        network: trained; left as it is.
        inputs: ``(batch, ...)``.
        targets: ``(batch,)``, or None if the proxy needs none.
        layers: names of the layers that have bits.
        widths: all bits that a layer may have.
        sample: entries kept of each tensor.
        seed: of the sample's places.
        progress: called as ``progress(task, done, total)``.
    """

    def __init__(
        self,
        proxy: Proxy,
        network: nn.Module,
        inputs: Tensor,
        targets: Tensor | None,
        layers: Sequence[str],
        widths: Sequence[int],
        *,
        sample: Sample,
        seed: int,
        progress: Progress,
    ) -> None:
        self.proxy = proxy
        self._widths = tuple(widths)
        plain, quantised = by_bits(proxy.statistics)
        shown = partial(measure, network, inputs, targets, sample=sample, seed=seed, mode="eval")
        task = "measuring the network at each width"
        measured = []
        for done, width in enumerate(widths):
            progress(task, done, len(widths))
            measured.append(shown(quantised, bits=dict.fromkeys(layers, width)))
        progress(task, len(widths), len(widths))
        if plain:
            progress(f"measuring {', '.join(plain)}", 0, 1)
            without_bits = shown(plain)
            measured = [without_bits.joined(quantised_at) for quantised_at in measured]
        self._table = Table(tuple(measured))
        self._places = [measured[0].layers.index(f"{name}.weight") for name in layers]
        self._reductions = Evaluator(self._table).unknown_reductions([proxy.graph])
        self._reduced = self._table.reduced(self._reductions) if self._reductions else None

    def __call__(self, bits: NDArray[np.int64]) -> NDArray[np.float64]:
        """The scores.

        Raises:
            ScoreError: no configuration has one.
        """
        try:
            scores = scores_of(self.proxy.graph, self._evaluator(bits))
        except ScoreError as error:
            raise ScoreError(
                f"{self.proxy} has no score on this network: {error}"
            ) from error.__cause__
        values = scores.values.copy()
        values[list(scores.failures)] = np.nan
        if np.isnan(values).all():
            raise ScoreError(f"{self.proxy} has no score on this network: {scores.failure}")
        return values

    def terms(self, graph: Graph, widths: Sequence[int]) -> NDArray[np.float64]:
        """What each layer contributes to a sum at each width, ``(layers, widths)``.

        Args:
            graph: of kind Layer; where it is absent the contribution is 0.
            widths: some of those that were measured.
        """
        uniform = np.array(widths)[:, None].repeat(len(self._places), 1)
        value = self._evaluator(uniform).value(graph)
        assert value.present is not None
        numbers = torch.where(value.present, value.numbers, 0.0)[:, self._places]
        return numbers.T.numpy()

    def _evaluator(self, bits: NDArray[np.int64]) -> Evaluator:
        """An evaluator over configurations that knows what tensors reduce to."""
        sources = torch.zeros(len(bits), self._table.widest, dtype=torch.int64)
        sources[:, self._places] = torch.from_numpy(np.searchsorted(self._widths, bits))
        evaluator = Evaluator(Table(self._table.measurements, sources))
        for place, reduction in enumerate(self._reductions):
            assert self._reduced is not None
            evaluator.remember(reduction, self._reduced[place])
        return evaluator


def function_scorer(
    proxy: FunctionProxy,
    network: nn.Module,
    inputs: Tensor,
    targets: Tensor | None,
    layers: Sequence[str],
    seed: int,
) -> BitScorer:
    """Scores a function, one configuration after the other."""

    def score(bits: NDArray[np.int64]) -> NDArray[np.float64]:
        scores: list[float] = []
        failure: AutoproxError | None = None
        for row in bits.tolist():
            chosen = dict(zip(layers, row, strict=True))
            try:
                scores.append(proxy(network, inputs, targets, seed=seed, bits=chosen))
            except ScoreError as error:
                failure = error
                scores.append(np.nan)
        if failure is not None and np.isnan(scores).all():
            raise failure
        return np.array(scores)

    return score


def layer_sum(graph: Graph) -> tuple[Graph, int] | None:
    """Write a score as a function of a sum over layers: the layer's term, and the sign; or None.

    With sign 1 the score rises with the sum, so that the largest sum has the largest score; with
    -1 the least sum has. None where a layer's term depends on the bits of other layers.

    >>> from autoprox.language.text import parse
    >>> layer_sum(parse("negative(sum(square(bits)))"))
    (parse('square(bits)'), -1)
    >>> layer_sum(parse("sum(softmax(bits))")) is None
    True
    """
    facts = PRIMITIVES[graph.word].facts
    if facts.negates:
        below = layer_sum(graph.args[0])
        return None if below is None else (below[0], -below[1])
    if facts.rising:
        return layer_sum(graph.args[0])
    if facts.sums is None or graph.args[0].kind is not Layer:
        return None
    (term,) = graph.args
    if any(
        node.args and node.kind is Layer and PRIMITIVES[node.word].form is Form.NORMALISATION
        for node in term
    ):
        return None  # a layer's term depends on other layers
    summed = _summed(term, facts.sums)
    return None if summed is None else (summed, 1)


def _summed(term: Graph, function: Function | Literal["entries"]) -> Graph | None:
    """Return what is summed for a reduction of `term`; None if its word was defined anew."""
    if function == "entries":
        return term
    word = word_of(function)
    return None if word is None else apply(word, term)


def check_needs_bits(proxy: Proxy | FunctionProxy) -> None:
    """Refuse a proxy that has one score for all bits.

    Raises:
        QuantisationError: it has.
    """
    if not proxy.needs_bits:
        raise QuantisationError(
            f"{proxy} does not depend on bits: every configuration has the same score; use one "
            "that does, such as hawq_v2"
        )

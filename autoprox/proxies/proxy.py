"""A proxy: a graph with its provenance, which scores any network."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoprox.errors import AutoproxError, LanguageError, ScoreError, UnknownNameError, reason_of
from autoprox.language.graph import Graph, check_root, from_json
from autoprox.language.text import parse_proxy
from autoprox.primitives.kinds import Layer
from autoprox.proxies.calling import OnNetwork
from autoprox.runtime.schema import MIB, FileKind
from autoprox.statistics import STATISTICS

if TYPE_CHECKING:
    from torch import nn

    from autoprox.evaluation.evaluate import Evaluator, Scores
    from autoprox.statistics.trees import Inputs, Targets


@dataclass(frozen=True)
class Written:
    """A proxy as its file has it.

    Attributes:
        expression: the formula.
        graph: the same as `Graph.to_json` has it, or None.
        name, description, provenance: see `Proxy`.
    """

    expression: str
    graph: dict[str, Any] | None = None
    name: str = ""
    description: str = ""
    provenance: dict[str, Any] | None = None


PROXY = FileKind("autoprox proxy", 1, Written, most=4 * MIB)
"""The file of a proxy, which people write, too."""


class OfStatistics:
    """What proxies share that are computed from statistics: what they need follows from these."""

    @property
    def statistics(self) -> tuple[str, ...]:
        """The statistics that have to be measured for it."""
        raise NotImplementedError

    @property
    def needs_bits(self) -> bool:
        """Whether it depends on the bits that the layers' weights are quantised to."""
        return any(STATISTICS[name].needs_bits for name in self.statistics)

    @property
    def needs_teacher(self) -> bool:
        """Whether it looks at a teacher."""
        return any(STATISTICS[name].needs_teacher for name in self.statistics)


@dataclass(frozen=True)
class Proxy(OfStatistics, OnNetwork):
    """A zero-cost proxy.

    Call it on an untrained network; a higher score predicts a higher accuracy.

    Attributes:
        graph: the formula.
        name: what it is called, and imported by if it ships.
        description: what it is, in a sentence.
        provenance: where it comes from: paper and equation, or the run, command and seed that found
            it.
    """

    graph: Graph
    name: str = ""
    description: str = ""
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check that the graph is one number a network.

        Raises:
            LanguageError: it is not.
        """
        check_root(self.graph)

    def _score(self, network: nn.Module, inputs: Inputs, targets: Targets, **how: Any) -> float:
        evaluator = evaluator_on(network, inputs, targets, self.graph.statistics, **how)
        try:
            return score_of(self.graph, evaluator)
        except ScoreError as error:
            raise ScoreError(f"{self} has no score on this network: {error}") from error.__cause__

    def __str__(self) -> str:
        """Return the name, or the formula of a proxy that has none."""
        return self.name or str(self.graph)

    def __repr__(self) -> str:
        """Show name and formula."""
        return f"Proxy({self.name + ': ' if self.name else ''}{self.graph})"

    @property
    def statistics(self) -> tuple[str, ...]:
        """The statistics that have to be measured for it."""
        return self.graph.statistics

    def scores(self, evaluator: Evaluator) -> Scores:
        """Return the scores of the networks of a table, which share layers.

        A score that is 0 because a part is 0 in every layer says nothing: it is a failure.

        Raises:
            ScoreError: it fails on them; the message is the reason alone.
        """
        return telling_scores(self.graph, evaluator)

    def latex(self) -> str:
        """Return the formula in LaTeX."""
        return self.graph.latex()

    def _repr_svg_(self) -> str:
        """Draw the graph, for notebooks."""
        from autoprox.language.svg import to_svg

        return to_svg(self.graph)

    def to_json(self) -> dict[str, Any]:
        """Return the proxy as JSON data, as `from_file` reads it."""
        return {
            "format": PROXY.form,
            "version": PROXY.version,
            "name": self.name,
            "expression": self.graph.text,
            "description": self.description,
            "provenance": dict(self.provenance),
            "graph": self.graph.to_json(),
        }


def evaluator_on(
    network: nn.Module, inputs: Inputs, targets: Targets, names: Sequence[str], **how: Any
) -> Evaluator:
    """Return an evaluator over a network that is measured now; `how` is of `autoprox.measure`."""
    from autoprox.evaluation.evaluate import Evaluator, Table
    from autoprox.statistics import measure

    return Evaluator(Table((measure(network, inputs, targets, names, **how),)))


def score_of(graph: Graph, evaluator: Evaluator) -> float:
    """Return the score of a graph on the only network of an evaluator's table.

    Raises:
        ScoreError: it has none, see `telling_scores`; the message is the reason alone.
    """
    scores = telling_scores(graph, evaluator)
    if scores.failure is not None:
        raise ScoreError(scores.failure)
    return float(scores.values[0])


def telling_scores(graph: Graph, evaluator: Evaluator) -> Scores:
    """Return the scores of a graph, without those that say nothing of their network.

    These are 0 because a part of the graph is 0 in every layer: failures, with the reason.

    Raises:
        ScoreError: it fails on the networks; the message is the reason alone.
    """
    scores = scores_of(graph, evaluator)
    zeros = (scores.values == 0).nonzero()[0].tolist()
    parts = _silent(graph, evaluator) if zeros else {}
    silent = {
        place: f"it says nothing: {parts[place]} is 0 in every layer"
        for place in zeros
        if place in parts
    }
    return replace(scores, failures={**scores.failures, **silent})


def _silent(graph: Graph, evaluator: Evaluator) -> dict[int, str]:
    """Return the first part of a graph that is 0 in all layers of a network, by its place.

    A statistic of layers may be 0 in all of them, as a count can.
    """
    silent: dict[int, str] = {}
    for node in graph.nodes():
        if node.kind is Layer and node.args:
            value = evaluator.value(node)
            assert value.present is not None
            any_nonzero = (value.numbers.bool() & value.present).any(1)
            for place in any_nonzero.logical_not().nonzero().flatten().tolist():
                silent.setdefault(place, node.text)
    return silent


def scores_of(graph: Graph, evaluator: Evaluator) -> Scores:
    """Return the scores of a graph on the networks of an evaluator's table, which share layers.

    Raises:
        ScoreError: it fails on them; the message is the reason alone.
    """
    try:
        return evaluator(graph)
    except Exception as error:  # a primitive may be anybody's and raise anything
        raise ScoreError(f"it failed: {reason_of(error)}") from error


def from_file(path: Path) -> Proxy:
    """Return the proxy in a JSON file, or the best one of a run's folder.

    Raises:
        AutoproxError: the file cannot be read, is no proxy, or is newer than this autoprox.
        LanguageError: its expression is not of this language.
    """
    if os.path.isdir(path):
        if not os.path.isfile(path / "best.json"):
            raise AutoproxError(
                f"{path} is no finished run: it has no best.json; resume the run first"
            )
        path = path / "best.json"
    written = PROXY.read(path)
    try:
        graph = parse_proxy(written.expression)
        if written.graph is not None and from_json(written.graph) is not graph:
            raise LanguageError("'expression' and 'graph' are different proxies; keep one of them")
    except (LanguageError, UnknownNameError) as error:
        raise LanguageError(f"{path}: {hinted(error)}") from None
    return Proxy(graph, written.name, written.description, written.provenance or {})


def hinted(error: AutoproxError) -> LanguageError:
    """Return an error of an expression that was written; it says how an unknown word gets known."""
    hint = "; a word of your own is known once the file that defines it is loaded, as by --bench"
    first, *pointed = str(error).splitlines()
    return LanguageError("\n".join([first + hint * first.startswith("unknown"), *pointed]))


def dumps(proxy: Proxy) -> str:
    """Return the text of a proxy's file."""
    return json.dumps(proxy.to_json(), indent=2, ensure_ascii=False) + "\n"

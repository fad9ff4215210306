"""What proxies are worth on some architectures of a bench, beside the known proxies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from autoprox import proxies
from autoprox.benches import Bench
from autoprox.evaluation.evaluate import Evaluator
from autoprox.language.graph import Graph
from autoprox.proxies.loading import AnyProxy, load
from autoprox.ranking import (
    DEFAULT_CORRELATION,
    Column,
    RankCorrelation,
    check_column,
)
from autoprox.ranking.figures import ColumnFigures, Comparison, Figures, Interval
from autoprox.ranking.resampling import interval
from autoprox.runtime.files import tupled

COUNTS = ("params", "flops", "depth", "width")
"""The baselines of networks."""

COSTS = ("bit_sum", "model_size", "bops")
"""The baselines of bits."""

BASELINES = (*COUNTS, *COSTS)
"""The proxies that need no forward pass, that every run measures; see `baselines`."""


def baselines(bench: Bench) -> tuple[str, ...]:
    """Return the names of the baselines of a bench."""
    if bench.trained:
        return COSTS
    return COUNTS if bench.bits is None else BASELINES


def shipped(bench: Bench) -> dict[str, AnyProxy]:
    """Return the proxies that ship and can tell the architectures of a bench apart, by name.

    Configurations of bits are told apart by proxies of bits alone, and networks have no bits.
    """
    found = {name: load(name) for name in dict.fromkeys([*baselines(bench), *proxies.names()])}
    return {
        name: proxy
        for name, proxy in found.items()
        if (bench.bits is not None if proxy.needs_bits else not bench.trained)
    }


def columns(bench: Bench, indices: Sequence[int], targets: Sequence[str]) -> list[Column]:
    """Return the columns of some architectures: one for each space and target that has figures.

    Args:
        bench: the bench.
        indices: places in `bench.architectures`; the columns' places refer to this sequence.
        targets: names of targets.

    Raises:
        BenchError: a column has too few figures, or only equal ones.
        UnknownNameError: a target is unknown.
    """
    rows = [bench.architectures[i] for i in indices]
    spaces = np.array([each.space for each in rows])
    found = []
    for space in bench.spaces:
        for target in targets:
            figures = bench.accuracies(target, rows)
            places = np.flatnonzero((spaces == space) & ~np.isnan(figures))
            if len(places):
                column = Column(space, target, places, figures[places])
                check_column(column)
                found.append(column)
    return found


@dataclass(frozen=True)
class Assessment:
    """How well one proxy ranks some architectures of a bench.

    Attributes:
        name: the proxy's.
        expression: its formula.
        complexity: distinct nodes.
        known: whether it is a known proxy, beside which those of the search are shown.
        joint: the mean over the columns of the run's rank correlation, by their weights; None if
            the proxy failed.
        joint_interval: its 95 % bootstrap interval.
        difference: `joint` minus that of the best known proxy.
        difference_interval: the interval of the difference, on the same resamples.
        columns: the figures of each column.
        failure: why it has no score on some architecture; None if it has all.
    """

    name: str
    expression: str
    complexity: int
    known: bool
    joint: float | None
    joint_interval: Interval | None
    difference: float | None
    difference_interval: Interval | None
    columns: tuple[ColumnFigures, ...]
    failure: str | None

    def to_json(self) -> dict[str, Any]:
        """Return the assessment as JSON data."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Assessment:
        """Return the assessment that `to_json` described.

        Raises:
            TypeError, KeyError: it is no assessment.
        """
        columns = tuple(ColumnFigures(**tupled(each)) for each in data["columns"])
        return cls(**{**tupled(data), "columns": columns})

    def mean(self, figure: str) -> float | None:
        """Return the mean over the columns of a field of `ColumnFigures`; None after a failure."""
        found = [getattr(each, figure) for each in self.columns]
        return float(np.mean(found)) if found else None

    @property
    def silent_columns(self) -> tuple[str, ...]:
        """The columns all of whose architectures have the same score."""
        return tuple(each.column for each in self.columns if each.distinct == 1)


class Assessor:
    """Assesses proxies on some architectures, all on the same bootstrap resamples.

    Args:
        evaluator: over the table of the architectures.
        columns: what to rank by.
        known: graphs of known proxies by name; differences are taken to the best of them here.
        correlation: the rank correlation whose mean over the columns is the joint one.
        seed: of the resamples.
    """

    def __init__(
        self,
        evaluator: Evaluator,
        columns: Sequence[Column],
        known: Mapping[str, Graph],
        correlation: RankCorrelation = DEFAULT_CORRELATION,
        seed: int = 0,
    ) -> None:
        """Draw the resamples, and take the figures of the known proxies."""
        self.evaluator = evaluator
        self.columns = tuple(columns)
        self.known = dict(known)
        self._compare = Comparison(self.columns, correlation, seed)
        self._found: dict[Graph, Figures | str] = {}
        joints = {
            name: figures.joint
            for name, graph in self.known.items()
            if isinstance(figures := self._figures(graph), Figures)
        }
        self.best_known = max(joints, key=joints.__getitem__) if joints else None
        """The known proxy with the highest joint correlation here."""

    def _figures(self, graph: Graph) -> Figures | str:
        """Return the figures of a graph's scores, or why there are none; each graph once."""
        if graph not in self._found:
            scores = self.evaluator(graph)
            self._found[graph] = scores.failure or self._compare(scores.values)
        return self._found[graph]

    def __call__(self, name: str, graph: Graph) -> Assessment:
        """Return the assessment of one proxy."""
        known, own = name in self.known, self._figures(graph)
        if isinstance(own, str):
            return Assessment(
                name, graph.text, graph.complexity, known, None, None, None, None, (), own
            )
        best = self._figures(self.known[self.best_known]) if self.best_known else None
        beside = best if isinstance(best, Figures) else None
        return Assessment(
            name=name,
            expression=graph.text,
            complexity=graph.complexity,
            known=known,
            joint=own.joint,
            joint_interval=own.joint_interval,
            difference=own.joint - beside.joint if beside else None,
            difference_interval=interval(own.resampled - beside.resampled) if beside else None,
            columns=own.columns,
            failure=None,
        )

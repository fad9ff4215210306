"""What proxies are worth, beside the trivial baselines.

The measure is rank correlation per target, with bootstrap intervals.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from autoprox.benches import Bench
from autoprox.evaluate import Evaluator
from autoprox.graph import Graph
from autoprox.ranking import (
    CORRELATIONS,
    Array,
    Column,
    RankCorrelation,
    check_column,
    joint,
    spearman,
    weights,
)
from autoprox.resampling import RESAMPLED, interval, resampled_columns

COUNTS = ("params", "flops", "depth", "width")
"""The baselines of networks."""

COSTS = ("bit_sum", "model_size", "bops")
"""The baselines of bits."""

BASELINES = (*COUNTS, *COSTS)
"""The proxies that need no forward pass, beside which every other is shown; see `baselines`."""

RESAMPLES = 2000


def baselines(bench: Bench) -> tuple[str, ...]:
    """Return the names of the baselines of a bench."""
    if bench.trained:
        return COSTS
    return COUNTS if bench.bits is None else BASELINES


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
class Correlation:
    """How well one proxy ranks one column.

    Attributes:
        column: ``"space/target"``.
        architectures: how many.
        kendall: Kendall's τ-b.
        kendall_interval: its 95 % bootstrap interval over the architectures.
        spearman: Spearman's rank correlation.
    """

    column: str
    architectures: int
    kendall: float
    kendall_interval: tuple[float, float]
    spearman: float


@dataclass(frozen=True)
class Assessment:
    """How well one proxy ranks a bench.

    Attributes:
        name: the proxy's.
        expression: its formula.
        complexity: distinct nodes.
        joint: the mean over the columns of the run's rank correlation, by their weights; None if
            the proxy failed.
        joint_interval: its 95 % bootstrap interval.
        difference: `joint` minus that of the best baseline.
        difference_interval: the interval of the difference, on the same resamples.
        correlations: one a column.
        failure: why it has no score on some architecture; None if it has all.
    """

    name: str
    expression: str
    complexity: int
    joint: float | None
    joint_interval: tuple[float, float] | None
    difference: float | None
    difference_interval: tuple[float, float] | None
    correlations: tuple[Correlation, ...]
    failure: str | None

    def to_json(self) -> dict[str, Any]:
        """Return the assessment as JSON data."""
        return asdict(self)


@dataclass(frozen=True)
class _Resampled:
    """A rank correlation of a proxy for each column, and on each resample.

    Attributes:
        each: ``(columns,)``.
        resampled: ``(columns, resamples)``.
        weights: of the columns in the joint correlation.
    """

    each: Array
    resampled: Array
    weights: Array

    @property
    def joint(self) -> float:
        """The joint correlation."""
        return float(joint(self.each, self.weights))

    @property
    def resampled_joint(self) -> Array:
        """The joint correlation on each resample, ``(resamples,)``."""
        return joint(self.resampled.T, self.weights)


class Assessor:
    """Assesses proxies on some architectures, all on the same bootstrap resamples.

    Args:
        evaluator: over the table of the architectures.
        columns: what to rank by.
        baselines: graphs by name; differences are taken to the best of them.
        correlation: the rank correlation whose mean over the columns is the joint one.
        seed: of the resamples.
    """

    def __init__(
        self,
        evaluator: Evaluator,
        columns: Sequence[Column],
        baselines: Mapping[str, Graph],
        correlation: RankCorrelation = "kendall",
        seed: int = 0,
    ) -> None:
        """Draw the resamples, and assess the baselines."""
        self.evaluator = evaluator
        self.columns = tuple(columns)
        self.correlation = correlation
        self.weights = weights(self.columns)
        drawn = resampled_columns(self.columns, RESAMPLES, seed)
        self._counts = [each for each in drawn if each is not None]
        self.baselines = {}
        for name, graph in baselines.items():
            scores = evaluator(graph)
            if scores.failure is None:
                self.baselines[name] = self._resampled(scores.values, correlation)

    @property
    def best_baseline(self) -> str | None:
        """The baseline with the highest joint correlation here."""
        if not self.baselines:
            return None
        return max(self.baselines, key=lambda name: self.baselines[name].joint)

    def _resampled(self, values: Array, correlation: RankCorrelation) -> _Resampled:
        correlated, resampled = CORRELATIONS[correlation], RESAMPLED[correlation]
        each = [correlated(values[c.places], c.accuracies) for c in self.columns]
        again = [
            resampled(values[column.places], column.accuracies, counts)
            for column, counts in zip(self.columns, self._counts, strict=True)
        ]
        return _Resampled(np.array(each), np.array(again), self.weights)

    def __call__(self, name: str, graph: Graph) -> Assessment:
        """Return the assessment of one proxy."""
        scores = self.evaluator(graph)
        if scores.failure is not None:
            return Assessment(
                name, graph.text, graph.complexity, None, None, None, None, (), scores.failure
            )
        taus = self._resampled(scores.values, "kendall")
        by_tau = self.correlation == "kendall"
        own = taus if by_tau else self._resampled(scores.values, self.correlation)
        best = self.baselines[self.best_baseline] if self.best_baseline else None
        gain = own.resampled_joint - best.resampled_joint if best else None
        return Assessment(
            name=name,
            expression=graph.text,
            complexity=graph.complexity,
            joint=own.joint,
            joint_interval=interval(own.resampled_joint),
            difference=own.joint - best.joint if best else None,
            difference_interval=None if gain is None else interval(gain),
            correlations=tuple(
                Correlation(
                    column=column.name,
                    architectures=len(column.places),
                    kendall=float(tau),
                    kendall_interval=interval(resampled),
                    spearman=spearman(scores.values[column.places], column.accuracies),
                )
                for column, tau, resampled in zip(
                    self.columns, taus.each, taus.resampled, strict=True
                )
            ),
            failure=None,
        )

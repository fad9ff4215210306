"""What proxies are worth on some architectures of a bench, beside the known proxies."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from autoprox import proxies
from autoprox.benches import Bench
from autoprox.benches.counts import COUNTS, counted
from autoprox.evaluation.evaluate import Evaluator, Scores
from autoprox.language.graph import Graph
from autoprox.proxies.function import Ensemble, FunctionProxy
from autoprox.proxies.loading import AnyProxy, load
from autoprox.proxies.proxy import Proxy
from autoprox.ranking import (
    DEFAULT_CORRELATION,
    Array,
    Column,
    RankCorrelation,
    check_column,
    somers,
)
from autoprox.ranking.figures import RESAMPLES, ColumnFigures, Comparison, Figures, Interval
from autoprox.ranking.resampling import interval

COSTS = ("bit_sum", "model_size", "bops")
"""The baselines of bits."""

BASELINES = (*COUNTS, *COSTS)
"""The proxies that need no forward pass, that every run measures; see `baselines`."""


def baselines(bench: Bench) -> tuple[str, ...]:
    """Return the names of the baselines of a bench."""
    if bench.trained:
        return COSTS
    return COUNTS if bench.bits is None else BASELINES


def best_count(bench: Bench) -> tuple[str, float] | None:
    """Return the trivial count that ranks a bench best, and its joint Somers' D.

    The D of largest size wins, and keeps its sign: where it is negative, less is better. It is that
    on the architectures that runs draw unless told otherwise, over the bench's default targets;
    None for benches that were not counted, as `autoprox.benches.counts` says.

    Raises:
        BenchError: the table of counts is damaged.
    """
    rows, counts = counted(bench)
    if not rows:
        return None
    parts = columns(replace(bench, architectures=rows), range(len(rows)), bench.default_targets)
    joint = {
        name: float(np.mean([somers(values[part.places], part.accuracies) for part in parts]))
        for name, values in zip(COUNTS, counts.T, strict=True)
    }
    best = max(joint, key=lambda name: abs(joint[name]))
    return best, joint[best]


def shipped(bench: Bench, *, taught: bool = False) -> dict[str, AnyProxy]:
    """Return the proxies that ship and can tell the architectures of a bench apart, by name.

    Configurations of bits are told apart by proxies of bits alone, and networks have no bits.
    Proxies that look at a teacher are left out unless there is one (`taught`), and those of
    `costly`.
    """
    fitting = _fitting(bench, taught)
    return {name: proxy for name, proxy in fitting.items() if not _is_costly(proxy)}


def costly(bench: Bench) -> list[str]:
    """Return the names of those that `shipped` leaves out as they take minutes a network."""
    return [name for name, proxy in _fitting(bench, True).items() if _is_costly(proxy)]


def _is_costly(proxy: AnyProxy) -> bool:
    return isinstance(proxy, FunctionProxy | Ensemble) and proxy.costly


def _fitting(bench: Bench, taught: bool) -> dict[str, AnyProxy]:
    """Return the proxies that ship and can tell the architectures of a bench apart, by name."""
    known = {name: load(name) for name in dict.fromkeys([*baselines(bench), *proxies.names()])}
    return {
        name: proxy
        for name, proxy in known.items()
        if (bench.bits is not None if proxy.needs_bits else not bench.trained)
        and (taught or not proxy.needs_teacher)
    }


def expressible(
    bench: Bench, statistics: Collection[str], taught: bool = False
) -> dict[str, Graph]:
    """Return the graphs of the known proxies that some statistics can express, by name.

    The baselines come first. Proxies that a search discovered are not among them: it may have
    seen what is held out here.
    """
    return {
        name: proxy.graph
        for name, proxy in shipped(bench, taught=taught).items()
        if isinstance(proxy, Proxy)
        and {*proxy.statistics} <= {*statistics}
        and "found_by" not in proxy.provenance
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
    spaces = np.array([row.space for row in rows])
    first: dict[str, int] = {}
    networks = np.array(
        [first.setdefault(row.network_name(), place) for place, row in enumerate(rows)], np.intp
    )
    all_columns = []
    for space in bench.spaces:
        for target in targets:
            figures = bench.accuracies(target, rows)
            places = np.flatnonzero((spaces == space) & ~np.isnan(figures))
            if len(places):
                alone = bench.alone.get(target)
                apart = None if alone is None else bench.accuracies(alone, rows)[places]
                noise = bench.noise.get(f"{space}/{target}", 0.0)
                column = Column(
                    space,
                    target,
                    places,
                    figures[places],
                    apart=apart,
                    noise=noise,
                    networks=networks,
                )
                check_column(column)
                all_columns.append(column)
    return all_columns


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
        failure: why it has no score on any architecture; None if it has some.
        without_score: the share of architectures on which it has none; these come last.
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
    without_score: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Return the assessment as JSON data."""
        return asdict(self)

    def mean(self, figure: str, *, by_bench: bool = False) -> float | None:
        """Return the mean over the columns of a field of `ColumnFigures`; None after a failure.

        Args:
            figure: the field.
            by_bench: whether the columns are those of several benches, whose names theirs begin
                with: every bench counts the same, as in `joint`.
        """
        benches: dict[str, list[float]] = {}
        for column in self.columns:
            bench = column.column.partition("/")[0] if by_bench else ""
            benches.setdefault(bench, []).append(getattr(column, figure))
        means = [float(np.mean(figures)) for figures in benches.values()]
        return float(np.mean(means)) if means else None

    @property
    def silent_columns(self) -> tuple[str, ...]:
        """The columns all of whose architectures have the same score."""
        return tuple(column.column for column in self.columns if column.distinct == 1)


class Assessor:
    """Assesses proxies on some architectures, all on the same bootstrap resamples.

    Args:
        evaluator: over the table of the architectures.
        columns: what to rank by.
        known: graphs of known proxies by name; differences are taken to the best of them here.
        correlation: the rank correlation whose mean over the columns is the joint one.
    """

    def __init__(
        self,
        evaluator: Evaluator,
        columns: Sequence[Column],
        known: Mapping[str, Graph],
        correlation: RankCorrelation = DEFAULT_CORRELATION,
    ) -> None:
        self.evaluator = evaluator
        self.columns = tuple(columns)
        self.known = dict(known)
        self._compare = Comparison(self.columns, correlation)
        self._results: dict[Graph, tuple[Figures | str, float]] = {}

    @cached_property
    def best_known(self) -> str | None:
        """The known proxy with the highest joint correlation here; looks at all of them."""
        joints = {
            name: figures.joint
            for name, graph in self.known.items()
            if isinstance(figures := self.figures(graph), Figures)
        }
        return max(joints, key=joints.__getitem__) if joints else None

    def figures(self, graph: Graph) -> Figures | str:
        """Return the figures of a graph's scores, or why there are none; each graph once."""
        return self._result(graph)[0]

    def _result(self, graph: Graph) -> tuple[Figures | str, float]:
        if graph not in self._results:
            self._results[graph] = self._compared(self.evaluator(graph, reasons=1))
        return self._results[graph]

    def _compared(self, scores: Scores) -> tuple[Figures | str, float]:
        """Return figures, or why there are none, and the share of architectures without a score."""
        missing = ~np.isfinite(scores.values)
        if missing.all():
            return scores.failure or "", 1.0
        return self._compare(scores.values), float(missing.mean())

    def __call__(self, name: str, graph: Graph) -> Assessment:
        """Return the assessment of one proxy."""
        return self._assessed(name, graph.text, graph.complexity, *self._result(graph))

    def resampled(self, graph: Graph) -> Array:
        """Return the joint correlation of a graph's scores on each resample, ``(resamples,)``.

        Those of a graph that fails are 0.
        """
        figures = self.figures(graph)
        return figures.resampled if isinstance(figures, Figures) else np.zeros(RESAMPLES)

    def of_scores(self, name: str, description: str, scores: Scores) -> Assessment:
        """Return the assessment of a proxy that is no graph, from its scores."""
        return self._assessed(name, description, 0, *self._compared(scores))

    def _assessed(
        self, name: str, expression: str, complexity: int, figures: Figures | str, without: float
    ) -> Assessment:
        """Return the assessment that figures make, or that says why there are none."""
        known = name in self.known
        if isinstance(figures, str):
            return Assessment(
                name, expression, complexity, known, None, None, None, None, (), figures
            )
        best = self.figures(self.known[self.best_known]) if self.best_known else None
        beside = best if isinstance(best, Figures) else None
        return Assessment(
            name=name,
            expression=expression,
            complexity=complexity,
            known=known,
            joint=figures.joint,
            joint_interval=figures.joint_interval,
            difference=figures.joint - beside.joint if beside else None,
            difference_interval=interval(figures.resampled - beside.resampled) if beside else None,
            columns=figures.columns,
            failure=None,
            without_score=without,
        )

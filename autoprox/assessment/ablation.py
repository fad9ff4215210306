"""What each part of a proxy is good for: the correlation that is lost when it says nothing.

A sub-expression x is replaced, wherever the proxy uses it, by its mean m: by the expression
``add(multiply(x, 0.0), m)``, so that the layers that have it, and how many entries each has, stay.
The mean is over everything that the sub-expression says of the networks ranked:

* one number a network: over the networks;
* one number a layer: over all layers of all networks that have it;
* the entries of a layer: over the same layers, of the mean over the entries of each.

So what is left when ``act`` goes from ``sum(mean(act))`` is the number of layers. The whole proxy
is not replaced: its loss would be all there is. Numbers are constant as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from autoprox.assessment.assess import columns as columns_of
from autoprox.benches import Bench, drawn, load_bench
from autoprox.errors import AutoproxError, ScoreError
from autoprox.evaluation.evaluate import Evaluator, Table
from autoprox.language.graph import Graph, apply, number
from autoprox.measuring.probe import Probe
from autoprox.measuring.tables import Plan, load_table, measure_bench
from autoprox.primitives.kinds import TENSOR_KINDS
from autoprox.proxies.proxy import Proxy
from autoprox.ranking import Column, joint, somers, weights
from autoprox.runtime.arguments import listed, named_options
from autoprox.runtime.parallel import open_workers
from autoprox.runtime.progress import Progress, silent
from autoprox.statistics import Store
from autoprox.statistics.store import default_folder


@dataclass(frozen=True)
class Part:
    """A sub-expression of a proxy, and the proxy without it.

    Attributes:
        text: the sub-expression.
        constant: its mean, which replaces it; None if it is not finite.
        joint: the joint correlation of the proxy with the constant; None if that has no score on
            some network.
        loss: the joint correlation of the proxy minus `joint`; None where that is.
        failure: why there is no `joint`; None if there is one.
    """

    text: str
    constant: float | None
    joint: float | None
    loss: float | None
    failure: str | None


@dataclass(frozen=True)
class Ablation:
    """What each part of a proxy is good for.

    Attributes:
        graph: the proxy's.
        joint: its joint correlation: the mean of Somers' D over the columns.
        parts: its sub-expressions but for itself and for numbers, arguments before their users.
    """

    graph: Graph
    joint: float
    parts: tuple[Part, ...]


@named_options()
def ablate(
    proxy: Proxy | Graph,
    bench: str | Path | Bench,
    *,
    spaces: str | Sequence[str] | None = None,
    targets: str | Sequence[str] | None = None,
    architectures: int | None = None,
    probe: Probe | None = None,
    jobs: int = 1,
    backend: str = "loky",
    scheduler: str | None = None,
    cache: str | Path | None = None,
    progress: Progress | None = None,
) -> Ablation:
    """Measure the networks of a bench, and return what each part of a proxy is good for on them.

    Args:
        proxy: the proxy, or its graph.
        bench: a bench, its name or its file.
        spaces: the spaces; all if None.
        targets: what is ranked by; the bench's default targets if None.
        architectures: how many are drawn of the bench; as many as the bench says, or all, if None.
        probe: what the networks are shown.
        jobs: the number of processes.
        backend: where they come from, see `autoprox.runtime.parallel.open_workers`.
        scheduler: the address of Dask's.
        cache: the folder of the measured statistics; the user's cache folder if None.
        progress: called as ``progress(task, done, total)``.

    Raises:
        AutoproxError: a name is unknown, the networks cannot be measured, or the proxy has no score
            on one of them.
    """
    graph = proxy.graph if isinstance(proxy, Proxy) else proxy
    part = drawn(load_bench(bench), architectures).restricted(spaces)
    folder = default_folder() if cache is None else Path(cache)
    source = bench if isinstance(bench, Bench) else str(bench)
    plan = Plan(part, source, graph.statistics, probe or Probe(), folder)
    store = Store(folder)
    with open_workers(jobs, backend, scheduler, folder) as workers:
        rows = measure_bench(plan, store, workers, progress or silent)
    table = load_table(store, rows, graph.statistics)
    everything = range(len(part.architectures))
    columns = columns_of(part, everything, listed(targets or part.default_targets))
    return ablation(graph, table, columns)


def ablation(graph: Graph, table: Table, columns: Sequence[Column]) -> Ablation:
    """Return what each part of a proxy is good for on a table, to which the columns' places refer.

    Raises:
        ScoreError: the proxy has no score on one of the networks.
    """
    evaluator = Evaluator(table)
    whole = _joint(graph, evaluator, columns)
    parts = [
        _part(graph, node, whole, evaluator, columns)
        for node in graph
        if node is not graph and node.kind is not None
    ]
    return Ablation(graph, whole, tuple(parts))


def _part(
    graph: Graph, node: Graph, whole: float, evaluator: Evaluator, columns: Sequence[Column]
) -> Part:
    mean = mean_of(node, evaluator)
    if not np.isfinite(mean):
        return Part(node.text, None, None, None, "its mean is not finite")
    silent = apply("add", apply("multiply", node, number(0.0)), number(mean))
    try:
        left = _joint(replaced(graph, node, silent), evaluator, columns)
    except AutoproxError as error:
        return Part(node.text, mean, None, None, str(error))
    return Part(node.text, mean, left, whole - left, None)


def mean_of(node: Graph, evaluator: Evaluator) -> float:
    """Return the mean of an expression over the networks, and over their layers and entries."""
    value = evaluator.value(apply("mean", node) if node.kind in TENSOR_KINDS else node)
    numbers = value.numbers if value.present is None else value.numbers[value.present]
    return float(numbers.mean())


def replaced(graph: Graph, node: Graph, other: Graph) -> Graph:
    """Return a graph with another node wherever it uses `node`.

    >>> from autoprox.language.text import parse
    >>> graph = parse("divide(sum(params), add(sum(params), 1.0))")
    >>> replaced(graph, parse("params"), parse("flops")).text
    'divide(sum(flops), add(1.0, sum(flops)))'
    """
    rebuilt = {node: other}
    for below in graph:
        if below not in rebuilt:
            args = tuple(rebuilt[arg] for arg in below.args)
            rebuilt[below] = below if args == below.args else apply(below.word, *args)
    return rebuilt[graph]


def _joint(graph: Graph, evaluator: Evaluator, columns: Sequence[Column]) -> float:
    """Return the joint correlation of a graph's scores."""
    scores = evaluator(graph)
    if scores.failure is not None:
        raise ScoreError(f"{graph.text} has no score on some network: {scores.failure}")
    correlations = [somers(scores.values[column.places], column.accuracies) for column in columns]
    return float(joint(np.array(correlations), weights(columns)))

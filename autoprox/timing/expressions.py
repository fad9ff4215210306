"""The ways to compute sub-expressions over tensors: autoprox's program, and compiled NumPy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from autoprox.evaluation.blocks import whole
from autoprox.evaluation.evaluate import Table, tensor_reductions
from autoprox.language.graph import Graph
from autoprox.timing.laps import Lap, Way, seconds_of
from autoprox.timing.rival import Rival, silence, writes
from autoprox.timing.stage import Stage


def _node_elements(table: Table, reduction: Graph) -> int:
    """Count the entries that the nodes of a reduction have on all networks, statistics included."""
    name = reduction.statistics[0]
    nodes = sum(node.kind is not None for node in reduction.nodes())
    entries = sum(whole(each.values[name]).numel() for each in table.measurements)
    return int(nodes * entries)


def _reductions(stage: Stage) -> list[Graph]:
    """Return the reductions of tensors within the candidates that NumPy's side can write."""
    nodes = (node for graph in stage.candidates for node in tensor_reductions(graph))
    return [node for node in dict.fromkeys(nodes) if writes(node)]


def _program(stage: Stage) -> Callable[[], Lap]:
    """Compute each sub-expression by itself, on all networks."""
    table, reductions = stage.table, _reductions(stage)
    elements = sum(_node_elements(table, each) for each in reductions)
    operations = sum(1 for each in reductions for node in each.nodes() if node.args)
    nodes = sum(1 for each in reductions for node in each.nodes() if node.kind is not None)
    note = (
        f"{len(reductions)} sub-expressions, each by itself, one thread; statistics count as nodes "
        f"({operations / nodes:.0%} of the nodes are operations)"
    )

    def lap() -> Lap:
        def work() -> None:
            for each in reductions:
                table.reduced([each])

        seconds = seconds_of(work)
        return Lap(seconds / elements, table.reduced(reductions).numpy(), note)

    return lap


def _numpy(stage: Stage) -> Callable[[], Lap]:
    """The same by compiled NumPy expressions, network by network."""
    table, reductions = stage.table, _reductions(stage)
    rival = Rival(stage, table)
    elements = sum(_node_elements(table, each) for each in reductions)
    functions = [rival.compiled(each) for each in reductions]

    def lap() -> Lap:
        def work() -> None:
            for function in functions:
                for arrays in rival.inputs:
                    function(*arrays)

        with silence():
            seconds = seconds_of(work)
            numbers = np.full((len(functions), len(rival.inputs), table.widest), np.nan)
            for i, function in enumerate(functions):
                for j, arrays in enumerate(rival.inputs):
                    found = function(*arrays)
                    numbers[i, j, : len(found)] = found
        return Lap(seconds / elements, numbers)

    return lap


PROGRAM = Way("autoprox, nothing known", _program)
NUMPY = Way("NumPy, compiled by DEAP", _numpy)

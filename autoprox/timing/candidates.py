"""The ways to judge candidates: re-running the networks, cached statistics, a whole run."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from autoprox.evaluation.evaluate import Evaluator, Table
from autoprox.evolution.judge import Judge
from autoprox.evolution.run import Silent, evolve
from autoprox.evolution.search import Generation
from autoprox.language.graph import Graph
from autoprox.statistics import measure, noise
from autoprox.timing.laps import Lap, Way
from autoprox.timing.stage import Stage

RERUN_NETWORKS = 3
RERUN_BATCH = 16
"""On how many networks the cost of running one is measured, and on how many inputs."""

WARM_UP = 200
"""How many candidates a run before the first repetition judges."""


def _rerun(stage: Stage) -> Callable[[], Lap]:
    """One forward and backward pass over freshly built networks, scaled to all of them.

    That is the least that a published system does for one candidate: some run a network once for
    every statistic of the formula, and all then compute the formula on the full tensors.
    """
    bench, chosen = stage.bench, stage.spread(RERUN_NETWORKS)
    batch = noise(bench.input_shape, bench.classes, batch=RERUN_BATCH, seed=stage.seed)
    scores = _measured_anew(stage)

    def lap() -> Lap:
        begun = time.perf_counter()
        for architecture in chosen:
            forward_backward(bench.network(architecture, stage.seed).train(), *batch)
        each = (time.perf_counter() - begun) / len(chosen)
        count = len(bench.architectures)
        size = " x ".join(map(str, bench.input_shape))
        note = (
            f"re-running is {each:.3g} s a network (built, one forward and backward pass, {size}, "
            f"batch {RERUN_BATCH}, one thread), measured on {len(chosen)} of the {count}, counted "
            "for as many as the other side judges on; the formula itself is not counted"
        )
        return Lap(each * count, scores, note)

    return lap


def forward_backward(network: nn.Module, inputs: Tensor, targets: Tensor) -> None:
    """Run a network once forward and backward."""
    torch.nn.functional.cross_entropy(network(inputs), targets).backward()  # type: ignore[no-untyped-call]


def _measured_anew(stage: Stage) -> np.ndarray:
    """Return the candidates' scores on the networks that are re-run, measured anew.

    On the batch of the cached statistics, so that they are those of the cached evaluation.
    """
    inputs, targets = stage.probe.inputs(stage.bench)
    measured = tuple(
        measure(
            stage.bench.network(each, stage.probe.seed),
            inputs,
            targets,
            stage.plan.names,
            sample=stage.probe.sample,
            seed=stage.probe.seed,
        )
        for each in stage.spread(RERUN_NETWORKS)
    )
    evaluator = Evaluator(Table(measured))
    return np.stack([evaluator(graph).values for graph in stage.candidates])


def _cold(stage: Stage) -> Callable[[], Lap]:
    """Judge each candidate by itself, with nothing remembered."""

    def lap() -> Lap:
        seconds, scores = 0.0, []
        for graph in stage.candidates:
            judge = stage.judge()
            begun = time.perf_counter()
            judge([graph])
            seconds += time.perf_counter() - begun
            scores.append(_on_rerun(stage, judge, graph))
        return Lap(seconds / len(scores), np.stack(scores))

    return lap


def _warm(stage: Stage) -> Callable[[], Lap]:
    """Judge candidates whose arguments are remembered, as those of most offspring are, at once."""

    def lap() -> Lap:
        judge = stage.judge()
        for graph in stage.candidates:
            for each in graph.args:
                if each.kind is not None:
                    judge.portions[0].evaluator.value(each)
        begun = time.perf_counter()
        judge(stage.candidates)
        seconds = time.perf_counter() - begun
        scores = np.stack([_on_rerun(stage, judge, graph) for graph in stage.candidates])
        return Lap(seconds / len(scores), scores, f"{len(scores)} candidates at once")

    return lap


def _on_rerun(stage: Stage, judge: Judge, graph: Graph) -> np.ndarray:
    """Return what a judge's scores are on the networks that are re-run."""
    places = [stage.bench.architectures.index(each) for each in stage.spread(RERUN_NETWORKS)]
    return np.asarray(judge.portions[0].evaluator(graph).values[places])


class _Clock(Silent):
    """Notes when the first generation is over."""

    def __init__(self) -> None:
        """Start the clock."""
        self.begun = time.perf_counter()
        self.first: float | None = None

    def generation(self, generation: Generation, held_out: float | None) -> None:
        """Note how long the first generation took to come."""
        if self.first is None:
            self.first = time.perf_counter() - self.begun


def _whole_run(stage: Stage) -> Callable[[], Lap]:
    """Discover as ``autoprox evolve`` does, into a folder that is thrown away."""
    stage.table  # noqa: B018 - measured before the clock starts
    _evolved(stage, min(WARM_UP, stage.evaluations))

    def lap() -> Lap:
        clock = _Clock()
        found, count, seconds = _evolved(stage, stage.evaluations, clock)
        whole = time.perf_counter() - clock.begun
        note = (
            f"a whole run is `autoprox evolve` with {stage.jobs} processes: {count} distinct "
            f"candidates in {seconds:.1f} s of search, variation, ranking and files included; "
            f"{clock.first:.1f} s to the end of the first generation, {whole:.1f} s in all"
        )
        return Lap(seconds / count, found, note)

    return lap


def _evolved(
    stage: Stage, evaluations: int, clock: _Clock | None = None
) -> tuple[dict[Graph, float], int, float]:
    """Run; return the fitness of the candidates, how many were judged, and the seconds.

    Raises:
        KeyboardInterrupt: the run was stopped.
    """
    with tempfile.TemporaryDirectory() as folder:
        run = evolve(
            stage.bench,
            out=folder,
            jobs=stage.jobs,
            cache=stage.folder,
            observer=clock,
            evaluations=evaluations,
            seed=stage.seed,
        )
        if not run.finished:  # Ctrl-C ends a run with a report
            raise KeyboardInterrupt
    fitness = {each.candidate.graph: each.fitness for each in run.judged}
    return fitness, run.evaluations, run.seconds


RERUN = Way("re-running the networks", _rerun)
COLD = Way("cached statistics, nothing known", _cold)
WARM = Way("cached statistics, arguments known", _warm)
WHOLE_RUN = Way("whole run, distinct candidates", _whole_run)

"""The ways that are compared, but for the search that a user of DEAP would write (`rival`)."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call

from autoprox.assessment.assess import columns
from autoprox.benches import Architecture
from autoprox.evaluation.blocks import whole
from autoprox.evaluation.evaluate import Evaluator, Table, tensor_reductions
from autoprox.evolution.judge import Judge
from autoprox.evolution.search import Generation
from autoprox.language.graph import Graph
from autoprox.measuring.tables import measure_bench
from autoprox.ranking import Column, Ranker, resolved
from autoprox.runs.evolve import Silent, evolve
from autoprox.runtime.parallel import open_workers
from autoprox.statistics import STATISTICS, Store, measure, noise
from autoprox.statistics.structure import layer_names
from autoprox.statistics.subject import Subject, reseed
from autoprox.timing.rival import DeapSearch, correlations, silence, writes
from autoprox.timing.stage import Lap, Stage, Way, seconds_of

RERUN_NETWORKS = 3
RERUN_BATCH = 16
"""On how many networks the cost of running one is measured, and on how many inputs."""

WARM_UP = 200
"""How many candidates a run before the first repetition judges."""

NETWORKS = 2
"""How many networks are measured a repetition."""

NETWORKS_A_PROCESS = 3
"""How many where one process is compared with several, for each of these."""

LOSS = frozenset({"forward", "loss", "micro"})
PASSES = frozenset({"static", "count", "flow", *LOSS})
"""The groups of statistics whose passes are run bare; others are left out of the comparison."""


def _rerun(stage: Stage) -> Iterator[Lap]:
    """One forward and backward pass over freshly built networks, scaled to all of them.

    That is the least that any published system does for one candidate.
    """
    bench, seed, count = stage.bench, stage.ground.settings.seed, len(stage.places)
    drawn = stage.architectures(RERUN_NETWORKS)
    batch = noise(bench.input_shape, bench.classes, batch=RERUN_BATCH, seed=seed)
    scores = _measured_anew(stage, drawn)
    while True:
        begun = time.perf_counter()
        for architecture in drawn:
            forward_backward(bench.network(architecture, seed).train(), *batch)
        seconds = (time.perf_counter() - begun) / len(drawn)
        note = (
            f"re-running is {seconds:.3g} s a network (built, one forward and backward pass, "
            f"{' x '.join(map(str, bench.input_shape))}, batch {RERUN_BATCH}, one thread), "
            f"measured on {len(drawn)} of the {count}, counted for as many as the other side "
            "judges on; the formula itself is not counted"
        )
        yield Lap(seconds * count, scores, note)


def forward_backward(network: nn.Module, inputs: Tensor, targets: Tensor) -> None:
    """Run a network once forward and backward."""
    torch.nn.functional.cross_entropy(network(inputs), targets).backward()  # type: ignore[no-untyped-call]


def _measured_anew(stage: Stage, drawn: Sequence[Architecture]) -> NDArray[np.float64]:
    """Return the candidates' scores on networks that are measured anew, as the cache has them."""
    probe, names = stage.ground.settings.probe, stage.ground.names
    inputs, targets = probe.inputs(stage.bench)
    networks = (stage.bench.network(architecture, probe.seed) for architecture in drawn)
    measured = tuple(
        measure(network, inputs, targets, names, sample=probe.sample, seed=probe.seed)
        for network in networks
    )
    evaluator = Evaluator(Table(measured))
    return np.stack([evaluator(graph).values for graph in stage.candidates])


def _cold(stage: Stage) -> Iterator[Lap]:
    """Judge each candidate by itself, with nothing remembered."""
    while True:
        seconds, scores = 0.0, []
        for graph in stage.candidates:
            judge = stage.judge()
            begun = time.perf_counter()
            judge([graph])
            seconds += time.perf_counter() - begun
            scores.append(_on_rerun(stage, judge, graph))
        yield Lap(seconds / len(scores), np.stack(scores))


def _warm(stage: Stage) -> Iterator[Lap]:
    """Judge candidates whose arguments are remembered, as those of most offspring are, at once."""
    while True:
        judge = stage.judge()
        for graph in stage.candidates:
            for argument in graph.args:
                if argument.kind is not None:
                    judge.portions[0].evaluator.value(argument)
        begun = time.perf_counter()
        judge(stage.candidates)
        seconds = time.perf_counter() - begun
        scores = np.stack([_on_rerun(stage, judge, graph) for graph in stage.candidates])
        yield Lap(seconds / len(scores), scores, f"{len(scores)} candidates at once")


def _on_rerun(stage: Stage, judge: Judge, graph: Graph) -> NDArray[np.float64]:
    """Return a judge's scores on the networks that are re-run."""
    return np.asarray(judge.portions[0].evaluator(graph).values[stage.spread(RERUN_NETWORKS)])


class _Clock(Silent):
    """Notes when the first generation is over."""

    first: float | None = None

    def __init__(self) -> None:
        self.begun = time.perf_counter()

    def generation(self, generation: Generation, held_out: float | None) -> None:
        """Note how long the first generation took to come."""
        if self.first is None:
            self.first = time.perf_counter() - self.begun


def _whole_run(stage: Stage) -> Iterator[Lap]:
    """Discover as ``autoprox evolve`` does, into a folder that is thrown away."""
    stage.table  # noqa: B018 - measured before the clock starts
    evaluations = stage.ground.settings.evaluations
    _evolved(stage, min(WARM_UP, evaluations), _Clock())
    while True:
        clock = _Clock()
        fitness, count, seconds = _evolved(stage, evaluations, clock)
        note = (
            f"a whole run is `autoprox evolve` with {stage.jobs} processes: {count} distinct "
            f"candidates in {seconds:.1f} s of search, variation, ranking and files included; "
            f"{clock.first:.1f} s to the end of the first generation, "
            f"{time.perf_counter() - clock.begun:.1f} s in all"
        )
        yield Lap(seconds / count, fitness, note)


def _evolved(
    stage: Stage, evaluations: int, clock: _Clock
) -> tuple[dict[Graph, float], int, float]:
    """Run; return the fitness of the candidates, how many were judged, and the seconds."""
    with tempfile.TemporaryDirectory() as folder:
        run = evolve(
            stage.bench,
            out=folder,
            jobs=stage.jobs,
            cache=stage.ground.store.folder,
            observer=clock,
            evaluations=evaluations,
            seed=stage.ground.settings.seed,
        )
        if not run.finished:  # Ctrl-C ends a run with a report
            raise KeyboardInterrupt
    fitness = {judged.candidate.graph: judged.fitness for judged in run.judged}
    return fitness, run.evaluations, run.seconds


def _all_columns(stage: Stage) -> list[Column]:
    """Return the figures of all architectures for all targets."""
    return columns(stage.bench, stage.places, stage.bench.targets)


def _scipy(stage: Stage) -> Iterator[Lap]:
    """Somers' D of every candidate with every column; what differs by rounding alone ties."""
    figures, scores = _all_columns(stage), resolved(stage.scores)
    while True:
        seconds = seconds_of(lambda: correlations(scores, figures))
        yield Lap(seconds / len(scores), correlations(scores, figures))


def _ranker(stage: Stage) -> Iterator[Lap]:
    """The same as a search does it."""
    figures, scores = _all_columns(stage), stage.scores
    ranker = Ranker(figures)
    lengths = sorted({len(column.places) for column in figures})
    note = (
        f"{len(figures)} columns of {' or '.join(map(str, lengths))} architectures, "
        f"{len(scores)} candidates at once"
    )
    while True:
        seconds = seconds_of(lambda: ranker.correlations(scores))
        yield Lap(seconds / len(scores), ranker.correlations(scores), note)


def _reductions(stage: Stage) -> tuple[list[Graph], int]:
    """Return the reductions of tensors that NumPy's side can write, and the entries of their nodes.

    Each of the nodes, statistics included, has as many entries as its statistic on all networks.
    """
    nodes = (node for graph in stage.candidates for node in tensor_reductions(graph))
    reductions = [node for node in dict.fromkeys(nodes) if writes(node)]
    entries = sum(
        len(_valued(reduction)) * whole(measured.values[reduction.statistics[0]]).numel()
        for reduction in reductions
        for measured in stage.table.measurements
    )
    return reductions, entries


def _valued(graph: Graph) -> list[Graph]:
    """Return the nodes that are no numbers."""
    return [node for node in graph if node.kind is not None]


def _program(stage: Stage) -> Iterator[Lap]:
    """Compute each sub-expression by itself, on all networks."""
    reductions, entries = _reductions(stage)
    nodes = [node for reduction in reductions for node in _valued(reduction)]
    note = (
        f"{len(reductions)} sub-expressions, each by itself, one thread; statistics count as nodes "
        f"({sum(bool(node.args) for node in nodes) / len(nodes):.0%} of the nodes are operations)"
    )
    while True:
        seconds = seconds_of(lambda: [stage.table.reduced([reduction]) for reduction in reductions])
        yield Lap(seconds / entries, stage.table.reduced(reductions).numpy(), note)


def _numpy(stage: Stage) -> Iterator[Lap]:
    """The same by compiled NumPy expressions, network by network."""
    reductions, entries = _reductions(stage)
    rival = DeapSearch(stage, stage.table)
    functions = [rival.compiled(reduction) for reduction in reductions]

    def numbers() -> list[list[NDArray[np.float64]]]:
        return [[function(*arrays) for arrays in rival.inputs] for function in functions]

    while True:
        with silence():
            seconds, rows = seconds_of(numbers), numbers()
        value = np.full((len(functions), len(rival.inputs), stage.table.widest), np.nan)
        for place, networks in enumerate(rows):
            for network, layers in enumerate(networks):
                value[place, network, : len(layers)] = layers
        yield Lap(seconds / entries, value)


def _extraction(stage: Stage) -> Iterator[Lap]:
    """Measure the statistics of a default run, networks built beforehand."""
    subjects, names, sample = _subjects(stage), _names(stage), stage.ground.settings.probe.sample

    def measured(subject: Subject) -> None:
        shown = subject.network, subject.inputs, subject.targets
        measure(*shown, names, sample=sample, seed=subject.seed)

    gradients = [_measured_gradients(subject) for subject in subjects]
    while True:
        begun = time.perf_counter()
        for subject in subjects:
            measured(subject)
        yield Lap((time.perf_counter() - begun) / len(subjects), gradients)


def _bare(stage: Stage) -> Iterator[Lap]:
    """Run the passes that the same statistics need, and keep nothing."""
    subjects, names = _subjects(stage), _names(stage)
    groups = {STATISTICS[name].group for name in names}
    passes = ["once forward on one input"]
    if "flow" in groups:
        passes.insert(0, "once on an input of ones in float64")
    if groups & LOSS:
        parts = len(subjects[0].parts())
        passes.insert(0, f"{parts} times forward and backward on a part of the batch")
    note = (
        f"the passes of {len(names)} statistics, batch {subjects[0].batch}, one thread: "
        f"{', '.join(passes)}"
    )
    while True:
        begun = time.perf_counter()
        gradients = [_passes(subject, groups) for subject in subjects]
        yield Lap((time.perf_counter() - begun) / len(subjects), gradients, note)


def _subjects(stage: Stage) -> list[Subject]:
    """Return networks with the batch that they are measured on."""
    probe = stage.ground.settings.probe
    batch = probe.inputs(stage.bench)
    networks = [
        stage.bench.network(architecture, probe.seed)
        for architecture in stage.architectures(NETWORKS)
    ]
    return [
        Subject(network.train(), *batch, layer_names(network), probe.seed) for network in networks
    ]


def _names(stage: Stage) -> list[str]:
    """Return the statistics of a default run whose passes are run bare."""
    return [name for name in stage.ground.names if STATISTICS[name].group in PASSES]


def _measured_gradients(subject: Subject) -> list[Tensor]:
    """Return what `measure` says the gradients are, one tensor a layer as it is registered."""
    shown = subject.network, subject.inputs, subject.targets
    measured = measure(*shown, ("grad",), sample="full", seed=subject.seed)
    by_layer = dict(zip(measured.layers, measured.values["grad"], strict=True))
    return [by_layer[name] for name in subject.names]


def _passes(subject: Subject, groups: set[str]) -> list[Tensor]:
    """Run the passes of some groups; return the gradients of the loss, one a layer."""
    network, inputs, targets = subject.network, subject.inputs, subject.targets
    assert isinstance(inputs, Tensor)
    assert isinstance(targets, Tensor)
    parameters = dict(network.named_parameters())
    with torch.no_grad():
        network(inputs[:1])
    total = [torch.zeros(())] * len(subject.names)
    for low, high in subject.parts() if groups & LOSS else ():
        reseed(subject.seed, low)
        loss = torch.nn.functional.cross_entropy(network(inputs[low:high]), targets[low:high])
        grads = torch.autograd.grad(loss, [parameters[name] for name in subject.names])
        share = (high - low) / len(inputs)
        total = [a + share * b for a, b in zip(total, grads, strict=True)]
    if "flow" in groups:
        state = {name: value.detach().double().abs() for name, value in parameters.items()}
        weights = [state[name].requires_grad_() for name in subject.names]
        ones = torch.ones_like(inputs[:1], dtype=torch.float64)
        torch.autograd.grad(functional_call(network, state, (ones,)).sum(), weights)
    return total


def _by(stage: Stage, jobs: int) -> Iterator[Lap]:
    """Measure networks into an empty cache with so many processes."""
    drawn = stage.architectures(NETWORKS_A_PROCESS * stage.jobs)
    if jobs > 1:
        _measured(stage, drawn[:jobs], jobs)  # so that the processes have started
    while True:
        seconds, files = _measured(stage, drawn, jobs)
        yield Lap(seconds / len(drawn), files, f"{len(drawn)} networks, built and measured")


def _measured(
    stage: Stage, drawn: Sequence[Architecture], jobs: int
) -> tuple[float, dict[str, bytes]]:
    """Return how long measuring took, and the files that it made."""
    with tempfile.TemporaryDirectory() as name, open_workers(jobs) as workers:
        folder, (plan,) = Path(name), stage.ground.plans
        bench = replace(plan.bench, architectures=tuple(drawn), default_architectures=None)
        begun = time.perf_counter()
        measure_bench(replace(plan, bench=bench, folder=folder), Store(folder), workers)
        seconds = time.perf_counter() - begun
        return seconds, {path.name: path.read_bytes() for path in folder.glob("??/*")}


RERUN = Way("re-running the networks", _rerun)
COLD = Way("cached statistics, nothing known", _cold)
WARM = Way("cached statistics, arguments known", _warm)
WHOLE_RUN = Way("whole run, distinct candidates", _whole_run)
SCIPY = Way("scipy.stats.kendalltau and the ties, all columns a call", _scipy)
RANKER = Way("all columns at once", _ranker)
PROGRAM = Way("autoprox, nothing known", _program)
NUMPY = Way("NumPy, compiled by DEAP", _numpy)
EXTRACTION = Way("all statistics of a run", _extraction)
BARE = Way("the bare passes that they need", _bare)
ONE = Way("one process", lambda stage: _by(stage, 1))
SEVERAL = Way("several processes", lambda stage: _by(stage, stage.jobs))

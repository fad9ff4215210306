"""The ways to measure networks: the bare passes, with the statistics, by one process or many."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.func import functional_call

from autoprox.benches import Architecture
from autoprox.measuring.tables import measure_bench
from autoprox.runtime.parallel import open_workers
from autoprox.statistics import STATISTICS, Store, measure
from autoprox.statistics.structure import layer_names
from autoprox.statistics.subject import Subject, reseed
from autoprox.timing.laps import Lap, Way
from autoprox.timing.stage import Stage

NETWORKS = 2
"""How many networks are measured a repetition."""

NETWORKS_A_PROCESS = 3
"""How many where one process is compared with several, for each of these."""

LOSS = frozenset({"forward", "loss", "micro"})
PASSES = frozenset({"static", "count", "flow", *LOSS})
"""The groups of statistics whose passes are run bare; others are left out of the comparison."""


@dataclass(frozen=True, slots=True)
class _Shown:
    """A network and the batch that it is shown."""

    network: nn.Module
    inputs: Tensor
    targets: Tensor
    layers: tuple[str, ...]
    seed: int

    def weights(self) -> list[Tensor]:
        """Return the layers' weights, in the order of registration."""
        parameters = dict(self.network.named_parameters())
        return [parameters[name] for name in self.layers]


def _shown(stage: Stage) -> list[_Shown]:
    inputs, targets = stage.probe.inputs(stage.bench)
    networks = [stage.bench.network(each, stage.probe.seed) for each in stage.spread(NETWORKS)]
    return [
        _Shown(each.train(), inputs, targets, layer_names(each), stage.probe.seed)
        for each in networks
    ]


def _names(stage: Stage) -> tuple[str, ...]:
    """Return the statistics of a default run whose passes are run bare."""
    return tuple(name for name in stage.plan.names if STATISTICS[name].group in PASSES)


def _extraction(stage: Stage) -> Callable[[], Lap]:
    """Measure the statistics of a default run, networks built beforehand."""
    shown, names, probe = _shown(stage), _names(stage), stage.probe
    gradients = [_measured_gradients(each) for each in shown]

    def lap() -> Lap:
        begun = time.perf_counter()
        for each in shown:
            measure(
                each.network,
                each.inputs,
                each.targets,
                names,
                sample=probe.sample,
                seed=probe.seed,
            )
        return Lap((time.perf_counter() - begun) / len(shown), gradients)

    return lap


def _measured_gradients(shown: _Shown) -> list[Tensor]:
    """Return what `measure` says the gradients are, as one tensor a layer as it is registered."""
    found = measure(
        shown.network, shown.inputs, shown.targets, ("grad",), sample="full", seed=shown.seed
    )
    by_name = dict(zip(found.layers, found.values["grad"], strict=True))
    return [by_name[name] for name in shown.layers]


def _bare(stage: Stage) -> Callable[[], Lap]:
    """Run the passes that the same statistics need, and keep nothing."""
    shown = _shown(stage)
    groups = {STATISTICS[name].group for name in _names(stage)}
    parts = [_parts(each) for each in shown]
    said = []
    if groups & LOSS:
        said.append(f"{len(parts[0])} times forward and backward on a part of the batch")
    if "flow" in groups:
        said.append("once on an input of ones in float64")
    note = (
        f"the passes of {len(_names(stage))} statistics, batch {len(shown[0].inputs)}, one thread: "
        f"{', '.join([*said, 'once forward on one input'])}"
    )

    def lap() -> Lap:
        begun = time.perf_counter()
        gradients = [_passes(each, cuts, groups) for each, cuts in zip(shown, parts, strict=True)]
        return Lap((time.perf_counter() - begun) / len(shown), gradients, note)

    return lap


def _parts(shown: _Shown) -> list[tuple[int, int]]:
    """Return the parts of the batch that `measure` runs one after the other."""
    return Subject(shown.network, shown.inputs, shown.targets, shown.layers, shown.seed).parts()


def _passes(shown: _Shown, parts: Sequence[tuple[int, int]], groups: set[str]) -> list[Tensor]:
    """Run the passes of some groups; return the gradients of the loss, one a layer."""
    with torch.no_grad():
        shown.network(shown.inputs[:1])
    total = [torch.zeros(())] * len(shown.layers)
    if groups & LOSS:
        for low, high in parts:
            reseed(shown.seed, low)
            logits = shown.network(shown.inputs[low:high])
            loss = torch.nn.functional.cross_entropy(logits, shown.targets[low:high])
            share = (high - low) / len(shown.inputs)
            grads = torch.autograd.grad(loss, shown.weights())
            total = [a + share * b for a, b in zip(total, grads, strict=True)]
    if "flow" in groups:
        state = {
            name: each.detach().double().abs() for name, each in shown.network.named_parameters()
        }
        weights = [state[name].requires_grad_() for name in shown.layers]
        ones = torch.ones_like(shown.inputs[:1], dtype=torch.float64)
        torch.autograd.grad(functional_call(shown.network, state, (ones,)).sum(), weights)
    return total


def _by(stage: Stage, jobs: int) -> Callable[[], Lap]:
    """Measure networks into an empty cache with so many processes."""
    chosen = stage.spread(NETWORKS_A_PROCESS * stage.jobs)
    if jobs > 1:
        _measured(stage, chosen[:jobs], jobs)  # so that the processes have started

    def lap() -> Lap:
        seconds, files = _measured(stage, chosen, jobs)
        return Lap(seconds / len(chosen), files, f"{len(chosen)} networks, built and measured")

    return lap


def _measured(
    stage: Stage, chosen: Sequence[Architecture], jobs: int
) -> tuple[float, dict[str, bytes]]:
    """Return how long measuring took, and the files that it made."""
    with tempfile.TemporaryDirectory() as name, open_workers(jobs) as workers:
        folder = Path(name)
        begun = time.perf_counter()
        measure_bench(stage.planned(chosen, folder), Store(folder), workers)
        seconds = time.perf_counter() - begun
        return seconds, {each.name: each.read_bytes() for each in folder.glob("??/*")}


EXTRACTION = Way("all statistics of a run", _extraction)
BARE = Way("the bare passes that they need", _bare)
ONE = Way("one process", lambda stage: _by(stage, 1))
SEVERAL = Way("several processes", lambda stage: _by(stage, stage.jobs))

"""Cost models of the architectures of benches, from files and from this machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from autoprox.benches import Bench, load_bench
from autoprox.errors import BenchError
from autoprox.hardware.cost import CostModel, fit_cost
from autoprox.hardware.devices import SPACES, measurements_of
from autoprox.hardware.features import OF_SPACES, features_of
from autoprox.hardware.timing import Latency, time_network
from autoprox.runtime.progress import Progress, silent

if TYPE_CHECKING:
    from autoprox.statistics.trees import Inputs


def fit_file(path: Path, bench: str, device: str | None = None) -> CostModel:
    """Fit a cost model to a file of measurements of a bench's architectures.

    Raises:
        BenchError: the file is none, names an architecture that the bench has not, or has too few;
            or the bench is of bits.
    """
    unit, costs = measurements_of(path)
    if bench in SPACES:
        return fit_cost(
            [OF_SPACES[bench](name) for name in _known(costs, bench)],
            [*costs.values()],
            device or path.stem,
            unit,
            bench,
        )
    loaded = _of_no_bits(bench)
    rows = {row.name: row for row in loaded.architectures}
    unknown = next((name for name in costs if name not in rows), None)
    if unknown is not None:
        raise BenchError(f"{path}: bench {loaded.name!r} has no architecture {unknown!r}")
    features = [features_of(loaded.network(rows[name], 0), _one_input(loaded)) for name in costs]
    return fit_cost(features, [*costs.values()], device or path.stem, unit)


def _of_no_bits(bench: str) -> Bench:
    """Load a bench; refuse one of bits, as its networks would run without them."""
    loaded = load_bench(bench)
    if loaded.bits is not None:
        raise BenchError(
            f"costs are those of networks as they are built, and those of bench {loaded.name!r} "
            "differ by their bits; choose another bench, such as nb201"
        )
    return loaded


def _known(costs: Mapping[str, float], space: str) -> Mapping[str, float]:
    """Return the costs; refuse one whose architecture is not of a space."""
    for name in costs:
        operations, places = ("01234", 6) if space == "nb201" else ("012345678", 22)
        cell = name.removeprefix(f"{space}/")
        if len(cell) != places or set(cell) - set(operations):
            raise BenchError(
                f"{space} has no architecture {name!r}: expected {places} digits, each from 0 to "
                f"{operations[-1]}"
            )
    return costs


def time_bench(
    bench: str,
    architectures: int,
    seed: int = 0,
    passes: int = 15,
    progress: Progress = silent,
    keep: Callable[[Mapping[str, Latency]], None] = lambda _: None,
) -> dict[str, Latency]:
    """Return the latencies of architectures that are drawn from a bench, on this machine.

    Args:
        bench: its name, or a file that defines one.
        architectures: how many are drawn.
        seed: of what is drawn.
        passes: forward passes of each, after the warm-up.
        progress: called as ``progress(task, done, total)``.
        keep: called with all latencies by then, whenever there is one more.

    Raises:
        BenchError: the bench has not as many, is of bits, or cannot be loaded.
    """
    loaded = _of_no_bits(bench)
    rows = loaded.architectures
    if architectures > len(rows):
        raise BenchError(
            f"bench {loaded.name!r} has {len(rows)} architectures; got {architectures}"
        )
    places = np.random.default_rng(seed).permutation(len(rows))[:architectures]
    latencies: dict[str, Latency] = {}
    for done, place in enumerate(sorted(places.tolist())):
        progress("measuring", done, architectures)
        network = loaded.network(rows[place], 0)
        latencies[rows[place].name] = time_network(network, _one_input(loaded), passes)
        keep(latencies)
    progress("measured", architectures, architectures)
    return latencies


def written(latencies: Mapping[str, Latency]) -> str:
    """Return the text of a file of measurements, in milliseconds."""
    lines = [f"{name},{1000 * latency.seconds:.6g}" for name, latency in latencies.items()]
    return "\n".join(["architecture,ms", *lines, ""])


def _one_input(bench: Bench) -> Inputs:
    """Return one input for the networks of a bench."""
    from autoprox.measuring.probe import Probe
    from autoprox.statistics.trees import rows

    return rows(Probe(1).inputs(bench)[0], slice(0, 1))

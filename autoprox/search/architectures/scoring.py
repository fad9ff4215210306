"""The scores and the costs of architectures, measured as `autoprox.rank` measures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoprox.errors import ScoreError, SpaceError
from autoprox.hardware.pricing import mark_of
from autoprox.hardware.timing import time_network
from autoprox.language.text import parse_proxy
from autoprox.measuring.probe import Probe
from autoprox.measuring.score_store import Kept, identity
from autoprox.measuring.scoring import Job, score_all
from autoprox.proxies import names
from autoprox.proxies.fitted import FittedProxy
from autoprox.proxies.function import Ensemble, mean_of_ranks
from autoprox.proxies.loading import Scorable, Source, load
from autoprox.proxies.proxy import Proxy
from autoprox.runtime.files import absolute
from autoprox.runtime.parallel import HERE, Workers
from autoprox.runtime.progress import Progress, silent
from autoprox.search.architectures.limits import device_cost, one_input
from autoprox.search.architectures.space import Config, Space, bench_of, build
from autoprox.statistics import fingerprint

COUNTED: Mapping[str, Scorable] = {
    "params": Proxy(parse_proxy("sum(params)")),
    "flops": Proxy(parse_proxy("sum(flops)")),
}
"""The proxies that are costs; measuring any other counts them too."""


@dataclass(frozen=True, slots=True)
class Scored:
    """An architecture with its scores and costs.

    Attributes:
        config: its configuration.
        generation: when it was scored, from 1.
        scores: proxy to score; those that failed are not there.
        failures: proxy to the reason why it has no score.
        params: the number of parameters; None if the network cannot be measured.
        flops: operations for one input, as the statistic `flops` counts them, or None.
        latency: median seconds of a forward pass of one input; None if it was not measured.
        device: the cost on the device that the search is for, in ms or mJ; None if it is for none.
    """

    config: Config
    generation: int
    scores: Mapping[str, float]
    failures: Mapping[str, str]
    params: int | None
    flops: int | None
    latency: float | None = None
    device: float | None = None

    def cost(self, name: str) -> float | None:
        """Return one of `COSTS`, or the cost on the device, if it is known."""
        cost: float | None = self.device if ":" in name else getattr(self, name)
        return cost

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON data, which the constructor takes."""
        data = asdict(self)
        if self.device is None:  # as it was before there were devices
            del data["device"]
        return data


def loaded(sources: Sequence[Source]) -> dict[str, Scorable]:
    """Return the proxies by what `load` finds them again by: a shipped name, or the expression.

    Raises:
        UnknownNameError, LanguageError, AutoproxError: there is no such proxy.
        ScoreError: one compares networks with each other, or needs bits.
        SpaceError: there is none.
    """
    if not sources:
        raise SpaceError("give at least one proxy to search by, as in --proxy zico")
    by_name: dict[str, Scorable] = {}
    for source in sources:
        proxy = load(source)
        if isinstance(proxy, Ensemble):
            raise ScoreError(
                f"{proxy} compares networks with each other and has no score for one; search by "
                f"its parts, whose ranks are combined: {proxy.members}"
            )
        if proxy.needs_bits:
            raise ScoreError(f"{proxy} scores bits of trained networks; a space has none")
        if isinstance(proxy, FittedProxy):  # a search that is resumed reads the file again
            if not isinstance(source, (str, Path)):
                raise ScoreError(f"save {proxy} first, and search by its file")
            by_name[absolute(str(source))] = proxy
            continue
        shipped = str(proxy) in names() and load(str(proxy)) == proxy
        by_name[proxy.graph.text if isinstance(proxy, Proxy) and not shipped else str(proxy)] = (
            proxy
        )
    return by_name


@dataclass(frozen=True)
class Scorer:
    """Scores architectures of a space by proxies.

    Attributes:
        space: the space.
        version: of the space, see `version_of`.
        proxies: by name.
        probe: what the networks are shown.
        cache: the folder of the scores.
        workers: who scores.
        timed: whether to measure latencies.
        devices: what is searched for, or limited, on devices, such as ``latency:raspi4``; the cost
            of the first is kept with the scores.
    """

    space: Space
    version: str | None
    proxies: Mapping[str, Scorable]
    probe: Probe
    cache: Path
    workers: Workers = HERE
    timed: bool = False
    devices: Sequence[str] = ()

    def __call__(
        self,
        configs: Sequence[Config],
        generation: int,
        progress: Progress = silent,
    ) -> list[Scored]:
        """Return the architectures with their scores, in the order given."""
        bench = bench_of(self.space, list(configs), self.version)
        asked = {identity(proxy): proxy for proxy in (*self.proxies.values(), *COUNTED.values())}
        job = Job(bench, bench, tuple(asked.values()), self.probe, self.cache, False, kept=False)
        return [
            self._scored(config, generation, scores)
            for config, scores in zip(configs, score_all(job, self.workers, progress), strict=True)
        ]

    def marks(self) -> dict[str, Any]:
        """Return what the scores depend on and the settings do not say, as versions and digests.

        Raises:
            StatisticError, BenchError: the images cannot be read, or there is no such teacher.
            AutoproxError: the file of a cost model cannot be read.
        """
        bench = bench_of(self.space, [{}], self.version)
        inputs, teacher = self.probe.inputs(bench), self.probe.taught(bench)
        return {
            "space": self.version,
            "images": fingerprint(*inputs),
            "proxies": [identity(proxy) for proxy in self.proxies.values()],
            **({} if teacher is None else {"teacher": self.probe.teacher_mark}),
            **self.device_marks(),
        }

    def device_marks(self) -> dict[str, str]:
        """Return the digests of the files of cost models, by the devices that have one.

        Raises:
            AutoproxError: one cannot be read.
        """
        marks = {device: mark_of(device) for device in self.devices}
        return {device: mark for device, mark in marks.items() if mark is not None}

    def _scored(self, config: Config, generation: int, kept: Kept) -> Scored:
        scores, failures = {}, {}
        for name, proxy in self.proxies.items():
            key = identity(proxy)
            if key in kept.scores:
                scores[name] = kept.scores[key]
            else:
                reason = kept.failures[key]  # many begin with the name of the proxy
                failures[name] = reason.removeprefix(name).removeprefix(":").strip()
        counts = {
            name: round(kept.scores[key])
            for name, proxy in COUNTED.items()
            if (key := identity(proxy)) in kept.scores
        }
        latency = self.latency(config) if self.timed and counts else None
        device = device_cost(self.space, config, self.devices[0]) if self.devices else None
        params, flops = counts.get("params"), counts.get("flops")
        return Scored(config, generation, scores, failures, params, flops, latency, device)

    def latency(self, config: Config) -> float:
        """Return the median seconds of a forward pass of one input."""
        network = build(self.space, config, seed=self.probe.seed)
        return time_network(network, one_input(self.space)).seconds


def merits(scored: Sequence[Scored], proxies: Sequence[str]) -> NDArray[np.float64]:
    """Return by what architectures are compared, higher is better, ``(architectures,)``.

    With one proxy that is its score. With several it is the mean over the proxies of the rank among
    all that have every score, divided by their number: 1 for what every proxy likes best. Scores
    that differ by rounding alone share their mean rank. NaN where a proxy has no score.
    """
    merits = np.full(len(scored), np.nan)
    places = [place for place, architecture in enumerate(scored) if not architecture.failures]
    if not places:
        return merits
    table = np.array([[scored[place].scores[name] for place in places] for name in proxies])
    if len(proxies) == 1:
        merits[places] = table[0]
    else:
        merits[places] = mean_of_ranks(table) / len(places)
    return merits

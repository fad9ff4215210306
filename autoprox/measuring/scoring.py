"""The scores of many proxies on many architectures: built and measured once, cached, in parallel.

The tensors of an architecture are forgotten as soon as every proxy has its score: what stays is a
small file a network (see `autoprox.measuring.score_store`). Failures of the environment and scores
of code that has no digest are not cached. The configurations of one trained network are scored
together: it is measured once for each number of bits.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, TypeAlias

from autoprox.benches import Architecture, Bench, load_bench
from autoprox.benches.checks import check_outputs
from autoprox.errors import CacheError, StatisticError
from autoprox.measuring.network import ScoringWork, score_network
from autoprox.measuring.probe import Probe, architecture_key
from autoprox.measuring.score_store import Kept, ScoreStore, identity, keepable
from autoprox.proxies.fitted import FittedProxy
from autoprox.proxies.function import FunctionProxy
from autoprox.proxies.loading import Scorable
from autoprox.proxies.proxy import Proxy
from autoprox.runtime.parallel import HERE, Workers
from autoprox.runtime.progress import Progress, silent
from autoprox.statistics import Sample, Store, fingerprint

TIMED = 3
"""On how many architectures of each space the proxies are timed."""


@dataclass(frozen=True)
class Job:
    """Proxies, architectures, and where the scores are kept.

    Attributes:
        bench: the architectures.
        source: what other processes load the bench by, or the bench itself.
        proxies: what to score.
        probe: what the networks are shown; a proxy that needs more inputs is shown more.
        folder: the cache.
        timed: whether the proxies' costs are wanted.
        kept: whether sampled statistics that have to be measured are kept, see `ScoringWork`.
    """

    bench: Bench
    source: str | Bench
    proxies: tuple[Scorable, ...]
    probe: Probe
    folder: Path
    timed: bool = True
    kept: bool = True

    def timed_architectures(self) -> set[str]:
        """Return the names of the architectures that costs are taken on, spread over each space."""
        if not self.timed:
            return set()
        return {
            rows[int((i + 0.5) * len(rows) / TIMED)].name
            for rows in map(self.bench.in_space, self.bench.spaces)
            for i in range(TIMED)
        }

    def network(self, architecture: Architecture) -> str:
        """Return what is the same for architectures that are configurations of one network."""
        return architecture.space if self.bench.trained else architecture.name

    def probes(self) -> dict[Probe, tuple[Scorable, ...]]:
        """Return the batches that are shown, and to which proxies."""
        shown: dict[Probe, tuple[Scorable, ...]] = {}
        for proxy in self.proxies:
            least = proxy.batch if isinstance(proxy, FunctionProxy) else 1
            probe = replace(self.probe, batch=max(self.probe.batch, least))
            if isinstance(proxy, FittedProxy):  # shown what it was fitted on
                probe = replace(self.probe, batch=proxy.batch, sample=proxy.sample)
            if not proxy.needs_teacher:  # scored once, whoever is the teacher of others
                probe = replace(probe, teacher=None, teacher_weights=None)
            shown[probe] = (*shown.get(probe, ()), proxy)
        return shown

    @cached_property
    def marks(self) -> dict[Probe, str | StatisticError]:
        """The fingerprint of each batch, or why it cannot be had; images are read once for it."""
        marks: dict[Probe, str | StatisticError] = {}
        for probe in self.probes():
            try:
                marks[probe] = fingerprint(*probe.inputs(self.bench))
            except StatisticError as error:
                marks[probe] = error
        return marks


@dataclass(frozen=True)
class Outlook:
    """What has to be done before all scores are there.

    Attributes:
        networks: how many networks are ranked.
        lacking: how many of them lack scores or times.
        built: how many of these have to be built; the statistics of the others are in the cache.
        statistics: what has to be measured on some network.
        functions: the proxies that are computed on the networks themselves.
        timed: on how many networks proxies are timed.
        sample: entries kept of each tensor, or ``"full"``.
        seconds: about how long the rest takes; None before the first networks are done.
    """

    networks: int
    lacking: int
    built: int
    statistics: tuple[str, ...]
    functions: tuple[str, ...]
    timed: int
    sample: Sample
    seconds: float | None = None


Watch: TypeAlias = Callable[[Outlook], None]

SCORING = "scoring architectures"
"""What progress is told of."""


def score_all(
    job: Job,
    workers: Workers = HERE,
    progress: Progress = silent,
    outlook: Watch | None = None,
) -> list[Kept]:
    """Return what every proxy gives on every architecture, in the order of the bench.

    What is not in the cache is computed, by workers that write it themselves: an interrupted call
    loses only the architectures in work.

    Args:
        job: proxies and architectures.
        workers: who scores.
        progress: called as ``progress(task, done, total)``, in networks.
        outlook: called with what has to be done before it begins, and again, with an estimate of
            the time, when the first networks are done.

    Raises:
        BenchError: networks have other outputs than the bench has classes.
        CacheError: the cache cannot be read or written.
        StatisticError: the images cannot be read.
        WorkerError: a worker was killed.
    """
    known, works = _known(job)
    forecast = None
    if outlook:
        forecast, works = _outlook(job, works)
        outlook(forecast)
    unsaved: dict[str, Kept] = {}
    progress(SCORING, 0, len(works))
    if _any_built(job, works):
        check_outputs(job.bench)
    source, begun = job.bench if workers.here else job.source, 0.0
    tasks = ((source, work, job.folder) for work in works.values())
    for done, noted in enumerate(workers.unordered(_score, tasks), start=1):
        unsaved.update(noted)
        progress(SCORING, done, len(works))
        begun = begun or time.monotonic()  # what comes before the first is no measure of the others
        if outlook and forecast and done == 1 + workers.jobs < forecast.built:
            pace = (time.monotonic() - begun) / (done - 1)
            outlook(replace(forecast, seconds=pace * (forecast.built - done)))
    if works:
        again, lacking = _known(job, works)
        for name, kept in unsaved.items():
            again[name].add(kept)
        known.update(again)
        lost = [
            work.architecture.name
            for parts in lacking.values()
            for work in parts
            if not all(known[work.architecture.name].knows(proxy) for proxy in work.scored)
        ]
        if lost:
            raise CacheError(
                f"the scores of {', '.join(lost[:3])} were computed, but are not in the "
                f"cache {job.folder}; is something else removing files there?"
            )
    return [known[architecture.name] for architecture in job.bench.architectures]


def _known(
    job: Job, only: Mapping[str, Any] | None = None
) -> tuple[dict[str, Kept], dict[str, list[ScoringWork]]]:
    """Return what the cache holds of each architecture, and the work that is left, by network.

    Networks that are not in `only` are passed over, see `Job.network`.
    """
    store, timed = ScoreStore(job.folder), job.timed_architectures()
    known: dict[str, Kept] = {}
    works: dict[str, list[ScoringWork]] = {}
    for probe, proxies in job.probes().items():
        names = {identity(proxy): proxy for proxy in proxies}
        mark = job.marks[probe]
        if isinstance(mark, StatisticError):
            if probe.batch <= job.probe.batch:
                raise mark
            reasons = dict.fromkeys(names, str(mark))  # there are fewer images than these need
            for architecture in job.bench.architectures:
                known.setdefault(architecture.name, Kept()).failures |= reasons
            continue
        fleeting = frozenset(name for name, proxy in names.items() if not keepable(proxy))
        shared = probe.shared_key(job.bench, mark)
        for architecture in job.bench.architectures:
            if only is not None and job.network(architecture) not in only:
                continue
            key = architecture_key(shared, job.bench, architecture)
            cached = store.load(key)
            kept = known.setdefault(architecture.name, Kept())
            for name in names:
                _take(kept, cached, name)
            scored = {name: _sent(proxy) for name, proxy in names.items() if not cached.knows(name)}
            slow = {
                name: _sent(proxy)
                for name, proxy in names.items()
                if architecture.name in timed
                and name not in cached.seconds
                and name not in cached.failures
            }
            if scored or slow:
                bits = None if job.bench.bits is None else job.bench.bits(architecture)
                work = ScoringWork(architecture, probe, key, scored, slow, fleeting, bits, job.kept)
                works.setdefault(job.network(architecture), []).append(work)
    return known, works


def _outlook(
    job: Job, works: Mapping[str, list[ScoringWork]]
) -> tuple[Outlook, dict[str, list[ScoringWork]]]:
    """Return what has to be done, and the networks with those first that have to be built."""
    store, statistics, functions = Store(job.folder), {}, {}
    for network, parts in works.items():
        statistics[network] = list(chain(*(work.missing(job.bench, store) for work in parts)))
        functions[network] = [proxy.name for work in parts for proxy in work.functions]
    timed = {network for network, parts in works.items() if any(work.timed for work in parts)}
    built = [name for name in works if statistics[name] or functions[name] or name in timed]
    outlook = Outlook(
        networks=len({job.network(architecture) for architecture in job.bench.architectures}),
        lacking=len(works),
        built=len(built),
        statistics=tuple(dict.fromkeys(chain(*statistics.values()))),
        functions=tuple(dict.fromkeys(chain(*functions.values()))),
        timed=len(timed),
        sample=job.probe.sample,
    )
    return outlook, {name: works[name] for name in dict.fromkeys([*built, *works])}


def _any_built(job: Job, works: Mapping[str, list[ScoringWork]]) -> bool:
    """Say whether a network has to be built; no more of the cache is read than it takes."""
    store = Store(job.folder)
    return any(
        work.timed or work.functions or work.missing(job.bench, store)
        for work in chain(*works.values())
    )


def _take(into: Kept, known: Kept, name: str) -> None:
    """Copy what is known of one proxy."""
    if name in known.scores:
        into.scores[name] = known.scores[name]
    elif name in known.failures:
        into.failures[name] = known.failures[name]
    if name in known.seconds:
        into.seconds[name] = known.seconds[name]


def _sent(proxy: Scorable) -> str | FunctionProxy | FittedProxy:
    return proxy.graph.text if isinstance(proxy, Proxy) else proxy


def _score(source: str | Bench, works: list[ScoringWork], folder: Path) -> dict[str, Kept]:
    """Do the work of a network; return what was not saved, by the names of the architectures."""
    return score_network(load_bench(source), works, folder)

"""The scores of many proxies on many architectures: built and measured once, cached, in parallel.

The tensors of an architecture are forgotten as soon as every proxy has its score: what stays is a
small file a network (see `autoprox.measuring.scores`). Failures of the environment and scores of
code that has no digest are not cached. The configurations of
one trained network are scored together: it is measured once for each number of bits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from autoprox.benches import Architecture, Bench, load_bench
from autoprox.benches.checks import check_outputs
from autoprox.errors import CacheError, StatisticError
from autoprox.measuring.network import Work, score_network
from autoprox.measuring.scores import Kept, ScoreStore, identity, keepable
from autoprox.measuring.tables import Probe
from autoprox.proxies.function import FunctionProxy
from autoprox.proxies.proxy import Proxy
from autoprox.runtime.parallel import HERE, Workers

if TYPE_CHECKING:
    pass

Scorable: TypeAlias = Proxy | FunctionProxy

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
    """

    bench: Bench
    source: str | Bench
    proxies: tuple[Scorable, ...]
    probe: Probe
    folder: Path
    timed: bool = True

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
        found: dict[Probe, tuple[Scorable, ...]] = {}
        for proxy in self.proxies:
            least = proxy.batch if isinstance(proxy, FunctionProxy) else 1
            probe = replace(self.probe, batch=max(self.probe.batch, least))
            found[probe] = (*found.get(probe, ()), proxy)
        return found


def score_all(
    job: Job,
    workers: Workers = HERE,
    progress: Callable[[int, int], None] | None = None,
) -> list[Kept]:
    """Return what every proxy gives on every architecture, in the order of the bench.

    What is not in the cache is computed, by workers that write it themselves: an interrupted call
    loses only the architectures in work.

    Args:
        job: proxies and architectures.
        workers: who scores.
        progress: told how many networks are done, and of how many.

    Raises:
        BenchError: networks have other outputs than the bench has classes.
        CacheError: the cache cannot be read or written.
        StatisticError: the images cannot be read.
        WorkerError: a worker was killed.
    """
    known, works = _known(job)
    unsaved: dict[str, Kept] = {}
    if progress:
        progress(0, len(works))
    if works:
        check_outputs(job.bench)
    for done, found in enumerate(_done(job, works.values(), workers), start=1):
        unsaved.update(found)
        if progress:
            progress(done, len(works))
    if works:
        again, left = _known(job, works)
        for name, kept in unsaved.items():
            again[name].add(kept)
        known.update(again)
        lost = [
            work.architecture.name
            for parts in left.values()
            for work in parts
            if not all(known[work.architecture.name].knows(proxy) for proxy in work.scored)
        ]
        if lost:
            raise CacheError(
                f"the scores of {', '.join(lost[:3])} were computed, but are not in the "
                f"cache {job.folder}; is something else removing files there?"
            )
    return [known[each.name] for each in job.bench.architectures]


def _known(
    job: Job, only: Mapping[str, Any] | None = None
) -> tuple[dict[str, Kept], dict[str, list[Work]]]:
    """Return what the cache holds of each architecture, and the work that is left, by network.

    Args:
        job: proxies and architectures.
        only: the networks to look at, see `Job.network`; None for all.
    """
    from autoprox.statistics import fingerprint

    store, timed = ScoreStore(job.folder), job.timed_architectures()
    known: dict[str, Kept] = {}
    works: dict[str, list[Work]] = {}
    for probe, proxies in job.probes().items():
        names = {identity(proxy): proxy for proxy in proxies}
        try:
            mark = fingerprint(*probe.inputs(job.bench))
        except StatisticError as error:
            if probe == job.probe:
                raise
            for each in job.bench.architectures:  # there are not as many images as these need
                known.setdefault(each.name, Kept()).failures |= dict.fromkeys(names, str(error))
            continue
        fleeting = frozenset(name for name, proxy in names.items() if not keepable(proxy))
        for each in job.bench.architectures:
            if only is not None and job.network(each) not in only:
                continue
            key = probe.key(job.bench, each, mark)
            found = store.load(key)
            kept = known.setdefault(each.name, Kept())
            for name in names:
                _take(kept, found, name)
            scored = {name: _sent(p) for name, p in names.items() if not found.knows(name)}
            slow = {
                name: _sent(proxy)
                for name, proxy in names.items()
                if each.name in timed and name not in found.seconds and name not in found.failures
            }
            if scored or slow:
                bits = None if job.bench.bits is None else job.bench.bits(each)
                work = Work(each, probe, key, scored, slow, fleeting, bits)
                works.setdefault(job.network(each), []).append(work)
    return known, works


def _take(into: Kept, found: Kept, name: str) -> None:
    """Copy what is known of one proxy."""
    if name in found.scores:
        into.scores[name] = found.scores[name]
    elif name in found.failures:
        into.failures[name] = found.failures[name]
    if name in found.seconds:
        into.seconds[name] = found.seconds[name]


def _sent(proxy: Scorable) -> str | FunctionProxy:
    return proxy.graph.text if isinstance(proxy, Proxy) else proxy


def _done(job: Job, works: Iterable[list[Work]], workers: Workers) -> Iterator[dict[str, Kept]]:
    """Do the work of each network; return what was not saved, by the names of the architectures."""
    source = job.bench if workers.here else job.source
    return workers.unordered(_score, ((source, work, job.folder) for work in works))


def _score(source: str | Bench, works: list[Work], folder: Path) -> dict[str, Kept]:
    bench = load_bench(source) if isinstance(source, str) else source
    return score_network(bench, works, folder)

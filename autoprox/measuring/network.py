"""The scores of many proxies on one network, and on all its configurations of bits."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any, TypeAlias, TypeGuard

from torch import nn

from autoprox.benches import Architecture, Bench
from autoprox.errors import (
    AutoproxError,
    CacheError,
    RunError,
    ScoreError,
    StatisticError,
    reason_of,
)
from autoprox.evaluation.evaluate import Evaluator, Table
from autoprox.language.text import parse_proxy
from autoprox.measuring.probe import Exhibit, Probe, network_key
from autoprox.measuring.score_store import Kept, ScoreStore
from autoprox.measuring.tables import TableRow, by_bits, table_of
from autoprox.proxies.fitted import FittedProxy
from autoprox.proxies.function import FunctionProxy
from autoprox.proxies.loading import Scorable, load
from autoprox.proxies.proxy import Proxy
from autoprox.runtime.device import full_precision
from autoprox.runtime.threads import one_thread
from autoprox.statistics import Measurement, Store

Sent: TypeAlias = str | FunctionProxy | FittedProxy
"""A proxy on its way to another process: an expression as its text."""

Measured: TypeAlias = Proxy | FittedProxy
"""What is computed from statistics."""


@dataclass(frozen=True)
class ScoringWork:
    """What is to be computed on one architecture, on one batch.

    Attributes:
        architecture: the architecture.
        probe: what its network is shown.
        key: of the cache.
        scored: the proxies without a score, by identity; of expressions the texts,
            which other processes can read once they know the caller's primitives.
        timed: likewise, those whose cost is not known.
        fleeting: identities of proxies whose code has no digest; their scores are not saved.
        bits: of the layers, on a bench of configurations.
        kept: whether sampled statistics that have to be measured are kept in the cache, where a
            search finds them; whole tensors never are.
    """

    architecture: Architecture
    probe: Probe
    key: Mapping[str, Any]
    scored: Mapping[str, Sent]
    timed: Mapping[str, Sent]
    fleeting: frozenset[str]
    bits: tuple[int, ...] | None = None
    kept: bool = True

    @property
    def functions(self) -> list[FunctionProxy]:
        """Those without a score that are computed on the network itself."""
        return [proxy for proxy in self.scored.values() if isinstance(proxy, FunctionProxy)]

    def missing(self, bench: Bench, store: Store) -> list[str]:
        """Return the statistics without which expressions have no score, and the cache lacks."""
        measured = [proxy for proxy in map(_received, self.scored.values()) if is_measured(proxy)]
        names = dict.fromkeys(chain(*(proxy.statistics for proxy in measured)))
        if not bench.trained:
            return list(store.missing(self.key, names))
        plain, quantised = by_bits(tuple(names))
        asked = [(None, plain), *((width, quantised) for width in sorted({*(self.bits or ())}))]
        return list(chain(*(store.missing(self.network_key(width), part) for width, part in asked)))

    def network_key(self, width: int | None) -> dict[str, Any]:
        """Return the key of the trained network's statistics at a number of bits, if any."""
        return network_key(self.key, self.architecture.space, width)


@one_thread()
def score_network(bench: Bench, works: list[ScoringWork], folder: Path) -> dict[str, Kept]:
    """Build one network, score what is asked of it, and save the scores; in one thread.

    Returns:
        What was not saved, by the names of the architectures.
    """
    unsaved: dict[str, Kept] = {work.architecture.name: Kept() for work in works}
    store, statistics, build = ScoreStore(folder), Store(folder), _builder(bench, works[0])
    for probe in dict.fromkeys(work.probe for work in works):
        alike = [work for work in works if work.probe == probe]
        exhibit = Exhibit(bench, probe, build, alike[0].key["inputs"], statistics)
        with full_precision():
            notes = _notes(exhibit, alike)
        for work, noted in zip(alike, notes, strict=True):
            if noted.lasting != Kept():
                store.save(work.key, noted.lasting)
            unsaved[work.architecture.name].add(noted.passing)
    return unsaved


def _builder(bench: Bench, work: ScoringWork) -> Callable[[], nn.Module]:
    """Return a function that builds the network on its first call, and keeps it or the error."""

    @cache
    def built() -> nn.Module | StatisticError:
        try:
            return bench.network(work.architecture, work.probe.seed)
        except Exception as error:  # a bench may be anybody's and raise anything
            failure = StatisticError(f"the network cannot be built: {reason_of(error)}")
            failure.__cause__ = error
            return failure

    def network() -> nn.Module:
        result = built()
        if isinstance(result, StatisticError):
            raise result
        return result

    return network


@dataclass(frozen=True)
class _Notes:
    """What proxies give on one architecture.

    Attributes:
        work: what is asked of them.
        lasting: what is saved.
        passing: failures of the environment and scores of unhashable code, which are not saved.
    """

    work: ScoringWork
    lasting: Kept = field(default_factory=Kept)
    passing: Kept = field(default_factory=Kept)

    def of(self, name: str) -> Kept:
        """Return where the scores of a proxy are noted."""
        return self.passing if name in self.work.fleeting else self.lasting

    def note(self, name: str, score: float | Exception) -> None:
        """Note the score of a proxy, or why it has none."""
        if not isinstance(score, Exception):
            self.of(name).scores[name] = score
            return
        into = self.of(name) if _comes_again(score) else self.passing
        ours = isinstance(score, AutoproxError)
        into.failures[name] = str(score).partition("\n")[0] if ours else reason_of(score)

    def failed(self, name: str) -> bool:
        """Say whether a proxy has no score."""
        return name in self.lasting.failures or name in self.passing.failures


def _comes_again(error: BaseException | None) -> bool:
    """Say whether an error is due to the proxy and the network, not to the environment.

    It is if the error and its causes are all raised by autoprox: any other may be due to memory,
    files or modules that are there the next time.
    """
    while isinstance(error, AutoproxError) and not isinstance(error, (CacheError, RunError)):
        error = error.__cause__
    return error is None


def _notes(exhibit: Exhibit, works: Sequence[ScoringWork]) -> list[_Notes]:
    """Return the scores and costs that works ask for which show one network the same batch."""
    notes = [_Notes(work) for work in works]
    proxies = {name: _received(proxy) for work in works for name, proxy in work.scored.items()}
    expressions = {name: proxy for name, proxy in proxies.items() if is_measured(proxy)}
    _score_expressions(notes, expressions, exhibit)
    for name, proxy in proxies.items():
        if isinstance(proxy, FunctionProxy):
            _score_function(notes, name, proxy, exhibit)
    for noted in notes:
        _time(noted, exhibit)
    return notes


def _score_function(
    notes: Sequence[_Notes], name: str, proxy: FunctionProxy, exhibit: Exhibit
) -> None:
    """Note the scores of a function: one for all bits of a network if it does not use them."""
    scores: dict[tuple[int, ...] | None, float | Exception] = {}
    for noted in notes:
        if name not in noted.work.scored:
            continue
        used = noted.work.bits if proxy.needs_bits else None
        if used not in scores:
            try:
                seed, bits = noted.work.probe.seed, noted.work.bits
                scores[used] = proxy(*exhibit.shown, seed=seed, bits=bits, **exhibit.how)
            except Exception as error:  # a network may be anybody's and raise anything
                scores[used] = error
        noted.note(name, scores[used])


def _time(notes: _Notes, exhibit: Exhibit) -> None:
    """Note how long the proxies take whose cost is asked for: the time of the thread on its core.

    Other work on the machine changes it little.
    """
    work, how = notes.work, exhibit.how if notes.work.timed else {}
    if work.timed:  # what a first call builds and imports is no proxy's cost
        with suppress(Exception):  # the network may be anybody's and raise anything
            load("params")(*exhibit.shown, **how)
    for name, proxy in work.timed.items():
        if notes.failed(name):
            continue
        sample, seed = work.probe.sample, work.probe.seed
        begun = time.thread_time()
        try:
            _received(proxy)(*exhibit.shown, sample=sample, seed=seed, bits=work.bits, **how)
        except Exception:  # torch may raise anything, as for want of memory: no cost is known
            continue
        notes.of(name).seconds[name] = time.thread_time() - begun


def is_measured(proxy: Scorable) -> TypeGuard[Measured]:
    """Say whether a proxy is computed from statistics, which networks share."""
    return not isinstance(proxy, FunctionProxy)


def _received(proxy: Sent) -> Scorable:
    return Proxy(parse_proxy(proxy)) if isinstance(proxy, str) else proxy


def _score_expressions(
    notes: Sequence[_Notes], proxies: Mapping[str, Measured], exhibit: Exhibit
) -> None:
    """Note the scores of expressions on one network: the union of their statistics, measured once.

    What the cache holds is not measured. If the union cannot be measured, what each needs is
    measured alone, so that a statistic that the network cannot show costs only those that use it.
    """
    if not proxies:
        return
    names = tuple(dict.fromkeys(name for proxy in proxies.values() for name in proxy.statistics))
    try:
        evaluator = Evaluator(_table([noted.work for noted in notes], names, exhibit))
    except CacheError:
        raise
    except Exception as error:  # torch may raise anything, as of memory or eigenvalues
        groups: dict[tuple[str, ...], dict[str, Measured]] = {}
        for name, proxy in proxies.items():
            groups.setdefault(proxy.statistics, {})[name] = proxy
        if len(groups) == 1:
            for name in proxies:
                _note_all(notes, name, [error] * len(notes))
            return
        for group in groups.values():
            _score_expressions(notes, group, exhibit)
        return
    for name, proxy in proxies.items():
        _note_all(notes, name, _scores(proxy, evaluator))


def _note_all(notes: Sequence[_Notes], name: str, scores: Sequence[float | Exception]) -> None:
    """Note the scores of a proxy where they are asked for."""
    for noted, score in zip(notes, scores, strict=True):
        if name in noted.work.scored:
            noted.note(name, score)


def _table(works: Sequence[ScoringWork], names: Sequence[str], exhibit: Exhibit) -> Table:
    """Measure one network; if it has several configurations, at every number of bits in them."""
    first, bench, store = works[0], exhibit.bench, exhibit.store
    sampled = exhibit.probe.sample != "full"

    def at(
        key: Mapping[str, Any], statistics: Sequence[str], bits: tuple[int, ...] | None
    ) -> Measurement:
        if sampled and first.kept:
            exhibit.measure_missing(key, statistics, bits)
        held = not store.missing(key, statistics)
        return store.load(key, statistics) if held else exhibit.measure(statistics, bits)

    def measured(_: str, statistics: tuple[str, ...], width: int | None) -> Measurement:
        bits = None if width is None else (width,) * len(first.bits or ())
        return at(first.network_key(width), statistics, bits)

    if bench.trained and (sampled or len(works) > 1):
        return table_of([TableRow("", work.bits) for work in works], names, measured)
    return Table((at(first.key, names, first.bits),))


def _scores(proxy: Measured, evaluator: Evaluator) -> list[float | Exception]:
    """Return the score of an expression on every row of a table, or why it has none."""
    try:
        scores = proxy.scores(evaluator)
    except ScoreError as error:
        return [error] * len(evaluator.table)
    return [
        ScoreError(scores.failures[place]) if place in scores.failures else float(value)
        for place, value in enumerate(scores.values)
    ]

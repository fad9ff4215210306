"""The scores of many proxies on one network, and on all its configurations of bits."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoprox.benches import Architecture, Bench
from autoprox.errors import AutoproxError, CacheError, RunError, ScoreError, StatisticError
from autoprox.language.text import parse_proxy
from autoprox.measuring.scores import Kept, ScoreStore
from autoprox.measuring.tables import Exhibit, Probe, TableRow, by_bits, table_of
from autoprox.proxies.function import FunctionProxy
from autoprox.proxies.loading import load
from autoprox.proxies.proxy import Proxy, scores_of
from autoprox.runtime.device import full_precision
from autoprox.runtime.threads import one_thread
from autoprox.statistics import Store

if TYPE_CHECKING:
    from torch import nn

    from autoprox.evaluation.evaluate import Evaluator, Table
    from autoprox.statistics import Measurement


@dataclass(frozen=True)
class ScoringWork:
    """What is to be computed on one architecture, on one batch.

    Attributes:
        architecture: the architecture.
        probe: what its network is shown.
        key: of the cache.
        scored: the proxies without a score, by identity: functions, or the texts of expressions,
            which other processes can read once they know the caller's primitives.
        timed: likewise, those whose cost is not known.
        fleeting: the identities of which nothing is saved.
        bits: of the layers, on a bench of configurations.
        kept: whether sampled statistics that have to be measured are kept in the cache, where a
            search finds them; whole tensors never are.
    """

    architecture: Architecture
    probe: Probe
    key: Mapping[str, Any]
    scored: Mapping[str, str | FunctionProxy]
    timed: Mapping[str, str | FunctionProxy]
    fleeting: frozenset[str]
    bits: tuple[int, ...] | None = None
    kept: bool = True

    @property
    def functions(self) -> list[FunctionProxy]:
        """Those without a score that are computed on the network itself."""
        return [each for each in self.scored.values() if isinstance(each, FunctionProxy)]

    def missing(self, bench: Bench, store: Store) -> list[str]:
        """Return the statistics without which expressions have no score, and the cache lacks."""
        texts = [each for each in self.scored.values() if isinstance(each, str)]
        names = dict.fromkeys(chain(*(parse_proxy(text).statistics for text in texts)))
        if not bench.trained:
            return list(store.missing(self.key, names))
        plain, quantised = by_bits(tuple(names))
        asked = [(None, plain), *((width, quantised) for width in sorted({*(self.bits or ())}))]
        return list(chain(*(store.missing(self.network_key(bench, w), own) for w, own in asked)))

    def network_key(self, bench: Bench, width: int | None) -> dict[str, Any]:
        """Return the key of the trained network's statistics, see `Probe.network_key`."""
        return self.probe.network_key(bench, self.architecture.space, self.key["inputs"], width)


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
    """Return what builds a network when it is first asked for it, and says if that failed."""

    @cache
    def built() -> nn.Module | StatisticError:
        try:
            return bench.network(work.architecture, work.probe.seed)
        except Exception as error:  # a bench may be anybody's and raise anything
            failure = StatisticError(
                f"the network cannot be built: {type(error).__name__}: {error}"
            )
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
        passing: what may be otherwise the next time.
    """

    work: ScoringWork
    lasting: Kept = field(default_factory=Kept)
    passing: Kept = field(default_factory=Kept)

    def of(self, name: str) -> Kept:
        """Return where the scores of a proxy are noted."""
        return self.passing if name in self.work.fleeting else self.lasting

    def note(self, name: str, score: float | Exception) -> None:
        """Note the score of a proxy, or why it has none."""
        if isinstance(score, Exception):
            self.fail(name, score)
        else:
            self.of(name).scores[name] = score

    def fail(self, name: str, error: Exception) -> None:
        """Note why a proxy has no score."""
        into = self.of(name) if _comes_again(error) else self.passing
        foreign = "" if isinstance(error, AutoproxError) else f"{type(error).__name__}: "
        into.failures[name] = f"{foreign}{error}".partition("\n")[0]

    def failed(self, name: str) -> bool:
        """Say whether a proxy has no score."""
        return name in self.lasting.failures or name in self.passing.failures


def _comes_again(error: BaseException | None) -> bool:
    """Say whether an error says something of the proxy and the network, not of the surroundings.

    It does if it, and all that caused it, are autoprox's own: memory, files and modules may be
    there the next time, and a network's own error may be about any of them.
    """
    while isinstance(error, AutoproxError) and not isinstance(error, (CacheError, RunError)):
        error = error.__cause__
    return error is None


def _notes(exhibit: Exhibit, works: Sequence[ScoringWork]) -> list[_Notes]:
    """Return the scores and costs that works ask for which show one network the same batch."""
    notes = [_Notes(work) for work in works]
    proxies = {name: _received(each) for work in works for name, each in work.scored.items()}
    expressions = {name: each for name, each in proxies.items() if isinstance(each, Proxy)}
    _score_expressions(notes, expressions, exhibit)
    for name, proxy in proxies.items():
        if isinstance(proxy, FunctionProxy):
            _score_function(
                [each for each in notes if name in each.work.scored], name, proxy, exhibit
            )
    for each in notes:
        _time(each, exhibit)
    return notes


def _score_function(
    notes: Sequence[_Notes], name: str, proxy: FunctionProxy, exhibit: Exhibit
) -> None:
    """Note the scores of a function: one for all bits of a network if it does not use them."""
    scores: dict[tuple[int, ...] | None, float | Exception] = {}
    for each in notes:
        used = each.work.bits if proxy.needs_bits else None
        if used not in scores:
            try:
                seed, bits = each.work.probe.seed, each.work.bits
                scores[used] = proxy(*exhibit.shown, seed=seed, bits=bits, **exhibit.bench.how)
            except Exception as error:  # a network may be anybody's and raise anything
                scores[used] = error
        each.note(name, scores[used])


def _time(notes: _Notes, exhibit: Exhibit) -> None:
    """Note how long the proxies take whose cost is asked for: the time of the thread on its core.

    Other work on the machine changes it little.
    """
    work, how = notes.work, exhibit.bench.how
    if work.timed:  # what a first call builds and imports is no proxy's cost
        with suppress(Exception):  # the network may be anybody's and raise anything
            load("params")(*exhibit.shown, **how)
    for name, each in work.timed.items():
        if notes.failed(name):
            continue
        sample, seed = work.probe.sample, work.probe.seed
        begun = time.thread_time()
        try:
            _received(each)(*exhibit.shown, sample=sample, seed=seed, bits=work.bits, **how)
        except Exception:  # torch may raise anything, as for want of memory: no cost is known
            continue
        notes.of(name).seconds[name] = time.thread_time() - begun


def _received(proxy: str | FunctionProxy) -> Proxy | FunctionProxy:
    return Proxy(parse_proxy(proxy)) if isinstance(proxy, str) else proxy


def _score_expressions(
    notes: Sequence[_Notes], proxies: Mapping[str, Proxy], exhibit: Exhibit
) -> None:
    """Note the scores of expressions on one network: the union of their statistics, measured once.

    What the cache holds is not measured. If the union cannot be measured, what each needs is
    measured alone, so that a statistic that the network cannot show costs only those that use it.
    """
    from autoprox.evaluation.evaluate import Evaluator

    if not proxies:
        return
    names = tuple(dict.fromkeys(name for each in proxies.values() for name in each.statistics))
    try:
        evaluator = Evaluator(_table([each.work for each in notes], names, exhibit))
    except CacheError:
        raise
    except Exception as error:  # torch may raise anything, as of memory or eigenvalues
        groups: dict[tuple[str, ...], dict[str, Proxy]] = {}
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
    for each, score in zip(notes, scores, strict=True):
        if name in each.work.scored:
            each.note(name, score)


def _table(works: Sequence[ScoringWork], names: Sequence[str], exhibit: Exhibit) -> Table:
    """Measure one network; if it has several configurations, at every number of bits in them."""
    from autoprox.evaluation.evaluate import Table

    first, bench, store = works[0], exhibit.bench, exhibit.store
    sampled = exhibit.probe.sample != "full"

    def at(key: Mapping[str, Any], own: Sequence[str], bits: tuple[int, ...] | None) -> Measurement:
        if sampled and first.kept:
            exhibit.measure_missing(key, own, bits)
        held = not store.missing(key, own)
        return store.load(key, own) if held else exhibit.measure(own, bits)

    def measured(_: str, own: tuple[str, ...], width: int | None) -> Measurement:
        bits = None if width is None else (width,) * len(first.bits or ())
        return at(first.network_key(bench, width), own, bits)

    if bench.trained and (sampled or len(works) > 1):
        return table_of([TableRow("", work.bits) for work in works], names, measured)
    return Table((at(first.key, names, first.bits),))


def _scores(proxy: Proxy, evaluator: Evaluator) -> list[float | Exception]:
    """Return the score of an expression on every row of a table, or why it has none."""
    try:
        scores = scores_of(proxy.graph, evaluator)
    except ScoreError as error:
        return [error] * len(evaluator.table)
    return [
        ScoreError(scores.failures[place]) if place in scores.failures else float(value)
        for place, value in enumerate(scores.values)
    ]

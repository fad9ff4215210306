"""The scores of many proxies on one network, and on all its configurations of bits."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from autoprox.benches import Architecture, Bench
from autoprox.errors import AutoproxError, CacheError, RunError, ScoreError
from autoprox.measuring.scores import Kept, ScoreStore
from autoprox.measuring.tables import Probe, Row, table_of
from autoprox.proxies.function import FunctionProxy
from autoprox.proxies.loading import load
from autoprox.proxies.proxy import Proxy, scores_of
from autoprox.runtime.device import full_precision
from autoprox.runtime.threads import one_thread

if TYPE_CHECKING:
    from torch import nn

    from autoprox.evaluation.evaluate import Evaluator, Table
    from autoprox.statistics import Measurement
    from autoprox.statistics.trees import Inputs, Targets

    Shown: TypeAlias = tuple[nn.Module, Inputs, Targets]
    How: TypeAlias = Mapping[str, Any]
    """Mode, loss and outputs, see `Bench.how`."""


@dataclass(frozen=True)
class Work:
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
    """

    architecture: Architecture
    probe: Probe
    key: Mapping[str, Any]
    scored: Mapping[str, str | FunctionProxy]
    timed: Mapping[str, str | FunctionProxy]
    fleeting: frozenset[str]
    bits: tuple[int, ...] | None = None


@one_thread()
def score_network(bench: Bench, works: list[Work], folder: Path) -> dict[str, Kept]:
    """Build one network, score what is asked of it, and save the scores; in one thread.

    Returns:
        What was not saved, by the names of the architectures.
    """
    with full_precision():
        return _scored(bench, works, ScoreStore(folder))


def _scored(bench: Bench, works: list[Work], store: ScoreStore) -> dict[str, Kept]:
    unsaved: dict[str, Kept] = {work.architecture.name: Kept() for work in works}
    try:
        network = bench.network(works[0].architecture, works[0].probe.seed)
    except Exception as error:  # a bench may be anybody's and raise anything
        reason = f"the network cannot be built: {type(error).__name__}: {error}"
        for work in works:
            unsaved[work.architecture.name].failures |= dict.fromkeys(work.scored, reason)
        return unsaved
    for probe in dict.fromkeys(work.probe for work in works):
        shown = [work for work in works if work.probe == probe]
        for work, notes in zip(shown, _found(bench, network, shown), strict=True):
            if notes.lasting != Kept():
                store.save(work.key, notes.lasting)
            unsaved[work.architecture.name].add(notes.passing)
    return unsaved


@dataclass(frozen=True)
class _Notes:
    """What proxies give on one architecture.

    Attributes:
        work: what is asked of them.
        lasting: what is saved.
        passing: what may be otherwise the next time.
    """

    work: Work
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


def _found(bench: Bench, network: nn.Module, works: Sequence[Work]) -> list[_Notes]:
    """Return the scores and costs that works ask for which show one network the same batch."""
    notes = [_Notes(work) for work in works]
    shown = works[0].probe.on_device(network, *_inputs(works[0], bench))
    proxies = {name: _received(each) for work in works for name, each in work.scored.items()}
    expressions = {name: each for name, each in proxies.items() if isinstance(each, Proxy)}
    _score_expressions(notes, expressions, shown, bench.how)
    for name, proxy in proxies.items():
        if isinstance(proxy, FunctionProxy):
            _score_function(
                [each for each in notes if name in each.work.scored], name, proxy, shown, bench.how
            )
    for each in notes:
        _time(each, shown, bench.how)
    return notes


def _score_function(
    notes: Sequence[_Notes], name: str, proxy: FunctionProxy, shown: Shown, how: How
) -> None:
    """Note the scores of a function: one for all bits of a network if it does not use them."""
    scores: dict[tuple[int, ...] | None, float | Exception] = {}
    for each in notes:
        used = each.work.bits if proxy.needs_bits else None
        if used not in scores:
            try:
                seed, bits = each.work.probe.seed, each.work.bits
                scores[used] = proxy(*shown, seed=seed, bits=bits, **how)
            except Exception as error:  # a network may be anybody's and raise anything
                scores[used] = error
        each.note(name, scores[used])


def _time(notes: _Notes, shown: Shown, how: How) -> None:
    """Note how long the proxies take whose cost is asked for: the time of the thread on its core.

    Other work on the machine changes it little.
    """
    work = notes.work
    if work.timed and not work.scored:  # what a first call imports is no proxy's cost
        with suppress(Exception):  # the network may be anybody's and raise anything
            load("params")(*shown, **how)
    for name, each in work.timed.items():
        if notes.failed(name):
            continue
        sample, seed = work.probe.sample, work.probe.seed
        begun = time.thread_time()
        try:
            _received(each)(*shown, sample=sample, seed=seed, bits=work.bits, **how)
        except Exception:  # torch may raise anything, as for want of memory: no cost is known
            continue
        notes.of(name).seconds[name] = time.thread_time() - begun


def _received(proxy: str | FunctionProxy) -> Proxy | FunctionProxy:
    from autoprox.language.text import parse_proxy

    return Proxy(parse_proxy(proxy)) if isinstance(proxy, str) else proxy


_BATCHES: dict[str, tuple[Inputs, Targets]] = {}
"""The batches that this process shows its networks, by their fingerprints."""


def _inputs(work: Work, bench: Bench) -> tuple[Inputs, Targets]:
    """Return the batch, read from disk or drawn once a process."""
    mark = str(work.key["inputs"])
    if mark not in _BATCHES:
        if len(_BATCHES) > 3:
            _BATCHES.clear()
        _BATCHES[mark] = work.probe.inputs(bench)
    return _BATCHES[mark]


def _score_expressions(
    notes: Sequence[_Notes], proxies: Mapping[str, Proxy], shown: Shown, how: How
) -> None:
    """Note the scores of expressions on one network: the union of their statistics, measured once.

    If the union cannot be measured, what each needs is measured alone, so that a statistic that the
    network cannot show costs only those that use it.
    """
    from autoprox.evaluation.evaluate import Evaluator

    if not proxies:
        return
    names = tuple(dict.fromkeys(name for each in proxies.values() for name in each.statistics))
    try:
        evaluator = Evaluator(_table(notes, names, shown, how))
    except Exception as error:  # torch may raise anything, as of memory or eigenvalues
        groups: dict[tuple[str, ...], dict[str, Proxy]] = {}
        for name, proxy in proxies.items():
            groups.setdefault(proxy.statistics, {})[name] = proxy
        if len(groups) == 1:
            for name in proxies:
                _note_all(notes, name, [error] * len(notes))
            return
        for group in groups.values():
            _score_expressions(notes, group, shown, how)
        return
    for name, proxy in proxies.items():
        _note_all(notes, name, _scores(proxy, evaluator))


def _note_all(notes: Sequence[_Notes], name: str, scores: Sequence[float | Exception]) -> None:
    """Note the scores of a proxy where they are asked for."""
    for each, score in zip(notes, scores, strict=True):
        if name in each.work.scored:
            each.note(name, score)


def _table(notes: Sequence[_Notes], names: Sequence[str], shown: Shown, how: How) -> Table:
    """Measure one network; if it has several configurations, at every number of bits in them."""
    from autoprox.evaluation.evaluate import Table
    from autoprox.statistics import measure

    probe, configurations = notes[0].work.probe, [each.work.bits for each in notes]

    def at(bits: tuple[int, ...] | None, own: Sequence[str]) -> Measurement:
        return measure(*shown, own, sample=probe.sample, seed=probe.seed, bits=bits, **how)

    if len(configurations) == 1:
        return Table((at(configurations[0], names),))

    def measured(_: str, own: tuple[str, ...], width: int | None) -> Measurement:
        return at(None if width is None else (width,) * len(configurations[0] or ()), own)

    return table_of([Row("", bits) for bits in configurations], names, measured)


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

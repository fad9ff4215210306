"""Ranking proxies on a bench, from their names to a leaderboard."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from autoprox.assessment.assess import columns as columns_of
from autoprox.assessment.assess import shipped
from autoprox.benches import Bench, load_bench, split
from autoprox.benches import drawn as drawn_of
from autoprox.errors import AutoproxError, BenchError, StatisticError
from autoprox.leaderboard.board import Leaderboard, LeaderboardRow
from autoprox.leaderboard.searched import Searched
from autoprox.measuring.scores import Kept, identity
from autoprox.measuring.scoring import Job, Outlook, Scorable, score_all
from autoprox.measuring.tables import DEFAULT_BATCH, Probe
from autoprox.proxies.function import Ensemble, FunctionProxy
from autoprox.proxies.loading import AnyProxy, load, named
from autoprox.proxies.proxy import Proxy
from autoprox.ranking import resolved
from autoprox.ranking.figures import BEST, Comparison
from autoprox.runtime.device import CPU, device_of
from autoprox.runtime.digest import called
from autoprox.runtime.parallel import open_workers
from autoprox.statistics import Sample
from autoprox.statistics.inputs import LARGEST_SEED
from autoprox.statistics.store import default_folder

if TYPE_CHECKING:
    from autoprox.language.graph import Graph


TOLERATED = 0.05
"""The share of architectures without a score up to which a proxy still gets a rank."""


def rank(
    proxies: Iterable[str | Path | Graph | AnyProxy] | None = None,
    bench: str | Path | Bench = "vit101",
    *,
    spaces: Sequence[str] | None = None,
    targets: Sequence[str] | None = None,
    architectures: int | None = None,
    plain: bool = False,
    held_out: bool = False,
    split_seed: int = 0,
    sample: Sample = "full",
    batch: int = DEFAULT_BATCH,
    probe_seed: int = 0,
    images: str | None = None,
    device: str = CPU,
    jobs: int = 1,
    backend: str = "loky",
    scheduler: str | None = None,
    cache: str | Path | None = None,
    timed: bool = True,
    progress: Callable[[int, int], None] | None = None,
    outlook: Callable[[Outlook], None] | None = None,
) -> Leaderboard:
    """Return how well proxies rank the architectures of a bench, and what they cost.

    Every architecture is built and measured once, whatever the number of proxies; scores are
    cached, and an interrupted call goes on where it was.

    Args:
        proxies: names, files, run folders, expressions or proxies; None for all that ship and can
            tell the bench's architectures apart: configurations differ by bits, networks have none.
        bench: the bench, its name, or a file that defines one.
        spaces: rank the architectures of these only; None for all.
        targets: rank by these; None for the bench's default ones.
        architectures: draw so many of the bench; None for as many as it says, or all.
        plain: draw without a look at isomorphism classes; else equal architectures are drawn last.
        held_out: rank only what a search with the same `architectures`, the same `split_seed` and
            the default share of held-out architectures does not see.
        split_seed: of that split.
        sample: entries kept of each tensor, or ``"full"``; with as many as a search keeps, what
            that search measured is not measured again.
        batch: how many inputs the networks are shown; proxies that need more are shown more.
        probe_seed: of the networks' weights, the inputs, and the sample's places; below 2**32.
        images: an .npz file or a folder of images; None for seeded noise.
        device: where the networks run: ``"cpu"``, ``"cuda"``, ``"cuda:1"``.
        jobs: processes; no figure but the times depends on it.
        backend: where they come from: ``"loky"``, this machine; ``"dask"`` or ``"ray"``, this
            machine or a cluster; see `autoprox.runtime.parallel.open_workers`.
        scheduler: the address of Dask's, as in ``"tcp://host:8786"``.
        cache: the folder of scores; None for the usual one.
        timed: whether to time proxies whose cost is not known, on three architectures a space.
        progress: told how many architectures are scored, and of how many.
        outlook: told what has to be measured before that begins, and again with about how long it
            takes.

    Raises:
        UnknownNameError: there is no such bench, proxy, space or target.
        LanguageError: an expression cannot be read.
        BenchError: nothing is left to rank, or too little.
        StatisticError: the images cannot be read, a number is out of its range, or there is no
            such device.
        CacheError: the cache cannot be used.
    """
    if batch < 1:
        raise StatisticError(f"batch is at least 1; got {batch}")
    if not 0 <= probe_seed <= LARGEST_SEED:
        raise StatisticError(f"probe_seed is at least 0, at most {LARGEST_SEED}; got {probe_seed}")
    if sample != "full" and sample < 1:
        raise StatisticError(f"expected sample to be 1 or more, or 'full'; got {sample!r}")
    if plain and held_out:
        raise BenchError(
            "held_out and plain do not go together: no search draws equal architectures like all "
            "others, so none has held out a part of such a draw; leave one of the two out"
        )
    source = bench if isinstance(bench, Bench) else str(bench)
    whole = load_bench(source) if isinstance(source, str) else source
    given = shipped(whole).values() if proxies is None else map(load, proxies)
    chosen = named(list(given))
    drawn = drawn_of(whole, architectures, plain=plain)
    part = _selected(drawn, spaces, split_seed if held_out else None)
    wanted = tuple(targets or part.default_targets)
    columns = columns_of(part, range(len(part.architectures)), wanted)
    if not columns or not chosen:
        raise BenchError(
            f"nothing to rank: {len(chosen)} proxies, and {len(columns)} columns with figures for "
            f"{', '.join(wanted)}"
        )
    device_of(device)
    probe = Probe(batch, probe_seed, sample, images, device)
    folder = Path(cache) if cache is not None else default_folder()
    job = Job(part, source, _scorable(chosen), probe, folder, timed)
    with open_workers(jobs, backend, scheduler, folder) as workers:
        found = _KeptScores(part, score_all(job, workers, progress, outlook))
    compare = Comparison(columns, best=BEST if part.trained else ())
    searched = Searched(whole, source, part.architectures)
    rows = [
        _with_search(found.row(name, proxy, compare), proxy, searched)
        for name, proxy in chosen.items()
    ]
    settings = {
        "architectures": len(drawn.architectures),
        "plain": plain,
        "spaces": list(part.spaces),
        "targets": list(wanted),
        "held_out": held_out,
        "split_seed": split_seed,
        **{name: getattr(probe, name) for name in ("sample", "batch", "seed", "images", "device")},
    }
    return Leaderboard(
        bench=part.name,
        settings=settings,
        architectures=tuple(each.name for each in part.architectures),
        columns=tuple(column.name for column in columns),
        rows=_placed(rows),
        scores={name: found.scores(proxy)[0] for name, proxy in chosen.items()},
    )


def _selected(drawn: Bench, spaces: Sequence[str] | None, split_seed: int | None) -> Bench:
    """Return the part that is ranked of what is drawn of a bench."""
    part = drawn.restricted(spaces or None)
    if split_seed is None:
        return part
    rows = tuple(part.architectures[i] for i in split(part, split_seed).held_out)
    return replace(part, architectures=rows, default_architectures=None)


def _scorable(chosen: dict[str, AnyProxy]) -> tuple[Scorable, ...]:
    """Return what has to be scored: the proxies, and the parts of the ensembles, each once."""
    found: dict[str, Scorable] = {}
    for proxy in chosen.values():
        for part in _parts(proxy):
            found[identity(part)] = part
    return tuple(found.values())


def _parts(proxy: AnyProxy) -> tuple[Scorable, ...]:
    """Return the proxies that have scores of their own, of which one is made, each once."""
    if not isinstance(proxy, Ensemble):
        return (proxy,)
    found = {identity(part): part for name in proxy.parts for part in _parts(load(name))}
    return tuple(found.values())


def _with_search(row: LeaderboardRow, proxy: AnyProxy, searched: Searched) -> LeaderboardRow:
    """Return a row that says how many of the architectures the proxy's search saw."""
    try:
        return replace(row, searched_on=searched(proxy))
    except AutoproxError as error:
        return replace(row, reason=row.reason or f"what its search saw is not known: {error}")


class _KeptScores:
    """What all proxies gave on all architectures."""

    def __init__(self, bench: Bench, kept: Sequence[Kept]) -> None:
        self.bench = bench
        self.kept = kept

    def scores(self, proxy: AnyProxy) -> tuple[NDArray[np.float64], str | None]:
        """Return the scores, NaN where there is none, and the first reason for that."""
        if isinstance(proxy, Ensemble):
            return self._ensemble(proxy)
        name = identity(proxy)
        values = np.array([each.scores.get(name, np.nan) for each in self.kept])
        failed = (each for each in self.kept if name not in each.scores)
        reason = next((each.failures[name] for each in failed if name in each.failures), None)
        return values, reason and reason.removeprefix(f"{proxy}: ")

    def _ensemble(self, proxy: Ensemble) -> tuple[NDArray[np.float64], str | None]:
        """Apply the rule to the architectures of each space that have a score of every part."""
        found = [self.scores(load(name)) for name in proxy.parts]
        parts = np.stack([values for values, _ in found])
        there = np.isfinite(parts).all(0)
        reason = next((reason for _, reason in found if reason is not None), None)
        spaces = np.array([each.space for each in self.bench.architectures])
        values = np.full(len(spaces), np.nan)
        for space in self.bench.spaces:
            places = np.flatnonzero(there & (spaces == space))
            if len(places) == 0:
                continue
            try:
                values[places] = proxy.rule(parts[:, places])
            except Exception as error:  # a rule may be anybody's and raise anything
                reason = reason or f"its rule failed: {type(error).__name__}: {error}"
        if reason is None and not np.isfinite(values).all():
            reason = "its rule gives what is not finite"
        return values, reason

    def seconds(self, proxy: AnyProxy) -> float | None:
        """Return the median cost on what was timed; an ensemble costs what its parts do."""
        names = [identity(part) for part in _parts(proxy)]
        totals = [
            sum(each.seconds[name] for name in names)
            for each in self.kept
            if all(name in each.seconds for name in names)
        ]
        return float(np.median(totals)) if totals else None

    def row(self, name: str, proxy: AnyProxy, compare: Comparison) -> LeaderboardRow:
        """Return the row of one proxy, without its place."""
        values, reason = self.scores(proxy)
        failures = int((~np.isfinite(values)).sum())
        ranked = failures <= TOLERATED * len(values)
        if ranked and (lack := compare.too_short(values)) is not None:
            ranked, reason = False, lack if reason is None else f"{lack}: {reason}"
        figures = compare(values) if ranked else None
        each = figures.columns if figures else ()
        if ranked and np.ptp(resolved(values[np.isfinite(values)])) == 0:
            reason = "the same score for every architecture"

        def mean(attribute: str) -> float | None:
            return float(np.mean([getattr(c, attribute) for c in each])) if each else None

        return LeaderboardRow(
            place=None,
            name=name,
            formula=_formula(proxy),
            joint=figures.joint if figures else None,
            joint_interval=figures.joint_interval if figures else None,
            joint_kendall=mean("kendall"),
            joint_spearman=mean("spearman"),
            top_share=mean("top_share"),
            top1_regret=mean("top1_regret"),
            top5_regret=mean("top5_regret"),
            seconds=self.seconds(proxy),
            failures=failures,
            reason=reason,
            columns=each,
        )


def _formula(proxy: AnyProxy) -> str:
    """Return the expression, or what else the proxy is."""
    if isinstance(proxy, Proxy):
        return proxy.graph.text
    if isinstance(proxy, FunctionProxy):
        return f"function {called(proxy.function)}"
    return f"ensemble of {', '.join(proxy.parts)}"


def _placed(rows: Sequence[LeaderboardRow]) -> tuple[LeaderboardRow, ...]:
    """Sort the rows, the best first, and number them; equal figures keep the alphabetical order."""

    def order(row: LeaderboardRow) -> tuple[Any, ...]:
        return (row.joint is None, -(row.joint or 0.0), row.name)

    return tuple(
        replace(row, place=None if row.joint is None else place)
        for place, row in enumerate(sorted(rows, key=order), start=1)
    )

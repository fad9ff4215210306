"""Ranking proxies on a bench, from their names to a leaderboard."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from autoprox.assessment.assess import columns as columns_of
from autoprox.assessment.assess import shipped
from autoprox.benches import Architecture, Bench, load_bench, split
from autoprox.benches import drawn as drawn_of
from autoprox.errors import AutoproxError, BenchError, reason_of
from autoprox.language.graph import Graph
from autoprox.leaderboard.board import Leaderboard, LeaderboardRow
from autoprox.leaderboard.searched import Searched
from autoprox.measuring.probe import DEFAULT_BATCH, Probe
from autoprox.measuring.score_store import Kept, identity
from autoprox.measuring.scoring import Job, Outlook, score_all
from autoprox.proxies.fitted import FittedProxy
from autoprox.proxies.function import Ensemble, FunctionProxy
from autoprox.proxies.loading import AnyProxy, Scorable, Source, load, load_all
from autoprox.proxies.proxy import Proxy
from autoprox.ranking import resolved
from autoprox.ranking.figures import BEST, Comparison
from autoprox.runtime.arguments import listed, named_options
from autoprox.runtime.device import CPU, device_of
from autoprox.runtime.digest import called, digest
from autoprox.runtime.parallel import open_workers
from autoprox.runtime.progress import Progress, notebook_bar, silent
from autoprox.statistics import Sample
from autoprox.statistics.store import default_folder

TOLERATED = 0.05
"""The share of architectures without a score up to which a proxy still gets a rank."""


@named_options()
def rank(
    proxies: Source | Iterable[Source] | None = None,
    bench: str | Path | Bench = "vit101",
    *,
    spaces: str | Sequence[str] | None = None,
    targets: str | Sequence[str] | None = None,
    architectures: int | None = None,
    plain: bool = False,
    held_out: bool = False,
    split_seed: int = 0,
    sample: Sample = "full",
    batch: int = DEFAULT_BATCH,
    probe_seed: int = 0,
    images: str | None = None,
    device: str = CPU,
    teacher: str | None = None,
    teacher_weights: str | None = None,
    jobs: int = 1,
    backend: str = "loky",
    scheduler: str | None = None,
    cache: str | Path | None = None,
    timed: bool = True,
    progress: Progress | None = None,
    outlook: Callable[[Outlook], None] | None = None,
) -> Leaderboard:
    """Return how well proxies rank the architectures of a bench, and what they cost.

    Every architecture is built and measured once, whatever the number of proxies; scores are
    cached, and an interrupted call goes on where it was.

    Args:
        proxies: names, files, run folders, expressions or proxies, or one of these; None for all
            that ship and can tell the bench's architectures apart: configurations differ by bits,
            networks have none. Those that take minutes a network have to be named (VKDNW).
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
        teacher: what proxies of a teacher compare the networks with, as
            `autoprox.benches.teachers.build_teacher` takes it, such as ``"resnet110"``; ``"best"``
            is the best of the bench, or, if `held_out`, of what a search would have seen.
        teacher_weights: the file of its weights; None for weights drawn from `probe_seed`.
        jobs: processes; no figure but the times depends on it.
        backend: where they come from: ``"loky"``, this machine; ``"dask"`` or ``"ray"``, this
            machine or a cluster; see `autoprox.runtime.parallel.open_workers`.
        scheduler: the address of Dask's, as in ``"tcp://host:8786"``.
        cache: the folder of scores; None for the usual one.
        timed: whether to time proxies whose cost is not known, on three architectures a space.
        progress: called as ``progress(task, done, total)``; a notebook shows a bar if None.
        outlook: called with what has to be measured before that begins, and again with an estimate
            of the time.

    Raises:
        UnknownNameError: there is no such bench, proxy, space or target.
        LanguageError: an expression cannot be read.
        BenchError: nothing is left to rank, or too little, or there is no such teacher.
        StatisticError: the images cannot be read, a number is out of its range, or there is no
            such device.
        CacheError: the cache cannot be used.
    """
    probe = Probe(batch, probe_seed, sample, images, device, teacher, teacher_weights)
    if plain and held_out:
        raise BenchError(
            "held_out and plain do not go together: no search draws equal architectures like all "
            "others, so none has held out a part of such a draw; leave one of the two out"
        )
    if split_seed and not held_out:
        raise BenchError(f"split_seed {split_seed} is of a split: it goes with held_out alone")
    source, whole = bench if isinstance(bench, Bench) else str(bench), load_bench(bench)
    taught = teacher is not None
    chosen = _chosen(proxies, whole, taught)
    drawn = drawn_of(whole, architectures, plain=plain)
    part, apart = _selected(
        drawn, listed(spaces) if spaces else None, split_seed if held_out else None
    )
    wanted: tuple[str, ...] = listed(targets or part.default_targets)
    columns = columns_of(part, range(len(part.architectures)), wanted)
    if not columns or not chosen:
        raise BenchError(
            f"nothing to rank: {len(chosen)} proxies, and {len(columns)} columns with figures for "
            f"{', '.join(wanted)}"
        )
    device_of(device)
    probe = probe.beside(whole, apart or whole.architectures)
    probe.taught(part)  # a mistake in the teacher shows before anything is measured
    folder = Path(cache) if cache is not None else default_folder()
    job = Job(part, source, _scorable(chosen), probe, folder, timed)
    with open_workers(jobs, backend, scheduler, folder) as workers:
        show = progress or notebook_bar() or silent
        scores = _KeptScores(part, score_all(job, workers, show, outlook))
    compare = Comparison(columns, best=BEST if part.trained else ())
    searched = Searched(whole, source, part.architectures)
    rows = [
        _with_search(scores.row(name, proxy, compare), proxy, searched)
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
        **({"teacher": teacher, "teacher_weights": probe.teacher_weights} if taught else {}),
    }
    return Leaderboard(
        bench=part.name,
        settings=settings,
        architectures=tuple(architecture.name for architecture in part.architectures),
        columns=tuple(column.name for column in columns),
        rows=_placed(rows),
        scores={name: scores.scores(proxy)[0] for name, proxy in chosen.items()},
        trained=part.trained,
    )


def _chosen(
    proxies: Source | Iterable[Source] | None, bench: Bench, taught: bool
) -> dict[str, AnyProxy]:
    """Return the proxies to rank by their names; for None those that ship and fit the bench."""
    if proxies is None:
        return load_all(shipped(bench, taught=taught).values())
    sources: tuple[Source, ...] = listed(proxies, Path, Graph)
    return load_all(sources)


def _selected(
    drawn: Bench, spaces: Sequence[str] | None, split_seed: int | None
) -> tuple[Bench, list[Architecture]]:
    """Return what is ranked: of some spaces, or held out; and what a search would see beside it."""
    part = drawn.restricted(spaces or None)
    if split_seed is None:
        return part, []
    halves = split(part, split_seed)
    rows, seen = (
        [part.architectures[i] for i in half] for half in (halves.held_out, halves.search)
    )
    return replace(part, architectures=tuple(rows), default_architectures=None), seen


def _scorable(chosen: dict[str, AnyProxy]) -> tuple[Scorable, ...]:
    """Return the proxies to score, ensembles replaced by their parts, without duplicates.

    Raises:
        AutoproxError: two functions of one name and version may be different ones.
    """
    scorable: dict[str, Scorable] = {}
    for proxy in chosen.values():
        for part in _parts(proxy):
            same = scorable.setdefault(identity(part), part)
            if isinstance(part, FunctionProxy) and part != same and digest(part.function).missing:
                raise AutoproxError(
                    f"two proxies are called {part.name} and have version {part.version}, and "
                    "refer to objects that cannot be compared: give one another name or version"
                )
    return tuple(scorable.values())


def _parts(proxy: AnyProxy) -> tuple[Scorable, ...]:
    """Return the leaf proxies of an ensemble, without duplicates; any other proxy alone."""
    if not isinstance(proxy, Ensemble):
        return (proxy,)
    parts = {identity(part): part for name in proxy.parts for part in _parts(load(name))}
    return tuple(parts.values())


def _with_search(row: LeaderboardRow, proxy: AnyProxy, searched: Searched) -> LeaderboardRow:
    """Return a row that says how many of the architectures the proxy's search saw."""
    try:
        return replace(row, searched_on=searched(proxy))
    except AutoproxError as error:
        return replace(row, reason=row.reason or f"what its search saw is not known: {error}")


class _KeptScores:
    """The scores of all proxies on all architectures."""

    def __init__(self, bench: Bench, kept: Sequence[Kept]) -> None:
        self.bench = bench
        self.kept = kept

    def scores(self, proxy: AnyProxy) -> tuple[NDArray[np.float64], str | None]:
        """Return the scores, NaN where there is none, and the first reason for that."""
        if isinstance(proxy, Ensemble):
            return self._ensemble(proxy)
        name = identity(proxy)
        values = np.array([known.scores.get(name, np.nan) for known in self.kept])
        failed = (known for known in self.kept if name not in known.scores)
        reason = next((known.failures[name] for known in failed if name in known.failures), None)
        return values, reason and reason.removeprefix(f"{proxy}: ")

    def _ensemble(self, proxy: Ensemble) -> tuple[NDArray[np.float64], str | None]:
        """Apply the rule to the architectures of each space that have a score of every part."""
        scored = [self.scores(load(name)) for name in proxy.parts]
        parts = np.stack([values for values, _ in scored])
        there = np.isfinite(parts).all(0)
        reason = next((reason for _, reason in scored if reason is not None), None)
        spaces = np.array([architecture.space for architecture in self.bench.architectures])
        values = np.full(len(spaces), np.nan)
        for space in self.bench.spaces:
            places = np.flatnonzero(there & (spaces == space))
            if len(places) == 0:
                continue
            try:
                values[places] = proxy.rule(parts[:, places])
            except Exception as error:  # a rule may be anybody's and raise anything
                reason = reason or f"its rule failed: {reason_of(error)}"
        if reason is None and not np.isfinite(values).all():
            reason = "its rule gives what is not finite"
        return values, reason

    def seconds(self, proxy: AnyProxy) -> float | None:
        """Return the median cost on what was timed; an ensemble costs what its parts do."""
        names = [identity(part) for part in _parts(proxy)]
        totals = [
            sum(known.seconds[name] for name in names)
            for known in self.kept
            if all(name in known.seconds for name in names)
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
        by_column = figures.columns if figures else ()
        if ranked and np.ptp(resolved(values[np.isfinite(values)])) == 0:
            reason = "the same score for every architecture"
        elif silent := [column.column for column in by_column if column.distinct == 1]:
            reason = f"the same score for every architecture of {', '.join(silent)}"

        def mean(attribute: str) -> float | None:
            column_values = [getattr(column, attribute) for column in by_column]
            return float(np.mean(column_values)) if column_values else None

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
            columns=by_column,
        )


def _formula(proxy: AnyProxy) -> str:
    """Return the expression, or what else the proxy is."""
    if isinstance(proxy, Proxy):
        return proxy.graph.text
    if isinstance(proxy, FittedProxy):
        return proxy.description
    if isinstance(proxy, FunctionProxy):
        return f"function {called(proxy.function)}"
    return f"ensemble of {proxy.members}"


def _placed(rows: Sequence[LeaderboardRow]) -> tuple[LeaderboardRow, ...]:
    """Sort the rows, the best first, and number them; equal figures keep the alphabetical order."""
    ordered = sorted(rows, key=lambda row: (row.joint is None, -(row.joint or 0.0), row.name))
    return tuple(
        replace(row, place=None if row.joint is None else place)
        for place, row in enumerate(ordered, start=1)
    )

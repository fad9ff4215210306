"""Taking the times: every way in turn, again and again."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from autoprox.benches import Bench
from autoprox.errors import RunError, UnknownNameError
from autoprox.runtime.arguments import listed, named_options
from autoprox.runtime.progress import Progress, silent
from autoprox.runtime.threads import one_thread
from autoprox.statistics.store import default_folder
from autoprox.timing.pairs import PAIRS, Pair
from autoprox.timing.stage import Lap, Stage, Way, laid

REPORT_VERSION = 1
PARALLEL = "workers"
"""The comparison that needs several processes."""


@dataclass(frozen=True)
class TimedWay:
    """What one way takes.

    Attributes:
        label: what the way is.
        figure: the median of the repetitions, in the unit of the comparison.
        repetitions: the figure of each.
    """

    label: str
    figure: float
    repetitions: tuple[float, ...]


@dataclass(frozen=True)
class TimedPair:
    """Two ways of doing the same, side by side.

    Attributes:
        name: what ``only`` calls it.
        title: what is done.
        unit: of the figures.
        first, second: the ways.
        ratio: how many times as fast the second one is, by the medians.
        ratio_range: the lowest and the highest ratio of a repetition.
        difference: how far what they computed lies apart; None where they do not compute the same.
        notes: what a reader has to know.
    """

    name: str
    title: str
    unit: str
    first: TimedWay
    second: TimedWay
    ratio: float
    ratio_range: tuple[float, float]
    difference: float | None
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Speed:
    """What `speed` found.

    Attributes:
        machine: processor, cores, versions.
        settings: what was asked for.
        repeats: how many repetitions there are.
        comparisons: the results.
    """

    machine: Mapping[str, Any]
    settings: Mapping[str, Any]
    repeats: int
    comparisons: tuple[TimedPair, ...]

    @property
    def finished(self) -> bool:
        """Whether there are as many repetitions as were asked for."""
        return bool(self.repeats == self.settings["repeats"])

    def __getitem__(self, name: str) -> TimedPair:
        """Return the comparison called `name`.

        Raises:
            UnknownNameError: there is none.
        """
        by_name = {pair.name: pair for pair in self.comparisons}
        if name not in by_name:
            raise UnknownNameError("comparison", name, by_name)
        return by_name[name]

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON data."""
        return {
            "format": "autoprox speed",
            "version": REPORT_VERSION,
            "finished": self.finished,
            **asdict(self),
        }


@one_thread()
@named_options()
def speed(
    bench: str | Path | Bench = "vit101",
    *,
    only: str | Sequence[str] = (),
    space: str | None = None,
    architectures: int = 200,
    repeats: int = 5,
    evaluations: int = 10_000,
    jobs: int = 2,
    seed: int = 0,
    cache: str | Path | None = None,
    progress: Progress | None = None,
) -> Speed:
    """Compare what discovery costs with other ways of doing it. As ``autoprox speed`` does.

    The statistics of the architectures are measured first where the cache lacks them. Then all ways
    take turns, `repeats` times. Ctrl-C ends with the repetitions that are complete.

    Args:
        bench: a bench's name, the path of a user's own, or a `Bench`.
        only: names in `autoprox.timing.pairs.PAIRS`; all of them if there are none.
        space: whose architectures are taken; the bench's first if None.
        architectures: how many, at most.
        repeats: how often everything is repeated.
        evaluations: how many distinct candidates a whole run judges.
        jobs: how many processes work where there are several.
        seed: of candidates, runs and networks.
        cache: the folder of the measured statistics; the user's cache folder if None.
        progress: called as ``progress(task, done, total)``.

    Raises:
        UnknownNameError: there is no such comparison, bench or space.
        RunError: a number is out of its range, or two ways did not compute the same.
        AutoproxError: bench or cache cannot be used.
    """
    pairs = chosen(listed(only), jobs)
    for name, number in (("repeats", repeats), ("evaluations", evaluations), ("jobs", jobs)):
        if number < 1:
            raise RunError(f"{name} is at least 1; got {number}")
    show = progress or silent
    folder = Path(cache) if cache is not None else default_folder()
    stage = laid(bench, space, architectures, folder, jobs, evaluations, seed, show)
    laps = _laps(stage, pairs, repeats)
    settings = {
        "bench": stage.bench.name,
        "space": stage.bench.spaces[0],
        "architectures": len(stage.bench.architectures),
        "repeats": repeats,
        "evaluations": evaluations,
        "jobs": jobs,
        "seed": seed,
    }
    compared = tuple(_compared(stage, pair, laps) for pair in pairs)
    return Speed(_machine(), settings, len(compared[0].first.repetitions), compared)


def chosen(only: Sequence[str], jobs: int) -> list[Pair]:
    """Return the comparisons that are asked for.

    Raises:
        UnknownNameError: there is no such comparison.
        RunError: one needs several processes, and there is one.
    """
    for name in only:
        if name not in PAIRS:
            raise UnknownNameError("comparison", name, PAIRS)
    if jobs == 1 and PARALLEL in only:
        raise RunError(f"{PARALLEL!r} compares one process with several; give it 2 jobs or more")
    return [
        pair
        for name, pair in PAIRS.items()
        if (name in only if only else jobs > 1 or name != PARALLEL)
    ]


def _laps(stage: Stage, pairs: Sequence[Pair], repeats: int) -> dict[Way, list[Lap]]:
    """Let all ways take turns; stopped by Ctrl-C, return the complete repetitions."""
    ways = list(dict.fromkeys(way for pair in pairs for way in (pair.first, pair.second)))
    laps: dict[Way, list[Lap]] = {way: [] for way in ways}
    endless = {way: way.laps(stage) for way in ways}
    try:
        for repeat in range(repeats):
            for number, way in enumerate(ways):
                done = repeat * len(ways) + number
                task = f"repetition {repeat + 1} of {repeats}: {way.label}"
                stage.progress(task, done, repeats * len(ways))
                laps[way].append(next(endless[way]))
            for pair in pairs:
                _check(pair, laps[pair.first][-1], laps[pair.second][-1])
    except KeyboardInterrupt:
        if not laps[ways[-1]]:
            raise
    complete = min(map(len, laps.values()))
    return {way: timed[:complete] for way, timed in laps.items()}


def _check(pair: Pair, first: Lap, second: Lap) -> None:
    """Raise `RunError` if two ways did not compute the same."""
    difference = pair.gap(first, second)
    if difference is not None and not difference <= pair.tolerance:  # NaN is refused
        raise RunError(
            f"{pair.name}: {pair.first.label!r} and {pair.second.label!r} computed what lies "
            f"{difference:.2g} apart, more than {pair.tolerance:.2g}: their times say nothing; "
            "please report it"
        )


def _compared(stage: Stage, pair: Pair, laps: Mapping[Way, list[Lap]]) -> TimedPair:
    """Return one comparison."""
    first, second = laps[pair.first], laps[pair.second]
    share = pair.share(stage)
    ones, others = [share * lap.seconds for lap in first], [lap.seconds for lap in second]
    ratios = [seconds / rival for seconds, rival in zip(ones, others, strict=True)]
    return TimedPair(
        name=pair.name,
        title=pair.title,
        unit=pair.unit.name,
        first=_figures(pair, pair.first, ones),
        second=_figures(pair, pair.second, others),
        ratio=statistics.median(ones) / statistics.median(others),
        ratio_range=(min(ratios), max(ratios)),
        difference=pair.gap(first[-1], second[-1]),
        notes=tuple(lap.note for lap in (first[-1], second[-1]) if lap.note),
    )


def _figures(pair: Pair, way: Way, seconds: Sequence[float]) -> TimedWay:
    figure = pair.unit.figure
    return TimedWay(way.label, figure(statistics.median(seconds)), tuple(map(figure, seconds)))


def _machine() -> dict[str, Any]:
    """Return what the figures depend on beside the settings."""
    packages = ("autoprox", "torch", "numpy", "scipy", "deap")
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": platform.system(),
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
    }


def _processor() -> str:
    """Return the processor's name as well as the system knows it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())

"""Runs beside each other: what was asked differently, whose proxy is better, who found what."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from autoprox.benches import Bench
from autoprox.benches.registry import load_named
from autoprox.benches.teachers import placed_teacher
from autoprox.errors import BenchError, RunError
from autoprox.evaluation.evaluate import Evaluator
from autoprox.language.graph import Graph
from autoprox.ranking import DEFAULT_CORRELATION
from autoprox.ranking.figures import Comparison, Figures, Interval
from autoprox.ranking.resampling import interval
from autoprox.runs.fitness import is_joint
from autoprox.runs.folder import RunFolder
from autoprox.runs.forms import form, forms
from autoprox.runs.ground import Ground
from autoprox.runs.record import Run
from autoprox.runs.running import ground_of, source_of
from autoprox.runs.several_record import Runs, chosen, differing, names_of
from autoprox.runtime.arguments import listed
from autoprox.runtime.frames import frame_of
from autoprox.runtime.parallel import open_workers
from autoprox.runtime.progress import Progress, silent
from autoprox.runtime.threads import one_thread
from autoprox.statistics.store import default_folder

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True)
class ComparedRun:
    """One of the runs that are compared.

    Attributes:
        name: the run's folder; of several runs in one folder that of the picked one.
        expression: its best proxy by its own search split.
        nodes: the proxy's distinct nodes.
        search: its joint Somers' D there; None if the run had another fitness, and no report.
        joint: its joint Somers' D on the common held-out architectures; None if it has none.
        joint_interval: the 95 % bootstrap interval of that.
        failure: why it has no score on one of them; None if it has.
        alone: the best formulas of the run, those of its report and its front, that no other run
            judged, best first; formulas that are the same but for the sign, or for words that make
            no difference, are one.
        best: how many there are with those that another run judged, too.
    """

    name: str
    expression: str
    nodes: int
    search: float | None
    joint: float | None
    joint_interval: Interval | None
    failure: str | None
    alone: tuple[str, ...]
    best: int


@dataclass(frozen=True)
class Difference:
    """How much better the best proxy of one run is than that of another.

    Attributes:
        first, second: the runs' names.
        difference: the joint Somers' D of the first minus that of the second.
        interval: its 95 % interval, both on the same bootstrap resamples of the architectures.
    """

    first: str
    second: str
    difference: float
    interval: Interval

    @property
    def decided(self) -> bool:
        """Whether the interval leaves out 0."""
        return not self.interval[0] <= 0 <= self.interval[1]


@dataclass(frozen=True)
class RunsComparison:
    """What `compare` says of runs.

    Attributes:
        runs: in the order in which they were given.
        settings: the settings that differ: their values, one a run.
        architectures: how many of each space were held out in all of the runs.
        targets: by which these are ranked.
        differences: of each two runs.
        reason: why the proxies cannot be compared; None if they can.
    """

    runs: tuple[ComparedRun, ...]
    settings: dict[str, tuple[Any, ...]]
    architectures: dict[str, int]
    targets: tuple[str, ...]
    differences: tuple[Difference, ...]
    reason: str | None

    def to_frame(self) -> pandas.DataFrame:
        """Return the runs as a data frame, a row each.

        Raises:
            AutoproxError: pandas is not installed.
        """
        return frame_of(asdict(run) for run in self.runs)

    def to_json(self) -> dict[str, Any]:
        """Return the comparison as JSON data."""
        return asdict(self)


@one_thread()
def compare(
    runs: Sequence[str | Path | Run | Runs],
    *,
    bench: str | Path | Bench = "",
    teacher: str | None = None,
    jobs: int = 1,
    cache: str | Path | None = None,
    progress: Progress = silent,
) -> RunsComparison:
    """Compare runs: settings, the best proxies where no search saw, and what each found alone.

    The proxies are scored as their runs measured, and ranked by the mean Somers' D over the targets
    that the runs share, on the architectures that all of them held out. So neither has an advantage
    from having been chosen there.

    Args:
        runs: two or more: their folders, or what `autoprox.read_run` returns. Of several runs in
            one folder the picked one is taken.
        bench: a bench in a file of a user's own, or a `Bench`, if a run began with that.
        teacher: ``FILE.py:FUNCTION``, if that makes the teacher of a run.
        jobs: the number of processes that measure what the cache lacks.
        cache: the folder of the measured statistics; the user's cache folder if None.
        progress: called as ``progress(task, done, total)``.

    Raises:
        RunError: there are fewer than two, or one cannot be read, or has changed since.
        AutoproxError: a bench or the cache cannot be used.
    """
    progress("reading the runs", 0, 0)
    load_named(bench)  # before the runs are read, as its file may define words of theirs
    compared = [chosen(run) for run in listed(runs, Run, Runs)]
    if len(compared) < 2:
        raise RunError(f"expected two runs or more to compare, got {len(compared)}")
    folder = Path(cache) if cache is not None else default_folder()
    grounds = [_ground(run, bench, teacher, folder) for run in compared]
    names = names_of([run.folder for run in compared])

    def measure() -> None:
        with open_workers(jobs, folder=folder) as workers:
            for run, ground in zip(compared, grounds, strict=True):
                ground.measure(workers, partial(progress, f"measuring what {run.folder} needs"))
        progress("comparing", 0, 0)

    figures, architectures, targets, reason = _figures(compared, grounds, measure)
    alone = _alone(compared)
    differences = [
        Difference(
            names[i], names[j], left.joint - right.joint, interval(left.resampled - right.resampled)
        )
        for (i, left), (j, right) in itertools.combinations(enumerate(figures), 2)
        if isinstance(left, Figures) and isinstance(right, Figures)
    ]
    rows = [
        _compared(name, run, unshared, outcome)
        for name, run, unshared, outcome in zip(names, compared, alone, figures, strict=True)
    ]
    asked = differing(run.settings for run in compared)
    return RunsComparison(tuple(rows), asked, architectures, targets, tuple(differences), reason)


def _ground(run: Run, bench: str | Path | Bench, teacher: str | None, cache: Path) -> Ground:
    """Return the ground of a run."""
    files = RunFolder(run.folder)
    run_bench = bench if isinstance(bench, Bench) and bench.name == run.settings.bench else ""
    same = teacher is not None and placed_teacher(teacher) == run.settings.teacher
    source = source_of(run_bench, run.settings, files, teacher if same else None)
    return ground_of(files, source, run.settings, cache)


def _figures(
    runs: Sequence[Run], grounds: Sequence[Ground], measure: Callable[[], None]
) -> tuple[list[Figures | str], dict[str, int], tuple[str, ...], str | None]:
    """Return how each run's best proxy ranks what all of them held out, or why it does not.

    Also how many architectures of each space these are, by which targets they are ranked, and why
    they cannot be, or None.
    """
    places = [_held_out(ground) for ground in grounds]
    common = [name for name in places[0] if all(name in held_out for held_out in places)]
    targets = tuple(t for t in grounds[0].targets if all(t in ground.targets for ground in grounds))
    if not common:
        text = "; ".join(
            f"{run.folder} held out {len(held_out)} of {ground.bench.name}"
            for run, ground, held_out in zip(runs, grounds, places, strict=True)
        )
        return [""] * len(runs), {}, targets, f"the runs share no held-out architecture: {text}"
    if not targets:
        return [""] * len(runs), {}, (), "the runs share no target to rank by"
    first = [places[0][name] for name in common]
    spaces = Counter(grounds[0].bench.architectures[place].space for place in first)
    try:
        columns = replace(grounds[0], targets=targets).columns(first)
    except BenchError as error:
        reason = f"the runs share {len(common)} held-out architectures, which is too few: {error}"
        return [""] * len(runs), dict(spaces), targets, reason
    measure()
    judge = Comparison(columns)
    outcomes: list[Figures | str] = []
    for run, ground, place_of in zip(runs, grounds, places, strict=True):
        evaluator = Evaluator(ground.table([place_of[name] for name in common]))
        scores = evaluator(run.best.graph)
        outcomes.append(scores.failure or judge(np.asarray(scores.values)))
    return outcomes, dict(spaces), targets, None


def _held_out(ground: Ground) -> dict[str, int]:
    """Return the places of the held-out architectures by names that hold in every run."""
    prefix = f"{ground.bench.name}/" if len(ground.plans) == 1 else ""
    return {f"{prefix}{ground.bench.architectures[i].name}": i for i in ground.held_out}


def _alone(runs: Sequence[Run]) -> list[tuple[tuple[str, ...], int]]:
    """Return the best formulas of each run that no other run judged, and how many are the best."""
    best = [forms(run) for run in runs]
    formulas = [{form(judged.candidate.graph).text for judged in run.judged} for run in runs]
    rows = []
    for place, graphs in enumerate(best):
        others = set().union(*(texts for i, texts in enumerate(formulas) if i != place))
        alone = tuple(graph.text for text, graph in graphs.items() if text not in others)
        rows.append((alone, len(graphs)))
    return rows


def _compared(
    name: str, run: Run, unshared: tuple[tuple[str, ...], int], outcome: Figures | str
) -> ComparedRun:
    graph: Graph = run.best.graph
    figures = outcome if isinstance(outcome, Figures) else None
    return ComparedRun(
        name=name,
        expression=graph.text,
        nodes=graph.complexity,
        search=_on_search(run),
        joint=None if figures is None else figures.joint,
        joint_interval=None if figures is None else figures.joint_interval,
        failure=outcome if isinstance(outcome, str) and outcome else None,
        alone=unshared[0],
        best=unshared[1],
    )


def _on_search(run: Run) -> float | None:
    """Return the joint Somers' D of the best proxy on its search split, whatever its fitness."""
    if is_joint(run.settings) and run.settings.measure == DEFAULT_CORRELATION:
        fitness: float | None = run.best.provenance.get("search_fitness")
        return fitness
    by_bench = bool(run.benches)
    return run.search[0].mean(DEFAULT_CORRELATION, by_bench=by_bench) if run.search else None

"""A run: measure, search, and report what was found on architectures that selection never saw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from autoprox.benches import Bench
from autoprox.evolution.base import Algorithm
from autoprox.evolution.search import Search
from autoprox.evolution.settings import Formulas, Settings
from autoprox.ranking import Over, RankCorrelation
from autoprox.runs.notebook import notebook_observer
from autoprox.runs.observer import Observer as Observer
from autoprox.runs.observer import Silent as Silent
from autoprox.runs.record import Run
from autoprox.runs.running import begin_in, laid, resume_in, search_on
from autoprox.runs.tracking import Logger, Tracker
from autoprox.runtime.arguments import listed, named_options
from autoprox.runtime.device import CPU
from autoprox.runtime.options import resumed_alone, settings_in
from autoprox.runtime.parallel import HERE, open_workers
from autoprox.runtime.threads import one_thread
from autoprox.statistics import Sample
from autoprox.statistics.store import default_folder


@named_options()
@resumed_alone(
    Settings, "run", "bench", "evaluations", "permutations", "teacher", allowed=Algorithm
)
@one_thread()
def evolve(
    bench: str | Path | Bench = "",
    *,
    spaces: Sequence[str] | None = None,
    leave_out: Sequence[str] = (),
    over: Over | None = None,
    formulas: Formulas | None = None,
    targets: Sequence[str] | None = None,
    architectures: int | None = None,
    correlation: RankCorrelation | None = None,
    algorithm: str | Algorithm = Settings.algorithm,
    parameters: Mapping[str, Any] | None = None,
    evaluations: int | None = None,
    population: int = Settings.population,
    proposals: int = Settings.proposals,
    complexity: int = Settings.complexity,
    seed: int = 0,
    split_seed: int = 0,
    held_out_share: float = Settings.held_out_share,
    statistics: Sequence[str] | None = None,
    seed_proxies: Sequence[str] = (),
    permutations: int = 0,
    batch: int = Settings.batch,
    probe_seed: int = 0,
    sample: Sample = Settings.sample,
    images: str | None = None,
    device: str = CPU,
    teacher: str | None = None,
    teacher_weights: str | None = None,
    comparing: bool = False,
    out: str | Path | None = None,
    resume: str | Path | None = None,
    jobs: int = 1,
    backend: str = "loky",
    scheduler: str | None = None,
    cache: str | Path | None = None,
    observer: Observer | None = None,
    loggers: Logger | str | Sequence[Logger | str] = (),
) -> Run:
    """Discover a proxy for a bench. The same as the command ``autoprox evolve``.

    Args:
        bench: a bench's name, the path of a user's own, several of them between commas, the name
            of a set of benches, or a `Bench`.
        spaces: the spaces to evolve on; None for all. The others are reported as transfer. With
            several benches they are called ``bench/space``.
        leave_out: of several benches those that are measured and not evolved on, as transfer.
        over: how the correlations of several benches become one fitness: their ``"mean"``,
            ``"median"``, ``"worst"``, ``"gain"``, the least that a proxy gains over the best of
            params, FLOPs, depth and width of a bench, ``"wins"``, in how many benches it is above
            each of these, ``"share"``, the mean of their shares of what the known noise of the
            figures allows, or ``"lexicase"``, the mean, with parents chosen by lexicase selection
            over the benches; None for ``"wins"`` over at least three benches, else the mean.
        formulas: ``"any"``, or ``"small"`` for products and quotients of two terms, see
            `autoprox.evolution.small`; None for small ones on at least three benches, as these hold
            best on benches that the search does not see, else any.
        targets: the targets of the fitness; None for the default ones of each bench.
        architectures: how many architectures of the bench, or of each bench that has more, to draw;
            None for as many as the bench says, or all.
        correlation: the rank correlation whose mean over the columns is the fitness:
            ``"somers"`` for Somers' D, ``"kendall"`` for τ-b, ``"spearman"``; None for the bench's,
            or, of several that differ, Somers' D.
        algorithm: how to search: the name of a registered one, or an object of a class derived
            from `autoprox.Algorithm`, which a resumed run has to be given again.
        parameters: of a registered algorithm, such as ``{"crossover": 0.4}``; the others have their
            defaults.
        evaluations: how many distinct candidates are judged in all; 10,000 if None.
        population: the size of the population.
        proposals: how many graphs are proposed a generation.
        complexity: the most nodes of a candidate.
        seed: of the search.
        split_seed: of the split into search and held-out architectures.
        held_out_share: the share of the architectures that selection never sees.
        statistics: the statistics that candidates may use; None for the bench's, or
            `DEFAULT_STATISTICS`; with several benches those that all of them have.
        seed_proxies: names and expressions of proxies that the first population contains.
        permutations: how many times the search is repeated on shuffled accuracies, to see what it
            finds where there is nothing to find.
        batch: how many inputs the networks are shown.
        probe_seed: of the networks' weights, the inputs, and the sample's places.
        sample: entries kept of each tensor of a layer, or ``"full"``.
        images: an .npz file or a folder of images that the networks are shown; None for seeded
            noise.
        device: where networks are measured and tensors reduced: ``"cpu"``, ``"cuda"``,
            ``"cuda:1"``.
        teacher: a network that candidates may compare the bench's networks with, as
            `autoprox.benches.teachers.build_teacher` takes it, such as ``"resnet110"``; the
            statistics of a teacher are then among the usual ones.
        teacher_weights: the file of its weights; None for weights drawn from `probe_seed`.
        comparing: whether tensors of the network and of its teacher have to meet in every
            candidate.
        out: the run's folder; a new one under ``runs/`` if None.
        resume: the folder of a run to go on with, instead of `out` and settings; `bench` only if
            the run began with a `Bench` object or a file, which is not executed because the folder
            names it, and likewise `teacher`; and more `evaluations` or `permutations` than it had:
            it ends with the candidates of a run that had as many from the start.
        jobs: the number of processes; no result depends on it.
        backend: where they come from: ``"loky"``, this machine; ``"dask"`` or ``"ray"``, this
            machine or a cluster; see `autoprox.runtime.parallel.open_workers`.
        scheduler: the address of Dask's, as in ``"tcp://host:8786"``.
        cache: the folder of the measured statistics; the user's cache folder if None.
        observer: is told of progress; a notebook shows a bar if None.
        loggers: keep the figures of the run, see `autoprox.runs.tracking`;
            ``"tensorboard"`` is one.

    Raises:
        AutoproxError: a name, number, bench, cache or folder cannot be used; the message says
            which.
    """
    asked = settings_in(locals(), Settings)
    del asked["bench"]
    watcher: Observer = Tracker(observer or notebook_observer() or Silent(), listed(loggers))
    folder = Path(cache) if cache is not None else default_folder()
    opened = open_workers(jobs, backend, scheduler, folder)
    if resume is not None:
        instance = algorithm if isinstance(algorithm, Algorithm) else None
        more = {"evaluations": evaluations, "permutations": permutations or None}
        return resume_in(Path(resume), bench, instance, teacher, more, opened, folder, watcher)
    ground = laid(bench, folder, asked)
    return begin_in(ground, out, opened, watcher)


@named_options(Settings, replaced=("bench", "searches"))
def begin_search(
    bench: str | Path | Bench, *, cache: str | Path | None = None, **options: Any
) -> Search:
    """Return a search whose loop is the caller's: ask, judge, tell.

    What the cache lacks of the bench is measured first; nothing else is written. The same
    settings give the same candidates as `evolve` does.

    Args:
        bench: as for `evolve`, as are the others.
        cache: the folder of the measured statistics.
        options: the settings of `evolve`.

    Raises:
        AutoproxError: a name, number, bench or cache cannot be used; the message says which.
    """
    folder = Path(cache) if cache is not None else default_folder()
    with one_thread():
        ground = laid(bench, folder, options)
        ground.measure(HERE, lambda done, total: None)
        return search_on(ground, HERE)

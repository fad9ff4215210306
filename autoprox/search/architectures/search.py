"""Training-free architecture search: the architectures of a space that proxies score highest."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from autoprox.benches.teachers import check_same_teacher, placed_teacher
from autoprox.errors import RunError, ScoreError, SpaceError
from autoprox.hardware.pricing import located, price_of
from autoprox.language.graph import Graph
from autoprox.proxies.loading import Source
from autoprox.runs.folder import RunFolder
from autoprox.runtime.arguments import check_counts, listed, named_options
from autoprox.runtime.files import absolute, free_folder
from autoprox.runtime.journal import restoring
from autoprox.runtime.options import resumed_alone, settings_in
from autoprox.runtime.parallel import open_workers
from autoprox.runtime.progress import Progress, silent
from autoprox.runtime.threads import one_thread
from autoprox.search.architectures.algorithms import ALGORITHMS
from autoprox.search.architectures.draws import Draws
from autoprox.search.architectures.folder import SearchFolder
from autoprox.search.architectures.found import TOP, FoundArchitectures
from autoprox.search.architectures.limits import check_reachable, located_limit
from autoprox.search.architectures.scoring import Scored, Scorer, loaded, merits
from autoprox.search.architectures.settings import SearchSettings
from autoprox.search.architectures.space import Space, key_of, load_space, version_of
from autoprox.statistics import Sample
from autoprox.statistics.store import default_folder

GENERATION = 16
"""How many architectures are scored at a time; the same for any number of jobs."""


class ArchitectureSearch:
    """A search, generation after generation.

    Attributes:
        settings: what it does.
        scored: everything scored so far.
        draws: what was drawn so far.
        exhausted: whether nothing new is to be found.
    """

    def __init__(self, settings: SearchSettings, space: Space, scorer: Scorer) -> None:
        self.settings = settings
        self.space = space
        self.scorer = scorer
        self.random = Random(settings.seed)
        self.draws = Draws(space, settings.costs_within)
        self.algorithm = ALGORITHMS[settings.algorithm](space)
        self.scored: list[Scored] = []
        self.exhausted = False

    @property
    def done(self) -> bool:
        """Whether all evaluations are spent, or nothing new is to be found."""
        return self.exhausted or len(self.scored) >= self.settings.evaluations

    def step(self, progress: Progress = silent) -> list[Scored]:
        """Draw and score a generation, and return it.

        Raises:
            SpaceError: the space fails, or nothing fits.
            ScoreError: nothing has a score yet.
        """
        configs = []
        self.draws.misses = []
        for _ in range(min(GENERATION, self.settings.evaluations - len(self.scored))):
            config = self.draws.new(self.algorithm.propose, self.random)
            if config is None:
                self.exhausted = True
                break
            configs.append(config)
        if not configs:
            return []
        number = self.scored[-1].generation + 1 if self.scored else 1
        before, task = len(self.scored), self._task()

        def tell(_: str, done: int, __: int) -> None:
            progress(task, before + done, self.settings.evaluations)

        new = self.scorer(configs, number, tell)
        self.take(new)
        return new

    def _task(self) -> str:
        """Return what is being done, with what became of it so far."""
        facts = [f"{sum(bool(scored.failures) for scored in self.scored)} failed"]
        if self.settings.ranges:
            facts.append(f"{self.draws.fit} of {self.draws.drawn} samples fit")
        return f"scoring architectures ({', '.join(facts)})"

    def take(self, new: Sequence[Scored]) -> None:
        """Add a scored generation, and let the algorithm learn from it.

        Raises:
            ScoreError: nothing has a score yet.
        """
        since = len(self.scored)
        self.scored += new
        merit = merits(self.scored, tuple(self.scorer.proxies))
        if not np.isfinite(merit).any():
            name, reason = next(iter(self.scored[0].failures.items()))
            raise ScoreError(
                f"none of the first {len(self.scored)} architectures of space "
                f"{self.space.name!r} has a score by {name}: {reason}"
            )
        self.algorithm.learn(self.scored, merit, since, self.settings.cost)

    def state(self) -> dict[str, Any]:
        """Return what a resumed search needs beside what was scored, as JSON data."""
        return {
            "scored": len(self.scored),
            "exhausted": self.exhausted,
            "random": self.random.getstate(),
            "draws": self.draws.to_json(),
        }

    def restore(self, data: dict[str, Any], scored: Sequence[Scored]) -> None:
        """Go on from a state: every generation is learnt again, in its order."""
        generations: dict[int, list[Scored]] = {}
        for architecture in scored:
            generations.setdefault(architecture.generation, []).append(architecture)
        for generation in generations.values():
            self.take(generation)
        version, words, gauss = data["random"]
        self.random.setstate((version, tuple(words), gauss))
        self.exhausted = data["exhausted"]
        keys = {key_of(self.space, architecture.config) for architecture in scored}
        self.draws.restore(data["draws"], keys)


@named_options()
@resumed_alone(SearchSettings, "search", "space", "teacher")
@one_thread()
def search_architectures(
    space: str | Path | Space | None = None,
    proxies: Source | Sequence[Source] = (),
    *,
    params: str | None = None,
    flops: str | None = None,
    limits: str | Sequence[str] = (),
    evaluations: int = SearchSettings.evaluations,
    algorithm: str = SearchSettings.algorithm,
    cost: str = SearchSettings.cost,
    latency: bool = False,
    seed: int = 0,
    probe_seed: int = 0,
    batch: int = SearchSettings.batch,
    sample: Sample = SearchSettings.sample,
    images: str | None = None,
    teacher: str | None = None,
    teacher_weights: str | None = None,
    out: str | Path | None = None,
    resume: str | Path | None = None,
    jobs: int = 1,
    backend: str = "loky",
    scheduler: str | None = None,
    cache: str | Path | None = None,
    top: int = TOP,
    progress: Progress | None = None,
) -> FoundArchitectures:
    """The architectures of a space that proxies score highest, without training any.

    Every architecture is scored once; equal ones count once. Ctrl-C ends the search with what was
    found until then.

    Args:
        space: a name, a Python file that defines ``space``, or a `Space`.
        proxies: what `autoprox.load` takes, or several of that, whose ranks are combined.
        params: a range of parameters, such as ``"5M:7M"``; None for no limit.
        flops: likewise, of operations for one input as the statistic `flops` counts them.
        limits: of devices, such as ``latency:raspi4:30ms`` or ``energy:FILE.json:5mJ``, or several.
        evaluations: how many architectures are scored.
        algorithm: a name in `autoprox.search.architectures.algorithms.ALGORITHMS`.
        cost: what the score is held against in the Pareto front: ``params``, ``flops``, ``latency``
            here, or ``latency:DEVICE``; the algorithm ``pareto`` searches for the front.
        latency: whether to measure the latency of the best architectures and of the front.
        seed: of the search.
        probe_seed: of the networks' weights, the inputs, and the sample's places.
        batch: how many inputs the networks are shown.
        sample: entries kept of each tensor of a layer, or ``"full"``.
        images: an .npz file or a folder of images that the networks are shown; None for seeded
            noise.
        teacher: what proxies of a teacher compare the networks with, as
            `autoprox.benches.teachers.build_teacher` takes it, such as ``"resnet110"``.
        teacher_weights: the file of its weights; None for weights drawn from `probe_seed`.
        out: the folder of the search; a new one under ``runs/`` if None.
        resume: the folder of a search to go on with, instead of `out`, `proxies` and settings;
            `space` only if the search began with a `Space` object or a file, which is not executed
            because the folder names it, and likewise `teacher`. A proxy has to have a name, a file
            or an expression for that.
        jobs: the number of processes; no result depends on it.
        backend: where they come from; see `autoprox.runtime.parallel.open_workers`.
        scheduler: the address of Dask's.
        cache: the folder of the scores; the user's cache folder if None.
        top: how many architectures ``top.json`` has.
        progress: called as ``progress(task, done, total)``, in architectures.

    Raises:
        UnknownNameError: there is no such space, proxy, algorithm or cost.
        SpaceError: the space cannot be used, nothing fits the limits, or a setting is no number.
        ScoreError: a proxy has no score on any architecture, or compares networks.
        AutoproxError: images, cache, folder or workers cannot be used; the message says which.
    """
    check_counts(SpaceError, 0, top=top)
    asked = settings_in(locals(), SearchSettings)
    del asked["space"], asked["proxies"]
    asked["cost"], asked["limits"] = located(cost), tuple(map(located_limit, listed(limits)))
    if teacher is not None:
        asked["teacher"] = placed_teacher(teacher)
    if resume is not None:
        path = Path(resume)
        if not os.path.isdir(path):
            raise RunError(f"there is no search to resume at {path}")
        settings = SearchFolder(path).settings()
        check_same_teacher(path, settings.teacher, teacher)
        source = SearchFolder(path).space(settings) if space is None else space
        searched, named = load_space(source), loaded(settings.proxies)
    elif space is None:
        raise SpaceError("give a space to search, such as 'autoformer', or a search to resume")
    else:
        source, searched, named = space, load_space(space), loaded(listed(proxies, Path, Graph))
        settings = SearchSettings(_name(searched, source), tuple(named), **asked)
        folder_name = f"{searched.name}-{settings.algorithm}-{settings.seed}"
        path = Path(out) if out is not None else free_folder(Path("runs") / folder_name)
    version = version_of(searched, source)
    cache_folder = path / "cache" if version is None else Path(cache or default_folder())
    check_reachable(settings.ranges, searched)
    if ":" in settings.cost:
        price_of(settings.cost, searched.name)
    with open_workers(jobs, backend, scheduler, cache_folder) as workers, RunFolder(path):
        timed = settings.cost == "latency"
        scorer = Scorer(
            searched, version, named, settings.probe, cache_folder, workers, timed, settings.devices
        )
        files, marks = SearchFolder(path), scorer.marks()
        if resume is None:
            files.create(settings, marks)
        else:
            files.check(marks)
        search = ArchitectureSearch(settings, searched, scorer)
        return _searched(search, files, top, progress or silent)


def _name(space: Space, source: str | Path | Space) -> str:
    """Return what a space is loaded by, a path so that it holds in any folder."""
    name = str(source) if isinstance(source, (str, Path)) else space.name
    return absolute(name) if name.endswith(".py") else name


def _searched(
    search: ArchitectureSearch, files: SearchFolder, top: int, progress: Progress
) -> FoundArchitectures:
    """Search to the end or to Ctrl-C, every generation on disk before the next begins."""
    saved = files.state()
    if saved is not None:
        state, scored = saved
        with restoring(files.path):
            search.restore(asdict(state), scored)
    try:
        while not search.done:
            new = search.step(progress)
            files.check(search.scorer.device_marks())
            files.save(new, search.state())
        result = _found(search, files, finished=True)
        if search.settings.latency:
            result = result.timed(search.scorer.latency, top)
        files.report(result, top)
    except KeyboardInterrupt:
        result = _found(search, files, finished=False)
        files.report(result, top)
    return result


def _found(search: ArchitectureSearch, files: SearchFolder, finished: bool) -> FoundArchitectures:
    settings, space, draws = search.settings, search.space, search.draws
    names, scored = tuple(search.scorer.proxies), tuple(search.scored)
    return FoundArchitectures(
        files.path, settings, space, names, finished, draws.drawn, draws.fit, scored
    )

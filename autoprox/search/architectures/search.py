"""Training-free architecture search: the architectures of a space that proxies score highest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from random import Random
from typing import Any, TypeAlias

import numpy as np

from autoprox.errors import RunError, ScoreError, SpaceError
from autoprox.evolution.folder import RunFolder
from autoprox.language.graph import Graph
from autoprox.proxies.loading import AnyProxy
from autoprox.runtime.arguments import listed, named_options
from autoprox.runtime.files import absolute, free_folder
from autoprox.runtime.parallel import open_workers
from autoprox.runtime.threads import one_thread
from autoprox.search.architectures.draws import Draws
from autoprox.search.architectures.folder import SearchFolder
from autoprox.search.architectures.found import TOP, Found
from autoprox.search.architectures.limits import Limits
from autoprox.search.architectures.methods import METHODS
from autoprox.search.architectures.scoring import Scored, Scorer, loaded, merits
from autoprox.search.architectures.settings import Settings
from autoprox.search.architectures.space import Space, key_of, load_space, version_of
from autoprox.statistics.store import default_folder

GENERATION = 16
"""How many architectures are scored at a time; the same for any number of jobs."""

Source: TypeAlias = str | Path | Graph | AnyProxy
"""What `autoprox.load` takes."""

Watch: TypeAlias = Callable[["Search", int], None]
"""Told of the search, and of how many architectures of the running generation are scored."""


class Search:
    """A search, generation after generation.

    Attributes:
        settings: what it does.
        scored: everything scored so far.
        draws: what was drawn so far.
        exhausted: whether nothing new is to be found.
    """

    def __init__(self, settings: Settings, space: Space, scorer: Scorer) -> None:
        """Begin with nothing scored."""
        self.settings = settings
        self.space = space
        self.scorer = scorer
        self.random = Random(settings.seed)
        self.draws = Draws(space, Limits(space, settings.ranges))
        self.method = METHODS[settings.method](space)
        self.scored: list[Scored] = []
        self.exhausted = False

    @property
    def done(self) -> bool:
        """Whether the budget is spent, or nothing new is to be found."""
        return self.exhausted or len(self.scored) >= self.settings.budget

    def step(self, progress: Callable[[int, int], None] | None = None) -> list[Scored]:
        """Draw and score a generation, and return it.

        Raises:
            SpaceError: the space fails, or nothing fits.
            ScoreError: nothing has a score yet.
        """
        configs = []
        for _ in range(min(GENERATION, self.settings.budget - len(self.scored))):
            config = self.draws.new(self.method.propose, self.random)
            if config is None:
                self.exhausted = True
                break
            configs.append(config)
        if not configs:
            return []
        number = self.scored[-1].generation + 1 if self.scored else 1
        new = self.scorer(configs, number, progress)
        self.take(new)
        return new

    def take(self, new: Sequence[Scored]) -> None:
        """Take note of a generation.

        Raises:
            ScoreError: nothing has a score yet.
        """
        since = len(self.scored)
        self.scored += new
        found = merits(self.scored, tuple(self.scorer.proxies))
        if not np.isfinite(found).any():
            name, reason = next(iter(self.scored[0].failures.items()))
            raise ScoreError(
                f"none of the first {len(self.scored)} architectures of space "
                f"{self.space.name!r} has a score by {name}: {reason}"
            )
        self.method.learn(self.scored, found, since, self.settings.cost)

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
        for each in scored:
            generations.setdefault(each.generation, []).append(each)
        for generation in generations.values():
            self.take(generation)
        version, words, gauss = data["random"]
        self.random.setstate((version, tuple(words), gauss))
        self.exhausted = data["exhausted"]
        known = {key_of(self.space, each.config) for each in scored}
        self.draws.restore(data["draws"], known)


@named_options(Settings, replaced=("space", "proxies"))
@one_thread()
def search_architectures(
    space: str | Path | Space | None = None,
    proxies: Source | Sequence[Source] = (),
    *,
    out: str | Path | None = None,
    resume: str | Path | None = None,
    jobs: int = 1,
    backend: str = "loky",
    scheduler: str | None = None,
    cache: str | Path | None = None,
    top: int = TOP,
    watch: Watch | None = None,
    **options: Any,
) -> Found:
    """The architectures of a space that proxies score highest, without training any.

    Every architecture is scored once; equal ones count once. Ctrl-C ends the search with what was
    found until then.

    Args:
        space: a name, a Python file that defines ``space``, or a `Space`.
        proxies: what `autoprox.load` takes, or several of that, whose ranks are combined.
        out: the folder of the search; a new one under ``runs/`` if None.
        resume: the folder of a search to go on with, instead of `out`, `proxies` and `options`;
            `space` only if the search began with a `Space` object or a file, which is not executed
            because the folder names it. A proxy has to have a name, a
            file or an expression for that.
        jobs: the number of processes; no result depends on it.
        backend: where they come from; see `autoprox.runtime.parallel.open_workers`.
        scheduler: the address of Dask's.
        cache: the folder of the scores; the user's cache folder if None.
        top: how many architectures ``top.json`` has.
        watch: is told of progress.
        options: the other fields of `Settings`, such as ``params="5M:7M"`` or ``budget=500``.

    Raises:
        UnknownNameError: there is no such space, proxy, method or cost.
        SpaceError: the space cannot be used, nothing fits the limits, or a setting is no number.
        ScoreError: a proxy has no score on any architecture, or compares networks.
        AutoproxError: images, cache, folder or workers cannot be used; the message says which.
    """
    if resume is not None:
        if out is not None or proxies or options:
            raise RunError(
                "a resumed search keeps its settings: give resume alone, or start a new search"
            )
        path = Path(resume)
        if not path.is_dir():
            raise RunError(f"there is no search to resume at {path}")
        settings = SearchFolder(path).settings()
        source = SearchFolder(path).space(settings) if space is None else space
        found, named = load_space(source), loaded(settings.proxies)
    elif space is None:
        raise SpaceError("give a space to search, such as 'autoformer', or a search to resume")
    else:
        source, found, named = space, load_space(space), loaded(listed(proxies, Path, Graph))
        settings = _settings(found, source, tuple(named), options)
        path = Path(out) if out is not None else _own_folder(found, settings)
    version = version_of(found, source)
    kept = path / "cache" if version is None else Path(cache or default_folder())
    with open_workers(jobs, backend, scheduler, kept) as workers, RunFolder(path):
        timed = settings.cost == "latency"
        scorer = Scorer(found, version, named, settings.probe, kept, workers, timed)
        files, marks = SearchFolder(path), scorer.marks()
        if resume is None:
            files.create(settings, marks)
        else:
            files.check(marks)
        return _searched(Search(settings, found, scorer), files, top, watch)


def _settings(
    space: Space, source: str | Path | Space, proxies: tuple[str, ...], options: dict[str, Any]
) -> Settings:
    """Return the settings, with paths that hold in any folder."""
    name = str(source) if isinstance(source, (str, Path)) else space.name
    if name.endswith(".py"):
        name = absolute(name)
    if options.get("images"):
        options["images"] = absolute(options["images"])
    return Settings(name, proxies, **options)


def _own_folder(space: Space, settings: Settings) -> Path:
    """Return the first folder under ``runs/`` that is not taken."""
    return free_folder(Path("runs") / f"{space.name}-{settings.method}-{settings.seed}")


def _searched(search: Search, files: SearchFolder, top: int, watch: Watch | None) -> Found:
    """Search to the end or to Ctrl-C, every generation on disk before the next begins."""
    saved = files.state()
    if saved is not None:
        state, scored = saved
        try:
            search.restore(asdict(state), scored)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise RunError(
                f"the state of the search in {files.path} is not one that this search writes: "
                f"{type(error).__name__}: {error}"
            ) from None
    try:
        while not search.done:
            new = search.step(watch and (lambda done, _: watch(search, done)))
            files.save(new, search.state())
        found = _found(search, files, finished=True)
        if search.settings.latency:
            found = found.timed(search.scorer.latency, top)
    except KeyboardInterrupt:
        found = _found(search, files, finished=False)
    files.report(found, top)
    return found


def _found(search: Search, files: SearchFolder, finished: bool) -> Found:
    draws, names = search.draws, tuple(search.scorer.proxies)
    return Found(
        files.path,
        search.settings,
        search.space,
        names,
        finished,
        draws.drawn,
        draws.fit,
        tuple(search.scored),
    )

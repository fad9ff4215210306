"""A new run from the front of another one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from autoprox.benches import Bench
from autoprox.benches.registry import load_named
from autoprox.benches.teachers import check_same_teacher
from autoprox.errors import RunError
from autoprox.evolution.settings import Settings
from autoprox.runs.folder import RunFolder
from autoprox.runs.ground import Ground
from autoprox.runs.notebook import notebook_observer
from autoprox.runs.observer import Observer, Silent
from autoprox.runs.record import Run, read_run
from autoprox.runs.running import begin_in, found_at, laid
from autoprox.runs.series import check_new, seed_range
from autoprox.runs.several import evolve_several
from autoprox.runs.several_record import Runs
from autoprox.runs.tracking import Logger, Tracker
from autoprox.runs.unseen import check_unseen
from autoprox.runtime.arguments import listed, named_options
from autoprox.runtime.parallel import open_workers
from autoprox.runtime.threads import one_thread
from autoprox.statistics.store import default_folder

OWN = ("seed_proxies", "permutations", "started_from", "searches")
"""The settings that a run does not take over from the one whose front it begins with."""

TOLD = ("seed_proxies", "started_from", "searches")
"""The settings that the run whose front is taken tells."""

SETTINGS = {field.name for field in fields(Settings)} - {"bench", *TOLD}
"""The settings that may be given beside the run."""


@named_options(Settings, replaced=TOLD)
@one_thread()
def evolve_from(
    run: str | Path,
    bench: str | Path | Bench = "",
    *,
    out: str | Path | None = None,
    jobs: int = 1,
    backend: str = "loky",
    scheduler: str | None = None,
    cache: str | Path | None = None,
    observer: Observer | None = None,
    loggers: Logger | str | Sequence[Logger | str] = (),
    **options: Any,
) -> Run:
    """Discover a proxy, with the front of another run as the first population.

    The front are the formulas that are better on the search split than all that are as simple. The
    new run has the settings of the other one, but for those that are given; on another bench it has
    the default ones. They say what it started from.

    Args:
        run: the folder of the other run, finished, stopped or still going.
        bench: as for `autoprox.evolve`; that of the other run if empty.
        out: the new run's folder, as are the others as for `autoprox.evolve`.
        jobs: the number of processes.
        backend: where they come from.
        scheduler: the address of Dask's.
        cache: the folder of the measured statistics.
        observer: is told of progress.
        loggers: keep the figures of the run.
        options: the settings of `autoprox.evolve`.

    Raises:
        RunError: the other run searched on architectures that this one would hold out, or nobody
            can tell; or it has no front.
        AutoproxError: a name, number, bench, cache or folder cannot be used.
    """
    folder = Path(cache) if cache is not None else default_folder()
    opened = open_workers(jobs, backend, scheduler, folder)
    source, settings = _begun(run, bench, options)
    ground = _unseen(run, source, settings, folder)
    watcher = Tracker(observer or notebook_observer() or Silent(), listed(loggers))
    return begin_in(ground, out, opened, watcher)


def evolve_seeds_from(
    run: str | Path,
    bench: str | Path | Bench = "",
    seeds: int = 5,
    *,
    seed: int = 0,
    cache: str | Path | None = None,
    **options: Any,
) -> Runs:
    """Discover proxies with several seeds, all with the front of another run as first population.

    The same as ``autoprox evolve --from RUN --seeds N``. The seed of the search alone varies: the
    split is that of the other run, whose search saw what another split would hold out.

    Args:
        run: the folder of the other run.
        bench: as for `evolve_from`.
        seeds: how many runs.
        seed: of the first one; the others follow.
        cache: the folder of the measured statistics.
        options: the further arguments of `autoprox.runs.several.evolve_several`, among them
            the settings of `autoprox.evolve`.

    Raises:
        AutoproxError: as for `evolve_from`, and there is to be no run.
    """
    check_new(options)
    numbers = seed_range(seeds, seed)
    asked = {name: value for name, value in options.items() if name in SETTINGS}
    source, settings = _begun(run, bench, asked)
    _unseen(run, source, settings, Path(cache) if cache is not None else default_folder())
    varied = {f"seed-{number}": {"seed": number} for number in numbers}
    return evolve_several(source, varied, cache=cache, **{**options, **settings})


def _begun(
    run: str | Path, bench: str | Path | Bench, options: dict[str, Any]
) -> tuple[str | Bench, dict[str, Any]]:
    """Return the bench and the settings of a run that begins with the front of another."""
    load_named(bench)  # before the run is read, as its file may define words of the front
    origin = read_run(run)
    if not origin.front:
        raise RunError(
            f"no candidate of the run in {origin.folder} has a fitness, so it has no front"
        )
    if isinstance(bench, Bench):
        source: str | Bench = bench
    elif str(bench):
        source = found_at(str(bench))
    else:
        source = RunFolder(origin.folder).bench(origin.settings)
    name = source.name if isinstance(source, Bench) else source
    recorded = origin.settings.to_json()
    begun = {
        "seed_proxies": tuple(candidate.text for candidate in origin.front),
        "started_from": {key: value for key, value in recorded.items() if key != "seed_proxies"},
    }
    kept = vars(origin.settings) if name == origin.settings.bench else {}
    kept = {key: value for key, value in kept.items() if key not in ("bench", *OWN)}
    if kept and "teacher" not in options:
        check_same_teacher(origin.folder, origin.settings.teacher, None)
    if "algorithm" in options:
        kept.pop("parameters", None)
    return source, {**kept, **options, **begun}


def _unseen(
    run: str | Path, source: str | Bench, settings: Mapping[str, Any], cache: Path
) -> Ground:
    """Return the ground of a run, after a check that no search behind it saw what is held out."""
    ground = laid(source, cache, dict(settings))
    check_unseen(ground, source, settings["started_from"], f"the run in {run}")
    return ground

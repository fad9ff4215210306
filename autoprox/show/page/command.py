"""The commands that a page tells its reader."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import MISSING, fields, replace
from typing import Any

from autoprox.assessment.wording import sizes
from autoprox.benches import several
from autoprox.benches.registry import known_bench
from autoprox.evolution.algorithms import ALGORITHMS
from autoprox.evolution.settings import Settings
from autoprox.measuring.probe import takes_images
from autoprox.runs.folder import bench_words, resume_words
from autoprox.runs.record import Run

REPEATED = {"spaces": "--space", "targets": "--target"}
"""The settings whose option is given once for each of their values."""

SHOWN = ("images", "batch", "probe_seed", "teacher", "teacher_weights")
"""The settings of what the networks are shown, and compared with."""


def evolve_command(run: Run) -> str:
    """Return the command that does the same run again."""
    return shlex.join(["autoprox", "evolve", *settings_options(run.settings)])


def settings_options(settings: Settings) -> list[str]:
    """Return the options of ``autoprox evolve`` for settings that are not the default ones."""
    words: list[str] = []
    for setting in fields(settings):
        value = getattr(settings, setting.name)
        if setting.name == "parameters":
            words += _parameters(settings)
        elif setting.name in ("started_from", "searches"):  # the seed proxies are told themselves
            continue
        elif setting.default is MISSING or value != setting.default:
            words += _option(setting.name, value)
    return words


def _parameters(settings: Settings) -> list[str]:
    """Return the options for those parameters of a registered algorithm that are not its own."""
    if settings.algorithm not in ALGORITHMS:
        return []
    usual = ALGORITHMS[settings.algorithm]().parameters()
    return [
        word
        for name, value in settings.parameters.items()
        if value != usual.get(name)
        for word in ("--parameter", f"{name}={json.dumps(value)}")
    ]


def _option(name: str, value: Any) -> list[str]:
    if name in REPEATED:
        return [word for item in value for word in (REPEATED[name], item)]
    if value is True:
        return [f"--{name.replace('_', '-')}"]
    text = ",".join(value) if isinstance(value, tuple) else str(value)
    return [f"--{name.replace('_', '-')}", text]


def resume_command(run: Run) -> str:
    """Return the command that goes on with the run."""
    settings = run.settings
    return shlex.join(["autoprox", *resume_words(run.folder, settings.bench, settings.teacher)])


def page_commands(run: Run) -> list[str]:
    """Return the commands that rank the known proxies, and one that puts them onto the page.

    The page takes one ranking: of several benches the first.
    """
    benches = benches_alone(run)
    files = [f"ranking-{name}.json" for name in benches] if len(benches) > 1 else ["ranking.json"]
    rankings = [
        rank_command(alone, ["--json", file])
        for alone, file in zip(benches.values(), files, strict=True)
    ]
    page = ["autoprox", "report", str(run.folder), *bench_words(run.settings.bench)]
    return [*rankings, shlex.join([*page, "--ranking", files[0]])]


def rank_commands(run: Run, words: Sequence[str]) -> list[str]:
    """Return the commands that rank proxies on what a run's search did not see, one a bench.

    Args:
        run: the run.
        words: further ones of each command: the proxies, other options.
    """
    return [rank_command(alone, words) for alone in benches_alone(run).values()]


def rank_command(settings: Settings, words: Sequence[str]) -> str:
    """Return the command that ranks proxies on what a search on one bench did not see.

    They are shown what the run's networks were shown, and ranked on what the search did not see
    where ``autoprox rank`` can tell: with the default share of held-out architectures.

    Args:
        settings: the run's.
        words: further ones of the command: the proxies, other options.
    """
    usual = Settings(settings.bench)
    words = ["autoprox", "rank", "--bench", settings.bench, *words]
    for name in ("architectures", "spaces", "targets"):
        value = getattr(settings, name)
        words += _option(name, value) if value is not None else []
    if settings.held_out_share == usual.held_out_share:
        words += ["--held-out", *_option("split_seed", settings.split_seed)]
    for name in SHOWN:
        value = getattr(settings, name)
        words += _option(name, value) if value != getattr(usual, name) else []
    return shlex.join(words)


def benches_alone(run: Run) -> dict[str, Settings]:
    """Return the benches that a run evolved on, by their names, with settings of each alone.

    A run with these holds out the same of that bench. What a run on several drew of one, and by
    which targets it ranked it, its report knows; a bench without one has a number for its name, and
    so have those in files if some are left out, since the report does not say which are.
    """
    sources = several(run.settings.bench)
    if len(sources) == 1:
        return {sources[0]: run.settings}
    files = [source for source in sources if source.endswith(".py")]
    unnamed = [name for name in run.benches if name not in sources]
    homes = {name: name for name in run.benches if name in sources}
    if len(files) == len(unnamed):
        homes |= dict(zip(unnamed, files, strict=True))
    else:
        homes |= {str(place): source for place, source in enumerate(files, start=1)}
    return {name: _alone(run, name, homes[name]) for name in homes} or {
        source: _alone(run, source, source) for source in sources
    }


def number_drawn(run: Run, prefix: str) -> int:
    """Return how many architectures a run drew, as its report tells, of spaces that begin so."""
    parts = map(sizes, (run.search, run.held_out, run.transfer))
    return sum(n for part in parts for space, n in part.items() if space.startswith(prefix))


def _alone(run: Run, name: str, source: str) -> Settings:
    """Return settings for one of several benches, of some name, which is loaded by `source`."""
    settings, prefix = run.settings, f"{name}/"
    parts = (run.search, run.held_out, run.transfer)
    columns = [column.column for rows in parts for row in rows for column in row.columns]
    targets = [column.rpartition("/")[2] for column in columns if column.startswith(prefix)]
    drawn = number_drawn(run, prefix)
    spaces = [space for space in settings.spaces or () if space.startswith(prefix)]
    count = settings.architectures
    if settings.images is not None:
        bench = known_bench(source)
        if bench is not None and not takes_images(bench):  # it was shown inputs of its own
            settings = replace(settings, images=None)
    return replace(
        settings,
        bench=source,
        leave_out=(),
        spaces=tuple(space.removeprefix(prefix) for space in spaces) or None,
        targets=tuple(dict.fromkeys(targets)) or None if settings.targets else None,
        architectures=min(count, drawn) if count and drawn else count,
    )

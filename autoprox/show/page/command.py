"""The commands that a page tells its reader."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import MISSING, fields
from typing import Any

from autoprox.benches import several
from autoprox.evolution.algorithms import ALGORITHMS
from autoprox.evolution.settings import Settings
from autoprox.runs.folder import resume_words
from autoprox.runs.record import Run

REPEATED = {"spaces": "--space", "targets": "--target"}
"""The settings whose option is given once for each of their values."""

SHOWN = ("images", "batch", "probe_seed")
"""The settings of what the networks are shown."""


def evolve_command(found: Run) -> str:
    """Return the command that does the same run again."""
    return shlex.join(["autoprox", "evolve", *settings_options(found.settings)])


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


def resume_command(found: Run) -> str:
    """Return the command that goes on with the run."""
    return shlex.join(["autoprox", *resume_words(found.folder, found.settings.bench)])


def rank_commands(found: Run) -> list[str]:
    """Return the commands that rank the known proxies and put them onto the page."""
    page = ["autoprox", "report", str(found.folder), "--ranking", "ranking.json"]
    ranking = rank_command(found.settings, ["--json", "ranking.json"])
    return [ranking, shlex.join(page)]


def rank_command(settings: Settings, words: Sequence[str]) -> str:
    """Return the command that ranks proxies on what a run's search did not see.

    They are shown what the run's networks were shown, and ranked on what the search did not see
    where ``autoprox rank`` can tell: on one bench, with the default share of held-out
    architectures.

    Args:
        settings: the run's.
        words: further ones of the command: the proxies, other options.
    """
    usual = Settings(settings.bench)
    bench = several(settings.bench)[0]
    words = ["autoprox", "rank", "--bench", bench, *words]
    if settings.bench == bench:
        for name in ("architectures", "spaces", "targets"):
            value = getattr(settings, name)
            words += _option(name, value) if value is not None else []
        if settings.held_out_share == usual.held_out_share:
            words += ["--held-out", *_option("split_seed", settings.split_seed)]
    for name in SHOWN:
        value = getattr(settings, name)
        words += _option(name, value) if value != getattr(usual, name) else []
    return shlex.join(words)

"""What a folder holds already, told without the engine, which takes time to load."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from autoprox.errors import RunError
from autoprox.runtime.arguments import is_plain_name

HELD = ("config.json", "runs.json", "settings.json")
"""The files that say that a folder holds a run, several, or a search of architectures."""

OF_SEVERAL = ("runs.json", "best.json", "report.json")
"""The files of a folder of several runs, beside the folders of these."""


def check_free(folder: Path) -> None:
    """Check that a folder holds no run yet, nor several, nor a search of architectures.

    Raises:
        RunError: it does.
    """
    if any((folder / name).exists() for name in HELD):
        raise RunError(
            f"{folder} already holds a run; go on with --resume {folder}, or choose another --out"
        )


def holds_several(folder: str | Path) -> bool:
    """Say whether a folder is one of several runs, see `autoprox.runs.several`."""
    return os.path.isfile(Path(folder) / "runs.json")


def check_names(names: Iterable[str], place: str = "") -> None:
    """Raise `RunError` if a run's name is none of a folder of its own beside those of others."""
    for name in names:
        if not is_plain_name(name) or name.startswith(".") or name in OF_SEVERAL:
            raise RunError(f"{name!r}{place} cannot be the name of a run's folder; choose another")


def check_varied(varied: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise `RunError` if there are no settings of runs to begin by their names."""
    if not varied:
        raise RunError("expected the settings of each run by its name, got none")
    check_names(varied)
    for name, settings in varied.items():
        if not isinstance(settings, Mapping):
            raise RunError(f"expected the settings of the run {name!r} by name; got {settings!r}")

"""What a folder holds already, told without the engine, which takes time to load."""

from __future__ import annotations

import os
from pathlib import Path

from autoprox.errors import RunError

HELD = ("config.json", "runs.json", "settings.json")
"""The files that say that a folder holds a run, several, or a search of architectures."""


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

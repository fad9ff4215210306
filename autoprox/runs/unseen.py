"""Whether what a run begins with was selected on architectures that the run holds out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from autoprox.benches import Bench, several
from autoprox.benches.registry import unnamed_files
from autoprox.errors import RunError
from autoprox.evolution.settings import Settings
from autoprox.proxies.loading import load
from autoprox.runs.ground import Ground, lay
from autoprox.runtime.schema import converted


def check_seeds(ground: Ground, source: str | Bench, seeds: tuple[str, ...]) -> None:
    """Check that no search that found a seed proxy saw what a run reports on.

    Files, run folders and shipped proxies record which search found them; expressions do not.

    Raises:
        RunError: one did, or nobody can tell.
    """
    for name in seeds:
        recorded = load(name).provenance.get("settings")
        if recorded is not None:
            check_unseen(ground, source, recorded, f"the search that found the seed proxy {name}")


def check_unseen(
    ground: Ground, source: str | Bench, settings: Mapping[str, Any], what: str
) -> None:
    """Check that a search, and those behind it, did not see what a run reports on.

    `settings` are those of the search, as JSON data, and `what` is its name in a message.

    Raises:
        RunError: one did, or its bench is a file that nobody named, or its settings are damaged.
    """
    reported = ground.networks([*ground.held_out, *ground.transfer])
    for recorded in ancestry(settings):
        try:
            seeing = Settings.from_json(recorded).seeing
        except (TypeError, ValueError) as error:
            raise RunError(f"the settings of {what} are damaged: {error}") from None
        same = seeing.bench == ground.settings.bench
        if not same and unnamed_files(several(seeing.bench)):
            raise RunError(
                f"nobody can tell what {what} saw: the bench {seeing.bench} is a file, and none is "
                "executed that is not named"
            )
        seen = lay(source if same else seeing.bench, seeing, Path())
        common = reported & seen.networks(seen.search)
        if common:
            raise RunError(
                f"{what} searched on {len(common)} of the architectures that this one would hold "
                "out, so that its figures would flatter: keep that split "
                f"(--split-seed {seeing.split_seed}, --held-out-share {seeing.held_out_share:g}, "
                "and its architectures and spaces)"
            )


def ancestry(settings: Any) -> Iterator[dict[str, Any]]:
    """Yield the settings of a search, and of all searches behind it.

    Behind it are the run that it started from, the searches that found its seed proxies, and what
    is behind these.
    """
    recorded = converted(settings, dict[str, Any], "settings")
    yield recorded
    searches = converted(recorded.get("searches") or {}, dict[str, Any], "settings.searches")
    for behind in (recorded.get("started_from"), *searches.values()):
        if behind is not None:
            yield from ancestry(behind)

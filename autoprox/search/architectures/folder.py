"""The folder of a search of architectures: text files that are whole at any moment.

settings.json  what was asked for, and marks of all that the scores depend on
scored.jsonl   every architecture that was scored, a line each
state.json     what a resumed search goes on from; says how many bytes of scored.jsonl it stands on
top.json       the best architectures
front.csv      the Pareto front
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from autoprox.errors import AutoproxError, RunError
from autoprox.runtime.files import append_text, read_json, write_json, write_text
from autoprox.search.architectures.found import FoundArchitectures
from autoprox.search.architectures.scoring import Scored
from autoprox.search.architectures.settings import SearchSettings

SEARCH, STATE = "autoprox architecture search", "autoprox architecture search state"
VERSION = 1


class SearchFolder:
    """The files of one search.

    Args:
        path: the folder, which exists.
    """

    def __init__(self, path: Path) -> None:
        """Touch nothing yet."""
        self.path = path

    def create(self, settings: SearchSettings, marks: Mapping[str, Any]) -> None:
        """Begin a new search.

        Raises:
            RunError: the folder already holds one, or cannot be written.
        """
        for name in ("settings.json", "config.json"):
            if (self.path / name).exists():
                raise RunError(
                    f"{self.path} already holds a run; go on with --resume {self.path}, or choose "
                    "another --out"
                )
        data = {"format": SEARCH, "version": VERSION, "marks": dict(marks)}
        write_json(self.path / "settings.json", {**data, "settings": settings.to_json()})
        write_text(self.path / "scored.jsonl", "")

    def settings(self) -> SearchSettings:
        """Return the settings of the search in this folder.

        Raises:
            RunError: there is none, or its files are damaged or of a newer autoprox.
        """
        path = self.path / "settings.json"
        if not path.is_file():
            raise RunError(f"{self.path} holds no search to resume: it has no settings.json")
        try:
            return SearchSettings.from_json(read_json(path, SEARCH, VERSION)["settings"])
        except (AutoproxError, KeyError, TypeError) as error:
            raise RunError(f"{path} is damaged: {error}") from None

    def check(self, marks: Mapping[str, Any]) -> None:
        """Raise `RunError` if the search in this folder began with other marks."""
        before = read_json(self.path / "settings.json", SEARCH, VERSION).get("marks", {})
        changed = [name for name, mark in marks.items() if before.get(name) != mark]
        if changed:
            raise RunError(
                f"{' and '.join(changed)} of the search in {self.path} changed since it began; "
                "start a new search"
            )

    def save(self, new: Sequence[Scored], state: Mapping[str, Any]) -> None:
        """Write a generation, then the state that counts it.

        Raises:
            RunError: the folder cannot be written.
        """
        lines = "".join(json.dumps(each.to_json()) + "\n" for each in new)
        try:
            size = append_text(self.path / "scored.jsonl", lines)
        except OSError as error:
            raise RunError(
                f"cannot write {self.path}: {error.strerror}; what was saved before is whole"
            ) from None
        data = {"format": STATE, "version": VERSION, "bytes": size, **state}
        write_json(self.path / "state.json", data)

    def state(self) -> tuple[dict[str, Any], list[Scored]] | None:
        """Return the last state and what was scored until then; None before the first.

        What was written after the state is cut off: the resumed search writes it again.

        Raises:
            RunError: a file is damaged, truncated or newer.
        """
        path = self.path / "scored.jsonl"
        if not (self.path / "state.json").is_file():
            write_text(path, "")
            return None
        try:
            data = read_json(self.path / "state.json", STATE, VERSION)
            text = path.read_bytes()[: data["bytes"]].decode()
            scored = [Scored(**json.loads(line)) for line in text.splitlines()]
            if len(scored) != data["scored"]:
                raise ValueError(f"{path.name} has {len(scored)} of {data['scored']} architectures")
        except (AutoproxError, OSError, ValueError, KeyError, TypeError) as error:
            raise RunError(f"the search in {self.path} cannot be resumed: {error}") from None
        write_text(path, text)
        return data, scored

    def report(self, found: FoundArchitectures, top: int) -> None:
        """Write what was found."""
        write_json(self.path / "top.json", found.to_json(top))
        write_text(self.path / "front.csv", found.front_csv())

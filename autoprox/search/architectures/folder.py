"""The folder of a search of architectures: text files that are whole at any moment.

settings.json  what was asked for, and marks of all that the scores depend on
scored.jsonl   every architecture that was scored, a line each
state.json     what a resumed search goes on from; says how many bytes of scored.jsonl it stands on
states.jsonl   what it said after each generation
top.json       the best architectures
front.csv      the Pareto front
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from autoprox.benches.registry import unnamed_files
from autoprox.errors import AutoproxError, RunError
from autoprox.runs.contents import check_free
from autoprox.runtime.files import write_json, write_text
from autoprox.runtime.journal import Journal
from autoprox.runtime.schema import Count, FileKind, read_bytes, sealed_lines
from autoprox.search.architectures.found import FoundArchitectures
from autoprox.search.architectures.scoring import Scored
from autoprox.search.architectures.settings import SearchSettings


@dataclass(frozen=True)
class Asked:
    """``settings.json``.

    Attributes:
        marks: of what the scores depend on, see `Scorer.marks`.
        settings: as `SearchSettings.from_json` takes them.
    """

    marks: dict[str, Any]
    settings: dict[str, Any]


@dataclass(frozen=True)
class SearchState:
    """``state.json``, and a line of ``states.jsonl``.

    Attributes:
        bytes: how many bytes of ``scored.jsonl`` it stands on.
        saves: the number of the state, from 1.
        scored: how many architectures these are.
        exhausted: whether nothing new is to be found.
        random: the state of the generator.
        draws: see `Draws.to_json`; an earlier autoprox wrote no misses.
    """

    bytes: Count
    saves: Count
    scored: Count
    exhausted: bool
    random: tuple[Count, tuple[Count, ...], float | None]
    draws: dict[str, Any]


SEARCH = FileKind("autoprox architecture search", 2, Asked, sealed=2)
STATE = FileKind("autoprox architecture search state", 2, SearchState, sealed=2)


class SearchFolder:
    """The files of one search.

    Args:
        path: the folder, which exists.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._settings = path / "settings.json"
        self._journal = Journal(path / "scored.jsonl", path / "state.json", STATE, Scored)

    def create(self, settings: SearchSettings, marks: Mapping[str, Any]) -> None:
        """Begin a new search.

        Raises:
            RunError: the folder already holds one, or cannot be written.
        """
        check_free(self.path)
        self._journal.begin()
        data = {"marks": dict(marks), "settings": settings.to_json()}
        SEARCH.write(self._settings, data)

    def settings(self) -> SearchSettings:
        """Return the settings of the search in this folder.

        Raises:
            RunError: there is none, or its files are damaged or of another autoprox.
        """
        if not self._settings.is_file():
            raise RunError(f"{self.path} holds no search to resume: it has no settings.json")
        try:
            data = SEARCH.read(self._settings, oldest=SEARCH.version)
            return SearchSettings.from_json(data.settings)
        except AutoproxError as error:
            raise RunError(f"{self.path} cannot be resumed: {error}") from None

    def space(self, settings: SearchSettings) -> str:
        """Return what the space of the search in this folder is loaded by.

        Raises:
            RunError: that would execute a file which nobody named but this folder.
        """
        if unnamed_files([settings.space]):
            raise RunError(
                f"the search in {self.path} says that {settings.space} defines its space; no file "
                "is executed because a folder says so: if you trust it, add "
                f"--space {settings.space}"
            )
        return settings.space

    def check(self, marks: Mapping[str, Any]) -> None:
        """Raise `RunError` if the search in this folder began with other marks."""
        before = SEARCH.read(self._settings).marks
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
        self._journal.save([architecture.to_json() for architecture in new], state, {})

    def state(self) -> tuple[SearchState, list[Scored]] | None:
        """Return the state to go on from and what was scored until then; None if there is none.

        It is the last one, or an earlier one if architectures are missing that the last one counts,
        with the misses of all generations until then.

        Raises:
            RunError: a file is damaged, of an earlier autoprox, or newer.
        """
        try:
            saved, states = self._journal.load(), self._journal.states
            lines = list(sealed_lines(read_bytes(states), SearchState, states))
        except AutoproxError as error:
            raise RunError(f"the search in {self.path} cannot be resumed: {error}") from None
        if saved is None:
            return None
        state, scored = saved
        if len(scored) != state.scored:
            raise RunError(
                f"{self._journal.lines} has {len(scored)} architectures, but the state stands on "
                f"{state.scored}: one of the files is of another search"
            )
        misses = [miss for line in lines for miss in line.draws.get("misses", ())]
        return replace(state, draws={**state.draws, "misses": misses}), scored

    def report(self, result: FoundArchitectures, top: int) -> None:
        """Write what was found."""
        write_json(self.path / "top.json", result.to_json(top))
        write_text(self.path / "front.csv", result.front_csv())

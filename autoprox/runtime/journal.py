"""What a long search goes on from: a file of lines that grows, and states that count its lines.

Three files: the lines (``candidates.jsonl``), the last state (``checkpoint.json``), and all states,
a line each (``checkpoints.jsonl``). Lines come first, then their state, each on the disk before the
next, so that a process may end at any point: what no state counts is cut off and done again. Where
lines are missing that the last state counts, as after a power loss, the last state whose lines are
all there takes its place, in ``checkpoint.json``, too, before anything else is written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from autoprox.errors import AutoproxError, RunError, short
from autoprox.runtime.files import append_text, write_bytes
from autoprox.runtime.schema import (
    Count,
    FileKind,
    check_seal,
    decoded,
    read_bytes,
    sealed,
    sealed_lines,
)


@contextmanager
def restoring(place: Path) -> Iterator[None]:
    """Turn what fails while a state is restored into one error.

    Raises:
        RunError: something does; the message names the file or folder.
    """
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as e:
        raise RunError(
            f"{place} cannot be resumed: its state is none that this autoprox writes "
            f"({type(e).__name__}: {short(str(e))})"
        ) from None


class State(Protocol):
    """What is known of every state."""

    @property
    def bytes(self) -> int:
        """How many bytes of the lines it stands on."""

    @property
    def saves(self) -> int:
        """The number of the state, from 1."""


S = TypeVar("S", bound=State)
L = TypeVar("L")


@dataclass(frozen=True)
class _Extent:
    """What a state counts."""

    bytes: Count
    saves: Count


class Journal(Generic[S, L]):
    """The lines and the states of a search in a folder.

    Args:
        lines: the file of lines.
        state: the file of the last state, ``NAME.json``; all states are in ``NAMEs.jsonl``.
        kind: of `state`.
        line: the schema of a line.
    """

    def __init__(self, lines: Path, state: Path, kind: FileKind[S], line: type[L]) -> None:
        """Touch nothing yet."""
        self.lines = lines
        self.state = state
        self.states = state.with_name(f"{state.stem}s.jsonl")
        self._kind, self._line = kind, line
        self._saves = 0

    def begin(self) -> None:
        """Write that there are no lines yet, and remove what a search left that is begun again.

        Raises:
            RunError: the folder cannot be written.
        """
        try:
            self.state.unlink(missing_ok=True)
        except OSError as error:
            raise RunError(f"cannot write {self.state}: {error.strerror or error}") from None
        for path in (self.lines, self.states):
            write_bytes(path, b"")
        self._saves = 0

    def save(
        self,
        new: Iterable[Mapping[str, Any]],
        state: Mapping[str, Any],
        last: Mapping[str, Any],
    ) -> None:
        """Add lines, then the state that counts them.

        Args:
            new: the lines.
            state: what every state says.
            last: what the last one says besides.

        Raises:
            RunError: the folder cannot be written.
        """
        try:
            size = append_text(self.lines, "".join(f"{sealed(line)}\n" for line in new))
            whole = {"bytes": size, "saves": self._saves + 1, **state}
            append_text(self.states, f"{sealed(whole)}\n")
        except OSError as error:
            raise RunError(
                f"cannot write {self.lines.parent}: {error.strerror or error}; what was saved "
                "before is whole"
            ) from None
        self._kind.write(self.state, {**whole, **last}, indent=None)
        self._saves += 1

    def rewind(self, last: Mapping[str, Any]) -> None:
        """Go back to the state before the last one, with what `last` says besides.

        Raises:
            AutoproxError: a file was altered, or cannot be written.
        """
        saves = self._kind.read(self.state, oldest=self._kind.version).saves
        if saves < 2:
            self.begin()
            return
        lines = read_bytes(self.states).splitlines()
        if len(lines) < saves - 1:
            raise RunError(
                f"{self.states} is damaged: expected {saves - 1} lines or more, got {len(lines)}, "
                "so there is no going back to the generation before the last"
            )
        line = lines[saves - 2]
        check_seal(line, f"{self.states}, line {saves - 1},")
        self._go_back(line, last)

    def _go_back(self, line: bytes, last: Mapping[str, Any]) -> None:
        """Make an earlier state the last one, with what `last` says besides."""
        state = decoded(line, dict[str, Any], str(self.states))
        del state["checksum"]
        self._kind.write(self.state, {**state, **last}, indent=None)

    def load(
        self, earlier: Callable[[S, S], Mapping[str, Any]] = lambda state, last: {}
    ) -> tuple[S, list[L]] | None:
        """Return the state to go on from and its lines, or None if there is none.

        What follows that state is cut off: it will be written again.

        Args:
            earlier: what a state says besides that takes the place of the last one.

        Raises:
            AutoproxError: a file was altered, or another version wrote it.
        """
        if not self.state.is_file():
            self.begin()
            return None
        last = self._kind.read(self.state, oldest=self._kind.version)
        try:
            content = read_bytes(self.lines)
            states = read_bytes(self.states).splitlines(keepends=True)[: last.saves]
        except AutoproxError as error:
            raise RunError(str(error)) from None
        state = last
        if len(content) < last.bytes:
            while states and not self._stands(states[-1], len(states), len(content)):
                states.pop()
            if not states:
                self.begin()
                return None
            state = decoded(states[-1], self._kind.schema, str(self.states))
            self._go_back(states[-1], earlier(state, last))
            state = self._kind.read(self.state)
        lines = list(sealed_lines(content[: state.bytes], self._line, self.lines))
        for path, whole in ((self.lines, content[: state.bytes]), (self.states, b"".join(states))):
            if path.stat().st_size > len(whole):
                write_bytes(path, whole)
        self._saves = state.saves
        return state, lines

    def _stands(self, line: bytes, number: int, size: int) -> bool:
        """Say whether a line is a whole state, and stands on no more lines than there are."""
        try:
            check_seal(line, str(self.states))
            extent = decoded(line, _Extent, str(self.states))
        except AutoproxError:
            return False
        return extent.saves == number and extent.bytes <= size

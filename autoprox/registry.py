"""A mapping from names to objects that refuses duplicates and suggests the nearest name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Generic, TypeVar

from autoprox.errors import AutoproxError, UnknownNameError

T = TypeVar("T")


class Registry(Mapping[str, T], Generic[T]):
    """Names of one family (primitives, statistics, benches …) and what they stand for.

    >>> fruit = Registry("fruit")
    >>> fruit.register("apple", 1)
    1
    >>> fruit["aple"]
    Traceback (most recent call last):
        ...
    autoprox.errors.UnknownNameError: unknown fruit 'aple'; did you mean 'apple'? (known: apple)
    """

    def __init__(self, noun: str) -> None:
        """Start an empty family; `noun` is what its members are called in messages."""
        self.noun = noun
        self._members: dict[str, T] = {}
        self._received: set[str] = set()

    def register(self, name: str, member: T) -> T:
        """Add `member` under `name` and return it.

        What was received under that name holds.

        Raises:
            AutoproxError: the name is taken.
        """
        if name in self._received:
            return self._members[name]
        if name in self._members:
            raise AutoproxError(f"{self.noun} {name!r} is already registered; choose another name")
        self._members[name] = member
        return member

    def receive(self, name: str, member: T) -> None:
        """Put another process's `member` under `name`, whatever is or will be registered here."""
        self._members[name] = member
        self._received.add(name)

    def unregister(self, name: str) -> T:
        """Remove `name`, so that a notebook cell can be run twice; returns what it stood for."""
        member = self[name]
        del self._members[name]
        self._received.discard(name)
        return member

    def __getitem__(self, name: str) -> T:
        """Return the member called `name`, or raise `UnknownNameError` with a suggestion."""
        try:
            return self._members[name]
        except KeyError:
            raise UnknownNameError(self.noun, name, self._members) from None

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names, in the order of registration."""
        return iter(self._members)

    def __contains__(self, name: object) -> bool:
        """Say whether `name` is registered."""
        return name in self._members

    def __len__(self) -> int:
        """Count the members."""
        return len(self._members)

    def __repr__(self) -> str:
        """Show the noun and the names."""
        return f"Registry({self.noun}: {', '.join(self._members)})"

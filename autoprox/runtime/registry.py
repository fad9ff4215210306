"""A mapping from names to objects that refuses duplicates and suggests the nearest name."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, Generic, TypeAlias, TypeVar

from autoprox.errors import AutoproxError, UnknownNameError

T = TypeVar("T")

OwnMember: TypeAlias = tuple[str, str, Any]
"""The noun of a registry, and a name and member of a user's own in it."""


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

    def __init__(self, noun: str, is_own: Callable[[T], bool] | None = None) -> None:
        """Start an empty family.

        Args:
            noun: what its members are called in messages.
            is_own: whether a member is a user's own. Other processes are told of those; None if
                they need not know them.
        """
        self.noun = noun
        self.is_own = is_own
        if is_own is not None:
            _TRAVELLING[noun] = self
        self._members: dict[str, T] = {}
        self._received: set[str] = set()

    def register(self, name: str, member: T) -> T:
        """Add `member` under `name` and return it.

        A definition of that name that another process sent wins.

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

    def forget(self, kept: Collection[str]) -> None:
        """Remove what was received under other names than those that are kept."""
        for name in self._received - {*kept}:
            self.unregister(name)

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


_TRAVELLING: dict[str, Registry[Any]] = {}
"""The registries whose members of a user's own go to other processes, by noun."""


def own_members() -> tuple[OwnMember, ...]:
    """Return what a user added to the registries that other processes have to know."""
    return tuple(
        (noun, name, member)
        for noun, registry in _TRAVELLING.items()
        for name, member in registry.items()
        if registry.is_own is not None and registry.is_own(member)
    )


def take_members(members: Iterable[OwnMember]) -> None:
    """Take another process's own members; its definitions win over those that are or will be here.

    What was taken before and is no longer there is gone here, too. That members can be unpickled
    has imported the modules of their registries.
    """
    taken = list(members)
    for registry in _TRAVELLING.values():
        registry.forget({name for noun, name, _ in taken if noun == registry.noun})
    for noun, name, member in taken:
        _TRAVELLING[noun].receive(name, member)

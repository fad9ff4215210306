"""Draws of architectures that are new and keep within the limits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

from autoprox.errors import SpaceError
from autoprox.search.architectures.limits import Limits
from autoprox.search.architectures.space import Config, Space, asked, key_of

CHILDREN = 50
"""How often a method is asked for an architecture before random ones are drawn instead."""

DRAWS = 1000
"""How many draws in a row without anything new that fits end a search."""


@dataclass
class Draws:
    """Rejection: what is known already, or does not fit, is drawn again.

    Attributes:
        space: the space.
        limits: what the architectures have to keep within.
        known: the keys of the architectures drawn so far that fit.
        drawn: how many architectures were held against the limits.
        fit: how many of them fit.
    """

    space: Space
    limits: Limits
    known: set[str] = field(default_factory=set)
    drawn: int = 0
    fit: int = 0

    def new(self, propose: Callable[[Random], Config], random: Random) -> Config | None:
        """Return an architecture that is new and fits, or None after `DRAWS` in vain.

        Raises:
            SpaceError: nothing has ever fitted.
        """
        for draw in range(DRAWS):
            if draw < CHILDREN:
                config = propose(random)
            else:
                config = asked(self.space, "sample", self.space.sample, random)
            key = key_of(self.space, config)
            if key in self.known:
                continue
            self.drawn += 1
            if self.limits.fit(config):
                self.fit += 1
                self.known.add(key)
                return config
        if not self.known:
            raise SpaceError(
                f"none of {DRAWS} architectures drawn from space {self.space.name!r} fits "
                f"{self.limits.text}; widen the range"
            )
        return None

    def to_json(self) -> dict[str, Any]:
        """Return the counts as JSON data."""
        return {"drawn": self.drawn, "fit": self.fit, **self.limits.to_json()}

    def restore(self, data: Mapping[str, Any], known: set[str]) -> None:
        """Take what `to_json` returned, and the keys of what was drawn."""
        self.drawn, self.fit, self.known = data["drawn"], data["fit"], known
        self.limits.restore(data)

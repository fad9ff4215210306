"""Draws of architectures that are new and keep within the limits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

from autoprox.errors import SpaceError
from autoprox.runtime.files import digits
from autoprox.runtime.quantities import count_text
from autoprox.search.architectures.limits import Range, cost_of
from autoprox.search.architectures.space import Config, Space, asked, key_of

CHILDREN = 50
"""How often an algorithm is asked for an architecture before random ones are drawn instead."""

DRAWS = 1000
"""How many draws in a row without anything new that fits end a search."""


@dataclass
class Draws:
    """Rejection: what is known already, or does not fit, is drawn again.

    Attributes:
        space: the space.
        ranges: the limits, by ``params``, ``flops``, or quantity and device.
        known: the keys of the architectures drawn so far that fit.
        unfit: digests of the keys of those that do not, of which there may be many more.
        misses: those among them that the generation in work added.
        drawn: how many architectures were held against the limits, each once.
        fit: how many of them fit.
        seen: the smallest and the largest cost of what was drawn, for each limit.
        broken: why the first network that could not be built could not; None if all could.
    """

    space: Space
    ranges: Mapping[str, Range]
    known: set[str] = field(default_factory=set)
    unfit: set[str] = field(default_factory=set)
    misses: list[str] = field(default_factory=list)
    drawn: int = 0
    fit: int = 0
    seen: dict[str, tuple[float, float]] = field(default_factory=dict)
    broken: str | None = None

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
            if key in self.known or (mark := digits(key, 16)) in self.unfit:
                continue
            self.drawn += 1
            if self.fits(config):
                self.fit += 1
                self.known.add(key)
                return config
            self.unfit.add(mark)
            self.misses.append(mark)
        if not self.known:
            raise SpaceError(
                f"none of {DRAWS} architectures drawn from space {self.space.name!r} fits "
                f"{self._limits_and_costs()}; widen the range"
            )
        return None

    def fits(self, config: Config) -> bool:
        """Say whether a network keeps within the limits; one that cannot be built does not."""
        try:
            for name, limit in self.ranges.items():
                cost = cost_of(self.space, config, name)
                low, high = self.seen.get(name, (cost, cost))
                self.seen[name] = min(low, cost), max(high, cost)
                if cost not in limit:
                    return False
        except SpaceError as error:
            self.broken = self.broken or str(error)
            return False
        return True

    def _limits_and_costs(self) -> str:
        """Return the limits that were given and what was seen of the costs, for a message."""
        parts = [
            f"{name} {limit.text} (seen: "
            + (" to ".join(map(count_text, self.seen[name])) if name in self.seen else "nothing")
            + ")"
            for name, limit in self.ranges.items()
            if limit.text
        ]
        return " and ".join(parts or self.ranges) + (f"; {self.broken}" if self.broken else "")

    def to_json(self) -> dict[str, Any]:
        """Return the counts and costs, and what did not fit in this generation, as JSON data."""
        seen = {name: list(ends) for name, ends in self.seen.items()}
        counts = {"drawn": self.drawn, "fit": self.fit}
        return {**counts, "seen": seen, "broken": self.broken, "misses": list(self.misses)}

    def restore(self, data: Mapping[str, Any], known: set[str]) -> None:
        """Take what `to_json` returned, with all misses, and the keys of what fits."""
        self.drawn, self.fit, self.known = data["drawn"], data["fit"], known
        self.unfit = {*data["misses"]}
        self.seen = {name: (low, high) for name, (low, high) in data["seen"].items()}
        self.broken = data["broken"]

"""What a search of architectures does: everything that its result depends on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from autoprox.errors import SpaceError, UnknownNameError
from autoprox.measuring.tables import DEFAULT_BATCH, Probe
from autoprox.runtime.files import check_known
from autoprox.search.architectures.limits import COSTS, Range, range_of
from autoprox.search.architectures.methods import METHODS
from autoprox.statistics import Sample
from autoprox.statistics.inputs import LARGEST_SEED


@dataclass(frozen=True)
class SearchSettings:
    """The settings of a search.

    Equal settings give equal results, whatever the machine and the number of jobs; but latencies
    are measured, and a search for low ones goes with the machine.

    The attributes are the arguments of `autoprox.search_architectures` of the same names; `space`
    is a name, or the path of a user's own, and `proxies` are what `autoprox.load` reads.
    """

    space: str
    proxies: tuple[str, ...]
    params: str | None = None
    flops: str | None = None
    budget: int = 1000
    method: str = "evolution"
    cost: str = "params"
    latency: bool = False
    seed: int = 0
    probe_seed: int = 0
    batch: int = DEFAULT_BATCH
    sample: Sample = "full"
    images: str | None = None

    def __post_init__(self) -> None:
        """Check names and numbers.

        Raises:
            UnknownNameError: there is no such method or cost.
            SpaceError: a number or a range is none.
        """
        METHODS[self.method]
        if self.cost not in COSTS:
            raise UnknownNameError("cost", self.cost, COSTS)
        for name in ("budget", "batch"):
            if getattr(self, name) < 1:
                raise SpaceError(f"{name} is at least 1; got {getattr(self, name)}")
        if self.sample != "full" and self.sample < 1:
            raise SpaceError(f"sample is 1 or more, or 'full'; got {self.sample!r}")
        for name in ("seed", "probe_seed"):
            if not 0 <= getattr(self, name) <= LARGEST_SEED:
                raise SpaceError(f"{name} is from 0 to {LARGEST_SEED}; got {getattr(self, name)}")
        _ = self.ranges

    @property
    def probe(self) -> Probe:
        """What the networks are shown."""
        return Probe(self.batch, self.probe_seed, self.sample, self.images)

    @property
    def ranges(self) -> dict[str, Range]:
        """The limits that there are."""
        given = {"params": self.params, "flops": self.flops}
        return {name: range_of(name, text) for name, text in given.items() if text is not None}

    def to_json(self) -> dict[str, Any]:
        """Return the settings as JSON data."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> SearchSettings:
        """Return the settings that `to_json` described.

        Raises:
            RunError: they are of another autoprox.
        """
        check_known(data, cls)
        return cls(**{**data, "proxies": tuple(data["proxies"])})

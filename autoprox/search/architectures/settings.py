"""What a search of architectures does: everything that its result depends on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from autoprox.benches.teachers import BESTS
from autoprox.errors import SpaceError
from autoprox.measuring.probe import DEFAULT_BATCH, Probe
from autoprox.runtime.arguments import check_numbers, listed
from autoprox.runtime.files import check_known
from autoprox.runtime.schema import converted
from autoprox.search.architectures.algorithms import ALGORITHMS
from autoprox.search.architectures.limits import Range, check_cost, range_of, ranges_of
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
    evaluations: int = 1000
    algorithm: str = "evolution"
    cost: str = "params"
    latency: bool = False
    seed: int = 0
    probe_seed: int = 0
    batch: int = DEFAULT_BATCH
    sample: Sample = "full"
    images: str | None = None
    limits: tuple[str, ...] = ()
    teacher: str | None = None
    teacher_weights: str | None = None

    def __post_init__(self) -> None:
        """Check names and numbers.

        Raises:
            UnknownNameError: there is no such algorithm or cost.
            SpaceError, StatisticError: a number or a range is none, or out of its range; or the
                teacher is the best architecture of a space.
        """
        ALGORITHMS[self.algorithm]
        if self.teacher in BESTS:
            raise SpaceError(
                "the architectures of a space have no accuracies, so that none is the best: name "
                "the teacher, as in --teacher resnet110"
            )
        check_numbers(self, SpaceError)
        check_cost(self.cost)
        object.__setattr__(self, "limits", listed(self.limits))
        if self.evaluations < 1:
            raise SpaceError(f"evaluations is at least 1; got {self.evaluations}")
        if not 0 <= self.seed <= LARGEST_SEED:
            raise SpaceError(f"seed is from 0 to {LARGEST_SEED}; got {self.seed}")
        _ = self.ranges, self.probe

    @property
    def probe(self) -> Probe:
        """What the networks are shown."""
        return Probe(
            self.batch, self.probe_seed, self.sample, self.images,
            teacher=self.teacher, teacher_weights=self.teacher_weights,
        )  # fmt: skip

    @property
    def ranges(self) -> dict[str, Range]:
        """The limits that there are."""
        return ranges_of(self.params, self.flops, self.limits)

    @property
    def device(self) -> str | None:
        """The first of `devices`, whose cost is kept with the scores; None if there is none."""
        return next(iter(self.devices), None)

    @property
    def devices(self) -> tuple[str, ...]:
        """What the search is for, or limited by, on devices: ``latency:raspi4`` and the like."""
        asked = dict.fromkeys((self.cost, *self.ranges))
        return tuple(name for name in asked if ":" in name)

    @property
    def costs_within(self) -> dict[str, Range]:
        """The limits, and any cost on the device searched for, so that it can run what is drawn."""
        device_range = (
            {self.cost: replace(range_of(self.cost, ":1T"), text="")} if ":" in self.cost else {}
        )
        return {**device_range, **self.ranges}

    def to_json(self) -> dict[str, Any]:
        """Return the settings as JSON data; limits of devices and a teacher only if there are."""
        later = ("limits", "teacher", "teacher_weights")
        return {name: value for name, value in asdict(self).items() if value or name not in later}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> SearchSettings:
        """Return the settings that `to_json` described.

        Raises:
            RunError: they are of another autoprox.
            AutoproxError: a value is of another type, or out of its range.
        """
        check_known(data, cls)
        return converted(data, cls, "settings")

"""What a search of architectures found."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from autoprox.errors import SpaceError
from autoprox.hardware.pricing import QUANTITIES
from autoprox.runtime.arguments import check_counts
from autoprox.runtime.frames import csv_of, frame_of
from autoprox.runtime.quantities import count_text
from autoprox.search.architectures.algorithms import non_dominated
from autoprox.search.architectures.limits import check_cost, device_cost
from autoprox.search.architectures.scoring import Scored, merits
from autoprox.search.architectures.settings import SearchSettings
from autoprox.search.architectures.space import Config, Space, build

if TYPE_CHECKING:
    import pandas


FORMAT = "autoprox architectures"
VERSION = 2
TOP = 10
"""How many architectures are reported."""


@dataclass(frozen=True)
class FoundArchitectures:
    """The architectures that a search scored.

    Attributes:
        folder: where its files are.
        settings: what was asked for.
        space: what was searched.
        proxies: the names of the proxies.
        finished: whether the search came to its end.
        drawn: how many architectures were drawn that were not known yet.
        fit: how many of them kept within the limits.
        scored: all that were scored, in this order.
    """

    folder: Path
    settings: SearchSettings
    space: Space
    proxies: tuple[str, ...]
    finished: bool
    drawn: int
    fit: int
    scored: tuple[Scored, ...]

    def __repr__(self) -> str:
        return f"FoundArchitectures({len(self.scored)} of {self.space.name}, in {self.folder})"

    @cached_property
    def merits(self) -> NDArray[np.float64]:
        """What the architectures are compared by, see `merits`; NaN for failures."""
        return merits(self.scored, self.proxies)

    @property
    def failures(self) -> Counter[str]:
        """How often each proxy had no score, with its first reason."""
        failures = [failure for scored in self.scored for failure in scored.failures.items()]
        counts, reasons = Counter(name for name, _ in failures), dict(reversed(failures))
        return Counter({f"{name}: {reasons[name]}": count for name, count in counts.items()})

    def top(self, count: int = TOP) -> list[Scored]:
        """Return the architectures of the largest merit, the best first; of equal ones the first.

        Failures are not among them.

        Raises:
            SpaceError: the count is no whole number from 0 on.
        """
        check_counts(SpaceError, 0, count=count)
        order = np.argsort(-self.merits, kind="stable")  # NaN comes last
        return [self.scored[place] for place in order[:count] if np.isfinite(self.merits[place])]

    def front(self, cost: str | None = None) -> list[Scored]:
        """Return the architectures that nothing beats in merit and cost, the cheapest first.

        Args:
            cost: what `Scored.cost` takes, or another device's; the search's own if None.

        Raises:
            UnknownNameError: there is no such cost or device.
        """
        prices = [self.cost(scored, cost or self.settings.cost) for scored in self.scored]
        known_costs = np.array([np.nan if price is None else price for price in prices], np.float64)
        return [self.scored[place] for place in non_dominated(self.merits, known_costs)]

    def cost(self, architecture: Scored, name: str) -> float | None:
        """Return `Scored.cost`, or that on another device; None if this cannot run it.

        Raises:
            UnknownNameError: there is no such cost or device.
        """
        check_cost(name)
        if ":" not in name:
            return architecture.cost(name)
        if name == self.settings.device and architecture.device is not None:
            return architecture.device
        try:
            return device_cost(self.space, architecture.config, name)
        except SpaceError:
            return None

    def merit(self, architecture: Scored) -> float:
        """Return the merit of one of the architectures."""
        place = next(index for index, scored in enumerate(self.scored) if scored is architecture)
        return float(self.merits[place])

    def network(self, place: int = 0) -> nn.Module:
        """Return the untrained network of one of the best, with the weights that were scored.

        Raises:
            SpaceError: there is no such place; places count from 0.
        """
        check_counts(SpaceError, 0, place=place)
        best = self.top(place + 1)
        if place >= len(best):
            raise SpaceError(
                f"{len(best)} architectures have a score, and places count from 0; got {place}"
            )
        return build(self.space, best[place].config, seed=self.settings.probe_seed)

    def call(self, architecture: Scored) -> str:
        """Return the Python call that builds a network, with the weights that were scored."""
        seed = f", seed={self.settings.probe_seed}" if self.settings.probe_seed else ""
        return f"autoprox.build({self.settings.space!r}, {dict(architecture.config)!r}{seed})"

    @property
    def rate(self) -> str:
        """How many samples kept within the limits, in words."""
        return f"{self.fit} of {self.drawn} samples fit" if self.settings.ranges else "no limit"

    def to_json(self, top: int = TOP) -> dict[str, Any]:
        """Return settings, counts and the best architectures as JSON data."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "finished": self.finished,
            "settings": self.settings.to_json(),
            "scored": len(self.scored),
            "drawn": self.drawn,
            "fit": self.fit,
            "failures": dict(self.failures),
            "top": [
                {**self._row(scored), "config": dict(scored.config), "build": self.call(scored)}
                for scored in self.top(top)
            ],
        }

    def _row(self, scored: Scored) -> dict[str, Any]:
        """Return scores and costs of an architecture; the merit if it is no score."""
        merit = {} if len(self.proxies) == 1 else {"mean_rank": self.merit(scored)}
        names = ["params", "flops", "latency", *self.settings.devices]
        costs = {with_unit(name): self.cost(scored, name) for name in names}
        return {"scores": dict(scored.scores), **merit, **costs}

    def front_csv(self) -> str:
        """Return the Pareto front as CSV."""
        return csv_of([self._flat(scored) for scored in self.front()])

    def _flat(self, scored: Scored) -> dict[str, Any]:
        row, config = self._row(scored), json.dumps(dict(scored.config))
        scores = {name: row["scores"].get(name) for name in self.proxies}
        del row["scores"]
        return {**scores, **row, "config": config}

    def to_frame(self) -> pandas.DataFrame:
        """Return everything that was scored as a data frame, a row an architecture.

        A key of the configurations that is a column already, such as the name of a proxy, has
        ``config_`` before it.

        Raises:
            AutoproxError: pandas is not installed.
        """
        pairs = zip(self.scored, self.merits.tolist(), strict=True)
        return frame_of(self._framed(scored, merit) for scored, merit in pairs)

    def _framed(self, scored: Scored, merit: float) -> dict[str, Any]:
        """Return the row of an architecture in the data frame."""
        row = {
            "generation": scored.generation,
            **{name: scored.scores.get(name, np.nan) for name in self.proxies},
            "merit": merit,
            "params": scored.params,
            "flops": scored.flops,
            with_unit("latency"): scored.latency,
        }
        for name, value in scored.config.items():
            while name in row:
                name = f"config_{name}"
            row[name] = value
        return row

    def timed(self, latency: Callable[[Config], float], top: int = TOP) -> FoundArchitectures:
        """Return the same with the latencies of the `top` best architectures and of the front."""
        shown = {id(best) for best in (*self.top(top), *self.front())}
        scored = tuple(
            replace(architecture, latency=latency(architecture.config))
            if id(architecture) in shown and architecture.latency is None
            else architecture
            for architecture in self.scored
        )
        return replace(self, scored=scored)


def short(config: Mapping[str, Any]) -> str:
    """Return a configuration for a table.

    >>> short({"hidden_dim": 192, "num_heads": [3, 4]})
    'hidden_dim=192 num_heads=3,4'
    """
    parts = []
    for name, value in config.items():
        text = ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
        parts.append(f"{name}={text}")
    return " ".join(parts)


def with_unit(name: str) -> str:
    """Return the name of a cost with the unit of `FoundArchitectures.cost`, if it has one.

    >>> with_unit("params"), with_unit("latency"), with_unit("latency:raspi4")
    ('params', 'latency (s)', 'latency:raspi4 (ms)')
    """
    if ":" in name:
        return f"{name} ({QUANTITIES[name.partition(':')[0]]})"
    return f"{name} (s)" if name == "latency" else name


def cost_text(name: str, cost: float | None) -> str:
    """Return a cost for a table.

    >>> cost_text("params", 5_300_000), cost_text("latency", 0.01234), cost_text("flops", None)
    ('5.3M', '12.3 ms', '-')
    """
    if cost is None:
        return "-"
    if ":" in name:
        return f"{cost:.4g} {QUANTITIES[name.partition(':')[0]]}"
    return f"{1000 * cost:.3g} ms" if name == "latency" else count_text(cost)

"""What a network may cost, and what it costs."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from autoprox.errors import SpaceError
from autoprox.runtime.quantities import count_text, read_quantity
from autoprox.search.architectures.space import Config, Space, asked

if TYPE_CHECKING:
    from torch import nn

    from autoprox.statistics.trees import Inputs

COSTS = ("params", "flops", "latency")
"""What the score can be held against."""

WARM_UP, PASSES = 3, 15


@dataclass(frozen=True, slots=True)
class Range:
    """A closed range.

    Attributes:
        text: as it was given.
        least: the lower end; 0 for none.
        most: the upper end.
    """

    text: str
    least: Fraction
    most: Fraction

    def __contains__(self, count: float) -> bool:
        """Say whether a count is in the range."""
        return self.least <= count <= self.most


def range_of(name: str, text: str) -> Range:
    """Read ``LEAST:MOST`` or ``:MOST``; K, M, G, T multiply by thousands.

    Raises:
        SpaceError: it is none.

    >>> 6e6 in range_of("params", "5M:7M"), 2e9 in range_of("flops", ":1.3G")
    (True, False)
    """
    least, colon, most = str(text).partition(":")
    try:
        if not colon:
            raise ValueError(text)
        low = read_quantity(least) if least.strip() else Fraction(0)
        high = read_quantity(most)
    except ValueError:
        raise SpaceError(
            f"{name} is a range LEAST:MOST or :MOST, as in 5M:7M or :1.3G; got {text!r}"
        ) from None
    if low > high:
        raise SpaceError(
            f"{name}: the least is above the most in {text!r}; did you mean {most}:{least}?"
        )
    return Range(str(text), low, high)


def costs_of(space: Space, config: Config, names: Iterable[str]) -> dict[str, int]:
    """Return the parameters and operations of a network, those that are asked for.

    The network is built without memory for its weights, or with it if it cannot be built or run so.

    Args:
        space: the space.
        config: a configuration.
        names: ``params``, ``flops`` or both.

    Raises:
        SpaceError: it cannot be built or run at all.
    """
    import torch

    def counted(device: str) -> dict[str, int]:
        with torch.random.fork_rng(devices=[]), torch.device(device):
            network = space.build(config)
            return {
                name: count_params(network)
                if name == "params"
                else count_flops(network, one_input(space))
                for name in names
            }

    try:
        return counted("meta")
    except Exception:  # a network that looks at values
        return asked(space, "build", counted, "cpu")


def count_params(network: nn.Module) -> int:
    """Return the number of parameters."""
    return sum(each.numel() for each in network.parameters())


def one_input(space: Space) -> Inputs:
    """Return one sample for the networks of a space: zeros, or the first of its own inputs."""
    import torch

    from autoprox.statistics.trees import mapped, rows

    own = getattr(space, "inputs", None)
    if own is None:
        return torch.zeros(1, *space.input_shape)
    device = torch.empty(0).device  # that of a `with torch.device(...)` around
    with torch.device("cpu"):
        inputs, _ = asked(space, "inputs", own, 1, 0)
    return mapped(rows(inputs, slice(0, 1)), lambda tensor: tensor.to(device))


def count_flops(network: nn.Module, inputs: Inputs) -> int:
    """Return the operations for one input, as the statistic `flops` counts them.

    A multiplication and the addition after it are two.
    """
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    from autoprox.statistics.structure import in_mode
    from autoprox.statistics.trees import arguments

    positional, keywords = arguments(inputs)
    counter = FlopCounterMode(display=False)
    with in_mode(network, "eval"), sdpa_kernel(SDPBackend.MATH), torch.no_grad(), counter:
        network(*positional, **keywords)
    return int(counter.get_total_flops())


def measure_latency(network: nn.Module, inputs: Inputs) -> float:
    """Return the median seconds of a forward pass of one input, in use, by one thread."""
    import torch

    from autoprox.runtime.threads import one_thread
    from autoprox.statistics.structure import in_mode
    from autoprox.statistics.trees import arguments

    positional, keywords = arguments(inputs)
    seconds = []
    with one_thread(), in_mode(network, "eval"), torch.no_grad():
        for _ in range(WARM_UP + PASSES):
            begun = time.perf_counter()
            network(*positional, **keywords)
            seconds.append(time.perf_counter() - begun)
    return sorted(seconds[WARM_UP:])[PASSES // 2]


@dataclass
class Limits:
    """The limits of a search, and what was seen of the costs so far.

    Attributes:
        space: what is searched.
        ranges: ``params`` and ``flops``, those that are limited.
        seen: of these the smallest and the largest cost of what was drawn.
        broken: why the first network that could not be built could not; None if all could.
    """

    space: Space
    ranges: Mapping[str, Range]
    seen: dict[str, tuple[int, int]] = field(default_factory=dict)
    broken: str | None = None

    def fit(self, config: Config) -> bool:
        """Say whether a network keeps within the limits; one that cannot be built does not."""
        try:
            return all(self._fits(config, name) for name in self.ranges)
        except SpaceError as error:
            self.broken = self.broken or str(error)
            return False

    def _fits(self, config: Config, name: str) -> bool:
        cost = costs_of(self.space, config, [name])[name]
        low, high = self.seen.get(name, (cost, cost))
        self.seen[name] = min(low, cost), max(high, cost)
        return cost in self.ranges[name]

    @property
    def text(self) -> str:
        """The limits and what was seen, for a message."""
        parts = [
            f"{name} {each.text} (seen: "
            + (" to ".join(map(count_text, self.seen[name])) if name in self.seen else "nothing")
            + ")"
            for name, each in self.ranges.items()
        ]
        return " and ".join(parts) + (f"; {self.broken}" if self.broken else "")

    def to_json(self) -> dict[str, Any]:
        """Return what was seen as JSON data."""
        return {"seen": {k: list(v) for k, v in self.seen.items()}, "broken": self.broken}

    def restore(self, data: Mapping[str, Any]) -> None:
        """Take what `to_json` returned."""
        self.seen = {name: (low, high) for name, (low, high) in data["seen"].items()}
        self.broken = data["broken"]

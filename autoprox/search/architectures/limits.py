"""What a network costs, and ranges of that."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import nn

from autoprox.errors import SpaceError, UnknownNameError
from autoprox.hardware.pricing import QUANTITIES, located, price_of
from autoprox.quantise.running import evaluating
from autoprox.runtime.quantities import read_quantity
from autoprox.search.architectures.space import Config, Space, asked
from autoprox.statistics.eager import counting
from autoprox.statistics.trees import Inputs, arguments, mapped, rows

COSTS = ("params", "flops", "latency")
"""What the score can be held against."""


def check_cost(name: str) -> None:
    """Refuse what is neither one of `COSTS` nor of a device.

    Raises:
        UnknownNameError: it is neither.
    """
    if ":" not in name and name not in COSTS:
        raise UnknownNameError("cost", name, COSTS)


@dataclass(frozen=True, slots=True)
class Range:
    """A closed range.

    Attributes:
        text: as it was given; empty if nobody gave it.
        least: the lower end; 0 for none.
        most: the upper end.
    """

    text: str
    least: Fraction
    most: Fraction

    def __contains__(self, count: float) -> bool:
        """Say whether a count is in the range."""
        return self.least <= count <= self.most


def ranges_of(params: str | None, flops: str | None, limits: Iterable[str]) -> dict[str, Range]:
    """Read the limits that there are, by ``params``, ``flops``, or quantity and device.

    Of several limits of one device the strictest holds.

    Args:
        params: a range; None for no limit.
        flops: likewise.
        limits: such as ``latency:raspi4:30ms`` or ``energy:phone.json:5mJ``.

    Raises:
        SpaceError: one is none.

    >>> 29 in ranges_of(None, None, ["latency:raspi4:30ms"])["latency:raspi4"]
    True
    """
    texts = {"params": params, "flops": flops}
    ranges = {name: range_of(name, text) for name, text in texts.items() if text is not None}
    for text in limits:
        name, limit = _device_limit(text)
        if name not in ranges or limit.most < ranges[name].most:
            ranges[name] = limit
    return ranges


def _device_limit(text: str) -> tuple[str, Range]:
    """Read a limit of a device, in milliseconds or millijoules.

    Raises:
        SpaceError: it is none.
    """
    name, _, most = text.rpartition(":")
    quantity, _, device = name.partition(":")
    unit = QUANTITIES.get(quantity, "")
    if not unit or not device:
        raise SpaceError(
            "a limit is latency:DEVICE:MOST or energy:DEVICE:MOST, as in latency:raspi4:30ms; "
            f"got {text!r}"
        )
    number = most.strip().lower().removesuffix(unit).strip()
    try:
        return name, Range(f":{number}", Fraction(0), read_quantity(number, {"": 1}))
    except ValueError:
        raise SpaceError(
            f"a limit of {quantity} is a number above 0 of {unit}, with or without the unit, as in "
            f"{name}:30{unit}; got {most!r}"
        ) from None


def located_limit(text: str) -> str:
    """Return a limit of a device with the absolute path of its file, if it has one.

    >>> located_limit("latency:/models/here.json:5ms")
    'latency:/models/here.json:5ms'
    """
    name, colon, most = text.rpartition(":")
    return f"{located(name)}{colon}{most}"


def check_reachable(ranges: Mapping[str, Range], space: Space) -> None:
    """Refuse a limit that is below the least that was ever measured on its device.

    Raises:
        SpaceError: there is one; the message says the least.
        UnknownNameError: there is no such device.
    """
    for name, limit in ranges.items():
        if ":" in name:
            price = price_of(name, space.name)
            if price.least is not None and limit.most < price.least:
                raise SpaceError(
                    f"no architecture of {space.name} has a {name} of {float(limit.most):g} "
                    f"{price.unit}: the least is {price.least:g} {price.unit}"
                )


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
            f"{name} is a range LEAST:MOST or :MOST of numbers above 0, as in 5M:7M or :1.3G; got "
            f"{text!r}"
        ) from None
    if low > high:
        raise SpaceError(
            f"{name}: the least is above the most in {text!r}; did you mean {most}:{least}?"
        )
    return Range(str(text), low, high)


def device_cost(space: Space, config: Config, name: str) -> float:
    """Return the latency in ms, or the energy in mJ, of a network on a device.

    A `name` is ``latency:raspi4`` or the like, see `autoprox.hardware.pricing.price_of`.
    """
    return price_of(name, space.name)(config, lambda: (space.build(config), one_input(space)))


def cost_of(space: Space, config: Config, name: str) -> float:
    """Return what a network costs: its ``params`` or ``flops``, or what `device_cost` says.

    It is built without memory for its weights, or with it if it cannot be built or run so.

    Raises:
        SpaceError: it cannot be built or run at all.
    """
    if ":" in name:
        return asked(space, "build", device_cost, space, config, name)

    def counted(device: str) -> int:
        with torch.random.fork_rng(devices=[]), torch.device(device):
            network = space.build(config)
            if name == "params":
                return sum(parameter.numel() for parameter in network.parameters())
            return count_flops(network, one_input(space))

    try:
        return counted("meta")
    except Exception:  # a network that looks at values
        return asked(space, "build", counted, "cpu")


def one_input(space: Space) -> Inputs:
    """Return one sample for the networks of a space: zeros, or the first of its own inputs."""
    method = getattr(space, "inputs", None)
    if method is None:
        return torch.zeros(1, *space.input_shape)
    device = torch.empty(0).device  # that of a `with torch.device(...)` around
    with torch.device("cpu"):
        inputs, _ = asked(space, "inputs", method, 1, 0)
    return mapped(rows(inputs, slice(0, 1)), lambda tensor: tensor.to(device))


def count_flops(network: nn.Module, inputs: Inputs) -> int:
    """Return the operations for one input, as the statistic `flops` counts them.

    A multiplication and the addition after it are two.
    """
    positional, keywords = arguments(inputs)
    with evaluating(network), torch.no_grad(), counting() as operations:
        network(*positional, **keywords)
    return int(operations.total)

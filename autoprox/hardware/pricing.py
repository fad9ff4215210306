"""What an architecture of a space costs on a device: as measured, or by a model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from autoprox.benches.registry import file_digest
from autoprox.errors import BenchError, SpaceError, UnknownNameError
from autoprox.hardware.cost import SUFFIX, CostModel, cost_model, fit_cost
from autoprox.hardware.devices import SPACES, UNABLE, devices, measured
from autoprox.hardware.features import OF_SPACES, features_of
from autoprox.runtime.files import absolute

if TYPE_CHECKING:
    from torch import nn

    from autoprox.statistics.trees import Inputs

QUANTITIES: Mapping[str, str] = {"latency": "ms", "energy": "mj"}
"""What is limited, and its unit."""

ENOUGH = 1000
"""The most measurements of a device that the model of the others is fitted to."""


class _UnknownDeviceError(UnknownNameError):
    """A name that no device has; says that a file works too."""

    def __str__(self) -> str:
        return f"{super().__str__()}; a file of `autoprox cost fit --out NAME{SUFFIX}` works too"


@dataclass(frozen=True)
class Price:
    """What architectures cost on a device.

    Attributes:
        name: as it was asked for, such as ``latency:raspi4``.
        unit: ``ms`` or ``mj``.
        table: what was measured, by the cells of architectures.
        model: predicts the cost of the others.
        unable: whether the device cannot run the others.
    """

    name: str
    unit: str
    table: Mapping[str, float]
    model: CostModel
    unable: bool = False

    def __call__(
        self, config: Mapping[str, Any], built: Callable[[], tuple[nn.Module, Inputs]]
    ) -> float:
        """Return the cost of a configuration; `built` gives its network and one input if needed.

        Raises:
            SpaceError: the device cannot run it.
        """
        if self.model.space == "any":
            return self.model(features_of(*built()))
        space, cell = self.model.space, config["cell"]
        cost = self.table.get(cell)
        if cost is None and self.unable:
            raise SpaceError(
                f"{self.name}: the device cannot run {space}/{cell}, which has no measurement"
            )
        return cost if cost is not None else self.model(OF_SPACES[space](cell))

    @property
    def least(self) -> float | None:
        """The smallest cost that was measured; None if nothing was."""
        return min(self.table.values()) if self.table else None


def located(name: str) -> str:
    """Return a name such as ``latency:FILE.json`` with the path of its file, if it has one.

    The path is absolute, so that it holds in any folder.

    >>> located("latency:raspi4"), located("latency:/models/here.json")
    ('latency:raspi4', 'latency:/models/here.json')
    """
    quantity, colon, device = name.partition(":")
    return f"{quantity}{colon}{absolute(device)}" if device.endswith(SUFFIX) else name


def mark_of(name: str) -> str | None:
    """Return the digest of the file of a name such as ``latency:FILE.json``; None if it has none.

    Raises:
        BenchError: the file cannot be read.
    """
    device = name.partition(":")[2]
    if not device.endswith(SUFFIX):
        return None
    return file_digest(Path(device))


def price_of(name: str, space: str) -> Price:
    """Return the price of a name such as ``latency:raspi4`` or ``energy:FILE.json``.

    It is kept for as long as the file stays as it is.

    Raises:
        UnknownNameError: there is no such quantity or device.
        BenchError: the file's model is of another space or unit.
        AutoproxError: the file cannot be read.
    """
    return _price(name, space, mark_of(name))


@cache
def _price(name: str, space: str, mark: str | None) -> Price:
    """Return `price_of`; `mark` is that of the file, which is read again when it is another."""
    quantity, _, device = name.partition(":")
    if quantity not in QUANTITIES:
        raise UnknownNameError("quantity", quantity, QUANTITIES)
    unit = QUANTITIES[quantity]
    if mark is not None:
        model = cost_model(Path(device))
        if model.unit != unit or model.space not in ("any", space):
            raise BenchError(
                f"{device} is a model of {model.unit} for {model.space}; expected {unit} for "
                f"{space}"
            )
        return Price(name, unit, {}, model)
    columns = devices(space) if space in SPACES else ()
    if f"{device}_{unit}" not in columns:
        known_devices = [
            column.removesuffix(f"_{unit}") for column in columns if column.endswith(f"_{unit}")
        ]
        raise _UnknownDeviceError(f"device with {quantity} of {space}", device, known_devices)
    named = measured(space, f"{device}_{unit}")  # some tables write the space before the cell
    table = {architecture.removeprefix(f"{space}/"): cost for architecture, cost in named.items()}
    drawn = np.random.default_rng(0).permutation([*table])[:ENOUGH].tolist()
    features = [OF_SPACES[space](cell) for cell in drawn]
    costs = [table[cell] for cell in drawn]
    model = fit_cost(features, costs, device, unit, space)
    return Price(name, unit, table, model, f"{device}_{unit}" in UNABLE)

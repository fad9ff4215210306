"""Measurements written by hand: layers with a few statistics of kind Layer."""

from __future__ import annotations

import torch

from autoprox.evaluation.evaluate import Table
from autoprox.statistics import Measurement


def measurement(roles: tuple[str, ...] | None = None, **values: list[float]) -> Measurement:
    """What was measured on a network whose layers have these numbers; all layers have all."""
    count = len(next(iter(values.values())))
    there = {name: torch.ones(count, dtype=torch.bool) for name in values}
    return Measurement(
        tuple(f"layer{i}.weight" for i in range(count)),
        roles or ("mlp",) * count,
        4,
        {name: torch.tensor(each, dtype=torch.float64) for name, each in values.items()},
        there,
        {name: torch.ones(count, dtype=torch.float64) for name in values},
    )


def weights(*layers: list[float]) -> Measurement:
    """The same of a network with these weights, as many a layer, each entry kept."""
    count, entries = len(layers), len(layers[0])
    return Measurement(
        tuple(f"layer{i}.weight" for i in range(count)),
        ("mlp",) * count,
        entries,
        {"weight": torch.tensor(layers, dtype=torch.float32)},
        {"weight": torch.ones(count, dtype=torch.bool)},
        {"weight": torch.full((count,), float(entries), dtype=torch.float64)},
    )


def table(*measurements: Measurement) -> Table:
    """The table of some networks."""
    return Table(measurements)

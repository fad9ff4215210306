"""What was measured on one network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from numbers import Integral
from typing import TYPE_CHECKING, Literal, TypeAlias

from autoprox.errors import StatisticError

if TYPE_CHECKING:
    from torch import Tensor

Sample: TypeAlias = int | Literal["full"]
"""Entries kept of each tensor of a layer, or all of them."""

Mode: TypeAlias = Literal["train", "eval"]
"""The mode that a network is measured in: batch norm and dropout as in training, or as in use."""


def checked_how(sample: Sample, seed: int, mode: Mode | None) -> tuple[Sample, int, Mode | None]:
    """Return how to measure, with integers of numpy as those of Python.

    Raises:
        StatisticError: they are none.
    """
    if sample != "full" and not _whole(sample, 1):
        raise StatisticError(
            f"expected sample to be a whole number, 1 or more, or 'full'; got {sample!r}"
        )
    if not _whole(seed, 0):
        raise StatisticError(f"expected seed to be a whole number, 0 or more; got {seed!r}")
    if mode not in (None, "train", "eval"):
        raise StatisticError(
            f"expected mode to be 'train' or 'eval'; got {mode!r}: leave it out for that of "
            "training, or, with bits, that of use"
        )
    return sample if sample == "full" else int(sample), int(seed), mode


def _whole(value: object, least: int) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= least


ROLES = ("embedding", "attention", "mlp", "conv", "head")
"""What a layer can be to a selector."""


@dataclass(frozen=True, slots=True, eq=False)
class Measurement:
    """The statistics of one network, on the CPU.

    Attributes:
        layers: qualified names of the weights, in the order of first execution, such as
            ``"blocks.0.attention.qkv.weight"``.
        roles: one of `ROLES` a layer.
        sample: entries kept a layer, or ``"full"``.
        values: statistic -> numbers. Sampled: float32 ``(layers, sample)`` for the kinds Weight,
            Activation, Attention, Channel and Spectrum, float32 ``(layers, batch, batch)`` for
            Relation; the rows of layers without the statistic are 0. Full: a tuple with a float32
            tensor a layer, ``(entries,)`` or ``(batch, batch)``, or None. Where the flow is too
            large for float32, it is float64. Layer statistics are float64 ``(layers,)`` either
            way.
        present: statistic -> bool ``(layers,)``: which layers show it.
        sizes: statistic -> float64 ``(layers,)``: how many entries the layer's whole tensor has (1
            for Layer statistics, 0 where absent).
        unseen: names of the network's parameters that no layer has, nor is computed from: biases,
            norms, tables of positions, complex weights, which `params` alone counts; and of packed
            quantised weights, which torch may not call parameters. None if it comes from the cache,
            which does not keep them.
    """

    layers: tuple[str, ...]
    roles: tuple[str, ...]
    sample: Sample
    values: Mapping[str, Tensor | tuple[Tensor | None, ...]]
    present: Mapping[str, Tensor]
    sizes: Mapping[str, Tensor]
    unseen: tuple[str, ...] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The measured statistics."""
        return tuple(self.values)

    def joined(self, other: Measurement) -> Measurement:
        """Return what this and another measurement of the same network found."""
        return replace(
            self,
            values={**self.values, **other.values},
            present={**self.present, **other.present},
            sizes={**self.sizes, **other.sizes},
        )

    def renamed(self, names: Mapping[str, str]) -> Measurement:
        """Return those statistics that `names` has, under the names that it gives them."""
        return replace(
            self,
            values={new: self.values[name] for name, new in names.items()},
            present={new: self.present[name] for name, new in names.items()},
            sizes={new: self.sizes[name] for name, new in names.items()},
        )

    def __repr__(self) -> str:
        """Show the extent, not the numbers."""
        return (
            f"Measurement({len(self.layers)} layers, sample={self.sample!r}, "
            f"statistics: {', '.join(self.names)})"
        )

"""The kinds: the types of the language.

A kind says what the numbers of a value are entries of; values of one kind are aligned with each
other, so they can be added and multiplied, and values of different kinds cannot.

A reduction takes a tensor kind to Layer, and Layer to Network, the root of every proxy.

Kinds are classes because DEAP's typed primitive sets compare types with `issubclass`. Their hash is
that of their name: DEAP's typed crossover picks from a *set* of types, whose order would otherwise
depend on memory addresses, and one seed would give different results in different processes
(https://github.com/DEAP/deap/issues/190).
"""

from __future__ import annotations

import zlib
from typing import Any


class KindType(type):
    """The metaclass of kinds: a hash that is the same in every process, and a short repr."""

    def __init__(cls, *args: Any) -> None:
        super().__init__(*args)
        cls._checksum = zlib.crc32(cls.__name__.encode())  # once: it is asked for all the time

    def __hash__(cls) -> int:
        return cls._checksum

    def __repr__(cls) -> str:
        return cls.__name__


class Kind(metaclass=KindType):
    """Base of the kinds; never instantiated."""


class Weight(Kind):
    """Entries of a layer's weight tensor: ``(layers, entries)``."""


class Activation(Kind):
    """Entries of a layer's output over the batch: ``(layers, entries)``."""


class Attention(Kind):
    """Entries of a layer's attention maps over the batch: ``(layers, entries)``."""


class Channel(Kind):
    """A number for every sample and channel of a layer's output: ``(layers, entries)``."""


class Spectrum(Kind):
    """Singular values or eigenvalues of a layer, largest first: ``(layers, entries)``.

    They are aligned by relative rank: where one of several has fewer numbers, these are repeated.
    """


class Relation(Kind):
    """A matrix that relates the samples of the batch, for a layer: ``(layers, batch, batch)``."""


class Logit(Kind):
    """A matrix of what a network says of each sample and class: ``(layers, batch, classes)``."""


class Feature(Kind):
    """A matrix of the vectors that the classifier takes: ``(layers, batch, features)``."""


class Place(Kind):
    """A matrix of a number for each sample and position: ``(layers, batch, positions)``."""


class ClassGrad(Kind):
    """A matrix of gradients of the classifier's weight: ``(layers, classes, features)``."""


class Channels(Kind):
    """A matrix that relates the channels of a map: ``(layers, channels, channels)``."""


class Layer(Kind):
    """One number a layer: ``(layers,)``."""


class Network(Kind):
    """One number a network: ``()``. The root of every proxy is of this kind."""


class Number(Kind):
    """A constant, which stands beside values of every kind, and is none itself.

    Used by evolution's typing only.
    """


MATRIX_KINDS: tuple[type[Kind], ...] = (Relation, Logit, Feature, Place, ClassGrad, Channels)
"""The kinds that hold a matrix a layer, which is never sampled."""

TENSOR_KINDS: tuple[type[Kind], ...] = (
    Weight,
    Activation,
    Attention,
    Channel,
    Spectrum,
    *MATRIX_KINDS,
)
"""The kinds that hold many numbers a layer."""

KINDS: tuple[type[Kind], ...] = (*TENSOR_KINDS, Layer, Network)


def tried(kinds: tuple[type[Kind], ...]) -> tuple[type[Kind], ...]:
    """Return the kinds on which a primitive is tried: of those that hold a matrix the first one."""
    first = next((kind for kind in kinds if kind in MATRIX_KINDS), None)
    return tuple(kind for kind in kinds if kind is first or kind not in MATRIX_KINDS)


def reduced(kind: type[Kind]) -> type[Kind]:
    """Return the kind that a reduction takes `kind` to.

    >>> reduced(Weight), reduced(Layer)
    (Layer, Network)
    """
    if kind is Network:
        raise ValueError("a Network value is one number: there is nothing to reduce")
    return Network if kind is Layer else Layer

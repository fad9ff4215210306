"""What modules hold besides parameters, buffers and other modules, and how it is put back."""

from __future__ import annotations

import random
import sys
from collections import OrderedDict, defaultdict, deque
from collections.abc import Iterable, Mapping
from copy import copy
from typing import Any

import torch
from torch import Tensor, nn

TORCHS = frozenset(vars(nn.Module()))
"""Attributes that every module has."""

CONTAINERS = frozenset({list, dict, set, deque, OrderedDict, defaultdict})
"""The types of containers that a forward may write into."""


CONSTANTS = frozenset({bool, int, float, complex, str, bytes, type(None)})
"""The types of what cannot be written into: containers of these alone are not looked through."""


class Held:
    """What the attributes of modules hold, to be put back when they have run.

    The contents of lists, dicts and sets, in each other too, and the states of generators of random
    numbers; a tensor that was written into is replaced by a copy of what it was, since a graph may
    need what it is.
    """

    def __init__(self, *modules: Mapping[str, Any]) -> None:
        """Remember what the attributes of modules hold."""
        self._things: dict[int, tuple[Any, Any]] = {}
        self._tensors: dict[int, tuple[Tensor, int, Tensor]] = {}
        for attributes in modules:
            self._note(value for key, value in attributes.items() if key not in TORCHS)

    def _note(self, values: Iterable[Any]) -> None:
        for value in values:
            kind = type(value)
            if kind in CONTAINERS:
                if id(value) not in self._things:
                    self._things[id(value)] = value, copy(value)
                    inside = value.values() if isinstance(value, dict) else value
                    if not {*map(type, inside)} <= CONSTANTS:
                        self._note(inside)
            elif kind is Tensor:
                if not value.is_inference():
                    version, was = value._version, value.detach().clone()
                    self._tensors[id(value)] = value, version, was
            elif kind in (torch.Generator, random.Random) or _of_numpy(value):
                self._things[id(value)] = value, _state(value)

    def put_back(self, *modules: dict[str, Any]) -> None:
        """Put back what is held, and among the attributes what tensors were."""
        changed = {
            key: was for key, (it, version, was) in self._tensors.items() if it._version != version
        }
        for value, held in self._things.values():
            if isinstance(value, list):
                value[:] = [changed.get(id(each), each) for each in held]
            elif isinstance(value, dict):
                value.clear()
                value.update((key, changed.get(id(each), each)) for key, each in held.items())
            elif isinstance(value, set):
                value.clear()
                value.update(held)
            elif isinstance(value, deque):
                value.clear()
                value.extend(changed.get(id(each), each) for each in held)
            else:
                _set_state(value, held)
        for attributes in modules if changed else ():
            attributes.update(
                {key: changed[id(it)] for key, it in attributes.items() if id(it) in changed}
            )


def _of_numpy(value: object) -> bool:
    """Say whether a value is a generator of numpy, which may not be there."""
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(
        value, (numpy.random.Generator, numpy.random.RandomState)
    )


def _state(generator: Any) -> Any:
    """Return the state of a generator of random numbers."""
    if isinstance(generator, random.Random):
        return generator.getstate()
    if hasattr(generator, "get_state"):  # torch's, and numpy's older kind
        return generator.get_state()
    return generator.bit_generator.state


def _set_state(generator: Any, state: Any) -> None:
    """Set the state of a generator of random numbers."""
    if isinstance(generator, random.Random):
        generator.setstate(state)
    elif hasattr(generator, "set_state"):
        generator.set_state(state)
    else:
        generator.bit_generator.state = state

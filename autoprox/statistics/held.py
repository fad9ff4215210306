"""What modules hold besides parameters, buffers and other modules, and how it is put back."""

from __future__ import annotations

import random
import sys
from collections import OrderedDict, defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from copy import copy
from functools import lru_cache, partial
from types import CellType, FunctionType, MethodType, ModuleType, SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from autoprox.statistics.code import called_by, functions_of

TORCHS = frozenset(vars(nn.Module()))
"""Attributes that every module has."""

CONTAINERS = frozenset({list, dict, set, deque, OrderedDict, defaultdict})
"""The types of containers that a forward may write into."""

CONSTANTS = frozenset({bool, int, float, complex, str, bytes, type(None)})
"""The types of what cannot be written into: containers of these alone are not looked through."""

OURS = "autoprox"
"""Where classes of a measurement's own are from."""


class Held:
    """What the attributes of modules hold, to be put back when they have run.

    The contents of lists, dicts, sets, arrays and objects, nested ones too, and the states of
    generators of random numbers. A tensor that was written into is replaced by a copy of its
    earlier content, since a graph may need the present one.
    """

    def __init__(
        self,
        *modules: Mapping[str, Any],
        clones: MutableMapping[Tensor, tuple[int, Tensor]] | None = None,
    ) -> None:
        """Remember what the attributes of modules hold.

        Tensors among `clones` are cloned anew only if they were written into since.
        """
        self._clones = {} if clones is None else clones
        self._things: dict[int, tuple[Any, Any]] = {}
        self._tensors: dict[int, tuple[Tensor, int, Tensor]] = {}
        for attributes in modules:
            self.note(value for key, value in attributes.items() if key not in TORCHS)

    def note(self, values: Iterable[Any]) -> None:
        """Remember what some values hold."""
        waiting = [*values]
        while waiting:
            value = waiting.pop()
            kind: Any = type(value)
            if kind in CONSTANTS or id(value) in self._things or id(value) in self._tensors:
                continue
            if kind in CONTAINERS:
                self._things[id(value)] = value, copy(value)
                inside = value.values() if isinstance(value, dict) else value
                if not {*map(type, inside)} <= CONSTANTS:
                    waiting.extend(inside)
            elif kind is Tensor:
                if not value.is_inference():
                    known = self._clones.get(value)
                    if known is None or known[0] != value._version:
                        known = self._clones[value] = value._version, value.detach().clone()
                    self._tensors[id(value)] = value, *known
            elif kind in (torch.Generator, random.Random) or _of_numpy(value):
                self._things[id(value)] = value, _state(value)
            elif _of_plain_class(kind):
                self._things[id(value)] = value, dict(vars(value))
                waiting.extend(vars(value).values())

    def put_back(self, *modules: dict[str, Any], in_place: bool = False) -> None:
        """Put back what is held; tensors among the attributes are replaced by what they were.

        With `in_place` the tensors themselves get it back, as no graph needs their present content.
        """
        changed = {
            key: was
            for key, (now, version, was) in self._tensors.items()
            if now._version != version
        }
        if in_place:
            for key in changed:
                self._tensors[key][0].data.copy_(changed[key])
            changed = {}
        for value, held in self._things.values():
            if isinstance(value, (list, deque)):
                value.clear()
                value.extend(changed.get(id(item), item) for item in held)
            elif isinstance(value, dict):
                value.clear()
                value.update((key, changed.get(id(item), item)) for key, item in held.items())
            elif isinstance(value, set):
                value.clear()
                value.update(held)
            elif isinstance(held, dict) and _is_plain_object(value):
                for key in vars(value).keys() - held.keys():
                    del vars(value)[key]
                vars(value).update({key: changed.get(id(item), item) for key, item in held.items()})
            else:
                _set_state(value, held)
        for attributes in modules if changed else ():
            attributes.update(
                {key: changed[id(item)] for key, item in attributes.items() if id(item) in changed}
            )


@contextmanager
def surroundings_kept(network: nn.Module) -> Iterator[None]:
    """Put back what the code of a network writes into besides the network, when all has run.

    These are the attributes of its classes, and variables of their files, such as counters and
    caches, that methods name, or functions of the file that they call. What hooks write elsewhere
    is left: they are there to observe. What other threads write there meanwhile is undone, too.
    """
    held = Held()
    before = [(place, name, _namespace(place)[name]) for place, name in _outside(network)]
    held.note(value for _, _, value in before)
    try:
        yield
    finally:
        held.put_back(in_place=True)
        for place, name, value in before:
            if _namespace(place).get(name) is value:
                continue
            if isinstance(place, type):
                setattr(place, name, value)
            else:
                place[name] = value


def _namespace(place: Any) -> Mapping[str, Any]:
    return vars(place) if isinstance(place, type) else place


def _outside(network: nn.Module) -> Iterator[tuple[Any, str]]:
    """Yield the classes and the files' variables that methods may write into, each with a name."""
    kinds = {type(module) for module in network.modules()}
    for base in {base for kind in kinds for base in kind.__mro__}:
        if _home(base) in ("torch", "builtins"):
            continue
        for name, value in list(vars(base).items()):
            for function in functions_of(value):
                for called in (function, *_called(function)):
                    yield from ((called.__globals__, key) for key in global_values(called))
            if not (name.startswith("__") or hasattr(value, "__get__")):
                yield base, name


def _called(function: FunctionType) -> list[FunctionType]:
    """Return the functions of its file that a function may call."""
    return [called for called in called_by(function) if called.__globals__ is function.__globals__]


def contents(value: object) -> Iterable[object]:
    """Return what a container holds, or a function refers to."""
    if isinstance(value, Mapping):
        return list(value.values())
    if isinstance(value, (list, tuple, set)):
        return value
    if isinstance(value, MethodType):
        return [value.__self__]
    if isinstance(value, partial):
        return [value.func, *value.args, *value.keywords.values()]
    if isinstance(value, FunctionType):
        full = [cell for cell in value.__closure__ or () if cell != CellType()]
        defaults = [*(value.__defaults__ or ()), *(value.__kwdefaults__ or {}).values()]
        return [*(cell.cell_contents for cell in full), *defaults, *global_values(value).values()]
    return ()


def global_values(function: FunctionType) -> dict[str, object]:
    """Return what a function finds by its name in its file or notebook, but for functions."""
    known = {
        name: function.__globals__[name]
        for name in function.__code__.co_names
        if name in function.__globals__
    }
    return {name: value for name, value in known.items() if not isinstance(value, FunctionType)}


def _home(value: Any) -> str:
    """Return the name of the package that a class or function is from."""
    return str(getattr(value, "__module__", "")).partition(".")[0]


def _is_plain_object(value: Any) -> bool:
    kind: Any = type(value)
    return _of_plain_class(kind)


@lru_cache(maxsize=1024)
def _of_plain_class(kind: type) -> bool:
    """Say whether a class is somebody's own, whose objects have attributes and are no modules."""
    known = (nn.Module, Tensor, type, ModuleType, *CONTAINERS)
    theirs = {"torch", "numpy", OURS, *sys.stdlib_module_names}
    own = kind is SimpleNamespace or _home(kind) not in theirs
    return own and not issubclass(kind, known) and bool(kind.__dictoffset__)


def _of_numpy(value: object) -> bool:
    """Say whether a value is a generator or an array of numpy, which may not be there."""
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(
        value, (numpy.random.Generator, numpy.random.RandomState, numpy.ndarray)
    )


def _state(generator: Any) -> Any:
    """Return the state of a generator of random numbers, or what an array holds."""
    if isinstance(generator, random.Random):
        return generator.getstate()
    if hasattr(generator, "get_state"):  # torch's, and numpy's older kind
        return generator.get_state()
    if hasattr(generator, "bit_generator"):
        return generator.bit_generator.state
    return generator.copy()


def _set_state(generator: Any, state: Any) -> None:
    """Set the state of a generator of random numbers, or the entries of an array."""
    if isinstance(generator, random.Random):
        generator.setstate(state)
    elif hasattr(generator, "set_state"):
        generator.set_state(state)
    elif hasattr(generator, "bit_generator"):
        generator.bit_generator.state = state
    elif generator.flags.writeable:
        generator[...] = state

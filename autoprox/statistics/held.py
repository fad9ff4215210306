"""What modules hold besides parameters, buffers and other modules, and how it is put back."""

from __future__ import annotations

import operator
import random
import sys
from array import array
from collections import OrderedDict, deque
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from types import CellType, FunctionType, MemberDescriptorType, MethodType, ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.weak import WeakIdKeyDictionary

from autoprox.statistics.code import called_by, functions_of

TORCHS = frozenset(vars(nn.Module()))
"""Attributes that every module has."""

REGISTRIES = ("_buffers", "_modules", "_parameters")
"""Those of them that hold what a module is made of."""

CONTAINERS: tuple[Any, ...] = (OrderedDict, dict, list, deque, set, bytearray, array, tuple)
"""The types of containers that a forward may write into, the special ones first; or, of a tuple,
into what is there."""

CONSTANTS = frozenset({bool, int, float, complex, str, bytes, type(None)})
"""The types of what cannot be written into: containers of these alone are not looked through."""

OURS = "autoprox"
"""Where classes of a measurement's own are from."""


@dataclass(frozen=True, slots=True)
class _Kept:
    """What is kept of the objects of a class.

    Attributes:
        base: the container, tensor, array or generator of random numbers that they are, or None.
        attributes: whether attributes are.
        slots: those that are.
    """

    base: Any
    attributes: bool
    slots: tuple[MemberDescriptorType, ...]


@lru_cache(maxsize=1024)
def _kept_of(kind: type) -> _Kept | None:
    """Return what is kept of the objects of a class; None if nothing is.

    Attributes are where the class is somebody's own, or that of a module.
    """
    numpy, bases = sys.modules.get("numpy"), CONTAINERS
    if numpy:
        bases += (numpy.random.Generator, numpy.random.RandomState, numpy.ndarray)
    exactly = kind if kind in (Tensor, torch.Generator, random.Random) else None
    base = next((known for known in bases if issubclass(kind, known)), exactly)
    theirs = {"torch", "numpy", OURS, *sys.stdlib_module_names} - {"collections", "types"}
    of_user = _home(kind) not in theirs and not issubclass(kind, (Tensor, type, ModuleType))
    if not of_user and not issubclass(kind, nn.Module):
        return _Kept(base, False, ()) if base else None
    slotted = [vars(parent).values() for parent in kind.__mro__ if "__slots__" in vars(parent)]
    members = (member for values in slotted for member in values)
    slots = tuple(member for member in members if isinstance(member, MemberDescriptorType))
    return _Kept(base, bool(kind.__dictoffset__), slots)


class Held:
    """What the attributes of modules hold, to be put back when they have run.

    The contents of containers, arrays, objects, and modules that are no part of a network, nested
    ones too, and the states of generators of random numbers. A tensor that was written into is
    replaced by a copy of its earlier content, since a graph may need the present one.
    """

    def __init__(
        self,
        *modules: Mapping[str, Any],
        clones: MutableMapping[Any, Any] | None = None,
    ) -> None:
        """Remember what the attributes of the modules of a network hold.

        Tensors among `clones` are cloned anew only if they were written into since, and arrays
        not at all: they hold what was put back.
        """
        self._clones = WeakIdKeyDictionary() if clones is None else clones
        self._parts = {
            id(part) for module in modules for part in module.get("_modules", {}).values()
        }
        self._seen: dict[int, object] = {}
        self._restoring: list[Callable[[Mapping[int, Tensor]], None]] = []
        self._tensors: dict[int, tuple[Tensor, int, Tensor]] = {}
        for attributes in modules:
            self.note(value for key, value in attributes.items() if key not in TORCHS)

    def note(self, values: Iterable[Any]) -> None:
        """Remember what some values hold."""
        waiting = [*values]
        while waiting:
            value = waiting.pop()
            kind: Any = type(value)
            kept = _kept_of(kind)
            if kept is None or id(value) in self._seen or id(value) in self._parts:
                continue
            if kept.base is tuple and {*map(type, value)} <= CONSTANTS:
                continue
            self._seen[id(value)] = value
            if kept.base is Tensor:
                self._note_tensor(value)
            else:
                waiting.extend(self._noted(value, kept))

    def _note_tensor(self, value: Tensor) -> None:
        if value.is_inference():
            return
        known = self._clones.get(value)
        if known is None or known[0] != value._version:
            known = self._clones[value] = value._version, value.detach().clone()
        self._tensors[id(value)] = value, *known

    def _noted(self, value: Any, kept: _Kept) -> Iterator[object]:
        """Remember what a value holds, and yield what of it may be written into."""
        if kept.base in CONTAINERS:
            content = _content(kept.base, value)
            if kept.base is not tuple:
                self._restoring.append(partial(_fill, value, kept.base, content))
            inside = [item for _, item in content] if issubclass(kept.base, dict) else content
            if not {*map(type, inside)} <= CONSTANTS:
                yield from inside
        elif kept.base is not None:
            self._restoring.append(partial(_set_state, value, _state(value, self._clones)))
        if kept.slots:
            filled = _filled(value, kept.slots)
            self._restoring.append(partial(_set_slots, value, kept.slots, filled))
            yield from filled.values()
        if kept.attributes:
            attributes = dict(vars(value))
            self._restoring.append(partial(_set_attributes, value, attributes))
            hidden = TORCHS.difference(REGISTRIES) if isinstance(value, nn.Module) else ()
            yield from (item for key, item in attributes.items() if key not in hidden)

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
        for restore in self._restoring:
            restore(changed)
        for attributes in modules if changed else ():
            attributes.update(
                {key: changed[id(item)] for key, item in attributes.items() if id(item) in changed}
            )


def _content(base: Any, value: Any) -> Any:
    """Return what a container holds, whatever its class makes of the methods of `base`."""
    if issubclass(base, dict):
        return [*base.items(value)]
    return [*base.__iter__(value)] if base in (deque, set) else base.__getitem__(value, slice(None))


def _fill(value: Any, base: Any, content: Any, changed: Mapping[int, Tensor]) -> None:
    """Let a container hold what it held."""
    if issubclass(base, dict):
        base.clear(value)
        for key, item in content:
            base.__setitem__(value, key, changed.get(id(item), item))
        return
    if changed and base not in (bytearray, array):
        content = [changed.get(id(item), item) for item in content]
    if base in (deque, set):
        base.clear(value)
        (deque.extend if base is deque else set.update)(value, content)
    else:
        base.__setitem__(value, slice(None), content)


def _filled(value: object, slots: Iterable[Any]) -> dict[Any, Any]:
    """Return what is in the slots of an object; some may be empty."""
    filled = {}
    for slot in slots:
        with suppress(AttributeError):
            filled[slot] = slot.__get__(value)
    return filled


def _set_slots(
    value: object, slots: Iterable[Any], was: Mapping[Any, Any], changed: Mapping[int, Tensor]
) -> None:
    """Fill the slots of an object as they were."""
    for slot in _filled(value, slots).keys() - was.keys():
        slot.__delete__(value)
    for slot, item in was.items():
        slot.__set__(value, changed.get(id(item), item))


def _set_attributes(value: Any, was: Mapping[str, Any], changed: Mapping[int, Tensor]) -> None:
    """Give an object the attributes that it had."""
    for key in vars(value).keys() - was.keys():
        del vars(value)[key]
    vars(value).update({key: changed.get(id(item), item) for key, item in was.items()})


@contextmanager
def surroundings_kept(network: nn.Module) -> Iterator[None]:
    """Put back what the code of a network writes into besides the network, when all has run.

    These are the attributes of its classes, and variables of their files, such as counters and
    caches, that methods name, or functions of the file that they call. What hooks write elsewhere
    is left: they are there to observe. What other threads write there meanwhile is undone, too.
    """
    held = Held()
    before = [(place, names, dict(_namespace(place))) for place, names in _outside(network)]
    for _, names, was in before:
        held.note(_variables(was, names).values())
    try:
        yield
    finally:
        held.put_back(in_place=True)
        for place, names, was in before:
            _set_variables(place, names, was)


def _namespace(place: Any) -> Mapping[str, Any]:
    return vars(place) if isinstance(place, type) else place


def _variables(namespace: Mapping[str, Any], names: Container[str] | None) -> dict[str, Any]:
    """Return the variables that `names` tells, or all but special ones; no functions."""
    return {
        name: value
        for name, value in namespace.items()
        if (not name.startswith("__") if names is None else name in names)
        and not hasattr(type(value), "__get__")
    }


def _set_variables(place: Any, names: Container[str] | None, was: Mapping[str, Any]) -> None:
    """Give a class or a file the variables that it had."""
    setting, deleting = (
        (setattr, delattr) if isinstance(place, type) else (operator.setitem, operator.delitem)
    )
    now = _variables(_namespace(place), names)
    for name in now.keys() - was.keys():
        deleting(place, name)
    for name, value in _variables(was, names).items():
        if now.get(name, was) is not value:
            setting(place, name, value)


def _outside(network: nn.Module) -> Iterator[tuple[Any, set[str] | None]]:
    """Yield the classes and the files' variables that methods may write into.

    With each file the names of those that the methods name.
    """
    kinds = {type(module) for module in network.modules()}
    files: dict[int, tuple[dict[str, Any], set[str]]] = {}
    for base in {base for kind in kinds for base in kind.__mro__}:
        if _home(base) in ("torch", "builtins"):
            continue
        yield base, None
        for value in vars(base).values():
            for function in functions_of(value):
                for called in (function, *_called(function)):
                    known = called.__globals__
                    files.setdefault(id(known), (known, set()))[1].update(called.__code__.co_names)
    yield from files.values()


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


def _state(generator: Any, clones: MutableMapping[Any, Any]) -> Any:
    """Return the state of a generator of random numbers, or what an array holds; see `Held`."""
    if isinstance(generator, random.Random):
        return generator.getstate()
    if hasattr(generator, "get_state"):  # torch's, and numpy's older kind
        return generator.get_state()
    if hasattr(generator, "bit_generator"):
        return generator.bit_generator.state
    known = clones.get(generator)
    if known is None:
        known = clones[generator] = generator.copy()
    return known


def _set_state(generator: Any, state: Any, _: Mapping[int, Tensor]) -> None:
    """Set the state of a generator of random numbers, or the entries of an array."""
    if isinstance(generator, random.Random):
        generator.setstate(state)
    elif hasattr(generator, "set_state"):
        generator.set_state(state)
    elif hasattr(generator, "bit_generator"):
        generator.bit_generator.state = state
    elif generator.flags.writeable:
        generator[...] = state

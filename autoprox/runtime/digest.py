"""A digest of what a Python function does: of its code, and of all that its code refers to.

What is installed, with Python or into it, counts by its name; what a user wrote counts by its code.
"""

from __future__ import annotations

import dis
import hashlib
import secrets
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

PLAIN = (bool, int, float, complex, str, bytes, type(None), type(...))
"""Types whose values are what they look like."""


@dataclass(frozen=True)
class Digest:
    """What is known of a function.

    Attributes:
        text: eight hexadecimal digits; the same in every process.
        missing: what the function refers to and the digest does not tell: objects, modules and
            classes of the user's own. Where there is any, two different functions may have one
            digest.
    """

    text: str
    missing: tuple[object, ...]

    @property
    def mark(self) -> str:
        """The text, or what no other function and no other process has if something is missing."""
        if not self.missing:
            return self.text
        _MISSING.update((id(value), value) for value in self.missing)
        return " ".join([self.text, _PROCESS, *(f"{id(value):x}" for value in self.missing)])


_MISSING: dict[int, object] = {}
"""Objects that marks name by their address; kept, so that no other ever has it."""

_PROCESS = secrets.token_hex(8)
"""What no other process has."""


def digest(function: Callable[..., Any]) -> Digest:
    """Return the digest of a function, which counts by its code wherever it comes from.

    >>> def power(n):
    ...     return lambda x: x**n
    >>> digest(power(2)) == digest(power(2)), digest(power(2)) == digest(power(3))
    (True, False)
    """
    reader = _Reader()
    if isinstance(function, FunctionType):
        text = reader.function(function)
    else:
        text = reader.told(function)
    return Digest(hashlib.sha256(text.encode()).hexdigest()[:8], tuple(reader.missing))


def called(function: Callable[..., Any]) -> str:
    """Return where a function is defined; of a partial one what it calls, of an object its class.

    >>> called(partial(pow, 2)), called(pow)
    ('builtins.pow', 'builtins.pow')
    """
    while isinstance(function, partial):
        function = function.func
    owner = function if hasattr(function, "__qualname__") else type(function)
    return f"{owner.__module__}.{owner.__qualname__}"


class _Reader:
    """Tells values; each function and collection once, so that they may refer to themselves."""

    def __init__(self) -> None:
        self.missing: list[object] = []
        self._known: dict[int, int] = {}

    def told(self, value: object) -> str:
        """Return a text that is another one for another value, or note the value as missing."""
        if isinstance(value, PLAIN):
            return f"{type(value).__name__} {value!r}"
        if id(value) in self._known:
            return f"number {self._known[id(value)]}"
        self._known[id(value)] = len(self._known)
        if isinstance(value, (tuple, list)):
            return f"{type(value).__name__} {[self.told(item) for item in value]}"
        if isinstance(value, (set, frozenset)):
            return f"set {[self.told(item) for item in sorted(value, key=repr)]}"
        if isinstance(value, dict):
            return f"dict {[(self.told(key), self.told(item)) for key, item in value.items()]}"
        if isinstance(value, partial):
            parts = value.func, value.args, value.keywords
            return f"partial {[self.told(part) for part in parts]}"
        if isinstance(value, MethodType):
            return f"method {self.told(value.__func__)} of {self.told(value.__self__)}"
        if isinstance(value, ModuleType) and _installed(value.__name__):
            return f"module {value.__name__}"
        if (name := _name(value)) is not None:
            return name
        if isinstance(value, FunctionType):
            return self.function(value)
        if (content := self._held(value)) is not None:
            return content
        self.missing.append(value)
        return f"some {type(value).__module__}.{type(value).__qualname__}"

    def function(self, function: FunctionType) -> str:
        """Return what a function does: its code, and the values that the code refers to."""
        self._known.setdefault(id(function), len(self._known))
        cells = function.__closure__ or ()
        code, known = function.__code__, function.__globals__
        names = _arguments(code, "LOAD_GLOBAL", "LOAD_NAME")
        return "\n".join(
            (
                _meaning(code),
                self.told(function.__defaults__),
                self.told(function.__kwdefaults__),
                self.told(vars(function)),
                *(self.told(_content(cell)) for cell in cells),
                *(self.told(known[name]) for name in names if name in known),
                *(self._imported(name) for name in _arguments(code, "IMPORT_NAME")),
            )
        )

    def _held(self, value: Any) -> str | None:
        """Tell an array, a tensor, or a module of torch's by what it holds; None of others."""
        numpy, torch = sys.modules.get("numpy"), sys.modules.get("torch")
        if numpy and type(value) is numpy.ndarray and not value.dtype.hasobject:
            return f"array {_entries(value)}"
        if torch and type(value) in (torch.Tensor, torch.nn.Parameter):
            with suppress(RuntimeError, TypeError):  # of a kind that numpy has not
                return f"{type(value).__name__} {_entries(value.detach().cpu().numpy())}"
        if torch and isinstance(value, torch.nn.Module) and (name := _name(type(value))):
            return f"module {name} {self.told(vars(value))}"
        return None

    def _imported(self, name: str) -> str:
        """Tell a module that the code of a function imports."""
        if not _installed(name):
            self.missing.append(name)
        return f"import {name}"


def _entries(array: Any) -> str:
    """Tell the entries of an array of numpy's."""
    return f"{array.dtype} {array.shape} {hashlib.sha256(array.tobytes()).hexdigest()}"


def _content(cell: Any) -> object:
    """Return what a closure holds; a cell may be empty still."""
    try:
        return cell.cell_contents
    except ValueError:
        return None


def _name(value: object) -> str | None:
    """Return the name of a function or class that is installed and found by it, or None.

    Who wraps a function gives it the name of another one. What is written in C keeps its own.
    """
    module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
    owner = getattr(value, "__self__", None)
    bound = owner is not None and not isinstance(owner, (ModuleType, type))
    if bound or not isinstance(module, str) or not isinstance(name, str) or not _installed(module):
        return None
    at_name: object = sys.modules.get(module)
    for part in name.split("."):
        at_name = getattr(at_name, part, None)
    known = at_name is value or isinstance(value, BuiltinFunctionType)
    return f"{module}.{name}" if known else None


def _installed(module: str) -> bool:
    """Say whether a module comes with autoprox, with Python, or from a package index."""
    package = module.partition(".")[0]
    if package == "__main__":  # whatever started the process, its functions are somebody's own
        return False
    if package == "autoprox" or package in sys.stdlib_module_names:
        return True
    home = getattr(sys.modules.get(package), "__file__", None) or ""
    return bool({"site-packages", "dist-packages"} & {*Path(home).parts})


def _arguments(code: CodeType, *operations: str) -> list[str]:
    """Return what some operations in code, and in the functions within, are about, sorted."""
    ops = (op for part in _parts(code) for op in dis.get_instructions(part))
    return sorted({op.argval for op in ops if op.opname in operations})


def _parts(code: CodeType) -> Iterator[CodeType]:
    """Yield code, and that of the functions within."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _parts(constant)


def _meaning(code: CodeType) -> str:
    """Return what a code object does, without where it was written: the same in every process."""
    constants = []
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            constants.append(_meaning(constant))
        else:
            constants.append(
                repr(sorted(map(repr, constant)) if isinstance(constant, frozenset) else constant)
            )
    flags = code.co_flags & 0xFFFF  # those above are what `from __future__` imports
    called = code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, flags
    caught = getattr(code, "co_exceptiontable", b"")  # from Python 3.11 on; before, in the code
    names = code.co_names, code.co_varnames, code.co_freevars
    return f"{code.co_code.hex()} {caught.hex()} {called} {names} {constants}"

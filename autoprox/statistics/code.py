"""What the code of a network's modules says before it runs."""

from __future__ import annotations

import dis
import inspect
from functools import lru_cache
from types import CodeType, FunctionType, MethodType
from typing import Any

from torch import nn

SIZES = frozenset({"len", "shape", "size"})
"""The names by which code asks for the size of a tensor."""


def compares_sizes(network: nn.Module) -> bool:
    """Say whether a network of somebody's own may do something else with a batch of another size.

    Its methods are looked at, functions that its modules hold, and what these call in their file.
    """
    kinds: set[Any] = {type(module) for module in network.modules()}
    held = [value for module in network.modules() for value in vars(module).values()]
    return any(map(_has_methods_that_compare, kinds)) or any(
        _asks_and_compares(function) for value in held for function in functions_of(value)
    )


@lru_cache(maxsize=1024)
def _has_methods_that_compare(kind: type) -> bool:
    return any(
        name != "__init__" and _asks_and_compares(function)
        for base in kind.__mro__
        for name, value in vars(base).items()
        for function in functions_of(value)
    )


def functions_of(value: object) -> list[FunctionType]:
    """Return the function that an attribute is, and that behind its decorators; none of torch's."""
    if isinstance(value, (MethodType, staticmethod, classmethod)):
        value = value.__func__
    elif isinstance(value, property):
        value = value.fget
    if not isinstance(value, FunctionType):
        return []
    candidates = dict.fromkeys((value, inspect.unwrap(value)))
    return [func for func in candidates if isinstance(func, FunctionType) and not _of_torch(func)]


def _asks_and_compares(function: FunctionType) -> bool:
    """Say whether a function, or one that it calls by its name, asks for sizes and compares."""
    return any(_compares(called.__code__) for called in (function, *called_by(function)))


def called_by(function: FunctionType) -> list[FunctionType]:
    """Return the functions that a function finds by its name in its file, and may call."""
    known = [function.__globals__.get(name) for name in function.__code__.co_names]
    return [called for value in known for called in functions_of(value)]


def _of_torch(function: FunctionType) -> bool:
    return str(function.__globals__.get("__name__")).partition(".")[0] == "torch"


@lru_cache(maxsize=4096)  # code refers to nothing, and functions to whole networks
def _compares(code: CodeType) -> bool:
    """Say whether code, or a function inside it, asks for a size, and compares something."""
    asks = not SIZES.isdisjoint(code.co_names)
    if asks and any(op.opname == "COMPARE_OP" for op in dis.get_instructions(code)):
        return True
    return any(_compares(constant) for constant in code.co_consts if isinstance(constant, CodeType))

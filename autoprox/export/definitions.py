"""The definitions in modules: their text, what they use, and their text under other names."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import sys
import textwrap
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from copy import copy
from dataclasses import dataclass
from functools import cache
from types import FunctionType, ModuleType
from typing import Any, TypeAlias

from autoprox import errors
from autoprox.errors import AutoproxError
from autoprox.export.pruning import first_line

Key: TypeAlias = tuple[str, str]
"""A module, and a name in it; the name of an import of the whole module is empty."""

PLAIN_ERRORS = frozenset(
    name
    for name, value in vars(errors).items()
    if name.endswith("Error") and "__init__" not in vars(value)
)
"""Errors of autoprox that have nothing of their own, for which a copy raises `ValueError`."""


INNER = (ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
"""Expressions that have names of their own."""


@dataclass(frozen=True)
class Definition:
    """A definition at the top level of a module.

    Attributes:
        node: its syntax, with the lines counted from those of `text`.
        text: its source.
    """

    node: ast.stmt
    text: str


ModuleNames: TypeAlias = Mapping[str, Definition | Key | None]
"""What names are in a module: definitions, or where they are imported from; None where more than
one statement says it."""


@cache
def top_level(module: str) -> dict[str, Definition | Key | None]:
    """What a module defines at its top level, and where what it imports comes from."""
    text = inspect.getsource(importlib.import_module(module))
    lines = text.splitlines()
    known: dict[str, Definition | Key | None] = {}
    tree = ast.parse(text)
    body = list(_flattened(tree.body))
    for place, node in enumerate(body):
        if isinstance(node, ast.Import):
            known |= {alias.asname or alias.name: (alias.name, "") for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            known |= {
                alias.asname or alias.name: _origin(node.module or "", alias.name)
                for alias in node.names
            }
        name = _name(node)
        if name is not None:
            after = body[place + 1 : place + 2]
            documented = isinstance(node, (ast.Assign, ast.AnnAssign)) and any(map(_is_text, after))
            last = after[0] if documented else node
            source = "\n".join(lines[first_line(node) - 1 : last.end_lineno])
            known[name] = Definition(ast.parse(source).body[0], source)
    return known | dict.fromkeys(_changed(tree, body))


def _changed(tree: ast.Module, body: list[ast.stmt]) -> set[str]:
    """Return the names that a module makes or changes by a statement that is not the only one.

    Imports and definitions may be repeated, as those of `typing.overload` are: the last one holds.
    """
    plain, others = Counter[str](), Counter[str]()
    for node in body:
        is_plain = isinstance(node, (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef))
        (plain if is_plain else others).update({*_stored(node)})
    for inner in ast.walk(tree):
        others.update(inner.names if isinstance(inner, ast.Global) else ())
    return {name for name, count in others.items() if count + plain[name] > 1}


def _stored(node: ast.AST) -> Iterator[str]:
    """Yield the names that a statement makes, changes, deletes or stores in a part of.

    What functions and classes in it do with names of their own is left out.
    """
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        yield node.name
    elif isinstance(node, ast.alias):
        yield node.asname or node.name
    elif not (isinstance(node, INNER) or (isinstance(node, ast.AnnAssign) and not node.value)):
        if not isinstance(getattr(node, "ctx", ast.Load()), ast.Load):
            whole: ast.AST = node
            while isinstance(whole, (ast.Attribute, ast.Subscript)):
                whole = whole.value
            yield from [whole.id] if isinstance(whole, ast.Name) else ()
        for inner in ast.iter_child_nodes(node):
            yield from _stored(inner)


def _flattened(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield statements; of ``if TYPE_CHECKING:`` those inside."""
    for node in body:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            yield from node.body
        else:
            yield node


def _origin(source: str, name: str) -> Key:
    """Return where ``from source import name`` leads: a module, or a name in one."""
    return (f"{source}.{name}", "") if f"{source}.{name}" in sys.modules else (source, name)


def _name(node: ast.stmt) -> str | None:
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        return node.name
    if not isinstance(node, (ast.Assign, ast.AnnAssign)) or node.value is None:
        return None
    target = node.targets[0] if isinstance(node, ast.Assign) else node.target
    return target.id if isinstance(target, ast.Name) else None


def _is_text(node: ast.stmt) -> bool:
    """Say whether a statement is a text, which documents what is before or around it."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def is_as_written(module: str, name: str, definition: Definition) -> bool:
    """Say whether a name of a module holds what its definition says, if that is a literal."""
    try:
        written = ast.literal_eval(getattr(definition.node, "value", None))  # type: ignore[arg-type]
    except (ValueError, TypeError):  # it is none
        return True
    return repr(vars(sys.modules[module]).get(name)) == repr(written)


def definition_of(function: Callable[..., Any]) -> Definition:
    """Return the definition of a function that is not at the top level of a module's file.

    Raises:
        AutoproxError: it has no source, or uses variables of a function around it.
    """
    if not isinstance(function, FunctionType) or function.__closure__:
        raise AutoproxError(
            f"{function.__name__!r} cannot be exported: it is no function that stands alone; "
            "define it with def, outside of other functions"
        )
    try:
        text = textwrap.dedent(inspect.getsource(function)).rstrip()
        return Definition(ast.parse(text).body[0], text)
    except (OSError, SyntaxError):
        raise AutoproxError(
            f"{function.__name__!r} cannot be exported: its source cannot be read; "
            "define it in a file or a notebook"
        ) from None


def names_beside(definition: Callable[..., Any]) -> ModuleNames:
    """Return what names a definition can have from its module; in a notebook, what is imported."""
    try:
        return top_level(str(definition.__module__))
    except (ImportError, OSError, TypeError):
        around: Mapping[str, object] = getattr(definition, "__globals__", {})
        return {name: _home(value, definition.__module__) for name, value in around.items()}


def _home(value: object, notebook: str) -> Key:
    """Return where a value of a notebook is imported from."""
    if isinstance(value, ModuleType):
        return value.__name__, ""
    module = getattr(value, "__module__", None)
    if module in (None, notebook):
        return "the notebook", ""
    return str(module), str(getattr(value, "__qualname__", ""))


def is_allowed(module: str) -> bool:
    """Say whether an export may import a module: one of torch or of the standard library."""
    package = module.partition(".")[0]
    return package == "torch" or package in sys.stdlib_module_names


@cache
def parsed(text: str) -> Definition:
    """The definition that a text begins with."""
    return Definition(ast.parse(text).body[0], text)


@cache
def attributes(text: str) -> frozenset[str]:
    """The names of attributes that a text mentions."""
    nodes = ast.walk(ast.parse(text))
    return frozenset(node.attr for node in nodes if isinstance(node, ast.Attribute))


@cache
def imported(definition: Definition) -> list[str]:
    """The modules that are imported inside of a definition."""
    modules: list[str] = []
    for inner in ast.walk(definition.node):
        if isinstance(inner, ast.Import):
            modules += (alias.name for alias in inner.names)
        elif isinstance(inner, ast.ImportFrom):
            modules.append(inner.module or "its own package")
    return modules


@cache
def used_names(definition: Definition) -> list[ast.Name]:
    """The uses of names that are not a definition's own, without its decorator's."""
    node = definition.node
    if not isinstance(node, ast.ClassDef):
        return _used_in(node)
    methods = [member for member in node.body if isinstance(member, ast.FunctionDef)]
    outside = copy(node)
    outside.body = [member for member in node.body if member not in methods]
    return [name for part in (outside, *methods) for name in _used_in(part)]


def _used_in(node: ast.stmt) -> list[ast.Name]:
    skipped = {id(inner) for mark in _marks(node) for inner in ast.walk(mark)}
    names, local_names = [], set()
    for inner in ast.walk(node):
        if isinstance(inner, ast.Name):
            names.append(inner)
            local_names |= {inner.id} if isinstance(inner.ctx, ast.Store) else set()
        elif isinstance(inner, ast.arg):
            local_names.add(inner.arg)
        elif isinstance(inner, ast.alias):
            local_names.add(inner.asname or inner.name.partition(".")[0])
        elif isinstance(inner, ast.ExceptHandler) and inner.name:
            local_names.add(inner.name)
        elif isinstance(inner, ast.FunctionDef) and inner is not node:
            local_names.add(inner.name)
    if not isinstance(node, ast.FunctionDef):  # an argument may have its function's name
        local_names.discard(_name(node) or "")
    return [use for use in names if use.id not in local_names and id(use) not in skipped]


def _marks(node: ast.stmt) -> list[ast.expr]:
    """Return the decorators that make a function a primitive or a statistic."""
    return [
        mark
        for mark in getattr(node, "decorator_list", ())
        if isinstance(mark, ast.Call)
        and ast.unparse(mark.func).endswith(("primitive", "statistic"))
    ]


def edited(definition: Definition, names: Mapping[ast.Name, str], new: str) -> str:
    """Return a definition's text without what only autoprox needs, called `new` in the copy.

    `names` are uses of names in it, and what they are in the copy.
    """
    node, lines = definition.node, definition.text.splitlines()
    for use in sorted(names, key=lambda use: (use.lineno, use.col_offset), reverse=True):
        line = lines[use.lineno - 1].encode()  # offsets are those of bytes
        changed = line[: use.col_offset] + names[use].encode() + line[use.end_col_offset :]
        lines[use.lineno - 1] = changed.decode()
    first = node.lineno - 1
    lines[first] = re.sub(r"^(def|class) \w+", rf"\1 {new}", lines[first])
    dropped, closed = _left_out(definition)
    for place, end in closed.items():
        lines[place] += end
    text = "\n".join(line for place, line in enumerate(lines) if place not in dropped)
    return re.sub(rf"\b(?:{'|'.join(PLAIN_ERRORS)})\b", "ValueError", text)


@cache
def _left_out(definition: Definition) -> tuple[frozenset[int], Mapping[int, str]]:
    """Return the places of lines that only autoprox needs, and how lines before them now end.

    These are marks, and docstrings after their first paragraph.
    """
    lines, dropped, closed = definition.text.splitlines(), set[int](), dict[int, str]()
    for mark in _marks(definition.node):
        dropped |= {*range(mark.lineno - 1, mark.end_lineno or mark.lineno)}
    for part in ast.walk(definition.node):
        first, last = _documentation(part)
        end = next((place for place in range(first, last) if not lines[place].strip()), last)
        if end < last:
            closed[end - 1] = lines[last].strip()[-3:]
            dropped |= {*range(end, last + 1)}
    return frozenset(dropped), closed


def _documentation(node: ast.AST) -> tuple[int, int]:
    """Return the places of the first and the last line of a docstring; 0 if there is none."""
    body = getattr(node, "body", None)
    if isinstance(body, list) and body and _is_text(body[0]):
        return body[0].lineno - 1, body[0].end_lineno - 1
    return 0, 0

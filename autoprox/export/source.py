"""Copies definitions out of their modules, with all that they need, as text that stands alone."""

from __future__ import annotations

import ast
import builtins
import importlib
import inspect
import keyword
import re
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from types import FunctionType, ModuleType
from typing import Any, TypeAlias

from autoprox.errors import AutoproxError

Key: TypeAlias = tuple[str, str]
"""A module, and a name in it; the name of an import of the whole module is empty."""

OWN_ERRORS = re.compile(r"\b(?:Statistic|Quantisation|Autoprox)Error\b")
"""Errors of autoprox, for which a copy raises `ValueError`."""

DROPPED = "\0"
"""Stands for a line that goes."""


@dataclass(frozen=True)
class Definition:
    """A definition at the top level of a module.

    Attributes:
        node: its syntax, with the lines counted from those of `text`.
        text: its source.
    """

    node: ast.stmt
    text: str


Table: TypeAlias = Mapping[str, Definition | Key]
"""What names are in a module: definitions, or where they are imported from."""


class Copier:
    """Copies definitions; what one needs comes before it.

    Names are kept, but for those that Python or another definition has already.

    Args:
        reserved: names that no definition may have in the copy.
    """

    def __init__(self, reserved: Iterable[str]) -> None:
        """Start with nothing copied."""
        self._taken = {*reserved, *dir(builtins), *keyword.kwlist}
        self._names: dict[Key, str] = {}
        self._imports: dict[Key, str] = {}
        self._texts: dict[Key, str] = {}

    def copied(self, made: Callable[..., Any]) -> str:
        """Copy a function or class, and return its name in the copy.

        Raises:
            AutoproxError: it cannot be copied.
        """
        key, known = (made.__module__, made.__qualname__), _known(made)
        if isinstance(known.get(key[1]), Definition):
            return self._found(*key, known)
        if key not in self._names:
            self._copy(key, _defined(made), known)
        return self._names[key]

    def named(self, module: str, name: str) -> str:
        """Copy what a module defines or imports as `name`, and return its name in the copy."""
        return self._found(module, name, top_level(module))

    def _found(self, module: str, name: str, known: Table) -> str:
        """Copy the definition or the import that `name` is in a module, and return its name."""
        found = known[name]
        if isinstance(found, Definition):
            if (module, name) not in self._names:
                self._copy((module, name), found, known)
            return self._names[module, name]
        source, original = found
        if _allowed(source):
            if found not in self._imports:
                self._imports[found] = self._free(name)
            return self._imports[found]
        if original and source.partition(".")[0] in ("autoprox", module.partition(".")[0]):
            return self.named(source, original)
        raise AutoproxError(
            f"{name!r}, which {module} uses, is from {source}; an export needs torch alone: use "
            "torch, or define it inside of the function"
        )

    def _copy(self, key: Key, definition: Definition, known: Table) -> None:
        """Copy a definition after what it needs.

        Raises:
            AutoproxError: it needs what a copy cannot have.
        """
        module, name = key[0], key[1].rpartition(".")[2]
        self._names[key] = new = self._free(name)
        needed = {name: new}
        used = _used(definition.node)
        for each in used:
            if each.id in needed or OWN_ERRORS.fullmatch(each.id):
                continue
            if each.id in known:
                needed[each.id] = self._found(module, each.id, known)
            elif not hasattr(builtins, each.id):
                raise AutoproxError(
                    f"{name!r} cannot be exported: {each.id!r}, which it uses, is not defined by a "
                    f"statement of its own in {module}"
                )
        for source in _imported(definition.node):
            if not _allowed(source):
                raise AutoproxError(
                    f"{name!r} cannot be exported: it imports {source}, but an export needs torch "
                    "alone"
                )
        names = {each: needed.get(each.id, each.id) for each in used}
        self._texts[key] = _edited(definition, names, new)

    def _free(self, name: str) -> str:
        while name in self._taken:
            name += "_"
        self._taken.add(name)
        return name

    @property
    def imports(self) -> str:
        """The import statements, standard library first."""
        whole: dict[str, str] = {}
        parts: dict[str, list[tuple[str, str]]] = {}
        for (source, original), name in self._imports.items():
            above, _, last = source.rpartition(".")
            if original:
                parts.setdefault(source, []).append((original, name))
            elif above and last == name:
                parts.setdefault(above, []).append((last, name))
            else:
                whole[source] = name
        blocks = []
        for of_torch in (False, True):
            lines = [
                f"import {source}" + (f" as {name}" if name != source else "")
                for source, name in sorted(whole.items())
                if source.startswith("torch") is of_torch
            ]
            for source, names in sorted(parts.items()):
                if source.startswith("torch") is of_torch:
                    listed = ", ".join(
                        original + (f" as {name}" if name != original else "")
                        for original, name in sorted(names, key=lambda pair: _rank(pair[0]))
                    )
                    lines.append(f"from {source} import {listed}")
            blocks += ["\n".join(lines)] if lines else []
        return "\n\n".join(["from __future__ import annotations", *blocks])

    @property
    def text(self) -> str:
        """The definitions, without the methods that nothing calls."""
        return _without_unused_methods("\n\n\n".join(self._texts.values()))


def _rank(name: str) -> tuple[int, str]:
    """Order names of imports as ruff does: constants, classes, functions."""
    return (0 if name.isupper() and len(name) > 1 else 1 if name[0].isupper() else 2), name


@cache
def top_level(module: str) -> dict[str, Definition | Key]:
    """What a module defines at its top level, and where what it imports comes from."""
    text = inspect.getsource(importlib.import_module(module))
    lines = text.splitlines()
    found: dict[str, Definition | Key] = {}
    body = list(_flattened(ast.parse(text).body))
    for place, node in enumerate(body):
        if isinstance(node, ast.Import):
            found |= {each.asname or each.name: (each.name, "") for each in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {
                each.asname or each.name: _origin(node.module or "", each.name)
                for each in node.names
            }
        name = _name(node)
        if name is not None:
            after = body[place + 1 : place + 2]
            documented = isinstance(node, (ast.Assign, ast.AnnAssign)) and any(map(_is_text, after))
            last = after[0] if documented else node
            source = "\n".join(lines[_first_line(node) - 1 : last.end_lineno])
            found[name] = Definition(ast.parse(source).body[0], source)
    return found


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
    if not isinstance(node, (ast.Assign, ast.AnnAssign)):
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


def _first_line(node: ast.stmt) -> int:
    marks: list[ast.expr] = getattr(node, "decorator_list", [])
    return min(node.lineno, *(mark.lineno for mark in marks)) if marks else node.lineno


def _defined(function: Callable[..., Any]) -> Definition:
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


def _known(made: Callable[..., Any]) -> Table:
    """Return what names a definition can have from its module; in a notebook, what is imported."""
    try:
        return top_level(str(made.__module__))
    except (ImportError, OSError, TypeError):
        around: Mapping[str, object] = getattr(made, "__globals__", {})
        return {name: _home(value, made.__module__) for name, value in around.items()}


def _home(value: object, notebook: str) -> Key:
    """Return where a value of a notebook is imported from."""
    if isinstance(value, ModuleType):
        return value.__name__, ""
    module = getattr(value, "__module__", None)
    if module in (None, notebook):
        return "the notebook", ""
    return str(module), str(getattr(value, "__qualname__", ""))


def _allowed(module: str) -> bool:
    """Say whether an export may import a module: one of torch or of the standard library."""
    package = module.partition(".")[0]
    return package == "torch" or package in sys.stdlib_module_names


def _imported(node: ast.stmt) -> Iterator[str]:
    """Yield the modules that are imported inside of a definition."""
    for each in ast.walk(node):
        if isinstance(each, ast.Import):
            yield from (alias.name for alias in each.names)
        elif isinstance(each, ast.ImportFrom):
            yield each.module or "its own package"


def _used(node: ast.stmt) -> list[ast.Name]:
    """Return the uses of names that are not a definition's own, without its decorator's."""
    skipped = {id(each) for mark in _marks(node) for each in ast.walk(mark)}
    names, own = [], set()
    for each in ast.walk(node):
        if isinstance(each, ast.Name):
            names.append(each)
            own |= {each.id} if isinstance(each.ctx, ast.Store) else set()
        elif isinstance(each, ast.arg):
            own.add(each.arg)
        elif isinstance(each, ast.alias):
            own.add(each.asname or each.name.partition(".")[0])
        elif isinstance(each, ast.ExceptHandler) and each.name:
            own.add(each.name)
        elif isinstance(each, ast.FunctionDef) and isinstance(node, ast.FunctionDef):
            own.add(each.name)
    own.discard(_name(node) or "")
    return [each for each in names if each.id not in own and id(each) not in skipped]


def _marks(node: ast.stmt) -> list[ast.expr]:
    """Return the decorators that make a function a primitive."""
    return [
        each
        for each in getattr(node, "decorator_list", ())
        if isinstance(each, ast.Call) and ast.unparse(each.func).endswith("primitive")
    ]


def _edited(definition: Definition, names: Mapping[ast.Name, str], new: str) -> str:
    """Return a definition's text with other names, and without what only autoprox needs.

    Args:
        definition: the definition.
        names: uses of names, and what they are in the copy.
        new: what the definition itself is called there.
    """
    node, lines = definition.node, definition.text.splitlines()
    for each in sorted(names, key=lambda each: (each.lineno, each.col_offset), reverse=True):
        line = lines[each.lineno - 1].encode()  # offsets are those of bytes
        changed = line[: each.col_offset] + names[each].encode() + line[each.end_col_offset :]
        lines[each.lineno - 1] = changed.decode()
    first = node.lineno - 1
    lines[first] = re.sub(r"^(def|class) \w+", rf"\1 {new}", lines[first])
    dropped = {
        place
        for mark in _marks(node)
        for place in range(mark.lineno - 1, mark.end_lineno or mark.lineno)
    }
    examples = _examples(node, lines)
    if examples:
        dropped |= {*examples}
        if _documentation(node)[0] == examples.start - 1:
            lines[examples.start - 1] += '"""'
            dropped.add(examples.stop)
    text = "\n".join(line for place, line in enumerate(lines) if place not in dropped)
    return OWN_ERRORS.sub("ValueError", text)


def _documentation(node: ast.stmt) -> tuple[int, int]:
    """Return the places of the first and the last line of a docstring; -1 if there is none."""
    body = getattr(node, "body", ())
    if body and _is_text(body[0]):
        return body[0].lineno - 1, (body[0].end_lineno or 0) - 1
    return -1, -1


def _examples(node: ast.stmt, lines: list[str]) -> range:
    """Return the places of the doctest at the end of a docstring, and of the lines before it."""
    first, last = _documentation(node)
    for place in range(first, last):
        if lines[place].lstrip().startswith(">>>"):
            while not lines[place - 1].strip():
                place -= 1
            return range(place, last)
    return range(0)


def _without_unused_methods(text: str) -> str:
    """Return definitions without the methods whose names nothing else mentions."""
    lines = text.splitlines()
    for cls in (each for each in ast.parse(text).body if isinstance(each, ast.ClassDef)):
        for method in cls.body:
            if not isinstance(method, ast.FunctionDef) or method.name.startswith("__"):
                continue
            own = range(_first_line(method) - 1, method.end_lineno or 0)
            rest = [line for place, line in enumerate(lines) if place not in own]
            if not any(re.search(rf"\.{method.name}\b", line) for line in rest):
                for place in (own.start - 1, *own):  # with the empty line before it
                    lines[place] = DROPPED
    kept = "\n".join(line for line in lines if line != DROPPED)
    return kept if kept == text else _without_unused_methods(kept)

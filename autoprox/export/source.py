"""Copies definitions out of their modules, with all that they need, as text that stands alone."""

from __future__ import annotations

import ast
import builtins
import json
import keyword
import sys
import textwrap
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, is_dataclass
from types import FunctionType, MappingProxyType
from typing import Any

from autoprox.errors import AutoproxError
from autoprox.export.definitions import (
    PLAIN_ERRORS,
    Definition,
    Key,
    ModuleNames,
    attributes,
    definition_of,
    edited,
    imported,
    is_allowed,
    is_as_written,
    names_beside,
    parsed,
    top_level,
    used_names,
)
from autoprox.export.pruning import KnownValues, first_line, pruned


class Copier:
    """Copies definitions; what one needs comes before it, and what none needs is left out.

    Names are kept, but for those that Python or another definition has already.

    Args:
        reserved: names that no definition may have in the copy.
        facts: what is known of parameters and attributes in `autoprox.statistics`; branches that
            it rules out are not copied.
        values: names of modules to what they hold in the copy.
        replaced: names of modules to functions and classes that stand in their place.
    """

    def __init__(
        self,
        reserved: Iterable[str],
        facts: KnownValues = MappingProxyType({}),
        values: Mapping[Key, Mapping[str, object]] = MappingProxyType({}),
        replaced: Mapping[Key, Callable[..., Any]] = MappingProxyType({}),
    ) -> None:
        self._taken = {*reserved, *dir(builtins), *keyword.kwlist}
        self._facts, self._values, self._replaced = facts, values, replaced
        self._pruned: dict[str, str] = {}
        self._roots: dict[Key, Callable[[], object]] = {}
        self._names: dict[Key, str] = {}
        self._imports: dict[Key, str] = {}
        self._copies: dict[Key, Callable[[], str]] = {}
        self._methods: set[str] = set()
        self._mentioned: set[str] = set()

    def copied(self, definition: Callable[..., Any]) -> str:
        """Copy a function or class, and return its name in the copy."""
        key = definition.__module__, definition.__qualname__
        self._roots[key] = lambda: self._object(definition)
        return self._name(key)

    def named(self, module: str, name: str) -> str:
        """Copy what a module defines or imports as `name`, and return its name in the copy."""
        return self._found(module, name, top_level(module))

    def finish(self) -> None:
        """Copy what was asked for.

        Methods are copied if something that is copied mentions them.

        Raises:
            AutoproxError: it cannot be copied.
        """
        complete = False
        while not complete:
            self._methods = {*self._mentioned}
            self._copies.clear()
            for root in self._roots.values():
                root()
            complete = self._mentioned <= self._methods

    def _name(self, key: Key) -> str:
        if key not in self._names:
            self._names[key] = self._free(key[1].rpartition(".")[2])
        return self._names[key]

    def _object(self, definition: Callable[..., Any]) -> str:
        """Copy a function or class."""
        key, known = (definition.__module__, definition.__qualname__), names_beside(definition)
        if isinstance(known.get(key[1]), Definition):
            return self._found(*key, known)
        if key not in self._copies:
            self._copy(key, definition_of(definition), known)
        return self._name(key)

    def _found(self, module: str, name: str, known: ModuleNames) -> str:
        """Copy the definition or the import that `name` is in a module, and return its name."""
        key = module, name
        if key in self._replaced:
            return self._object(self._replaced[key])
        origin = known.get(name)
        if key in self._values:
            if key not in self._copies:
                text = f"{self._name(key)} = {self._written(self._values[key])}"
                self._copies[key] = lambda: text
            return self._name(key)
        if isinstance(origin, Definition) and is_as_written(module, name, origin):
            if key not in self._copies:
                self._copy(key, self._reduced(module, origin), known)
            return self._name(key)
        if origin is None or isinstance(origin, Definition):
            raise AutoproxError(
                f"{name!r}, which {module} uses, is not what one statement there says, and an "
                "export copies one: define it by a statement of its own, and change it nowhere else"
            )
        source, original = origin
        if is_allowed(source):
            if origin not in self._imports:
                self._imports[origin] = self._free(name)
            return self._imports[origin]
        if original and source.partition(".")[0] in ("autoprox", module.partition(".")[0]):
            return self.named(source, original)
        raise AutoproxError(
            f"{name!r}, which {module} uses, is from {source}; an export needs torch alone: use "
            "torch, or define it inside of the function"
        )

    def _reduced(self, module: str, definition: Definition) -> Definition:
        """Leave out methods that nothing mentions, and branches that are never taken."""
        node, lines = definition.node, definition.text.splitlines()
        for member in reversed(node.body if isinstance(node, ast.ClassDef) else [node]):
            if not isinstance(member, ast.FunctionDef):
                continue
            is_special = member is node or member.name.startswith("__")
            if not is_special and member.name not in self._methods:
                lines[first_line(member) - 2 : member.end_lineno] = []  # with the line before it
            elif module.startswith("autoprox.statistics."):
                place = slice(member.lineno - 1, member.end_lineno)
                text = "\n".join(lines[place])
                if text not in self._pruned:
                    constants = vars(sys.modules[module])
                    self._pruned[text] = pruned(text, self._facts, constants)
                lines[place] = [self._pruned[text]]
        return parsed("\n".join(lines))

    def _copy(self, key: Key, definition: Definition, known: ModuleNames) -> None:
        """Copy a definition after what it needs."""
        module, name = key[0], key[1].rpartition(".")[2]
        new = self._name(key)
        self._copies[key] = str  # lest what needs itself is copied without end
        self._mentioned |= attributes(definition.text)
        needed = {name: new}
        used = used_names(definition)
        for use in used:
            if use.id in needed or use.id in PLAIN_ERRORS:
                continue
            if use.id in known:
                needed[use.id] = self._found(module, use.id, known)
            elif not hasattr(builtins, use.id):
                raise AutoproxError(
                    f"{name!r} cannot be exported: {use.id!r}, which it uses, is not defined by a "
                    f"statement of its own in {module}"
                )
        for source in imported(definition):
            if not is_allowed(source):
                raise AutoproxError(
                    f"{name!r} cannot be exported: it imports {source}, but an export needs torch "
                    "alone"
                )
        names = {use: needed.get(use.id, use.id) for use in used}
        del self._copies[key]  # it comes after what it needs
        self._copies[key] = lambda: edited(definition, names, new)

    def _written(self, value: object) -> str:
        """Return the expression of a value, after what it needs."""
        if isinstance(value, str):
            return json.dumps(value, ensure_ascii=False)
        if isinstance(value, Mapping):
            lines = [
                f"{self._written(key)}: {self._written(member)}," for key, member in value.items()
            ]
            return "{\n" + textwrap.indent("\n".join(lines), "    ") + "\n}"
        if is_dataclass(value) and not isinstance(value, type):
            held = {field.name: getattr(value, field.name) for field in fields(value)}
            changed = [
                f"    {field.name}={self._written(held[field.name])},"
                for field in fields(value)
                if held[field.name] != field.default
            ]
            return "\n".join([f"{self._object(type(value))}(", *changed, ")"])
        return self._object(value) if isinstance(value, (type, FunctionType)) else repr(value)

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
        """The definitions."""
        return "\n\n\n".join(text() for text in self._copies.values())


def _rank(name: str) -> tuple[int, str]:
    """Order names of imports as ruff does: constants, classes, functions."""
    return (0 if name.isupper() and len(name) > 1 else 1 if name[0].isupper() else 2), name

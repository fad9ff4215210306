"""Leaves out of a function what cannot happen, given what some of its values are.

The modules of statistics measure whatever is asked for, and decide what to do by conditions such as
``if "act" in self.asked``. Where it is known what is asked for, the conditions are known too.
"""

from __future__ import annotations

import ast
import operator
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

KnownValues: TypeAlias = Mapping[str, object]
"""What parameters (``"name"``) and attributes (``".name"``) are, wherever they occur."""

Statements: TypeAlias = list[ast.stmt]

Edit: TypeAlias = tuple[int, int, Sequence[str]]
"""The first and the last of some lines, counted from 1, and what they become."""

OPERATIONS: Mapping[type[ast.AST], Callable[[Any, Any], object]] = {
    ast.BitAnd: operator.and_,
    ast.BitOr: operator.or_,
    ast.Sub: operator.sub,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
    ast.In: lambda member, members: member in members,
    ast.NotIn: lambda member, members: member not in members,
}
"""The operations whose results are worked out."""

LEAVES = (ast.Return, ast.Raise, ast.Continue, ast.Break)
"""The statements after which nothing in their block is reached."""


def pruned(text: str, facts: KnownValues, constants: Mapping[str, object]) -> str:
    r"""Return the text of a function, which may be indented, without what cannot happen.

    Variables that are no longer used go too, where nothing is called to fill them.

    Args:
        text: the function.
        facts: what is known of parameters and attributes.
        constants: what the names in capital letters are.

    >>> text = "def f(x, asked):\n    return x * x if 'square' in asked else x"
    >>> print(pruned(text, {"asked": {"cube"}}, {}))
    def f(x, asked):
        return x
    """
    if not any(re.search(rf"\b{name.removeprefix('.')}\b", text) for name in facts):
        return text
    lines = ["class _:", *text.splitlines()] if text.startswith(" ") else text.splitlines()
    while edit := next(_Function(lines, facts, constants).edits(), None):
        first, last, others = edit
        lines[first - 1 : last] = "\n".join(others).splitlines()
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines).removeprefix("class _:\n"))


class _Unknown(Exception):
    """What an expression gives is not known."""


class _Function:
    """What is known of a function, and what can be left out of it; see `pruned`."""

    def __init__(
        self, lines: list[str], facts: KnownValues, constants: Mapping[str, object]
    ) -> None:
        self.lines, self.facts, self.constants = lines, facts, constants
        self.nodes = [*ast.walk(ast.parse("\n".join(lines)))]
        names = [node for node in self.nodes if isinstance(node, ast.Name)]
        self.stored = Counter(node.id for node in names if isinstance(node.ctx, ast.Store))
        self.loaded = {node.id for node in names if isinstance(node.ctx, ast.Load)}
        parameters = {node.arg for node in self.nodes if isinstance(node, ast.arg)}
        self.variables = {
            name: node.value.value
            for node in self.nodes
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
            for name in _targets(node)
            if self.stored[name] == 1 and name not in parameters
        }
        self.homes: dict[ast.stmt, tuple[ast.AST, Statements]] = {
            statement: (parent, block)
            for parent in self.nodes
            for block in (getattr(parent, name, []) for name in ("body", "orelse", "finalbody"))
            for statement in (block if isinstance(block, list) else [])
        }

    def edits(self) -> Iterator[Edit]:
        """Yield what can be left out, each as if it were the only one."""
        for statement, (_, block) in self.homes.items():
            yield from self._of_statement(statement, block)
        for node in self.nodes:
            if isinstance(node, ast.IfExp) and (truth := self.truth(node.test)) is not None:
                yield self._replaced(node, self._text(node.body if truth else node.orelse))
            elif isinstance(node, ast.BoolOp):
                yield from self._of_operands(node)

    def value(self, node: ast.expr) -> Any:  # a constant of any type
        """Return what an expression gives."""
        match node:
            case ast.Constant():
                return node.value
            case ast.Name(id=name) if name in self.variables:
                return self.variables[name]
            case ast.Name(id=name) if name in self.facts and name not in self.stored:
                return self.facts[name]
            case ast.Name(id=name) if name.isupper() and name in self.constants:
                return self.constants[name]
            case ast.Attribute(attr=name) if f".{name}" in self.facts:
                return self.facts[f".{name}"]
            case ast.Set():
                return {self.value(member) for member in node.elts}
            case ast.UnaryOp(op=ast.Not()):
                return not self.value(node.operand)
            case ast.Call(func=ast.Name(id="bool"), args=[argument]):
                return bool(self.value(argument))
            case ast.BinOp(op=op) if type(op) in OPERATIONS:
                return OPERATIONS[type(op)](self.value(node.left), self.value(node.right))
            case ast.Compare(ops=[op], comparators=[right]) if type(op) in OPERATIONS:
                return OPERATIONS[type(op)](self.value(node.left), self.value(right))
        raise _Unknown

    def truth(self, node: ast.expr) -> bool | None:
        """Say whether an expression is true; None if it is not known."""
        if isinstance(node, ast.BoolOp):
            truths, decisive = {*map(self.truth, node.values)}, isinstance(node.op, ast.Or)
            return decisive if decisive in truths else None if None in truths else not decisive
        try:
            return bool(self.value(node))
        except _Unknown:
            return None

    def _of_operands(self, node: ast.BoolOp) -> Iterator[Edit]:
        """Leave out what does not matter, but for the last operand, which may be the result."""
        truths, neutral = [*map(self.truth, node.values)], isinstance(node.op, ast.And)
        *others, last = node.values
        left = [
            operand for operand, truth in zip(others, truths, strict=False) if truth is not neutral
        ]
        if neutral and False in truths:
            yield self._replaced(node, "False")
        elif len(left) < len(others):
            texts = [self._text(operand) for operand in (*left, last)]
            for place, operand in enumerate(left and (*left, last)):
                if isinstance(operand, ast.BoolOp):
                    texts[place] = f"({texts[place]})"
            yield self._replaced(node, (" and " if neutral else " or ").join(texts))

    def _of_statement(self, node: ast.stmt, block: Statements) -> Iterator[Edit]:
        place = block.index(node)
        if isinstance(node, LEAVES) and place + 1 < len(block):
            yield first_line(block[place + 1]), last_line(block[-1]), []
        elif isinstance(node, ast.If) and (truth := self.truth(node.test)) is not None:
            yield self._taken(node, node.body if truth else node.orelse)
        elif isinstance(node, ast.With) and ast.unparse(node).startswith("with nullcontext():"):
            yield node.lineno, last_line(node), self._outside(node, node.body)
        elif self._is_idle(node):
            yield self._without(node)

    def _taken(self, node: ast.If, branch: Statements) -> Edit:
        """Leave the branch of a condition that is taken."""
        if not branch:
            return self._without(node)
        start = self.lines[node.lineno - 1][: node.col_offset + 2]  # "if" or "el"
        inside: list[str] = self.lines[first_line(branch[0]) - 1 : last_line(branch[-1])]
        if inside[0].lstrip().startswith("elif "):
            word = start + "if" if start.endswith("el") else start
            inside[0] = word + inside[0].lstrip().removeprefix("elif")
        elif start.endswith("el"):
            inside = [f"{start}se:", *inside]
        else:
            inside = self._outside(node, branch)
        return node.lineno, last_line(node), inside

    def _outside(self, node: ast.stmt, block: Statements) -> list[str]:
        """Return the lines of a block in the place of the statement around it."""
        inside = self.lines[first_line(block[0]) - 1 : last_line(block[-1])]
        depth = block[0].col_offset - node.col_offset
        return [line[depth:] if not line[:depth].strip() else line for line in inside]

    def _without(self, node: ast.stmt) -> Edit:
        """Leave out a statement, and the loop or condition around it that would be empty."""
        parent, block = self.homes[node]
        first, last = first_line(node), last_line(node)
        if len(block) > 1 or self.lines[first - 1].lstrip().startswith("elif "):
            return first, last, []
        if isinstance(parent, (ast.For, ast.If)) and block is parent.body and not parent.orelse:
            return self._without(parent)
        if isinstance(parent, ast.If) and block is parent.orelse:
            return last_line(parent.body[-1]) + 1, last, []
        return first, last, [" " * node.col_offset + "pass"]

    def _is_idle(self, node: ast.stmt) -> bool:
        """Say whether a statement only gives a name to what nothing uses."""
        if isinstance(node, ast.FunctionDef):
            is_nested = isinstance(self.homes[node][0], ast.FunctionDef)
            return is_nested and node.name not in self.loaded
        if not isinstance(node, (ast.Assign, ast.AnnAssign)) or node.value is None:
            return False
        calls = any(isinstance(inner, (ast.Call, ast.NamedExpr)) for inner in ast.walk(node.value))
        names = _targets(node)
        return bool(names) and not calls and not self.loaded & {*names}

    def _text(self, node: ast.expr) -> str:
        first, last = node.lineno - 1, node.end_lineno or node.lineno
        lines = [line.encode() for line in self.lines[first:last]]  # offsets are those of bytes
        lines[-1] = lines[-1][: node.end_col_offset]
        lines[0] = lines[0][node.col_offset :]
        return b"\n".join(lines).decode()

    def _replaced(self, node: ast.expr, text: str) -> Edit:
        """Write another text in the place of an expression."""
        first, last = node.lineno, node.end_lineno or node.lineno
        before = self.lines[first - 1].encode()[: node.col_offset].decode()
        after = self.lines[last - 1].encode()[node.end_col_offset :].decode()
        return first, last, [f"{before}{text}{after}"]


def _targets(node: ast.Assign | ast.AnnAssign) -> list[str]:
    """Return the names of a statement that gives a value to names alone."""
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    names = [target.id for target in targets if isinstance(target, ast.Name)]
    return names if len(names) == len(targets) else []


def first_line(node: ast.stmt) -> int:
    """The line that a statement begins at, with its decorators."""
    marks: list[ast.expr] = getattr(node, "decorator_list", [])
    return min([node.lineno, *(mark.lineno for mark in marks)])


def last_line(node: ast.stmt) -> int:
    """The line that a statement ends at."""
    return node.end_lineno or node.lineno

"""The decorator that makes a function a primitive."""

from __future__ import annotations

import inspect
from collections.abc import Callable

from autoprox.errors import PrimitiveError
from autoprox.primitives.checks import check
from autoprox.primitives.facts import NO_FACTS, Facts, Function
from autoprox.primitives.kinds import Kind
from autoprox.primitives.primitive import KINDS_OF_FORM, PRIMITIVES, Form, Primitive


def primitive(
    form: Form | str,
    *,
    latex: str,
    kinds: tuple[type[Kind], ...] | None = None,
    commutative: bool = False,
    guard: str = "",
    formula: str = "",
    evolved: bool = True,
    facts: Facts = NO_FACTS,
) -> Callable[[Function], Function]:
    r"""Register a function as a primitive under its own name.

    Args:
        form: a `Form` or its value, such as ``"elementwise"``.
        latex: the formula, with ``{0}`` and ``{1}`` for the arguments.
        kinds: the kinds that it takes, if not all that the form allows.
        commutative: whether ``f(x, y) == f(y, x)``.
        guard: what is done where the function of mathematics is undefined.
        formula: what `latex` stands for where that is only a name, on ``x``, ``y`` and ``x_i``.
        evolved: whether evolution writes with it unless a seed proxy has it.
        facts: what holds of it, and the engine may use.

    Raises:
        PrimitiveError: the function is misdeclared, writes into its arguments, is not closed, mixes
            rows, or a fact does not hold.

    >>> @primitive("elementwise", latex=r"{0}^3")
    ... def doctest_cube(x):
    ...     '''Third power of each entry.'''
    ...     return x * x * x
    >>> _ = PRIMITIVES.unregister("doctest_cube")
    """
    try:
        form = Form(form)
    except ValueError:
        known = ", ".join(known_form.value for known_form in Form)
        raise PrimitiveError(f"unknown form {form!r} of a primitive (known: {known})") from None

    def register(function: Function) -> Function:
        arity = _arity(function, form)
        chosen = KINDS_OF_FORM[form] if kinds is None else kinds
        foreign = [kind.__name__ for kind in chosen if kind not in KINDS_OF_FORM[form]]
        if not chosen or foreign:
            raise PrimitiveError(
                f"primitive {function.__name__!r}: a {form.value} takes "
                f"{', '.join(kind.__name__ for kind in KINDS_OF_FORM[form])}; "
                f"got {', '.join(foreign) or 'no kind'}"
            )
        registered = Primitive(
            name=function.__name__,
            function=function,
            form=form,
            arity=arity,
            kinds=chosen,
            commutative=commutative,
            latex=latex,
            guard=guard,
            formula=formula,
            evolved=evolved,
            facts=facts,
        )
        check(registered)
        PRIMITIVES.register(registered.name, registered)
        return function

    return register


def _arity(function: Function, form: Form) -> int:
    name = function.__name__
    parameters = len(inspect.signature(function).parameters)
    if form is Form.ELEMENTWISE:
        if parameters not in (1, 2):
            raise PrimitiveError(
                f"primitive {name!r}: elementwise takes (x) or (x, y); got {parameters}"
            )
        return parameters
    expected = "(roles, position)" if form is Form.SELECTOR else "(x, entries)"
    if parameters != 2:
        raise PrimitiveError(
            f"primitive {name!r}: a {form.value} takes {expected}; got {parameters} arguments"
        )
    return 1

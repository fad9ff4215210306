"""What callers give functions: one value where several are meant, names of options, plain names."""

from __future__ import annotations

import functools
import inspect
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from types import MappingProxyType
from typing import Any, ParamSpec, TypeVar

from autoprox.errors import AutoproxError, UnknownNameError

T = TypeVar("T")
P = ParamSpec("P")

_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def listed(values: Any, *single: type) -> tuple[Any, ...]:
    """Return several values as a tuple, and one as a tuple of one.

    Args:
        values: several, or one: a text, a path, or what cannot be iterated over.
        single: further types that are one value, though they can be iterated over.

    >>> listed("zico"), listed(["zico", "snip"])
    (('zico',), ('zico', 'snip'))
    """
    if isinstance(values, (str, bytes, *single)) or not isinstance(values, Iterable):
        return (values,)
    return tuple(values)


def named_options(
    *settings: type, replaced: Iterable[str] = ()
) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Return a decorator that answers an unknown keyword with the nearest one.

    Args:
        settings: dataclasses whose fields the function takes too, through ``**options``.
        replaced: those of their fields that the function takes in another way.

    >>> @named_options()
    ... def greet(name):
    ...     return f"hello {name}"
    >>> greet(nane="you")
    Traceback (most recent call last):
        ...
    autoprox.errors.UnknownNameError: unknown option of greet 'nane'; did you mean 'name'? \
(known: name)
    """

    def decorated(function: Callable[P, T]) -> Callable[P, T]:
        parameters = inspect.signature(function).parameters.values()
        known = {
            parameter.name for parameter in parameters if parameter.kind != parameter.VAR_KEYWORD
        }
        known |= {field.name for record in settings for field in fields(record)} - set(replaced)

        @functools.wraps(function)
        def checked(*args: P.args, **kwargs: P.kwargs) -> T:
            for name in kwargs:
                if name not in known:
                    raise UnknownNameError(f"option of {function.__name__}", name, known)
            return function(*args, **kwargs)

        return checked

    return decorated


def check_numbers(
    settings: Any, error: type[AutoproxError], words: Mapping[str, str] = MappingProxyType({})
) -> None:
    """Refuse what is no number, or no bool, where the default of a dataclass's field is one.

    Args:
        settings: the dataclass.
        error: what is raised.
        words: the one text that a field may have instead of a number, by the field's name.

    Raises:
        AutoproxError: there is such a field; of the type `error`.
    """
    for field in fields(settings):
        value, default = getattr(settings, field.name), field.default
        whole, word = type(default) is int, words.get(field.name)
        if word is not None and value == word:
            continue
        if type(default) is bool and type(value) is not bool:
            raise error(f"{field.name} is True or False; got {value!r}")
        if (whole or type(default) is float) and (
            not is_finite(value) or (whole and not isinstance(value, int))
        ):
            kind = ("a whole number" if whole else "a number") + (f", or {word!r}" if word else "")
            raise error(f"{field.name} is {kind}; got {value!r}")


def check_counts(error: type[AutoproxError], least: int = 1, /, **counts: object) -> None:
    """Refuse what is no whole number from the least one on; a bool is none.

    Args:
        error: what is raised.
        least: the least one.
        counts: the values by the names that the message has for them.

    Raises:
        AutoproxError: there is such a value; of the type `error`.

    >>> check_counts(AutoproxError, labels=8, repeats=2.5)
    Traceback (most recent call last):
        ...
    autoprox.errors.AutoproxError: repeats is a whole number from 1; got 2.5
    """
    for name, value in counts.items():
        if type(value) is not int or value < least:
            raise error(f"{name} is a whole number from {least}; got {value!r}")


def is_finite(value: object) -> bool:
    """Say whether a value is a number, no bool, that a float64 holds and that is finite.

    >>> is_finite(3), is_finite(float("nan")), is_finite(10**400), is_finite(True), is_finite("3")
    (True, False, False, False, False)
    """
    try:
        return (
            isinstance(value, (int, float))
            and not isinstance(value, bool)
            and math.isfinite(float(value))
        )
    except OverflowError:
        return False


def is_plain_name(value: object) -> bool:
    r"""Say whether a value is text that can be printed as it is and be part of a file's name.

    >>> is_plain_name("my bench"), is_plain_name("../mine"), is_plain_name("red \x1b[31m")
    (True, False, False)
    """
    return is_printable(value) and not set(str(value)) & set("/\\")


def is_printable(value: object) -> bool:
    """Say whether a value is text, not empty, without control characters and lone surrogates."""
    return isinstance(value, str) and bool(value.strip()) and not _UNPRINTABLE.search(value)


def printable(text: str) -> str:
    r"""Return a text without what moves the cursor, colours or reorders; lines and tabs stay.

    >>> printable("red \x1b[31m")
    'red [31m'
    """
    return _UNPRINTABLE.sub(
        lambda match: match[0] if match[0] in "\n\t" or match[0] >= "\ud800" else "", text
    )

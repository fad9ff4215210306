"""The settings of a run among the arguments of the function that begins or resumes it."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import fields
from types import NoneType
from typing import Any, ParamSpec, TypeVar

from autoprox.errors import RunError
from autoprox.runtime.files import absolute, tupled

T = TypeVar("T")
P = ParamSpec("P")


def settings_in(arguments: Mapping[str, Any], record: type) -> dict[str, Any]:
    """Return those arguments that are fields of a dataclass of settings.

    Lists become tuples, and paths of images and weights ones that hold in any folder.
    """
    names = {field.name for field in fields(record)}
    settings = tupled({name: value for name, value in arguments.items() if name in names})
    for name in ("images", "teacher_weights"):
        if settings.get(name):
            settings[name] = absolute(settings[name])
    return settings


def resumed_alone(
    record: type, what: str, *beside: str, allowed: type = NoneType
) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Return a decorator that refuses settings beside ``resume``, the default ones as well.

    What is resumed keeps the settings that it began with, and these need not be the default ones.
    None, or an empty tuple, is as if it were not given.

    Args:
        record: the dataclass of the settings.
        what: is resumed, in a word.
        beside: the settings that may be given.
        allowed: a class whose objects may be given: they have to be, where no name says what they
            are.

    Raises:
        RunError: there are settings, or ``out``; by the function that is decorated.
    """
    kept = {"out", *(field.name for field in fields(record))} - {*beside}

    def decorated(function: Callable[P, T]) -> Callable[P, T]:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def checked(*args: P.args, **kwargs: P.kwargs) -> T:
            if kwargs.get("resume") is not None:
                arguments = signature.bind_partial(*args, **kwargs).arguments.items()
                options = {name: value for name, value in arguments if value not in (None, ())}
                refused = [n for n in options if n in kept and not isinstance(options[n], allowed)]
                if refused:
                    raise RunError(
                        f"a resumed {what} keeps its settings: leave out {', '.join(refused)}, or "
                        f"start a new {what}"
                    )
            return function(*args, **kwargs)

        return checked

    return decorated

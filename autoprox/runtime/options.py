"""The settings of a run among the arguments of the function that begins or resumes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from autoprox.runtime.files import absolute, tupled


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


def not_default(settings: Mapping[str, Any], record: type) -> list[str]:
    """Return the names of the settings that are not what a dataclass has by default."""
    return [
        field.name
        for field in fields(record)
        if field.name in settings and settings[field.name] != field.default
    ]

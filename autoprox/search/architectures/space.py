"""Search spaces: what a search needs to know of the architectures that it may choose from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, Protocol, TypeAlias, TypeVar

from torch import nn

from autoprox.benches import Architecture, Bench, load_bench
from autoprox.benches.registry import called, executed, file_digest, remembered
from autoprox.benches.spaces import AutoFormerSpace, BenchSpace, NB201Space, pit_space
from autoprox.errors import (
    AutoproxError,
    BenchError,
    CacheError,
    SpaceError,
    UnknownNameError,
    reason_of,
)
from autoprox.runtime.arguments import is_plain_name
from autoprox.runtime.files import canonical, user_path
from autoprox.runtime.registry import Registry

Config: TypeAlias = Mapping[str, Any]
"""The description of one architecture: a flat mapping of JSON values."""

Result = TypeVar("Result")


class Space(Protocol):
    """Architectures that can be drawn, changed and built.

    All that is random comes from the generator that is given; `build` draws from torch's default
    generator only. A space may also have

    * ``crossover(first, second, random)``, which mixes two configurations (for `pareto`);
    * ``key(config)``, a text that only equal networks share, by default that of the configuration;
    * ``inputs(batch, seed)``, ``loss(outputs, targets)`` and ``outputs(output)``, as a `Bench` has
      them, for networks that take or return something else; with ``inputs`` it needs neither
      ``input_shape`` nor ``classes``;
    * ``version``, a text that changes whenever a configuration gives another network. A space in a
      file has the file's content for it.

    `ChoiceSpace` has all of these for architectures that are one option of each of some choices.
    """

    @property
    def name(self) -> str:
        """A short word."""

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one input, without the batch."""

    @property
    def classes(self) -> int:
        """The number of logits."""

    def sample(self, random: Random) -> Config:
        """Draw a configuration."""

    def mutate(self, config: Config, random: Random) -> Config:
        """Return a configuration that differs a little; `config` stays as it is."""

    def build(self, config: Config) -> nn.Module:
        """Return an untrained network, ``(batch, *input_shape) -> (batch, classes)``."""


NEEDED = ("sample", "mutate", "build")

NUMERIC = ("resnet64", "macro", "natssss")
"""The benches whose architectures are vectors of numbers; they are spaces, too."""

SPACES: Registry[Callable[[], Space]] = Registry("space")
"""Name to what makes the space."""

SPACES.register("autoformer", AutoFormerSpace)
SPACES.register("pit", pit_space)
SPACES.register("nb201", NB201Space)
for _name in NUMERIC:
    SPACES.register(_name, partial(lambda name: BenchSpace(load_bench(name)), _name))


class _UnknownSpaceError(UnknownNameError):
    """A name that no space has; says that a path works too."""

    def __str__(self) -> str:
        return f"{super().__str__()}; a path to a .py file that defines `space` works too"


def load_space(source: str | Path | Space) -> Space:
    """Return the space of a name, or the one that a Python file defines as ``space``.

    Raises:
        UnknownNameError: no space has that name, and it does not end with ``.py``.
        SpaceError: the file is missing, fails or defines no space, or an object is none.
    """
    if not isinstance(source, (str, Path)):
        return _checked(source, type(source).__name__)
    text = str(source)
    if text.endswith(".py"):
        try:
            return remembered(user_path(text), "space", _space_in)
        except BenchError as error:
            raise SpaceError(str(error)) from None
    if text not in SPACES:
        raise _UnknownSpaceError("space", text, SPACES)
    return SPACES[text]()


def _space_in(path: Path, _: str) -> Space:
    """Execute a file, and return its space."""
    space = getattr(executed(path), "space", None)
    if space is None:
        raise SpaceError(
            f"{path} defines no `space`; it must define an object, or a class, with name, "
            f"input_shape, classes, {', '.join(NEEDED)}"
        )
    return _checked(called(path, space) if isinstance(space, type) else space, str(path))


def _checked(space: Any, where: str) -> Space:
    """Return a space that has all that one needs."""
    missing = [name for name in NEEDED if not callable(getattr(space, name, None))]
    fed = getattr(space, "inputs", None) is not None
    shapes = () if fed else ("input_shape", "classes")
    missing += [name for name in ("name", *shapes) if not hasattr(space, name)]
    if missing:
        raise SpaceError(
            f"{where}: a space has name, input_shape, classes, sample(random), "
            f"mutate(config, random) and build(config); this one lacks {', '.join(missing)}"
        )
    shape, classes = ((1,), 2) if fed else (space.input_shape, space.classes)
    sides = isinstance(shape, tuple | list) and all(
        type(side) is int and side > 0 for side in shape
    )
    whole = type(classes) is int and classes > 1
    if not is_plain_name(space.name) or not sides or not shape or not whole:
        raise SpaceError(
            f"{where}: name is a short text without slashes, input_shape the sides of one input, "
            f"such as (3, 32, 32), and classes a number from 2; got {space.name!r}, {shape!r} and "
            f"{classes!r}"
        )
    checked: Space = space
    return checked


def version_of(space: Space, source: str | Path | Space) -> str | None:
    """Return the version of a space's networks; None if the space declares none."""
    declared = getattr(space, "version", None)
    if isinstance(source, (str, Path)) and str(source).endswith(".py"):
        return f"{declared or ''} {file_digest(user_path(source))}".strip()
    return None if declared is None else str(declared)


def asked(space: Space, name: str, function: Callable[..., Result], *arguments: Any) -> Result:
    """Call one of a space's methods, which may be anybody's and raise anything.

    Raises:
        SpaceError: it fails.
    """
    try:
        return function(*arguments)
    except AutoproxError:
        raise
    except Exception as error:
        raise SpaceError(f"{name} of space {space.name!r} failed: {reason_of(error)}") from error


def text_of(space: Space, config: Config) -> str:
    """Return the canonical text of a configuration.

    Raises:
        SpaceError: it is no mapping of JSON values.
    """
    try:
        if not isinstance(config, Mapping):
            raise CacheError("")
        return canonical(dict(config))
    except CacheError:
        raise SpaceError(
            f"space {space.name!r}: a configuration is a mapping of names to JSON values "
            f"(numbers, text, lists); got {config!r}"
        ) from None


def key_of(space: Space, config: Config) -> str:
    """Return a text that only equal networks share."""
    text = text_of(space, config)
    method = getattr(space, "key", None)
    return text if method is None else str(asked(space, "key", method, config))


def bench_of(space: Space, configs: list[Config], version: str | None = None) -> Bench:
    """Return a bench whose architectures nobody has trained: networks to be scored.

    Its figures are place-holders, since a bench has some; nothing reads them.
    """
    rows = tuple(
        Architecture(text_of(space, config), space.name, dict(config), {"none": 0.0})
        for config in configs
    )
    return Bench(
        name=f"space {space.name}",
        architectures=rows,
        build=partial(_built, space),
        version=version or "1",
        **_shown(space),
    )


def _shown(space: Space) -> dict[str, Any]:
    """Return what a bench has to know of what the networks take and return."""
    methods = {name: getattr(space, name, None) for name in ("inputs", "loss", "outputs")}
    if methods["inputs"] is not None:
        return methods
    return {**methods, "input_shape": tuple(space.input_shape), "classes": space.classes}


def _built(space: Space, architecture: Architecture) -> nn.Module:
    return space.build(architecture.config)


def build(space: str | Path | Space, config: Config, *, seed: int = 0) -> nn.Module:
    """Return the untrained network of a configuration, with the weights that a search scored.

    Args:
        space: a name, a Python file that defines ``space``, or a space.
        config: the configuration, as in a search's ``top.json``.
        seed: of the weights, a search's ``probe_seed``.

    Raises:
        UnknownNameError: there is no such space.
        SpaceError: the space cannot be used, or cannot build this.
    """
    loaded = load_space(space)
    bench = bench_of(loaded, [config])
    return asked(loaded, "build", bench.network, bench.architectures[0], seed)

"""What a bench has to be, and what its networks have to return."""

from __future__ import annotations

import reprlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from autoprox.errors import BenchError
from autoprox.runtime.arguments import is_finite, is_plain_name, is_printable

if TYPE_CHECKING:
    from autoprox.benches.bench import Architecture, Bench

PERCENT = 10.0
"""Percentages of a trained network are rarely lower; those of a failed training are."""


MIXED = (
    "{} is a fraction among percentages; write all figures in one unit, and none where a training "
    "failed"
)


def check_bench(bench: Bench) -> None:
    """Refuse what cannot be a bench.

    Raises:
        BenchError: it cannot; the message names what is wrong.
    """
    _check_texts(bench)
    _check_rows(bench)
    _check_targets(bench)
    _check_network(bench)


def check_outputs(bench: Bench) -> None:
    """Build a network of each space, and refuse one with more or fewer outputs than classes.

    A network that fails is passed over: whoever measures it says how. So is a bench that says what
    its inputs, loss or outputs are: its networks may return anything.

    Raises:
        BenchError: it has, or `build` returns no network.
    """
    import torch

    if bench.inputs or bench.loss or bench.outputs:
        return
    for space in bench.spaces:
        architecture = bench.in_space(space)[0]
        try:
            network = bench.network(architecture).eval()
            with torch.random.fork_rng(devices=[]), torch.no_grad():
                outputs = network(torch.zeros(1, *bench.input_shape))
        except BenchError:
            raise
        except Exception:  # a network may be anybody's and raise anything
            continue
        if isinstance(outputs, torch.Tensor) and outputs.shape[1:] != (bench.classes,):
            raise BenchError(
                f"bench {bench.name!r} says that there are {bench.classes} classes, but the "
                f"network of architecture {architecture.name!r} returns {tuple(outputs.shape)} for "
                f"one input; expected (1, {bench.classes}): correct build, or classes"
            )


def mixed_units(figures: Sequence[float | None]) -> int | None:
    """Return the place of a fraction among percentages, or None.

    A figure of at most 1 counts as a fraction if all others are percentages from `PERCENT` to 100
    and a hundred times it lies between them. The accuracy of a failed training does not.

    >>> mixed_units([71.5, 0.74, None, 76.0]), mixed_units([71.5, 0.1, 76.0])
    (1, None)
    """
    small = [figure for figure in figures if figure is not None and 0 < figure <= 1]
    others = [figure for figure in figures if figure is not None and not 0 <= figure <= 1]
    if not small or not others or min(others) < PERCENT or max(others) > 100:
        return None
    low, high = min(others), max(others)
    return next((figures.index(figure) for figure in small if low <= 100 * figure <= high), None)


def _check_texts(bench: Bench) -> None:
    """Refuse a name that cannot be part of a file's name, and texts that are none."""
    if not is_plain_name(bench.name):
        raise BenchError(
            f"the name of a bench is a short text without slashes and control characters, such as "
            f"'mine'; got {bench.name!r}"
        )
    for key in ("description", "citation", "source", "version", "kind"):
        if not isinstance(getattr(bench, key), str):
            raise BenchError(
                f"bench {bench.name!r}: {key} is to be a text; got {getattr(bench, key)!r}"
            )
    for key in ("caveats", "targets", "default_targets", "default_statistics", "lower_is_better"):
        for text in getattr(bench, key) or ():
            if not isinstance(text, str) or (key != "caveats" and not is_printable(text)):
                raise BenchError(f"bench {bench.name!r}: {key} are to be texts; got {text!r}")
    if not callable(bench.build):
        raise BenchError(
            f"bench {bench.name!r}: build is to be a function from an architecture to its network; "
            f"got {bench.build!r}"
        )


def _check_rows(bench: Bench) -> None:
    """Refuse an empty table, rows that are none, and names that occur twice."""
    if not bench.architectures:
        raise BenchError(
            f"bench {bench.name!r} has no architecture; at least one is needed: is its table empty?"
        )
    for row in bench.architectures:
        if not isinstance(getattr(row, "accuracies", None), Mapping):
            raise BenchError(
                f"bench {bench.name!r}: architectures are to be those of read_table, or "
                f"Architecture(name, space, config, accuracies); got {row!r}"
            )
    name, count = Counter(row.name for row in bench.architectures).most_common(1)[0]
    if count > 1:
        raise BenchError(
            f"bench {bench.name!r}: {count} architectures are named {name!r}; names must be unique"
        )


def _check_targets(bench: Bench) -> None:
    """Refuse targets without a column and figures that are no numbers."""
    if not bench.targets:
        raise BenchError(
            f"bench {bench.name!r} has no target: its first architecture has no figure, and none "
            "is named in targets"
        )
    for words, listed in (
        ("default target", bench.default_targets),
        ("lower-is-better target", bench.lower_is_better),
    ):
        for target in listed:
            if target not in bench.targets:
                raise BenchError(
                    f"bench {bench.name!r}: the {words} {target!r} is not among its targets "
                    f"({', '.join(bench.targets)})"
                )
    _check_noise(bench)
    for target in bench.targets:
        for row in bench.architectures:
            _check_figure(bench.name, row, target)
        figures = [row.accuracies[target] for row in bench.architectures]
        if all(figure is None for figure in figures):
            raise BenchError(f"bench {bench.name!r}: target {target!r} has no figure at all")
        place = mixed_units(figures)
        if place is not None:
            raise BenchError(
                f"bench {bench.name!r}: architecture {bench.architectures[place].name!r}, target "
                f"{target!r}: {MIXED.format(figures[place])}"
            )


def _check_noise(bench: Bench) -> None:
    """Refuse noise of a column that there is not, or that is no standard deviation."""
    columns = [f"{space}/{target}" for space in bench.spaces for target in bench.targets]
    if not isinstance(bench.noise, Mapping):
        raise BenchError(
            f"bench {bench.name!r}: noise is to be a mapping such as {{{columns[0]!r}: 0.3}}; got "
            f"{bench.noise!r}"
        )
    for column, noise in bench.noise.items():
        if column not in columns:
            raise BenchError(
                f"bench {bench.name!r}: noise names {column!r}, which is no space/target of it; "
                f"there are {', '.join(columns)}"
            )
        if not is_finite(noise) or noise <= 0:
            raise BenchError(
                f"bench {bench.name!r}: expected in noise a standard deviation above 0; got "
                f"{noise!r} of {column!r}"
            )


def _check_figure(bench: str, architecture: Architecture, target: str) -> None:
    """Refuse an accuracy that is missing, or neither a finite number nor None."""
    where = f"bench {bench!r}: architecture {architecture.name!r}"
    if target not in architecture.accuracies:
        raise BenchError(f"{where} has no target {target!r}; write null where there is no figure")
    figure = architecture.accuracies[target]
    if figure is not None and not is_finite(figure):
        raise BenchError(
            f"{where}, target {target!r}: expected a finite number, got {reprlib.repr(figure)}; "
            "write null where there is no figure"
        )


def _check_network(bench: Bench) -> None:
    """Refuse an input shape or a number of classes that no classifier has."""
    shape = bench.input_shape
    if bench.inputs is not None:
        if shape or bench.classes:
            raise BenchError(
                f"bench {bench.name!r} has inputs of its own, which take the place of input_shape "
                "and classes; leave these two out"
            )
    elif not shape or not all(type(side) is int and side > 0 for side in shape):
        raise BenchError(
            f"bench {bench.name!r}: input_shape is the shape of one input without the batch, such "
            f"as (3, 224, 224); got {shape!r}"
        )
    elif type(bench.classes) is not int or bench.classes < 2:
        raise BenchError(
            f"bench {bench.name!r}: expected at least 2 classes, got {bench.classes!r}"
        )
    if bench.trained and bench.bits is None:
        raise BenchError(
            f"bench {bench.name!r}: configurations of a trained network differ by their bits; give "
            "the bench bits, a function from an architecture to those of its layers"
        )

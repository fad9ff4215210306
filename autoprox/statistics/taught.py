"""A teacher beside the network, and the statistics of both."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autoprox.errors import StatisticError
from autoprox.statistics.measurement import Mode
from autoprox.statistics.passes import Passes
from autoprox.statistics.private import private_copy
from autoprox.statistics.structure import layer_names
from autoprox.statistics.subject import Subject, reseed
from autoprox.statistics.trees import Inputs, equal, mapped
from autoprox.statistics.views import View, class_gradient, energy, resized, viewed

Drawn: TypeAlias = Callable[[nn.Module, int], None]
"""Draws other weights for a network of one's own, in place, given a seed."""


@dataclass(frozen=True, slots=True, eq=False)
class Side:
    """One of the two networks that are compared, and what it shows."""

    subject: Subject
    view: View

    def class_grad(self) -> Tensor:
        """Gradient of the loss by the last layer's weight, ``(classes, features)``."""
        return class_gradient(self.subject, self.view)


@dataclass(frozen=True, slots=True, eq=False)
class Teacher:
    """A network that others are compared with; it is run once for all that see the same batch.

    Attributes:
        network: the teacher, which is never written to.
        sides: how its weights were drawn -> a copy of the last batch, with how it was read, and
            what the teacher showed of it.
    """

    network: nn.Module
    sides: dict[Drawn | None, tuple[tuple[Any, ...], Side]] = field(default_factory=dict)

    def side(self, student: Subject, drawn: Drawn | None = None) -> Side:
        """What the teacher shows of the batch that a student is shown.

        Its weights are its own, unless something draws them.

        Raises:
            StatisticError: the teacher fails on the batch, or cannot be compared.
        """
        mode: Mode = "train" if self.network.training else "eval"
        batch = student.inputs, student.targets, student.seed, student.loss, student.outputs, mode
        if drawn not in self.sides or not equal(batch, self.sides[drawn][0]):
            with of_teacher():
                copied = private_copy(self.network, mode)
                shown = shrunk(student.inputs, getattr(self.network, "image_size", None))
                subject = Subject(
                    copied, shown, student.targets, layer_names(copied), student.seed, mode,
                    loss=student.loss, outputs=student.outputs,
                )  # fmt: skip
                side = _side(subject, drawn)
                view = replace(side.view, network=f"the teacher: {side.view.network}")
                self.sides[drawn] = mapped(batch, torch.clone), replace(side, view=view)
        return self.sides[drawn][1]


@contextmanager
def of_teacher() -> Iterator[None]:
    """Say of an error that it is the teacher's."""
    try:
        yield
    except StatisticError as error:
        raise StatisticError(f"the teacher: {error}") from error.__cause__


def both(subject: Subject, drawn: Drawn | None = None) -> tuple[Side, Side]:
    """Return what a network shows, and what its teacher does.

    The weights are their own, unless something draws those of private copies of both.

    Raises:
        StatisticError: there is no teacher, or one of the two cannot be compared.
    """
    if subject.teacher is None:
        raise StatisticError("it needs a teacher: pass teacher=, a network, or --teacher resnet110")
    teacher = subject.teacher.side(subject, drawn)
    return _side(subject, drawn), teacher


def _side(subject: Subject, drawn: Drawn | None) -> Side:
    if drawn is not None:
        copied = private_copy(subject.network, subject.mode)
        drawn(copied, subject.seed)
        subject = replace(subject, network=copied)
    return Side(subject, viewed(subject))


def shrunk(inputs: Inputs, size: object) -> Inputs:
    """Return images of another size, bilinearly; inputs that are none, or of no size, as they are.

    Args:
        inputs: ``(batch, channels, height, width)`` if they are images.
        size: the side in pixels, or height and width.

    Raises:
        StatisticError: it is neither.

    >>> shrunk(torch.zeros(2, 3, 8, 8), 4).shape
    torch.Size([2, 3, 4, 4])
    """
    images = isinstance(inputs, Tensor) and inputs.ndim == 4 and inputs.is_floating_point()
    if size is None or not images:
        return inputs
    sides = tuple(size) if isinstance(size, Sequence) else (size, size)
    if len(sides) != 2 or not all(type(side) is int and side > 0 for side in sides):
        raise StatisticError(
            f"expected image_size to be a side in pixels, or height and width; got {size!r}"
        )
    return inputs if inputs.shape[2:] == sides else F.interpolate(inputs, sides, mode="bilinear")


def check_teacher(
    teacher: nn.Module | Teacher | None, network: nn.Module, taught: Sequence[str]
) -> None:
    """Raise `StatisticError` if what is called `taught` has no teacher, or it is the network."""
    module = teacher.network if isinstance(teacher, Teacher) else teacher
    if module is None and taught:
        raise StatisticError(
            f"{', '.join(map(repr, taught))} cannot be measured without a teacher: pass teacher=, "
            "a network, or --teacher resnet110"
        )
    if module is not None and not isinstance(module, nn.Module):
        raise StatisticError(
            f"expected a torch.nn.Module for the teacher; got {type(module).__name__}; "
            "autoprox.benches.teachers.build_teacher makes one of a name"
        )
    if module is network:
        raise StatisticError(
            "the teacher is the network itself, from which nothing differs; give another network"
        )


def with_teacher(subject: Subject, teacher: nn.Module | Teacher | None) -> Subject:
    """Return the subject beside a teacher."""
    if isinstance(teacher, nn.Module):
        teacher = Teacher(teacher)
    return subject if teacher is None else replace(subject, teacher=teacher)


def aligned(student: Tensor, teacher: Tensor, seed: int) -> Tensor:
    """Return ``(rows, features)`` of a student with as many features as its teacher has.

    Where they differ the features go through a random linear map, drawn from `seed` and the sizes,
    that keeps lengths on average.
    """
    features, others = student.shape[1], teacher.shape[1]
    if features == others:
        return student
    reseed(seed, f"align {features} {others}")
    mixed: Tensor = student @ (torch.randn(features, others).to(student) / others**0.5)
    return mixed


def same_classes(student: View, teacher: View) -> None:
    """Raise `StatisticError` if two networks have other numbers of classes."""
    classes, others = student.logits.shape[1], teacher.logits.shape[1]
    if classes != others:
        raise StatisticError(
            f"the teacher has {others} classes and the network {classes}, so that logits and "
            "gradients of classes cannot be compared; give a teacher of the same classes, or use "
            "what compares maps or samples"
        )


def measure_taught(passes: Passes) -> None:
    """Measure the statistics of a network and its teacher, on the last layer."""
    student, teacher = both(passes.subject)
    last, seed = len(passes.structure.layers) - 1, passes.subject.seed
    asked = {name.removeprefix("teacher_") for name in passes.asked}
    for name in sorted(asked & PAIRS.keys()):
        for prefix, matrix in zip(
            ("", "teacher_"), PAIRS[name](student, teacher, seed), strict=True
        ):
            if f"{prefix}{name}" in passes.asked:
                passes.findings.put(f"{prefix}{name}", last, matrix, matrix.numel())


def _gram(rows: Tensor) -> Tensor:
    flat = rows.flatten(1).double()
    gram: Tensor = flat @ flat.T
    return gram


def _channels(maps: Tensor) -> Tensor:
    return maps.transpose(1, 2).transpose(2, 3).flatten(0, 2)


def _map_channels(student: Side, teacher: Side, seed: int) -> tuple[Tensor, Tensor]:
    others = _channels(teacher.view.last_map)
    channels = aligned(_channels(student.view.last_map), others, seed)
    return _gram(channels.T), _gram(others.T)


def _map_energy(student: Side, teacher: Side, seed: int) -> tuple[Tensor, Tensor]:
    maps, others = resized(student.view.last_map, teacher.view.last_map)
    return energy(maps), energy(others)


def pooled(student: Side, teacher: Side, seed: int) -> tuple[Tensor, Tensor]:
    """Features of both, ``(batch, features)``, of the teacher's width."""
    others = teacher.view.pooled
    return aligned(student.view.pooled, others, seed), others


def _logits(student: Side, teacher: Side, seed: int) -> tuple[Tensor, Tensor]:
    same_classes(student.view, teacher.view)
    return student.view.logits, teacher.view.logits


def class_grads(student: Side, teacher: Side, seed: int) -> tuple[Tensor, Tensor]:
    """Gradients by the classifiers' weights, ``(classes, features)``, of the teacher's width."""
    same_classes(student.view, teacher.view)
    others = teacher.class_grad()
    return aligned(student.class_grad(), others, seed), others


PAIRS: dict[str, Callable[[Side, Side, int], tuple[Tensor, Tensor]]] = {
    "map_gram": lambda s, t, _: (_gram(s.view.last_map), _gram(t.view.last_map)),
    "map_energy": _map_energy,
    "map_channels": _map_channels,
    "pooled": pooled,
    "pooled_gram": lambda s, t, _: (_gram(s.view.pooled), _gram(t.view.pooled)),
    "logits": _logits,
    "class_grad": class_grads,
}
"""Statistic to what measures it on both: student, teacher and seed to the matrices of both."""

OF_CLASSES = ("logits", "class_grad")
"""Those that need as many classes of both."""

"""A teacher beside a training: distances to it, which are added to the loss.

Any distance of `autoprox.proxies.functions.distillation` is one, as the metrics of DisWOT are; the
command line knows those in `DISTANCES`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autoprox.errors import RunError
from autoprox.proxies.functions.distillation import Compared, relation_distance, semantic_distance
from autoprox.runtime.arguments import is_finite
from autoprox.runtime.digest import called, digest
from autoprox.runtime.registry import Registry
from autoprox.statistics.measuring import own_randomness
from autoprox.statistics.private import private_copy
from autoprox.statistics.structure import layer_names
from autoprox.statistics.subject import Subject, explained
from autoprox.statistics.taught import PAIRS, Side, of_teacher, shrunk
from autoprox.statistics.views import watching

TEMPERATURE = 4.0
"""By what `soft_label_distance` divides the logits."""


def soft_label_distance(student: Side, teacher: Side, seed: int) -> Tensor:
    """Divergence of the softened labels, in nats, times the square of `TEMPERATURE`.

    Hinton, Vinyals and Dean, Distilling the Knowledge in a Neural Network (2015).
    """
    own, others = (logits / TEMPERATURE for logits in PAIRS["logits"](student, teacher, seed))
    apart = F.kl_div(own.log_softmax(1), others.log_softmax(1), log_target=True, reduction="sum")
    return apart * TEMPERATURE**2 / len(own)


DISTANCES: Registry[Compared] = Registry("distance")
"""Distances by the names that the command line has for them."""

DISTANCES.register("semantic", semantic_distance)
DISTANCES.register("relation", relation_distance)
DISTANCES.register("soft_labels", soft_label_distance)


@dataclass(frozen=True, slots=True, eq=False)
class Distillation:
    """What a training adds to the loss of the labels: distances to a teacher, by their weights.

    Attributes:
        teacher: a trained network, which runs in evaluation mode and is left as it was.
        weights: a distance to its weight in the loss.
        options: those of the command line that say the same, for the record; empty if none do.

    Example:
        >>> from autoprox.benches.cifar.resnet import ResNet
        >>> from autoprox.proxies.functions.distillation import relation_distance
        >>> sorted(Distillation(ResNet(8), {relation_distance: 3000.0}).facts()["weights"])
        ['relation_distance']
    """

    teacher: nn.Module
    weights: Mapping[Compared, float]
    options: str = ""

    def __post_init__(self) -> None:
        """Check the weights.

        Raises:
            RunError: one is below 0, or not finite.
        """
        for name, distance in self._named().items():
            weight = self.weights[distance]
            if not is_finite(weight) or weight < 0:
                raise RunError(f"expected a weight from 0 of {name} in the loss; got {weight!r}")

    def facts(self) -> dict[str, Any]:
        """What tells one distillation from another: weights, and digests of distances and teacher.

        Objects of a user's own classes that a distance refers to count by their class alone.
        """
        teacher, named = hashlib.sha256(), self._named()
        for name, tensor in self.teacher.state_dict().items():
            teacher.update(name.encode() + tensor.detach().cpu().double().numpy().tobytes())
        return {
            "weights": {name: self.weights[distance] for name, distance in named.items()},
            "distances": {name: digest(distance).text for name, distance in named.items()},
            "teacher": teacher.hexdigest(),
        }

    def _named(self) -> dict[str, Compared]:
        """The distances by name; of several of one name, all but the first have a number."""
        named: dict[str, Compared] = {}
        for distance in self.weights:
            name = called(distance).rpartition(".")[2]
            alike = sum(other.partition(" ")[0] == name for other in named)
            named[f"{name} {alike + 1}" if alike else name] = distance
        return named


class Distilled:
    """A student beside its teacher, step by step.

    Args:
        student: the network that is trained.
        distillation: what is added to its loss.
        device: where both run.
    """

    def __init__(
        self, student: nn.Module, distillation: Distillation, device: torch.device
    ) -> None:
        self.student, self.weights = student, distillation.weights
        self.teacher = private_copy(distillation.teacher, "eval").to(device)

    def __call__(self, shown: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the student's logits, ``(batch, classes)``, and what is added to the loss.

        Raises:
            StatisticError: the teacher fails on the images, or cannot be compared.
        """
        student_side = _seen(self.student, shown, labels)
        with of_teacher(), torch.no_grad():
            size = getattr(self.teacher, "image_size", None)
            others = _seen(self.teacher, cast(Tensor, shrunk(shown, size)), labels)
        with own_randomness(shown):  # and in full precision
            terms = [
                weight * distance(student_side, others, 0)
                for distance, weight in self.weights.items()
            ]
        return student_side.view.logits, sum(
            (term.float() for term in terms), torch.zeros((), device=shown.device)
        )

    def check(self, shown: Tensor, labels: Tensor) -> None:
        """Compare both on a batch, which leaves the student as it was.

        Raises:
            StatisticError: the teacher fails on the images, or cannot be compared.
        """
        student = self.student
        self.student = private_copy(student, "train")
        try:
            self(shown, labels)
        finally:
            self.student = student


def _seen(network: nn.Module, shown: Tensor, labels: Tensor) -> Side:
    """Run a batch; what is seen is in float32, whatever the pass runs in."""
    names = layer_names(network)
    with watching(network, names, len(shown)) as watch, explained(shown):
        logits = cast(Tensor, network(shown)).float()
    view = watch.view(network, logits, logits)
    view = replace(
        view, pooled=view.pooled.float(), stages=tuple(stage.float() for stage in view.stages)
    )
    return Side(Subject(network, shown, labels, names, 0), view)

"""What a network shows where it can be compared with a teacher: its maps, features and logits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.graph import get_gradient_edge
from torch.utils.hooks import RemovableHandle

from autoprox.errors import StatisticError
from autoprox.runtime.hooks import hooked
from autoprox.statistics.channels import ChannelsFirst, ChannelsLast
from autoprox.statistics.hooks import first_tensor, plain
from autoprox.statistics.outcomes import loss_of
from autoprox.statistics.structure import owner_of
from autoprox.statistics.subject import Subject

LAYER_NORMS = (nn.LayerNorm, nn.RMSNorm)
"""Norms over the channels of each position: after one, all positions have the same energy."""


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """What one forward pass of a batch shows.

    Attributes:
        network: what the network is called.
        stages: the last map of each resolution, ``(batch, channels, height, width)``, in the order
            in which they came. A map is what a module returns before the last layer runs, if it
            has several positions; tokens in a square are laid out as one, without a class token,
            and so is a map whose channels the network moved to the end.
            What a norm over the channels returns is one only as the output of a block. A map of
            one dimension, which convolutions gave, has the height 1.
        blocks: the maps that the outermost members of ``nn.ModuleList`` and ``nn.Sequential``
            return that consist of other modules.
        pooled: what the last layer takes, ``(batch, features)``.
        logits: what the network says, ``(batch, classes)``.
        output: what the network returned, of which the logits are a part.
        answer: what the last layer gave, or where that is in the graph of `output`; None if it is
            not known, or no number for each class.
    """

    network: str
    stages: tuple[Tensor, ...]
    blocks: tuple[Tensor, ...]
    pooled: Tensor
    logits: Tensor
    output: object
    answer: Any

    @property
    def last_map(self) -> Tensor:
        """The last map.

        Raises:
            StatisticError: the network shows none.
        """
        if not self.stages:
            raise StatisticError(
                f"{self.network} shows no map to compare: none of its modules returns several "
                "positions for each sample before the last layer runs"
            )
        return self.stages[-1]


@dataclass(slots=True)
class _Watch:
    """What was seen so far, and what had been when a layer was last entered.

    `graph` says whether the pass builds a graph. If it does not, one is built all the same from
    what a layer gives until the next one is entered, for the gradient by what the last layer gives.
    """

    graph: bool
    stages: dict[torch.Size, Tensor] = field(default_factory=dict)
    blocks: list[Tensor] = field(default_factory=list)
    owner: str = ""
    features: Tensor | None = None
    before: tuple[tuple[Tensor, ...], tuple[Tensor, ...]] = ((), ())
    normed: Tensor | None = None
    answer: Any = None
    answered: torch.Size | None = None

    def left(self, feature_map: Tensor, *, block: bool) -> None:
        """Note a map that a module returned."""
        self.stages.pop(feature_map.shape[2:], None)
        self.stages[feature_map.shape[2:]] = feature_map
        self.blocks += [feature_map] if block else []

    def entered(self, owner: str, taken: Tensor | None) -> None:
        """Note that a layer runs, which may be the last one."""
        torch.set_grad_enabled(self.graph)
        self.owner, self.features, self.answer, self.answered = owner, None, None, None
        if taken is not None and taken.ndim == 2:
            self.features = taken.clone()
        self.before = tuple(self.stages.values()), tuple(self.blocks)

    def gave(self, owner: str, output: object) -> Tensor | None:
        """Note what a layer gave; return what goes on in its place, or None if that is the same."""
        vectors = owner == self.owner and self.features is not None
        if not vectors or type(output) is not Tensor or plain(output) is not output:
            return None
        self.answered = output.shape
        if output.requires_grad:
            self.answer = get_gradient_edge(output)
        elif not self.graph:
            torch.set_grad_enabled(True)
            self.answer = leaf = output.detach().requires_grad_()
            return leaf.clone()  # what follows may write into it
        return None

    def view(self, network: nn.Module, logits: Tensor, output: object) -> View:
        """Return what was seen of a network that gave `logits` as a part of its `output`.

        Raises:
            StatisticError: its last layer took no vector of features.
        """
        kind = type(network).__name__
        if self.features is None or logits.ndim != 2:
            last = f"its last layer, {self.owner!r}," if self.owner else "it"
            raise StatisticError(
                f"{kind} has no classifier to compare: {last} does not take a vector of features, "
                "and give a vector of logits, for each sample"
            )
        answer = self.answer if self.answered == logits.shape else None
        seen = View(kind, *self.before, self.features, logits, output, answer)
        return seen if self.graph else _detached(seen)


def _detached(view: View) -> View:
    """Return a view without a graph but that of the output."""
    stages, blocks = (tuple(map(Tensor.detach, maps)) for maps in (view.stages, view.blocks))
    pooled, logits = view.pooled.detach(), view.logits.detach()
    return replace(view, stages=stages, blocks=blocks, pooled=pooled, logits=logits)


def viewed(subject: Subject) -> View:
    """Run the batch once and return what it shows.

    Raises:
        StatisticError: the network fails, or its last layer takes no vector of features.
    """
    with torch.no_grad(), watching(subject.network, subject.names, subject.batch) as watch:
        output = subject.forward(subject.inputs, subject.state(), 0)
        logits = subject.logits(output, subject.batch)
    return watch.view(subject.network, logits, output)


@contextmanager
def watching(network: nn.Module, layers: Sequence[str], batch: int) -> Iterator[_Watch]:
    """Look at a network while it runs `batch` samples, by the names of its layers' weights.

    What is seen has a graph if the pass builds one.
    """
    watch, inner = _Watch(torch.is_grad_enabled()), _blocks(network)
    first, last = ChannelsFirst(), ChannelsLast()
    owners = {owner_of(name) for name in layers}

    def hooks() -> Iterator[RemovableHandle]:
        for name, module in network.named_modules():

            def leave(module: nn.Module, _in: object, output: object, name: str = name) -> None:
                tensor = first_tensor(output)
                if isinstance(module, LAYER_NORMS):
                    watch.normed = tensor
                shown = tensor
                if tensor is not None and tensor in first:
                    shown = tensor.unsqueeze(2)
                elif tensor is not None and tensor in last:
                    shown = tensor.movedim(-1, 1)
                feature_map = _map(shown, batch)
                if feature_map is not None and (name in inner or tensor is not watch.normed):
                    watch.left(feature_map, block=name in inner)

            def enter(
                _module: nn.Module, args: tuple[Any, ...], kwargs: Any, name: str = name
            ) -> None:
                watch.entered(name, first_tensor((*args, *kwargs.values())))

            def gave(_module: nn.Module, _in: object, out: object, name: str = name) -> object:
                return watch.gave(name, out)

            yield module.register_forward_hook(leave)
            if name in owners:
                yield module.register_forward_pre_hook(enter, with_kwargs=True)
                yield module.register_forward_hook(gave)

    with hooked(hooks()), first, last:
        try:
            yield watch
        finally:
            torch.set_grad_enabled(watch.graph)


def class_gradient(subject: Subject, view: View) -> Tensor:
    """Gradient of the loss with respect to the last layer's weight, ``(classes, features)``.

    It has a graph if the view has one.

    Raises:
        StatisticError: the loss fails, or does not depend on that layer.
    """
    answer, output = view.answer, view.output
    if answer is None:  # what the network says is taken for what its last layer gives
        answer = output = view.logits.clone().requires_grad_()
        subject = replace(subject, outputs=None)
    loss = loss_of(subject, output, 0, subject.batch)
    (grad,) = torch.autograd.grad(
        loss, answer, retain_graph=True, create_graph=view.logits.requires_grad, allow_unused=True
    )
    if grad is None:
        raise StatisticError("the loss does not depend on what the last layer gives")
    weight: Tensor = grad.to(view.pooled).T @ view.pooled
    return weight


def resized(student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    """Return two maps in the larger height and width of both, bilinearly."""
    sizes = zip(student.shape[2:], teacher.shape[2:], strict=True)
    size = [max(pair) for pair in sizes]
    student, teacher = (
        maps if list(maps.shape[2:]) == size else F.interpolate(maps, size, mode="bilinear")
        for maps in (student, teacher)
    )
    return student, teacher


def energy(maps: Tensor) -> Tensor:
    """Mean over the channels of the squares of a map, ``(batch, positions)``."""
    return maps.square().mean(1).flatten(1)


def _map(output: Tensor | None, batch: int) -> Tensor | None:
    """Return an output as a map ``(batch, channels, height, width)``; None if it is none."""
    if output is None or not output.is_floating_point() or output.shape[:1] != (batch,):
        return None
    if output.ndim == 4 and output.shape[2:].numel() > 1:
        return output.clone()
    if output.ndim != 3 or output.shape[1] < 2:
        return None
    tokens = output.shape[1]
    side = round((tokens - 1) ** 0.5)
    if side > 1 and side * side == tokens - 1:
        output = output[:, 1:]
    else:
        side = round(tokens**0.5)
    grid = (side, side) if side * side == output.shape[1] else (1, tokens)
    return output.transpose(1, 2).reshape(batch, -1, *grid).clone()


def _blocks(network: nn.Module) -> set[str]:
    """Names of the outermost members of containers that consist of other modules."""
    paths: set[str] = set()

    def look(module: nn.Module, prefix: str) -> None:
        contained = isinstance(module, (nn.ModuleList, nn.Sequential))
        for name, child in module.named_children():
            path = f"{prefix}.{name}" if prefix else name
            container = isinstance(child, (nn.ModuleList, nn.Sequential))
            if contained and not container and any(True for _ in child.children()):
                paths.add(path)
            else:
                look(child, path)

    look(network, "")
    return paths

"""Running a network for an exported proxy; copied into the export, so it needs torch alone."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils.hooks import RemovableHandle

from autoprox.statistics.measurement import Mode
from autoprox.statistics.structure import couples_samples, hooked, in_mode, owner_of
from autoprox.statistics.words import MICRO_BATCHES


@dataclass(frozen=True)
class Subject:
    """A network with the batch that it is measured on; the network is never written to.

    Attributes:
        network: the network.
        inputs: ``(batch, ...)``.
        targets: ``(batch,)`` of class numbers, or None.
        layers: qualified names of the layers' weights.
        bits: that trained weights are to be quantised to; None if none are.
    """

    network: nn.Module
    inputs: Tensor
    targets: Tensor | None
    layers: tuple[str, ...]
    bits: Sequence[int] | None = None

    @property
    def mode(self) -> Mode:
        """The mode that the network runs in: trained ones as they are used."""
        return "train" if self.bits is None else "eval"


@contextmanager
def measuring(device: torch.device) -> Iterator[None]:
    """Take gradients, whatever the caller does, and leave torch's random state as it was."""
    devices = [device] if device.type == "cuda" else []
    with (
        torch.random.fork_rng(devices=devices),
        torch.inference_mode(False),
        torch.enable_grad(),
    ):
        yield


def seed(place: object) -> None:
    """Seed what the network draws, such as dropout, so that no pass depends on another."""
    torch.manual_seed(zlib.crc32(f"0 {place}".encode()))


def state_of(network: nn.Module, layers: Sequence[str] = ()) -> dict[str, Tensor]:
    """Parameters and copies of the buffers, with gradients for the weights of `layers`."""
    state = {name: tensor.detach() for name, tensor in network.named_parameters()}
    state |= {name: tensor.detach().clone() for name, tensor in network.named_buffers()}
    for layer in layers:
        state[layer].requires_grad_()
    return state


def micro_batches(subject: Subject) -> list[tuple[int, int]]:
    """First and last + 1 sample of four parts of the batch, whose lengths differ by 1 at most."""
    batch = len(subject.inputs)
    return list(pairwise(round(batch * part / MICRO_BATCHES) for part in range(MICRO_BATCHES + 1)))


def parts(subject: Subject) -> list[tuple[int, int]]:
    """First and last + 1 sample of what runs together: all where batch norm couples the samples."""
    batch = len(subject.inputs)
    if batch < MICRO_BATCHES or coupled(subject):
        return [(0, batch)]
    return micro_batches(subject)


def coupled(subject: Subject) -> bool:
    """Whether what the network says of a sample depends on the others."""
    return subject.mode == "train" and couples_samples(subject.network)


def logits_of(subject: Subject, state: Mapping[str, Tensor], low: int, high: int) -> Tensor:
    """Logits of the samples from `low` to `high`.

    Raises:
        ValueError: they are not finite.
    """
    seed(low)
    with in_mode(subject.network, subject.mode):
        logits: Tensor = functional_call(subject.network, dict(state), (subject.inputs[low:high],))
    if not torch.isfinite(logits).all():
        raise ValueError("the network's logits are not finite")
    return logits


def loss_of(subject: Subject, low: int, high: int) -> tuple[Tensor, dict[str, Tensor]]:
    """Mean cross-entropy of the samples from `low` to `high`, and the weights it depends on."""
    if subject.targets is None:
        raise ValueError("this proxy needs targets: the classes of the inputs, int64 (batch,)")
    state = state_of(subject.network, subject.layers)
    logits = logits_of(subject, state, low, high)
    loss = F.cross_entropy(logits, subject.targets[low:high])
    return loss, {layer: state[layer] for layer in subject.layers}


def gradients_of(
    outcome: Tensor, weights: Mapping[str, Tensor], *, again: bool = False, twice: bool = False
) -> dict[str, Tensor]:
    """Gradients of a number with respect to `weights`.

    Args:
        outcome: the number.
        weights: layer to weight.
        again: whether other outcomes of the same forward pass follow.
        twice: whether the gradients are to be differentiated again.
    """
    found = torch.autograd.grad(
        outcome, list(weights.values()), retain_graph=again or None, create_graph=twice
    )
    return dict(zip(weights, found, strict=True))


def added(total: dict[str, Tensor], more: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Sums, layer by layer; of `more` alone if there is no total yet."""
    return {layer: total[layer] + each if total else each for layer, each in more.items()}


def ones_gradients(subject: Subject, *, absolute: bool) -> dict[str, Tensor]:
    """Gradients of the summed logits for one input of ones, in float64.

    Batch norm uses its running statistics: it could not normalise a single sample.

    Args:
        subject: the network and the batch.
        absolute: whether every parameter is replaced by its absolute value.
    """
    parameters = dict(subject.network.named_parameters())
    state = {}
    for name, tensor in state_of(subject.network).items():
        exact = tensor.double() if tensor.is_floating_point() else tensor
        state[name] = exact.abs() if absolute and name in parameters else exact
        state[name].requires_grad_(name in subject.layers)
    ones = torch.ones_like(subject.inputs[:1])
    ones = ones.double() if ones.is_floating_point() else ones
    seed("flow")
    with in_mode(subject.network, subject.mode, batch_norm=False):
        logits = functional_call(subject.network, state, (ones,))
    return gradients_of(logits.sum(), {layer: state[layer] for layer in subject.layers})


def run_one_sample(subject: Subject) -> None:
    """Run the first sample alone, for hooks to see; batch norm uses its running statistics."""
    seed("trace")
    with in_mode(subject.network, subject.mode, batch_norm=False), torch.no_grad():
        functional_call(subject.network, state_of(subject.network), (subject.inputs[:1],))


def ignored(*_: object) -> None:
    """Do nothing."""


@contextmanager
def watched(
    network: nn.Module,
    names: Sequence[str],
    entering: Callable[[str], None] = ignored,
    leaving: Callable[[str, object], None] = ignored,
) -> Iterator[None]:
    """Tell when the modules `names` of a network run, and what they return."""

    def attach(handles: list[RemovableHandle]) -> None:
        for name in dict.fromkeys(names):
            module = network.get_submodule(name)
            handles.append(
                module.register_forward_pre_hook(lambda _m, _i, name=name: entering(name))
            )
            handles.append(
                module.register_forward_hook(lambda _m, _i, out, name=name: leaving(name, out))
            )

    with hooked(attach):
        yield


def owners(subject: Subject) -> list[str]:
    """Qualified names of the modules that own the layers' weights."""
    return [owner_of(layer) for layer in subject.layers]

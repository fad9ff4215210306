"""A network with its batch, how it runs on it, and what is known before it is measured."""

from __future__ import annotations

import random
import sys
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from autoprox.errors import StatisticError, reason_of
from autoprox.statistics.layers import hint_of_packed, may_be_packed
from autoprox.statistics.looking import close, look, several_rows
from autoprox.statistics.measurement import Mode
from autoprox.statistics.outcomes import Loss, Outputs, adds_up, check_output, logits_of
from autoprox.statistics.private import placed, result_of
from autoprox.statistics.structure import Structure, couples_samples, trace
from autoprox.statistics.trees import Inputs, Targets, batch_of, one_sample, rows, told
from autoprox.statistics.words import MICRO_BATCHES

if TYPE_CHECKING:
    from autoprox.statistics.taught import Teacher

ONE_SAMPLE = frozenset({"count", "flow", "ones", "own", "static", "teacher"})
"""The groups of statistics for which it does not matter whether samples depend on others."""

COMPARING_PARTS = frozenset({"forward", "hessian", "jacobian", "loss"})
"""The groups whose passes run the first sample among others, and show if it depends on them."""


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """A network with the batch that it is measured on.

    Attributes:
        network: the network, which is never written to.
        inputs: ``(batch, ...)``, or a tree of such tensors.
        targets: ``(batch,)``, or another tree, or None.
        names: the layers, in the order of registration.
        seed: what is random inside the network depends on it.
        mode: the mode that the network runs in.
        bits: layer -> the bits that its weight is to be quantised to; empty if it is not.
        loss: of what the network returns and the targets; None for the mean cross-entropy.
        outputs: what takes the logits of what the network returns; None for the usual, see
            `autoprox.statistics.outcomes.picked`.
        original: the network that `network` is a private copy of, or None.
        written: parameters that the network writes into while it runs.
        packed: names of quantised weights.
        dependent: whether samples were seen to depend on others.
        alone: what the network returns for the first samples, each alone, to be compared with what
            it returns for them among others; empty if that is known.
        teacher: that the network is compared with, or None.
    """

    network: nn.Module
    inputs: Inputs
    targets: Targets
    names: tuple[str, ...]
    seed: int
    mode: Mode = "train"
    bits: Mapping[str, int] = field(default_factory=dict)
    loss: Loss | None = None
    outputs: Outputs | None = None
    original: nn.Module | None = None
    written: frozenset[str] = frozenset()
    packed: tuple[str, ...] = ()
    dependent: bool = False
    alone: tuple[tuple[Tensor, ...], ...] = ()
    teacher: Teacher | None = None

    @property
    def batch(self) -> int:
        """Number of samples."""
        return batch_of(self.inputs)

    def part(self, low: int, high: int) -> Inputs:
        """The inputs of the samples from `low` to `high`."""
        return rows(self.inputs, slice(low, high))

    def state(self) -> dict[str, Tensor]:
        """Parameters, detached, and copies of the buffers: what a pass may use up."""
        parameters = {
            name: tensor if may_be_packed(tensor) else tensor.detach()
            for name, tensor in self.network.named_parameters()
        }
        parameters |= {name: parameters[name].clone() for name in self.written & parameters.keys()}
        buffers = {name: tensor.detach().clone() for name, tensor in self.network.named_buffers()}
        return parameters | buffers

    def leaves(self) -> dict[str, Tensor]:
        """The state, with gradients for the layers' weights."""
        state = self.state()
        for name in self.names:
            state[name].requires_grad_()
        return state

    def parts(self) -> list[tuple[int, int]]:
        """First and last + 1 sample of the parts that run one after the other.

        Four parts where no sample depends on another: their mean gradient is the batch's, so that
        the micro-batches of ZiCo cost nothing more, and the graph of a quarter of the batch is in
        memory. Otherwise the whole batch. It does not depend on what is asked for, so neither do
        the values.
        """
        if self.batch < MICRO_BATCHES or self.coupled or not adds_up(self.targets, self.loss):
            return [(0, self.batch)]
        return self.micro_batches()

    @property
    def coupled(self) -> bool:
        """Whether what the network says of a sample depends on the others."""
        return self.dependent or (self.mode == "train" and couples_samples(self.network))

    def micro_batches(self) -> list[tuple[int, int]]:
        """First and last + 1 sample of the micro-batches, whose lengths differ by 1 at most."""
        cuts = [round(self.batch * part / MICRO_BATCHES) for part in range(MICRO_BATCHES + 1)]
        return list(pairwise(cuts))

    def forward(self, inputs: Inputs, state: Mapping[str, Tensor], low: int) -> Any:
        """Run `inputs`, the samples from `low` on, and return what the network returns.

        Raises:
            StatisticError: the network raises, or returns what is not finite.
            OtherResult: one of the first samples has another result than alone.
        """
        reseed(self.seed, low)
        with explained(inputs):
            output = result_of(self.network, inputs, state, self.mode)
        if self.alone and low == 0:
            samples = batch_of(inputs)
            for at, alone in enumerate(self.alone if samples > 1 else ()):
                if not close(one_sample(output, samples, at), alone):
                    raise OtherResult
        check_output(output)
        return output

    def logits(self, output: object, samples: int) -> Tensor:
        """The logits ``(samples, ...)`` of what the network returned."""
        return logits_of(output, samples, self.outputs)


class OtherResult(Exception):
    """A sample has another result than alone, and nothing is drawn: samples are coupled."""


def reseed(seed: int, place: object) -> None:
    """Seed all that a network may draw from, so that a pass does not depend on those before it."""
    number = zlib.crc32(f"{seed} {place}".encode())
    torch.default_generator.manual_seed(number)  # manual_seed keeps a traceback for each idle GPU
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.manual_seed_all(number)
    random.seed(number)
    if numpy := sys.modules.get("numpy"):  # a network may draw from it
        numpy.random.seed(number)


@contextmanager
def explained(inputs: Inputs, *, backward: bool = False, hint: str = "") -> Iterator[None]:
    """Turn an error of the network into a `StatisticError` that names the shapes of `inputs`.

    `backward` says that it is differentiated; a `hint` what to do, where that is special.
    """
    try:
        yield
    except StatisticError:
        raise
    except Exception as error:  # the network is foreign code and may raise anything
        part, usual = "the network", "expected a network that runs on them"
        if backward:
            part, usual = "the gradient of the network", "leave out what needs it for this network"
        elif isinstance(inputs, dict) and isinstance(error, TypeError):
            usual = (
                "a dict is passed as keyword arguments: for a forward that takes one dict give a "
                "tuple, (inputs,)"
            )
        raise StatisticError(
            f"{part} failed on inputs of {told(inputs)}: {reason_of(error)}; {hint or usual}"
        ) from error


UNREACHED = (
    "; expected every layer to take part in the output: remove unused ones, and detach or "
    "torch.no_grad() between a layer and the output; if layers are dropped by chance in training, "
    "use mode='eval'"
)
"""What to do about layers that have no gradient."""


def gradients(
    subject: Subject,
    outcome: Tensor,
    state: Mapping[str, Tensor],
    *,
    names: tuple[str, ...] = (),
    again: bool = False,
    twice: bool = False,
    batch_norm: bool = True,
) -> list[Tensor]:
    """Gradients of the number `outcome` with respect to the layers, in their registered order.

    The network stays as it was in the forward pass, for what it recomputes in the backward one.

    Args:
        subject: the network and the batch.
        outcome: the number.
        state: the weights that it was computed with.
        names: the layers; none for all.
        again: whether other outcomes of the same forward pass follow.
        twice: whether the gradients are to be differentiated again.
        batch_norm: whether batch norm was in the subject's mode.

    Raises:
        StatisticError: it does not depend on some of the layers, or has no gradient.
    """
    names = names or subject.names
    weights = [state[name] for name in names]
    grads: tuple[Tensor | None, ...] = (None,) * len(weights)
    if outcome.requires_grad:
        with (
            placed(subject.network, state, subject.mode, batch_norm=batch_norm),
            explained(subject.inputs, backward=True),
        ):
            grads = torch.autograd.grad(
                outcome, weights, allow_unused=True, retain_graph=again or None, create_graph=twice
            )
    lost = [name for name, grad in zip(names, grads, strict=True) if grad is None]
    if lost:
        more = f" and {len(lost) - 3} more" if len(lost) > 3 else ""
        raise StatisticError(
            f"the loss does not reach {', '.join(lost[:3])}{more} ({len(lost)} of {len(grads)} "
            f"layers){hint_of_packed(subject.packed) or UNREACHED}"
        )
    return [grad.to_dense() if grad.is_sparse else grad for grad in grads if grad is not None]


def check_heard(subject: Subject, heard: Sequence[str]) -> None:
    """Raise `StatisticError` if all layers `heard`, whose gradients are not 0, have weights 0."""
    state = subject.state()
    if heard and not any(state[name].any() for name in heard):
        raise StatisticError(
            "the gradient of the loss says nothing on this network: it is 0 in every layer but "
            f"{', '.join(map(repr, heard))}, whose weights are all 0; initialise with other weights"
        )


def traced(subject: Subject) -> Structure:
    """The structure of the subject's network, from its first sample.

    A network that cannot run so is tried with weights that have gradients, by which its forward
    pass may differentiate, and in evaluation mode, as one sample has no variance to divide by.
    """
    try:
        return _traced(subject, subject.state(), subject.mode)
    except StatisticError:
        with suppress(StatisticError):
            return replace(_traced(subject, subject.leaves(), subject.mode), differentiates=True)
        with suppress(StatisticError):
            return replace(_traced(subject, subject.state(), "eval"), result=())
        raise


def _traced(subject: Subject, state: Mapping[str, Tensor], mode: Mode) -> Structure:
    reseed(subject.seed, "trace")
    single, before = subject.part(0, 1), _states_elsewhere()
    with explained(single):
        structure = trace(subject.network, single, state, mode)
    return replace(structure, doubtful=structure.doubtful or _states_elsewhere() != before)


def _states_elsewhere() -> tuple[object, bytes]:
    """Return the states of Python's and numpy's random numbers, which a network may draw, too."""
    numpy = sys.modules.get("numpy")
    kind, keys, *rest = numpy.random.get_state() if numpy else ("", b"")
    return (random.getstate(), kind, *rest), bytes(keys)


def arranged(subject: Subject, structure: Structure, groups: set[str]) -> tuple[Subject, Structure]:
    """What is known of a subject after its first sample ran, and a pair of samples.

    Args:
        subject: the subject.
        structure: that of its network.
        groups: the groups of statistics that are asked for. A pair runs if one of them looks at
            several samples, and does not show by itself whether they depend on each other.

    Returns:
        The subject with the layers that were found, and whether its samples depend on each other;
        and the structure with how the samples lie in the layers' outputs.
    """
    network, layers = subject.network, set(structure.layers)
    subject = replace(
        subject,
        names=tuple(name for name, _ in network.named_parameters() if name in layers),
        written=structure.written,
        packed=structure.packed,
    )
    if subject.batch < 2 or not groups - ONE_SAMPLE:
        return subject, structure
    if groups & COMPARING_PARTS and subject.batch >= 2 * MICRO_BATCHES:
        untold = structure.chooses or structure.doubtful or structure.draws
        if structure.result and not (untold or several_rows(structure) or subject.coupled):
            second = one_sample(_chosen(subject, structure, 1), 1)
            return replace(subject, alone=(structure.result, second)), structure
    return told_apart(subject, structure)


def _chosen(subject: Subject, structure: Structure, *places: int) -> object:
    """Run the samples of some numbers, with the same random numbers each time."""
    reseed(subject.seed, "trace")
    inputs = rows(subject.inputs, torch.tensor(places))
    state = subject.leaves() if structure.differentiates else subject.state()
    with explained(inputs):
        return result_of(subject.network, inputs, state, subject.mode, batch_norm=False)


def told_apart(subject: Subject, structure: Structure) -> tuple[Subject, Structure]:
    """What is known after pairs of samples ran; see `look`."""
    run = partial(_chosen, subject, structure)
    arrangement = look(
        subject.network, structure, run, subject.batch, known_coupled=subject.coupled
    )
    structure = replace(structure, stacked=arrangement.stacked, unclear=arrangement.unclear)
    known = arrangement.coupled or structure.draws or structure.doubtful
    alone = () if known else (structure.result,)
    return replace(subject, dependent=arrangement.coupled, alone=alone), structure

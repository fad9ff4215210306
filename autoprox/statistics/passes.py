"""The passes over a network, each of which measures a group of statistics."""

from __future__ import annotations

import random
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from autoprox.errors import StatisticError
from autoprox.statistics.measurement import Mode
from autoprox.statistics.outcomes import (
    Loss,
    Outputs,
    adds_up,
    check_output,
    logits_of,
    loss_of,
)
from autoprox.statistics.recorder import RECORDED, Findings, Picker, Recorder
from autoprox.statistics.sampling import singular_values, spread
from autoprox.statistics.structure import (
    Structure,
    couples_samples,
    credited_parameters,
    in_mode,
    trace,
)
from autoprox.statistics.trees import (
    Inputs,
    Targets,
    arguments,
    batch_of,
    check_numbers,
    mapped,
    numbers,
    rows,
    told,
)
from autoprox.statistics.words import MICRO_BATCHES, STATISTICS

SHOWN_ONES = ("flow", "ones")
"""The groups whose statistics are those of an input of ones."""

FLOW_LIMIT = 1e25
"""A flow above it or below its inverse is kept in float64, as float32 ends at 3e38 and 1e-38."""

MICRO = frozenset(name for name, word in STATISTICS.items() if word.group == "micro")
"""The statistics of how the gradients of the micro-batches spread."""


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

    @property
    def batch(self) -> int:
        """Number of samples."""
        return batch_of(self.inputs)

    def part(self, low: int, high: int) -> Inputs:
        """The inputs of the samples from `low` to `high`."""
        return rows(self.inputs, slice(low, high))

    def state(self) -> dict[str, Tensor]:
        """Parameters, detached, and copies of the buffers: what a pass may use up."""
        parameters = {name: tensor.detach() for name, tensor in self.network.named_parameters()}
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
        return self.mode == "train" and couples_samples(self.network)

    def micro_batches(self) -> list[tuple[int, int]]:
        """First and last + 1 sample of the micro-batches, whose lengths differ by 1 at most."""
        cuts = [round(self.batch * part / MICRO_BATCHES) for part in range(MICRO_BATCHES + 1)]
        return list(pairwise(cuts))

    def forward(self, inputs: Inputs, state: Mapping[str, Tensor], low: int) -> Any:
        """Run `inputs`, the samples from `low` on, and return what the network returns.

        Raises:
            StatisticError: the network raises, or returns what is not finite.
        """
        reseed(self.seed, low)
        with in_mode(self.network, self.mode), explained(inputs):
            output = functional_call(self.network, dict(state), *arguments(inputs))
        check_output(output)
        return output

    def logits(self, output: object, samples: int) -> Tensor:
        """The logits ``(samples, ...)`` of what the network returned."""
        return logits_of(output, samples, self.outputs)


def reseed(seed: int, place: object) -> None:
    """Seed all that a network may draw from, so that a pass does not depend on those before it."""
    number = zlib.crc32(f"{seed} {place}".encode())
    torch.manual_seed(number)
    random.seed(number)
    if numpy := sys.modules.get("numpy"):  # a network may draw from it
        numpy.random.seed(number)


@contextmanager
def explained(inputs: Inputs) -> Iterator[None]:
    """Turn an error of the network into a `StatisticError` that names the shapes of `inputs`."""
    try:
        yield
    except StatisticError:
        raise
    except Exception as error:  # the network is foreign code and may raise anything
        raise StatisticError(
            f"the network failed on inputs of {told(inputs)}: {type(error).__name__}: {error}; "
            "expected a network that runs on them"
        ) from error


def gradients(
    subject: Subject,
    outcome: Tensor,
    state: Mapping[str, Tensor],
    *,
    names: tuple[str, ...] = (),
    again: bool = False,
    twice: bool = False,
) -> list[Tensor]:
    """Gradients of the number `outcome` with respect to the layers, in their registered order.

    Args:
        subject: the network and the batch.
        outcome: the number.
        state: the weights that it was computed with.
        names: the layers; none for all.
        again: whether other outcomes of the same forward pass follow.
        twice: whether the gradients are to be differentiated again.

    Raises:
        StatisticError: it does not depend on some of the layers, or has no gradient.
    """
    names = names or subject.names
    weights = [state[name] for name in names]
    found: tuple[Tensor | None, ...] = (None,) * len(weights)
    if outcome.requires_grad:
        with explained(subject.inputs):
            found = torch.autograd.grad(
                outcome, weights, allow_unused=True, retain_graph=again or None, create_graph=twice
            )
    lost = [name for name, grad in zip(names, found, strict=True) if grad is None]
    if lost:
        more = f" and {len(lost) - 3} more" if len(lost) > 3 else ""
        raise StatisticError(
            f"the loss does not reach {', '.join(lost[:3])}{more} ({len(lost)} of {len(found)} "
            f"layers); "
            "expected every layer to take part in the output: remove unused ones, and detach or "
            "torch.no_grad() between a layer and the output"
        )
    return [grad for grad in found if grad is not None]


@dataclass(slots=True, eq=False)
class Passes:
    """The passes over one subject and what they found."""

    subject: Subject
    structure: Structure
    asked: frozenset[str]
    picker: Picker
    findings: Findings

    def places(self) -> list[tuple[int, str]]:
        """Index and name of the layers, in their registered order."""
        order = {name: index for index, name in enumerate(self.structure.layers)}
        return [(order[name], name) for name in self.subject.names]

    def measure_static(self) -> None:
        """Measure what needs no pass."""
        state, layerwise = self.subject.state(), self.findings.layerwise
        layerwise |= self.structure.counts
        if "weight" in self.asked:
            self.keep("weight", [state[name] for name in self.subject.names])
        if "weight_spectrum" in self.asked:
            for layer, name in self.places():
                self._spectrum("weight_spectrum", layer, state[name])
        if "params" in self.asked:
            layerwise["params"] = credited_parameters(self.subject.network, self.structure.layers)
        shapes = [state[name].shape for name in self.structure.layers]
        if "fan_in" in self.asked:
            numbers = [float(shape[1:].numel()) for shape in shapes]
            layerwise["fan_in"] = torch.tensor(numbers, dtype=torch.float64)
        if "fan_out" in self.asked:
            numbers = [float(shape[0] * shape[2:].numel()) for shape in shapes]
            layerwise["fan_out"] = torch.tensor(numbers, dtype=torch.float64)

    def _spectrum(self, name: str, layer: int, tensor: Tensor) -> None:
        """Note the singular values of a weight-shaped tensor."""
        self.findings.put_spectrum(name, layer, tensor.detach().flatten(1), self.picker.sample)

    def keep(self, name: str, tensors: Sequence[Tensor]) -> None:
        """Note a statistic of kind Weight: a tensor a layer, in their registered order."""
        for (layer, _), tensor in zip(self.places(), tensors, strict=True):
            self.findings.put(name, layer, self.picker.weight(tensor, layer), tensor.numel())

    def recorder(self) -> Recorder:
        """A recorder of the whole batch."""
        return Recorder(self.structure, self.asked, self.picker, self.subject.batch)

    def measure_outputs(self) -> None:
        """Measure the outputs alone.

        Gradients are prepared and not taken: without them torch uses other kernels here and there,
        which round otherwise, and the outputs would depend on what else is asked for.
        """
        subject, recorder = self.subject, self.recorder()
        for low, high in subject.parts():
            with recorder.part(subject.network, low, high):
                subject.forward(subject.part(low, high), subject.leaves(), low)
        recorder.finish(self.findings)

    def measure_loss(self) -> list[Tensor]:
        """Measure the gradients of the loss, and the outputs; returns the former, one a layer."""
        total = self._accumulate(self.subject.parts(), record=True)
        if "grad" in self.asked:
            self.keep("grad", total)
        if "grad_spectrum" in self.asked:
            for (layer, _), grad in zip(self.places(), total, strict=True):
                self._spectrum("grad_spectrum", layer, grad)
        return total

    def measure_micro(self) -> None:
        """Measure the gradients of micro-batches, where `measure_loss` did not already."""
        self._accumulate(self.subject.micro_batches(), record=False)

    def _accumulate(self, parts: list[tuple[int, int]], *, record: bool) -> list[Tensor]:
        """Gradient of the batch's loss from those of its `parts`.

        The outputs are measured too if they are asked for and `record`, and the spread of the
        gradients where it is asked for and the parts are the micro-batches.
        """
        subject = self.subject
        recorder = self.recorder() if record and self.asked & RECORDED else None
        micro = bool(self.asked & MICRO) and len(parts) == MICRO_BATCHES
        total: list[Tensor] = []
        picks: list[list[Tensor]] = [[] for _ in subject.names]
        for low, high in parts:
            state = subject.leaves()
            with recorder.part(subject.network, low, high) if recorder else nullcontext():
                output = subject.forward(subject.part(low, high), state, low)
            grads = gradients(subject, loss_of(subject, output, low, high), state)
            if micro:
                for pick, grad, (layer, _) in zip(picks, grads, self.places(), strict=True):
                    pick.append(self.picker.weight(grad, layer))
            share = (high - low) / subject.batch
            scaled = [grad * share for grad in grads]
            total = [a.add_(b) for a, b in zip(total, scaled, strict=True)] if total else scaled
        if micro:
            self._spread(picks, total)
        if recorder:
            recorder.finish(self.findings)
        return total

    def _spread(self, picks: list[list[Tensor]], total: list[Tensor]) -> None:
        """Note means and population standard deviations over the `picks` of the parts."""
        numbers: dict[str, Callable[[Tensor], Tensor]] = {
            "grad_abs_mean": lambda parts: parts.abs().mean(0),
            "grad_std": deviation,
            "grad_abs_std": lambda parts: deviation(parts.abs()),
        }
        for (layer, _), pick, grad in zip(self.places(), picks, total, strict=True):
            parts = torch.stack(pick)
            for name in self.asked & numbers.keys():
                self.findings.put(name, layer, numbers[name](parts), grad.numel())

    def measure_flow(self) -> None:
        """Measure SynFlow's gradients: absolute parameters, one input of ones, float64.

        The flow grows by a factor a layer where nothing normalises it, so that some fifty
        convolutions exceed float32; then its numbers are kept in float64.
        """
        grads = self._shown_ones(absolute=True)
        limits = [float(torch.stack(grad.aminmax()).abs().max()) for grad in grads]
        fits = 1 / FLOW_LIMIT < max(limits) < FLOW_LIMIT
        dtype = torch.float32 if fits else torch.float64
        for (layer, _), grad, largest in zip(self.places(), grads, limits, strict=True):
            if "flow_grad" in self.asked:
                picked = self.picker.weight(grad, layer)
                self.findings.put("flow_grad", layer, picked, grad.numel(), dtype)
            if "flow_spectrum" in self.asked:
                scale = largest or 1.0  # the squares of the flow may exceed float64
                values = singular_values((grad / scale).flatten(1).cpu()).double() * scale
                kept = spread(values, self.picker.sample)
                self.findings.put("flow_spectrum", layer, kept, len(values), dtype)

    def measure_ones(self) -> None:
        """Measure the gradients for one input of ones."""
        self.keep("ones_grad", self._shown_ones(absolute=False))

    def _shown_ones(self, *, absolute: bool) -> list[Tensor]:
        """Gradients of the summed logits for one input of ones, in float64.

        Batch norm uses its running statistics: it could not normalise a single sample, and on an
        untrained network (mean 0, variance 1) it changes nothing, as if it were left out. Other
        norms stay.

        Args:
            absolute: whether every parameter is replaced by its absolute value.
        """
        subject = self.subject
        parameters = set(dict(subject.network.named_parameters()))
        state = {}
        for name, tensor in subject.state().items():
            shown = tensor.abs() if absolute and name in parameters else tensor
            state[name] = shown.double() if shown.is_floating_point() else shown
            state[name].requires_grad_(name in subject.names)
        asked = [repr(name) for name in sorted(self.asked) if STATISTICS[name].group in SHOWN_ONES]
        check_numbers(subject.inputs, ", ".join(asked), "as it shows an input of ones")
        ones = mapped(subject.part(0, 1), _one)
        reseed(subject.seed, "flow")
        with in_mode(subject.network, subject.mode, batch_norm=False), explained(ones):
            output = functional_call(subject.network, state, *arguments(ones))
        return gradients(subject, subject.logits(output, 1).sum(), state)


def _one(tensor: Tensor) -> Tensor:
    """Return ones in float64 for numbers; a mask stays."""
    if not numbers(tensor):
        return tensor
    ones = torch.ones_like(tensor)
    return ones.double() if ones.is_floating_point() else ones


def deviation(parts: Tensor) -> Tensor:
    """Population standard deviations over a few numbers, ``(numbers, entries) -> (entries,)``.

    Computed in float64 and rounded, as `torch.std` does over the first dimension in three times as
    long.
    """
    centred = parts.double()
    centred -= centred.mean(0)
    return centred.square_().mean(0).sqrt_().to(parts.dtype)


def traced(subject: Subject) -> Structure:
    """The structure of the subject's network, from its first sample."""
    reseed(subject.seed, "trace")
    single = subject.part(0, 1)
    with explained(single):
        return trace(subject.network, single, subject.state(), subject.names, subject.mode)

"""The passes over a network, each of which measures a group of statistics."""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autoprox.errors import StatisticError
from autoprox.statistics.looking import close, look, several_rows
from autoprox.statistics.measurement import Mode
from autoprox.statistics.private import placed
from autoprox.statistics.recorder import Findings, Picker, Recorder
from autoprox.statistics.sampling import singular_values, spread
from autoprox.statistics.structure import (
    Structure,
    couples_samples,
    credited_parameters,
    first_of,
    more_parameters,
    trace,
)
from autoprox.statistics.words import MICRO_BATCHES, STATISTICS

FLOW_LIMIT = 1e25
"""A flow above it or below its inverse is kept in float64, as float32 ends at 3e38 and 1e-38."""

ONE_SAMPLE = frozenset({"count", "flow", "ones", "own", "static"})
"""The groups of statistics that are measured on one sample at most, or by functions of others."""


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """A network with the batch that it is measured on.

    Attributes:
        network: the network, which is never written to.
        inputs: ``(batch, ...)``.
        targets: ``(batch,)``, or None.
        names: the layers, in the order of registration.
        seed: what is random inside the network depends on it.
        mode: the mode that the network runs in.
        bits: layer -> the bits that its weight is to be quantised to; empty if it is not.
        original: the network that `network` is a private copy of, or None.
        written: parameters that the network writes into while it runs.
        dependent: whether samples were seen to depend on others.
        alone: what the network returns for the first sample alone, to be compared with what it
            returns for it among others; empty if that is known.
    """

    network: nn.Module
    inputs: Tensor
    targets: Tensor | None
    names: tuple[str, ...]
    seed: int
    mode: Mode = "train"
    bits: Mapping[str, int] = field(default_factory=dict)
    original: nn.Module | None = None
    written: frozenset[str] = frozenset()
    dependent: bool = False
    alone: tuple[Tensor, ...] = ()

    @property
    def batch(self) -> int:
        """Number of samples."""
        return len(self.inputs)

    def state(self) -> dict[str, Tensor]:
        """Parameters, detached, and copies of the buffers: what a pass may use up."""
        parameters = {name: tensor.detach() for name, tensor in self.network.named_parameters()}
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
        if self.batch < MICRO_BATCHES or self.coupled:
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

    def forward(self, inputs: Tensor, state: Mapping[str, Tensor], low: int) -> Tensor:
        """Run `inputs`, the samples from `low` on, and return the logits.

        Raises:
            StatisticError: the network raises, or does not return finite ``(batch, classes)``.
            OtherResult: the first sample has another result than alone.
        """
        reseed(self.seed, low)
        with placed(self.network, state, self.mode), explained(inputs):
            logits = self.network(inputs)
        if (
            self.alone
            and low == 0
            and len(inputs) > 1
            and not close(tuple(first_of(logits)), self.alone)
        ):
            raise OtherResult
        return checked_logits(logits, len(inputs))


class OtherResult(Exception):
    """A sample has another result than alone: samples are coupled, or something is drawn."""


def reseed(seed: int, place: object) -> None:
    """Seed all that a network may draw from, so that a pass does not depend on those before it."""
    number = zlib.crc32(f"{seed} {place}".encode())
    torch.manual_seed(number)
    random.seed(number)
    np.random.seed(number)  # noqa: NPY002 - a network may draw from it


@contextmanager
def explained(inputs: Tensor) -> Iterator[None]:
    """Turn an error of the network into a `StatisticError` that names the shape of `inputs`."""
    try:
        yield
    except StatisticError:
        raise
    except Exception as error:  # the network is foreign code and may raise anything
        raise StatisticError(
            f"the network failed on inputs of shape {tuple(inputs.shape)}, {inputs.dtype}: "
            f"{type(error).__name__}: {error}; "
            "expected a network that runs on them"
        ) from error


def checked_logits(logits: object, samples: int) -> Tensor:
    """Return `logits` if they are finite ``(samples, classes)``.

    Raises:
        StatisticError: they are not.
    """
    if not isinstance(logits, Tensor) or logits.ndim != 2 or len(logits) != samples:
        came = f"a tensor of shape {tuple(logits.shape)}" if isinstance(logits, Tensor) else ""
        raise StatisticError(
            f"expected one tensor of logits, ({samples}, classes), from the network; got "
            f"{came or 'a ' + type(logits).__name__}; wrap the network so that it returns its "
            f"logits"
        )
    if not torch.isfinite(logits).all():
        raise StatisticError(
            "the network's logits are not finite; check its initialisation and the scale of "
            "the inputs"
        )
    return logits


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
    found: tuple[Tensor | None, ...] = (None,) * len(weights)
    if outcome.requires_grad:
        with (
            placed(subject.network, state, subject.mode, batch_norm=batch_norm),
            explained(subject.inputs),
        ):
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
            "torch.no_grad() between a layer and the output; if layers are dropped by chance in "
            "training, use mode='eval'"
        )
    return [grad.to_dense() if grad.is_sparse else grad for grad in found if grad is not None]


def loss_of(subject: Subject, logits: Tensor, low: int) -> Tensor:
    """Mean cross-entropy of `logits`, those of the samples from `low` on.

    Raises:
        StatisticError: a target is no class, or the loss is not finite.
    """
    assert subject.targets is not None  # measure() asks for them first
    targets, classes = subject.targets[low : low + len(logits)], logits.shape[1]
    if classes == 1:
        raise StatisticError(
            "the network has one output, and the cross-entropy of a single class is 0 whatever it "
            "says; expected an output for each class"
        )
    if int(targets.min()) < 0 or int(targets.max()) >= classes:
        raise StatisticError(
            f"targets go from {int(targets.min())} to {int(targets.max())}, but the network has "
            f"{classes} outputs; expected targets from 0 to {classes - 1}: give the network as "
            f"many "
            "outputs as the data has classes"
        )
    loss = F.cross_entropy(logits, targets)
    if not torch.isfinite(loss):
        raise StatisticError("the loss is not finite; check the scale of the network's logits")
    return loss


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

    def static(self) -> None:
        """Measure what needs no pass."""
        state = self.subject.state()
        pairs = zip(self.structure.axes, self.structure.layers, strict=True)
        fans = [axes.fans(tuple(state[name].shape)) for axes, name in pairs]
        if "flops" in self.asked and self.structure.uncounted:
            raise StatisticError(
                f"'flops' cannot be measured: there is no formula for the operations of "
                f"{', '.join(self.structure.uncounted)}, which this network runs; leave it out "
                "for this network"
            )
        if "weight" in self.asked:
            self.keep("weight", [state[name] for name in self.subject.names])
        for layer, name in self.places():
            if "weight_spectrum" in self.asked:
                self._spectrum("weight_spectrum", layer, state[name])
        self.findings.layerwise |= self.structure.counts
        self.findings.layerwise |= {
            "params": self._parameters(),
            "fan_in": torch.tensor([float(into) for into, _ in fans], dtype=torch.float64),
            "fan_out": torch.tensor([float(out) for _, out in fans], dtype=torch.float64),
        }

    def _parameters(self) -> Tensor:
        """Parameters credited to the layers; those that weights are computed from to these."""
        network, original = self.subject.network, self.subject.original
        credit = credited_parameters(network, self.structure.layers)
        if original is not None:
            for layer, owner in reversed(list(enumerate(self.structure.owners))):
                if owner not in self.structure.owners[:layer]:
                    credit[layer] += more_parameters(original, network, owner)
        return credit

    def _spectrum(self, name: str, layer: int, tensor: Tensor) -> None:
        """Note the singular values of a weight-shaped tensor."""
        matrix = self.structure.axes[layer].matrix(tensor.detach())
        self.findings.put_spectrum(name, layer, matrix, self.picker.sample)

    def keep(self, name: str, tensors: Sequence[Tensor]) -> None:
        """Note a statistic of kind Weight: a tensor a layer, in their registered order."""
        for (layer, _), tensor in zip(self.places(), tensors, strict=True):
            self.findings.put(name, layer, self.picker.weight(tensor, layer), tensor.numel())

    def recorder(self) -> Recorder:
        """A recorder of the whole batch."""
        return Recorder(self.structure, self.asked, self.picker, self.subject.batch)

    def forward(self) -> None:
        """Measure the outputs alone.

        Gradients are prepared and not taken: without them torch uses other kernels here and there,
        which round otherwise, and the outputs would depend on what else is asked for.
        """
        subject, recorder = self.subject, self.recorder()
        for low, high in subject.parts():
            with recorder.part(subject.network, low, high):
                subject.forward(subject.inputs[low:high], subject.leaves(), low)
        recorder.finish(self.findings)

    def loss(self) -> list[Tensor]:
        """Measure the gradients of the loss, and the outputs; returns the former, one a layer."""
        subject, recorder = self.subject, self.recorder()
        parts = subject.parts()
        micro = (
            any(STATISTICS[name].group == "micro" for name in self.asked)
            and len(parts) == MICRO_BATCHES
        )
        total = self._accumulate(parts, recorder, micro=micro)
        recorder.finish(self.findings)
        self._check_heard(total)
        if "grad" in self.asked:
            self.keep("grad", total)
        for (layer, _), grad in zip(self.places(), total, strict=True):
            if "grad_spectrum" in self.asked:
                self._spectrum("grad_spectrum", layer, grad)
        return total

    def _check_heard(self, total: Sequence[Tensor]) -> None:
        """Raise `StatisticError` if no layer but one with a weight of 0 learns from the loss."""
        learning = (
            name for name, grad in zip(self.subject.names, total, strict=True) if grad.any()
        )
        first, second = next(learning, None), next(learning, None)
        if second is None and (first is None or not self.subject.state()[first].any()):
            raise StatisticError(
                "the gradient of the loss says nothing on this network: it is 0 in every layer"
                + (f" but {first!r}, whose weights are all 0" if first else "")
                + "; initialise the layers, the head among them, with other weights"
            )

    def micro(self) -> None:
        """Measure the gradients of micro-batches, where `loss` did not already."""
        self._accumulate(self.subject.micro_batches(), None, micro=True)

    def _accumulate(
        self, parts: list[tuple[int, int]], recorder: Recorder | None, *, micro: bool
    ) -> list[Tensor]:
        """Gradient of the batch's loss from those of its `parts`.

        If `micro`, the parts are the micro-batches: measure the spread of their gradients.
        """
        subject = self.subject
        total: list[Tensor] = []
        picks: list[list[Tensor]] = [[] for _ in subject.names]
        for low, high in parts:
            state = subject.leaves()
            with recorder.part(subject.network, low, high) if recorder else nullcontext():
                logits = subject.forward(subject.inputs[low:high], state, low)
            grads = gradients(subject, loss_of(subject, logits, low), state)
            if micro:
                for pick, grad, (layer, _) in zip(picks, grads, self.places(), strict=True):
                    pick.append(self.picker.weight(grad, layer))
            share = (high - low) / subject.batch
            scaled = [grad * share for grad in grads]
            total = [a.add_(b) for a, b in zip(total, scaled, strict=True)] if total else scaled
        if micro:
            self._spread(picks, total)
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
            for name in sorted(self.asked & numbers.keys()):
                self.findings.put(name, layer, numbers[name](parts), grad.numel())

    def flow(self) -> None:
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
                matrix = self.structure.axes[layer].matrix(grad / scale)
                values = singular_values(matrix.cpu()).double() * scale
                kept = spread(values, self.picker.sample)
                self.findings.put("flow_spectrum", layer, kept, len(values), dtype)

    def ones(self) -> None:
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
        ones = torch.ones_like(subject.inputs[:1])
        ones = ones.double() if ones.is_floating_point() else ones
        reseed(subject.seed, "flow")
        with (
            placed(subject.network, state, subject.mode, batch_norm=False),
            explained(ones),
        ):
            logits = subject.network(ones)
        return gradients(subject, checked_logits(logits, 1).sum(), state, batch_norm=False)


def deviation(parts: Tensor) -> Tensor:
    """Population standard deviations over a few numbers, ``(numbers, entries) -> (entries,)``.

    Computed in float64 and rounded, as `torch.std` does over the first dimension in three times as
    long.
    """
    exact = parts.double()
    return (exact - exact.mean(0)).square_().mean(0).sqrt_().to(parts.dtype)


def traced(subject: Subject) -> Structure:
    """The structure of the subject's network, from its first sample."""
    reseed(subject.seed, "trace")
    single = subject.inputs[:1].detach()
    with explained(single):
        return trace(subject.network, single, subject.state(), subject.mode)


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
    )
    if subject.batch < 2 or not groups - ONE_SAMPLE:
        return subject, structure
    pairs = subject.batch >= 2 * MICRO_BATCHES and groups & {
        "forward",
        "jacobian",
        "loss",
        "hessian",
    }
    if not subject.coupled and pairs and not several_rows(structure):
        return replace(subject, alone=structure.result), structure
    return told_apart(subject, structure)


def told_apart(subject: Subject, structure: Structure) -> tuple[Subject, Structure]:
    """What is known after pairs of samples ran; see `look`."""
    network = subject.network

    def run(first: int, second: int) -> object:
        reseed(subject.seed, "trace")
        pair = subject.inputs[torch.tensor([first, second], device=subject.inputs.device)]
        with (
            placed(network, subject.state(), subject.mode, batch_norm=False),
            explained(pair),
        ):
            return network(pair)

    arrangement = look(network, structure, run, known_coupled=subject.coupled)
    structure = replace(structure, stacked=arrangement.stacked, unclear=arrangement.unclear)
    return replace(subject, dependent=arrangement.coupled, alone=()), structure

"""The passes over a network, each of which measures a group of statistics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor

from autoprox.errors import StatisticError
from autoprox.statistics.findings import Findings, Picker
from autoprox.statistics.in_float64 import InFloat64
from autoprox.statistics.layers import more_parameters
from autoprox.statistics.outcomes import loss_of
from autoprox.statistics.private import result_of
from autoprox.statistics.recorder import RECORDED, Recorder
from autoprox.statistics.sampling import singular_values, spread
from autoprox.statistics.structure import Structure, credited_parameters
from autoprox.statistics.subject import Subject, check_heard, explained, gradients, reseed
from autoprox.statistics.trees import check_floating, mapped, numbers
from autoprox.statistics.words import MICRO_BATCHES, STATISTICS

SHOWN_ONES = ("flow", "ones")
"""The groups whose statistics are those of an input of ones."""

FLOW_LIMIT = 1e15
"""A flow above it or below its inverse is kept in float64: float32 ends at 3e38 and 1e-38, and a
norm adds up squares."""

MICRO = frozenset(name for name, word in STATISTICS.items() if word.group == "micro")
"""The statistics of how the gradients of the micro-batches spread."""


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
        if "flops" in self.asked and self.structure.uncounted:
            raise StatisticError(
                f"'flops' cannot be measured: there is no formula for the operations of "
                f"{', '.join(self.structure.uncounted)}, which this network runs; leave it out "
                "for this network"
            )
        if "weight" in self.asked:
            self.keep("weight", [state[name] for name in self.subject.names])
        if "weight_spectrum" in self.asked:
            for layer, name in self.places():
                self._spectrum("weight_spectrum", layer, state[name])
        if "params" in self.asked:
            layerwise["params"] = self._parameters()
        if "fan_in" in self.asked:
            layerwise["fan_in"] = torch.tensor([into for into, _ in self._fans()]).double()
        if "fan_out" in self.asked:
            layerwise["fan_out"] = torch.tensor([out for _, out in self._fans()]).double()

    def _fans(self) -> list[tuple[int, int]]:
        """Inputs to one output entry of each layer, and output entries fed by one input."""
        state, structure = self.subject.state(), self.structure
        pairs = zip(structure.axes, structure.layers, strict=True)
        return [axes.fans(tuple(state[name].shape)) for axes, name in pairs]

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
        self._check_heard(total)
        if "grad" in self.asked:
            self.keep("grad", total)
        if "grad_spectrum" in self.asked:
            for (layer, _), grad in zip(self.places(), total, strict=True):
                self._spectrum("grad_spectrum", layer, grad)
        return total

    def measure_micro(self) -> None:
        """Measure the gradients of micro-batches, where `measure_loss` did not already."""
        self._check_heard(self._accumulate(self.subject.micro_batches(), record=False))

    def _check_heard(self, total: Sequence[Tensor]) -> None:
        """Raise `StatisticError` if none but layers whose weights are 0 learn from the loss."""
        pairs = zip(self.subject.names, total, strict=True)
        check_heard(self.subject, [name for name, grad in pairs if grad.any()])

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
            for name in sorted(self.asked & numbers.keys()):
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
                matrix = self.structure.axes[layer].matrix(grad / scale)
                values = singular_values(matrix.cpu()).double() * scale
                kept = spread(values, self.picker.sample)
                self.findings.put("flow_spectrum", layer, kept, len(values), dtype)

    def measure_ones(self) -> None:
        """Measure the gradients for one input of ones."""
        self.keep("ones_grad", self._shown_ones(absolute=False))

    def _shown_ones(self, *, absolute: bool) -> list[Tensor]:
        """Gradients of the summed logits for one input of ones, in float64.

        `absolute` replaces every parameter by its absolute value. Batch norm uses its running
        statistics: it could not normalise a single sample, and on an untrained network (mean 0,
        variance 1) it changes nothing. Other norms stay.
        """
        asked = [repr(name) for name in sorted(self.asked) if STATISTICS[name].group in SHOWN_ONES]
        names = ", ".join(asked)
        check_floating(self.subject.inputs, names, "as it shows an input of ones")
        try:
            return self._gradients_of_ones(names, absolute)
        except StatisticError:
            with InFloat64():  # the network makes, casts or holds other numbers of less precision
                return self._gradients_of_ones(names, absolute)

    def _gradients_of_ones(self, names: str, absolute: bool) -> list[Tensor]:
        """Gradients as `_shown_ones` says; `names` are of what they are for."""
        subject = self.subject
        parameters = set(dict(subject.network.named_parameters()))
        state = {}
        for name, tensor in subject.state().items():
            wide = torch.complex128 if tensor.is_complex() else torch.float64
            shown = tensor.to(wide) if numbers(tensor) else tensor
            turned = absolute and name in parameters and shown.dtype.is_signed
            state[name] = shown.abs().to(shown) if turned else shown
            if name in subject.names:
                state[name].requires_grad_()
        ones = mapped(subject.part(0, 1), _one)
        reseed(subject.seed, "flow")
        with explained(ones, hint=f"{names} runs it in float64; leave it out for this network"):
            output = result_of(subject.network, ones, state, subject.mode, batch_norm=False)
        summed = subject.logits(output, 1).sum()
        return gradients(subject, summed, state, batch_norm=False)


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
    exact = parts.double()
    return (exact - exact.mean(0)).square_().mean(0).sqrt_().to(parts.dtype)

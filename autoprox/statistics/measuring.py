"""Measuring statistics on one network."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from autoprox.errors import StatisticError
from autoprox.primitives.kinds import Layer, Relation
from autoprox.quantise.layers import Bits
from autoprox.statistics.curvature import measure_curvature, measure_hessian_grad
from autoprox.statistics.measurement import Measurement, Mode, Sample
from autoprox.statistics.own import measure_own
from autoprox.statistics.passes import OtherResult, Passes, Subject, arranged, told_apart, traced
from autoprox.statistics.private import private_copy
from autoprox.statistics.quantised import measure_quantised, with_bits
from autoprox.statistics.recorder import Findings, Picker
from autoprox.statistics.samples import measure_jacobian, measure_logits, measure_losses
from autoprox.statistics.structure import Structure, layer_names
from autoprox.statistics.words import DEFAULT_SAMPLE, MICRO_BATCHES, STATISTICS

ALONE = {
    "flow": Passes.flow,
    "ones": Passes.ones,
    "jacobian": measure_jacobian,
    "sample": measure_losses,
    "logits": measure_logits,
    "curvature": measure_curvature,
    "bits": measure_quantised,
}
"""The groups that share nothing with others, and what measures them."""

COMPARING = ("code_total", "jacobian_correlation", "jacobian_spectrum")
"""The statistics that say nothing about a single sample."""

PARTIAL = ("heads", "out_entries", "bits")
"""The statistics of kind Layer that are 0 where a layer does not have them."""


def measure(
    network: nn.Module,
    inputs: Tensor,
    targets: Tensor | None,
    names: Sequence[str],
    *,
    sample: Sample = DEFAULT_SAMPLE,
    seed: int = 0,
    bits: Bits | None = None,
    mode: Mode | None = None,
) -> Measurement:
    """The statistics `names` of `network` on one batch.

    The network is measured in `mode`, whatever mode it is in, and left as it was: parameters,
    gradients, buffers, modes, hooks and the global random state. Only the passes that `names` need
    are run, beside one forward of one sample.

    Args:
        network: any module that turns `inputs` into logits ``(batch, classes)``.
        inputs: ``(batch, ...)``, on the network's device.
        targets: ``(batch,)`` int64; None if none of the statistics needs labels.
        names: members of `STATISTICS`; repetitions are ignored.
        sample: entries to keep of each layer's tensor, or ``"full"``.
        seed: decides which entries are kept, and what is random inside the network, such as
            dropout.
        bits: what the layers' weights are to be quantised to, as for `autoprox.quantise`: a number
            for each layer in the order of execution, or for some by name, or one for all but the
            first and the last; what is not given is 8.
        mode: ``"train"`` or ``"eval"``; by default that of training, or, given `bits`, that of
            use, as what is to be quantised has been trained.

    Raises:
        UnknownNameError: a name is not a statistic, or not a layer of the network.
        QuantisationError: there are too few or too many bits, or they are no integers from 1 to 16.
        StatisticError: the network or the batch does not fit; the message says how.
    """
    check_types(network, inputs, targets)
    inputs = inputs.detach()
    words = {name: STATISTICS[name] for name in names}
    groups = {word.group for word in words.values()}
    mode = mode or ("train" if bits is None else "eval")
    check_bits(bits, [name for name, word in words.items() if word.needs_bits])
    with own_randomness(inputs.device), torch.inference_mode(False), torch.enable_grad():
        own = private_copy(network, mode)
        names = layer_names(own)
        subject = Subject(own, inputs, targets, names, seed, mode, original=network)
        _check(subject, tuple(words), sample)
        subject, structure = arranged(subject, traced(subject), groups)
        if bits is not None:
            subject = with_bits(subject, structure, bits)
        state = subject.state()
        picker = Picker(sample, seed, [state[name] for name in structure.layers])
        passes = Passes(subject, structure, frozenset(words), picker, Findings())
        try:
            passes.static()
            _run(passes, groups)
        except OtherResult:
            subject, structure = told_apart(subject, structure)
            passes = Passes(subject, structure, frozenset(words), picker, Findings())
            passes.static()
            _run(passes, groups)
        for word in words.values():
            if word.own:
                measure_own(passes, word)
    return _tabulate(structure, passes.findings, tuple(words), sample, subject.batch)


def _run(passes: Passes, groups: set[str]) -> None:
    """Run the passes that `groups` need, each once."""
    fused = len(passes.subject.parts()) == MICRO_BATCHES
    if groups & {"loss", "hessian"} or ("micro" in groups and fused):
        grads = passes.loss()
        if "hessian" in groups:
            measure_hessian_grad(passes, grads)
    elif "forward" in groups:
        passes.forward()
    if "micro" in groups and not fused:
        passes.micro()
    for group, measure_group in ALONE.items():
        if group in groups:
            measure_group(passes)


def check_types(network: nn.Module, inputs: Tensor, targets: Tensor | None) -> None:
    """Raise `StatisticError` if something else than a network and tensors is to be measured."""
    for name, value, expected in (
        ("network", network, nn.Module),
        ("inputs", inputs, Tensor),
        ("targets", targets, (Tensor, type(None))),
    ):
        if not isinstance(value, expected):
            raise StatisticError(
                "expected a torch.nn.Module, a tensor of inputs, and a tensor of targets or None; "
                f"got {type(value).__name__} for the {name}"
            )


def check_batch(inputs: Tensor, targets: Tensor | None, labelled: Sequence[str]) -> None:
    """Raise `StatisticError` if a batch is none, or lacks the targets that `labelled` need."""
    if inputs.ndim < 2 or len(inputs) == 0:
        raise StatisticError(
            f"expected inputs of shape (batch, ...) with at least one sample; got "
            f"{tuple(inputs.shape)}"
        )
    if targets is None and labelled:
        raise StatisticError(
            f"{', '.join(map(repr, labelled))} cannot be measured without targets: pass the "
            "classes of the inputs, int64 (batch,)"
        )
    batch = len(inputs)
    if targets is not None and (targets.shape != (batch,) or targets.dtype != torch.int64):
        raise StatisticError(
            f"expected targets of shape ({batch},) and type torch.int64, one for each of the "
            f"{batch} inputs; got {tuple(targets.shape)}, {targets.dtype}"
        )


def check_bits(bits: Bits | None, quantised: Sequence[str]) -> None:
    """Raise `StatisticError` if there are no bits, and what is called `quantised` needs some."""
    if bits is None and quantised:
        raise StatisticError(
            f"{', '.join(map(repr, quantised))} cannot be measured without bits: pass bits=[...], "
            "a number for each layer, or bits={layer: number, ...}, or bits=4 for all but the "
            "first and the last"
        )


def _check(subject: Subject, names: tuple[str, ...], sample: Sample) -> None:
    """Raise `StatisticError` if the batch cannot show the statistics `names`."""
    if sample != "full" and sample < 1:
        raise StatisticError(f"expected sample to be 1 or more, or 'full'; got {sample!r}")
    labelled = [name for name in names if STATISTICS[name].needs_labels]
    check_batch(subject.inputs, subject.targets, labelled)
    micro = [name for name in names if STATISTICS[name].group == "micro"]
    if micro and subject.batch < MICRO_BATCHES:
        raise StatisticError(
            f"{', '.join(map(repr, micro))} need {MICRO_BATCHES} samples or more, one a "
            f"micro-batch; "
            f"got a batch of {subject.batch}"
        )
    comparing = [name for name in names if name in COMPARING]
    if comparing and subject.batch < 2:
        raise StatisticError(
            f"{', '.join(map(repr, comparing))} compare samples with each other and need 2 or "
            "more; got a batch of 1"
        )


_ALONE = threading.RLock()
"""Held while something is measured: the random states belong to all threads of the process."""


@contextmanager
def own_randomness(device: torch.device) -> Iterator[None]:
    """Keep the global random states of torch, numpy and Python as they are.

    One thread at a time, and without the mixed precision (autocast) of the caller.
    """
    devices = [device] if device.type == "cuda" else []
    with _ALONE, torch.autocast(device.type, enabled=False):
        python, legacy = random.getstate(), np.random.get_state()  # noqa: NPY002 - saved, not used
        try:
            with torch.random.fork_rng(devices=devices):
                yield
        finally:
            random.setstate(python)
            np.random.set_state(legacy)  # noqa: NPY002 - restored


def _tabulate(
    structure: Structure,
    findings: Findings,
    names: tuple[str, ...],
    sample: Sample,
    batch: int,
) -> Measurement:
    """Arrange what was found by statistic and layer."""
    values: dict[str, Tensor | tuple[Tensor | None, ...]] = {}
    present, sizes = {}, {}
    count = len(structure.layers)
    for name in names:
        if STATISTICS[name].kind is Layer:
            numbers = findings.layerwise[name]  # NaN where one of a user's own gave nothing
            there = numbers != 0 if name in PARTIAL else ~numbers.isnan()
            values[name] = numbers.nan_to_num(0.0)
            present[name], sizes[name] = there, there.double()
            continue
        found = findings.values.get(name, {})
        present[name] = torch.tensor([layer in found for layer in range(count)])
        extent = findings.sizes.get(name, {})
        sizes[name] = torch.tensor(
            [float(extent.get(layer, 0)) for layer in range(count)], dtype=torch.float64
        )
        if sample == "full":
            values[name] = tuple(found.get(layer) for layer in range(count))
        else:
            relation = STATISTICS[name].kind is Relation
            dtype = next((tensor.dtype for tensor in found.values()), torch.float32)
            empty = torch.zeros((batch, batch) if relation else (sample,), dtype=dtype)
            values[name] = torch.stack([found.get(layer, empty) for layer in range(count)])
    return Measurement(structure.layers, structure.roles, sample, values, present, sizes)

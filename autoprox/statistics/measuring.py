"""Measuring statistics on one network."""

from __future__ import annotations

import random
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import Tensor, nn

from autoprox.errors import StatisticError
from autoprox.primitives.kinds import MATRIX_KINDS, Layer
from autoprox.quantise.layers import Bits
from autoprox.runtime.arguments import listed
from autoprox.statistics.curvature import measure_curvature, measure_hessian_grad
from autoprox.statistics.findings import Findings, Picker
from autoprox.statistics.held import surroundings_kept
from autoprox.statistics.layers import unregistered, unseen
from autoprox.statistics.measurement import Measurement, Mode, Sample, checked_how
from autoprox.statistics.outcomes import Loss, Outputs
from autoprox.statistics.own import measure_own
from autoprox.statistics.passes import SHOWN_ONES, Passes
from autoprox.statistics.private import private_copy
from autoprox.statistics.quantised import measure_quantised, with_bits
from autoprox.statistics.samples import measure_jacobian, measure_logits, measure_losses
from autoprox.statistics.structure import Structure, layer_names
from autoprox.statistics.subject import (
    OtherResult,
    Subject,
    arranged,
    told_apart,
    traced,
)
from autoprox.statistics.taught import Teacher, check_teacher, measure_taught, with_teacher
from autoprox.statistics.trees import (
    Inputs,
    Targets,
    batch_of,
    check_rows,
    misfit,
    numbers,
    plain_tensors,
    tensors,
    told,
)
from autoprox.statistics.words import DEFAULT_SAMPLE, MICRO_BATCHES, STATISTICS, Statistic

COMPARING = ("code_total", "jacobian_correlation", "jacobian_spectrum")
"""The statistics that say nothing about a single sample."""

PARTIAL = ("heads", "out_entries", "bits")
"""The statistics of kind Layer that are 0 where a layer does not have them."""


def measure(
    network: nn.Module,
    inputs: Inputs,
    targets: Targets,
    names: str | Sequence[str],
    *,
    loss: Loss | None = None,
    outputs: Outputs | None = None,
    sample: Sample = DEFAULT_SAMPLE,
    seed: int = 0,
    bits: Bits | None = None,
    mode: Mode | None = None,
    teacher: nn.Module | Teacher | None = None,
) -> Measurement:
    """The statistics `names` of `network` on one batch.

    The network is measured in `mode`, whatever mode it is in, and left as it was: parameters,
    gradients, buffers, modes, hooks and the global random state. Only the passes that `names` need
    are run, beside one forward of one sample.

    Args:
        network: any module.
        inputs: what it is called with, on its device: a tensor ``(batch, ...)``, of numbers or of
            token ids, a tuple of positional arguments, or a dict of keyword arguments. Every tensor
            in them has a row for each sample; a list has an item for each.
        targets: what the loss compares the output with: class numbers, int64, ``(batch,)``, of
            tokens ``(batch, tokens)`` or dense ``(batch, height, width)``; for a `loss` of your
            own any tree of tensors. They are looked at by statistics of the loss alone, and may be
            None where there is none, or where `loss` does without.
        names: members of `STATISTICS`; repetitions are ignored.
        loss: a function of what the network returns and the targets, of the same samples, to one
            number. By default it is the mean cross-entropy of the logits: over the last dimension
            of ``(batch, classes)`` and ``(batch, tokens, classes)``, over dimension 1 of
            ``(batch, classes, height, width)``; a target of -100 for a token or position does not
            count.
        outputs: a function from what the network returns to the tensor ``(batch, ...)`` that the
            default loss and statistics of logits, of Jacobians and of the tangent kernel look at.
            By default it is the tensor itself, the attribute or entry ``logits``, the only entry of
            a dict, or the first of a tuple.
        sample: entries to keep of each layer's tensor, or ``"full"``.
        seed: decides which entries are kept, and what is random inside the network, such as
            dropout.
        bits: what the layers' weights are to be quantised to, as for `autoprox.quantise`: a number
            for each layer in the order of execution, or for some by name, or one for all but the
            first and the last; what is not given is 8.
        mode: ``"train"`` or ``"eval"``; by default that of training, or, given `bits`, that of
            use, as what is to be quantised has been trained.
        teacher: another network, which statistics of a teacher look at: any module that takes the
            same inputs, resized to ``(…, image_size, image_size)`` if it has the attribute
            `image_size`. It runs in the mode that it is in, and is left as it was.

    Raises:
        UnknownNameError: a name is not a statistic, or not a layer of the network.
        QuantisationError: there are too few or too many bits, or they are no integers from 1 to 16.
        StatisticError: the network or the batch does not fit; the message says how.
    """
    check_types(network, inputs, targets)
    words = {name: STATISTICS[name] for name in listed(names)}
    groups = {word.group for word in words.values()}
    sample, seed, mode = checked_how(sample, seed, mode)
    mode = mode or ("train" if bits is None else "eval")
    check_bits(bits, [name for name, word in words.items() if word.needs_bits])
    check_teacher(teacher, network, [name for name, word in words.items() if word.needs_teacher])
    with undisturbed(network, inputs):
        inputs, targets = plain_tensors(inputs), plain_tensors(targets)
        copied = private_copy(network, mode)
        layers = layer_names(copied)
        subject = Subject(
            copied,
            inputs,
            targets,
            layers,
            seed,
            mode,
            original=network,
            loss=loss,
            outputs=outputs,
        )
        subject = with_teacher(subject, teacher)
        _check(subject, tuple(words))
        subject, structure = arranged(subject, traced(subject), groups)
        if bits is not None:
            subject = with_bits(subject, structure, bits)
        state = subject.state()
        picker = Picker(sample, seed, [state[name] for name in structure.layers])
        passes = _passed(subject, structure, picker, frozenset(words), groups)
    rest = unseen([name for name, _ in network.named_parameters()], structure.layers)
    rest += tuple(name for name in structure.packed if name not in rest)
    _warn_of_unmeasured(network, structure.packed)
    measurement = _tabulate(passes.structure, passes.findings, tuple(words), sample, subject.batch)
    return replace(measurement, unseen=rest)


def _warn_of_unmeasured(network: nn.Module, packed: Sequence[str]) -> None:
    """Warn of complex, quantised and unregistered weights, which no statistic can hold."""
    names = [name for name, parameter in network.named_parameters() if parameter.is_complex()]
    if names:
        warnings.warn(
            f"complex parameters are not measured: {', '.join(names)}; scores are those of the "
            "other layers (params counts all)",
            stacklevel=3,
        )
    if packed:
        warnings.warn(
            f"what looks like quantised weights is not measured: {', '.join(packed)}; scores are "
            "those of the other layers (params counts what torch calls parameters)",
            stacklevel=3,
        )
    if loose := unregistered(network):
        warnings.warn(
            f"parameters in {', '.join(map(repr, dict.fromkeys(loose)))} are neither measured nor "
            "counted, as torch does not know of them: put modules into nn.ModuleList or "
            "nn.ModuleDict",
            stacklevel=3,
        )


def _passed(
    subject: Subject,
    structure: Structure,
    picker: Picker,
    asked: frozenset[str],
    groups: set[str],
) -> Passes:
    """Run the passes that `groups` need, and those again that saw samples depend on others."""
    passes = Passes(subject, structure, asked, picker, Findings())
    try:
        _run(passes, groups)
    except OtherResult:
        subject, structure = told_apart(replace(subject, dependent=True), structure)
        passes = Passes(subject, structure, asked, picker, Findings())
        _run(passes, groups)
    return passes


def _run(passes: Passes, groups: set[str]) -> None:
    """Run the passes that `groups` need, each once."""
    passes.measure_static()
    fused = "micro" in groups and len(passes.subject.parts()) == MICRO_BATCHES
    if groups & {"loss", "hessian"} or fused:
        grads = passes.measure_loss()
        if "hessian" in groups:
            measure_hessian_grad(passes, grads)
    elif "forward" in groups:
        passes.measure_outputs()
    if "micro" in groups and not fused:
        passes.measure_micro()
    if "flow" in groups:
        passes.measure_flow()
    if "ones" in groups:
        passes.measure_ones()
    if "jacobian" in groups:
        measure_jacobian(passes)
    if "sample" in groups:
        measure_losses(passes)
    if "logits" in groups:
        measure_logits(passes)
    if "curvature" in groups:
        measure_curvature(passes)
    if "bits" in groups:
        measure_quantised(passes)
    if "teacher" in groups:
        measure_taught(passes)
    if "own" in groups:
        for word in (STATISTICS[name] for name in sorted(passes.asked)):
            if word.own:
                measure_own(passes, word)


def check_types(network: nn.Module, inputs: Inputs, targets: Targets) -> None:
    """Raise `StatisticError` if something else than a network and tensors is to be measured."""
    wrong = {
        "network": None if isinstance(network, nn.Module) else type(network).__name__,
        "inputs": misfit(inputs),
        "targets": None if targets is None else misfit(targets),
    }
    for name, came in wrong.items():
        if came is not None:
            raise StatisticError(
                "expected a torch.nn.Module, inputs that are a tensor, a tuple (positional) or a "
                "dict (keywords) of tensors, and targets that are a tensor, a tree of tensors or "
                f"None; got {came} for the {name}{_WAYS_OUT.get(came, '')}"
            )


_WAYS_OUT = {
    "ndarray": ": torch.as_tensor makes a tensor of it",
    "list": ": torch.as_tensor makes a tensor of numbers",
    "type": ": pass an object of the class",
    "sparse tensor": ": its to_dense() makes a plain one of it",
    "nested tensor": ": its to_padded_tensor(0) makes a plain one of it",
    "DataLoader": ": pass one batch, as next(iter(loader)) gives it",
}
"""What to do about what is not taken, by the name of its type."""


def check_batch(
    inputs: Inputs, targets: Targets, labelled: Sequence[str], loss: Loss | None = None
) -> None:
    """Raise `StatisticError` if a batch is none, or lacks the targets that `labelled` need.

    And if the loss is no function. Targets are looked at if something is labelled.
    """
    batch = batch_of(inputs)
    alone = isinstance(inputs, Tensor) and numbers(inputs) and inputs.ndim < 2
    if batch == 0 or alone:
        raise StatisticError(
            f"expected inputs of shape (batch, ...) with at least one sample; got {told(inputs)}"
        )
    if loss is not None and not callable(loss):
        raise StatisticError(
            "loss is a function of (outputs, targets), such as torch.nn.functional.mse_loss; got "
            f"{loss!r}"
        )
    if not labelled:
        return
    if targets is None:
        raise StatisticError(
            f"{', '.join(map(repr, labelled))} cannot be measured without targets: pass the "
            "classes of the inputs, int64 (batch,), or loss=, a function of (outputs, targets)"
        )
    if loss is not None or not isinstance(targets, Tensor):
        check_rows(targets, batch)


def fits(word: Statistic, inputs: Inputs, targets: Targets, loss: Loss | None) -> bool:
    """Say whether a statistic can be measured on a batch, as far as the batch alone says."""
    if word.group in (*SHOWN_ONES, "jacobian") and not all(map(numbers, tensors(inputs))):
        return False
    return targets is not None or loss is not None or not word.needs_labels


def check_bits(bits: Bits | None, quantised: Sequence[str]) -> None:
    """Raise `StatisticError` if there are no bits, and what is called `quantised` needs some."""
    if bits is None and quantised:
        raise StatisticError(
            f"{', '.join(map(repr, quantised))} cannot be measured without bits: pass bits=[...], "
            "a number for each layer, or bits={layer: number, ...}, or bits=4 for all but the "
            "first and the last"
        )


def _check(subject: Subject, names: tuple[str, ...]) -> None:
    """Raise `StatisticError` if the batch cannot show the statistics `names`."""
    words = [STATISTICS[name] for name in names]
    lossless = subject.loss is not None and subject.targets is None  # a loss that does without
    labelled = [word.name for word in words if word.needs_labels and (word.own or not lossless)]
    check_batch(subject.inputs, subject.targets, labelled, subject.loss)
    micro = [word.name for word in words if word.group == "micro"]
    if micro and subject.batch < MICRO_BATCHES:
        raise StatisticError(
            f"{', '.join(map(repr, micro))} need {MICRO_BATCHES} samples or more, one a "
            f"micro-batch; got a batch of {subject.batch}"
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
def undisturbed(network: nn.Module, inputs: Inputs) -> Iterator[None]:
    """Keep what running a network may change besides the network itself, and let it have gradients.

    See `own_randomness` and `surroundings_kept`.
    """
    with (
        own_randomness(inputs),
        surroundings_kept(network),
        torch.inference_mode(False),
        torch.enable_grad(),
    ):
        yield


@contextmanager
def own_randomness(inputs: Inputs) -> Iterator[None]:
    """Keep the global random states of torch, numpy and Python, and of the inputs' device.

    One thread at a time, and without the mixed precision (autocast) of the caller.
    """
    device = tensors(inputs)[0].device
    devices = [device] if device.type == "cuda" else []
    with _ALONE, torch.autocast(device.type, enabled=False):
        python, numpy = random.getstate(), sys.modules.get("numpy")
        legacy = numpy.random.get_state() if numpy else None
        try:
            with torch.random.fork_rng(devices=devices):
                yield
        finally:
            random.setstate(python)
            if numpy:
                numpy.random.set_state(legacy)


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
            shown = numbers != 0 if name in PARTIAL else ~numbers.isnan()
            values[name] = numbers.nan_to_num(0.0)
            present[name], sizes[name] = shown, shown.double()
            continue
        by_layer = findings.values.get(name, {})
        present[name] = torch.tensor([layer in by_layer for layer in range(count)])
        extent = findings.sizes.get(name, {})
        sizes[name] = torch.tensor(
            [float(extent.get(layer, 0)) for layer in range(count)], dtype=torch.float64
        )
        if sample == "full":
            values[name] = tuple(by_layer.get(layer) for layer in range(count))
        else:
            matrix = STATISTICS[name].kind in MATRIX_KINDS
            like = next(iter(by_layer.values()), torch.zeros(batch, batch))
            empty = torch.zeros(like.shape if matrix else (sample,), dtype=like.dtype)
            values[name] = torch.stack([by_layer.get(layer, empty) for layer in range(count)])
    return Measurement(structure.layers, structure.roles, sample, values, present, sizes)

"""What quantising the layers' weights changes, each layer by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from autoprox.errors import QuantisationError
from autoprox.quantise.layers import Bits, QuantisableLayer, bits_per_layer
from autoprox.quantise.weights import quantised
from autoprox.runtime.hooks import hooked
from autoprox.statistics.hooks import plain
from autoprox.statistics.passes import Passes
from autoprox.statistics.recorder import Recorder
from autoprox.statistics.structure import Structure, owner_of
from autoprox.statistics.subject import Subject


def with_bits(subject: Subject, structure: Structure, bits: Bits) -> Subject:
    """Return the subject with the bits of its layers, read as `autoprox.quantise` reads them.

    Raises:
        QuantisationError: they are too few or too many, or no integers from 1 to 16.
        UnknownNameError: a name is no layer's that can be quantised.
    """
    modules = dict(subject.network.named_modules())
    names = {
        owner: name
        for name, owner in zip(structure.layers, structure.owners, strict=True)
        if owner in structure.shapes and isinstance(modules[owner], (nn.Conv2d, nn.Linear))
    }
    if not names:
        raise QuantisationError("the network runs no nn.Conv2d or nn.Linear; it cannot have bits")
    per_layer = bits_per_layer([QuantisableLayer(owner, 0, 0) for owner in names], bits)
    return replace(subject, bits=dict(zip(names.values(), per_layer, strict=True)))


def measure_quantised(passes: Passes) -> None:
    """Measure `bits`, `weight_error` and `act_error`, on the layers that have bits."""
    subject, layers = passes.subject, passes.structure.layers
    numbers = [float(subject.bits.get(name, 0)) for name in layers]
    passes.findings.layerwise["bits"] = torch.tensor(numbers, dtype=torch.float64)
    if not passes.asked & {"weight_error", "act_error"}:
        return
    state = subject.state()
    weights = {name: quantised(state[name], bits) for name, bits in subject.bits.items()}
    if "weight_error" in passes.asked:
        for layer, name in enumerate(layers):
            if name in weights:
                error = state[name] - weights[name]
                picked = passes.picker.weight(error, layer)
                passes.findings.put("weight_error", layer, picked, error.numel())
    if "act_error" in passes.asked:
        _measure_outputs(passes, weights)


def _measure_outputs(passes: Passes, weights: Mapping[str, Tensor]) -> None:
    """Run the batch, and each layer once more on its own input with its quantised weight.

    Of an error those entries are kept that are kept of the output itself.
    """
    subject = passes.subject
    recorder = Recorder(passes.structure, frozenset({"act_error"}), passes.picker, subject.batch)

    def see(name: str, output: Tensor, error: Tensor) -> None:
        recorder.error(owner_of(name), output, error)

    for low, high in subject.parts():
        part = recorder.part(subject.network, low, high)
        with part, repeated(subject.network, weights, see):
            subject.forward(subject.part(low, high), subject.leaves(), low)
    recorder.finish(passes.findings)


@contextmanager
def repeated(
    network: nn.Module,
    weights: Mapping[str, Tensor],
    see: Callable[[str, Tensor, Tensor], None],
) -> Iterator[None]:
    """Run layers once more with other `weights`, on the inputs that they are given.

    `see` is shown the name of a layer, its output, and by how much the other output differs.
    """
    modules = dict(network.named_modules())
    repeating = False

    def repeat(layer: str, weight: Tensor) -> Callable[..., None]:
        def leave(
            module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Tensor
        ) -> None:
            nonlocal repeating
            if repeating:
                return
            repeating = True
            try:
                own_name = layer.rpartition(".")[2]
                changed = functional_call(module, {own_name: weight}, args, kwargs)
            finally:
                repeating = False
            see(layer, plain(output), plain(changed - output))

        return leave

    with hooked(
        modules[owner_of(layer)].register_forward_hook(repeat(layer, weight), with_kwargs=True)
        for layer, weight in weights.items()
    ):
        yield

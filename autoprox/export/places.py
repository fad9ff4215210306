"""In what order the layers run, what they are and what they cost, in plain torch."""

from __future__ import annotations

from collections.abc import Sequence

from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from autoprox.export.running import Subject, owners, run_one_sample, state_of, watched
from autoprox.export.weights import Numbers
from autoprox.statistics.attention import AttentionMaps
from autoprox.statistics.structure import owner_of


def measure_running(subject: Subject) -> list[str]:
    """The modules that own a layer, in the order in which they run first."""
    found: list[str] = []
    with watched(subject.network, owners(subject), found.append):
        run_one_sample(subject)
    return list(dict.fromkeys(found))


def measure_layers(subject: Subject, running: Sequence[str]) -> list[str]:
    """The layers in the order of execution.

    One whose module never ran stands after the one registered before it.
    """
    last, places = -1, {}
    for layer in subject.layers:
        owner = owner_of(layer)
        last = running.index(owner) if owner in running else last
        places[layer] = last
    return sorted(subject.layers, key=places.__getitem__)


def measure_position(layers: Sequence[str]) -> Numbers:
    """Place in the order of execution: 0 for the first layer, 1 for the last."""
    return {layer: place / max(len(layers) - 1, 1) for place, layer in enumerate(layers)}


def measure_roles(subject: Subject, layers: Sequence[str], running: Sequence[str]) -> list[str]:
    """What each of `layers` is: embedding, attention, mlp, conv or head."""
    inside: list[str] = []
    attending: set[str] = set()

    def holds(module: str, layer: str) -> bool:
        return not module or layer.startswith(f"{module}.")

    def leaving(_module: str, _output: object) -> None:
        inside.pop()

    def attended(_heads: int, _maps: object) -> None:
        around = (m for m in reversed(inside) if any(holds(m, layer) for layer in subject.layers))
        attending.add(next(around, ""))

    modules = [name for name, _ in subject.network.named_modules()]
    with watched(subject.network, modules, inside.append, leaving), AttentionMaps(attended):
        run_one_sample(subject)
    state = state_of(subject.network)
    ran = [layer for layer in layers if owner_of(layer) in running]

    def role(layer: str) -> str:
        if layer in ran[:1]:
            return "embedding"
        if layer in ran[-1:]:
            return "head"
        if any(holds(module, layer) for module in attending):
            return "attention"
        return "mlp" if state[layer].ndim == 2 else "conv"

    return [role(layer) for layer in layers]


def first_owned(layers: Sequence[str]) -> dict[str, str]:
    """Module to the first of its layers."""
    return {owner_of(layer): layer for layer in reversed(layers)}


def measure_flops(subject: Subject, layers: Sequence[str]) -> Numbers:
    """Floating-point operations on one sample, from entering the layer to entering the next."""
    counter = FlopCounterMode(display=False)
    running, counted = owner_of(subject.layers[0]), 0
    flops: dict[str, float] = {}

    def entering(owner: str) -> None:
        nonlocal running, counted
        total = counter.get_total_flops()
        flops[running] = flops.get(running, 0.0) + total - counted
        running, counted = owner, total

    with (
        watched(subject.network, owners(subject), entering),
        sdpa_kernel(SDPBackend.MATH),  # attention as matrix products, which are counted
        counter,
    ):
        run_one_sample(subject)
        entering("")
    first = first_owned(layers)
    return {
        layer: flops.get(owner_of(layer), 0.0) if first[owner_of(layer)] == layer else 0.0
        for layer in layers
    }


def measure_heads(subject: Subject) -> Numbers:
    """Heads of the attention maps that the layer fed."""
    running = owner_of(subject.layers[0])
    heads: dict[str, int] = {}

    def entering(owner: str) -> None:
        nonlocal running
        running = owner

    def attended(number: int, _maps: object) -> None:
        heads[running] = number

    with watched(subject.network, owners(subject), entering), AttentionMaps(attended):
        run_one_sample(subject)
    return {
        layer: float(heads[owner_of(layer)]) for layer in subject.layers if owner_of(layer) in heads
    }

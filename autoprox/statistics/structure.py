"""The layers of a network: which they are, in what order they run, what one sample costs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.hooks import RemovableHandle

from autoprox.errors import StatisticError
from autoprox.runtime.hooks import hooked
from autoprox.statistics.activations import ActivationInputs
from autoprox.statistics.attention import AttentionMaps, heads_of
from autoprox.statistics.code import compares_sizes
from autoprox.statistics.hooks import first_tensor
from autoprox.statistics.layers import (
    Axes,
    hint_of_packed,
    made_before,
    may_be_packed,
    of_known_type,
    packed_objects,
    packed_tensors,
    renormalised,
    static_axes,
    used_axes,
)
from autoprox.statistics.measurement import Mode
from autoprox.statistics.operations import Operations
from autoprox.statistics.private import result_of
from autoprox.statistics.roles import holds, roles_of
from autoprox.statistics.trees import Inputs, one_sample

INTERCEPTED = frozenset({"heads", "roles", "code_total"})
"""What `trace` sees only by intercepting the functions of torch that a network calls."""


@dataclass(frozen=True, slots=True, eq=False)
class Structure:
    """The layers of one network, in the order of first execution.

    Attributes:
        layers: qualified names of the weights.
        owners: qualified names of the modules that own them, ``""`` for the network itself.
        axes: where the inputs and outputs of the weights are.
        dims: dimensions of the outputs that a convolution's weight has, 2 where the channels come
            last.
        roles: embedding, attention, mlp, conv or head.
        counts: the statistics of one sample, float64 ``(layers,)`` each: flops, position, heads,
            out_entries. The last two are 0 where a layer has none.
        shapes: owner -> shape of its output on one sample.
        activated: shapes of the arguments of the activation functions on one sample, in the order
            of their calls.
        runs: owner -> how often it runs on one sample.
        uncounted: names of operations that ran and have no known count.
        packed: names of quantised weights, which are integers or torch's own objects.
        written: parameters that the network writes into while it runs.
        draws: whether it draws random numbers of torch.
        chooses: whether it chooses or counts by the data, see `operations.CHOICES`.
        doubtful: whether two samples do not show if samples depend on each other: it exchanges
            some by chance, or its code compares sizes.
        differentiates: whether its forward pass differentiates by its weights.
        result: the first sample of the tensors that the network returns.
        stacked: owners whose outputs hold the rows of a sample apart, and places among the
            `activated`; see `looking`.
        unclear: owners, and places, whose outputs cannot be told apart by sample.
        constant: owners, and places, of tensors that are made of no data: they are all samples'.
    """

    layers: tuple[str, ...]
    owners: tuple[str, ...]
    axes: tuple[Axes, ...]
    dims: tuple[int, ...]
    roles: tuple[str, ...]
    counts: Mapping[str, Tensor]
    shapes: Mapping[str, torch.Size]
    activated: tuple[torch.Size, ...]
    runs: Mapping[str, int] = field(default_factory=dict)
    uncounted: tuple[str, ...] = ()
    packed: tuple[str, ...] = ()
    written: frozenset[str] = frozenset()
    draws: bool = False
    chooses: bool = False
    doubtful: bool = False
    differentiates: bool = False
    result: tuple[Tensor, ...] = ()
    stacked: frozenset[str | int] = frozenset()
    unclear: frozenset[str | int] = frozenset()
    constant: frozenset[str | int] = frozenset()

    def mixed(self, key: str | int, tensor: Tensor, samples: int) -> bool:
        """Say whether a tensor of an owner, or at a place, cannot be told apart by sample.

        Where a network chooses by the data, one of the shape of a sample's is some sample's.
        """
        single = self.activated[key] if isinstance(key, int) else self.shapes[key]
        chosen = self.chooses and key not in self.constant and tensor.shape == single
        return samples > 1 and (chosen or key in self.unclear)

    def showing(self) -> dict[str, int]:
        """Owner -> the layer that shows its output: the last one registered of its weights."""
        return {owner: index for index, owner in enumerate(self.owners)}


@dataclass(slots=True)
class _Trace:
    """What one forward of one sample shows.

    Attributes:
        entered: the modules that ran, in order, and the operations before each.
        attended: for each attention how many modules had been entered, the shape of its maps, and
            the modules that it was computed inside of, the innermost first.
        shapes: module -> shape of its output.
        activated: shapes of the arguments of the activation functions.
        constant: the modules, and places of activation functions, of tensors made of no data.
        stack: the modules that run now, the innermost last.
    """

    entered: list[tuple[str, int]] = field(default_factory=list)
    attended: list[tuple[int, torch.Size, tuple[str, ...]]] = field(default_factory=list)
    shapes: dict[str, torch.Size] = field(default_factory=dict)
    activated: list[torch.Size] = field(default_factory=list)
    constant: set[str | int] = field(default_factory=set)
    stack: list[str] = field(default_factory=list)

    def hooks(
        self, network: nn.Module, watched: Collection[str], operations: Operations
    ) -> Iterator[RemovableHandle]:
        """Let every module say when it runs, and those `watched` what they return."""
        yield network.register_forward_hook(made_before(network))
        for name, module in network.named_modules():

            def enter(_module: nn.Module, _inputs: object, name: str = name) -> None:
                self.stack.append(name)
                if name in watched:
                    self.entered.append((name, operations.total))

            def leave(_module: nn.Module, _in: object, output: object, name: str = name) -> None:
                self.stack.pop()
                if name in watched and (tensor := first_tensor(output)) is not None:
                    self.shapes[name] = tensor.shape
                    self.constant.discard(name)  # the last run counts
                    if operations.constant(tensor):
                        self.constant.add(name)

            yield module.register_forward_pre_hook(enter)
            yield module.register_forward_hook(leave)

    def attend(self, shape: torch.Size, _maps: object) -> None:
        """Note an attention, computed inside of the modules that run now."""
        self.attended.append((len(self.entered), shape, tuple(reversed(self.stack))))


def layer_names(network: nn.Module) -> tuple[str, ...]:
    """Qualified names of the layers' weights, in the order of registration.

    They are those that the types of modules say: the weights of linear, convolutional, recurrent
    and embedding modules, of `nn.Bilinear` and the input projections of `nn.MultiheadAttention`;
    in modules of other types, parameters of two dimensions or more whose own name ends with
    "weight". Norms and tables of positions are none. A weight that two modules share is one layer.
    What a network computes with its parameters tells more; see `trace`.

    Raises:
        StatisticError: there is none.
    """
    parameters = dict(network.named_parameters())
    names = tuple(static_axes(network)) or tuple(
        name
        for name, parameter in parameters.items()
        if parameter.is_floating_point() and sum(size > 1 for size in parameter.shape) > 1
    )
    if not names:
        raise StatisticError(
            f"{type(network).__name__} has no layer to measure; expected at least one real "
            "parameter with two dimensions or more that data are multiplied by, as nn.Linear and "
            f"nn.Conv2d have{hint_of_packed([*packed_tensors(network), *packed_objects(network)])}"
        )
    return names


def owner_of(parameter: str) -> str:
    """Qualified name of the module that owns `parameter`.

    >>> owner_of("blocks.0.qkv.weight")
    'blocks.0.qkv'
    """
    return parameter.rpartition(".")[0]


def couples_samples(network: nn.Module) -> bool:
    """Say whether a sample's output, or gradient, depends on the others, through batch norm.

    Or through an embedding whose gradient is divided by how often a row was looked up.
    """
    return any(
        isinstance(module, _BatchNorm) or getattr(module, "scale_grad_by_freq", False)
        for module in network.modules()
    )


def credited_parameters(network: nn.Module, layers: tuple[str, ...]) -> Tensor:
    """Parameters credited to each of `layers`, float64 ``(layers,)``; they add up to the network's.

    A parameter that is no layer's weight (biases, norms, tokens, positions) counts for the layer of
    its own module, else for the layer registered last before it, else for the first one registered.
    """
    index = {name: place for place, name in enumerate(layers)}
    owners: dict[str, int] = {}
    for name in layers:
        owners.setdefault(owner_of(name), index[name])
    parameters = dict(network.named_parameters())
    nearest = index[next(name for name in parameters if name in index)]
    credit = torch.zeros(len(layers), dtype=torch.float64)
    for name, parameter in parameters.items():
        nearest = index.get(name, nearest)
        inside = owner_of(name) in owners and owner_of(layers[nearest]) != owner_of(name)
        credit[owners[owner_of(name)] if inside else nearest] += parameter.numel()
    return credit


def trace(
    network: nn.Module,
    inputs: Inputs,
    state: Mapping[str, Tensor],
    mode: Mode = "train",
    asked: frozenset[str] = INTERCEPTED,
) -> Structure:
    """Run one sample and return what the layers did.

    The layers are those that the types of modules say, without tables of positions, and parameters
    of modules of unknown type that data are multiplied by. Batch norm uses its running statistics
    in either mode, as it would need more samples, and attention is decomposed into matrix products,
    which are counted on every device.

    Args:
        network: the network.
        inputs: one sample, ``(1, ...)``, or a tree of such tensors.
        state: parameters and buffers to run with.
        mode: the mode of all other modules.
        asked: which of `INTERCEPTED` are looked for; the others are empty.

    Raises:
        StatisticError: data are multiplied by no parameter, or the forward pass makes some.
    """
    parameters = dict(network.named_parameters())
    used = {
        name: tensor.clone() if name in parameters and not may_be_packed(tensor) else tensor
        for name, tensor in state.items()
    }
    known = {name for name, module in network.named_modules() if of_known_type(module)}
    free = [name for name in parameters if owner_of(name) not in known]
    whole = packed_tensors(network)
    operations = Operations(used, {**parameters, **whole}, free)
    seen, result = _ran(network, inputs, used, operations, mode, asked)
    axes = used_axes(network, operations.factors, frozenset(operations.seen))
    if not axes:
        raise StatisticError(
            f"{type(network).__name__} has no layer to measure: it multiplies data by none of its "
            "parameters"
        )
    packed = whole.keys() & (parameters.keys() | operations.factors.keys() | operations.hidden)
    written = (
        name
        for name in parameters
        if used[name] is not state[name] and not torch.equal(used[name], state[name])
    )
    return replace(
        _structure(tuple(axes), tuple(axes.values()), seen, state, operations.total),
        runs=Counter(name for name, _ in seen.entered),
        uncounted=tuple(sorted(operations.uncounted)),
        packed=(*sorted(packed), *packed_objects(network)),
        written=frozenset(written) | renormalised(network),
        draws=operations.draws,
        chooses=operations.chooses,
        constant=frozenset(seen.constant),
        doubtful=operations.shuffles or compares_sizes(network),
        result=one_sample(result, 1),
    )


def _ran(
    network: nn.Module,
    inputs: Inputs,
    used: Mapping[str, Tensor],
    operations: Operations,
    mode: Mode,
    asked: frozenset[str],
) -> tuple[_Trace, object]:
    """Run one sample; return what was seen of the layers, and what the network returns."""
    watched = {owner_of(name) for name, weight in network.named_parameters() if weight.ndim > 1}
    seen = _Trace()
    with (
        hooked(seen.hooks(network, watched, operations)),
        sdpa_kernel(SDPBackend.MATH),
        ExitStack() as intercepting,
    ):
        if asked & {"heads", "roles"}:
            intercepting.enter_context(AttentionMaps(seen.attend))
        if "code_total" in asked:

            def show(argument: Tensor) -> None:
                if operations.constant(argument):
                    seen.constant.add(len(seen.activated))
                seen.activated.append(argument.shape)

            intercepting.enter_context(ActivationInputs(show))
        intercepting.enter_context(operations)
        result = result_of(network, inputs, used, mode, batch_norm=False)
    return seen, result


def _structure(
    names: tuple[str, ...],
    axes: tuple[Axes, ...],
    seen: _Trace,
    state: Mapping[str, Tensor],
    total: int,
) -> Structure:
    """Order the layers by first execution and tabulate what was found.

    A layer whose module never ran stands after the one registered before it.
    """
    positions = {
        owner: size.numel() // max(1, size[-1 if weight_axes.channels_last else 1])
        for owner, weight_axes in zip(map(owner_of, names), axes, strict=True)
        if len(size := seen.shapes.get(owner, torch.Size())) > 1
    }
    order, flops, heads, attending = _by_owner(names, seen, total, positions)
    last, keys = -1, []
    for place, name in enumerate(names):
        last = order.get(owner_of(name), last)
        keys.append((last, place))
    sorted_places = [place for _, place in sorted(keys)]
    layers = tuple(names[place] for place in sorted_places)
    axes = tuple(axes[place] for place in sorted_places)
    owners = tuple(owner_of(name) for name in layers)
    shapes = {owner: seen.shapes[owner] for owner in owners if owner in seen.shapes}
    firsts = [owner not in owners[:place] for place, owner in enumerate(owners)]
    lasts = [owner not in owners[place + 1 :] for place, owner in enumerate(owners)]
    steps = max(len(layers) - 1, 1)

    def column(numbers: list[float]) -> Tensor:
        return torch.tensor(numbers, dtype=torch.float64)

    def owned(numbers: Mapping[str, int], marked: list[bool]) -> Tensor:
        pairs = zip(owners, marked, strict=True)
        return column([numbers.get(owner, 0) if mark else 0 for owner, mark in pairs])

    counts = {
        "flops": owned(flops, firsts),
        "position": column([place / steps for place in range(len(layers))]),
        "heads": owned(heads, lasts),
        "out_entries": owned({owner: shape.numel() for owner, shape in shapes.items()}, lasts),
    }
    dims = tuple(
        2 if weight_axes.channels_last else state[name].ndim
        for name, weight_axes in zip(layers, axes, strict=True)
    )
    roles = roles_of(owners, dims, order, attending)
    return Structure(layers, owners, axes, dims, roles, counts, shapes, tuple(seen.activated))


def _by_owner(
    names: tuple[str, ...], seen: _Trace, total: int, positions: Mapping[str, int]
) -> tuple[dict[str, int], dict[str, int], dict[str, int], set[str]]:
    """Return what was seen by owner: order, operations from its entry to the next one's, heads.

    The heads are those of the attention that it fed; and return the modules that attend.
    """
    owners = {owner_of(name) for name in names}
    order: dict[str, int] = {}
    flops: dict[str, int] = {}
    heads: dict[str, int] = {}
    attending: set[str] = set()
    current, counted, attentions = owner_of(names[0]), 0, list(seen.attended)
    for place, (entered, before) in enumerate([*seen.entered, ("", total)]):
        shapes = []
        while attentions and attentions[0][0] <= place:
            _, shape, around = attentions.pop(0)
            shapes.append(shape)
            attending.add(next((module for module in around if holds(module, owners)), ""))
        if shapes:
            heads[current] = heads_of(shapes, positions.get(current, 0))
        if place < len(seen.entered) and entered not in owners:
            continue
        flops[current] = flops.get(current, 0) + before - counted
        counted = before
        if place < len(seen.entered):
            current = entered
            order.setdefault(entered, len(order))
    return order, flops, heads, attending

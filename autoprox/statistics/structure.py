"""The layers of a network: which they are, in what order they run, what one sample costs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parameter import UninitializedParameter
from torch.utils.flop_counter import FlopCounterMode
from torch.utils.hooks import RemovableHandle

from autoprox.errors import StatisticError
from autoprox.statistics.activations import ActivationInputs
from autoprox.statistics.attention import AttentionMaps
from autoprox.statistics.measurement import Mode
from autoprox.statistics.trees import Inputs, arguments

INTERCEPTED = frozenset({"flops", "heads", "roles", "code_total"})
"""What `trace` sees only by intercepting the functions of torch that a network calls."""


@dataclass(frozen=True, slots=True, eq=False)
class Structure:
    """The layers of one network, in the order of first execution.

    Attributes:
        layers: qualified names of the weights.
        owners: qualified names of the modules that own them, ``""`` for the network itself.
        dims: dimensions of the weights.
        roles: embedding, attention, mlp, conv or head.
        counts: the statistics of one sample, float64 ``(layers,)`` each: flops, position, heads,
            out_entries. The last two are 0 where a layer has none.
        shapes: owner -> shape of its output on one sample.
        activated: shapes of the arguments of the activation functions on one sample, in the order
            of their calls.
    """

    layers: tuple[str, ...]
    owners: tuple[str, ...]
    dims: tuple[int, ...]
    roles: tuple[str, ...]
    counts: Mapping[str, Tensor]
    shapes: Mapping[str, torch.Size]
    activated: tuple[torch.Size, ...]

    def owned(self) -> dict[str, list[int]]:
        """Owner -> indices of its layers, in the order of execution."""
        groups: dict[str, list[int]] = {}
        for index, owner in enumerate(self.owners):
            groups.setdefault(owner, []).append(index)
        return groups


@dataclass(slots=True)
class _Trace:
    """What one forward of one sample shows, by owner."""

    current: str
    order: dict[str, int] = field(default_factory=dict)
    shapes: dict[str, torch.Size] = field(default_factory=dict)
    flops: dict[str, int] = field(default_factory=dict)
    heads: dict[str, int] = field(default_factory=dict)
    stack: list[str] = field(default_factory=list)
    attending: set[str] = field(default_factory=set)
    activated: list[torch.Size] = field(default_factory=list)
    counted: int = 0

    def credit(self, total: int) -> None:
        """Credit the operations since the last call to the layer that runs."""
        self.flops[self.current] = self.flops.get(self.current, 0) + total - self.counted
        self.counted = total


def layer_names(network: nn.Module) -> tuple[str, ...]:
    """Qualified names of the layers' weights, in the order of registration.

    A layer is a parameter of two dimensions or more whose own name ends with "weight": the
    weights of linear, convolutional and embedding modules and the input projection of
    `nn.MultiheadAttention`, but neither norms nor tables of positions. A weight that two modules
    share is one layer.

    Raises:
        StatisticError: there is none, or the network is lazy and has not seen its input.
    """
    names = []
    for name, parameter in network.named_parameters():
        if isinstance(parameter, UninitializedParameter):
            raise StatisticError(
                f"parameter {name!r} has no shape yet; run the lazy network once before "
                f"measuring it"
            )
        if name.endswith("weight") and parameter.ndim >= 2 and parameter.is_floating_point():
            names.append(name)
    if not names:
        raise StatisticError(
            f"{type(network).__name__} has no layer to measure; expected at least one "
            f"parameter with "
            "two dimensions or more whose name ends with 'weight', as nn.Linear and nn.Conv2d have"
        )
    return tuple(names)


def owner_of(parameter: str) -> str:
    """Qualified name of the module that owns `parameter`.

    >>> owner_of("blocks.0.qkv.weight")
    'blocks.0.qkv'
    """
    return parameter.rpartition(".")[0]


def couples_samples(network: nn.Module) -> bool:
    """Say whether a sample's output depends on the others in the batch, through batch norm."""
    return any(isinstance(module, _BatchNorm) for module in network.modules())


def credited_parameters(network: nn.Module, layers: tuple[str, ...]) -> Tensor:
    """Parameters credited to each of `layers`, float64 ``(layers,)``; they add up to the network's.

    A parameter that is no layer's weight (biases, norms, tokens, positions) counts for the layer of
    its own module, else for the layer registered last before it, else for the first one registered.
    """
    index = {name: place for place, name in enumerate(layers)}
    own: dict[str, int] = {}
    for name in layers:
        own.setdefault(owner_of(name), index[name])
    parameters = dict(network.named_parameters())
    nearest = index[next(name for name in parameters if name in index)]
    credit = torch.zeros(len(layers), dtype=torch.float64)
    for name, parameter in parameters.items():
        nearest = index.get(name, nearest)
        inside = owner_of(name) in own and owner_of(layers[nearest]) != owner_of(name)
        credit[own[owner_of(name)] if inside else nearest] += parameter.numel()
    return credit


@contextmanager
def in_mode(network: nn.Module, mode: Mode, *, batch_norm: bool = True) -> Iterator[None]:
    """Put every module in `mode`, batch norm in training only if asked, and restore the modes."""
    modes = [(module, module.training) for module in network.modules()]
    train = mode == "train"
    try:
        for module, _ in modes:
            module.training = train and (batch_norm or not isinstance(module, _BatchNorm))
        yield
    finally:
        for module, before in modes:
            module.training = before


@contextmanager
def hooked(handles: Callable[[list[RemovableHandle]], None]) -> Iterator[None]:
    """Remove on leaving what `handles` has put into the list that it is given."""
    held: list[RemovableHandle] = []
    try:
        handles(held)
        yield
    finally:
        for handle in held:
            handle.remove()


def first_tensor(output: object) -> Tensor | None:
    """The tensor that a module returned, or the first one of a tuple or list."""
    if isinstance(output, (tuple, list)):
        output = next((part for part in output if isinstance(part, Tensor)), None)
    return output if isinstance(output, Tensor) else None


def trace(
    network: nn.Module,
    inputs: Inputs,
    state: Mapping[str, Tensor],
    names: tuple[str, ...],
    mode: Mode = "train",
    asked: frozenset[str] = INTERCEPTED,
) -> Structure:
    """Run one sample and return what the layers `names` did.

    Batch norm uses its running statistics in either mode, as it would need more samples, and
    attention is decomposed into matrix products, which are counted on every device.

    Args:
        network: the network.
        inputs: one sample, ``(1, ...)``, or a tree of such tensors.
        state: parameters and buffers to run with.
        names: the layers in the order of registration.
        mode: the mode of all other modules.
        asked: which of `INTERCEPTED` are looked for; the others are empty.
    """
    owners = {owner_of(name) for name in names}
    found = _Trace(current=owner_of(names[0]))
    counter = FlopCounterMode(display=False)

    def attach(handles: list[RemovableHandle]) -> None:
        for name, module in network.named_modules():
            handles.append(
                module.register_forward_pre_hook(_entering(name, owners, found, counter))
            )
            handles.append(module.register_forward_hook(_leaving(name, owners, found)))

    def attended(heads: int, _maps: object) -> None:
        found.heads[found.current] = heads
        around = (place for place in reversed(found.stack) if _holds(place, owners))
        found.attending.add(next(around, ""))

    with (
        in_mode(network, mode, batch_norm=False),
        hooked(attach),
        sdpa_kernel(SDPBackend.MATH),
        torch.no_grad(),
        ExitStack() as intercepting,
    ):
        if asked & {"heads", "roles"}:
            intercepting.enter_context(AttentionMaps(attended))
        if "code_total" in asked:
            show = ActivationInputs(lambda argument: found.activated.append(argument.shape))
            intercepting.enter_context(show)
        if "flops" in asked:
            intercepting.enter_context(counter)
        functional_call(network, dict(state), *arguments(inputs))
        found.credit(counter.get_total_flops())
    return _structure(names, found, state)


def _entering(
    name: str, owners: set[str], found: _Trace, counter: FlopCounterMode
) -> Callable[[nn.Module, object], None]:
    """Make the hook that notes the entering of a module."""

    def enter(_module: nn.Module, _inputs: object) -> None:
        found.stack.append(name)
        if name in owners:
            found.credit(counter.get_total_flops())
            found.current = name
            found.order.setdefault(name, len(found.order))

    return enter


def _leaving(
    name: str, owners: set[str], found: _Trace
) -> Callable[[nn.Module, object, object], None]:
    """Make the hook that notes the output of a module."""

    def leave(_module: nn.Module, _inputs: object, output: object) -> None:
        found.stack.pop()
        tensor = first_tensor(output)
        if name in owners and tensor is not None:
            found.shapes[name] = tensor.shape

    return leave


def _inside(owner: str, module: str) -> bool:
    """Say whether the module `owner` is `module` or inside it."""
    return not module or owner == module or owner.startswith(module + ".")


def _holds(module: str, owners: set[str]) -> bool:
    """Say whether `module` is, or contains, one of `owners`."""
    return any(_inside(owner, module) for owner in owners)


def _structure(names: tuple[str, ...], found: _Trace, state: Mapping[str, Tensor]) -> Structure:
    """Order the layers by first execution and tabulate what was found.

    A layer whose module never ran stands after the one registered before it.
    """
    last, keys = -1, []
    for place, name in enumerate(names):
        last = found.order.get(owner_of(name), last)
        keys.append((last, place))
    layers = tuple(names[place] for _, place in sorted(keys))
    owners = tuple(owner_of(name) for name in layers)
    firsts = [owner not in owners[:place] for place, owner in enumerate(owners)]
    steps = max(len(layers) - 1, 1)

    def column(numbers: list[float]) -> Tensor:
        return torch.tensor(numbers, dtype=torch.float64)

    counts = {
        "flops": column(
            [found.flops.get(o, 0) if f else 0 for o, f in zip(owners, firsts, strict=True)]
        ),
        "position": column([place / steps for place in range(len(layers))]),
        "heads": column([found.heads.get(owner, 0) for owner in owners]),
        "out_entries": column(
            [found.shapes[o].numel() if o in found.shapes else 0 for o in owners]
        ),
    }
    dims = tuple(state[name].ndim for name in layers)
    roles, activated = _roles(owners, dims, found), tuple(found.activated)
    return Structure(layers, owners, dims, roles, counts, found.shapes, activated)


def _roles(owners: tuple[str, ...], dims: tuple[int, ...], found: _Trace) -> tuple[str, ...]:
    """Roles of the layers: the first one run, the last one run, the others by place and shape."""
    ran = [place for place, owner in enumerate(owners) if owner in found.order]
    roles = []
    for place, (owner, size) in enumerate(zip(owners, dims, strict=True)):
        if ran and place == ran[0]:
            role = "embedding"
        elif ran and place == ran[-1]:
            role = "head"
        elif any(_inside(owner, module) for module in found.attending):
            role = "attention"
        else:
            role = "mlp" if size == 2 else "conv"
        roles.append(role)
    return tuple(roles)

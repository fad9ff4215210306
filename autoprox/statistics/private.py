"""A copy of a network that a measurement may use up, and the tensors that it runs with."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import CellType, FunctionType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parameter import UninitializedParameter
from torch.nn.utils import parametrize

from autoprox.errors import StatisticError
from autoprox.statistics.measurement import Mode
from autoprox.statistics.trees import Inputs, arguments

HOOKED = (("_g", "_v"), ("_orig",))
"""Ends of the names of the parameters that a weight is computed from by a hook: those of
`torch.nn.utils.weight_norm`, and of `spectral_norm` and `prune`."""


def private_copy(network: nn.Module, mode: Mode) -> nn.Module:
    """Return a copy in `mode` in which everything may be written: nothing of it reaches `network`.

    Weights that are computed in the forward pass from other parameters (weight norm, spectral norm,
    parametrisations, pruning masks) are computed once and become parameters of their own names; a
    compiled module is replaced by what was compiled, and a gradient that would be sparse is dense.
    So what is measured is the function that the network computes, however it is stored.

    Raises:
        StatisticError: the network cannot be copied, or a parameter is not finite.
    """
    check_finite(network)
    try:
        memo, closures = _memo(network)
        copied = copy.deepcopy(network, memo)
        for cell, value in closures:
            cell.cell_contents = copy.deepcopy(value, memo)
    except StatisticError:
        raise
    except Exception as error:  # what a network holds is anybody's
        raise StatisticError(
            f"{type(network).__name__} cannot be copied, and a measurement runs on a copy so that "
            f"the network is left as it was: {type(error).__name__}: {error}; remove what cannot "
            "be copied (open files, locks) from its attributes"
        ) from error
    copied = _uncompiled(copied).train(mode == "train")
    for module in copied.modules():
        _compute_weights(module)
        if isinstance(module, (nn.Embedding, nn.EmbeddingBag)):
            module.sparse = False
    return copied


def check_finite(network: nn.Module) -> None:
    """Raise `StatisticError` if a parameter of a network is not finite.

    One sentence for all proxies, whether they would notice or not.
    """
    for name, parameter in network.named_parameters():
        if isinstance(parameter, UninitializedParameter) or parameter.is_meta:
            raise StatisticError(
                f"parameter {name!r} has no {'values' if parameter.is_meta else 'shape'} yet; run "
                "the lazy network once before measuring it, or build it on a real device"
            )
        if not torch.isfinite(parameter.detach().sum()) and not torch.isfinite(parameter).all():
            raise StatisticError(
                f"parameter {name!r} has entries that are not finite (NaN or infinite), so the "
                "network has no score; check its initialisation or checkpoint"
            )


def _memo(network: nn.Module) -> tuple[dict[int, Any], list[tuple[CellType, Any]]]:
    """Return what `copy.deepcopy` cannot copy itself, by identity, and cells still to be filled.

    Tensors that carry a graph, parameters (whose gradients are not wanted), and functions inside of
    which parts of the network are referred to.
    """
    memo: dict[int, Any] = {}
    cells: dict[int, tuple[CellType, Any]] = {}
    parts = {id(module) for module in network.modules()}
    for module in network.modules():
        for value in _values(vars(module)):
            if type(value) is nn.Parameter:
                memo[id(value)] = nn.Parameter(value.detach().clone(), value.requires_grad)
                vars(memo[id(value)]).update(vars(value))
            elif isinstance(value, Tensor) and not value.is_leaf:
                memo[id(value)] = value.detach().clone()
            elif isinstance(value, FunctionType) and _refers(value, parts):
                memo[id(value)] = _rebuilt(value, cells)
    return memo, list(cells.values())


def _values(value: object, depth: int = 3) -> Iterator[object]:
    """Yield what is held in containers, and in containers in them."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, (list, tuple, set)) and depth:
        for inner in value:
            yield from _values(inner, depth - 1)
    else:
        yield value


def _refers(function: FunctionType, parts: set[int]) -> bool:
    """Say whether a function is defined where modules of the network were at hand."""
    for cell in function.__closure__ or ():
        try:
            if id(cell.cell_contents) in parts:
                return True
        except ValueError:  # an empty cell
            continue
    return False


def _rebuilt(function: FunctionType, cells: dict[int, tuple[CellType, Any]]) -> FunctionType:
    """Return the same function with cells of its own, which are filled when all is copied."""
    own = []
    for cell in function.__closure__ or ():
        if id(cell) not in cells:
            cells[id(cell)] = CellType(), cell.cell_contents
        own.append(cells[id(cell)][0])
    rebuilt = FunctionType(
        function.__code__,
        function.__globals__,
        function.__name__,
        function.__defaults__,
        tuple(own),
    )
    rebuilt.__kwdefaults__ = function.__kwdefaults__
    vars(rebuilt).update(vars(function))
    return rebuilt


def _uncompiled(module: nn.Module) -> nn.Module:
    """Replace what `torch.compile` returned by what it compiled, inside of a module too."""
    module = module._modules.get("_orig_mod") or module
    for name, child in module._modules.items():
        if child is not None:
            module._modules[name] = _uncompiled(child)
    return module


def _compute_weights(module: nn.Module) -> None:
    """Make the weights of a module that are computed from others parameters of the module."""
    if parametrize.is_parametrized(module):
        for name in list(module._modules["parametrizations"]._modules):  # type: ignore[union-attr]
            parametrize.remove_parametrizations(module, name, leave_parametrized=True)
    for ends in HOOKED:
        names = [key.removesuffix(ends[0]) for key in module._parameters if key.endswith(ends[0])]
        for name in names:
            sources = [name + end for end in ends]
            if all(source in module._parameters for source in sources):
                _compute_hooked(module, name, sources)


def _compute_hooked(module: nn.Module, name: str, sources: list[str]) -> None:
    """Run the hooks that compute a weight, remove them, and register the weight."""
    if not isinstance(vars(module).get(name), Tensor):
        return
    for key, hook in list(module._forward_pre_hooks.items()):
        own = getattr(hook, "name", None) == name or getattr(hook, "_tensor_name", None) == name
        if own:
            hook(module, ())
            del module._forward_pre_hooks[key]
            module._forward_pre_hooks_with_kwargs.pop(key, None)
    weight = vars(module).pop(name).detach().clone()
    for source in sources:
        del module._parameters[source]
    module.register_parameter(name, nn.Parameter(weight))


@contextmanager
def placed(
    network: nn.Module, state: Mapping[str, Tensor], mode: Mode, *, batch_norm: bool = True
) -> Iterator[None]:
    """Run a network with other tensors, and put back all that it has written into its modules.

    As `torch.func.functional_call`, but for as long as the block lasts: a backward pass that
    recomputes a part of the forward one (checkpointing) does so with these tensors, in this mode.

    Args:
        network: the network.
        state: tensors by the names of parameters and buffers; tied ones by their first name.
        mode: of all modules.
        batch_norm: whether it is in that mode as well, or in evaluation mode.
    """
    modules = list(network.named_modules())
    before = [(module, _contents(module)) for _, module in modules]
    names: dict[int, str] = {}
    for prefix, module in modules:
        normal = mode == "train" and (batch_norm or not isinstance(module, _BatchNorm))
        module.training = normal
        for registry in (module._parameters, module._buffers):
            for key, tensor in registry.items():
                if tensor is not None:
                    name = names.setdefault(id(tensor), f"{prefix}.{key}" if prefix else key)
                    registry[key] = state.get(name, tensor)
    try:
        yield
    finally:
        for module, (attributes, parameters, buffers) in before:
            vars(module).clear()
            vars(module).update(attributes)
            module._parameters.update(parameters)
            module._buffers.update(buffers)


def result_of(
    network: nn.Module,
    inputs: Inputs,
    state: Mapping[str, Tensor],
    mode: Mode,
    *,
    batch_norm: bool = True,
) -> Any:
    """Return what a network returns for `inputs`, with other tensors; see `placed`."""
    positional, keywords = arguments(inputs)
    with placed(network, state, mode, batch_norm=batch_norm):
        return network(*positional, **keywords)


def _contents(module: nn.Module) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Return the attributes, parameters and buffers that a module holds now."""
    return dict(vars(module)), dict(module._parameters), dict(module._buffers)

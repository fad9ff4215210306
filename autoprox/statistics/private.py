"""A copy of a network that a measurement may use up, and the tensors that it runs with."""

from __future__ import annotations

import copy
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager, suppress
from functools import lru_cache, partial
from types import CellType, FunctionType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parameter import UninitializedParameter
from torch.nn.utils import parametrize
from torch.utils.checkpoint import CheckpointFunction, checkpoint
from torch.utils.weak import WeakTensorKeyDictionary

from autoprox.errors import StatisticError, reason_of
from autoprox.statistics.eager import as_written
from autoprox.statistics.held import Held, contents, global_values
from autoprox.statistics.layers import HOOKED, PACKED, may_be_packed
from autoprox.statistics.measurement import Mode
from autoprox.statistics.trees import CONSTANTS, Inputs, arguments, mapped


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
        memo, later = _memo(network)
        _copy_modules(network, memo)
        copied = copy.deepcopy(network, memo)
        for fill, value in later:
            fill(copy.deepcopy(value, memo))
        for module, copied_module in zip(network.modules(), copied.modules(), strict=True):
            _set_slots(copied_module, copy.deepcopy(_slots(module), memo))
    except StatisticError:
        raise
    except Exception as error:  # what a network holds is anybody's
        raise StatisticError(
            f"{type(network).__name__} cannot be copied, and a measurement runs on a copy so that "
            f"the network is left as it was: {reason_of(error)}; remove what cannot "
            "be copied (open files, locks) from its attributes"
        ) from error
    copied = _uncompiled(copied)
    _set_mode(copied, mode)
    for module in copied.modules():
        _compute_weights(module)
        if isinstance(module, (nn.Embedding, nn.EmbeddingBag)):
            module.sparse = False
    return copied


def _set_mode(network: nn.Module, mode: Mode) -> None:
    """Put a network in a mode, in its own way: some keep batch norm in evaluation mode."""
    for module in network.modules():
        vars(module)["training"] = mode == "train"
    with suppress(Exception):  # foreign code; exported modules refuse
        network.train(mode == "train")


def check_finite(network: nn.Module) -> None:
    """Raise `StatisticError` if a parameter of a network is not finite.

    One sentence for all proxies, whether they would notice or not.
    """
    for name, module in network.named_modules():
        if isinstance(module, torch.jit.ScriptModule):
            raise StatisticError(
                f"{name or 'the network'} is a TorchScript module, in which a measurement sees "
                "nothing; pass the module that it was made from"
            )
    for name, parameter in network.named_parameters():
        if isinstance(parameter, UninitializedParameter) or parameter.is_meta:
            raise StatisticError(
                f"parameter {name!r} has no {'values' if parameter.is_meta else 'shape'} yet; run "
                "the lazy network once before measuring it, or build it on a real device"
            )
        if parameter.dtype is torch.complex32 and parameter.is_cpu:
            raise StatisticError(
                f"parameter {name!r} has the type complex32, whose numbers torch neither adds nor "
                "compares on the processor; convert it to complex64"
            )
        if parameter.dtype in PACKED or may_be_packed(parameter):  # of which many have no sum
            continue
        if not torch.isfinite(parameter.detach().sum()) and not torch.isfinite(parameter).all():
            raise StatisticError(
                f"parameter {name!r} has entries that are not finite (NaN or infinite), so the "
                "network has no score; check its initialisation or checkpoint"
            )


def _copy_modules(network: nn.Module, memo: dict[int, Any]) -> None:
    """Put copies of the modules that torch's own rules would copy into `memo`, in a shorter way."""
    kinds: dict[nn.Module, Any] = {module: type(module) for module in network.modules()}
    plain = [module for module, kind in kinds.items() if _copied_plainly(kind)]
    memo |= {id(module): object.__new__(type(module)) for module in plain}
    for module in reversed(plain):  # what wraps a module asks for its attributes
        attributes = vars(memo[id(module)])
        for key, value in vars(module).items():
            if _empty(value):
                attributes[key] = type(value)()
            else:
                attributes[key] = value if _constant(value) else copy.deepcopy(value, memo)


@lru_cache(maxsize=1024)
def _copied_plainly(kind: type) -> bool:
    """Say whether a copy of a module is one of its attributes, as its class says nothing else."""
    methods = ("__deepcopy__", "__getstate__", "__new__", "__reduce__", "__reduce_ex__")
    setting = next(base for base in kind.__mro__ if "__setstate__" in vars(base))
    return setting.__module__.startswith("torch.nn.") and all(
        getattr(kind, name, None) is getattr(nn.Module, name, None) for name in methods
    )


def _empty(value: object) -> bool:
    """Say whether a value is a dict that holds nothing."""
    return type(value) in (dict, OrderedDict) and not value


def _constant(value: object) -> bool:
    """Say whether a value is a constant, or a tuple of such."""
    if type(value) is tuple:
        return all(isinstance(inner, CONSTANTS) for inner in value)
    return isinstance(value, CONSTANTS)


REGISTRIES = frozenset({"_parameters", "_buffers", "_modules"})
"""Where a module keeps tensors and other modules."""

Later = list[tuple[Callable[[Any], Any], Any]]
"""What takes the copy of a value when all is copied, and the value."""


def _memo(network: nn.Module) -> tuple[dict[int, Any], Later]:
    """Return what `copy.deepcopy` cannot copy itself, by identity, and what is filled in later.

    Tensors that carry a graph, parameters (whose gradients are not wanted), and functions that
    refer to parts of the network; of compiled functions what was compiled.
    """
    memo: dict[int, Any] = {}
    cells: dict[int, CellType] = {}
    later: Later = []
    parts = {id(module) for module in network.modules()}
    for module in network.modules():
        held = [
            value
            for key, value in vars(module).items()
            if not (key in REGISTRIES or _empty(value) or _constant(value))
        ]
        for key, value in vars(module).items():
            if type(value) is weakref.ref and id(value()) in parts:
                later.append((partial(_refer, memo, id(module), key), value()))
        tensors = (*module._parameters.values(), *module._buffers.values())
        for value in (*tensors, *_reached(held)):
            if type(value) is nn.Parameter:
                memo[id(value)] = nn.Parameter(value.detach().clone(), value.requires_grad)
                vars(memo[id(value)]).update(vars(value))
            elif isinstance(value, Tensor) and not value.is_leaf:
                memo[id(value)] = value.detach().clone()
            elif isinstance(value, FunctionType) and id(value) not in memo:
                if hasattr(value, "_torchdynamo_orig_callable"):
                    memo[id(value)] = _uncompiled_function(value, later)
                elif parts & _refers(value):
                    memo[id(value)] = _rebuilt(value, parts, cells, later)
    return memo, later


def _refer(memo: Mapping[int, Any], owner: int, key: str, copied: nn.Module) -> None:
    """Let the copy of a module refer to that of another one, weakly."""
    vars(memo[owner])[key] = weakref.ref(copied)


def _reached(value: object, seen: set[int] | None = None) -> Iterator[object]:
    """Yield a value, what it holds, and what that holds, each once; nothing of modules."""
    seen = set() if seen is None else seen
    if id(value) not in seen:
        seen.add(id(value))
        yield value
        for inner in contents(value):
            if not _constant(inner):
                yield from _reached(inner, seen)


def _refers(value: object) -> set[int]:
    """Return the identities of the modules that a function refers to, or a value holds."""
    return {id(inner) for inner in _reached(value) if isinstance(inner, nn.Module)}


def _uncompiled_function(function: Any, later: Later) -> Callable[..., Any]:
    """Return a function that calls the copy of what was compiled."""
    cell = CellType()
    later.append((partial(setattr, cell, "cell_contents"), function._torchdynamo_orig_callable))
    return lambda *args, **kwargs: cell.cell_contents(*args, **kwargs)


def _rebuilt(
    function: FunctionType, parts: set[int], cells: dict[int, CellType], later: Later
) -> FunctionType:
    """Return the same function with cells, defaults and globals of its own, to be filled later."""
    new_cells = []
    for cell in function.__closure__ or ():
        if id(cell) not in cells:
            cells[id(cell)] = CellType()
            if cell != CellType():  # it is full
                fill = partial(setattr, cells[id(cell)], "cell_contents")
                later.append((fill, cell.cell_contents))
        new_cells.append(cells[id(cell)])
    names = {key: value for key, value in global_values(function).items() if parts & _refers(value)}
    known = {**function.__globals__} if names else function.__globals__
    later.extend((partial(known.__setitem__, key), value) for key, value in names.items())
    rebuilt = FunctionType(function.__code__, known, function.__name__, None, tuple(new_cells))
    for key in ("__defaults__", "__kwdefaults__"):
        later.append((partial(setattr, rebuilt, key), getattr(function, key)))
    vars(rebuilt).update(vars(function))
    return rebuilt


def _uncompiled(module: nn.Module) -> nn.Module:
    """Replace what `torch.compile` returned by what it compiled, inside of a module too."""
    if type(module).__name__ == "OptimizedModule":  # torch._dynamo is slow to import
        module = module._modules["_orig_mod"] or module
    for name, child in module._modules.items():
        if child is not None:
            module._modules[name] = _uncompiled(child)
    return module


def _compute_weights(module: nn.Module) -> None:
    """Make the weights of a module that are computed from others parameters of the module."""
    if parametrize.is_parametrized(module):
        module.__class__ = _own_class(type(module))
        for name in list(module._modules["parametrizations"]._modules):  # type: ignore[union-attr]
            parametrize.remove_parametrizations(module, name, leave_parametrized=True)
    for ends in HOOKED:
        names = [key.removesuffix(ends[0]) for key in module._parameters if key.endswith(ends[0])]
        for name in names:
            sources = [name + end for end in ends]
            if all(source in module._parameters for source in sources):
                _compute_hooked(module, name, sources)


def _own_class(shared: type) -> type:
    """Return a class like that of a parametrised module, which its copies share: its properties go.

    Torch makes one for each such module, and takes a property off it with the parametrisation.
    """
    ours = {key: value for key, value in vars(shared).items() if not hasattr(value, "__objclass__")}
    return type(shared.__name__, shared.__bases__, ours)


def _compute_hooked(module: nn.Module, name: str, sources: list[str]) -> None:
    """Run the hooks that compute a weight, remove them, and register the weight."""
    if not isinstance(vars(module).get(name), Tensor):
        return
    for key, hook in list(module._forward_pre_hooks.items()):
        computes = (
            getattr(hook, "name", None) == name or getattr(hook, "_tensor_name", None) == name
        )
        if computes:
            hook(module, ())
            del module._forward_pre_hooks[key]
            module._forward_pre_hooks_with_kwargs.pop(key, None)
    weight = vars(module).pop(name).detach().clone()
    for source in sources:
        del module._parameters[source]
    module.register_parameter(name, nn.Parameter(weight))


_CLONES: MutableMapping[Tensor, tuple[int, Tensor]] = WeakTensorKeyDictionary()
"""What plain tensors of private copies held, and in which version: a pass may write into them."""


@contextmanager
def placed(
    network: nn.Module, state: Mapping[str, Tensor], mode: Mode, *, batch_norm: bool = True
) -> Iterator[None]:
    """Run a network with other tensors, and put back all that it has written into its modules.

    As `torch.func.functional_call`, but for as long as the block lasts: a backward pass that
    recomputes a part of the forward one (checkpointing) does so with these tensors, in this mode.

    Args:
        network: the network.
        state: tensors by the names of parameters and buffers; tied ones by their first name, of a
            parameter if one of them is.
        mode: that of the copy, or evaluation.
        batch_norm: whether it is in that mode as well, or in evaluation mode.
    """
    modules = list(network.named_modules())
    before = [(module, _contents(module)) for _, module in modules]
    held = Held(*(parts[0] for _, parts in before), clones=_CLONES)
    names: dict[int, str] = {}
    for kind in ("_parameters", "_buffers"):
        for prefix, module in modules:
            for key, tensor in vars(module)[kind].items():
                if tensor is not None:
                    name = names.setdefault(id(tensor), f"{prefix}.{key}" if prefix else key)
                    vars(module)[kind][key] = state.get(name, tensor)
    for _, module in modules:
        if mode == "eval" or (isinstance(module, _BatchNorm) and not batch_norm):
            vars(module)["training"] = False
    try:
        with _checkpoints_that_differentiate(), as_written():
            yield
    finally:
        held.put_back(*(parts[0] for _, parts in before))
        for module, (attributes, registries, slots) in before:
            vars(module).clear()
            vars(module).update(attributes)
            for kind, registered in registries.items():
                attributes[kind].clear()
                attributes[kind].update(registered)
            _set_slots(module, slots)


@contextmanager
def _checkpoints_that_differentiate() -> Iterator[None]:
    """Run re-entrant checkpoints as torch runs the others, of which one gradient may be asked.

    They compute the same; a re-entrant one refuses, and has no gradient for layers inside it where
    its inputs have none.
    """

    def apply(function: Callable[..., Any], preserve: bool, *args: Any) -> Any:
        return checkpoint(function, *args, use_reentrant=False, preserve_rng_state=preserve)

    kind: Any = CheckpointFunction
    before = vars(kind).get("apply")
    kind.apply = apply
    try:
        yield
    finally:
        if before is None:
            del kind.apply
        else:
            kind.apply = before


def result_of(
    network: nn.Module,
    inputs: Inputs,
    state: Mapping[str, Tensor],
    mode: Mode,
    *,
    batch_norm: bool = True,
) -> Any:
    """Return what a network returns for `inputs`, with other tensors; see `placed`.

    It is given copies of the inputs, into which it may write.
    """
    positional, keywords = arguments(mapped(inputs, Tensor.clone))
    with placed(network, state, mode, batch_norm=batch_norm):
        return network(*positional, **keywords)


def _contents(
    module: nn.Module,
) -> tuple[dict[str, Any], dict[str, dict[str, Any]], dict[str, Any]]:
    """Return what a module holds now: attributes, tensors and modules by registry, slots."""
    attributes = dict(vars(module))
    registries = {kind: dict(attributes[kind]) for kind in REGISTRIES}
    return attributes, registries, _slots(module)


@lru_cache(maxsize=1024)
def _slot_names(kind: type) -> tuple[str, ...]:
    """Names of the attributes that a class keeps in slots."""
    names: list[str] = []
    for base in kind.__mro__:
        slots = vars(base).get("__slots__", ())
        names += [slots] if isinstance(slots, str) else slots
    return tuple(name for name in names if name not in ("__dict__", "__weakref__"))


def _slots(module: nn.Module) -> dict[str, Any]:
    """Return the values of the slots of a module that are filled."""
    kind: Any = type(module)
    names = _slot_names(kind)
    return {name: getattr(module, name) for name in names if hasattr(module, name)}


def _set_slots(module: nn.Module, values: Mapping[str, Any]) -> None:
    """Fill the slots of a module, past what torch does with attributes."""
    for name, value in values.items():
        object.__setattr__(module, name, value)

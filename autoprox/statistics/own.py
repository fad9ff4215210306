"""Statistics of one's own: a function of the network, the batch and its targets."""

from __future__ import annotations

import inspect
import secrets
import sys
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor

from autoprox.errors import AutoproxError, StatisticError, reason_of
from autoprox.primitives.kinds import KINDS, Kind, Layer, Relation, Spectrum, Weight
from autoprox.runtime.digest import digest
from autoprox.statistics.passes import Passes
from autoprox.statistics.private import private_copy
from autoprox.statistics.sampling import spread
from autoprox.statistics.subject import reseed
from autoprox.statistics.trees import mapped, numbers
from autoprox.statistics.words import STATISTICS, Own, Statistic

Function = TypeVar("Function", bound=Callable[..., Any])

SHAPES: Mapping[type[Kind], str] = {
    Weight: "a tensor of the weight's shape",
    Spectrum: "a tensor of numbers, (n,)",
    Relation: "a (batch, batch) tensor",
    Layer: "a number",
}
"""The kinds that a statistic of one's own may have, and what it gives for a layer."""


def statistic(
    kind: str | type[Kind],
    *,
    latex: str,
    needs_labels: bool = True,
    reference: str = "",
    unexportable: str = "",
    nonnegative: bool = False,
) -> Callable[[Function], Function]:
    r"""Register a function as a statistic under its own name.

    The function is called as ``f(network, inputs, targets)`` with a copy of the network, in the
    mode that it is measured in, with which it may do what it likes. It returns what it found by the
    names of the parameters, as `named_parameters` gives them: for the kind Weight a tensor of the
    weight's shape, for Layer a number, for Spectrum a tensor ``(n,)``, for Relation one
    ``(batch, batch)``. Parameters that are no layer's weight are passed over; a layer that is left
    out does not show the statistic. What outputs show is given as one of these, such as a number a
    layer.

    What was measured is kept in the cache under a digest of the function's code, so that a changed
    function is measured anew.

    Args:
        kind: one of ``"Weight"``, ``"Spectrum"``, ``"Relation"`` and ``"Layer"``.
        latex: the symbol in formulas.
        needs_labels: whether it uses the targets; if not, they may be None.
        reference: where it comes from.
        unexportable: why the function cannot be copied into a file that needs torch alone, such as
            "it reads a table"; nothing if it can.
        nonnegative: whether no number is below 0, which may save computing absolute values; held
            against what is measured.

    Raises:
        StatisticError: the kind is another one, the function has no docstring, or takes other
            arguments.
        AutoproxError: the name is taken, or a primitive's.

    >>> @statistic("Layer", latex="g", needs_labels=False)
    ... def doctest_gain(network, inputs, targets):
    ...     '''Largest singular value of the weight.'''
    ...     weights = {name: w for name, w in network.named_parameters() if w.ndim > 1}
    ...     return {name: torch.linalg.matrix_norm(w.flatten(1), 2) for name, w in weights.items()}
    >>> _ = STATISTICS.unregister("doctest_gain")
    """
    chosen = {known.__name__: known for known in KINDS}.get(kind) if isinstance(kind, str) else kind
    if chosen is None or chosen not in SHAPES:
        raise StatisticError(
            "a statistic of one's own is of kind "
            f"{', '.join(allowed.__name__ for allowed in SHAPES)}; got {kind!r}: give what outputs "
            "show as a number a layer, or as one of the others"
        )

    def register(function: Function) -> Function:
        name, summary = function.__name__, (inspect.getdoc(function) or "").partition("\n")[0]
        if not summary and sys.flags.optimize < 2:  # python -OO drops docstrings
            raise StatisticError(f"statistic {name!r}: say what it measures in a docstring")
        if len(inspect.signature(function).parameters) != 3:
            raise StatisticError(
                f"statistic {name!r} is called with (network, inputs, targets); got a function of "
                f"{inspect.signature(function)}"
            )
        from autoprox.primitives import PRIMITIVES

        if name in PRIMITIVES:
            raise AutoproxError(f"{name!r} is a primitive; choose another name for the statistic")
        version = _version(function) + (" nonnegative" if nonnegative else "")
        own = Own(function, needs_labels, version)
        text = summary[:1].lower() + summary[1:].rstrip(".")
        word = Statistic(
            name, chosen, "own", latex, text, reference, own, unexportable, nonnegative
        )
        STATISTICS.register(name, word)
        return function

    return register


def _version(function: Callable[..., Any]) -> str:
    """Return a digest of a function's code, or what no other has if the digest cannot tell all."""
    code = digest(function)
    return f"{code.text} {secrets.token_hex(8)}" if code.missing else code.text


def measure_own(passes: Passes, word: Statistic) -> None:
    """Measure a statistic of a user's own on a copy of the network.

    Raises:
        StatisticError: the function fails, or gives something else than its kind asks for.
    """
    by_name, batch = _called(passes, word), passes.subject.batch
    layerwise = torch.full((len(passes.subject.names),), torch.nan, dtype=torch.float64)
    state = passes.subject.state()
    shapes = {Layer: torch.Size(()), Relation: torch.Size((batch, batch))}
    for layer, name in passes.places():
        if name not in by_name:
            continue
        shape = state[name].shape if word.kind is Weight else shapes.get(word.kind)
        tensor = _checked(word, name, by_name[name], shape)
        if word.kind is Layer:
            layerwise[layer] = tensor.double()
            continue
        kept = tensor
        if word.kind is Weight:
            kept = passes.picker.weight(tensor, layer)
        elif word.kind is Spectrum:
            kept = spread(tensor.sort(descending=True).values, passes.picker.sample)
        passes.findings.put(word.name, layer, kept, tensor.numel())
    if word.kind is Layer:
        passes.findings.layerwise[word.name] = layerwise


def _called(passes: Passes, word: Statistic) -> Mapping[str, Any]:
    """Return what the function of `word` found, by the names of parameters."""
    assert word.own is not None
    subject = passes.subject
    targets = mapped(subject.targets, Tensor.clone)
    reseed(subject.seed, word.name)
    network = private_copy(subject.network, subject.mode)
    network.zero_grad()
    for parameter in filter(numbers, network.parameters()):
        parameter.requires_grad_()
    try:
        inputs = mapped(subject.inputs, lambda tensor: tensor.detach().clone())
        by_name = word.own.function(network, inputs, targets)
    except Exception as error:  # the function is foreign code and may raise anything
        raise StatisticError(f"statistic {word.name!r} failed: {reason_of(error)}") from error
    expected = f"statistic {word.name!r} returns what it found by the names of parameters"
    if not isinstance(by_name, Mapping):
        raise StatisticError(f"{expected}; got {type(by_name).__name__}")
    known = dict(subject.network.named_parameters())
    for name in by_name:
        if name not in known:
            raise StatisticError(f"{expected}, such as {subject.names[0]!r}; got {name!r}")
    return by_name


def _checked(word: Statistic, layer: str, value: Any, shape: torch.Size | None) -> Tensor:
    """Return what a statistic gives for a layer as a tensor of `shape`; None is any ``(n,)``."""
    where = f"statistic {word.name!r}, layer {layer!r}"
    try:
        tensor = torch.as_tensor(value).detach()
    except (TypeError, ValueError, RuntimeError):
        raise StatisticError(
            f"{where}: expected {SHAPES[word.kind]}; got {type(value).__name__}"
        ) from None
    if (tensor.ndim != 1 or not len(tensor)) if shape is None else tensor.shape != shape:
        wanted = f" {tuple(shape)}" if shape else ""
        raise StatisticError(
            f"{where}: expected {SHAPES[word.kind]}{wanted}; got shape {tuple(tensor.shape)}"
        )
    if tensor.is_complex() or not torch.isfinite(tensor.float()).all():
        raise StatisticError(f"{where}: expected finite real numbers within the range of float32")
    if word.nonnegative and (tensor < 0).any():
        raise StatisticError(
            f"{where}: is declared nonnegative; got {tensor.min().item():.3g}: correct the "
            "function, or leave nonnegative out"
        )
    return tensor

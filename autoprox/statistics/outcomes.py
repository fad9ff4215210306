"""What a network's outputs come to: the tensor of logits, and the loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from autoprox.errors import StatisticError, reason_of
from autoprox.runtime.digest import called
from autoprox.statistics.trees import Targets, mapped, rows, tensors

if TYPE_CHECKING:
    from autoprox.statistics.subject import Subject

Loss: TypeAlias = Callable[[Any, Any], Tensor]
"""From what the network returns, and the targets, to one number."""

Outputs: TypeAlias = Callable[[Any], Tensor]
"""From what the network returns to the tensor that statistics of logits look at."""

IGNORED = -100
"""The class number of tokens and positions that do not count, as in torch and transformers."""

HINT = "pass loss=, a function of (outputs, targets) that gives one number"


def picked(output: object, pick: Outputs | None = None) -> object:
    """Return what `pick` takes of a network's output; by default what is called logits.

    That is a tensor itself, the attribute or entry ``logits``, the only entry of a dict, and the
    first of a tuple or list.

    Raises:
        StatisticError: `pick` fails.
    """
    if pick is not None:
        try:
            return pick(output)
        except Exception as error:  # the function is a user's and may raise anything
            raise StatisticError(
                f"outputs= failed on what the network returned, a {type(output).__name__}: "
                f"{reason_of(error)}"
            ) from error
    if isinstance(output, Tensor):
        return output
    if hasattr(output, "logits"):
        return output.logits
    if isinstance(output, Mapping):
        if "logits" not in output and len(output) == 1:
            return picked(next(iter(output.values())))
        return output.get("logits", output)
    if isinstance(output, (tuple, list)) and output and not isinstance(output[0], (bool, str)):
        return picked(output[0])
    return output


def logits_of(output: object, samples: int, pick: Outputs | None = None) -> Tensor:
    """Return the finite tensor ``(samples, ...)`` of a network's output; see `picked`.

    Raises:
        StatisticError: there is none.
    """
    logits = picked(output, pick)
    if not isinstance(logits, Tensor) or logits.ndim == 0 or len(logits) != samples:
        came = f"a tensor of shape {tuple(logits.shape)}" if isinstance(logits, Tensor) else ""
        keys = f" of {', '.join(map(repr, logits))}" if isinstance(logits, Mapping) else ""
        raise StatisticError(
            f"expected one tensor of logits, ({samples}, ...), from the network; got "
            f"{came or f'a {type(logits).__name__}{keys}'}; pass outputs=, a function that takes "
            "it from what the network returns"
        )
    if not logits.is_floating_point():
        raise StatisticError(
            f"expected logits that are real numbers; got {logits.dtype}: pass outputs=, a function "
            "that takes others of what the network returns"
        )
    _check_finite(logits)
    return logits


def check_output(output: object) -> None:
    """Raise `StatisticError` if a tensor that a network returned is not finite.

    One among others may hold infinities, as masks do.
    """
    if isinstance(output, Tensor):
        _check_finite(output)
    elif any(tensor.is_floating_point() and tensor.isnan().any() for tensor in tensors(output)):
        raise StatisticError(
            "the network's outputs are not finite; check its initialisation and the scale of the "
            "inputs"
        )


def _check_finite(logits: Tensor) -> None:
    if not torch.isfinite(logits).all():
        raise StatisticError(
            "the network's logits are not finite; check its initialisation and the scale of "
            "the inputs"
        )


def loss_of(subject: Subject, output: object, low: int, high: int) -> Tensor:
    """Return the loss of some samples, from what the network returned for them.

    It is that of `Subject.loss`, or the mean cross-entropy, see `class_dim`.

    Raises:
        StatisticError: the loss fails, does not fit, or is not finite.
    """
    targets = rows(subject.targets, slice(low, high))
    if subject.loss is not None:
        loss = _own(subject.loss, output, targets)
    else:
        logits = logits_of(output, high - low, subject.outputs)
        dim = class_dim(tuple(logits.shape), subject.targets, subject.batch)
        try:
            loss = _cross_entropy(logits, targets, dim)
        except RuntimeError as error:  # such as a type for which torch has none
            raise StatisticError(
                f"the cross-entropy of logits of type {logits.dtype} failed: {reason_of(error)}; "
                f"{HINT}"
            ) from error
    if not torch.isfinite(loss):
        raise StatisticError("the loss is not finite; check the scale of the network's logits")
    return loss


def _own(loss: Loss, output: object, targets: Targets) -> Tensor:
    """Return the number that a user's loss gives."""
    try:
        value = loss(output, mapped(targets, Tensor.clone))  # it may write into them
    except Exception as error:  # the function is a user's and may raise anything
        raise StatisticError(
            f"the loss failed: {reason_of(error)}; expected a function of (outputs, "
            "targets), which are what the network returns and the targets of the same samples"
        ) from error
    if not isinstance(value, Tensor) or value.numel() != 1:
        came = f"a {type(value).__name__}: return the number alone"
        if isinstance(value, Tensor):
            came = f"shape {tuple(value.shape)}: take its mean"
        raise StatisticError(f"expected the loss to be a tensor of one number; got {came}")
    return value.reshape(())


def class_dim(logits: tuple[int, ...], targets: Targets, batch: int) -> int:
    """Return the dimension of the classes in logits, by the shape of the targets.

    It is the last one for ``(batch, classes)`` and ``(batch, tokens, classes)``, and 1 for dense
    targets, ``(batch, classes, height, width)``. Where the targets fit the other of the two alone,
    it is that one.

    Args:
        logits: their shape, of some samples.
        targets: of the whole batch.
        batch: the number of samples.

    Raises:
        StatisticError: the targets fit neither, or are no class numbers.
    """
    if not isinstance(targets, Tensor):
        raise StatisticError(
            "cross-entropy, which is the loss unless you pass one, takes one tensor of class "
            f"numbers; got a {type(targets).__name__} for the targets: {HINT}"
        )
    if len(logits) < 2:
        raise StatisticError(
            "cross-entropy, which is the loss unless you pass one, takes logits with a dimension "
            f"of classes; got one number for each sample: {HINT}"
        )
    last = len(logits) - 1
    fitting = {
        dim: (batch, *logits[1:dim], *logits[dim + 1 :])
        for dim in ((last, 1) if last < 3 else (1, last))
    }
    for dim, shape in fitting.items():
        if targets.shape == shape and targets.dtype == torch.int64:
            return dim
    dim, shape = next(iter(fitting.items()))
    expected = f"expected targets of shape {shape} and type torch.int64"
    if last == 1:
        expected += f", one for each of the {batch} inputs"
    else:
        sizes = ", ".join(map(str, ("batch", *logits[1:])))
        expected += f", classes of dimension {dim} of the logits ({sizes})"
    hint = f": {HINT}" if last > 1 or targets.is_floating_point() else ""
    raise StatisticError(f"{expected}; got {tuple(targets.shape)}, {targets.dtype}{hint}")


def _cross_entropy(logits: Tensor, targets: Tensor, dim: int) -> Tensor:
    """Return the mean over all positions whose target is not `IGNORED`."""
    classes, plain = logits.shape[dim], logits.ndim == 2
    counted = targets if plain else targets[targets != IGNORED]
    if counted.numel() == 0:
        raise StatisticError(
            f"all targets of some samples are {IGNORED}, which do not count; give every sample a "
            "target"
        )
    if classes == 1:
        raise StatisticError(
            "the network has one output, and the cross-entropy of a single class is 0 whatever it "
            "says; expected an output for each class"
        )
    if int(counted.min()) < 0 or int(counted.max()) >= classes:
        raise StatisticError(
            f"targets go from {int(counted.min())} to {int(counted.max())}, but the network has "
            f"{classes} outputs; expected targets from 0 to {classes - 1}: give the network as "
            "many outputs as the data has classes"
        )
    if dim == logits.ndim - 1 and not plain:
        return F.cross_entropy(logits.flatten(0, -2), targets.flatten())
    return F.cross_entropy(logits, targets)


def adds_up(targets: Targets, loss: Loss | None) -> bool:
    """Say whether the loss of a batch is the mean of those of its parts, weighed by their samples.

    A function of the user's may add, or compare samples; and where targets are `IGNORED`, some
    samples count more than others.
    """
    if loss is not None:
        return False
    return not isinstance(targets, Tensor) or targets.ndim < 2 or not (targets == IGNORED).any()


def loss_in_words(subject: Subject) -> str:
    """Say what the loss of a subject is, after a forward pass if that depends on the logits.

    Raises:
        StatisticError: the network fails, or the targets do not fit it.
    """
    if subject.loss is not None:
        return f"the function {called(subject.loss)}"
    output = subject.forward(subject.inputs, subject.state(), 0)
    shape = tuple(logits_of(output, subject.batch, subject.outputs).shape)
    dim = class_dim(shape, subject.targets, subject.batch)
    return f"mean cross-entropy of logits {shape}, the {shape[dim]} classes in dimension {dim}"


def class_targets(subject: Subject) -> Tensor:
    """Return the targets if they are a class number for each sample.

    Raises:
        StatisticError: they are something else.
    """
    class_dim((subject.batch, 1), subject.targets, subject.batch)
    assert isinstance(subject.targets, Tensor)
    return subject.targets

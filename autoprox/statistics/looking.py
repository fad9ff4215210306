"""How the samples of a batch lie in the layers' outputs, and whether they depend on each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from autoprox.runtime.hooks import hooked
from autoprox.statistics.activations import ActivationInputs
from autoprox.statistics.hooks import first_tensor
from autoprox.statistics.structure import Structure
from autoprox.statistics.trees import one_sample


@dataclass(frozen=True, slots=True)
class Arrangement:
    """How the samples of a batch lie in a network.

    Attributes:
        coupled: whether the output for a sample depends on the other samples.
        stacked: owners of layers whose outputs hold the rows of a sample apart, ``(a0, b0, a1,
            b1)`` for the samples a and b, and not one after the other; and the places of calls of
            activation functions with such arguments.
        unclear: owners, and places, whose outputs cannot be told apart by sample.
    """

    coupled: bool = False
    stacked: frozenset[str | int] = frozenset()
    unclear: frozenset[str | int] = frozenset()


@dataclass(frozen=True, slots=True)
class _Pair:
    """What a network shows of two samples.

    Attributes:
        results: what it returns for each of them.
        rows: owner -> output as ``(2 * rows, entries)``, where a sample has several rows.
        unclear: owners whose outputs do not grow with the samples as a whole.
    """

    results: tuple[tuple[Tensor, ...], ...]
    rows: Mapping[str | int, Tensor]
    unclear: frozenset[str | int]


def look(
    network: nn.Module,
    structure: Structure,
    run: Callable[..., object],
    samples: int,
    *,
    known_coupled: bool,
) -> Arrangement:
    """Find out how the samples lie by running two of them, and each of them twice.

    With the same random numbers, what is the same in the run of both and in that of the first one
    twice belongs to the first sample alone. If the result of one of the two is another one, the
    samples are coupled; both are looked at, as one may be what the other is compared with (the
    largest, the first). Runs of a sample twice are left out if the run of both says of each of
    them what it says of it alone. A network that chooses by the data (routers with limits,
    branches, what is scaled by the largest) shows only in some batches that it looks at other
    samples: the whole batch runs too, and each sample alone. One that exchanges samples by chance,
    or compares sizes, shows it in the whole batch, which runs again with every second sample
    another one.

    Args:
        network: the network.
        structure: what it shows of its first sample alone.
        run: runs the samples of some numbers, together and with the same random numbers each time,
            and returns what the network does.
        samples: of the batch.
        known_coupled: whether the samples are known to be coupled, by batch norm.
    """
    if known_coupled and not several_rows(structure):
        return Arrangement(coupled=True)
    two = _watched(network, structure, lambda: run(0, 1))
    alike = close(two.results[0], structure.result)
    if alike and not known_coupled:
        alike = close(two.results[1], one_sample(run(1), 1))
    chosen = structure.chooses and not structure.draws and not known_coupled
    if chosen and alike and _chosen_among(run, samples):
        return Arrangement(coupled=True, unclear=two.unclear)
    if structure.doubtful and not known_coupled and samples > 2 and _felt_by_others(run, samples):
        return Arrangement(coupled=True, unclear=two.unclear)
    if alike and not two.rows:
        return Arrangement(known_coupled, unclear=two.unclear)
    same = _watched(network, structure, lambda: run(0, 0))
    coupled = not alike and not (
        structure.draws
        and close(two.results[0], same.results[0])
        and close(two.results[1], one_sample(run(1, 1), 2, 1))
    )
    stacked, unclear = set[str | int](), set(two.unclear)
    for owner in () if coupled else two.rows.keys() & same.rows.keys():
        equal = (two.rows[owner] == same.rows[owner]).all(1)
        beside, apart = bool(equal[: len(equal) // 2].all()), bool(equal[::2].all())
        if apart and not beside:
            stacked.add(owner)
        elif not beside:
            unclear.add(owner)
    return Arrangement(known_coupled or coupled, frozenset(stacked), frozenset(unclear))


def _chosen_among(run: Callable[..., object], samples: int) -> bool:
    """Say whether some sample of the whole batch has another result than alone."""
    whole = run(*range(samples))
    return any(
        not close(one_sample(run(at), 1), one_sample(whole, samples, at)) for at in range(samples)
    )


def _felt_by_others(run: Callable[..., object], samples: int) -> bool:
    """Say whether every other sample has another result where those between are other ones."""
    whole = run(*range(samples))
    for first in (0, 1):
        kept = range(first, samples, 2)
        exchanged = run(*(at if at in kept else first for at in range(samples)))
        for at in kept:
            if not close(one_sample(whole, samples, at), one_sample(exchanged, samples, at)):
                return True
    return False


def several_rows(structure: Structure) -> bool:
    """Say whether a sample may have several rows in an output."""
    shapes = (*structure.shapes.values(), *structure.activated)
    return any(shape and shape[0] > 1 for shape in shapes)


def _watched(network: nn.Module, structure: Structure, run: Callable[[], object]) -> _Pair:
    """Run two samples and keep what tells them apart."""
    rows: dict[str | int, Tensor] = {}
    unclear: set[str | int] = set()
    called = 0

    def see(key: str | int, tensor: Tensor, single: torch.Size) -> None:
        rows.pop(key, None)  # the last run of a module counts
        unclear.discard(key)
        if tensor.shape == single:
            return
        dim = _grown(tensor.shape, single)
        if dim is None:
            unclear.add(key)
        elif single[dim] > 1:
            rows[key] = tensor.detach().movedim(dim, 0).flatten(1).clone()

    def activating(argument: Tensor) -> None:
        nonlocal called
        if called < len(structure.activated):
            see(called, argument, structure.activated[called])
        called += 1

    def hooks() -> Iterator[RemovableHandle]:
        modules = dict(network.named_modules())
        for owner in structure.shapes:

            def leave(_module: nn.Module, _in: object, output: object, owner: str = owner) -> None:
                tensor = first_tensor(output)
                if tensor is not None:
                    see(owner, tensor, structure.shapes[owner])

            yield modules[owner].register_forward_hook(leave)

    with hooked(hooks()), ActivationInputs(activating):
        result = run()
    results = one_sample(result, 2), one_sample(result, 2, 1)
    return _Pair(results, rows, frozenset(unclear))


def _grown(shape: torch.Size, single: torch.Size) -> int | None:
    """The dimension in which an output of two samples is twice as large as that of one."""
    if len(shape) != len(single):
        return None
    dims = [dim for dim, size in enumerate(single) if shape[dim] == 2 * size]
    same = sum(shape[dim] == size for dim, size in enumerate(single))
    return dims[0] if dims and same == len(shape) - 1 else None


def close(one: tuple[Tensor, ...], other: tuple[Tensor, ...]) -> bool:
    """Say whether two results are equal, up to the rounding of other kernels."""
    if len(one) != len(other):
        return False
    for a, b in zip(one, other, strict=True):
        if a.shape != b.shape or a.dtype != b.dtype:
            return False
        if not (torch.isfinite(a).all() and torch.isfinite(b).all()):
            continue  # nothing can be said; a pass refuses it
        size = float(b.abs().max()) if b.numel() else 0.0
        if not torch.allclose(a, b, rtol=0, atol=size * torch.finfo(b.dtype).eps ** 0.5):
            return False
    return True

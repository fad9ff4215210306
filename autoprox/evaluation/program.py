"""Tensor expressions as a straight-line program, run on a block of a few networks at a time.

The reductions of a whole generation make one program: what several of them contain is computed
once. A result is dropped after the last step that reads it, so that what is in work stays in the
processor's cache.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from autoprox.evaluation.blocks import Block
from autoprox.language.graph import Graph
from autoprox.primitives import PRIMITIVES, Entries, Form
from autoprox.primitives.kinds import Spectrum
from autoprox.statistics import STATISTICS, Measurement
from autoprox.statistics.sampling import aligned


@dataclass(frozen=True, slots=True)
class Step:
    """One primitive applied to earlier results.

    Attributes:
        place: where the result goes.
        function: the primitive's.
        args: the places of the arguments.
        sizes: the statistics whose sizes the function is told, or None if it wants none.
        dead: the places that no later step reads.
    """

    place: int
    function: Callable[..., Tensor]
    args: tuple[int, ...]
    sizes: tuple[str, ...] | None
    dead: tuple[int, ...]


class Program:
    """The steps from the statistics to some reductions.

    Args:
        reductions: nodes that take the entries of a layer to the layer's number.
    """

    def __init__(self, reductions: Sequence[Graph]) -> None:
        self.reductions = tuple(reductions)
        # Reductions of the same statistics follow each other, while these are in the cache.
        neighbours = sorted(reductions, key=lambda reduction: reduction.statistics)
        nodes = tuple(dict.fromkeys(node for reduction in neighbours for node in reduction))
        applied = [node for node in nodes if node.args]
        self._leaves = {node.word: i for i, node in enumerate(nodes) if _is_statistic(node)}
        self._numbers: dict[tuple[str, str], int] = {}
        place = {node: i for i, node in enumerate(nodes)}
        self._slots = len(nodes)
        args = [tuple(self._argument(arg, node, place) for arg in node.args) for node in applied]
        last = {at: i for i, places in enumerate(args) for at in places}
        self._results = [place[reduction] for reduction in reductions]
        kept = {*self._results, *self._numbers.values()}
        self._steps = [
            Step(
                place[node],
                PRIMITIVES[node.word].function,
                places,
                None
                if PRIMITIVES[node.word].form is Form.ELEMENTWISE
                else sized_by(node.statistics),
                tuple({at for at in places if last[at] == i and at not in kept}),
            )
            for i, (node, places) in enumerate(zip(applied, args, strict=True))
        ]

    def _argument(self, arg: Graph, node: Graph, place: Mapping[Graph, int]) -> int:
        """Return the place of an argument: a number has one beside each statistic."""
        if arg.kind is not None:
            return place[arg]
        key = (node.statistics[0], arg.word)
        if key not in self._numbers:
            self._numbers[key] = self._slots
            self._slots += 1
        return self._numbers[key]

    def __call__(self, block: Block) -> Tensor:
        """Return the layers' numbers, ``(reductions, layers of all measurements)`` float64.

        They are on the block's device, and mean nothing where a layer lacks one of a reduction's
        statistics.
        """
        if block.measurements[0].sample == "full":
            return torch.cat(
                [self._on_full(measured, block.device) for measured in block.measurements], 1
            )
        return self._run(
            {name: block.values(name) for name in self._leaves},
            {name: block.sizes(name) for name in self._leaves},
        )

    def _on_full(self, measurement: Measurement, device: torch.device) -> Tensor:
        """Run on full tensors, whose lengths differ: layer by layer."""
        values, sizes = measurement.values, measurement.sizes
        shape = len(self.reductions), len(measurement.layers)
        out = torch.zeros(shape, dtype=torch.float64, device=device)
        for layer in range(len(measurement.layers)):
            tensors = {name: values[name][layer] for name in self._leaves}
            there = {n: t.to(device) for n, t in tensors.items() if t is not None}
            layer_sizes = {name: sizes[name][layer : layer + 1].to(device) for name in there}
            for places, leaves in self._aligned(there):
                program = program_of(tuple(self.reductions[i] for i in places))
                rows = {name: tensor[None] for name, tensor in leaves.items()}
                out[places, layer] = program._run(rows, layer_sizes)[:, 0]
        return out

    def _aligned(
        self, tensors: Mapping[str, Tensor]
    ) -> Iterator[tuple[list[int], Mapping[str, Tensor]]]:
        """Yield the places of the reductions that a layer has, and what they run on.

        One in which spectra of other lengths meet runs alone.
        """
        together = []
        for i, node in enumerate(self.reductions):
            if {*node.statistics} <= {*tensors}:
                leaves = {name: tensors[name] for name in node.statistics}
                if are_spectra(leaves) and len({*map(len, leaves.values())}) > 1:
                    yield [i], dict(zip(leaves, aligned(*leaves.values()), strict=True))
                else:
                    together.append(i)
        if together:
            yield together, tensors

    def _run(self, leaves: Mapping[str, Tensor], sizes: Mapping[str, Tensor]) -> Tensor:
        """Run the steps on tensors that start with the layers; ``(reductions, layers)``."""
        nothing = torch.empty(0)
        slots = [nothing] * self._slots
        for name, place in self._leaves.items():
            slots[place] = leaves[name]
        for (name, word), place in self._numbers.items():
            slots[place] = torch.full_like(leaves[name], float(word))
        entries = {
            names: Entries(
                torch.stack([sizes[name] for name in names]).amax(0)
                if len(names) > 1
                else sizes[names[0]]
            )
            for names in {step.sizes for step in self._steps if step.sizes}
        }
        for step in self._steps:
            args = [slots[at] for at in step.args]
            slots[step.place] = (
                step.function(*args)
                if step.sizes is None
                else step.function(*args, entries[step.sizes])
            )
            for at in step.dead:
                slots[at] = nothing
        return torch.stack([slots[at].double() for at in self._results])


def program_of(reductions: tuple[Graph, ...]) -> Program:
    """Return the program of some reductions; the last ones are remembered."""
    words = sorted({node.word for reduction in reductions for node in reduction if node.args})
    return _remembered(reductions, tuple(PRIMITIVES[word].function for word in words))


@lru_cache(maxsize=64)
def _remembered(reductions: tuple[Graph, ...], _: tuple[Callable[..., Tensor], ...]) -> Program:
    """Return a program; a primitive that was defined anew makes another one."""
    return Program(reductions)


def are_spectra(names: Iterable[str]) -> bool:
    """Say whether statistics, which are of one kind, are spectra."""
    return all(STATISTICS[name].kind is Spectrum for name in names)


def sized_by(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the statistics of a value the largest of which has as many entries as the value."""
    return names if are_spectra(names) else names[:1]


def _is_statistic(node: Graph) -> bool:
    return not node.args and node.kind is not None

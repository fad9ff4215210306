"""Tensor expressions as a straight-line program, run on a block of a few networks at a time.

The reductions of a whole generation make one program: what several of them contain is computed
once. A result is dropped after the last step that reads it, so that what is in work stays in the
processor's cache.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from autoprox.evaluation.blocks import Block
from autoprox.language.graph import Graph
from autoprox.primitives import PRIMITIVES, Entries, Form
from autoprox.primitives.kinds import SPECTRA
from autoprox.statistics import STATISTICS


@dataclass(frozen=True, slots=True)
class Step:
    """One primitive applied to earlier results.

    Attributes:
        place: where the result goes.
        function: the primitive's.
        args: the places of the arguments.
        sizes: the statistic whose sizes the function is told, or None if it wants none.
        dead: the places that no later step reads.
    """

    place: int
    function: Callable[..., Tensor]
    args: tuple[int, ...]
    sizes: str | None
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
        self._joined = [
            i
            for i, node in enumerate(reductions)
            if len(node.statistics) > 1 and STATISTICS[node.statistics[0]].kind in SPECTRA
        ]
        args = [tuple(self._argument(arg, node, place) for arg in node.args) for node in applied]
        last = {at: i for i, places in enumerate(args) for at in places}
        self._results = [place[reduction] for reduction in reductions]
        kept = {*self._results, *self._numbers.values()}
        self._steps = [
            Step(
                place[node],
                PRIMITIVES[node.word].function,
                places,
                None if PRIMITIVES[node.word].form is Form.ELEMENTWISE else node.statistics[0],
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

        They are on the block's device, not a number where spectra of other numbers of entries meet,
        and mean nothing where a layer lacks one of a reduction's statistics.
        """
        if block.measurements[0].sample == "full":
            return self._on_full(block)
        numbers = self._run(
            {name: block.values(name) for name in self._leaves},
            {name: block.sizes(name) for name in self._leaves},
        )
        for i, layers in self._uneven(block):
            numbers[i, layers] = torch.nan
        return numbers

    def _uneven(self, block: Block) -> Iterator[tuple[int, Tensor]]:
        """Yield reductions and the places of the layers where spectra do not belong together."""
        for i in self._joined:
            layers = block.uneven(self.reductions[i].statistics)
            if len(layers):
                yield i, layers

    def _on_full(self, block: Block) -> Tensor:
        """Run on full tensors, whose lengths differ: layer by layer."""
        (measurement,), device = block.measurements, block.device
        values, sizes = measurement.values, measurement.sizes
        shape = len(self.reductions), len(measurement.layers)
        out = torch.zeros(shape, dtype=torch.float64, device=device)
        for i, layers in self._uneven(block):
            out[i, layers] = torch.nan
        for layer in range(len(measurement.layers)):
            tensors = {name: values[name][layer] for name in self._leaves}
            there = {n: t[None].to(device) for n, t in tensors.items() if t is not None}
            known = [
                i
                for i, node in enumerate(self.reductions)
                if {*node.statistics} <= {*there} and not out[i, layer].isnan()
            ]
            if known:
                program = program_of(tuple(self.reductions[i] for i in known))
                own = {name: sizes[name][layer : layer + 1].to(device) for name in there}
                out[known, layer] = program._run(there, own)[:, 0]
        return out

    def _run(self, leaves: Mapping[str, Tensor], sizes: Mapping[str, Tensor]) -> Tensor:
        """Run the steps on tensors that start with the layers; ``(reductions, layers)``."""
        nothing = torch.empty(0)
        slots = [nothing] * self._slots
        for name, place in self._leaves.items():
            slots[place] = leaves[name]
        for (name, word), place in self._numbers.items():
            slots[place] = torch.full_like(leaves[name], float(word))
        entries = {name: Entries(counts) for name, counts in sizes.items()}
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


def _is_statistic(node: Graph) -> bool:
    return not node.args and node.kind is not None

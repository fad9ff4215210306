"""The scores of a graph on many networks at once.

A `Table` holds the measured statistics of many networks. Expressions over tensors are evaluated
for a few networks at a time, so that everything between a statistic and its reduction stays in the
processor's cache and nothing large is ever allocated. From the first reduction on, a value holds
all networks: ``(networks, layers)`` in float64, with a mask of the layers that are present. Those
values are small, and an `Evaluator` keeps them under their canonical text, because evolution
recombines the same sub-expressions over and over.

Thousands of networks may share a few measurements: a configuration of bits takes each layer from
the measurement of its network at that layer's bits. Tensors are reduced once a measurement, and
their numbers are gathered.

A table of any size fits in memory: its measurements read from disk what is asked for, blocks keep
what they stack within a budget, and only the layers' own numbers stay.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

import numpy as np
import torch
from torch import Tensor

from autoprox.errors import AutoproxError
from autoprox.evaluation.blocks import (
    DEVICE_KEPT_BYTES,
    PROCESSOR,
    Block,
    Budget,
    Extent,
    cut,
    extent,
    whole,
)
from autoprox.evaluation.program import program_of
from autoprox.evaluation.shorter import shorter
from autoprox.language.graph import Graph, check_root
from autoprox.primitives import PRIMITIVES, Entries, Form
from autoprox.primitives.kinds import TENSOR_KINDS, Layer, Network
from autoprox.statistics import Measurement

CACHE_BYTES = 256 * 2**20
"""How much an evaluator keeps of the values of sub-expressions."""


@dataclass(frozen=True, eq=False)
class Table:
    """The measured statistics of many networks.

    Attributes:
        measurements: all with the same statistics and sample.
        sources: ``(networks, widest)`` int64: the measurement from which each layer of a network
            comes, all of them of equal layers; what is beyond a network's last layer is ignored.
            None if there is one measurement a network, in their order.
        budget: of what is kept of the stacked statistics; the parts of a table share it.
        device: where tensors are reduced; all that follows is small, and computed here.
    """

    measurements: tuple[Measurement, ...]
    sources: Tensor | None = None
    budget: Budget = field(default_factory=Budget, repr=False)
    device: torch.device = PROCESSOR
    _blocks: dict[tuple[int, ...], tuple[Block, ...]] = field(
        default_factory=dict, init=False, repr=False
    )

    def __len__(self) -> int:
        """Count the networks."""
        return len(self.measurements if self.sources is None else self.sources)

    @cached_property
    def widest(self) -> int:
        """The largest number of layers of a measurement."""
        return max(len(measured.layers) for measured in self.measurements)

    def padded(self, rows: Iterable[Tensor], dtype: torch.dtype = torch.float64) -> Tensor:
        """Lay one tensor a measurement, ``(layers,)``, into ``(measurements, widest)``, with 0s."""
        out = torch.zeros(len(self.measurements), self.widest, dtype=dtype)
        for i, row in enumerate(rows):
            out[i, : len(row)] = row
        return out

    def gathered(self, measured: Tensor) -> Tensor:
        """Return each network's layers from ``(measurements, widest)``: ``(networks, widest)``."""
        return measured if self.sources is None else measured.gather(0, self.sources)

    @cached_property
    def _extents(self) -> tuple[Extent, ...]:
        return tuple(extent(measured) for measured in self.measurements)

    @cached_property
    def _columns(self) -> dict[tuple[str, torch.dtype], Tensor]:
        return {}

    def numbers(self, name: str) -> Tensor:
        """Return a statistic of kind Layer, ``(measurements, widest)`` float64."""
        rows = (whole(measured.values[name]) for measured in self.measurements)
        return self._kept(name, rows, torch.float64)

    def present(self, name: str) -> Tensor:
        """Return which layers show a statistic, ``(measurements, widest)`` of bool."""
        rows = (measured.present[name] for measured in self.measurements)
        return self._kept(name, rows, torch.bool)

    def _kept(self, name: str, rows: Iterable[Tensor], dtype: torch.dtype) -> Tensor:
        if (name, dtype) not in self._columns:
            self._columns[name, dtype] = self.padded(rows, dtype)
        return self._columns[name, dtype]

    def blocks(self, places: Sequence[int] | None = None) -> tuple[Block, ...]:
        """Return some measurements, or all, in blocks; the same places give the same blocks."""
        chosen = tuple(range(len(self.measurements)) if places is None else places)
        if chosen not in self._blocks:
            self._blocks[chosen] = tuple(
                Block([self.measurements[chosen[i]] for i in block], self.budget, self.device)
                for block in cut([self._extents[i] for i in chosen], self.device)
            )
        return self._blocks[chosen]

    def parts(self, count: int) -> list[range]:
        """Cut the places of the measurements into at most `count` parts of whole blocks."""
        ends = list(itertools.accumulate(len(block.measurements) for block in self.blocks()))
        last = [ends[part[-1]] for part in np.array_split(np.arange(len(ends)), count) if len(part)]
        return [range(*pair) for pair in itertools.pairwise([0, *last])]

    def reduced(self, reductions: Sequence[Graph], places: Sequence[int] | None = None) -> Tensor:
        """Reduce tensors, a block of a few measurements at a time.

        Args:
            reductions: nodes that take the entries of a layer to the layer's number.
            places: of measurements in the table; None for all.

        Returns:
            ``(reductions, measurements, widest)`` float64.

        Raises:
            AutoproxError: the device has not enough memory.
        """
        program, blocks = program_of(tuple(reductions)), self.blocks(places)
        layers = torch.tensor([count for block in blocks for count in block.layers])
        there = torch.arange(self.widest) < layers[:, None]
        out = torch.zeros(len(reductions), there.numel(), dtype=torch.float64)
        columns = there.flatten().nonzero().squeeze(1)
        columns_by_block = torch.split(columns, [sum(block.layers) for block in blocks])
        for block, block_columns in zip(blocks, columns_by_block, strict=True):
            try:
                out.index_copy_(1, block_columns, program(block).cpu())
            except torch.cuda.OutOfMemoryError as error:
                raise AutoproxError(
                    f"the memory of {self.device} is full: {error}; free it, or search on the "
                    "processor: --device cpu"
                ) from None
        return out.view(len(reductions), *there.shape)

    def subset(self, indices: Sequence[int]) -> Table:
        """Return the table of some of the networks."""
        if self.sources is None:
            chosen = tuple(self.measurements[i] for i in indices)
            return Table(chosen, None, self.budget, self.device)
        return Table(self.measurements, self.sources[list(indices)], self.budget, self.device)

    def on(self, device: torch.device) -> Table:
        """Return the same table, whose tensors are reduced on a device."""
        budget = self.budget if device == PROCESSOR else Budget(DEVICE_KEPT_BYTES)
        return Table(self.measurements, self.sources, budget, device)


@dataclass(frozen=True, slots=True)
class Value:
    """What a Layer or Network expression is on all networks of a table.

    Attributes:
        numbers: ``(networks, widest)`` for Layer, ``(networks,)`` for Network; float64.
        layers: which layers are present, and how many of each network; None for Network.
    """

    numbers: Tensor
    layers: Entries | None

    @property
    def present(self) -> Tensor | None:
        """Which layers are present, ``(networks, widest)`` of bool for Layer; None for Network."""
        return None if self.layers is None else self.layers.present


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """The scores of one graph on the networks of a table.

    Attributes:
        values: ``(networks,)`` float64; meaningless where there is a failure.
        failures: why there is no score, by the network's place in the table.
    """

    values: np.ndarray
    failures: dict[int, str]

    @property
    def failure(self) -> str | None:
        """The first reason, or None if every network has a score."""
        return next(iter(self.failures.values()), None)


class Evaluator:
    """Evaluates graphs over one table and remembers the values of their sub-expressions.

    Args:
        table: the statistics.
        cache_bytes: how much to remember.
    """

    def __init__(self, table: Table, cache_bytes: int = CACHE_BYTES) -> None:
        self.table = table
        self.cache_bytes = cache_bytes
        self._values: OrderedDict[str, Value] = OrderedDict()
        self._held = 0
        self._layers: dict[tuple[str, ...], Entries] = {}
        self._distinct: dict[bytes, Entries] = {}

    def __call__(self, graph: Graph, reasons: int | None = None) -> Scores:
        """Return the scores of a proxy's graph on every network of the table.

        Args:
            graph: the graph.
            reasons: of how many networks without a score the reason is looked for; None for all.

        Raises:
            LanguageError: the graph is not of kind Network.
            AutoproxError: the table lacks one of its statistics.
        """
        values = self.value(check_root(graph)).numbers.numpy().copy()  # the cache keeps its own
        finite = np.isfinite(values)
        if finite.all():
            return Scores(values, {})
        places = np.flatnonzero(~finite)[:reasons].tolist()
        return Scores(values, {i: self._reason(graph, i) for i in places})

    def unknown_reductions(self, graphs: Iterable[Graph]) -> list[Graph]:
        """Return the reductions of tensors to `remember` before `graphs` are evaluated.

        They are the shorter forms of those that `graphs` have.
        """
        nodes = dict.fromkeys(node for graph in graphs for node in tensor_reductions(graph))
        wanted = (shorter(node) for node in nodes if node.text not in self._values)
        return [node for node in dict.fromkeys(wanted) if node.text not in self._values]

    def remember(self, reduction: Graph, numbers: Tensor) -> None:
        """Take the value of a reduction of tensors, ``(measurements, widest)``, from elsewhere."""
        self._keep(reduction, self._gathered(numbers.clone(), reduction.statistics))

    def value(self, graph: Graph) -> Value:
        """Return the value of a Layer or Network expression."""
        known = self._values.get(graph.text)
        if known is not None:
            self._values.move_to_end(graph.text)
            return known
        value = self._compute(graph)
        self._keep(graph, value)
        return value

    def _keep(self, graph: Graph, value: Value) -> None:
        """Remember a value, and forget the least recently used beyond the budget."""
        self._values[graph.text] = value
        self._held += value.numbers.nbytes  # masks are shared between values and not counted
        self.trim(self.cache_bytes)

    def trim(self, cache_bytes: int) -> None:
        """Forget the least recently used values beyond so many bytes; the last one stays."""
        while self._held > cache_bytes and len(self._values) > 1:
            self._held -= self._values.popitem(last=False)[1].numbers.nbytes

    def _compute(self, graph: Graph) -> Value:
        if not graph.args:
            return self._gathered(self.table.numbers(graph.word), (graph.word,))
        if reduces_tensor(graph):
            short = shorter(graph)
            if short is not graph:
                return self.value(short)
            return self._gathered(self.table.reduced([graph])[0], graph.statistics)
        primitive = PRIMITIVES[graph.word]
        values = [self.value(arg) for arg in graph.args if arg.kind is not None]
        layers = values[0].layers
        for value in values[1:]:
            layers = _common(layers, value.layers)
        rest = iter(values)
        numbers = [
            torch.full_like(values[0].numbers, float(arg.word))
            if arg.kind is None
            else next(rest).numbers
            for arg in graph.args
        ]
        if primitive.form is Form.ELEMENTWISE:
            return Value(primitive.function(*numbers), layers)
        assert layers is not None
        if primitive.form is Form.SELECTOR:
            return Value(numbers[0], _common(layers, self._selected(primitive.function)))
        result = primitive.function(numbers[0], layers)
        return Value(result, None if graph.kind is Network else layers)

    def _gathered(self, measured: Tensor, names: tuple[str, ...]) -> Value:
        """Return a value of some statistics, given their layers' numbers by measurement."""
        return Value(self.table.gathered(measured), self._with(names))

    def _with(self, names: tuple[str, ...]) -> Entries:
        """Return the layers that have all of some statistics."""
        if names not in self._layers:
            there = torch.stack([self.table.present(name) for name in names]).all(0)
            self._layers[names] = self._those(there)
        return self._layers[names]

    def _selected(self, selector: Callable[..., Tensor]) -> Entries:
        """Return the layers that a selector chooses."""
        key = (f"selector {selector.__name__}",)
        if key not in self._layers:
            rows = (
                selector(measured.roles, _position(len(measured.layers)))
                for measured in self.table.measurements
            )
            self._layers[key] = self._those(self.table.padded(rows, torch.bool))
        return self._layers[key]

    def _those(self, there: Tensor) -> Entries:
        """Return the layers that a mask, ``(measurements, widest)``, says; equal ones once."""
        layers = _layers(self.table.gathered(there))
        assert layers.present is not None
        return self._distinct.setdefault(layers.present.numpy().tobytes(), layers)

    def _reason(self, graph: Graph, place: int) -> str:
        """Say where on the way to the root network number `place` stopped being finite."""
        for node in graph.nodes():
            if node.kind not in (Layer, Network):
                continue
            value = self.value(node)
            row = value.numbers[place]
            if value.present is not None:
                if not value.present[place].any():
                    return f"no layer has {node.text}"
                row = row[value.present[place]]
            if not torch.isfinite(row).all():
                return f"not finite: {node.word}"
        return "not finite"


def reduces_tensor(graph: Graph) -> bool:
    """Say whether a node takes the entries of a layer to the layer's number."""
    return graph.kind is Layer and any(arg.kind in TENSOR_KINDS for arg in graph.args)


@lru_cache(maxsize=2**13)
def tensor_reductions(graph: Graph) -> tuple[Graph, ...]:
    """Return the nodes of a graph that take the entries of a layer to the layer's number."""
    return tuple(node for node in graph if reduces_tensor(node))


def _position(layers: int) -> Tensor:
    """The places of the layers, ``(layers,)``: from 0 for the first to 1 for the last."""
    return torch.arange(layers, dtype=torch.float64) / max(layers - 1, 1)


def _layers(present: Tensor) -> Entries:
    """Return layers by a mask, ``(networks, widest)``."""
    return Entries(present.sum(1, dtype=torch.float64), present)


def _common(first: Entries | None, second: Entries | None) -> Entries | None:
    """Return the layers that two values of one kind share."""
    if first is second or first is None or second is None:
        return first
    assert first.present is not None
    assert second.present is not None
    return _layers(first.present & second.present)

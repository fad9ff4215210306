"""The scores of a graph on many networks at once.

A `Table` holds the measured statistics of many networks. Expressions over tensors are evaluated
network by network, so that everything between a statistic and its reduction stays in the
processor's cache and nothing large is ever allocated. From the first reduction on, a value holds
all networks: ``(networks, layers)`` in float64, with a mask of the layers that are present. Those
values are small, and an `Evaluator` keeps them under their canonical text, because evolution
recombines the same sub-expressions over and over.

Thousands of networks may share a few measurements: a configuration of bits takes each layer from
the measurement of its network at that layer's bits. Tensors are reduced once a measurement, and
their numbers are gathered.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from autoprox.graph import Graph, check_root
from autoprox.kinds import TENSOR_KINDS, Layer, Network
from autoprox.primitives import PRIMITIVES, Entries, Form
from autoprox.program import program_of, whole
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
    """

    measurements: tuple[Measurement, ...]
    sources: Tensor | None = None

    def __len__(self) -> int:
        """Count the networks."""
        return len(self.measurements if self.sources is None else self.sources)

    @cached_property
    def widest(self) -> int:
        """The largest number of layers of a measurement."""
        return max(len(each.layers) for each in self.measurements)

    def padded(self, rows: Iterable[Tensor], dtype: torch.dtype = torch.float64) -> Tensor:
        """Lay one tensor a measurement, ``(layers,)``, into ``(measurements, widest)``, with 0s."""
        out = torch.zeros(len(self.measurements), self.widest, dtype=dtype)
        for i, row in enumerate(rows):
            out[i, : len(row)] = row
        return out

    def gathered(self, measured: Tensor) -> Tensor:
        """Take what each network takes of ``(measurements, widest)``: ``(networks, widest)``."""
        return measured if self.sources is None else measured.gather(0, self.sources)

    def reduced(self, reductions: Sequence[Graph], places: Sequence[int] | None = None) -> Tensor:
        """Reduce tensors, one measurement at a time.

        Args:
            reductions: nodes that take the entries of a layer to the layer's number.
            places: of measurements in the table; None for all.

        Returns:
            ``(reductions, measurements, widest)`` float64.
        """
        program = program_of(tuple(reductions))
        chosen = self.measurements
        if places is not None:
            chosen = tuple(chosen[i] for i in places)
        out = torch.zeros(len(reductions), len(chosen), self.widest, dtype=torch.float64)
        for i, measurement in enumerate(chosen):
            out[:, i, : len(measurement.layers)] = program(measurement)
        return out

    def subset(self, indices: Sequence[int]) -> Table:
        """Return the table of some of the networks."""
        if self.sources is None:
            return Table(tuple(self.measurements[i] for i in indices))
        return Table(self.measurements, self.sources[list(indices)])


@dataclass(frozen=True, slots=True)
class Value:
    """What a Layer or Network expression is on all networks of a table.

    Attributes:
        numbers: ``(networks, widest)`` for Layer, ``(networks,)`` for Network; float64.
        present: ``(networks, widest)`` of bool for Layer; None for Network.
    """

    numbers: Tensor
    present: Tensor | None

    @property
    def nbytes(self) -> int:
        """Bytes held; masks are shared between values and not counted."""
        return self.numbers.nbytes


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
        """Start with nothing remembered."""
        self.table = table
        self.cache_bytes = cache_bytes
        self._values: OrderedDict[str, Value] = OrderedDict()
        self._held = 0
        self._masks: dict[tuple[str, ...], Tensor] = {}

    def __call__(self, graph: Graph) -> Scores:
        """Return the scores of a proxy's graph on every network of the table.

        Raises:
            LanguageError: the graph is not of kind Network.
            AutoproxError: the table lacks one of its statistics.
        """
        numbers = self.value(check_root(graph)).numbers
        finite = torch.isfinite(numbers)
        if finite.all():
            return Scores(numbers.numpy(), {})
        places = (~finite).nonzero().flatten().tolist()
        return Scores(numbers.numpy(), {i: self._reason(graph, i) for i in places})

    def unknown_reductions(self, graphs: Iterable[Graph]) -> list[Graph]:
        """Return the reductions of tensors within `graphs` whose values are not remembered."""
        nodes = dict.fromkeys(node for graph in graphs for node in graph if reduces_tensor(node))
        return [node for node in nodes if node.text not in self._values]

    def remember(self, reduction: Graph, numbers: Tensor) -> None:
        """Take the value of a reduction of tensors, ``(measurements, widest)``, from elsewhere."""
        numbers = self.table.gathered(numbers).clone()
        self._keep(reduction, Value(numbers, self._mask(reduction.statistics)))

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
        self._held += value.nbytes
        while self._held > self.cache_bytes and len(self._values) > 1:
            self._held -= self._values.popitem(last=False)[1].nbytes

    def _compute(self, graph: Graph) -> Value:
        if not graph.args:
            rows = (whole(each.values[graph.word]) for each in self.table.measurements)
            measured = self.table.padded(rows)
            return Value(self.table.gathered(measured), self._mask((graph.word,)))
        if reduces_tensor(graph):
            measured = self.table.reduced([graph])[0]
            return Value(self.table.gathered(measured), self._mask(graph.statistics))
        made = PRIMITIVES[graph.word]
        operands = [float(arg.word) if arg.kind is None else self.value(arg) for arg in graph.args]
        values = [each for each in operands if isinstance(each, Value)]
        numbers = [_tensor(each, values[0].numbers) for each in operands]
        present = values[0].present
        for other in values[1:]:
            if other.present is not present and present is not None and other.present is not None:
                present = present & other.present
        if made.form is Form.ELEMENTWISE:
            return Value(made.function(*numbers), present)
        assert present is not None
        if made.form is Form.SELECTOR:
            return Value(numbers[0], present & self._selected(made.function))
        entries = Entries(present.sum(1, dtype=torch.float64), present)
        return Value(made.function(numbers[0], entries), None if graph.kind is Network else present)

    def _mask(self, names: tuple[str, ...]) -> Tensor:
        """Return which layers have all of some statistics: ``(networks, widest)``."""
        if names not in self._masks:
            rows = (
                torch.stack([each.present[name] for name in names]).all(0)
                for each in self.table.measurements
            )
            self._masks[names] = self.table.gathered(self.table.padded(rows, torch.bool))
        return self._masks[names]

    def _selected(self, selector: Callable[..., Tensor]) -> Tensor:
        key = (f"selector {selector.__name__}",)
        if key not in self._masks:
            rows = (
                selector(each.roles, _position(len(each.layers)))
                for each in self.table.measurements
            )
            self._masks[key] = self.table.gathered(self.table.padded(rows, torch.bool))
        return self._masks[key]

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


def _position(layers: int) -> Tensor:
    """The places of the layers, ``(layers,)``: from 0 for the first to 1 for the last."""
    return torch.arange(layers, dtype=torch.float64) / max(layers - 1, 1)


def _tensor(operand: Value | float, like: Tensor) -> Tensor:
    return operand.numbers if isinstance(operand, Value) else torch.full_like(like, operand)

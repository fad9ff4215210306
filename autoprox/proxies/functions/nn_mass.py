"""NN-Mass: how many channels skip layers, weighed by the width of what they skip."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from autoprox.errors import StatisticError
from autoprox.proxies.function import FunctionProxy
from autoprox.statistics.hooks import InterceptingOperations
from autoprox.statistics.private import result_of
from autoprox.statistics.subject import Subject

LAYERS = ("convolution", "addmm", "mm")
"""The operations that are layers."""


@dataclass(frozen=True)
class TracedTensor:
    """A tensor that a network computed.

    Attributes:
        word: the operation that gave it.
        parents: the places of the tensors that it came from, in the order of the arguments.
        shape: its shape.
    """

    word: str
    parents: tuple[int, ...]
    shape: tuple[int, ...]

    def width(self, shape: tuple[int, ...]) -> int:
        """The channels of what a layer takes or gives, or the features of a row."""
        return shape[1] if self.word == "convolution" and len(shape) > 2 else shape[-1]

    @property
    def is_layer(self) -> bool:
        """Whether it is what a layer gave."""
        return self.word in LAYERS


class _Traced(InterceptingOperations):
    """Notes what comes from what; a parameter comes from nothing and is no node."""

    def __init__(self, inputs: Iterable[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.nodes: list[TracedTensor] = []
        self._places: dict[int, int] = {}
        self._kept: list[Tensor] = []  # so that no two tensors share an id
        for tensor in inputs:
            self._note(tensor, "input", ())

    def _note(self, tensor: Tensor, word: str, parents: tuple[int, ...]) -> None:
        self._places[id(tensor)] = len(self.nodes)
        self._kept.append(tensor)
        self.nodes.append(TracedTensor(word, parents, tuple(tensor.shape)))

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run an operation, and note its results."""
        result = func(*args, **(kwargs or {}))
        arguments = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        parents = [self._places[id(tensor)] for tensor in arguments if id(tensor) in self._places]
        if parents:
            word = func.overloadpacket.__name__.rstrip("_")
            for tensor in tree_leaves(result):
                if isinstance(tensor, Tensor) and tensor.is_floating_point():
                    self._note(tensor, word, tuple(parents))
        return result


def traced(subject: Subject) -> list[TracedTensor]:
    """Return what a network computes of its first sample, in the order of computation."""
    from autoprox.statistics.trees import tensors

    sample = subject.part(0, 1)
    with torch.no_grad(), _Traced(tensors(sample)) as trace:
        result_of(subject.network, sample, subject.state(), "eval")
    nodes: list[TracedTensor] = trace.nodes
    return nodes


def block_mass(widths: Sequence[int]) -> float:
    """Return the mass of a block whose input skips all of its layers, of inputs of these widths.

    It is the widths, summed, times the share of the channels that skip among those that could:
    from before any layer to behind any but that one.

    >>> block_mass([16, 32])
    48.0
    >>> block_mass([24, 144, 144]) == (24 + 2 * 144) * 24 / (2 * 24 + 144)
    True
    """
    could = sum(sum(widths[: last - 1]) for last in range(2, len(widths) + 1))
    return sum(widths) * widths[0] / could if could else 0.0


def cell_mass(width: int, skipping: Sequence[int]) -> float:
    """Return the mass of a cell of layers of one width, some of whose channels are concatenated.

    `skipping` says how many channels each layer receives beside those of the layer before it.

    >>> cell_mass(8, [0, 0, 8, 16])  # all that can skip: width times depth
    32.0
    """
    could = sum(width * (place - 1) for place in range(2, len(skipping)))
    return sum(skipping[2:]) / could * width * len(skipping) if could else 0.0


def mass(nodes: Sequence[TracedTensor]) -> float:
    """Return NN-Mass of a traced network: that of its blocks, and of its concatenating cells."""
    blocks = sum(_block(nodes, node) for node in nodes if node.word == "add")
    return blocks + _cells(nodes)


def _ways(nodes: Sequence[TracedTensor], end: int) -> dict[int, tuple[int, ...]]:
    """Return for each ancestor of a node the inputs' widths of the most layers on the way."""
    ways: dict[int, tuple[int, ...]] = {end: ()}
    for place in range(end, -1, -1):
        if place not in ways:
            continue
        node, way = nodes[place], ways[place]
        for parent in node.parents:
            longer = (node.width(nodes[parent].shape), *way) if node.is_layer else way
            if parent not in ways or len(longer) > len(ways[parent]):
                ways[parent] = longer
    return ways


def _block(nodes: Sequence[TracedTensor], node: TracedTensor) -> float:
    """Return the mass of a block that ends with a sum: of its input and of what layers made of it.

    A shortcut with one layer, which fits its shape, counts as the input itself.
    """
    if len(node.parents) != 2:
        return 0.0
    first, second = (_ways(nodes, parent) for parent in node.parents)
    common = first.keys() & second.keys()
    if not common:
        return 0.0
    start = max(common)
    short, long = sorted((first[start], second[start]), key=len)
    return block_mass(long) if len(short) <= 1 and len(long) > len(short) else 0.0


def _cells(nodes: Sequence[TracedTensor]) -> float:
    """Return the mass of the runs of layers of one width and one resolution that concatenate."""
    layers: list[tuple[tuple[int, ...], int]] = []
    for node in nodes:
        if node.is_layer:
            source = _source(nodes, node.parents[0])
            skipping = 0
            if nodes[source].word == "cat":
                widths = [node.width(nodes[parent].shape) for parent in nodes[source].parents]
                before = layers[-1][0][0] if layers else widths[0]  # the layer's before this one
                skipping = max(sum(widths) - before, 0)
            layers.append(((node.width(node.shape), *node.shape[2:]), skipping))
    return sum(
        cell_mass(key[0], [skipping for _, skipping in run])
        for key, run in groupby(layers, lambda layer: layer[0])
    )


def _source(nodes: Sequence[TracedTensor], place: int) -> int:
    """Return where a tensor comes from, past norms and activations, which keep its shape."""
    while nodes[place].word not in ("cat", "input", "add") and not nodes[place].is_layer:
        parents = nodes[place].parents
        if not parents or nodes[parents[0]].shape != nodes[place].shape:
            break
        place = parents[0]
    return place


def topological_mass(subject: Subject) -> float:
    """Return NN-Mass: the widths of what skips, times how much of what could skip does.

    .. code-block:: text

        block with a sum:    (sum of the widths of its layers' inputs)
                             * (channels of the block's input) / (channels that could skip)
        concatenating cell:  width * depth * (channels that skip) / (channels that could skip)

    Bhardwaj, Li and Marculescu, How Does Topology Influence Gradient Propagation and Model
    Performance of Deep Networks with DenseNet-Type Skip Connections? (CVPR 2021), for
    concatenations; for sums as in the code released with it: in + out for two layers, and
    (in + 2h) in / (2 in + h) for three. Conventions: the network is run once, and sums,
    concatenations and layers are found in what it computes; a cell is a run of layers of one width
    and one resolution; a shortcut with one layer counts as the input itself. No weight, input or
    label matters. NN-Degree of FLASH (2021) is not here, for its formula is not public.

    Raises:
        StatisticError: a layer is recurrent, of which NN-Mass says nothing.
    """
    for name, module in subject.network.named_modules():
        if isinstance(module, torch.nn.RNNBase):
            raise StatisticError(
                f"{name!r} is a recurrent layer ({type(module).__name__}), for which NN-Mass is "
                "not defined: leave nn_mass out for such networks"
            )
    return mass(traced(subject))


nn_mass = FunctionProxy(
    "nn_mass",
    topological_mass,
    "NN-Mass: channels that skip layers, weighed by the width of what they skip.",
    {
        "deviations": "Sums and concatenations are found in what a network computes, whatever its "
        "modules are called, and networks of other topologies than the paper's get what the same "
        "rule gives. On the 64 residual networks of DisWOT Kendall's tau is .877 with the accuracy "
        "and .902 with that after distillation.",
        "paper": "How Does Topology Influence Gradient Propagation and Model Performance of Deep "
        "Networks with DenseNet-Type Skip Connections? (Bhardwaj, Li and Marculescu, CVPR 2021)",
        "released_code": "SLDGroup/NN_Mass",
        "url": "https://arxiv.org/abs/1910.00780",
        "year": 2021,
    },
    version=2,
)

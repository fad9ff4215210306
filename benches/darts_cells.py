"""Networks of DARTS: cells of two inputs and four nodes, some of which halve the map.

References:
    Liu, Simonyan and Yang, DARTS: Differentiable Architecture Search, ICLR 2019,
    https://arxiv.org/abs/1806.09055
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from autoprox.benches.cells import FactorizedReduction, Nothing

Genes = Sequence[tuple[str, int]]
"""The edges of a cell, two for each node: operation, and where it leads from (0 and 1: inputs)."""

NODES = 4
"""The nodes that a cell concatenates."""

STEM = 3
"""The stem has as many times the channels of the first cells."""


def edges(text: str) -> list[tuple[str, int]]:
    """The edges of a cell, written as ``sep_conv_3x3:0 skip_connect:1 …``.

    >>> edges("sep_conv_3x3:0 skip_connect:1")
    [('sep_conv_3x3', 0), ('skip_connect', 1)]
    """
    pairs = (word.split(":") for word in text.split())
    return [(name, int(start)) for name, start in pairs]


def convolution(
    width: int, wider: int, kernel: int, stride: int = 1, dilation: int = 1, groups: int = 1
) -> nn.Conv2d:
    """A convolution without bias that keeps the side of the map, but for its stride."""
    padding = dilation * (kernel // 2)
    return nn.Conv2d(width, wider, kernel, stride, padding, dilation, groups, bias=False)


def separable(width: int, kernel: int, stride: int, dilation: int = 1) -> nn.Sequential:
    """ReLU, depthwise and 1x1 convolution, norm."""
    return nn.Sequential(
        nn.ReLU(),
        convolution(width, width, kernel, stride, dilation, groups=width),
        convolution(width, width, 1),
        nn.BatchNorm2d(width),
    )


def pointwise(width: int, wider: int) -> nn.Sequential:
    """ReLU, 1x1 convolution, norm."""
    return nn.Sequential(nn.ReLU(), convolution(width, wider, 1), nn.BatchNorm2d(wider))


def operation(name: str, width: int, stride: int) -> nn.Module:
    """The module of an edge.

    Raises:
        ValueError: there is no operation of that name.
    """
    kind, _, size = name.rpartition("_")
    kernel = int(size[0]) if size[:1].isdigit() else 0
    if name == "none":
        return Nothing(width, width, stride)
    if name == "skip_connect":
        return FactorizedReduction(width, width) if stride > 1 else nn.Identity()
    if kind == "avg_pool":
        return nn.AvgPool2d(kernel, stride, kernel // 2, count_include_pad=False)
    if kind == "max_pool":
        return nn.MaxPool2d(kernel, stride, kernel // 2)
    if kind == "sep_conv":
        return nn.Sequential(separable(width, kernel, stride), separable(width, kernel, 1))
    if kind == "dil_conv":
        return separable(width, kernel, stride, dilation=2)
    raise ValueError(f"expected an operation of DARTS, such as 'sep_conv_3x3'; got {name!r}")


class DartsCell(nn.Module):
    """Four nodes on the outputs of the two cells before, concatenated: ``4 * width`` channels."""

    def __init__(
        self, genes: Genes, before: int, last: int, width: int, *, halves: bool, halved: bool
    ) -> None:
        """Create the edges, and what brings both inputs to `width` channels.

        Args:
            genes: the cell.
            before: channels of the cell before the last.
            last: channels of the last cell.
            width: channels of a node.
            halves: whether this cell halves the map.
            halved: whether the last one did.
        """
        super().__init__()
        bring = FactorizedReduction if halved else pointwise
        self.inputs = nn.ModuleList([bring(before, width), pointwise(last, width)])
        self.starts = [start for _, start in genes]
        self.edges = nn.ModuleList(
            operation(name, width, 2 if halves and start < 2 else 1) for name, start in genes
        )

    def forward(self, before: Tensor, last: Tensor) -> Tensor:
        """Return the four nodes."""
        states = [self.inputs[0](before), self.inputs[1](last)]
        for node in range(NODES):
            pair = range(2 * node, 2 * node + 2)
            first, second = (self.edges[edge](states[self.starts[edge]]) for edge in pair)
            states.append(first + second)
        return torch.cat(states[2:], dim=1)


class DartsNetwork(nn.Module):
    """A network of DARTS for small images, ``(batch, 3, side, side) -> (batch, classes)``."""

    def __init__(
        self, normal: Genes, reduce: Genes, *, cells: int, width: int, classes: int = 10
    ) -> None:
        """Create the cells; those at one and two thirds halve the map and double the channels."""
        super().__init__()
        self.stem = nn.Sequential(convolution(3, STEM * width, 3), nn.BatchNorm2d(STEM * width))
        before = last = STEM * width
        modules, halved = [], False
        for place in range(cells):
            halves = place in (cells // 3, 2 * cells // 3)
            width *= 2 if halves else 1
            genes = reduce if halves else normal
            modules.append(DartsCell(genes, before, last, width, halves=halves, halved=halved))
            before, last, halved = last, NODES * width, halves
        self.cells = nn.ModuleList(modules)
        self.head = nn.Linear(last, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits of `images`."""
        before = last = self.stem(images)
        for cell in self.cells:
            before, last = last, cell(before, last)
        return self.head(last.mean(dim=(2, 3)))  # type: ignore[no-any-return]

"""Networks of repeated cells of four nodes: NAS-Bench-201, NATS-Bench's sizes, TransNAS-Bench-101.

Layers of the first two start as torch leaves them; their published code calls no initialisation.

References:
    Dong and Yang, NAS-Bench-201: Extending the Scope of Reproducible Neural Architecture Search,
    ICLR 2020, https://arxiv.org/abs/2001.00326
    Dong et al., NATS-Bench: Benchmarking NAS Algorithms for Architecture Topology and Size, IEEE
    TPAMI 2021, https://arxiv.org/abs/2009.00437
    Duan et al., TransNAS-Bench-101: Improving Transferability and Generalizability of Cross-Task
    Neural Architecture Search, CVPR 2021, https://arxiv.org/abs/2105.11871
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
"""Where the edges of a cell lead from and to, in the order of their operations."""

OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
"""What an edge may do; a cell is written as six places in this tuple, such as ``"033132"``."""

WIDTHS = (16, 32, 64)
"""The channels of the stages; the side of the map halves from one to the next."""

CELLS = 5
"""The cells of a stage."""


class Nothing(nn.Module):
    """Zero times its input, as published: the loss reaches what lies before, with gradient 0."""

    def __init__(self, width: int, wider: int, stride: int = 1) -> None:
        """Note the shape of the zeros: that of an input of `width` unless it changes."""
        super().__init__()
        self.wider, self.stride = wider, stride
        self.changes = wider != width or stride > 1

    def forward(self, x: Tensor) -> Tensor:
        """Multiply by 0."""
        if self.changes:
            x = x[:, :1, :: self.stride, :: self.stride].expand(-1, self.wider, -1, -1)
        return x * 0.0


class Convolution(nn.Module):
    """ReLU, convolution without bias, batch norm: ``(batch, width, …) -> (batch, wider, …)``."""

    def __init__(self, width: int, wider: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, wider, kernel, stride, padding=kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(wider)

    def forward(self, x: Tensor) -> Tensor:
        """Apply all three."""
        return self.norm(self.conv(torch.relu(x)))  # type: ignore[no-any-return]


class FactorizedReduction(nn.Module):
    """ReLU, two 1x1 convolutions of every other pixel, norm: ``(…, side, side)`` to half the side.

    The second convolution begins one pixel to the right and below, so that half of the pixels are
    seen.
    """

    def __init__(self, width: int, wider: int) -> None:
        """Create the two convolutions, each with half of the `wider` channels, and the norm."""
        super().__init__()
        self.even = nn.Conv2d(width, wider // 2, 1, stride=2, bias=False)
        self.odd = nn.Conv2d(width, wider - wider // 2, 1, stride=2, bias=False)
        self.norm = nn.BatchNorm2d(wider)

    def forward(self, x: Tensor) -> Tensor:
        """Concatenate what the two say."""
        x = torch.relu(x)
        shifted = nn.functional.pad(x, (0, 1, 0, 1))[:, :, 1:, 1:]
        return self.norm(torch.cat([self.even(x), self.odd(shifted)], dim=1))  # type: ignore[no-any-return]


def operation(digit: str, width: int, wider: int, stride: int = 1) -> nn.Module:
    """The module of an edge, ``(batch, width, side, side) -> (batch, wider, side / stride, …)``."""
    name = OPERATIONS[int(digit)]
    if name == "none":
        return Nothing(width, wider, stride)
    if name == "avg_pool_3x3":  # the mean of what lies inside the map
        return nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)
    if name != "skip_connect":
        return Convolution(width, wider, 1 if name == "nor_conv_1x1" else 3, stride)
    if stride > 1:
        return FactorizedReduction(width, wider)
    if width == wider:
        return nn.Identity()
    return nn.Sequential(nn.Conv2d(width, wider, 1, bias=False), nn.BatchNorm2d(wider))


class Cell(nn.Module):
    """Four nodes, each the sum of what its edges bring.

    ``(batch, width, side, side) -> (batch, wider, side / stride, side / stride)``: width and side
    change on the edges that leave the first node.
    """

    def __init__(self, cell: str, width: int, wider: int | None = None, stride: int = 1) -> None:
        """Create the operation of every edge of `EDGES`; `wider` is `width` if it is None."""
        super().__init__()
        wider = wider or width
        self.edges = nn.ModuleList(
            operation(digit, wider if start else width, wider, 1 if start else stride)
            for digit, (start, _) in zip(cell, EDGES, strict=True)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the last node."""
        nodes = {0: x}
        for (start, end), edge in zip(EDGES, self.edges, strict=True):
            brought = edge(nodes[start])
            nodes[end] = nodes[end] + brought if end in nodes else brought
        return nodes[3]


class Reduction(nn.Module):
    """A residual block: ``(batch, width, side, side) -> (batch, wider, side / 2, side / 2)``."""

    def __init__(self, width: int, wider: int) -> None:
        super().__init__()
        self.first = Convolution(width, wider, 3, stride=2)
        self.second = Convolution(wider, wider, 3)
        self.pool = nn.AvgPool2d(2)
        self.shortcut = nn.Conv2d(width, wider, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Add what the convolutions say to the shortcut."""
        return self.shortcut(self.pool(x)) + self.second(self.first(x))  # type: ignore[no-any-return]


class CellNetwork(nn.Module):
    """A network of NAS-Bench-201, ``(batch, 3, side, side) -> (batch, classes)``."""

    def __init__(self, cell: str, *, classes: int = 10) -> None:
        super().__init__()
        first, last = WIDTHS[0], WIDTHS[-1]
        self.stem = nn.Sequential(
            nn.Conv2d(3, first, 3, padding=1, bias=False), nn.BatchNorm2d(first)
        )
        self.stages = nn.ModuleList(
            nn.Sequential(*(Cell(cell, width) for _ in range(CELLS))) for width in WIDTHS
        )
        self.reductions = nn.ModuleList(Reduction(*pair) for pair in pairwise(WIDTHS))
        self.norm = nn.BatchNorm2d(last)
        self.head = nn.Linear(last, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits of `images`."""
        x = self.stages[0](self.stem(images))
        for reduction, stage in zip(self.reductions, list(self.stages)[1:], strict=True):
            x = stage(reduction(x))
        x = torch.relu(self.norm(x))
        return self.head(x.mean(dim=(2, 3)))  # type: ignore[no-any-return]


SIZED_CELL = "333133"
"""The cell of every network of NATS-Bench's size space, in which the widths differ."""


class SizedNetwork(nn.Module):
    """A network of NATS-Bench's size space, ``(batch, 3, side, side) -> (batch, classes)``."""

    def __init__(self, widths: Sequence[int], *, classes: int = 10) -> None:
        """Create stem, three cells with reductions between them, and head, of five widths."""
        super().__init__()
        first, second, third, fourth, last = widths
        self.stem = nn.Sequential(
            nn.Conv2d(3, first, 3, padding=1, bias=False), nn.BatchNorm2d(first)
        )
        self.body = nn.Sequential(
            Cell(SIZED_CELL, first),
            Reduction(first, second),
            Cell(SIZED_CELL, second, third),
            Reduction(third, fourth),
            Cell(SIZED_CELL, fourth, last),
        )
        self.norm = nn.BatchNorm2d(last)
        self.head = nn.Linear(last, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits of `images`."""
        x = torch.relu(self.norm(self.body(self.stem(images))))
        return self.head(x.mean(dim=(2, 3)))  # type: ignore[no-any-return]


STEM = 64
"""The channels that a stem of TransNAS-Bench-101 ends with; each halving doubles them."""


class TaskNetwork(nn.Module):
    """The backbone of TransNAS-Bench-101 and a linear head, ``(batch, 3, side, side)`` to logits.

    Convolutions start normal, with the variance that He et al. (2015) give for the fan out.
    """

    def __init__(self, cell: str, *, classes: int) -> None:
        """Create stem, five stages of two cells, of which every other halves the map, and head."""
        super().__init__()
        half = STEM // 2
        self.stem = nn.Sequential(
            nn.Conv2d(3, half, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(half),
            Convolution(half, STEM, 3, stride=2),
        )
        cells, width = [], STEM
        for stage in range(5):
            wider, stride = (width, 1) if stage % 2 else (2 * width, 2)
            cells += [Cell(cell, width, wider, stride), Cell(cell, wider)]
            width = wider
        self.cells = nn.Sequential(*cells)
        self.head = nn.Linear(width, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits of `images`."""
        x = self.cells(self.stem(images))
        return self.head(x.mean(dim=(2, 3)))  # type: ignore[no-any-return]

"""Networks of NAS-Bench-101: nine copies of one cell, any graph of at most seven vertices.

References:
    Ying et al., NAS-Bench-101: Towards Reproducible Neural Architecture Search, ICML 2019,
    https://arxiv.org/abs/1902.09635
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

STEM = 128
"""The channels of the first convolution; each stack but the first doubles them."""

STACKS, CELLS = 3, 3
"""The stacks of a network, and the cells of each."""


def convolution(width: int, wider: int, kernel: int) -> nn.Sequential:
    """Convolution without bias, batch norm, ReLU."""
    conv = nn.Conv2d(width, wider, kernel, padding=kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(wider), nn.ReLU())


def operation(name: str, width: int) -> nn.Module:
    """The module of a vertex, ``(batch, width, side, side)`` to the same shape.

    Raises:
        ValueError: there is no operation of that name.
    """
    if name == "maxpool3x3":
        return nn.MaxPool2d(3, stride=1, padding=1)
    if name not in ("conv3x3", "conv1x1"):
        raise ValueError(f"expected conv3x3, conv1x1 or maxpool3x3; got {name!r}")
    return convolution(width, width, int(name[-1]))


def pruned(matrix: np.ndarray, ops: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    """A cell without the vertices that lie on no path from its input to its output."""
    size = len(ops)
    reach = np.linalg.matrix_power(np.eye(size, dtype=int) + matrix, size) > 0
    vertices = np.flatnonzero(reach[0] & reach[:, -1])
    return matrix[np.ix_(vertices, vertices)], [ops[vertex] for vertex in vertices.tolist()]


def channels(width: int, wider: int, matrix: np.ndarray) -> list[int]:
    """The channels of each vertex of a pruned cell.

    Those before the output share its channels, the first of them one more where it does not go up;
    any other has as many as the widest that it leads to.
    """
    last = len(matrix) - 1
    widths = [width] + [0] * (last - 1) + [wider]
    before = (np.flatnonzero(matrix[1:last, last]) + 1).tolist()
    for place, vertex in enumerate(before):
        widths[vertex] = wider // len(before) + (place < wider % len(before))
    for vertex in range(last - 1, 0, -1):
        if not matrix[vertex, last]:
            widths[vertex] = max(widths[end] for end in np.flatnonzero(matrix[vertex]))
    return widths


class Nb101Cell(nn.Module):
    """A graph of operations, ``(batch, width, side, side) -> (batch, wider, side, side)``.

    A vertex sums what leads to it, of wider vertices the first channels. What comes from the cell's
    input is projected by a 1x1 convolution. The output concatenates, and adds the projected input
    if an edge leads there directly.
    """

    def __init__(self, matrix: np.ndarray, ops: Sequence[str], width: int, wider: int) -> None:
        super().__init__()
        self.last = len(matrix) - 1
        self.channels = channels(width, wider, matrix)
        self.sources = [[int(start) for start in np.flatnonzero(column)] for column in matrix.T]
        self.projections = nn.ModuleDict(
            {
                str(vertex): convolution(width, self.channels[vertex], 1)
                for vertex in range(1, self.last + 1)
                if 0 in self.sources[vertex]
            }
        )
        self.operations = nn.ModuleDict(
            {
                str(vertex): operation(ops[vertex], self.channels[vertex])
                for vertex in range(1, self.last)
            }
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return what the output vertex gathers."""
        vertices = {0: x}
        for vertex in range(1, self.last):
            width = self.channels[vertex]
            brought = [vertices[start][:, :width] for start in self.sources[vertex] if start]
            if str(vertex) in self.projections:
                brought.append(self.projections[str(vertex)](x))
            vertices[vertex] = self.operations[str(vertex)](torch.stack(brought).sum(0))
        inner = [vertices[start] for start in self.sources[self.last] if start]
        added = [torch.cat(inner, dim=1)] if inner else []
        if str(self.last) in self.projections:
            added.append(self.projections[str(self.last)](x))
        return torch.stack(added).sum(0)


class GraphNetwork(nn.Module):
    """A network of NAS-Bench-101, ``(batch, 3, side, side) -> (batch, classes)``."""

    def __init__(self, adjacency: str, ops: Sequence[str], *, classes: int = 10) -> None:
        """Create stem, stacks with a max pool between them, and head.

        Args:
            adjacency: the rows of the upper triangular matrix, such as ``011/001/000``.
            ops: of the vertices, the first and the last of which are input and output.
            classes: of the head.
        """
        super().__init__()
        matrix = np.array([[int(digit) for digit in row] for row in adjacency.split("/")])
        matrix, cell_ops = pruned(matrix, ops)
        body: list[nn.Module] = [convolution(3, STEM, 3)]
        width = STEM
        for stack in range(STACKS):
            wider = STEM * 2**stack
            if stack:
                body.append(nn.MaxPool2d(2))
            for _ in range(CELLS):
                body.append(Nb101Cell(matrix, cell_ops, width, wider))
                width = wider
        self.body = nn.Sequential(*body)
        self.head = nn.Linear(width, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits of `images`."""
        return self.head(self.body(images).mean(dim=(2, 3)))  # type: ignore[no-any-return]

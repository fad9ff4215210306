"""Primitives of matrices: of relations between samples, and of what a teacher and a student show.

The rows of a matrix are samples, or classes; see the kinds.
"""

from __future__ import annotations

import torch
from torch import Tensor

from autoprox.primitives.entries import Entries
from autoprox.primitives.facts import Facts
from autoprox.primitives.kinds import MATRIX_KINDS, Relation
from autoprox.primitives.registering import primitive

LEAST_SHARE = 1e-6
"""What a singular value of a determinant is at least, as a share of the largest."""

LEAST = 1e-12
"""What it is at least, whatever the largest is."""

SURE = 0.5
"""How far from what is cut a bound has to be, for what rounding may do to it."""


@primitive("elementwise", latex=r"{0}\,{1}", kinds=(Relation,))
def matmul(x: Tensor, y: Tensor) -> Tensor:
    """Matrix product.

    The published binary primitive of this name is applied to a layer's tensors of any shape, where
    it mostly fails; here it exists where it is always defined.

    >>> matmul(torch.eye(2)[None], torch.full((1, 2, 2), 3.0))
    tensor([[[3., 3.],
             [3., 3.]]])
    """
    return x @ y


def _by_elimination(matrices: Tensor) -> tuple[Tensor, Tensor]:
    """Logarithms of determinants by LU factors, and where no singular value is one that is cut.

    That is several times faster than singular values. The smallest of these is at least one over
    the product of the norms of the factors' inverses.
    """
    factors, _, _ = torch.linalg.lu_factor_ex(matrices)
    unit = torch.eye(matrices.shape[-1], dtype=factors.dtype, device=factors.device)
    unit = unit.expand_as(factors)
    upper = torch.linalg.solve_triangular(factors, unit, upper=True)
    lower = torch.linalg.solve_triangular(factors, unit, upper=False, unitriangular=True)
    inverse = torch.linalg.matrix_norm(upper) * torch.linalg.matrix_norm(lower)
    condition = inverse * torch.linalg.matrix_norm(matrices)
    uncut = (inverse < SURE / LEAST) & (condition < SURE / LEAST_SHARE)
    return factors.diagonal(dim1=-2, dim2=-1).abs().log().sum(-1), uncut


@primitive(
    "reduction",
    latex=r"\log\left|\det {0}\right|",
    kinds=(Relation,),
    guard="singular values are cut below at 1e-6 of the largest, or 1e-12",
)
def log_determinant(x: Tensor, entries: Entries) -> Tensor:
    """Logarithm of the absolute determinant.

    >>> log_determinant(2 * torch.eye(2)[None], Entries(torch.tensor([4.0])))
    tensor([1.3863], dtype=torch.float64)
    """
    finite = torch.isfinite(x).flatten(1).all(1)
    matrices = torch.where(finite[:, None, None], x, 0.0).double()
    result, uncut = _by_elimination(matrices)
    cut = (~uncut).nonzero().squeeze(1)
    if len(cut):
        values = torch.linalg.svdvals(matrices[cut])
        floor = (values.amax(-1, keepdim=True) * LEAST_SHARE).clamp_min(LEAST)
        result[cut] = torch.maximum(values, floor).log().sum(-1)
    return torch.where(finite, result, torch.nan)


@primitive(
    "reduction", latex=r"\operatorname{{tr}} {0}", kinds=(Relation,), formula=r"\sum_{i} x_{ii}"
)
def trace(x: Tensor, entries: Entries) -> Tensor:
    """Sum of the diagonal.

    >>> trace(torch.eye(2)[None], Entries(torch.tensor([4.0])))
    tensor([2.])
    """
    return x.diagonal(dim1=-2, dim2=-1).sum(-1)


SMALLEST = 1e-12
"""What a row's norm is at least where it is divided by."""


@primitive(
    "elementwise",
    latex=r"\operatorname{{unit}}\left({0}\right)",
    kinds=MATRIX_KINDS,
    guard="a norm below 1e-12 counts as 1e-12",
    formula=r"\frac{x_{ij}}{\sqrt{\sum_{k} x_{ik}^2}}",
    evolved=False,
)
def row_unit(x: Tensor) -> Tensor:
    """Each row over its Euclidean norm.

    >>> row_unit(torch.tensor([[[3.0, 4.0], [0.0, 2.0]]]))
    tensor([[[0.6000, 0.8000],
             [0.0000, 1.0000]]])
    """
    return torch.nn.functional.normalize(x.double(), dim=-1, eps=SMALLEST).to(x.dtype)


@primitive(
    "elementwise",
    latex=r"\operatorname{{sgn}}\left({0}\right)",
    kinds=MATRIX_KINDS,
    guard="less than 1 where an entry times the norm of its row is below 1e-12",
    formula=r"\operatorname{sign}(x_{ij}) \min\left(1, 10^{12} |x_{ij}| "
    r"\sqrt{\sum_{k} x_{ik}^2}\right)",
    evolved=False,
)
def row_sign(x: Tensor) -> Tensor:
    """The sign of each entry, fading out where its row has no size.

    The Gram matrix of a row, its own rows made unit vectors, is row_sign times row_unit.

    >>> row_sign(torch.tensor([[[3.0, -4.0], [0.0, 1e-7]]]))
    tensor([[[ 1.0000, -1.0000],
             [ 0.0000,  0.0100]]])
    """
    exact = x.double()
    products = exact * torch.linalg.vector_norm(exact, dim=-1, keepdim=True)
    signs: Tensor = (products / SMALLEST).clamp(-1, 1)
    return signs.to(x.dtype)


@primitive(
    "elementwise", latex=r"\overline{{{0}}}^{{\text{{row}}}}", kinds=MATRIX_KINDS, evolved=False
)
def row_mean(x: Tensor) -> Tensor:
    """In place of each entry the mean of its row.

    >>> row_mean(torch.tensor([[[1.0, 3.0], [0.0, 2.0]]]))
    tensor([[[2., 2.],
             [1., 1.]]])
    """
    return x.mean(-1, keepdim=True).expand_as(x).clone()


@primitive(
    "elementwise", latex=r"\overline{{{0}}}^{{\text{{column}}}}", kinds=MATRIX_KINDS, evolved=False
)
def column_mean(x: Tensor) -> Tensor:
    """In place of each entry the mean of its column.

    >>> column_mean(torch.tensor([[[1.0, 3.0], [0.0, 2.0]]]))
    tensor([[[0.5000, 2.5000],
             [0.5000, 2.5000]]])
    """
    return x.mean(-2, keepdim=True).expand_as(x).clone()


@primitive(
    "elementwise",
    latex=r"\operatorname{{softmax}}^{{\text{{row}}}}\left({0}\right)",
    kinds=MATRIX_KINDS,
    formula=r"\frac{e^{x_{ij}}}{\sum_{k} e^{x_{ik}}}",
    evolved=False,
    facts=Facts(nonnegative=True),
)
def row_softmax(x: Tensor) -> Tensor:
    """Exponential of the entries, over the sum of these in the row.

    >>> row_softmax(torch.tensor([[[1.0, 1.0], [0.0, 0.0]]]))
    tensor([[[0.5000, 0.5000],
             [0.5000, 0.5000]]])
    """
    return x.softmax(-1)


@primitive(
    "elementwise",
    latex=r"\log\operatorname{{softmax}}^{{\text{{row}}}}\left({0}\right)",
    kinds=MATRIX_KINDS,
    formula=r"x_{ij} - \log \sum_{k} e^{x_{ik}}",
    evolved=False,
)
def row_log_softmax(x: Tensor) -> Tensor:
    """Logarithm of `row_softmax`.

    >>> row_log_softmax(torch.zeros(1, 2, 1))
    tensor([[[0.],
             [0.]]])
    """
    return x.log_softmax(-1)


@primitive(
    "elementwise",
    latex=r"\operatorname{{softmax}}^{{\text{{column}}}}\left({0}\right)",
    kinds=MATRIX_KINDS,
    formula=r"\frac{e^{x_{ij}}}{\sum_{k} e^{x_{kj}}}",
    evolved=False,
    facts=Facts(nonnegative=True),
)
def column_softmax(x: Tensor) -> Tensor:
    """Exponential of the entries, over the sum of these in the column.

    >>> column_softmax(torch.zeros(1, 2, 1))
    tensor([[[0.5000],
             [0.5000]]])
    """
    return x.softmax(-2)


ROW_WISE = (
    "row_unit", "row_sign", "row_mean", "column_mean", "row_softmax", "row_log_softmax",
    "column_softmax",
)  # fmt: skip
"""The words that evolution writes with only where it sees a teacher, or a seed proxy has them."""

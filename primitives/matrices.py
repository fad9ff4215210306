"""Primitives of relations, the batch x batch matrices."""

from __future__ import annotations

import torch
from torch import Tensor

from autoprox.primitives.entries import Entries
from autoprox.primitives.kinds import Relation
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

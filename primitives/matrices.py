"""Primitives of relations, the batch x batch matrices."""

from __future__ import annotations

import torch
from torch import Tensor

from autoprox.kinds import Relation
from autoprox.primitives.entries import Entries
from autoprox.primitives.primitive import primitive


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
    values = torch.linalg.svdvals(torch.where(finite[:, None, None], x, 0.0).double())
    floor = (values.amax(-1, keepdim=True) * 1e-6).clamp_min(1e-12)
    return torch.where(finite, torch.maximum(values, floor).log().sum(-1), torch.nan)


@primitive(
    "reduction", latex=r"\operatorname{{tr}} {0}", kinds=(Relation,), formula=r"\sum_{i} x_{ii}"
)
def trace(x: Tensor, entries: Entries) -> Tensor:
    """Sum of the diagonal.

    >>> trace(torch.eye(2)[None], Entries(torch.tensor([4.0])))
    tensor([2.])
    """
    return x.diagonal(dim1=-2, dim2=-1).sum(-1)

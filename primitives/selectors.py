"""Selectors: keep some layers of a network, by what they do or where they are."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from autoprox.primitives.registering import primitive


def _in(roles: Sequence[str], *wanted: str) -> Tensor:
    return torch.tensor([role in wanted for role in roles], dtype=torch.bool)


@primitive("selector", latex=r"\left[{0}\right]_{{\text{{attention}}}}")
def only_attention(roles: Sequence[str], position: Tensor) -> Tensor:
    """The layers of the attention modules."""
    return _in(roles, "attention")


@primitive("selector", latex=r"\left[{0}\right]_{{\text{{mlp}}}}")
def only_mlp(roles: Sequence[str], position: Tensor) -> Tensor:
    """The linear layers outside of attention modules, without the first and the last layer."""
    return _in(roles, "mlp")


@primitive("selector", latex=r"\left[{0}\right]_{{\text{{inner}}}}")
def only_inner(roles: Sequence[str], position: Tensor) -> Tensor:
    """All layers but the first and the last that run."""
    return ~_in(roles, "embedding", "head")


@primitive("selector", latex=r"\left[{0}\right]_{{\text{{early}}}}")
def only_early(roles: Sequence[str], position: Tensor) -> Tensor:
    """The layers of the first half of the network."""
    return position < 0.5


@primitive("selector", latex=r"\left[{0}\right]_{{\text{{late}}}}")
def only_late(roles: Sequence[str], position: Tensor) -> Tensor:
    """The layers of the second half of the network."""
    return position >= 0.5

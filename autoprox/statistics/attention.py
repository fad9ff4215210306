"""Attention maps, intercepted wherever a network computes them."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

_SOFTMAX = frozenset({torch.softmax, torch.special.softmax, Tensor.softmax, F.softmax})


class AttentionMaps(TorchFunctionMode):
    """Shows the attention maps computed inside its context, ``(batch, heads, query, key)``.

    Attention is recognised by what it does, not by the class of a module:
    `F.scaled_dot_product_attention`, whose maps are computed again from its queries and keys;
    `F.multi_head_attention_forward`, which calls it where no mode can look and is asked again for
    its weights; and every softmax over the last dimension whose last two dimensions are equal and
    above 1, ``(…, tokens, tokens)``. Maps carry no gradient and are those before dropout.
    """

    def __init__(self, show: Callable[[int, Callable[[], Tensor]], None]) -> None:
        """Call `show` after each attention, with its heads and a function that gives its maps."""
        super().__init__()
        self.show = show

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # a torch function returns anything
        """Run `func`, and show the maps if it attends."""
        kwargs = dict(kwargs or {})
        result = func(*args, **kwargs)
        if func is F.scaled_dot_product_attention:
            query = args[0] if args else kwargs["query"]
            heads = query.shape[-3] if query.ndim > 2 else 1
            self.show(heads, partial(_dot_product_maps, *args, **kwargs))
        elif func is F.multi_head_attention_forward:
            call = inspect.signature(func).bind(*args, **kwargs)
            self.show(call.arguments["num_heads"], partial(_multi_head_maps, call))
        elif func in _SOFTMAX and _attends(result, args, kwargs):
            self.show(result.shape[-3], result.detach)
        return result


def _attends(result: object, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
    """Say whether a softmax gave ``(…, tokens, tokens)``, normalised over the last dimension."""
    if not isinstance(result, Tensor) or result.ndim < 3:
        return False
    dim = kwargs.get("dim", args[1] if len(args) > 1 else None)
    square = result.shape[-1] == result.shape[-2] > 1
    return square and dim in (-1, result.ndim - 1)


@torch.no_grad()
def _dot_product_maps(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """Attention maps of `F.scaled_dot_product_attention`, by its documented formula."""
    if enable_gqa:
        key = key.repeat_interleave(query.shape[-3] // key.shape[-3], dim=-3)
    factor = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    logits = (query @ key.transpose(-2, -1)).mul_(factor)
    if is_causal:
        attn_mask = torch.ones(logits.shape[-2:], dtype=torch.bool, device=query.device).tril()
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        logits = logits.masked_fill(~attn_mask, -math.inf)
    elif attn_mask is not None:
        logits = logits + attn_mask
    return logits.softmax(-1)


@torch.no_grad()
def _multi_head_maps(call: inspect.BoundArguments) -> Tensor:
    """Attention maps of `F.multi_head_attention_forward`, a map a head, without dropout."""
    call.arguments |= {
        "need_weights": True,
        "average_attn_weights": False,
        "training": False,
        "dropout_p": 0.0,
    }
    maps = F.multi_head_attention_forward(*call.args, **call.kwargs)[1]
    assert maps is not None  # need_weights is set
    return maps

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

from autoprox.statistics.trees import listed_tensors

_SOFTMAX = frozenset({torch.softmax, torch.special.softmax, Tensor.softmax, F.softmax})
_PRODUCTS = frozenset(
    {torch.matmul, torch.bmm, Tensor.matmul, Tensor.bmm, Tensor.__matmul__, Tensor.__rmatmul__}
)
_ADDED_PRODUCTS = frozenset({torch.baddbmm, Tensor.baddbmm})
_BEGINNING = _PRODUCTS | _ADDED_PRODUCTS | {torch.einsum}
_WIDENING = frozenset({torch.cat, torch.concat, torch.concatenate, F.pad})


class AttentionMaps(TorchFunctionMode):
    """Shows the attention maps computed inside its context, ``(batch, heads, query, key)``.

    Attention is recognised by what is computed, not by the class of a module or by a shape:
    `F.scaled_dot_product_attention`, whose maps are computed again from its queries and keys;
    `F.multi_head_attention_forward`, which calls it where no mode can look and is asked again for
    its weights; and every softmax over the last dimension of the products of two tensors with a
    batch, queries and keys, however they were scaled, masked, mixed over the heads, reshaped, or
    given further keys (sinks). So neither a softmax over features or experts is attention, nor one
    of a single query and key. Maps carry no gradient and are those before dropout.
    """

    def __init__(self, show: Callable[[int, Callable[[], Tensor]], None]) -> None:
        """Call `show` after each attention, with its heads and a function that gives its maps."""
        super().__init__()
        self.show = show
        self._marked = False

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
        elif (
            (self._marked or func in _BEGINNING) and isinstance(result, Tensor) and result.ndim > 2
        ):
            part = _part(func, args, kwargs, result)
            if part == "scores" and func in _SOFTMAX:
                part = None
                if _over_keys(result, args, kwargs):
                    self.show(result.shape[-3], result.detach)
                    part = "maps"
            if part is not None:
                self._marked = True
                result._attention_part = part  # type: ignore[attr-defined]  # a mark of our own
        return result


def _part(
    func: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any], result: Tensor
) -> str | None:
    """Say whether a function gave "scores" or "maps" of attention, or something made of such.

    Scores are products of two tensors of three dimensions or more, ``(..., query, entry)`` and
    ``(..., entry, key)``, neither of which is a map; a weight has fewer. What is as large as scores
    or maps that it was made of, or has more keys, is another form of them.
    """
    factors: tuple[Any, ...] = ()
    if func in _PRODUCTS:
        factors = args[:2] if len(args) > 1 else (*args, *kwargs.values())[:2]
    elif func in _ADDED_PRODUCTS:
        factors = args[1:3]
    elif func is torch.einsum:
        factors = tuple(args[1]) if isinstance(args[1], (list, tuple)) else args[1:]
    elif func is F.linear:
        return None
    if len(factors) == 2 and all(isinstance(each, Tensor) and each.ndim > 2 for each in factors):
        return None if "maps" in map(_mark, factors) else "scores"
    for each in listed_tensors((*args, *kwargs.values())):
        part = _mark(each)
        if part is not None:
            wider = func in _WIDENING and each.shape[:-1] == result.shape[:-1]
            return part if wider or each.numel() == result.numel() else None
    return None


def _mark(tensor: Tensor) -> str | None:
    """Return what part of attention a tensor was found to be, if any."""
    mark: str | None = getattr(tensor, "_attention_part", None)
    return mark


def _over_keys(result: Tensor, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
    """Say whether a softmax went over the last dimension, and there is more than one entry."""
    dim = kwargs.get("dim", args[1] if len(args) > 1 else None)
    return dim in (-1, result.ndim - 1) and result.shape[-2:] != (1, 1)


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

"""Attention maps, intercepted wherever a network computes them."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from autoprox.statistics.hooks import Intercepting, plain
from autoprox.statistics.parts_of_attention import (
    BEGINNING,
    SOFTMAX,
    SUMS,
    arranged_maps,
    dim_of,
    is_over_keys,
    mark_of,
    marked,
    normalised_dim,
    part_of,
)

_SOFTMAX_OF_SCORES = getattr(torch, "_safe_softmax", None)
"""By which torch computes what `flex_attention` asks for."""


class AttentionMaps(Intercepting):
    """Shows the attention maps computed inside its context, ``(batch, heads, query, key)``.

    Attention is recognised by what is computed, not by the class of a module or by a shape:
    `F.scaled_dot_product_attention`, whose maps are computed again from its queries and keys;
    `F.multi_head_attention_forward`, which calls it where no mode can look and is asked again for
    its weights; and whatever makes shares of one, over the keys, of the products of queries and
    keys of each sample: a softmax, or exponentials and their sum. See `parts_of_attention` for the
    ways in which products may be written. Maps carry no gradient and are those before dropout.
    """

    def __init__(self, show: Callable[[torch.Size, Callable[[], Tensor]], None]) -> None:
        """Call `show` after each attention, with the shape of its maps and what gives them."""
        super().__init__()
        self.show = show
        self._marked = False

    def run(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run `func`, and show the maps if it attends."""
        result = func(*args, **kwargs)
        if func is F.scaled_dot_product_attention:
            operands = (*args, *(kwargs[name] for name in ("query", "key") if name in kwargs))
            query, key = map(plain, operands[:2])
            shape = torch.Size((*query.shape[:-1], key.shape[-2]))
            self.show(shape, partial(_dot_product_maps, *args, **kwargs))
        elif func is F.multi_head_attention_forward:
            call = inspect.signature(func).bind(*args, **kwargs)
            self.show(_multi_head_shape(call), partial(_multi_head_maps, call))
        elif func is _SOFTMAX_OF_SCORES:
            self._attended(result, -1, None)
        elif (self._marked or func in BEGINNING) and isinstance(result, Tensor):
            self._follow(func, args, kwargs, result)
        return result

    def _follow(
        self,
        func: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        result: Tensor,
    ) -> None:
        """Note what part of attention a result is, and show the maps that it is or gives."""
        before = mark_of(args[0]) if args else None
        if before and before.part == "exponentials" and func in SUMS:
            dim = dim_of(args, kwargs)
            if is_over_keys(args[0], dim, before.axes):
                maps = _attending(args[0] / args[0].sum(dim, keepdim=True), dim)
                self._attended(maps, dim, before.axes)
                marked(args[0], "maps", before.axes)
            return
        mark = part_of(func, args, kwargs, result) if result.ndim > 2 else None
        if mark is None:
            return
        part, axes = mark.part, mark.axes
        if part == "scores" and func in SOFTMAX:
            dim = dim_of(args, kwargs)
            if not is_over_keys(result, dim, axes):
                return
            self._attended(result, dim, axes)
            part = "maps"
        elif part == "exponentials":
            dim = normalised_dim(result, axes)
            if dim is not None:
                self._attended(result, dim, axes)
                part = "maps"
        self._marked = True
        marked(result, part, axes)

    def _attended(self, maps: Tensor, dim: int, axes: tuple[int, ...] | None) -> None:
        """Show maps whose keys are in the dimension `dim`."""
        arranged = arranged_maps(plain(maps.detach()), dim, axes)
        self.show(arranged.shape, lambda: arranged)


def _attending(maps: Tensor, dim: int = -1) -> Tensor:
    """Maps that are computed again, with zeros for what attends to no key (all are masked).

    So torch has it; the formula itself divides nothing by nothing there.
    """
    return maps.masked_fill(maps.isnan().all(dim, keepdim=True), 0.0)


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
    query, key = plain(query), plain(key)
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
    return _attending(logits.softmax(-1))


def _multi_head_shape(call: inspect.BoundArguments) -> torch.Size:
    """Shape of the maps of `F.multi_head_attention_forward`, whose samples come second."""
    query, key = (call.arguments[name] for name in ("query", "key"))
    return torch.Size((*query.shape[1:-1], call.arguments["num_heads"], len(query), len(key)))


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
    return _attending(maps)


def heads_of(maps: Sequence[torch.Size], positions: int) -> int:
    """Return the number of heads of the attention that a layer fed.

    It is the size of the dimension before queries and keys, or the number of maps where heads are
    computed one by one. Where a layer has the positions of several windows of queries, that size
    may be the number of windows: then it is the size that, times the windows, gives all maps.

    Args:
        maps: their shapes on one sample, ``(..., query, key)``, one for each attention before the
            next layer.
        positions: in the layer's output on the sample.
    """
    *shared, queries, keys = maps[-1]
    sizes = (len(maps), *shared)
    total = math.prod(sizes)
    windows, left = divmod(positions, queries)
    if windows and not left and queries == keys and all(shape == maps[-1] for shape in maps):
        if len(shared) == 1 and not total % windows:  # what lies in one dimension with the samples
            return total // windows
        for place in reversed(range(len(sizes))):
            if total == windows * sizes[place] and (place > 1 or sizes[place] > 1):
                return sizes[place]
    heads = shared[-1] if shared else 1
    return heads if heads > 1 else len(maps)

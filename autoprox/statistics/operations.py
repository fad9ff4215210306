"""What a forward pass computes: how many operations, and with which parameters."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import flop_registry, sdpa_flop_count

from autoprox.statistics.hooks import InterceptingOperations
from autoprox.statistics.layers import MATRIX, TRANSPOSED, Axes
from autoprox.statistics.trees import listed_tensors

aten = torch.ops.aten

FACTORS: Mapping[str, tuple[int, ...]] = {
    "_grouped_mm": (0, 1),
    "_scaled_mm": (0, 1),
    "_trilinear": (0, 1, 2),
    "addbmm": (1, 2),
    "addmm": (1, 2),
    "addmm_": (1, 2),
    "addmv": (1, 2),
    "baddbmm": (1, 2),
    "baddbmm_": (1, 2),
    "bmm": (0, 1),
    "convolution": (0, 1),
    "dot": (0, 1),
    "mm": (0, 1),
    "mv": (0, 1),
    "vdot": (0, 1),
}
"""The products of matrices, and which of their arguments are the factors."""

TABLES: Mapping[str, tuple[int, int]] = {
    "_embedding_bag": (0, 1),
    "_embedding_bag_forward_only": (0, 1),
    "embedding": (0, 1),
    "gather": (0, 2),
    "index": (0, 1),
    "index_select": (0, 2),
}
"""What looks entries up, and which of its arguments are the table and the places."""

CHOICES = frozenset({
    "_local_scalar_dense", "_unique2", "bincount", "cumsum", "ge", "gt", "kthvalue", "le", "lt",
    "masked_select", "median", "nonzero", "scatter", "scatter_add", "sort", "topk", "unique_dim",
})  # fmt: skip
"""What is chosen or counted by the data: another sample may change it at once, or not at all."""

EXTREMES = frozenset({
    "amax", "amin", "aminmax", "argmax", "argmin", "cummax", "cummin", "max", "min",
})  # fmt: skip
"""What chooses by the data where it goes over the first dimension, as over the samples."""

SHUFFLES = frozenset({"multinomial", "randint", "randperm", "random"})
"""What draws numbers of places, by which samples may be exchanged."""

AMONG_ROWS = frozenset({"addmm", "mm"})
"""Products that, of two tensors made of data, may be of the samples with each other."""

SHAPES_ONLY = frozenset(
    f"{name}_like" for name in ("empty", "full", "ones", "rand", "randint", "randn", "zeros")
) | {"new_empty", "new_full", "new_ones", "new_zeros"}
"""What depends on the shape of its argument alone."""

COSTLY = re.compile(
    r"^_?(cdist|cholesky|euclidean_dist|fft|geqrf|linalg(?!_vector_norm|_cross|_diagonal|__powsum)|lu_"
    r"|matrix_exp|ormqr|pdist|sparse|spsolve|svd|triangular_solve)"
    r"|mm(_|$)|matmul|linear$|conv(?!ert)|attention|transformer|rnn(_layer)?$|lstm(_mps)?$|gru$"
)
"""Names of torch's operations that cost much where they have no formula here."""


def _of_shapes(*factors: int) -> Callable[..., int]:
    """Return the count of a product: twice the numbers of all its dimensions, shared ones once."""

    def count(*args: Any, **_: Any) -> int:
        first, second = (args[place] for place in factors)
        return 2 * int(first.numel()) * (second.shape[-1] if second.ndim > 1 else 1)

    return count


def _trilinear(first: Tensor, weight: Tensor, second: Tensor, *_: Any, **__: Any) -> int:
    """Count `nn.Bilinear`: two operations for each entry of the weight and row."""
    return 2 * len(first) * weight.numel()


def _lstm(inputs: Tensor, into: Tensor, within: Tensor, *_: Any, **__: Any) -> int:
    """Count a layer of an LSTM over ``(time, batch, entries)``: its two matrix products a step."""
    return 2 * inputs.shape[0] * inputs.shape[1] * (into.numel() + within.numel())


def _flash(query: Tensor, key: Tensor, value: Tensor, *_: Any, **__: Any) -> int:
    """Count attention that a network asks for in one operation, on a CPU."""
    count = sdpa_flop_count(query.shape, key.shape, value.shape)  # type: ignore[no-untyped-call]
    return int(count)


def _cudnn_rnn(inputs: Tensor, weights: Iterable[Tensor], *_: Any, **__: Any) -> int:
    """Count a recurrent module on a GPU, from all its weights, ``(time, batch, entries)``."""
    matrices = sum(weight.numel() for weight in weights if weight.ndim > 1)
    return 2 * inputs.shape[0] * inputs.shape[1] * matrices


FORMULAS: Mapping[Any, Callable[..., int]] = {
    **({aten._grouped_mm: _of_shapes(0, 1)} if hasattr(aten, "_grouped_mm") else {}),
    aten.mv: _of_shapes(0, 1),
    aten.addmv: _of_shapes(1, 2),
    aten.dot: _of_shapes(0, 1),
    aten.vdot: _of_shapes(0, 1),
    aten.addbmm: _of_shapes(1, 2),
    aten.addbmm_: _of_shapes(1, 2),
    aten.addmm_: _of_shapes(1, 2),
    aten.baddbmm_: _of_shapes(1, 2),
    aten._scaled_dot_product_flash_attention_for_cpu: _flash,
    aten._trilinear: _trilinear,
    aten.mkldnn_rnn_layer: _lstm,
    aten._cudnn_rnn: _cudnn_rnn,
}
"""Counts of products that torch's own table of formulas lacks."""


@dataclass(frozen=True, slots=True)
class _OperationFacts:
    """What is known of an operation of torch, whatever it runs on.

    Attributes:
        name: its own.
        formula: counts it from its arguments; None if there is none.
        own: whether that is one of `FORMULAS`, and not of torch's, which take the result too.
        composite: whether torch has it as a sequence of others.
        unknown: whether it costs much, or may, and there is no formula.
        draws: whether it draws random numbers.
    """

    name: str
    formula: Callable[..., int] | None
    own: bool
    composite: bool
    unknown: bool
    draws: bool


@lru_cache(maxsize=4096)
def _facts(func: Any) -> _OperationFacts:
    """Look an operation up."""
    packet = getattr(func, "_overloadpacket", func)
    name = getattr(packet, "__name__", str(packet))
    formula = FORMULAS.get(packet) or flop_registry.get(packet)
    known = getattr(func, "namespace", "") in ("aten", "prim", "prims", "profiler")
    return _OperationFacts(
        name=name,
        formula=formula,
        own=packet in FORMULAS,
        composite=hasattr(func, "decompose")
        and torch._C._dispatch_has_kernel_for_dispatch_key(
            func.name(), "CompositeImplicitAutograd"
        ),
        unknown=formula is None and (not known or bool(COSTLY.search(name))),
        draws=torch.Tag.nondeterministic_seeded in getattr(func, "tags", ()),
    )


class Operations(InterceptingOperations):
    """Counts the operations run in its context, and notes what they do with parameters.

    Counted are products of matrices, convolutions and recurrent layers, two operations for each
    multiplication and addition, as `torch.utils.flop_counter` counts; elementwise functions,
    norms, sums and poolings count 0. What else is costly, or is no operation of torch's own, is
    noted in `uncounted`.

    Attributes:
        total: the operations so far.
        uncounted: names of operations that have no formula.
        factors: the parameters that data were multiplied by, or looked up in, and their axes.
        seen: the parameters that took part in any operation.
        hidden: those that an operation took of which nothing is known.
        draws: whether random numbers of torch were drawn.
        shuffles: whether these were numbers of places.
        chooses: whether one of `CHOICES` was made among the data, one of `EXTREMES` over the first
            dimension, or a product `AMONG_ROWS`.
    """

    supports_higher_order_operators = True  # such as torch.cond, which have no formula

    def __init__(
        self, state: Mapping[str, Tensor], parameters: Mapping[str, Tensor], free: Iterable[str]
    ) -> None:
        """Watch what happens to the `parameters` of a network that runs with `state`.

        `free` are those of modules whose type does not say what they are.
        """
        super().__init__()  # type: ignore[no-untyped-call]  # as torch has it
        self.total = 0
        self.uncounted: set[str] = set()
        self.factors: dict[str, Axes] = {}
        self.seen: set[str] = set()
        self.hidden: set[str] = set()
        self.draws = self.shuffles = self.chooses = False
        self._parameters, self._free = parameters, frozenset(free)
        self._held: list[Tensor] = list(state.values())
        self._sources: dict[int, frozenset[str]] = {
            id(tensor): frozenset({name} & parameters.keys()) for name, tensor in state.items()
        }
        self._picked: dict[int, frozenset[str]] = {}

    def __torch_dispatch__(
        self,
        func: Any,
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # an operation returns anything
        """Run an operation, count it, and note where its results come from."""
        kwargs = dict(kwargs or {})
        facts = _facts(func)
        if facts.formula is None and facts.composite:
            with self:
                return func.decompose(*args, **kwargs)
        result = func(*args, **kwargs)
        if facts.formula is not None:
            more = {} if facts.own else {"out_val": result}
            self.total += facts.formula(*args, **kwargs, **more)
        if facts.unknown:
            self.uncounted.add(str(getattr(func, "_overloadpacket", func)))
        self.draws |= facts.draws
        self.shuffles |= facts.draws and facts.name.removesuffix("_") in SHUFFLES
        self._note(facts, args, kwargs, result)
        return result

    def constant(self, tensor: Tensor) -> bool:
        """Say whether a tensor is made of parameters and buffers alone, and not of data."""
        return id(tensor) in self._sources

    def _note(
        self, facts: _OperationFacts, args: tuple[Any, ...], kwargs: Mapping[str, Any], result: Any
    ) -> None:
        """Note what an operation does with parameters."""
        name = facts.name
        tensors = list(listed_tensors((*args, *kwargs.values())))
        sources = [self._sources.get(id(tensor)) for tensor in tensors]
        self.seen.update(*(source for source in sources if source))
        if facts.unknown:
            self.hidden.update(*(source for source in sources if source))
        constant = name in SHAPES_ONLY or None not in sources
        chooses = name in CHOICES or (name in EXTREMES and _over_samples(args, kwargs))
        self.chooses |= chooses and not constant
        picked = frozenset[str]()
        if name in AMONG_ROWS:
            self.chooses |= all(id(args[at]) not in self._sources for at in FACTORS[name])
        if not constant:
            self._multiplied(name, args)
            picked = self._chosen(name, args)
        origin = frozenset().union(*filter(None, sources))
        free = all(source and source <= self._free for source in sources)
        if name in TABLES or (name in FACTORS and not free):
            origin = frozenset()
        for tensor in listed_tensors((result,)):
            self._sources.pop(id(tensor), None)
            self._picked.pop(id(tensor), None)
            if constant:
                self._sources[id(tensor)] = origin
            elif picked:
                self._picked[id(tensor)] = picked
            if constant or picked:
                self._held.append(tensor)

    def _chosen(self, name: str, args: tuple[Any, ...]) -> frozenset[str]:
        """Parameters of which an operation gives some matrices, chosen by the data."""
        if name == "index":
            matrices = args[0].ndim > 1 + sum(place is not None for place in args[1])
            return self._sources.get(id(args[0]), frozenset()) if matrices else frozenset()
        tensors = list(listed_tensors(args))
        return self._picked.get(id(tensors[0]), frozenset()) if len(tensors) == 1 else frozenset()

    def _multiplied(self, name: str, args: tuple[Any, ...]) -> None:
        """Note the parameters among the arguments that data are multiplied by or looked up in."""
        if name in TABLES:
            table, places = TABLES[name]
            looked_up = any(
                id(tensor) not in self._sources for tensor in listed_tensors((args[places],))
            )
            for source in self._sources.get(id(args[table]), ()) if looked_up else ():
                self.factors.setdefault(source, TRANSPOSED)
        factors = [args[place] for place in FACTORS.get(name, ())]
        data = all(id(factor) not in self._sources for factor in factors)
        for order, factor in enumerate(factors):
            for source in self._sources.get(id(factor), ()):
                axes = _axes_of(name, factor, order, args, self._parameters[source])
                self.factors.setdefault(source, axes)
            for source in self._picked.get(id(factor), ()) if data else ():
                axes = _axes_of(name, factor, order, args, self._parameters[source])
                self.factors[source] = axes


def _over_samples(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
    """Say whether one of `EXTREMES` goes over the first dimension."""
    dims = args[1] if len(args) > 1 else kwargs.get("dim")
    listed = [dims] if isinstance(dims, int) else dims or [0]
    return any(dim % max(1, args[0].ndim) == 0 for dim in listed)


def _axes_of(
    name: str, factor: Tensor, order: int, args: tuple[Any, ...], parameter: Tensor
) -> Axes:
    """Axes of a parameter that a factor is, or is made of, from how the product `name` uses it.

    `order` is 0 for the left factor, of which the columns are summed over, 1 for the right one.
    """
    if name == "convolution":
        arrangement = "transposed convolution" if args[6] else "convolution"
        return Axes(arrangement, int(args[8]))  # type: ignore[arg-type]  # one of the two
    if name == "_trilinear":
        return Axes("bilinear")
    if factor.ndim < 2 or parameter.ndim < 2:
        return MATRIX
    rows_stored = factor.stride(-1) == 1  # the last dimension of the parameter is the factor's
    plain = rows_stored == (order == 0)
    rows, columns = factor.shape[-2:]
    shape = (rows, columns) if rows_stored else (columns, rows)
    sizes = tuple(parameter.shape[-2:])
    pairs = zip(factor.shape, factor.stride(), strict=True)
    if shape == sizes or prod(size for size, stride in pairs if stride) != parameter.numel():
        return MATRIX if plain else TRANSPOSED
    if shape == sizes[::-1]:  # a copy that is stored the other way round
        return TRANSPOSED if plain else MATRIX
    return Axes("matrix" if plain else "transposed matrix", shape=shape)

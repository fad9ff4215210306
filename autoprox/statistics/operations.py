"""What a forward pass computes: how many operations, and with which parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from autoprox.statistics.layers import MATRIX, TRANSPOSED, Axes

aten = torch.ops.aten

FACTORS: Mapping[str, tuple[int, ...]] = {
    "_grouped_mm": (0, 1),
    "_scaled_mm": (0, 1),
    "_trilinear": (0, 1, 2),
    "addbmm": (1, 2),
    "addmm": (1, 2),
    "addmv": (1, 2),
    "baddbmm": (1, 2),
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

SHAPES_ONLY = frozenset(
    f"{name}_like" for name in ("empty", "full", "ones", "rand", "randint", "randn", "zeros")
) | {"new_empty", "new_full", "new_ones", "new_zeros"}
"""What depends on the shape of its argument alone."""

COSTLY = ("_cdist", "_fft", "_linalg", "_pdist", "_sparse", "cholesky", "fft", "linalg", "lu_",
          "matrix_exp", "svd", "triangular_solve")  # fmt: skip
"""How the names of torch's operations begin that cost much and have no formula here."""


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
    aten._trilinear: _trilinear,
    aten.mkldnn_rnn_layer: _lstm,
    aten._cudnn_rnn: _cudnn_rnn,
}
"""Counts of products that torch's own table of formulas lacks."""


class Operations(TorchDispatchMode):  # type: ignore[no-untyped-call]  # as torch has it
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
    """

    def __init__(self, state: Mapping[str, Tensor], parameters: Iterable[str]) -> None:
        """Watch what happens to the `parameters` of a network that runs with `state`."""
        super().__init__()  # type: ignore[no-untyped-call]  # as torch has it
        self.total = 0
        self.uncounted: set[str] = set()
        self.factors: dict[str, Axes] = {}
        self.seen: set[str] = set()
        names = set(parameters)
        self._held: list[Tensor] = list(state.values())
        self._sources: dict[int, frozenset[str]] = {
            id(tensor): frozenset({name} & names) for name, tensor in state.items()
        }

    def __torch_dispatch__(
        self,
        func: Any,
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # an operation returns anything
        """Run an operation, count it, and note where its results come from."""
        kwargs = dict(kwargs or {})
        packet = getattr(func, "_overloadpacket", func)
        formula = FORMULAS.get(packet) or flop_registry.get(packet)
        if formula is None and hasattr(func, "decompose"):
            with self:
                parts = func.decompose(*args, **kwargs)
            if parts is not NotImplemented:
                return parts
        result = func(*args, **kwargs)
        if formula is not None:
            own = packet in FORMULAS
            self.total += (
                formula(*args, **kwargs) if own else formula(*args, **kwargs, out_val=result)
            )
        self._note(func, packet, args, kwargs, result, counted=formula is not None)
        return result

    def _note(
        self,
        func: Any,
        packet: Any,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        result: Any,
        *,
        counted: bool,
    ) -> None:
        """Note what an operation does with parameters, and whether its cost is known."""
        name = getattr(packet, "__name__", str(packet))
        if not counted and (
            getattr(func, "namespace", "") not in ("aten", "prim", "prims", "profiler")
            or name.startswith(COSTLY)
        ):
            self.uncounted.add(str(packet))
        given = list(_tensors((*args, *kwargs.values())))
        sources = [self._sources.get(id(tensor)) for tensor in given]
        self.seen.update(*(source for source in sources if source))
        constant = name in SHAPES_ONLY or None not in sources
        if not constant:
            self._multiplied(name, args)
        mixed = name in FACTORS or name in TABLES
        origin = frozenset() if mixed else frozenset().union(*filter(None, sources))
        for tensor in _tensors((result,)):
            if constant:
                self._held.append(tensor)
                self._sources[id(tensor)] = origin
            else:
                self._sources.pop(id(tensor), None)

    def _multiplied(self, name: str, args: tuple[Any, ...]) -> None:
        """Note the parameters among the arguments that data are multiplied by or looked up in."""
        if name in TABLES:
            table, places = TABLES[name]
            looked_up = any(id(each) not in self._sources for each in _tensors((args[places],)))
            for source in self._sources.get(id(args[table]), ()) if looked_up else ():
                self.factors.setdefault(source, TRANSPOSED)
        for order, place in enumerate(FACTORS.get(name, ())):
            factor = args[place]
            for source in self._sources.get(id(factor), ()):
                self.factors.setdefault(source, _axes_of(name, factor, order, args))


def _axes_of(name: str, factor: Tensor, order: int, args: tuple[Any, ...]) -> Axes:
    """Axes of a parameter that is a factor, or a view of it, from how it is multiplied.

    Args:
        name: the product's.
        factor: the factor.
        order: 0 for the left one, of which the columns are summed over, 1 for the right one.
        args: of the product.
    """
    if name == "convolution":
        arrangement = "transposed convolution" if args[6] else "convolution"
        return Axes(arrangement, int(args[8]))  # type: ignore[arg-type]  # one of the two
    if name == "_trilinear":
        return Axes("bilinear")
    if factor.ndim < 2:
        return MATRIX
    rows_stored = factor.stride(-1) == 1  # the last dimension of the parameter is the factor's
    return MATRIX if rows_stored == (order == 0) else TRANSPOSED


def _tensors(values: Iterable[Any]) -> Iterator[Tensor]:
    """Yield the tensors among values, and in lists and tuples among them."""
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from _tensors(value)

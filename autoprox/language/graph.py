"""The expression graph: one immutable node a distinct sub-expression.

An expression is a statistic, a number, or a primitive applied to expressions. Graphs are
hash-consed: the arguments of commutative primitives are ordered, and equal expressions are one
object, so that two ways of writing one proxy are one proxy, with one text.

>>> from autoprox.language.text import parse
>>> parse("sum(sum(multiply(weight, grad)))") is parse("sum( sum(multiply(grad,weight)) )")
True
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from autoprox.errors import LanguageError, short
from autoprox.language.formula import bare, filled
from autoprox.language.formula import number as number_latex
from autoprox.primitives import PRIMITIVES
from autoprox.primitives.kinds import KINDS, Kind, Layer, Network
from autoprox.statistics import STATISTICS

if TYPE_CHECKING:
    import networkx


JSON_VERSION = 1

MAX_DEPTH = 200
"""How many calls deep an expression that is read may be."""

MAX_TEXT = 2**18
"""How many characters its text may have: more than 16 nodes, the most of a search, can make."""

ENTRY, LAYER = "i", r"\ell"
"""The indices of entries and layers in a formula."""


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Graph:
    """A node of an expression graph and all that is below it.

    Build one with `leaf`, `number` or `apply`.

    Attributes:
        word: the name of a statistic or a primitive, or the text of a number.
        args: the arguments; empty for statistics and numbers.
        kind: the kind of the value; None for a number, which fits beside every kind.
        text: the canonical text; equal texts are one object.
        below: the distinct nodes without this one, arguments before those that use them.
    """

    word: str
    args: tuple[Graph, ...]
    kind: type[Kind] | None
    text: str = field(repr=False)
    below: tuple[Graph, ...] = field(repr=False)

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"parse({self.text!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return from_json, (self.to_json(),)  # in another process it is one object with its equals

    def nodes(self) -> tuple[Graph, ...]:
        """Return the distinct nodes, arguments before those that use them, this one last."""
        return (*self.below, self)

    def __iter__(self) -> Iterator[Graph]:
        """Iterate over `nodes`."""
        return iter(self.nodes())

    @property
    def complexity(self) -> int:
        """The number of distinct nodes."""
        return len(self.below) + 1

    @property
    def depth(self) -> int:
        """The number of nodes on the longest way from the root to a leaf."""
        return 1 + max((arg.depth for arg in self.args), default=0)

    @property
    def statistics(self) -> tuple[str, ...]:
        """The names of the statistics used, sorted."""
        return tuple(sorted({node.word for node in self if not node.args and node.kind}))

    def latex(self) -> str:
        r"""Return the formula in LaTeX; entries of a layer are indexed by i, layers by \ell.

        >>> from autoprox.language.text import parse
        >>> parse("sum(mean(absolute(grad)))").latex()
        '\\sum_{\\ell} \\operatorname{mean}_{i} \\left|G\\right|'
        """
        return bare(self._latex())

    def _latex(self) -> str:
        """Return the formula as a part of another one."""
        if self.kind is None:
            return number_latex(self.word)
        if not self.args:
            return STATISTICS[self.word].latex
        index = LAYER if self.args[0].kind is Layer else ENTRY
        return filled(PRIMITIVES[self.word].latex, [arg._latex() for arg in self.args], index)

    def to_json(self) -> dict[str, Any]:
        """Return the graph as JSON data: the nodes in order, arguments by their place."""
        nodes = self.nodes()
        place = {node: i for i, node in enumerate(nodes)}
        listed = [[node.word, *(place[arg] for arg in node.args)] for node in nodes]
        return {"version": JSON_VERSION, "nodes": listed}

    def to_networkx(self) -> networkx.DiGraph:
        """Return a view for drawing and analysis.

        Nodes are numbered as in `nodes`, with attributes ``word``, ``kind`` and ``form``
        (``"statistic"``, ``"number"`` or the primitive's form); edges run from argument to user,
        with attribute ``places``, the argument positions.
        """
        import networkx

        view = networkx.DiGraph(text=self.text)
        nodes = self.nodes()
        place = {node: i for i, node in enumerate(nodes)}
        for node, i in place.items():
            leaf = "number" if node.kind is None else "statistic"
            form = PRIMITIVES[node.word].form.value if node.args else leaf
            view.add_node(
                i, word=node.word, kind=node.kind.__name__ if node.kind else "", form=form
            )
        for node, i in place.items():
            for arg in dict.fromkeys(node.args):
                places = tuple(at for at, other in enumerate(node.args) if other is arg)
                view.add_edge(place[arg], i, places=places)
        return view


_INTERNED: weakref.WeakValueDictionary[str, Graph] = weakref.WeakValueDictionary()


def _intern(word: str, args: tuple[Graph, ...], kind: type[Kind] | None) -> Graph:
    text = f"{word}({', '.join(arg.text for arg in args)})" if args else word
    known = _INTERNED.get(text)
    if known is not None and (known.kind is not kind or known.args != args):
        _INTERNED.pop(text, None)  # the word was defined anew, with another kind
        known = None
    if known is None:
        below = tuple(dict.fromkeys(node for arg in args for node in arg))
        known = _INTERNED.setdefault(text, Graph(word, args, kind, text, below))
    return known


def leaf(name: str) -> Graph:
    """Return the graph of a statistic.

    Raises:
        UnknownNameError: there is no statistic of that name.
    """
    return _intern(name, (), STATISTICS[name].kind)


def number(value: float) -> Graph:
    """Return the graph of a number, which fits beside every kind.

    Raises:
        LanguageError: the number is not finite.
    """
    if not math.isfinite(value):
        raise LanguageError(f"a number of an expression is finite; got {value}")
    return _intern(repr(float(value)), (), None)


def apply(word: str, *args: Graph) -> Graph:
    """Return the graph of a primitive applied to graphs.

    Raises:
        UnknownNameError: there is no primitive of that name.
        LanguageError: the number of arguments or their kinds do not fit.
    """
    called = PRIMITIVES[word]
    if len(args) != called.arity:
        raise LanguageError(f"{word} takes {called.arity} argument(s); got {len(args)}")
    kinds = dict.fromkeys(arg.kind for arg in args if arg.kind is not None)
    if not kinds:
        raise LanguageError(
            f"{word} of numbers alone says nothing about a network; use a statistic"
        )
    if len(kinds) > 1:
        names = " and ".join(kind.__name__ for kind in kinds)
        raise LanguageError(f"the arguments of {word} have one kind; got {names}")
    (kind,) = kinds
    if kind not in called.kinds:
        takes = ", ".join(fitting.__name__ for fitting in called.kinds)
        raise LanguageError(f"{word} takes {takes}; got {kind.__name__}")
    if any(arg.kind is None for arg in args) and called.kinds != KINDS:
        raise LanguageError(
            f"{word} takes no numbers, only {', '.join(k.__name__ for k in called.kinds)}"
        )
    if called.commutative:
        args = tuple(sorted(args, key=lambda arg: arg.text))
    return _intern(word, args, called.result(kind))


def check_root(graph: Graph) -> Graph:
    """Return `graph` if it is a proxy: one number a network.

    Raises:
        LanguageError: it is of another kind.
    """
    if graph.kind is not Network:
        kind = graph.kind.__name__ if graph.kind else "a number"
        raise LanguageError(
            f"a proxy is one number a network, but {short(graph.text)!r} is {kind}; "
            "reduce it, for example sum(...) once to layers and once more to the network"
        )
    return graph


def from_json(data: Mapping[str, Any]) -> Graph:
    """Return the graph that `Graph.to_json` described.

    Raises:
        LanguageError: the data is not of that form, newer than this version of autoprox, or of an
            expression that is longer or deeper than one may be.
        UnknownNameError: a word is unknown.
    """
    try:
        version, listed = data["version"], data["nodes"]
    except (KeyError, TypeError):
        raise LanguageError("the JSON of a graph has the keys 'version' and 'nodes'") from None
    if version != JSON_VERSION:
        raise LanguageError(
            f"the graph is of JSON version {short(repr(version))}; "
            f"this autoprox reads {JSON_VERSION}"
        )
    nodes: list[Graph] = []
    depths: list[int] = []
    try:
        for word, *places in listed:
            if any(type(at) is not int or not 0 <= at < len(nodes) for at in places):
                raise LanguageError(
                    f"node {len(nodes)} ({short(repr(word))}) refers to {short(repr(places))}: "
                    "not before it"
                )
            depths.append(1 + max(map(depths.__getitem__, places), default=-1))
            if depths[-1] > MAX_DEPTH:
                raise LanguageError(f"an expression is at most {MAX_DEPTH} calls deep")
            nodes.append(apply(word, *map(nodes.__getitem__, places)) if places else atom(word))
            if len(nodes[-1].text) > MAX_TEXT:  # so none is longer than a few times that
                raise LanguageError(f"an expression is at most {MAX_TEXT:,} characters long")
    except (TypeError, ValueError):
        raise LanguageError(
            "each node of a graph is a list: a word, then places of nodes"
        ) from None
    if not nodes:
        raise LanguageError("the graph has no nodes")
    return nodes[-1]


def atom(word: str) -> Graph:
    """Return the graph of a word without arguments: a statistic or the text of a number."""
    try:
        value = float(word)
    except ValueError:
        return leaf(word)
    return number(value)

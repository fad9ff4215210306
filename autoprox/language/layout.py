"""Where the nodes of a drawn graph lie: in layers, the root at the top, with few crossings.

The method is that of Sugiyama, Tagawa and Toda (Methods for Visual Understanding of Hierarchical
System Structures, IEEE Transactions on Systems, Man, and Cybernetics 11, 1981): layers by the
longest way from the root, a point in every layer that an edge passes, layers ordered by the
barycentres of their neighbours, places in the order found. Where pygraphviz is installed, order and
places are those of Graphviz's dot, which does the same with more care (Gansner, Koutsofios, North
and Vo, A Technique for Drawing Directed Graphs, IEEE Transactions on Software Engineering, 1993).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import networkx

SWEEPS = 12
"""How often the layers are ordered, and moved, up and down."""

POINTS = 72
"""Graphviz's lengths are inches, its places points: so many an inch."""

Node = int
Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Layout:
    """The places of a drawn graph.

    Attributes:
        places: the middle of each node.
        ways: for each edge, the points that it passes between its ends, from argument to user.
        width, height: of everything, middles at height 0 for the lowest layer; x = 0 is the middle.
    """

    places: Mapping[Node, Point]
    ways: Mapping[tuple[Node, Node], tuple[Point, ...]]
    width: float
    height: float


def layered(
    view: networkx.DiGraph, widths: Mapping[Node, float], gap: float, step: float
) -> Layout:
    """Return the layout of a graph whose edges run from argument to user.

    Args:
        view: the graph, with one root; nodes are numbered from 0.
        widths: of the nodes.
        gap: between neighbours of one layer.
        step: between layers.
    """
    import networkx

    layers = [list(layer) for layer in networkx.topological_generations(view.reverse())][::-1]
    level = {node: i for i, layer in enumerate(layers) for node in layer}
    chains = _chains(view, layers, level)
    links = networkx.DiGraph()
    links.add_nodes_from(level)
    for edge, passed in chains.items():
        links.add_edges_from(itertools.pairwise([edge[0], *passed, edge[1]]))
    level |= {node: i for i, layer in enumerate(layers) for node in layer}
    sizes = {node: widths.get(node, gap / 2) for node in level}
    xs = _by_graphviz(links, layers, sizes, gap)
    if xs is None:
        _order(links, layers)
        xs = _settled(links, layers, sizes, gap)
    left = min(xs[node] - sizes[node] / 2 for node in widths)
    right = max(xs[node] + sizes[node] / 2 for node in widths)
    points = {node: (xs[node] - (left + right) / 2, level[node] * step) for node in level}
    ways = {edge: tuple(points[node] for node in passed) for edge, passed in chains.items()}
    places = {node: points[node] for node in widths}
    return Layout(places, ways, right - left, (len(layers) - 1) * step)


def _chains(
    view: networkx.DiGraph, layers: list[list[Node]], level: Mapping[Node, int]
) -> dict[tuple[Node, Node], list[Node]]:
    """Put a new node into every layer that an edge passes; return those of each edge."""
    fresh = itertools.count(view.number_of_nodes())
    chains = {}
    for low, high in view.edges:
        passed = [(i, next(fresh)) for i in range(level[low] + 1, level[high])]
        for i, node in passed:
            layers[i].append(node)
        chains[low, high] = [node for _, node in passed]
    return chains


def _by_graphviz(
    links: networkx.DiGraph,
    layers: Sequence[Sequence[Node]],
    sizes: Mapping[Node, float],
    gap: float,
) -> dict[Node, float] | None:
    """Return the places that Graphviz gives the nodes, without an overlap; None without it."""
    try:
        import pygraphviz
    except ImportError:
        return None
    drawn = pygraphviz.AGraph(directed=True, rankdir="BT", nodesep=gap / POINTS)
    box = {"shape": "box", "fixedsize": True, "label": "", "height": gap / POINTS}
    for node, size in sizes.items():
        drawn.add_node(node, width=size / POINTS, **box)
    drawn.add_edges_from(links.edges)
    drawn.layout("dot")
    middles = {node: float(drawn.get_node(node).attr["pos"].split(",")[0]) for node in sizes}
    xs: dict[Node, float] = {}
    for layer in layers:
        ordered = sorted(layer, key=middles.__getitem__)
        wished = [middles[node] for node in ordered]
        places = apart(wished, [sizes[node] for node in ordered], gap)
        xs |= dict(zip(ordered, places, strict=True))
    return xs


def _order(links: networkx.DiGraph, layers: list[list[Node]]) -> None:
    """Order each layer so that few edges cross."""
    best, fewest = [list(layer) for layer in layers], crossings(links, layers)
    for sweep in range(SWEEPS):
        upwards = sweep % 2 == 0
        near = links.pred if upwards else links.succ
        for above, layer in itertools.pairwise(layers if upwards else layers[::-1]):
            layer[:] = _by_barycentre(layer, above, near)
        crossed = crossings(links, layers)
        if crossed < fewest:
            best, fewest = [list(layer) for layer in layers], crossed
    layers[:] = best


def _by_barycentre(
    layer: Sequence[Node], above: Sequence[Node], near: Mapping[Node, Iterable[Node]]
) -> list[Node]:
    """Return a layer in the order of the mean places of the neighbours in the one before."""
    place = {node: i for i, node in enumerate(above)}
    wish = {node: _mean([place[other] for other in near[node]], i) for i, node in enumerate(layer)}
    return sorted(layer, key=wish.__getitem__)


def crossings(links: networkx.DiGraph, layers: Sequence[Sequence[Node]]) -> int:
    """Return how many pairs of edges between neighbouring layers cross."""
    count = 0
    for low, high in itertools.pairwise(layers):
        below = {node: i for i, node in enumerate(low)}
        above = {node: i for i, node in enumerate(high)}
        edges = [(below[node], above[user]) for node in low for user in links.succ[node]]
        count += sum((a - c) * (b - d) < 0 for (a, b), (c, d) in itertools.combinations(edges, 2))
    return count


def _mean(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _settled(
    links: networkx.DiGraph,
    layers: Sequence[Sequence[Node]],
    sizes: Mapping[Node, float],
    gap: float,
) -> dict[Node, float]:
    """Return places near those of the neighbours, in the layers' order, without an overlap."""
    xs = {node: 0.0 for layer in layers for node in layer}
    for sweep in range(8 * SWEEPS):
        for layer in layers if sweep % 2 else reversed(layers):
            wished = [
                _mean([xs[near] for near in (*links.pred[node], *links.succ[node])], xs[node])
                for node in layer
            ]
            xs |= dict(zip(layer, apart(wished, [sizes[node] for node in layer], gap), strict=True))
    return xs


def apart(wished: Sequence[float], widths: Sequence[float], gap: float) -> list[float]:
    """Return places in the given order that keep boxes apart, nearest to the wished ones.

    Least squares under an order: boxes that would overlap form a block at the mean of its wishes.

    >>> apart([0.0, 0.0], [1.0, 1.0], 0.5)
    [-0.75, 0.75]
    """
    offsets = [0.0]
    for left, right in itertools.pairwise(widths):
        offsets.append(offsets[-1] + (left + right) / 2 + gap)
    blocks: list[tuple[float, int]] = []
    for wish, offset in zip(wished, offsets, strict=True):
        blocks.append((wish - offset, 1))
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            (a, first), (b, second) = blocks[-2:]
            blocks[-2:] = [((a * first + b * second) / (first + second), first + second)]
    starts = [at for at, members in blocks for _ in range(members)]
    return [at + offset for at, offset in zip(starts, offsets, strict=True)]

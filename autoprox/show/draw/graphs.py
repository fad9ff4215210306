"""The graph of a proxy: the root at the top, its statistics at the bottom."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoprox.language.graph import Graph
from autoprox.language.layout import Layout, Place, layered
from autoprox.proxies.proxy import Proxy
from autoprox.runtime.arguments import printable
from autoprox.show.draw.style import (
    BLUE,
    GREEN,
    GREY,
    VERMILION,
    blank_figure,
    check_path,
    figure_of,
    matplotlib,
    rendered,
    write,
)

if TYPE_CHECKING:
    import networkx
    from matplotlib.axes import Axes
    from matplotlib.patches import Patch

LAYER_STEP, GAP, BORDER = 0.92, 0.3, 0.12
"""Inches: between layers, between boxes of one layer, around everything."""
LETTER, MARGIN, BOX_HEIGHT, SLANT = 0.092, 0.34, 0.46, 0.14
"""Inches: a letter's width, the room around a box's words, its height, how far a side leans."""
ASIDE, BELOW = 0.1, 0.19
"""Inches: from the end of a line to its numbers."""


@dataclass(frozen=True, slots=True)
class Look:
    """How the nodes of one form are drawn.

    The shapes tell the forms apart without any colour.

    Attributes:
        fill: the colour of the box.
        edge: the colour of its line.
        lean: how far the ends of the lower left, upper left, upper right and lower right corners
            lie inside the box, in units of `SLANT`; None for a pill.
        pointed: whether the sides have a point half-way up.
    """

    fill: str
    edge: str
    lean: tuple[float, float, float, float] | None = (0, 0, 0, 0)
    pointed: bool = False


LOOKS: Mapping[str, Look] = {
    "statistic": Look("#d6ebf8", BLUE, None),
    "number": Look("#f2f2f2", "#7f7f7f", None),
    "elementwise": Look("#ffffff", "#4d4d4d"),
    "normalisation": Look("#fdebc8", "#b87700", (1, 1, 1, 1), pointed=True),
    "reduction": Look("#d3efe5", GREEN, (0, 1.2, 1.2, 0)),
    "selector": Look("#f6dfec", "#a8487f", (0, 1, 0, 1)),
}
ROOT_EDGE = VERMILION
"""The line of the root."""


@dataclass(frozen=True, slots=True)
class Note:
    """What a node shows instead of its kind.

    Attributes:
        text: below its word.
        fill: the colour of its box, on which black can be read.
    """

    text: str
    fill: str | tuple[float, float, float]


def draw(source: Graph | Proxy, axes: Axes | None = None, title: str | None = None) -> Axes:
    """Draw the graph of a proxy.

    Args:
        source: a graph of any kind, or a proxy.
        axes: where to draw; a new figure of a fitting size if None.
        title: above the picture; the name of a proxy that has one if None.

    Raises:
        AutoproxError: matplotlib is not installed.
    """
    graph = source.graph if isinstance(source, Proxy) else source
    if title is None:
        title = source.name if isinstance(source, Proxy) else ""
    return draw_graph(graph, axes, title, {})


def draw_graph(graph: Graph, axes: Axes | None, title: str, notes: Mapping[str, Note]) -> Axes:
    """Draw a graph, some nodes with a note, which is found by the node's text; see `draw`."""
    matplotlib()
    view = graph.to_networkx()
    widths = {node: box_width(data) for node, data in view.nodes(data=True)}
    laid = layered(view, widths, GAP, LAYER_STEP)
    width, height = laid.width + 2 * BORDER, laid.height + BOX_HEIGHT + 2 * BORDER
    if axes is None:
        above = 0.4 if title else 0.0
        figure = blank_figure(width, height + above)
        axes = figure.add_axes((0, 0, 1, height / (height + above)))
    axes.set_xlim(-width / 2, width / 2)
    axes.set_ylim(-BOX_HEIGHT / 2 - BORDER, laid.height + BOX_HEIGHT / 2 + BORDER)
    axes.set_aspect("equal")
    axes.set_axis_off()
    for node in view.nodes:
        for line in arguments(view, laid, node):
            _draw_argument(axes, line)
    for place, node in enumerate(graph):
        look = LOOKS[view.nodes[place]["form"]]
        kind = view.nodes[place]["kind"]
        note = notes.get(node.text)
        box = _box(laid.places[place], widths[place], look)
        edge, line_width = (ROOT_EDGE, 2.2) if node is graph else (look.edge, 1.2)
        fill = note.fill if note else look.fill
        box.set(facecolor=fill, edgecolor=edge, linewidth=line_width, zorder=2)
        axes.add_patch(box)
        _write_node(axes, laid.places[place], node.word, kind, note)
    if title:
        shown = printable(title).encode(errors="replace").decode()  # fonts have no surrogates
        axes.set_title(shown, fontsize=11)
    return axes


def box_width(data: Mapping[str, Any]) -> float:
    """Return the width of a node's box: its word's or its kind's, and room for slanting sides."""
    lean = LOOKS[data["form"]].lean or (0.5,)
    words = max(LETTER * len(data["word"]), 0.62 * LETTER * len(data["kind"]))
    return float(MARGIN + words + SLANT * max(lean))


@dataclass(frozen=True, slots=True)
class Argument:
    """A line of a drawn graph, from an argument up to what uses it.

    Attributes:
        points: its ends, and what it passes between them.
        numbers: the argument's places where order matters, such as ``"1, 2"``; else nothing.
        side: on which side of the upper end the numbers stand: 1 for the right, -1 for the left.
    """

    points: tuple[Place, ...]
    numbers: str
    side: int

    @property
    def curve(self) -> list[tuple[Place, ...]]:
        """Its parts after the first point: ends of straight lines, or three points of a Bezier."""
        if len(self.points) == 2:
            return [self.points[1:]]
        pairs = itertools.pairwise(self.points)
        return [
            ((x0, (y0 + y1) / 2), (x1, (y0 + y1) / 2), (x1, y1)) for (x0, y0), (x1, y1) in pairs
        ]


def arguments(view: networkx.DiGraph, laid: Layout, user: int) -> list[Argument]:
    """Return the lines from the arguments of a node, from left to right."""
    x, y = laid.places[user]
    data = view.nodes[user]
    entries = {arg: (laid.ways[arg, user] or (laid.places[arg],))[-1][0] for arg in view.pred[user]}
    spread = min(0.5 * box_width(data), 0.5) if len(entries) > 1 else 0.0
    lines = []
    for slot, arg in enumerate(sorted(entries, key=entries.__getitem__)):
        share = slot / (len(entries) - 1) - 0.5 if spread else 0.0
        end = (x + spread * share, y - BOX_HEIGHT / 2)
        start = (laid.places[arg][0], laid.places[arg][1] + BOX_HEIGHT / 2)
        positions = view.edges[arg, user]["places"]
        numbered = _order_matters(data["word"]) or len(positions) > 1
        numbers = ", ".join(str(place + 1) for place in positions) if numbered else ""
        side = 1 if entries[arg] <= end[0] else -1
        lines.append(Argument((start, *laid.ways[arg, user], end), numbers, side))
    return lines


def _draw_argument(axes: Axes, line: Argument) -> None:
    """Draw an arrow, straight or smooth and upright at each point, with its numbers."""
    from matplotlib.patches import FancyArrowPatch
    from matplotlib.path import Path as Curve

    vertices, codes = [line.points[0]], [Curve.MOVETO]
    for part in line.curve:
        vertices += part
        codes += [Curve.LINETO if len(part) == 1 else Curve.CURVE4] * len(part)
    arrow = FancyArrowPatch(
        path=Curve(vertices, codes), arrowstyle="-|>", mutation_scale=9, color=GREY, linewidth=1.0
    )
    axes.add_patch(arrow)
    if line.numbers:
        x, y = line.points[-1]
        place = (x + ASIDE * line.side, y - BELOW)
        axes.text(*place, line.numbers, fontsize=7, color=GREY, ha="center")


def _order_matters(word: str) -> bool:
    from autoprox.primitives import PRIMITIVES

    made = PRIMITIVES[word]
    return made.arity > 1 and not made.commutative


def _write_node(axes: Axes, place: Place, word: str, kind: str, note: Note | None) -> None:
    """Write a node's word and below it, smaller, its note or else its kind."""
    (x, y), below = place, note.text if note else kind
    look: dict[str, Any] = {"ha": "center", "va": "center", "zorder": 3}
    axes.text(x, y + (0.06 if below else 0.0), word, fontsize=10, **look)
    size, colour = (7.5, "black") if note else (6, "#4d4d4d")
    axes.text(x, y - 0.13, below, fontsize=size, color=colour, **look)


def _box(place: Place, width: float, look: Look) -> Patch:
    """Return the outline of a node."""
    from matplotlib.patches import FancyBboxPatch, Polygon

    corners = outline(place, width, look)
    if corners:
        return Polygon(corners, closed=True, joinstyle="round")
    (x, y), half = place, BOX_HEIGHT / 2
    style = f"round,pad=0,rounding_size={half}"
    return FancyBboxPatch((x - width / 2, y - half), width, BOX_HEIGHT, boxstyle=style)


def outline(place: Place, width: float, look: Look) -> list[Place]:
    """Return the corners of a node's box; none for a pill."""
    if look.lean is None:
        return []
    (x, y), half = place, BOX_HEIGHT / 2
    left, right = x - width / 2, x + width / 2
    lower_left, upper_left, upper_right, lower_right = (SLANT * lean for lean in look.lean)
    corners = [(left + lower_left, y - half), (left + upper_left, y + half)]
    corners += [(right - upper_right, y + half), (right - lower_right, y - half)]
    if look.pointed:
        corners = [corners[0], (left, y), *corners[1:3], (right, y), corners[3]]
    return corners


def svg(source: Graph | Proxy) -> str:
    """Return the drawn graph as SVG."""
    return rendered(figure_of(draw(source)), ".svg").decode()


def save(source: Graph | Proxy, path: str | Path, title: str | None = None) -> None:
    """Draw the graph into a file, whole or not at all.

    Raises:
        AutoproxError: the name ends with neither .svg nor .png, or matplotlib is not installed.
        RunError: the file cannot be written.
    """
    check_path(path)
    write(draw(source, title=title), path)

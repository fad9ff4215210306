"""The picture of a graph, for whoever draws it: boxes and lines, the root at the top.

Lengths are pixels, from the upper left corner to the right and down.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from autoprox.language.graph import Graph
from autoprox.language.layout import Layout, Point, layered
from autoprox.primitives import PRIMITIVES

if TYPE_CHECKING:
    import networkx

LAYER_STEP, GAP, BORDER = 92.0, 30.0, 12.0
"""Between layers, between boxes of one layer, around everything."""
LETTER, MARGIN, BOX_HEIGHT, SLANT = 9.2, 34.0, 46.0, 14.0
"""A letter's width, the room around a box's words, its height, how far a side leans."""
ASIDE, BELOW = 10.0, 19.0
"""From the end of a line to its numbers."""
HEAD = (3.5, 10.0)
"""Half the width and the length of an arrow's head."""

INK, GREY, ROOT_EDGE = "#1b1f24", "#6b7280", "#d55e00"
"""The colours of words, of lines with their numbers, and of the root's outline."""


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
    "statistic": Look("#d6ebf8", "#0072b2", None),
    "number": Look("#f2f2f2", "#7f7f7f", None),
    "elementwise": Look("#ffffff", "#4d4d4d"),
    "normalisation": Look("#fdebc8", "#b87700", (1, 1, 1, 1), pointed=True),
    "reduction": Look("#d3efe5", "#009e73", (0, 1.2, 1.2, 0)),
    "selector": Look("#f6dfec", "#a8487f", (0, 1, 0, 1)),
}


@dataclass(frozen=True, slots=True)
class Box:
    """A node of a picture.

    Attributes:
        node: what it stands for.
        kind: the name of its kind; empty for a number.
        look: of its form.
        place: its middle.
        width: of the box.
        root: whether the node is the whole graph.
    """

    node: Graph
    kind: str
    look: Look
    place: Point
    width: float
    root: bool

    @property
    def corners(self) -> list[Point]:
        """The corners of its outline; none for a pill."""
        if self.look.lean is None:
            return []
        (x, y), half = self.place, BOX_HEIGHT / 2
        left, right = x - self.width / 2, x + self.width / 2
        lower_left, upper_left, upper_right, lower_right = (SLANT * a for a in self.look.lean)
        corners = [(left + lower_left, y + half), (left + upper_left, y - half)]
        corners += [(right - upper_right, y - half), (right - lower_right, y + half)]
        if self.look.pointed:
            corners = [corners[0], (left, y), *corners[1:3], (right, y), corners[3]]
        return corners


@dataclass(frozen=True, slots=True)
class Arrow:
    """A line of a picture, from an argument up to what uses it.

    Attributes:
        points: its ends, and what it passes between them.
        numbers: the argument's places where order matters, such as ``"1, 2"``; else nothing.
        side: on which side of the upper end the numbers stand: 1 for the right, -1 for the left.
    """

    points: tuple[Point, ...]
    numbers: str
    side: int

    @property
    def curve(self) -> list[tuple[Point, ...]]:
        """Its parts after the first point: ends of straight lines, or three points of a Bezier."""
        if len(self.points) == 2:
            return [self.points[1:]]
        pairs = itertools.pairwise(self.points)
        return [
            ((x0, (y0 + y1) / 2), (x1, (y0 + y1) / 2), (x1, y1)) for (x0, y0), (x1, y1) in pairs
        ]

    @property
    def head(self) -> list[Point]:
        """The corners of the arrow's head, its tip first."""
        x, y = self.points[-1]
        x0, y0 = self.points[0] if len(self.points) == 2 else self.curve[-1][1]
        distance = ((x - x0) ** 2 + (y - y0) ** 2) ** 0.5
        along, across = (x - x0) / distance, (y - y0) / distance
        half, length = HEAD
        foot = (x - length * along, y - length * across)
        sides = [(foot[0] - s * half * across, foot[1] + s * half * along) for s in (1, -1)]
        return [(x, y), *sides]

    @property
    def number_place(self) -> Point:
        """The middle of the numbers' lower edge."""
        x, y = self.points[-1]
        return x + ASIDE * self.side, y + BELOW


@dataclass(frozen=True, slots=True)
class Picture:
    """A drawn graph.

    Attributes:
        boxes: its nodes, arguments before their users.
        lines: from arguments to users.
        width, height: of everything.
    """

    boxes: tuple[Box, ...]
    lines: tuple[Arrow, ...]
    width: float
    height: float


def picture(graph: Graph) -> Picture:
    """Return the picture of a graph of any kind."""
    view = graph.to_networkx()
    widths = {node: box_width(data) for node, data in view.nodes(data=True)}
    laid = layered(view, widths, GAP, LAYER_STEP)
    width, height = laid.width + 2 * BORDER, laid.height + BOX_HEIGHT + 2 * BORDER

    def at(place: Point) -> Point:  # heights of a layout grow upwards
        return place[0] + width / 2, height - BORDER - BOX_HEIGHT / 2 - place[1]

    at_places = {node: at(place) for node, place in laid.places.items()}
    ways = {edge: tuple(map(at, way)) for edge, way in laid.ways.items()}
    laid = Layout(at_places, ways, width, height)
    boxes = tuple(
        Box(node, data["kind"], LOOKS[data["form"]], laid.places[i], widths[i], node is graph)
        for (i, data), node in zip(view.nodes(data=True), graph, strict=True)
    )
    lines = tuple(line for node in view.nodes for line in _lines(view, laid, node))
    return Picture(boxes, lines, width, height)


def box_width(data: Mapping[str, Any]) -> float:
    """Return the width of a node's box: its word's or its kind's, and room for slanting sides."""
    lean = LOOKS[data["form"]].lean or (0.5,)
    words = max(LETTER * len(data["word"]), 0.62 * LETTER * len(data["kind"]))
    return float(MARGIN + words + SLANT * max(lean))


def _lines(view: networkx.DiGraph, laid: Layout, user: int) -> list[Arrow]:
    """Return the lines from the arguments of a node, from left to right."""
    x, y = laid.places[user]
    data = view.nodes[user]
    entries = {arg: (laid.ways[arg, user] or (laid.places[arg],))[-1][0] for arg in view.pred[user]}
    spread = min(0.5 * box_width(data), 50.0) if len(entries) > 1 else 0.0
    lines = []
    for slot, arg in enumerate(sorted(entries, key=entries.__getitem__)):
        share = slot / (len(entries) - 1) - 0.5 if spread else 0.0
        end = (x + spread * share, y + BOX_HEIGHT / 2)
        start = (laid.places[arg][0], laid.places[arg][1] - BOX_HEIGHT / 2)
        positions = view.edges[arg, user]["places"]
        numbered = _order_matters(data["word"]) or len(positions) > 1
        numbers = ", ".join(str(place + 1) for place in positions) if numbered else ""
        side = 1 if entries[arg] <= end[0] else -1
        lines.append(Arrow((start, *laid.ways[arg, user], end), numbers, side))
    return lines


def _order_matters(word: str) -> bool:
    return PRIMITIVES[word].arity > 1 and not PRIMITIVES[word].commutative

"""The graph of a proxy as SVG in which each node says what it is."""

from __future__ import annotations

from autoprox.language.graph import Graph
from autoprox.language.layout import Place, layered
from autoprox.runtime.markup import Markup, join, tag
from autoprox.show.draw.graphs import (
    ASIDE,
    BELOW,
    BORDER,
    BOX_HEIGHT,
    GAP,
    LAYER_STEP,
    LOOKS,
    Argument,
    arguments,
    box_width,
    outline,
)
from autoprox.show.page.glossary import meaning

SCALE = 100.0
"""Pixels an inch of the drawing."""
HEAD = (0.035, 0.1)
"""Inches: half the width and the length of an arrow's head."""


def draw(graph: Graph) -> Markup:
    """Return the drawn graph: the root at the top, its statistics at the bottom."""
    view = graph.to_networkx()
    widths = {node: box_width(data) for node, data in view.nodes(data=True)}
    laid = layered(view, widths, GAP, LAYER_STEP)
    width, height = laid.width + 2 * BORDER, laid.height + BOX_HEIGHT + 2 * BORDER
    top = laid.height + BOX_HEIGHT / 2 + BORDER
    parts = [_line(line, top) for node in view.nodes for line in arguments(view, laid, node)]
    for place, node in reversed(list(enumerate(graph.nodes()))):  # the root is read first
        form = view.nodes[place]["form"]
        parts.append(_node(node, form, laid.places[place], widths[place], top, node is graph))
    box = f"{-width / 2 * SCALE:.1f} 0 {width * SCALE:.1f} {height * SCALE:.1f}"
    name = f"Graph of {graph.text}"
    return tag("svg", *parts, viewBox=box, width=width * SCALE, role="group", aria_label=name,
               class_="graph")  # fmt: skip


def _pixels(place: Place, top: float) -> Place:
    """Return a place of the layout, whose heights grow upwards, in pixels, which grow downwards."""
    return place[0] * SCALE, (top - place[1]) * SCALE


def _points(places: list[Place], top: float) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in (_pixels(place, top) for place in places))


def _line(drawn: Argument, top: float) -> Markup:
    """Return an arrow with its numbers."""
    parts = [f"M{_points([drawn.points[0]], top)}"]
    parts += [("L" if len(part) == 1 else "C") + _points(list(part), top) for part in drawn.curve]
    before = drawn.points[0] if len(drawn.points) == 2 else drawn.curve[-1][1]
    shown = [tag("path", d="".join(parts), class_="edge")]
    shown.append(
        tag("polygon", points=_points(_head(before, drawn.points[-1]), top), class_="head")
    )
    if drawn.numbers:
        end_x, end_y = drawn.points[-1]
        x, y = _pixels((end_x + ASIDE * drawn.side, end_y - BELOW), top)
        shown.append(tag("text", drawn.numbers, x=x, y=y, class_="number"))
    return join(shown)


def _head(before: Place, end: Place) -> list[Place]:
    """Return the corners of the head of an arrow that comes from `before`."""
    (x0, y0), (x, y), (half, length) = before, end, HEAD
    distance = ((x - x0) ** 2 + (y - y0) ** 2) ** 0.5 or 1.0
    along, across = (x - x0) / distance, (y - y0) / distance
    foot = (x - length * along, y - length * across)
    sides = [(foot[0] + s * half * across, foot[1] - s * half * along) for s in (1, -1)]
    return [end, *sides]


def _node(node: Graph, form: str, place: Place, width: float, top: float, root: bool) -> Markup:
    """Return a box with its word and kind, and what it means for hover, focus and readers."""
    x, y = _pixels(place, top)
    corners = outline(place, width, LOOKS[form])
    if corners:
        box = tag("polygon", points=_points(corners, top))
    else:
        height, wide = BOX_HEIGHT * SCALE, width * SCALE
        box = tag("rect", x=x - wide / 2, y=y - height / 2, width=wide, height=height,
                  rx=height / 2)  # fmt: skip
    kind = node.kind.__name__ if node.kind else ""
    word = tag("text", node.word, x=x, y=y + (-2.0 if kind else 5.0), class_="word")
    below = tag("text", kind, x=x, y=y + 15.0, class_="kind")
    told = meaning(node)
    class_ = f"node form-{form}" + (" root" if root else "")
    return tag("g", tag("title", told), box, word, below, class_=class_, tabindex=0, role="img",
               aria_label=told)  # fmt: skip


def looks() -> str:
    """Return the colours of the boxes as style rules."""
    return "\n".join(
        f".form-{form} {{ --fill: {look.fill}; --edge: {look.edge}; }}"
        for form, look in LOOKS.items()
    )

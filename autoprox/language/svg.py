"""The drawn graph of a proxy as SVG, which needs nothing beside itself.

Its looks are attributes, which hold wherever the style of a page says nothing else of its classes:
``graph``, ``node`` and ``root`` with ``word`` and ``kind``, ``edge``, ``head`` and ``number``. The
colour of a node is that of its outline.
"""

from __future__ import annotations

from collections.abc import Iterable

from autoprox.language.glossary import meaning
from autoprox.language.graph import Graph
from autoprox.language.layout import Point
from autoprox.language.picture import BOX_HEIGHT, GREY, INK, ROOT_EDGE, Arrow, Box, picture
from autoprox.runtime.markup import Markup, join, tag

TITLE = 30.0
"""Pixels: the height of a title."""


def to_svg(graph: Graph, title: str = "") -> Markup:
    """Return a graph of any kind as an SVG document, in which each node says what it means."""
    drawn = picture(graph)
    parts = [_line(line) for line in drawn.lines]
    parts += map(_node, reversed(drawn.boxes))  # the root is read first
    top = TITLE if title else 0.0
    heading = tag("text", title, x=drawn.width / 2, y=-8.0, font_size=15, fill=INK)
    width, height = drawn.width, drawn.height + top
    return tag("svg", *([heading] if title else []), *parts, xmlns="http://www.w3.org/2000/svg",
               viewBox=f"0 {-top:.1f} {width:.1f} {height:.1f}", width=width, height=height,
               role="group", aria_label=f"Graph of {graph.text}", class_="graph",
               font_family="system-ui, sans-serif", text_anchor="middle")  # fmt: skip


def _points(places: Iterable[Point]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in places)


def _line(line: Arrow) -> Markup:
    """Return an arrow with its numbers."""
    curve = "".join(("L" if len(part) == 1 else "C") + _points(part) for part in line.curve)
    parts = [
        tag("path", d=f"M{_points(line.points[:1])}{curve}", class_="edge", fill="none",
            stroke=GREY, stroke_width=1.3),
        tag("polygon", points=_points(line.head), class_="head", fill=GREY),
    ]  # fmt: skip
    if line.numbers:
        x, y = line.number_place
        parts.append(tag("text", line.numbers, x=x, y=y, class_="number", font_size=10, fill=GREY))
    return join(parts)


def _node(box: Box) -> Markup:
    """Return a box with its word and kind, and what it means for hover, focus and readers."""
    x, y = box.place
    if box.corners:
        outline = tag("polygon", points=_points(box.corners))
    else:
        outline = tag("rect", x=x - box.width / 2, y=y - BOX_HEIGHT / 2, width=box.width,
                      height=BOX_HEIGHT, rx=BOX_HEIGHT / 2)  # fmt: skip
    texts = [tag("text", box.node.word, y=y + (-2 if box.kind else 5), class_="word", x=x,
                 font_size=14, fill=INK, stroke="none")]  # fmt: skip
    if box.kind:
        texts.append(tag("text", box.kind, x=x, y=y + 15, class_="kind", font_size=9.5, fill=INK,
                         stroke="none"))  # fmt: skip
    explanation = meaning(box.node)
    return tag("g", tag("title", explanation), outline, *texts,
               class_="node root" if box.root else "node", color=box.look.edge, fill=box.look.fill,
               stroke=ROOT_EDGE if box.root else "currentColor",
               stroke_width=2.8 if box.root else 1.5, stroke_linejoin="round", tabindex=0,
               role="img", aria_label=explanation)  # fmt: skip

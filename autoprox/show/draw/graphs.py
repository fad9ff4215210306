"""The graph of a proxy on matplotlib's axes; as SVG it needs no matplotlib: `language.svg`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoprox.language.graph import Graph
from autoprox.language.picture import BOX_HEIGHT, GREY, ROOT_EDGE, Arrow, Box, picture
from autoprox.language.svg import to_svg
from autoprox.proxies.proxy import Proxy
from autoprox.runtime.arguments import printable
from autoprox.runtime.files import write_text
from autoprox.show.draw.style import blank_figure, check_path, matplotlib, write

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.patches import Patch

PIXELS = 100
"""Of a picture of a graph, in an inch of a figure."""


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
    return draw_graph(*_named(source, title), axes, {})


def _named(source: Graph | Proxy, title: str | None) -> tuple[Graph, str]:
    """Return the graph and the title of its picture."""
    if isinstance(source, Proxy):
        return source.graph, source.name if title is None else title
    return source, title or ""


def draw_graph(graph: Graph, title: str, axes: Axes | None, notes: Mapping[str, Note]) -> Axes:
    """Draw a graph, some nodes with a note, which is found by the node's text; see `draw`."""
    matplotlib()
    drawn = picture(graph)
    if axes is None:
        width, height = drawn.width / PIXELS, drawn.height / PIXELS
        above = 0.4 if title else 0.0
        figure = blank_figure(width, height + above)
        axes = figure.add_axes((0, 0, 1, height / (height + above)))
    axes.set_xlim(0, drawn.width)
    axes.set_ylim(drawn.height, 0)
    axes.set_aspect("equal")
    axes.set_axis_off()
    for line in drawn.lines:
        _draw_line(axes, line)
    for box in drawn.boxes:
        _draw_box(axes, box, notes.get(box.node.text))
    if title:
        shown = printable(title).encode(errors="replace").decode()  # fonts have no surrogates
        axes.set_title(shown, fontsize=11)
    return axes


def _draw_line(axes: Axes, line: Arrow) -> None:
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
        axes.text(*line.number_place, line.numbers, fontsize=7, color=GREY, ha="center")


def _draw_box(axes: Axes, box: Box, note: Note | None) -> None:
    """Draw a node with its word and below it, smaller, its note or else its kind."""
    edge, line_width = (ROOT_EDGE, 2.2) if box.root else (box.look.edge, 1.2)
    fill = note.fill if note else box.look.fill
    outline = _outline(box)
    outline.set(facecolor=fill, edgecolor=edge, linewidth=line_width, zorder=2)
    axes.add_patch(outline)
    (x, y), below = box.place, note.text if note else box.kind
    look: dict[str, Any] = {"ha": "center", "va": "center", "zorder": 3}
    axes.text(x, y - (6 if below else 0), box.node.word, fontsize=10, **look)
    size, colour = (7.5, "black") if note else (6, "#4d4d4d")
    axes.text(x, y + 13, below, fontsize=size, color=colour, **look)


def _outline(box: Box) -> Patch:
    """Return the outline of a node."""
    from matplotlib.patches import FancyBboxPatch, Polygon

    if box.corners:
        return Polygon(box.corners, closed=True, joinstyle="round")
    (x, y), half = box.place, BOX_HEIGHT / 2
    style = f"round,pad=0,rounding_size={half}"
    return FancyBboxPatch((x - box.width / 2, y - half), box.width, BOX_HEIGHT, boxstyle=style)


def save(source: Graph | Proxy, path: str | Path, title: str | None = None) -> None:
    """Draw the graph into a file, whole or not at all; an .svg file needs no matplotlib.

    Raises:
        AutoproxError: the name is none of an .svg, .png or .pdf file, or matplotlib is not
            installed.
        RunError: the file cannot be written.
    """
    if check_path(path) == ".svg":
        write_text(Path(path), to_svg(*_named(source, title)) + "\n")
    else:
        write(draw(source, title=title), path)

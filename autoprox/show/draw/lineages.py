"""The lineage of a proxy: which candidates it was bred from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autoprox.language.graph import Graph
from autoprox.proxies.proxy import Proxy
from autoprox.runs.fitness import fitness_name
from autoprox.runs.lineage import Ancestor
from autoprox.runs.lineage import lineage as lineage_of
from autoprox.show.draw.runs import AnyRun, found_in
from autoprox.show.draw.style import (
    BLUE,
    GREY,
    INK,
    MONOSPACE,
    SMALL,
    VERMILION,
    blank_figure,
    dress,
    shortened,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MEMBERS = 20
"""How many candidates a lineage shows, if nobody says otherwise."""
FORMULA = 70
"""Letters: the longest formula of an ancestor."""
WIDTH, ROW = 2.6, 0.23
"""Inches: of the field of the points, and from one candidate to the next."""


def lineage(
    run: AnyRun,
    proxy: str | Proxy | Graph | None = None,
    *,
    most: int = MEMBERS,
    axes: Axes | None = None,
) -> Axes:
    """Draw a candidate of a run and its nearest ancestors, a line each, the last judged on top.

    The points lie at the fitness on the search split; lines lead from parents to
    offspring. A square has no parents: it was drawn at random, or is a seed proxy.

    Args:
        run: a run, or its folder.
        proxy: a candidate of the run, or its formula; the best one if None.
        most: how many candidates are shown.
        axes: where to draw; a new figure of a fitting size if None.

    Raises:
        RunError: the run cannot be read, has no such candidate, or does not tell parents.
        AutoproxError: matplotlib is not installed.
    """
    record = found_in(run)
    graph = proxy.graph if isinstance(proxy, Proxy) else proxy
    text = graph.text if isinstance(graph, Graph) else graph
    ancestry = lineage_of(record, text, most)
    rows = {member.candidate.text: row for row, member in enumerate(ancestry.members)}
    if axes is None:
        height = ROW * len(rows)
        figure = blank_figure(WIDTH + 5.2, height + 0.9)
        below = 0.55 / (height + 0.9)
        axes = figure.add_axes((0.09, below, WIDTH / (WIDTH + 5.2), height / (height + 0.9)))
    for member in ancestry.members:
        for parent in member.candidate.parents or ():
            if parent in rows:
                _line(axes, ancestry.members[rows[parent]], member, rows)
        _mark(axes, member, rows[member.candidate.text])
    earlier = f", and {ancestry.earlier:,} earlier ancestors" if ancestry.earlier else ""
    orphans = any(not member.candidate.parents for member in ancestry.members)
    squares = "\n(squares have no parents)" if orphans else ""
    across = f"{fitness_name(record.settings)}, search{squares}"
    dress(axes, across, "", f"{record.title}{earlier}", grid="x")
    axes.title.set(ha="left", x=0)
    numbers = [f"{member.candidate.number:,}" for member in ancestry.members]
    axes.set_yticks(range(len(rows)), numbers, fontsize=SMALL)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.margins(x=0.08)
    return axes


def _line(axes: Axes, parent: Ancestor, child: Ancestor, rows: dict[str, int]) -> None:
    """Draw a smooth line from a parent up to its offspring."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    (x0, y0), (x1, y1) = (
        (member.candidate.fitness, rows[member.candidate.text]) for member in (parent, child)
    )
    middle = (y0 + y1) / 2
    curve = Path([(x0, y0), (x0, middle), (x1, middle), (x1, y1)], [1, 4, 4, 4])
    axes.add_patch(PathPatch(curve, fill=False, edgecolor=GREY, linewidth=0.8, alpha=0.6))


def _mark(axes: Axes, member: Ancestor, row: int) -> None:
    """Draw the point of a candidate, and write its formula beside."""
    candidate = member.candidate
    colour = BLUE if member.steps else VERMILION
    marker = "o" if candidate.parents else "s"
    axes.plot(candidate.fitness, row, marker, color=colour, markersize=5, zorder=3)
    axes.text(
        1.03, row, shortened(candidate.text, FORMULA), transform=axes.get_yaxis_transform(),
        family=MONOSPACE, fontsize=SMALL - 1, color=INK, va="center",
    )  # fmt: skip

"""Pictures: of proxies, runs and rankings.

Each function draws on the axes that it is given, or on those of a new figure, and returns them;
`write` puts a picture into a file. The figures are made without pyplot: they need no display.

    >>> from autoprox import load
    >>> from autoprox.show import draw
    >>> axes = draw.draw(load("zico"))
"""

from autoprox.show.draw.graphs import draw, save
from autoprox.show.draw.lineages import lineage
from autoprox.show.draw.parts import ablation, layers
from autoprox.show.draw.rankings import heat_map, scatter
from autoprox.show.draw.runs import history, pareto, words
from autoprox.show.draw.style import write

__all__ = [
    "ablation",
    "draw",
    "heat_map",
    "history",
    "layers",
    "lineage",
    "pareto",
    "save",
    "scatter",
    "words",
    "write",
]

"""What the charts of a run show; `draw.runs` draws them with matplotlib, `page.charts` as SVG."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from autoprox.language.layout import Point
from autoprox.runs.record import HISTORY, Run
from autoprox.show.picks import Pick

JUDGED, NODES = "distinct candidates judged", "nodes of the formula"
"""The names of the horizontal axes."""


def history(run: Run) -> dict[str, list[Point]]:
    """Return the points of each figure of `HISTORY` that has any, over the candidates judged."""
    lines = {
        key: [
            (float(step.evaluations), value)
            for step in run.generations
            if (value := getattr(step, key)) is not None
        ]
        for key in HISTORY
    }
    return {key: points for key, points in lines.items() if points}


def marks(chosen: Sequence[Pick]) -> list[Pick]:
    """Return the proxies of the search whose nodes can be counted, the simplest first."""
    shown = [pick for pick in chosen if not pick.known and pick.complexity is not None]
    return sorted(shown, key=lambda pick: pick.complexity or 0)


def levels(shown: Iterable[Pick]) -> list[float]:
    """Return all correlations of some proxies, on the search split and held out."""
    return [value for pick in shown for value in (pick.search, pick.held_out) if value is not None]


def cloud(run: Run) -> list[Point]:
    """Return all judged candidates, those of one size and nearly one correlation once."""
    return sorted(
        {(float(candidate.complexity), round(candidate.fitness, 3)) for candidate in run.judged}
    )


def front(run: Run) -> list[Point]:
    """Return the corners of the steps of the Pareto front of nodes and correlation."""
    points: list[Point] = []
    for candidate in run.front:
        points += [(candidate.complexity, points[-1][1])] if points else []
        points.append((candidate.complexity, candidate.fitness))
    return points


def around(values: Sequence[float], room: float = 0.08) -> Point:
    """Return the least and the largest of some numbers, with room around them."""
    margin = room * (max(values) - min(values)) or 0.01
    return min(values) - margin, max(values) + margin

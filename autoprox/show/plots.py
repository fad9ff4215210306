"""What the charts of a run show; `draw.runs` draws them with matplotlib, `page.charts` as SVG."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from autoprox.evolution.base import PARSIMONY
from autoprox.language.layout import Point
from autoprox.runs.fitness import is_joint
from autoprox.runs.record import HISTORY, Run
from autoprox.show.picks import Pick

JUDGED, NODES = "distinct candidates judged", "nodes of the formula"
"""The names of the horizontal axes."""

CHOSEN = f"chosen by fitness less {PARSIMONY:g} a node, so it may fall"
"""How the best of a history is chosen, and what a reader might wonder at."""


def figures(run: Run) -> dict[str, str]:
    """Return the figures of `HISTORY` that lie on one axis: what is held out is no fitness."""
    return {key: HISTORY[key] for key in HISTORY if key != "held_out" or is_joint(run.settings)}


def history(run: Run) -> dict[str, list[Point]]:
    """Return the points of each of `figures` that has any, over the candidates judged."""
    lines = {
        key: [
            (float(step.evaluations), value)
            for step in run.generations
            if (value := getattr(step, key)) is not None
        ]
        for key in figures(run)
    }
    return {key: points for key, points in lines.items() if points}


def marks(run: Run, chosen: Sequence[Pick]) -> list[Pick]:
    """Return the proxies of the search whose nodes can be counted, the simplest first.

    Those of a fitness that is no joint correlation have nothing held out: it has no place on the
    axis of their fitness.
    """
    shown = [pick for pick in chosen if not pick.known and pick.complexity is not None]
    if not is_joint(run.settings):
        shown = [replace(pick, held_out=None) for pick in shown]
    return sorted(shown, key=lambda pick: pick.complexity or 0)


def levels(shown: Iterable[Pick]) -> list[float]:
    """Return the fitness of some proxies, and what they have held out."""
    return [value for pick in shown for value in (pick.fitness, pick.held_out) if value is not None]


def cloud(run: Run) -> list[Point]:
    """Return all judged candidates, those of one size and nearly one fitness once."""
    return sorted(
        {(float(candidate.complexity), round(candidate.fitness, 3)) for candidate in run.judged}
    )


def front(run: Run) -> list[Point]:
    """Return the corners of the steps of the Pareto front of nodes and fitness."""
    points: list[Point] = []
    for candidate in run.front:
        points += [(candidate.complexity, points[-1][1])] if points else []
        points.append((candidate.complexity, candidate.fitness))
    return points


def axis_name(column: str, lower_is_better: bool) -> str:
    """Return what the axis of a column's figures is called."""
    return f"{column} (lower is better)" if lower_is_better else column


def around(values: Sequence[float], room: float = 0.08) -> Point:
    """Return the least and the largest of some numbers, with room around them."""
    margin = room * (max(values) - min(values)) or 0.01
    return min(values) - margin, max(values) + margin

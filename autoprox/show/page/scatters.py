"""The architectures of a run, one by one: where the best proxy places them, target by target."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from autoprox.assessment.wording import figure
from autoprox.runs.record import Run
from autoprox.runs.schemas import Placed
from autoprox.runtime.markup import Markup, join, tag
from autoprox.show import plots
from autoprox.show.page import tables
from autoprox.show.page.charts import Frame, svg, ticks

WORST = 5
"""How many architectures of a target are named as the worst placed."""


@dataclass(frozen=True)
class Standing:
    """Where an architecture stands among those of its space that have a figure for a target.

    Attributes:
        architecture: which one.
        figure: in the target's own unit.
        by_figure, by_score: its places from 1, the best first; those that tie have their mean.
    """

    architecture: Placed
    figure: float
    by_figure: float
    by_score: float

    @property
    def off(self) -> float:
        """How many places the score has it too high; too low if negative."""
        return self.by_figure - self.by_score


def places(run: Run) -> dict[str, list[Standing]]:
    """Return the held-out architectures of each column, ``"space/target"``, the worst placed first.

    Those without a score have the places behind all that have one.
    """
    from scipy.stats import rankdata

    parts: defaultdict[tuple[str, str], list[tuple[Placed, float]]] = defaultdict(list)
    for placed in run.placed:
        for target, value in placed.accuracies.items():
            parts[placed.space, target].append((placed, value))
    columns = {}
    for (space, target), part in parts.items():
        sign = 1 if target in run.lower_is_better else -1
        by_figure = rankdata([sign * value for _, value in part])
        last = float("inf")
        by_score = rankdata([last if row.score is None else -row.score for row, _ in part])
        rows = [
            Standing(placed, value, float(first), float(second))
            for (placed, value), first, second in zip(part, by_figure, by_score, strict=True)
        ]
        columns[f"{space}/{target}"] = sorted(rows, key=lambda row: -abs(row.off))
    return columns


def section(run: Run) -> Markup:
    """Return a scatter chart for each column, and the worst-placed architectures in a table."""
    columns = places(run)
    if not columns:
        return tag("p", "The run does not say how its best proxy scores single architectures.")
    name = run.held_out[0].name
    note = (
        "Each point is a held-out architecture; point at it to read its name. To the right is what "
        f"{name} scores best; orange are the {WORST} that it places worst."
    )
    charts = (
        _chart(plots.axis_name(column, column.rpartition("/")[2] in run.lower_is_better), part)
        for column, part in columns.items()
    )
    rows = (
        tag("tr", tag("th", row.architecture.name, scope="row"), tag("td", column),
            tables.cell(f"{row.figure:g}", row.figure),
            tables.cell(f"{row.by_figure:g}", row.by_figure),
            tables.cell(f"{row.by_score:g}", row.by_score),
            tag("td", row.architecture.config))
        for column, part in columns.items()
        for row in part[:WORST]
    )  # fmt: skip
    caption = f"The architectures that {name} places worst, and their places"
    headings = ("architecture", "target", "figure", "place by figure", "by score", "description")
    drawn = tag("figure", tag("div", *charts, class_="scatters"), tag("figcaption", note))
    return join([drawn, tables.table(caption, headings, rows)])


def _chart(axis: str, rows: Sequence[Standing]) -> Markup:
    """Return the figures over the ranks by score, the best score at the right."""
    count = len(rows)
    frame = Frame((0, count + 1), plots.around([row.figure for row in rows]), right=12)
    parts = [frame.axes("rank by score", axis, ticks(0, count))]
    for place, row in reversed([*enumerate(rows)]):  # the worst are drawn last, on top
        hint = (
            f"{row.architecture.name}: {row.figure:g}, place {row.by_figure:g} of {count} by that "
            f"and {row.by_score:g} by score {figure(row.architecture.score, '.4g')}"
        )
        x, y = frame.at((count + 1 - row.by_score, row.figure))
        class_ = "held-out" if place < WORST else "search"
        parts.append(tag("circle", tag("title", hint), cx=x, cy=y, r=4, class_=class_))
    return svg(join(parts), f"{axis} of {count} architectures over their rank by score")

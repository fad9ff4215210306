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
        accuracy: its figure.
        by_accuracy, by_score: its places from 1, the best first; those that tie have their mean.
    """

    architecture: Placed
    accuracy: float
    by_accuracy: float
    by_score: float

    @property
    def off(self) -> float:
        """How many places the score has it too high; too low if negative."""
        return self.by_accuracy - self.by_score


def places(found: Run) -> dict[str, list[Standing]]:
    """Return the held-out architectures of each column, ``"space/target"``, the worst placed first.

    Those without a score have the places behind all that have one.
    """
    from scipy.stats import rankdata

    parts: defaultdict[str, list[tuple[Placed, float]]] = defaultdict(list)
    for placed in found.placed:
        for target, accuracy in placed.accuracies.items():
            parts[f"{placed.space}/{target}"].append((placed, accuracy))
    columns = {}
    for name, part in parts.items():
        lowest = float("-inf")
        scores = [lowest if placed.score is None else placed.score for placed, _ in part]
        by_accuracy, by_score = (
            rankdata([-value for value in values])
            for values in ([accuracy for _, accuracy in part], scores)
        )
        rows = [
            Standing(placed, accuracy, float(first), float(second))
            for (placed, accuracy), first, second in zip(part, by_accuracy, by_score, strict=True)
        ]
        columns[name] = sorted(rows, key=lambda row: -abs(row.off))
    return columns


def section(found: Run) -> Markup:
    """Return a scatter chart for each column, and the worst-placed architectures in a table."""
    columns = places(found)
    if not columns:
        return tag("p", "The run does not say how its best proxy scores single architectures.")
    name = found.held_out[0].name
    note = (
        "Each point is a held-out architecture; point at it to read its name. To the right is what "
        f"{name} scores best; orange are the {WORST} that it places worst."
    )
    charts = tag("div", *(_chart(*column) for column in columns.items()), class_="scatters")
    rows = (
        tag("tr", tag("th", row.architecture.name, scope="row"), tag("td", column),
            tables.cell(f"{row.accuracy:g}", row.accuracy),
            tables.cell(f"{row.by_accuracy:g}", row.by_accuracy),
            tables.cell(f"{row.by_score:g}", row.by_score),
            tag("td", row.architecture.config))
        for column, part in columns.items()
        for row in part[:WORST]
    )  # fmt: skip
    caption = f"The architectures that {name} places worst, and their places"
    headings = ("architecture", "target", "accuracy", "place by accuracy", "by score",
                "description")  # fmt: skip
    drawn = tag("figure", charts, tag("figcaption", note))
    return join([drawn, tables.table(caption, headings, rows)])


def _chart(column: str, rows: Sequence[Standing]) -> Markup:
    """Return the accuracies over the ranks by score, the best score at the right."""
    count = len(rows)
    frame = Frame((0, count + 1), plots.around([row.accuracy for row in rows]), right=12)
    parts = [frame.axes("rank by score", column, ticks(0, count))]
    for place, row in reversed([*enumerate(rows)]):  # the worst are drawn last, on top
        hint = (
            f"{row.architecture.name}: {row.accuracy:g}, place {row.by_accuracy:g} of {count} by "
            f"accuracy and {row.by_score:g} by score {figure(row.architecture.score, '.4g')}"
        )
        x, y = frame.at((count + 1 - row.by_score, row.accuracy))
        class_ = "held-out" if place < WORST else "search"
        parts.append(tag("circle", tag("title", hint), cx=x, cy=y, r=4, class_=class_))
    name = f"Accuracy of {count} architectures over their rank by score, {column}"
    return svg(join(parts), name)

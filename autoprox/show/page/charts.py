"""The charts of the page as SVG: how the search went, and what complexity buys.

Colours, lines and fonts are classes that the page's style fills in, for light and dark.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from autoprox.assessment.wording import figure
from autoprox.language.layout import Point, apart
from autoprox.runs.fitness import fitness_name, is_joint
from autoprox.runs.record import Run
from autoprox.runtime.markup import Markup, join, tag
from autoprox.show import plots
from autoprox.show.picks import Pick

WIDTH, HEIGHT = 660, 360
LEFT, RIGHT, TOP, BOTTOM = 52, 165, 14, 46
"""Pixels: of a chart, and around its frame. The names of lines stand at the right."""
LINE = 15
"""Pixels: between two lines of text."""
SEPARATION = 11
"""Pixels: between proxies of one size."""


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Return about `count` round numbers from `low` to `high`.

    >>> ticks(0.61, 0.70, 4)
    [0.62, 0.64, 0.66, 0.68, 0.7]
    """
    rough = max(high - low, 1e-9) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = power * min((1, 2, 5, 10), key=lambda m: abs(math.log(m * power / rough)))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(i * step, 10) for i in range(first, last + 1)]


@dataclass(frozen=True, slots=True)
class Frame:
    """The frame of a chart: from numbers to pixels.

    Attributes:
        xs, ys: the least and the largest number on each axis.
        right: pixels at the right of it.
    """

    xs: Point
    ys: Point
    right: int = RIGHT

    def x(self, value: float) -> float:
        """Return the place of a number on the horizontal axis."""
        low, high = self.xs
        return LEFT + (value - low) / (high - low) * (WIDTH - LEFT - self.right)

    def y(self, value: float) -> float:
        """Return the place of a number on the vertical axis."""
        low, high = self.ys
        return HEIGHT - BOTTOM - (value - low) / (high - low) * (HEIGHT - TOP - BOTTOM)

    def at(self, point: Point) -> Point:
        """Return the place of a point."""
        return self.x(point[0]), self.y(point[1])

    def path(self, points: Iterable[Point]) -> str:
        """Return the data of a path of straight lines."""
        return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in map(self.at, points))

    def axes(self, horizontal: str, vertical: str, whole: Sequence[float]) -> Markup:
        """Return grid, numbers and titles; `whole` are the numbers of the horizontal axis."""
        right, bottom = WIDTH - self.right, HEIGHT - BOTTOM
        parts = [
            join([line((LEFT, self.y(v)), (right, self.y(v)), "grid"),
                  label((LEFT - 8, self.y(v) + 4), f"{v:g}", anchor="end")])
            for v in ticks(*self.ys)
        ]  # fmt: skip
        parts += [label((self.x(v), bottom + 18), f"{v:,g}", anchor="middle") for v in whole]
        parts.append(line((LEFT, bottom), (right, bottom), "axis"))
        parts.append(label(((LEFT + right) / 2, HEIGHT - 6), horizontal, anchor="middle"))
        middle = (TOP + bottom) / 2
        turned = f"rotate(-90 12 {middle:.2f})"
        parts.append(label((12, middle), vertical, anchor="middle", transform=turned))
        return join(parts)


def line(start: Point, end: Point, class_: str) -> Markup:
    """Return a straight line."""
    (x1, y1), (x2, y2) = start, end
    return tag("line", x1=float(x1), y1=float(y1), x2=float(x2), y2=float(y2), class_=class_)


def label(place: Point, text: str, anchor: str = "start", **attributes: str) -> Markup:
    """Return text at a place."""
    x, y = place
    return tag("text", text, x=float(x), y=float(y), text_anchor=anchor, **attributes)


def svg(content: str, name: str, role: str = "img") -> Markup:
    """Return a chart; `name` tells those who cannot see it what it shows."""
    return tag("svg", content, viewBox=f"0 0 {WIDTH} {HEIGHT}", role=role, aria_label=name,
               class_="chart", width=WIDTH)  # fmt: skip


CLASSES = {"best": "search", "held_out": "held-out", "median": "median"}
"""The classes of the lines of the history."""


def history(run: Run) -> Markup:
    """Return how fitness went, generation by generation."""
    lines = plots.history(run)
    if not lines:
        return tag("p", "No candidate has a fitness yet.")
    values = [value for points in lines.values() for _, value in points]
    frame = Frame((0, max(run.evaluations, 1)), plots.around(values))
    parts = [frame.axes(plots.JUDGED, fitness_name(run.settings), ticks(0, run.evaluations))]
    for key, points in lines.items():
        parts.append(tag("path", d=frame.path(points), class_=f"line {CLASSES[key]}"))
        parts.append(_disc(frame.at(points[-1]), CLASSES[key]))
    names, last = plots.figures(run), run.generations[-1]
    parts.append(_names({names[key]: frame.at(points[-1]) for key, points in lines.items()}))
    ends = ", ".join(f"{name} {figure(getattr(last, key))}" for key, name in names.items())
    what = "joint correlation" if is_joint(run.settings) else fitness_name(run.settings)
    return svg(join(parts), f"History of the {what}; at the end: {ends}.")


def _disc(place: Point, class_: str) -> Markup:
    x, y = place
    return tag("circle", cx=float(x), cy=float(y), r=4, class_=class_)


def _diamond(place: Point) -> Markup:
    x, y = place
    return tag("path", d=f"M{x:.1f} {y - 5:.1f}l5 5l-5 5l-5 -5z", class_="held-out")


def _names(ends: Mapping[str, Point]) -> Markup:
    """Return names at the right of the frame, beside the ends of their lines but apart."""
    ordered = sorted(ends, key=lambda name: ends[name][1])
    places = apart([ends[name][1] for name in ordered], [LINE] * len(ordered), 0)
    return join(
        label((WIDTH - RIGHT + 8, y + 4), name) for name, y in zip(ordered, places, strict=True)
    )


def pareto(run: Run, chosen: Sequence[Pick]) -> Markup:
    """Return nodes against fitness; each proxy is a link to its place on the page.

    Where the fitness is the joint correlation, so are the held-out figures beside.
    """
    shown, joint = plots.marks(run, chosen), is_joint(run.settings)
    values = plots.levels(shown)
    if not values:
        return tag("p", "No candidate has a fitness yet.")
    rivals = _rivals(chosen) if joint else {}
    rival = max(rivals, key=rivals.__getitem__, default=None)
    if rival is not None:
        values.append(rivals[rival])
    sizes = [pick.complexity or 0 for pick in shown] + [graph.complexity for graph in run.front]
    frame = Frame((min(sizes) - 0.7, max(sizes) + 0.7), plots.around(values))
    whole = [float(size) for size in range(min(sizes), max(sizes) + 1)]
    unit = fitness_name(run.settings)
    parts = [frame.axes(plots.NODES, unit, whole), _cloud(run, frame)]
    if rival is not None:
        parts.append(_level(frame, rivals[rival], f"{rival}, held out"))
    front = [(x, max(y, frame.ys[0])) for x, y in plots.front(run)]
    parts.append(tag("path", d=frame.path(front), class_="front"))
    parts += [_mark(frame, pick, x, unit, joint) for pick, x in _spread(frame, shown)]
    parts.append(_key(joint))
    what = "joint correlation" if joint else unit
    name = f"Nodes of the formula against {what}: each point is a proxy that can be picked"
    return svg(join(parts), name, role="group")


def _rivals(chosen: Sequence[Pick]) -> dict[str, float]:
    """Return the held-out correlations of the known proxies, by their names."""
    return {pick.name: pick.held_out for pick in chosen if pick.known and pick.held_out is not None}


def _cloud(run: Run, frame: Frame) -> Markup:
    """Return all judged candidates that lie in the frame as dots."""
    dots = [
        (x, y)
        for x, y in map(frame.at, plots.cloud(run))
        if LEFT < x < WIDTH - RIGHT and TOP < y < HEIGHT - BOTTOM
    ]
    return tag("path", d="".join(f"M{x:.1f} {y:.1f}h0" for x, y in dots), class_="cloud")


def _level(frame: Frame, value: float, name: str) -> Markup:
    """Return a line across the frame."""
    y = frame.y(value)
    across = line((LEFT, y), (WIDTH - RIGHT, y), "line median")
    return join([across, label((WIDTH - RIGHT + 8, y + 4), name)])


def _spread(frame: Frame, shown: Sequence[Pick]) -> list[tuple[Pick, float]]:
    """Return each proxy with its place; those of one size stand side by side, simplest first."""
    sizes: defaultdict[int, list[Pick]] = defaultdict(list)
    for pick in shown:
        sizes[pick.complexity or 0].append(pick)
    unit = frame.x(1) - frame.x(0)
    placed = []
    for size, group in sorted(sizes.items()):
        gap = min(SEPARATION, 0.8 * unit / len(group))
        placed += [
            (pick, frame.x(size) + gap * (i - (len(group) - 1) / 2)) for i, pick in enumerate(group)
        ]
    return placed


def _mark(frame: Frame, pick: Pick, x: float, unit: str, joint: bool) -> Markup:
    """Return a proxy as a link: a disc for the search split, a diamond for the held-out part.

    Args:
        frame: of the chart.
        pick: the proxy.
        x: its place.
        unit: what the figures are called.
        joint: whether the held-out part has a figure of that kind.
    """
    label_text = (
        f"{pick.name}: {pick.complexity} nodes, {unit} {figure(pick.fitness)} on the search split"
    )
    label_text += f", {figure(pick.held_out)} held out" if joint else ""
    parts = [tag("title", label_text)]
    if pick.fitness is not None and pick.held_out is not None:
        ends = (x, frame.y(pick.fitness)), (x, frame.y(pick.held_out))
        parts.append(line(*ends, "link"))
    if pick.fitness is not None:
        parts.append(_disc((x, frame.y(pick.fitness)), "search"))
    if pick.held_out is not None:
        parts.append(_diamond((x, frame.y(pick.held_out))))
    return tag("a", *parts, href=f"#{pick.anchor}", aria_label=label_text)


def _key(held_out: bool) -> Markup:
    """Return what the marks mean; `held_out`: whether there are such ones."""
    x, y = WIDTH - RIGHT + 14, TOP + 8
    rows = [(_disc((x, y), "search"), "search split")]
    if held_out:
        y += LINE + 4
        rows.append((_diamond((x, y)), "held out"))
    cloud = tag("path", d=f"M{x} {y + LINE + 4}h0", class_="cloud")
    rows.append((cloud, "other candidates"))
    return join(
        join([mark, label((x + 12, TOP + 12 + i * (LINE + 4)), text)])
        for i, (mark, text) in enumerate(rows)
    )

"""What a run did: its history, what complexity buys, and which words its good proxies use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any, TypeAlias

from autoprox.errors import RunError
from autoprox.runs.fitness import fitness_name, is_joint
from autoprox.runs.record import HISTORY, Run
from autoprox.runs.record import read_run as read_single
from autoprox.runs.several_record import Runs, chosen, names_of, read_run
from autoprox.runs.word_use import BEST, WordUse, word_use
from autoprox.show import plots
from autoprox.show.draw.style import (
    BLUE,
    GREEN,
    GREY,
    INK,
    LIGHT_BLUE,
    MONOSPACE,
    PALE,
    SMALL,
    VERMILION,
    blank_axes,
    dress,
)
from autoprox.show.picks import picks

if TYPE_CHECKING:
    from matplotlib.axes import Axes


AnyRun: TypeAlias = "str | Path | Run"
"""A run, or its folder; finished, stopped or still going."""

LINES: Mapping[str, Mapping[str, Any]] = {
    "best": {"color": BLUE, "linestyle": "-"},
    "held_out": {"color": VERMILION, "linestyle": "--"},
    "median": {"color": GREY, "linestyle": ":"},
}
COLORS, DASHES = (BLUE, VERMILION, GREEN, LIGHT_BLUE, INK), ("-", "--", ":", "-.")
"""Of the fronts of several runs."""

LETTERS, BELOW = 40, 4
"""The longest line of a history's names, and how many of its letters' heights they stand below."""

WORDS = 14
"""How many statistics, and how many primitives, are shown."""


def found_in(run: AnyRun) -> Run:
    """Return what a run found.

    Raises:
        RunError: there is no run, it has judged nothing yet, or its files are damaged or newer.
        LanguageError: the words of its best proxy are not known here.
    """
    record = run if isinstance(run, Run) else read_single(run)
    if record.generations:  # else there is no best one
        record.graph_of(record.best_text)  # a picture without the best would mislead
    return record


def history(run: AnyRun, *, axes: Axes | None = None) -> Axes:
    """Draw how the fitness of the best and the median went over the candidates judged.

    Where the fitness is the joint correlation, what the best has held out is drawn beside. The best
    is chosen by its fitness less what its nodes cost, so that its fitness may fall.

    Args:
        run: a run, or its folder.
        axes: where to draw; a new figure if None.

    Raises:
        RunError: the run cannot be read, or no candidate has a fitness yet.
        AutoproxError: matplotlib is not installed.
    """
    record = _with_fitness(run)
    axes = blank_axes(axes, 5.4, 3.4)
    names = {**HISTORY, "best": fill(f"{HISTORY['best']}: {plots.CHOSEN}", LETTERS)}
    for key, points in plots.history(record).items():
        axes.plot(*zip(*points, strict=True), linewidth=1.6, label=names[key], **LINES[key])
        axes.plot(*points[-1], "o", markersize=4, color=LINES[key]["color"])
    dress(axes, plots.JUDGED, fitness_name(record.settings), record.title)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 0), borderaxespad=BELOW,
                fontsize=SMALL, frameon=False)  # fmt: skip
    return axes


def _with_fitness(run: AnyRun) -> Run:
    """Return a run, which is refused if no candidate of it has a fitness."""
    record = found_in(run)
    if not record.judged:
        raise RunError(f"no candidate of the run in {record.folder} has a fitness yet")
    return record


def pareto(run: AnyRun | Runs, *others: AnyRun | Runs, axes: Axes | None = None) -> Axes:
    """Draw the complexity of the candidates against their fitness.

    The line is the front: what is reached on the search split with so many nodes at most. Discs are
    the proxies that the run's page shows one by one; a line leads from each to a diamond, its
    held-out correlation, where that is known, and the fitness is one.

    Of more than one run the fronts alone are drawn, and a diamond where the best proxy of each is
    held out, if the fitness of all is the joint correlation. Their figures are those of the
    architectures that each of them searched on, or held out: `autoprox.compare` ranks them on the
    same.

    Args:
        run: a run, or its folder, or several in one folder.
        others: further ones, to compare with; of several in one folder the picked one is taken.
        axes: where to draw; a new figure if None.

    Raises:
        RunError: the run cannot be read, or no candidate has a fitness yet.
        AutoproxError: matplotlib is not installed.
    """
    import numpy as np

    if others:
        return _fronts([chosen(other_run) for other_run in (run, *others)], axes)
    read = run if isinstance(run, Run | Runs) else read_run(run)
    if isinstance(read, Runs):
        return _fronts(list(read.runs.values()), axes)
    record = _with_fitness(read)
    shown = plots.marks(record, picks(record))
    figures = [(pick.complexity, pick.fitness, pick.held_out) for pick in shown]
    sizes, search, held_out = np.array(figures, np.float64).T  # None becomes NaN: no mark
    axes = blank_axes(axes, 5.4, 3.6)
    dots, front = (np.array(points).T for points in (plots.cloud(record), plots.front(record)))
    axes.scatter(dots[0], dots[1], s=5, color=PALE, linewidths=0, label="other candidates")
    axes.plot(*front, color=BLUE, linewidth=1)
    axes.vlines(sizes, held_out, search, color=GREY, linewidth=0.7)
    axes.scatter(sizes, search, s=26, color=BLUE, zorder=3, label="search split")
    if np.isfinite(held_out).any():
        look: dict[str, Any] = {"marker": "D", "edgecolors": "white", "linewidths": 0.5}
        axes.scatter(sizes, held_out, s=22, color=VERMILION, zorder=4, label="held out", **look)
    return _dress_front(axes, fitness_name(record.settings), record.title, plots.levels(shown))


def _dress_front(axes: Axes, fitness: str, title: str, levels: Sequence[float]) -> Axes:
    """Name the axes of fronts, and fit them to some figures."""
    dress(axes, plots.NODES, fitness, title)
    axes.set_ylim(plots.around(levels))
    axes.locator_params(axis="x", integer=True)
    # The names can be read where candidates lie behind.
    axes.legend(fontsize=SMALL, loc="lower right", framealpha=0.85, edgecolor="none")
    return axes


def _fronts(runs: Sequence[Run], axes: Axes | None) -> Axes:
    """Draw the fronts of several runs, and where their best proxies are held out."""
    axes = blank_axes(axes, 5.4, 3.6)
    names = names_of([run.folder for run in runs])
    measures = dict.fromkeys(fitness_name(run.settings) for run in runs)
    joint = all(is_joint(run.settings) for run in runs)
    if not joint and len(measures) > 1:
        measured = (fitness_name(run.settings) for run in runs)
        names = [f"{name}: {unit}" for name, unit in zip(names, measured, strict=True)]
    levels: list[float] = []
    for place, (name, run) in enumerate(zip(names, map(_with_fitness, runs), strict=True)):
        color, dashes = COLORS[place % len(COLORS)], DASHES[place // len(COLORS) % len(DASHES)]
        points = plots.front(run)
        levels += [value for _, value in points]
        axes.plot(*zip(*points, strict=True), color=color, linestyle=dashes, label=name)
        best = next(iter(run.held_out), None)
        if joint and best is not None and best.joint is not None:
            levels.append(best.joint)
            axes.plot(best.complexity, best.joint, "D", markersize=4, color=color)
    title = f"fronts on the search split{'; diamonds: held out' * joint}"
    return _dress_front(axes, " or ".join(measures), title, levels)


def words(run: AnyRun, best: int = BEST, *, axes: Axes | None = None) -> Axes:
    """Draw which statistics and primitives the best candidates use, beside all candidates.

    Args:
        run: a run, or its folder.
        best: how many candidates, by their fitness, are the best ones.
        axes: where to draw; a new figure of a fitting size if None.

    Raises:
        RunError: the run cannot be read, or no candidate has a fitness yet.
        AutoproxError: matplotlib is not installed.
    """
    record = found_in(run)
    uses = word_use(record, best)
    groups = {
        "statistics": [use for use in uses if use.form == "statistic"][:WORDS],
        "primitives": [use for use in uses if use.form != "statistic"][:WORDS],
    }
    rows = sum(map(len, groups.values())) + 2 * len(groups)
    axes = blank_axes(axes, 4.6, 0.7 + 0.2 * rows)
    shown = _place(axes, groups)
    shares = [(use.all, use.best) for _, use in shown]
    places = [place for place, _ in shown]
    axes.hlines(places, *zip(*shares, strict=True), color=PALE, linewidth=2, zorder=1)
    common, good = zip(*shares, strict=True)
    number = min(best, len({candidate.text for candidate in record.judged}))
    hollow: dict[str, Any] = {"facecolors": "white", "edgecolors": GREY, "label": "all candidates"}
    axes.scatter(common, places, s=24, zorder=2, **hollow)
    axes.scatter(good, places, s=24, color=BLUE, zorder=3, label=f"the best {number}")
    dress(axes, "share of the candidates that use the word", "", record.title, grid="x")
    axes.set_yticks(places, [use.word for _, use in shown], fontsize=SMALL, family=MONOSPACE)
    axes.set_xlim(-0.03, 1.03)
    axes.set_ylim(rows - 0.5, -0.6)
    axes.xaxis.set_major_formatter("{x:.0%}")
    axes.legend(fontsize=SMALL, frameon=False, loc="lower right")
    return axes


def _place(axes: Axes, groups: dict[str, list[WordUse]]) -> list[tuple[int, WordUse]]:
    """Write the headings of the groups, and return the words with their rows."""
    shown: list[tuple[int, WordUse]] = []
    row = 0
    for heading, uses in groups.items():
        place = axes.get_yaxis_transform()
        axes.text(0, row, heading, transform=place, fontsize=SMALL, weight="bold", va="center")
        shown += enumerate(uses, start=row + 1)
        row += len(uses) + 2
    return shown

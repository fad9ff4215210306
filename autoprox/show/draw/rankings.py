"""How proxies rank: scores against accuracies, and the correlations of many with many targets."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from autoprox.assessment.wording import MINUS, figure
from autoprox.errors import AutoproxError
from autoprox.show.draw.style import (
    BLUE,
    GREY,
    NORMAL,
    SMALL,
    TITLE,
    blank_axes,
    diverging,
    dress,
    figure_of,
    ink_on,
    matplotlib,
    shortened,
)
from autoprox.show.plots import axis_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from autoprox.leaderboard.by_column import Ranking

NAME = 34
"""Letters: the longest name of a proxy in a heat map."""


def scatter(
    scores: Sequence[float],
    accuracies: Sequence[float],
    *,
    axes: Axes | None = None,
    name: str = "score",
    target: str = "accuracy",
    lower_is_better: bool = False,
) -> Axes:
    """Draw the scores of a proxy against accuracies or losses, with Somers' D in the title.

    Args:
        scores: ``(architectures,)``.
        accuracies: ``(architectures,)``; NaN where there is no figure.
        axes: where to draw; a new figure if None.
        name: of the proxy.
        target: of the accuracies.
        lower_is_better: whether they are losses: D is 1 if the lowest has the highest score.

    Raises:
        AutoproxError: the two are not equally long, or matplotlib is not installed.
    """
    import numpy as np

    from autoprox.ranking import somers

    x, true = np.asarray(scores, dtype=np.float64), np.asarray(accuracies, dtype=np.float64)
    if x.shape != true.shape or x.ndim != 1:
        raise AutoproxError(f"scatter takes one score an accuracy; got {x.shape} and {true.shape}")
    axes = blank_axes(axes, 4.2, 3.4)
    shown = np.isfinite(x) & np.isfinite(true)
    count = int(shown.sum())
    worth = -true if lower_is_better else true
    d = f"Somers' D = {figure(somers(x[shown], worth[shown]))}" if count > 1 else "no score"
    axes.scatter(
        x[shown], true[shown], s=26, color=BLUE, alpha=0.75, edgecolors="white", linewidths=0.6
    )
    axis = axis_name(target, lower_is_better)
    dress(axes, shortened(name, 50), axis, f"{d}  ({count} architectures)")
    return axes


def heat_map(ranking: Ranking, *, axes: Axes | None = None, title: str = "") -> Axes:
    """Draw Somers' D of the proxies of a ranking with every target.

    Blue agrees, vermilion ranks upside down, white is no correlation; a cell without a figure is
    empty. The proxies keep the order of the ranking.

    Args:
        ranking: a leaderboard, its data frame, or a file that ``autoprox rank`` wrote with --json
            or --csv.
        axes: where to draw; a new figure of a fitting size if None.
        title: above the picture.

    Raises:
        AutoproxError: it is no ranking, cannot be read, or matplotlib is not installed.
    """
    matplotlib()
    import numpy as np
    from matplotlib.patches import Rectangle

    from autoprox.leaderboard.by_column import by_column

    table = by_column(ranking)
    rows, columns = table.values.shape
    axes = blank_axes(axes, 2.0 + 0.62 * columns, 0.9 + 0.24 * rows)
    for i, j in np.ndindex(rows, columns):
        value = float(table.values[i, j])
        if np.isfinite(value):
            fill = diverging(value)
            axes.add_patch(Rectangle((j - 0.48, i - 0.48), 0.96, 0.96, facecolor=fill))
            place: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": SMALL}
            axes.text(j, i, figure(value, ".2f", MINUS), color=ink_on(fill), **place)
    axes.set_xlim(-0.5, columns - 0.5)
    axes.set_ylim(rows - 0.5, -0.5)
    axes.set_yticks(range(rows), [shortened(name, NAME) for name in table.proxies], fontsize=SMALL)
    _name_columns(axes, table.columns)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_title(title or "Somers' D", fontsize=TITLE)
    return axes


def _name_columns(axes: Axes, columns: Sequence[str]) -> None:
    """Write the targets below the cells, and their spaces once, below a line, if there are any."""
    parts = [name.rpartition("/") for name in columns]
    targets = [target for _, _, target in parts]
    slanted = max(map(len, targets)) > 8
    turned: dict[str, Any] = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"}
    axes.set_xticks(range(len(columns)), targets, fontsize=SMALL, **(turned if slanted else {}))
    below = 0.2 + (0.05 * max(map(len, targets)) if slanted else 0.1)
    start = 0
    for space, group in itertools.groupby(space for space, _, _ in parts):
        stop = start + len(list(group))
        _bracket(axes, start - 0.4, stop - 0.6, below, space)
        start = stop


def _bracket(axes: Axes, left: float, right: float, below: float, name: str) -> None:
    """Draw a line with a name so many inches below the axes, from one place across to another."""
    from matplotlib.transforms import ScaledTranslation

    down = ScaledTranslation(0, -below, figure_of(axes).dpi_scale_trans)
    place = axes.get_xaxis_transform() + down
    axes.plot([left, right], [0, 0], color=GREY, linewidth=1, transform=place, clip_on=False)
    words: dict[str, Any] = {"ha": "center", "va": "top", "fontsize": NORMAL}
    further = place + ScaledTranslation(0, -0.04, figure_of(axes).dpi_scale_trans)
    axes.text((left + right) / 2, 0, name, transform=further, **words)

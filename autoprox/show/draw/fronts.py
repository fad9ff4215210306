"""The architectures of a search as a picture: score against cost, and the Pareto front."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from autoprox.errors import AutoproxError
from autoprox.search.architectures.found import FoundArchitectures, with_unit
from autoprox.show.draw.style import LIGHT_BLUE, PALE, SMALL, VERMILION, blank_axes, dress

if TYPE_CHECKING:
    from matplotlib.axes import Axes

UNITS = {
    "params": ("parameters (millions)", 1e-6),
    "flops": ("operations for one input (G; a multiply-add is two)", 1e-9),
    "latency": ("latency of one input (ms)", 1e3),
}


def front_figure(result: FoundArchitectures, axes: Axes | None = None) -> Axes:
    """Draw what was scored, the Pareto front, and the best architecture.

    Args:
        result: the result of a search.
        axes: where to draw; a new figure if None.

    Raises:
        AutoproxError: matplotlib is not installed, or nothing has both a score and a cost.
    """
    across, unit = UNITS.get(result.settings.cost, (with_unit(result.settings.cost), 1.0))
    prices = [architecture.cost(result.settings.cost) for architecture in result.scored]
    x = np.array([np.nan if price is None else price for price in prices], np.float64) * unit
    if not np.isfinite(x + result.merits).any():
        raise AutoproxError("nothing has both a score and a cost: there is nothing to draw")
    axes = blank_axes(axes, 5.6, 3.8)
    axes.scatter(x, result.merits, s=9, color=PALE, linewidths=0, label="scored")
    front = result.front()
    line = [(architecture.cost(result.settings.cost) or 0) * unit for architecture in front]
    heights = [result.merit(architecture) for architecture in front]
    axes.step(line, heights, where="post", color=LIGHT_BLUE, linewidth=1.2)
    axes.scatter(line, heights, s=18, marker="D", color=LIGHT_BLUE, label="Pareto front")
    best = result.top(1)[0]
    price = best.cost(result.settings.cost)
    if price is not None:
        axes.scatter(
            [price * unit], [result.merit(best)], s=90, marker="*", color=VERMILION, label="best",
            zorder=3,
        )  # fmt: skip
    up = (
        result.proxies[0]
        if len(result.proxies) == 1
        else f"mean rank by {', '.join(result.proxies)}"
    )
    dress(axes, across, up, f"{result.space.name}: {len(result.scored)} architectures")
    axes.legend(fontsize=SMALL, frameon=False)
    return axes

"""The parts of a proxy: what each sub-expression is good for, and what each layer contributes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoprox.assessment.wording import MINUS, figure
from autoprox.proxies.proxy import Proxy
from autoprox.show.draw.graphs import Note, draw_graph
from autoprox.show.draw.style import (
    BLUE,
    GREEN,
    GREY,
    MONOSPACE,
    SMALL,
    TITLE,
    blank_figure,
    diverging,
    dress,
    matplotlib,
    shortened,
)
from autoprox.statistics import DEFAULT_SAMPLE, Sample

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from torch import nn

    from autoprox.assessment.ablation import Ablation, Part
    from autoprox.assessment.contributions import Contributions
    from autoprox.benches import Bench
    from autoprox.language.graph import Graph
    from autoprox.quantise.layers import Bits
    from autoprox.statistics import Mode
    from autoprox.statistics.outcomes import Loss, Outputs
    from autoprox.statistics.trees import Inputs, Targets

STRONGEST = 0.6
"""How much of its colour the box of a part has without which the whole correlation is lost."""
ROLES = {"embedding": "#cc79a7", "attention": BLUE, "mlp": "#e69f00", "conv": GREEN, "head": GREY}
"""The colours of layers by what they are to a network."""
ROW = 0.155
"""Inches: from one layer to the next."""
NAME, NAMES = 34, 1.9
"""The longest name of a layer in letters, and the room for the names in inches."""


def ablation(
    proxy: Proxy | Graph,
    bench: str | Path | Bench,
    *,
    axes: Axes | None = None,
    title: str | None = None,
    **options: Any,
) -> Axes:
    """Draw the graph of a proxy with what each part is good for on a bench.

    Each part is replaced by its mean, as `autoprox.assessment.ablation` defines it; below its word
    stands the loss of the joint correlation, below the root the correlation itself. The deeper a
    box is blue, the more is lost; vermilion would rank better without it. A loss that is not
    defined, as the proxy without the part has no score on some network, is said to be.

    Args:
        proxy: the proxy, or its graph.
        bench: a bench, its name or its file.
        axes: where to draw; a new figure of a fitting size if None.
        title: above the picture; the name of a proxy that has one if None.
        options: those of `autoprox.assessment.ablation.ablate`, such as ``targets`` or ``jobs``.

    Raises:
        AutoproxError: the bench cannot be measured, the proxy has no score on one of its networks,
            or matplotlib is not installed.
    """
    matplotlib()  # if it is missing, that shows before anything is measured
    from autoprox.assessment.ablation import ablate

    if title is None:
        title = proxy.name if isinstance(proxy, Proxy) else ""
    return draw_ablation(ablate(proxy, bench, **options), axes=axes, title=title)


def draw_ablation(ablation: Ablation, *, axes: Axes | None = None, title: str = "") -> Axes:
    """Draw an ablation that is computed already; see `ablation`."""
    notes = {part.text: _note(part, ablation.joint) for part in ablation.parts}
    notes[ablation.graph.text] = Note(f"joint D {figure(ablation.joint, minus=MINUS)}", "white")
    axes = draw_graph(ablation.graph, title, axes, notes)
    note = "Below each word: the loss of joint D\nwhen its value is its mean"
    alignment: dict[str, Any] = {"ha": "center", "va": "top", "transform": axes.transAxes}
    axes.text(0.5, 0, note, fontsize=SMALL, color=GREY, **alignment)
    return axes


def _note(part: Part, whole: float) -> Note:
    if part.loss is None:
        return Note("undefined", "white")
    return Note(
        figure(part.loss, minus=MINUS), diverging(STRONGEST * part.loss, max(abs(whole), 1e-9))
    )


def layers(
    proxy: Proxy,
    network: nn.Module,
    inputs: Inputs,
    targets: Targets = None,
    *,
    sample: Sample = DEFAULT_SAMPLE,
    seed: int = 0,
    bits: Bits | None = None,
    mode: Mode | None = None,
    loss: Loss | None = None,
    outputs: Outputs | None = None,
    title: str | None = None,
) -> Figure:
    """Draw what the layers of a network contribute to a proxy, in the order of execution.

    There is a field for each reduction from layers to the network, with the numbers of the layers
    that it reduces; see `autoprox.assessment.contributions.Contributions` for what they mean. The
    arguments but for `title` are those of the proxy.

    Raises:
        StatisticError: a statistic cannot be measured on this network.
        ScoreError: the proxy has no finite value on it.
        AutoproxError: matplotlib is not installed.
    """
    matplotlib()
    from autoprox.assessment.contributions import contributions
    from autoprox.statistics import measure

    how: dict[str, Any] = {"sample": sample, "seed": seed, "bits": bits, "mode": mode}
    read: dict[str, Any] = {"loss": loss, "outputs": outputs}
    measurement = measure(network, inputs, targets, proxy.graph.statistics, **how, **read)
    fields = contributions(proxy.graph, measurement)
    return draw_layers(fields, title=proxy.name if title is None else title)


def draw_layers(contributions: Sequence[Contributions], *, title: str = "") -> Figure:
    """Draw contributions that are computed already; see `layers`."""
    tallest = max(len(part.layers) for part in contributions)
    figure = blank_figure(5.0 * len(contributions), 1.45 + ROW * tallest)
    for axes, part in zip(
        figure.subplots(1, len(contributions), squeeze=False)[0], contributions, strict=True
    ):
        _draw_contributions(axes, part)
        axes.set_ylim(tallest - 0.4, -0.6)
    width, height = figure.get_size_inches()
    field = (width - len(contributions) * NAMES) / len(contributions)
    figure.subplots_adjust(
        left=NAMES / width,
        right=1,
        wspace=NAMES / field,
        top=1 - 0.65 / height,
        bottom=0.8 / height,
    )
    if title:
        figure.suptitle(title, fontsize=TITLE, weight="bold", y=1 - 0.1 / height)
    _explain_colours(figure, {role for part in contributions for role in part.roles})
    return figure


def _explain_colours(figure: Figure, roles: set[str]) -> None:
    """Say below the fields which colour stands for what, if there are several."""
    from matplotlib.patches import Patch

    keys = [Patch(color=colour, label=role) for role, colour in ROLES.items() if role in roles]
    if len(keys) > 1:
        look: dict[str, Any] = {"fontsize": SMALL, "frameon": False, "loc": "lower center"}
        figure.legend(handles=keys, ncols=len(keys), handlelength=1.2, **look)


def _draw_contributions(axes: Axes, contributions: Contributions) -> None:
    """Draw a bar a layer, the first on top."""
    rows = range(len(contributions.layers))
    colours = [ROLES[role] for role in contributions.roles]
    axes.barh(rows, contributions.values, height=0.8, color=colours)
    names = [shortened(name.removesuffix(".weight"), NAME) for name in contributions.layers]
    axes.axvline(0, color=GREY, linewidth=0.8)
    dress(axes, f"{contributions.reduction} of these: {contributions.result:.4g}", "", grid="x")
    axes.set_title(shortened(contributions.text, 52), fontsize=SMALL, family=MONOSPACE)
    axes.set_yticks(rows, names, fontsize=6.5)
    axes.ticklabel_format(axis="x", scilimits=(-3, 4), useMathText=True)

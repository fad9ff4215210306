"""``autoprox search --space``: progress, the table of the best, and the files."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from autoprox.assessment.wording import readable_seconds
from autoprox.cli.counting import counting
from autoprox.cli.options import (
    INTERRUPTED,
    MACHINE,
    console,
    go_on,
    hired,
    option,
    put_json,
    together,
)
from autoprox.cli.tables import table

if TYPE_CHECKING:
    from rich.table import Table

    from autoprox.runtime.progress import Progress
    from autoprox.search.architectures import FoundArchitectures
    from autoprox.search.architectures.search import ArchitectureSearch

BESIDE_RESUME = ("resume", "top", "plot", *MACHINE)
"""The options that a resumed search takes; the others are settings, which it keeps."""

SPACES = "Architectures: autoformer, pit, nb201, or a file that defines a space."
METHODS = "evolution (regularised), random, or pareto (NSGA-II)."
FLOPS = "Operations for one input; a multiply-add is two."
COSTS = "What pays for the score in the Pareto front: params, flops or latency."


architecture_options = together(
    option("--space", SPACES, "", "NAME|FILE.py"),
    option("--params", "Parameters from LEAST to MOST; K, M, G.", "", "[LEAST]:MOST"),
    option("--flops", FLOPS, "", "[LEAST]:MOST"),
    option("--method", METHODS, "evolution", "NAME"),
    option("--cost", COSTS, "params", "NAME"),
    click.option(
        "--latency", is_flag=True, help="Measure the latency of the best and of the front."
    ),
    option("--probe-seed", "Of weights, noise and sample.", "0", type=int),
    option("--top", "How many architectures are reported.", "10", type=click.IntRange(min=1)),
    option("--plot", "Draw the Pareto front there.", "", "FILE.svg|png", type=click.Path()),
    option("--out", "The folder of the search.", "a new one in runs/", "DIR", type=click.Path()),
    option("--resume", "Go on with the search in this folder.", "", "DIR", type=click.Path()),
)
"""The options of a search of architectures."""


def search_space(ctx: click.Context, given: dict[str, Any]) -> None:
    """Search, report, and say how to go on if Ctrl-C came first."""
    from autoprox.search.architectures.found import TOP
    from autoprox.show.draw.style import check_path, matplotlib

    if given["plot"] is not None:
        check_path(given["plot"])
        matplotlib()
    try:
        with counting(given["quiet"]) as show:
            watch = _Watch(show)
            found = _found(given, watch)
    except KeyboardInterrupt:
        click.echo("interrupted before the search began", err=True)
        ctx.exit(INTERRUPTED)
    _report(found, given, given["top"] or TOP, watch.seconds)
    if not found.finished:
        command = go_on("search", resume=found.folder, cache=given["cache"])
        click.echo(f"interrupted; go on with: {command}", err=True)
        ctx.exit(INTERRUPTED)


def _found(given: dict[str, Any], watch: _Watch) -> FoundArchitectures:
    """Start or resume the search."""
    from autoprox.search.architectures import search_architectures

    apart = ("space", "proxy", "bench", "json_file", "quiet", "out", *BESIDE_RESUME)
    options = {k: v for k, v in given.items() if k not in apart and v not in (None, False)}
    common: dict[str, Any] = {**hired(given), "cache": given["cache"], "watch": watch}
    if given["top"] is not None:
        common["top"] = given["top"]
    if given["resume"] is not None:
        return search_architectures(resume=given["resume"], **common)
    return search_architectures(
        given["space"], given["proxy"], out=given["out"], **common, **options
    )


class _Watch:
    """Shows how far a search is.

    Args:
        show: is told what is done, how much of it is, and of how much.
    """

    def __init__(self, show: Progress) -> None:
        """Start the clock."""
        self._show = show
        self._begun = time.monotonic()

    @property
    def seconds(self) -> float:
        """How long the search has taken."""
        return time.monotonic() - self._begun

    def __call__(self, search: ArchitectureSearch, done: int) -> None:
        """Show how far a search is."""
        failed = sum(bool(each.failures) for each in search.scored)
        facts = [f"{failed} failed"]
        if search.settings.ranges:
            facts.append(f"{search.draws.fit} of {search.draws.drawn} samples fit")
        what = f"scoring architectures ({', '.join(facts)})"
        self._show(what, len(search.scored) + done, search.settings.budget)


def _report(found: FoundArchitectures, given: dict[str, Any], top: int, seconds: float) -> None:
    """Print the best architectures, and write the files that were asked for."""
    if given["plot"] is not None and found.scored:
        from autoprox.show.draw.fronts import front_figure
        from autoprox.show.draw.style import write

        write(front_figure(found), given["plot"])
    if put_json(found.to_json(top), given["json_file"]):
        return
    out = console()
    out.print(_table(found, top))
    budget = found.settings.budget
    short = f" of {budget}; nothing new was found" if len(found.scored) < budget else ""
    spent = f"{short if found.finished else f' of {budget}'} in {readable_seconds(seconds)}"
    out.print(f"{len(found.scored)} architectures scored{spent}; {found.rate}", soft_wrap=True)
    for reason, count in found.failures.items():
        out.print(f"no score on {count} architectures by {reason}", soft_wrap=True)
    for best in found.top(1):
        out.print(f"build the best: {found.call(best)}", soft_wrap=True)
    files = found.folder / "top.json", found.folder / "front.csv"
    front = f"{len(found.front())} architectures of the front of score and {found.settings.cost}"
    out.print(f"{files[0]}; {front}: {files[1]}", soft_wrap=True)


def _table(found: FoundArchitectures, top: int) -> Table:
    from autoprox.search.architectures.found import cost_text, short

    shown = table([])
    several = len(found.proxies) > 1
    costs = ["params", "flops"]
    best = found.top(top)
    if any(each.latency is not None for each in best):
        costs.append("latency")
    names = (["mean rank"] if several else []) + [*found.proxies, *costs]
    shown.add_column("", justify="right")
    for name in names:
        shown.add_column(name, justify="right", overflow="fold")
    shown.add_column("architecture", no_wrap=True, overflow="ellipsis")
    for place, each in enumerate(best, start=1):
        shown.add_row(
            str(place),
            *([f"{found.merit(each):.4f}"] if several else []),
            *(f"{each.scores[name]:.6g}" for name in found.proxies),
            *(cost_text(name, each.cost(name)) for name in costs),
            short(each.config),
        )
    return shown

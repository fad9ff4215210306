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
    PATH,
    console,
    given_only,
    go_on,
    hired,
    listing,
    option,
    parameters_of,
    picture_option,
    put_json,
    teacher_options,
    together,
)
from autoprox.cli.tables import grid, print_figures

if TYPE_CHECKING:
    from rich.console import Console

    from autoprox.search.architectures import FoundArchitectures

SPACES = (
    "Architectures: autoformer, pit, nb201, resnet64, macro, natssss, or a file that defines a "
    "space."
)
ALGORITHMS = "evolution (regularised), random, pareto (NSGA-II), or shgo by --labels, no --proxy."
LABELS = "Of shgo: to how many of the space's accuracies its models are fitted."
FLOPS = "Operations for one input; a multiply-add is two."
COSTS = "What pays for the score in the Pareto front: params, flops, latency or latency:DEVICE."

setting_options = together(
    option("--params", "Parameters from LEAST to MOST; K, M, G.", "", "[LEAST]:MOST"),
    option("--flops", FLOPS, "", "[LEAST]:MOST"),
    listing("--limit limits", "At most so much on a device.", "", "latency:DEVICE:MOST,…"),
    option("--algorithm --method algorithm", ALGORITHMS, "evolution", "NAME"),
    option("--labels", LABELS, "25", type=click.IntRange(min=1)),
    option("--target", "Of shgo: which accuracy.", "the first of the bench", "NAME"),
    option("--cost", COSTS, "params", "NAME"),
    click.option(
        "--latency", is_flag=True, help="Measure the latency of the best and of the front."
    ),
    option("--probe-seed", "Seed of weights, noise and sample.", "0", type=int),
    teacher_options,
)
"""What a search of architectures does, beside what a search of bits does too."""

reporting_options = together(
    option("--top", "How many architectures are reported.", "10", type=click.IntRange(min=1)),
    picture_option,
)
folder_options = together(
    option("-o --out", "The folder of the search.", "a new one in runs/", "DIR", type=PATH),
    option("--resume", "Go on with the search in this folder.", "", "DIR", type=PATH),
)

BESIDE_RESUME = {"resume", "teacher", *parameters_of(reporting_options), *MACHINE}
"""The parameters that a resumed search takes; the others are settings, which it keeps. It takes
``--space`` too, for a space in a file has to be named again, as has a teacher."""


def search_space(ctx: click.Context, options: dict[str, Any]) -> None:
    """Search, report, and say how to go on if Ctrl-C came first."""
    from autoprox.search.architectures import search_architectures
    from autoprox.search.architectures.found import TOP
    from autoprox.show.draw.style import check_path, matplotlib

    if options["picture"] is not None:
        check_path(options["picture"])
        matplotlib()
    settings = parameters_of(setting_options) | {"evaluations", "seed", "batch", "sample", "images"}
    arguments = given_only(options, *settings, "resume", "out", "cache", "top")
    begun = time.monotonic()
    try:
        with counting(options["quiet"]) as show:
            proxies = options["proxy"]
            result = search_architectures(
                options["space"], proxies, progress=show, **arguments, **hired(options)
            )
    except KeyboardInterrupt:
        click.echo("interrupted before the search began", err=True)
        ctx.exit(INTERRUPTED)
    _report(result, options, options["top"] or TOP, time.monotonic() - begun)
    if not result.finished:
        space, teacher = result.settings.space, result.settings.teacher
        command = go_on(
            "search",
            resume=result.folder,
            space=space if space.endswith(".py") else None,
            teacher=teacher if ".py" in (teacher or "") else None,
            cache=options["cache"],
        )
        click.echo(f"interrupted; go on with: {command}", err=True)
        ctx.exit(INTERRUPTED)


def _report(result: FoundArchitectures, options: dict[str, Any], top: int, seconds: float) -> None:
    """Write the files that were asked for, and print the best architectures."""
    try:
        if options["picture"] is not None and result.scored:
            from autoprox.show.draw.fronts import front_figure
            from autoprox.show.draw.style import write

            write(front_figure(result), options["picture"])
    finally:  # there may be nothing to draw
        if not put_json(result.to_json(top), options["json_file"]):
            _print(result, top, seconds, console())


def _print(result: FoundArchitectures, top: int, seconds: float, out: Console) -> None:
    """Print what was found for a reader."""
    _print_best(result, top, out)
    count, evaluations = len(result.scored), result.settings.evaluations
    part = f" of {evaluations}" if count < evaluations else ""
    part += "; nothing new was found" if part and result.finished else ""
    spent = f"{part} in {readable_seconds(seconds)}"
    out.print(f"{count} architectures scored{spent}; {result.rate}", soft_wrap=True)
    for reason, count in result.failures.items():
        out.print(f"no score on {count} architectures by {reason}", soft_wrap=True)
    for best in result.top(1):
        out.print(f"build the best: {result.call(best)}", soft_wrap=True)
    files = result.folder / "top.json", result.folder / "front.csv"
    front = f"{len(result.front())} architectures of the front of score and {result.settings.cost}"
    out.print(f"{files[0]}; {front}: {files[1]}", soft_wrap=True)


def _print_best(result: FoundArchitectures, top: int, out: Console) -> None:
    """Print the best architectures with scores and costs, and below their full descriptions."""
    from autoprox.search.architectures.found import cost_text, short

    several = len(result.proxies) > 1
    costs = ["params", "flops"]
    best = result.top(top)
    if any(architecture.latency is not None for architecture in best):
        costs.append("latency")
    costs += result.settings.devices
    headings = ["", *(["mean rank"] if several else []), *result.proxies, *costs]
    rows = [
        [
            str(place),
            *([f"{result.merit(architecture):.4f}"] if several else []),
            *(f"{architecture.scores[name]:.6g}" for name in result.proxies),
            *(cost_text(name, result.cost(architecture, name)) for name in costs),
        ]
        for place, architecture in enumerate(best, start=1)
    ]
    print_figures(out, headings, rows)
    described = (short(architecture.config) for architecture in best)
    out.print(grid((f" {place}", text) for place, text in enumerate(described, start=1)))

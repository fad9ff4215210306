"""``autoprox fit``: a proxy from the accuracies of a few trained networks."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from autoprox.assessment.wording import EXPLAINED_LOST
from autoprox.cli.counting import counting
from autoprox.cli.options import (
    INTERRUPTED,
    OUTPUT,
    architectures_option,
    by_name,
    console,
    device_option,
    given_only,
    go_on,
    hired,
    json_option,
    listing,
    machine_options,
    option,
    probe_options,
    put_json,
    quiet_option,
)
from autoprox.cli.tables import print_figures

if TYPE_CHECKING:
    from rich.console import Console

    from autoprox.fitting.fit import Fits

MODELS = (
    "gp, ridge, forest, robot, parzc, parzc_magnitudes, parzc_ranks, parzc_mixing, parzc_mixer, "
    "parzc_bayesian or mlp."
)
INPUTS = (
    "What it reads, between commas: proxies, expressions, layers, layers:PROXY, magnitudes, "
    "magnitudes:PROXY, or known."
)
EXAMPLE = "autoprox fit --bench nb201 --labels 78 --out gp.safetensors"


def _number_or_text(text: str) -> int | float | str:
    for kind in (int, float):
        with suppress(ValueError):
            return kind(text)
    return text


@click.command(epilog=f"\b\nExample:\n  {EXAMPLE}")
@option("--bench", "The bench, or a file that defines one.", "", "NAME|FILE.py", required=True)
@option("--model", MODELS, "gp", "NAME")
@option("--labels", "To how many accuracies it is fitted.", "78", type=click.IntRange(1))
@option("--labelling", "Which: random, spread, or by uncertainty.", "random", "NAME")
@listing("--inputs", INPUTS, "the model's")
@option("--set settings", "A setting of the model; repeatable.", "the model's", "NAME=VALUE",
        multiple=True,
        callback=by_name("NAME=VALUE, as in epochs=100", _number_or_text))  # fmt: skip
@listing("--space spaces", "Only these spaces.", "all")
@listing("--target targets", "The accuracies; their mean is the label.", "the bench's")
@architectures_option
@option("--seed", "Of the model and of which are labelled.", "0", type=click.IntRange(0))
@option("--split-seed", "Of the split into search and held-out part.", "0", type=int)
@option("--held-out-share", "What no fit sees.", "0.4", "SHARE", type=float)
@option("--repeats", "Fit with so many seeds of split and model.", "1", type=click.IntRange(1))
@probe_options
@device_option
@machine_options
@option("--out", "Save the proxy there, for autoprox rank and search.", "", "FILE.safetensors",
        type=OUTPUT)  # fmt: skip
@json_option
@quiet_option
@click.pass_context
def fit(ctx: click.Context, /, **options: Any) -> None:
    """Fit a proxy to the accuracies of a few trained networks of a bench.

    Labels come from the part of the bench that a search may see; the figures are those on the part
    that is held out, beside the known proxies on the same architectures.
    """
    from autoprox.fitting.fit import fit as run_fit

    settings = given_only(options, *(options.keys() - {"json_file", "quiet"}))
    try:
        with counting(options["quiet"]) as progress:
            fits = run_fit(**{**settings, **hired(options)}, progress=progress)
    except KeyboardInterrupt:
        click.echo("interrupted; what was measured is kept", err=True)
        ctx.exit(INTERRUPTED)
    if not put_json(fits.to_json(), options["json_file"]):
        print_fits(fits, _next(fits, options), console())


def _next(fits: Fits, options: dict[str, Any]) -> list[str]:
    """Return the commands that a reader may want next, for a proxy that was saved."""
    if fits.path is None:
        return []
    from autoprox.evolution.settings import Settings
    from autoprox.search.architectures import SPACES
    from autoprox.show.page.command import rank_command

    path, bench = str(fits.path), options["bench"]
    shared = ("bench", "spaces", "targets", "architectures", "split_seed", "held_out_share",
              "images", "batch", "probe_seed")  # fmt: skip
    beside = given_only(options, "sample", "cache").items()
    words = [word for name, value in beside for word in (f"--{name}", str(value))]
    settings = Settings(**given_only(options, *shared))
    commands = [rank_command(settings, [path, "params", "zico", *words])]
    commands += [go_on("search", space=bench, proxy=path)] if bench in SPACES else []
    return [*commands, go_on("show", path)]


def print_fits(fits: Fits, next_: Sequence[str], out: Console) -> None:
    """Print what was fitted, what it is worth, and the commands that may come next."""
    from autoprox.assessment.wording import difference_in_words, figure, short_interval

    rows = fits.fits[0].held_out
    out.print(f"{fits.proxy.name}: {fits.proxy.description}", soft_wrap=True)
    out.print(f"reads {', '.join(graph.text for graph in fits.proxy.inputs)}", soft_wrap=True)
    out.print("On the architectures that are held out:")
    lines = [
        [
            row.name,
            figure(row.joint),
            short_interval(row.joint_interval),
            figure(row.mean("kendall")),
            figure(row.mean("top1_regret"), ".2f"),
            figure(row.mean("top5_regret"), ".2f"),
        ]
        for row in rows
    ]
    print_figures(out, ["", "joint D", "95 %", "τ", "lost", "of 5"], lines, ends=0)
    for row in rows:
        if row.failure:
            out.print(f"{row.name} has no figures: {row.failure}", soft_wrap=True)
    out.print(EXPLAINED_LOST, soft_wrap=True)
    out.print(difference_in_words(rows, "joint D"), soft_wrap=True)
    if len(fits.fits) > 1:
        joints = ", ".join(figure(fit.own.joint) for fit in fits.fits)
        out.print(
            f"median joint D over {len(fits.fits)} seeds of split and model: "
            f"{fits.median:.3f} ({joints})"
        )
    if fits.path is None:
        out.print("The proxy is not saved: --out FILE.safetensors keeps it for autoprox rank and "
                  "search.", soft_wrap=True)  # fmt: skip
        return
    out.print(f"Saved: {fits.path}. Next:", soft_wrap=True)
    for command in next_:
        out.print(f"  {command}", soft_wrap=True)

"""``autoprox cost``: latency and energy of networks, measured and modelled."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from autoprox.cli.counting import counting
from autoprox.cli.options import (
    INTERRUPTED,
    OUTPUT,
    PATH,
    CommandGroup,
    console,
    json_option,
    option,
    put_json,
    quiet_option,
)
from autoprox.cli.tables import table

if TYPE_CHECKING:
    from autoprox.hardware.cost import CostModel
    from autoprox.hardware.timing import Latency

FIT = "autoprox cost fit --measurements phone.csv --bench nb201 --out phone.json"
MEASURE = "autoprox cost measure --bench vit101 --architectures 25 --out here.csv"


@click.group(cls=CommandGroup)
def cost() -> None:
    """Measure what networks cost on a device, and fit models of it."""


@cost.command(epilog=f"\b\nExample:\n  {FIT}")
@option(
    "--measurements", "A CSV: architecture, and ms or mj.", "", "FILE", required=True, type=PATH
)
@option("--bench", "Whose architectures; nb201 and fbnet have features of their own.", "",
        "NAME|FILE.py", required=True)  # fmt: skip
@option("--device", "What it is called.", "the file's name", "NAME")
@option("--out", "Save the model there, for --limit latency:FILE.json:30.", "", "FILE.json",
        type=OUTPUT)  # fmt: skip
@json_option
def fit(
    measurements: str, bench: str, device: str | None, out: str | None, json_file: str | None
) -> None:
    """Fit a model to measurements of architectures.

    Prices of operations, bytes and counts for each kind of layer, none of them negative. The error
    is that of five-fold cross-validation.
    """
    from dataclasses import asdict

    from autoprox.hardware.cost import model_path
    from autoprox.hardware.fitting import fit_file

    path = None if out is None else model_path(Path(out))
    model = fit_file(Path(measurements), bench, device)
    if path is not None:
        model.save(path)
    if not put_json(asdict(model), json_file):
        _print(model, out)


def _print(model: CostModel, out: str | None) -> None:
    shown = table(["feature"], [f"{model.unit} each"])
    for name, price in model.prices.items():
        if price:
            shown.add_row(name, f"{price:.4g}")
    console().print(shown)
    click.echo(
        f"{model.measurements} measurements on {model.device}; cross-validated: median error "
        f"{model.error:.1%}, Spearman {model.spearman:.3f}"
    )
    if out is not None:
        click.echo(f"saved: {out}")


@cost.command(epilog=f"\b\nExample:\n  {MEASURE}")
@option("--bench", "The bench, or a file that defines one.", "", "NAME|FILE.py", required=True)
@option("--architectures", "Draw so many of it.", "25", type=click.IntRange(1))
@option("--seed", "Of what is drawn.", "0", type=click.IntRange(0))
@option("--passes", "Forward passes of each, after the warm-up.", "15", type=click.IntRange(4))
@option("--device", "Where; only cpu.", "cpu", "cpu", type=click.Choice(["cpu"]))
@option("--out", "Write the measurements there.", "", "FILE.csv", required=True, type=OUTPUT)
@quiet_option
@click.pass_context
def measure(
    ctx: click.Context,
    /,
    bench: str,
    architectures: int | None,
    seed: int | None,
    passes: int | None,
    device: str | None,
    out: str,
    quiet: bool,
) -> None:
    """Measure the latency of networks on this machine.

    The median of forward passes of one input, by one thread on one core, after a warm-up. Ctrl-C
    keeps the networks that are measured.
    """
    from autoprox.hardware.fitting import time_bench, written
    from autoprox.runtime.files import write_text

    measurements: dict[str, Latency] = {}

    def keep(latencies: Mapping[str, Latency]) -> None:
        measurements.update(latencies)
        write_text(Path(out), written(latencies))

    count = architectures or 25
    try:
        with counting(quiet) as progress:
            time_bench(bench, count, seed or 0, passes or 15, progress, keep)
    except KeyboardInterrupt:
        done = len(measurements)
        kept = f"{out} has {done} of {count} networks" if done else "nothing was measured"
        click.echo(f"interrupted; {kept}", err=True)
        ctx.exit(INTERRUPTED)
    _print_noise(measurements, out)


def _print_noise(measurements: Mapping[str, Latency], out: str) -> None:
    """Print how far the measurements can be trusted, and where they are."""
    noise = [measured.noise for measured in measurements.values()]
    middle = statistics.median(noise)
    click.echo(
        f"{len(measurements)} networks; half the quartile distance of their passes is {middle:.1%} "
        f"of the median for the middle one, {max(noise):.1%} at most"
    )
    if middle > 0.05:
        click.echo("the machine was busy: measure again when it is idle, or with more --passes")
    click.echo(f"saved: {out}")


@cost.command()
def devices() -> None:
    """List the devices with published measurements."""
    from autoprox.hardware.devices import SPACES, measured
    from autoprox.hardware.devices import devices as devices_of

    shown = table(["space", "device"], ["networks", "least", "most"])
    for space in SPACES:
        for name in devices_of(space):
            values: Any = measured(space, name).values()
            shown.add_row(space, name, str(len(values)), f"{min(values):g}", f"{max(values):g}")
    console().print(shown)

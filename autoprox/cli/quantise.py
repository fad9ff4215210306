"""``autoprox bench quantise``: the tables of quantised networks."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from autoprox.assessment.wording import readable_seconds
from autoprox.cli.counting import counting
from autoprox.cli.options import (
    INTERRUPTED,
    PATH,
    check_test,
    cores,
    given_only,
    option,
    quiet_option,
    typed,
)
from autoprox.cli.outputs import check_writable
from autoprox.cli.train import DATA, TEST

if TYPE_CHECKING:
    from autoprox.quantise.table import Builder, QuantisedRow, TableSettings


@click.command(
    epilog="\b\nExample:\n  autoprox bench quantise resnet20 --data cifar-10-binary.tar.gz"
)
@click.argument("network", metavar="NETWORK")
@option("--data", DATA, metavar="FILE", required=True, type=PATH)
@option("--test", TEST, "the file of --data", "FILE", type=PATH)
@option("--test-images images", "Test images, the first N.", "all", type=click.IntRange(min=1))
@option("--weights", "Trained weights.", "those that ship", "FILE", type=PATH)
@option("--set", "234, 234-even, 2-8, or uniform.", "234", "NAME")
@option("--rows", "Configurations of a drawn set.", "425", type=click.IntRange(min=1))
@option("--seed", "Seed of configurations and calibration.", "0", type=click.IntRange(min=0))
@option("--calibration", "Training images to calibrate on.", "512", type=int)
@option("--rounding", "fitted, nearest or plain.", "fitted", "NAME")
@option("--precision", "bfloat16 or float32.", "what is faster here", "NAME")
@option("--row", "Measure one row again, and compare.", metavar="NAME")
@option("--threads", "Threads of torch.", "number of cores", type=click.IntRange(min=1))
@option("-o --out", "The folder of NETWORK.csv.", "the current one", "DIR", type=PATH)
@quiet_option
@click.pass_context
def quantise(
    ctx: click.Context,
    /,
    network: str,
    data: str,
    test: str | None,
    images: int | None,
    weights: str | None,
    set: str | None,
    rows: int | None,
    rounding: str | None,
    precision: str | None,
    row: str | None,
    threads: int | None,
    out: str | None,
    quiet: bool,
    **options: Any,
) -> None:
    """Measure what random bits leave of a trained NETWORK (resnet20, mobilenetv2 or vit).

    Adds rows to a table, each with its accuracy on the test images. Ctrl-C loses only the row in
    work: call it again to go on.
    """
    check_test(data, test)
    if row is not None and (mixed := typed(ctx, ("set", "rows"))):
        raise click.UsageError(f"--row measures one row again: leave out {', '.join(mixed)}")
    if row is None:
        check_writable(Path(out or ".", f"{network}.csv"), "--out")
    from autoprox.quantise.quantiser import Method
    from autoprox.quantise.table import ROWS, TableSettings, configurations
    from autoprox.runtime.threads import using_threads
    from autoprox.training.settings import processor_precision

    click.get_current_context().with_resource(using_threads(threads or cores()))
    method = Method(rounding or "fitted", precision=precision or processor_precision())
    settings = TableSettings(network, method=method, **given_only(options))
    begun = time.monotonic()
    builder = _builder(settings, data, test or data, images, weights, Path(out or "."))
    if row is not None:
        _compare(builder, row)
        return
    wanted = configurations(set or "234", len(builder.layers), rows or ROWS, settings.seed)
    try:
        with counting(quiet) as show:
            builder.build(wanted, lambda done, total: show("rows", done, total))
    except KeyboardInterrupt:
        click.echo(
            f"interrupted: {len(builder.rows)} rows are kept in {builder.path}; the same command "
            "goes on from there",
            err=True,
        )
        ctx.exit(INTERRUPTED)
    _report([builder.rows[name] for name in wanted], builder.path, time.monotonic() - begun)


def _builder(
    settings: TableSettings,
    data: str,
    test: str,
    images: int | None,
    weights: str | None,
    folder: Path,
) -> Builder:
    """Read network and images, and calibrate."""
    import torch

    from autoprox.benches.cifar import cifar10, normalised, trained
    from autoprox.benches.cifar.networks import SHIPPED
    from autoprox.errors import BenchError
    from autoprox.quantise.table import Builder, Images
    from autoprox.training.checkpoint import recorded_accuracy

    network = trained(settings.network, weights)
    shown = cifar10(test, "test")
    if images is not None and images > len(shown.labels):
        raise BenchError(f"{test} has {len(shown.labels)} test images; got --test-images {images}")
    return Builder(
        network,
        normalised(cifar10(data, "train").images),
        Images(normalised(shown.images[:images]), torch.from_numpy(shown.labels[:images])),
        settings,
        folder,
        recorded_accuracy(Path(weights or SHIPPED / f"{settings.network}.safetensors")),
    )


def _compare(builder: Builder, name: str) -> None:
    """Measure a row again and print both."""
    from autoprox.errors import UnknownNameError

    if name not in builder.rows:
        raise UnknownNameError("row", name, builder.rows)
    recorded = builder.rows[name]
    again = builder.measured(name, recorded.bits)
    for label, measured in (("table", recorded), ("again", again)):
        click.echo(
            f"{label}  {measured.accuracy:.2f} %  loss {measured.loss:.5f}  "
            f"{measured.size_bytes} bytes"
        )
    click.echo(
        "the same" if again == recorded else f"{again.accuracy - recorded.accuracy:+.2f} points"
    )


def _report(rows: list[QuantisedRow], path: Path, seconds: float) -> None:
    """Print what the table now has of a set."""
    lowest, highest = (bound(row.accuracy for row in rows) for bound in (min, max))
    click.echo(
        f"{len(rows)} rows from {lowest:.2f} to {highest:.2f} % are in {path} after "
        f"{readable_seconds(seconds)}"
    )

"""``autoprox search``: an architecture of a space, or bits for the layers of a trained network."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from autoprox.cli.architectures import (
    BESIDE_RESUME,
    SPACES,
    folder_options,
    reporting_options,
    search_space,
    setting_options,
)
from autoprox.cli.by_accuracies import TAKEN, search_accuracies
from autoprox.cli.counting import counting
from autoprox.cli.options import (
    INTERRUPTED,
    PATH,
    check_test,
    console,
    entries,
    given_only,
    json_option,
    listing,
    machine_options,
    option,
    parameters_of,
    put_json,
    quiet_option,
    several,
    together,
    typed,
)
from autoprox.cli.tables import table
from autoprox.cli.train import TEST

if TYPE_CHECKING:
    from rich.table import Table

    from autoprox.benches import Bench
    from autoprox.quantise.table import Images, QuantisedRow
    from autoprox.runtime.progress import Progress
    from autoprox.search.bits import BitChoice

BATCH = 32
DATA = (
    "CIFAR-10 (cifar-10-binary.tar.gz, or an .npz): also measure the true accuracy of the choice "
    "and of others within the limit."
)
TRIALS = (
    "Try N configurations, near the choice and uniform bits, on the network itself and training "
    "images of --data; choose the closest."
)
PROXIES = (
    "A name, a file, a run's folder, or an expression; with --space several, whose ranks are "
    "combined."
)
BITS_EXAMPLE = "autoprox search --bench mq101 --network resnet20 --proxy hawq_v2 --size 80KB"
SPACE_EXAMPLE = "autoprox search --space autoformer --proxy l2_norm --params 5M:7M"


limit_options = together(
    option("--size", "At most so many bytes; KB are 1000, MB 1000 KB.", "", "SIZE"),
    option("--bops", "At most so many bit operations; K, M, G, T.", "", "N"),
    option("--average-bits", "At most so many bits a weight.", "", "X"),
)
"""The limits, of which one is given."""
LIMITS = tuple(sorted(parameters_of(limit_options), reverse=True))


def _widths(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> tuple[int, ...]:
    """Read numbers between commas."""
    try:
        return tuple(map(int, several(ctx, param, values)))
    except ValueError:
        raise click.BadParameter(
            f"expected bits between commas, as in 2,4,8; got {', '.join(values)!r}"
        ) from None


bits_options = together(
    option("--network", "One of the bench's trained networks, such as resnet20.", "", "NAME"),
    limit_options,
    option("--widths", "The bits to choose from.", "2,3,4,5,6,7,8", "A,B,…", multiple=True,
           callback=_widths),
    option("--data", DATA, "", "FILE", type=PATH),
    option("--test", TEST, "the file of --data", "FILE", type=PATH),
    option("--calibration", "On how many training images it is calibrated.", "512, or half",
           type=int),
    option("--trials", TRIALS, "none", "N", type=click.IntRange(min=1)),
)  # fmt: skip
"""What a search of bits alone takes."""

space_options = together(setting_options, reporting_options, folder_options, machine_options)
"""What a search of architectures alone takes."""


@click.command(epilog=f"\b\nExamples:\n  {SPACE_EXAMPLE}\n  {BITS_EXAMPLE}")
@option("--space", SPACES, "", "NAME|FILE.py")
@option("--bench", "Bits: the bench, or a file that defines one.", "", "NAME|FILE.py")
@listing("--proxy", PROXIES, metavar="PROXY,…")
@space_options
@bits_options
@option("--images", "Show the network images, an .npz or a folder.",
        "noise; of bits, those of --data", "PATH")  # fmt: skip
@option("--batch", "How many inputs it sees.", f"8; of bits {BATCH}", type=click.IntRange(1))
@option("--sample", "Entries kept of each layer's tensor.", "full; of bits 512", "N|full",
        callback=entries)  # fmt: skip
@option(
    "--evaluations",
    "How many architectures, or configurations of evolution, are scored.",
    "1000; of bits 10000",
    type=click.IntRange(min=1),
)
@option(
    "--seed", "Seed of the search; of bits, of batch and sample too.", "0", type=click.IntRange(0)
)
@json_option
@quiet_option
@click.pass_context
def search(ctx: click.Context, /, **options: Any) -> None:
    """Search for networks by a proxy: an architecture, or bits.

    With --space: scores untrained architectures within limits of parameters and operations, and
    prints the best and how to build them. Ctrl-C keeps what was found; --resume goes on.

    With --algorithm shgo: fits models to the accuracies of a few architectures instead, and prints
    the one they promise most of within the limits.

    With --bench: chooses bits for the layers of a trained network, within a limit. Prints the bits
    that give the proxy the largest score; the first and the last layer have 8. Where the score goes
    with a sum over layers they are the best there are, found by integer programming, else good
    ones, found by evolution. With --trials it prints what stays closest to the network itself of
    those tried. Ctrl-C keeps the best by then.
    """
    _check_usage(ctx, options)
    if options["algorithm"] == "shgo":
        search_accuracies(options)
    elif options["bench"] is None:
        search_space(ctx, options)
    else:
        unused = {"space", *parameters_of(space_options)}
        _search_bits(ctx, **{name: options[name] for name in options.keys() - unused})


def _check_usage(ctx: click.Context, options: dict[str, Any]) -> None:
    """Refuse options of the other search, and missing ones."""
    begun = [name for name in ("resume", "space", "bench") if options[name] is not None]
    if begun == ["resume", "space"]:  # a space in a file has to be named again
        begun = ["resume"]
    if len(begun) != 1:
        raise click.UsageError(
            "give --space for an architecture, --bench for bits, or --resume to go on with an "
            f"architecture; got {', '.join(f'--{name}' for name in begun) or 'none of them'}"
        )
    foreign = parameters_of(space_options if begun == ["bench"] else bits_options)
    if begun == ["resume"]:
        foreign = options.keys() - {"space", "json_file", "quiet", *BESIDE_RESUME}
    mixed = typed(ctx, foreign)
    if mixed:
        raise click.UsageError(f"--{begun[0]} does not go with {', '.join(mixed)}")
    if options["algorithm"] == "shgo":
        mixed = typed(ctx, options.keys() - TAKEN - {"json_file", "quiet"})
        if mixed:
            raise click.UsageError(f"--algorithm shgo does not go with {', '.join(mixed)}")
        return
    mixed = typed(ctx, {"labels", "target"})
    if mixed:
        raise click.UsageError(f"{', '.join(mixed)} goes with --algorithm shgo")
    if begun != ["resume"] and not options["proxy"]:
        raise click.UsageError("give --proxy, such as zico or a run's folder")
    if begun == ["bench"] and (options["network"] is None or len(options["proxy"]) != 1):
        raise click.UsageError("--bench goes with one --network and one --proxy")


def _search_bits(
    ctx: click.Context,
    bench: str,
    network: str,
    data: str | None,
    test: str | None,
    json_file: str | None,
    quiet: bool,
    **options: Any,
) -> None:
    """Choose bits for the layers of a trained network."""
    beside = test, options["calibration"], options["trials"]
    if data is None and any(value is not None for value in beside):
        raise click.UsageError("--test, --calibration and --trials go with --data")
    check_test(data, test)
    from autoprox.benches import load_bench
    from autoprox.search.bits.comparison import calibration_of, cifar_images

    loaded = load_bench(bench)
    parts = None
    if data is not None:  # what cannot be is told before the search
        parts = cifar_images(loaded, data, "train"), cifar_images(loaded, test or data, "test")
        options["calibration"] = calibration_of(parts[0], options["calibration"])
    with counting(quiet) as show:
        choice = _chosen(loaded, network, parts and parts[0], options, show)
    if json_file is None:
        _print_choice(choice, network)
    rows: list[QuantisedRow] = []
    finished = choice.finished
    try:
        if parts is not None and finished:
            with counting(quiet) as show:
                for row in _compared(loaded, network, choice, parts, options, show):
                    rows.append(row)
    except KeyboardInterrupt:
        finished = False
    finally:
        _report(choice, rows, network, json_file)
    if not finished:
        click.echo("interrupted; this is the best by then", err=True)
        ctx.exit(INTERRUPTED)


def _chosen(
    bench: Bench, network: str, train: Images | None, options: dict[str, Any], show: Progress
) -> BitChoice:
    """Search with the network shown what the options say."""
    from autoprox.measuring.probe import Probe
    from autoprox.search.bits import search_bits
    from autoprox.search.bits.comparison import drawn_batch, trained_network
    from autoprox.search.bits.trials import PLENTY

    trained = trained_network(bench, network)
    batch, seed, images = options["batch"] or BATCH, options["seed"] or 0, options["images"]
    if train is not None and images is None:
        shown = drawn_batch(train, batch, seed)
    else:
        shown = Probe(batch, seed, images=images).inputs(bench)
    settings = given_only(options, *LIMITS, "widths", "sample", "seed", "evaluations", "trials")
    if train is not None and options["trials"] is not None:
        settings["calibration"] = calibrating = options["calibration"]
        settings["images"], _ = drawn_batch(train, calibrating + PLENTY, seed)
    return search_bits(trained, *shown, options["proxy"][0], progress=show, **settings)


def _compared(
    bench: Bench,
    network: str,
    choice: BitChoice,
    parts: tuple[Images, Images],
    options: dict[str, Any],
    show: Progress,
) -> Iterator[QuantisedRow]:
    """Measure the true accuracy of the choice and of others within the limit."""
    from autoprox.search.bits.comparison import builder_of, others
    from autoprox.search.bits.limits import limit_of

    limit = limit_of({name: options[name] for name in LIMITS})
    named = {"chosen": tuple(choice.bits.values())}
    if choice.untried is not None and choice.untried.bits != choice.bits:
        named["chosen before trials"] = tuple(choice.untried.bits.values())
    named |= others(bench, network, choice.costs, limit, **given_only(options, "widths"))
    show("calibrating", 0, 1)
    builder = builder_of(bench, network, *parts, options["calibration"])
    for done, (name, bits) in enumerate(named.items()):
        show(f"measuring the accuracy of: {name}", done, len(named))
        yield builder.measured(name, bits)
    show("accuracies measured", len(named), len(named))


def _report(
    choice: BitChoice, rows: list[QuantisedRow], network: str, json_file: str | None
) -> None:
    """Write the file, then print what is not printed yet unless standard output is taken."""
    facts = {
        "network": network,
        **choice.to_json(),
        "compared": [dataclasses.asdict(row) for row in rows],
    }
    if put_json(facts, json_file):
        return
    if json_file is not None:
        _print_choice(choice, network)
    if rows:
        out = console()
        out.print(_accuracy_table(choice, rows))
        out.print("accuracy: on the test images, after post-training quantisation", soft_wrap=True)


def _print_choice(choice: BitChoice, network: str) -> None:
    """Print the bits of every layer, what they cost, and how they were found."""
    out = console()
    out.print(_layer_table(choice))
    out.print(
        f"{network}: {choice.size_bytes / 1000:.2f} KB, {choice.bops / 1e9:.4g} G bit operations, "
        f"{choice.average_bits:.2f} bits a weight between the first and the last layer",
        soft_wrap=True,
    )
    score = "no score" if choice.score is None else f"score {choice.score:.6g}"
    out.print(f"{score}, {_how(choice)}", soft_wrap=True)


def _how(choice: BitChoice) -> str:
    if choice.untried is not None:
        distance, began = f"divergence {choice.divergence:.3g} nats", _how(choice.untried)
        if choice.bits == choice.untried.bits:
            return f"{began}; none of {choice.evaluated} tried is closer to the network, {distance}"
        return (
            f"the closest to the network of {choice.evaluated} tried, {distance}; the first of "
            f"them was {began}"
        )
    if choice.found_by == "evolution":
        return f"the best of {choice.evaluated} configurations that evolution scored"
    return "the best there is within the limit, by integer programming"


def _layer_table(choice: BitChoice) -> Table:
    shown = table(["layer"], ["weights", "bits"])
    for layer in choice.costs.layers:
        shown.add_row(layer.name, str(layer.weights), str(choice.bits[layer.name]))
    return shown


def _accuracy_table(choice: BitChoice, rows: list[QuantisedRow]) -> Table:
    from autoprox.search.bits.limits import average_bits

    shown = table(["bits"], ["accuracy", "KB", "G BOPs", "bits a weight"])
    for row in rows:
        shown.add_row(
            row.name,
            f"{row.accuracy:.2f} %",
            f"{row.size_bytes / 1000:.2f}",
            f"{row.bops / 1e9:.4g}",
            f"{float(average_bits(choice.costs, row.bits)):.2f}",
        )
    return shown

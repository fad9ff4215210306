"""``autoprox evolve``: discover proxies, watch it, read the report."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from autoprox.cli.live import Watcher, watcher
from autoprox.cli.options import (
    INTERRUPTED,
    MACHINE,
    architectures_option,
    console,
    device_option,
    given_only,
    go_on,
    hired,
    machine_options,
    names,
    option,
    probe_options,
    quiet_option,
    typed,
)

if TYPE_CHECKING:
    from autoprox.evolution.record import Run

BESIDE_RESUME = ("resume", *MACHINE, "permutations", "loggers", "quiet", "as_json")
"""The parameters that a resumed run takes; the others are settings, which it keeps."""


ALGORITHMS = (
    "default, random, autoprox (Auto-Prox, AAAI 2024), emq (EMQ, ICCV 2023), or one that the "
    "bench's file registers."
)
PARAMETERS = "Of the algorithm, such as crossover=0.3; repeatable."
CORRELATION = "Fitness is the mean of this rank correlation with the targets."
BENCHES = "The bench to discover on, a file that defines one, or several between commas."
SPACES = (
    "Evolve on this space only (of several benches: BENCH/SPACE); repeatable. The others are "
    "reported as transfer."
)
PERMUTATIONS = "Repeat the search so often on shuffled accuracies: what luck alone finds."
SEEDS = "Proxies in the first population: names, files, expressions."
LOGGERS = "Log the run to TensorBoard: into the run's folder, or a new one in DIR."
EXAMPLE = "autoprox evolve --bench vit101 --space pit --evaluations 5000 --seed 1"


def parameters(
    ctx: click.Context, param: click.Parameter, values: tuple[str, ...]
) -> dict[str, Any]:
    """Return parameters of an algorithm by name; what is no JSON is a text.

    Raises:
        click.BadParameter: one is not of the form ``NAME=VALUE``.
    """
    read: dict[str, Any] = {}
    for text in values:
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise click.BadParameter(f"expected NAME=VALUE, as in crossover=0.3; got {text!r}")
        try:
            read[name] = json.loads(value)
        except ValueError:
            read[name] = value
    return read


@click.command(epilog=f"\b\nExample:\n  {EXAMPLE}")
@option("--bench", BENCHES, metavar="NAME|FILE.py,…")
@option("--space spaces", SPACES, metavar="NAME", multiple=True)
@option("--target targets", "Rank by this; repeatable.", "the bench's", "NAME", multiple=True)
@architectures_option
@option("--correlation", CORRELATION, "the bench's", "somers|kendall|spearman")
@option("--algorithm", ALGORITHMS, "default", "NAME")
@option(
    "--parameter parameters", PARAMETERS, metavar="NAME=VALUE", multiple=True, callback=parameters
)
@option(
    "--evaluations",
    "How many distinct candidates to judge.",
    "AUTOPROX_EVALUATIONS, or 10000",
    type=int,
    envvar="AUTOPROX_EVALUATIONS",
)
@option("--population", "How many candidates survive.", "100", type=int)
@option("--batch", "How many candidates a generation proposes.", "200", type=int)
@option("--complexity", "The most nodes of a proxy.", "16", type=int)
@option("--seed", "Of the search.", "0", type=int)
@option("--split-seed", "Of the split into search and held-out part.", "0", type=int)
@option("--held-out", "The share that the search never sees.", "0.4", "SHARE", type=float)
@option("--statistics", "Words to write with.", "the bench's", "A,B,…", callback=names)
@option("--permutations", PERMUTATIONS, "0", type=int)
@option("--seed-proxies", SEEDS, metavar="A,B,…", callback=names)
@probe_options
@device_option
@machine_options
@option("--out", "The run's folder.", "a new one in runs/", "DIR", type=click.Path())
@option("--resume", "Go on with the run in this folder.", metavar="RUN", type=click.Path())
@option("--log loggers", LOGGERS, metavar="tensorboard[:DIR]", multiple=True)
@quiet_option
@click.option("--json", "as_json", is_flag=True, help="Print report.json instead of tables.")
@click.pass_context
def evolve(ctx: click.Context, /, **given: Any) -> None:
    """Discover a proxy for a bench.

    Measures every architecture once (kept in the cache), then searches. Ctrl-C stops with a
    report of what there is; --resume goes on from there, and takes --jobs, --backend, --scheduler,
    --cache, --permutations, --log, --quiet and --json only.
    """
    _check_usage(ctx, given)
    watch = watcher(given["quiet"])
    try:
        with watch:
            run = _evolved(given, watch)
    except KeyboardInterrupt:
        _say_what_is_kept(watch, given["cache"])
        ctx.exit(INTERRUPTED)
    _report(run, watch.taken, given["as_json"])
    if not run.finished:
        command = go_on("evolve", resume=run.folder, cache=given["cache"])
        click.echo(f"interrupted; go on with: {command}", err=True)
        ctx.exit(INTERRUPTED)


def _check_usage(ctx: click.Context, given: dict[str, Any]) -> None:
    """Refuse a resumed run with settings, and a run of nothing.

    Raises:
        click.UsageError: the options do not go together.
    """
    if given["resume"] is None and given["bench"] is None:
        raise click.UsageError("give --bench NAME for a new run, or --resume RUN to go on with one")
    if given["resume"] is None:
        return
    beside = {str(param.name) for param in ctx.command.params} - {*BESIDE_RESUME}
    mixed = typed(ctx, beside)
    if mixed:
        raise click.UsageError(
            f"--resume keeps the settings of its run: leave out {', '.join(mixed)}, or start a new "
            "run without --resume (beside it go --jobs, --backend, --scheduler, --cache, "
            "--permutations, --log, --quiet and --json)"
        )


def _evolved(given: dict[str, Any], watch: Watcher) -> Run:
    """Start or resume the run."""
    from autoprox.evolution.run import evolve as run_evolve

    common = {
        **hired(given),
        "cache": given["cache"],
        "observer": watch,
        "loggers": given["loggers"],
    }
    if given["resume"] is not None:
        more = given_only(given, "permutations")
        return run_evolve(resume=given["resume"], **common, **more)
    apart = {*BESIDE_RESUME, "bench", "out"} - {"permutations"}
    settings = given_only({name: given[name] for name in given.keys() - apart})
    return run_evolve(given["bench"], out=given["out"], **common, **settings)


def _report(run: Run, taken: str, as_json: bool) -> None:
    if as_json:
        click.echo((run.folder / "report.json").read_text(encoding="utf-8"), nl=False)
        return
    from autoprox.cli.report import print_report

    print_report(run, taken, console())


def _say_what_is_kept(watch: Watcher, cache: str | None) -> None:
    """Say, after Ctrl-C before there is anything to report, what the next run need not do again."""
    if watch.folder is None:
        click.echo("interrupted", err=True)
        return
    done, total = watch.measured
    if done < total:
        click.echo(
            f"interrupted: {done} of {total} architectures were measured, and the cache keeps them",
            err=True,
        )
    else:
        click.echo("interrupted before there was anything to report", err=True)
    command = go_on("evolve", resume=watch.folder, cache=cache)
    click.echo(f"go on with: {command}", err=True)

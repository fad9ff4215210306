"""``autoprox evolve``: discover proxies, watch it, read the report."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from autoprox.cli.live import Watcher, watcher
from autoprox.cli.options import (
    INTERRUPTED,
    MACHINE,
    PATH,
    architectures_option,
    by_name,
    console,
    device_option,
    given_only,
    json_option,
    listing,
    machine_options,
    option,
    probe_options,
    put_text,
    quiet_option,
    teacher_options,
    typed,
)
from autoprox.cli.several import (
    common_arguments,
    say_how_to_go_on,
    several_runs,
)
from autoprox.runs.contents import holds_several

if TYPE_CHECKING:
    from autoprox.runs.record import Run

MORE = ("evaluations", "permutations")
"""The settings of which a resumed run takes more."""

BESIDE_RESUME = ("resume", *MACHINE, *MORE, "loggers", "quiet", "json_file")
"""The parameters that a resumed run takes; the others are settings, which it keeps."""


ALGORITHMS = (
    "default, random, autoprox (Auto-Prox, AAAI 2024), emq (EMQ, ICCV 2023), or one that the "
    "bench's file registers."
)
PARAMETERS = "A parameter of the algorithm, such as crossover=0.3; repeatable."
CORRELATION = "Fitness is the mean of this rank correlation with the targets."
BENCHES = "The bench to discover on, a file that defines one, or several between commas."
SPACES = (
    "Evolve on these spaces only (of several benches: BENCH/SPACE). The others are "
    "reported as transfer."
)
LEAVE_OUT = "Of several benches: measure these, do not evolve on them."
LEAVE_ONE_OUT = "One run for each of several benches, which it never sees, and one table of these."
OVER = "How several benches become one fitness; gain and wins compare it with the counts."
FITNESSES = "mean|median|worst|gain|wins|share|lexicase"
FORMULAS = "What to write: anything, or products and quotients of two small terms."
COMPARING = "Every formula compares the network with its --teacher: tensors of both meet."
PERMUTATIONS = "Repeat the search so often on shuffled accuracies: what luck alone finds."
SEEDS = "Proxies in the first population: names, files, expressions."
SEVERAL = (
    "So many runs, in one folder: --seed and the next, each with a split of its own, or with that "
    "of --split-seed if it is given."
)
FROM = "Begin with the front of this run, and its settings but for those given, with its split."
LOGGERS = "Log the run to TensorBoard: into the run's folder, or a new one in DIR."
EXAMPLE = "autoprox evolve --bench vit101 --space pit --evaluations 5000 --seed 1"


def _json_or_text(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


@click.command(epilog=f"\b\nExample:\n  {EXAMPLE}")
@option("--bench", BENCHES, metavar="NAME|FILE.py,…")
@listing("--space spaces", SPACES)
@listing("--leave-out", LEAVE_OUT)
@click.option("--leave-one-out", is_flag=True, help=LEAVE_ONE_OUT)
@option("--over", OVER, "wins of three and more, else mean", FITNESSES)
@option("--formulas", FORMULAS, "small of three benches and more, else any", "any|small")
@listing("--target targets", "Rank by these.", "the bench's")
@architectures_option
@option("--correlation", CORRELATION, "the bench's", "somers|kendall|spearman")
@option("--algorithm", ALGORITHMS, "default", "NAME")
@option("--parameter parameters", PARAMETERS, metavar="NAME=VALUE", multiple=True,
        callback=by_name("NAME=VALUE, as in crossover=0.3", _json_or_text))  # fmt: skip
@option(
    "--evaluations",
    "How many distinct candidates to judge.",
    "AUTOPROX_EVALUATIONS, or 10000",
    type=int,
    envvar="AUTOPROX_EVALUATIONS",
)
@option("--population", "How many candidates survive.", "100", type=int)
@option("--proposals", "How many candidates a generation proposes.", "200", type=int)
@option("--complexity", "The most nodes of a proxy.", "16", type=int)
@option("--seed", "Seed of the search.", "0", type=int)
@option("--seeds", SEVERAL, type=click.IntRange(min=1))
@option("--split-seed", "Seed of the split into search and held-out part.", "0", type=int)
@option("--held-out-share", "What the search never sees.", "0.4", "SHARE", type=float)
@listing("--statistics", "Words to write with.", "the bench's")
@option("--permutations", PERMUTATIONS, "0", type=int)
@listing("--seed-proxies", SEEDS)
@probe_options
@device_option
@teacher_options
@click.option("--comparing", is_flag=True, help=COMPARING)
@machine_options
@option("-o --out", "The run's folder.", "a new one in runs/", "DIR", type=PATH)
@option("--resume", "Go on with the run or the runs in this folder.", metavar="RUN", type=PATH)
@option("--from started_from", FROM, metavar="RUN", type=PATH)
@option("--log loggers", LOGGERS, metavar="tensorboard[:DIR]", multiple=True)
@quiet_option
@json_option
@click.pass_context
def evolve(ctx: click.Context, /, **options: Any) -> None:
    """Discover a proxy for a bench.

    Measures every architecture once (kept in the cache), then searches. Ctrl-C stops with a
    report of what there is; --resume goes on from there, and takes --jobs, --backend, --scheduler,
    --cache, --log, --quiet and --json only; more --evaluations and --permutations than before; and
    --bench FILE.py where the run's bench is a file, for no file is executed because a folder names
    it.
    """
    _check_usage(ctx, options)
    if options["resume"] is not None:
        # The environment does not give a resumed run more.
        options |= {name: None for name in MORE if not typed(ctx, (name,))}
    begins_several = options["seeds"] is not None or options["leave_one_out"]
    if begins_several or (options["resume"] and holds_several(options["resume"])):
        several_runs(ctx, options, _settings(options))
        return
    watch = watcher(options["quiet"])
    try:
        with watch:
            run = _evolved(options, watch)
    except KeyboardInterrupt:
        _say_what_is_kept(watch, options)
        ctx.exit(INTERRUPTED)
    if not put_text((run.folder / "report.json").read_text(encoding="utf-8"), options["json_file"]):
        from autoprox.cli.run_tables import print_report

        print_report(run, watch.taken, console())
    if not run.finished:
        say_how_to_go_on(run.folder, run.settings.bench, options)
        ctx.exit(INTERRUPTED)


def _check_usage(ctx: click.Context, options: dict[str, Any]) -> None:
    """Refuse options that do not go together, and a run of nothing."""
    if all(options[name] is None for name in ("resume", "bench", "started_from")):
        raise click.UsageError(
            "give --bench NAME for a new run, --from RUN to begin with the front of one, or "
            "--resume RUN to go on with one"
        )
    apart: tuple[str, ...] = ("split_seed", "started_from") if options["leave_one_out"] else ()
    if mixed := typed(ctx, apart):
        raise click.UsageError(
            f"--leave-one-out begins runs with splits of their own: leave out {', '.join(mixed)}"
        )
    if options["started_from"] is not None and options["seed_proxies"]:
        raise click.UsageError("--from begins with the front of a run: leave out --seed-proxies")
    if options["leave_one_out"] and options["leave_out"]:
        raise click.UsageError("give --leave-out for one run, or --leave-one-out for all in turn")
    if options["resume"] is None:
        return
    beside = {str(param.name) for param in ctx.command.params} - {*BESIDE_RESUME}
    if ".py" in (options["bench"] or ""):  # a bench in a file has to be named again
        beside -= {"bench"}
    if ".py" in (options["teacher"] or ""):  # and so has a teacher
        beside -= {"teacher"}
    mixed = typed(ctx, beside)
    if mixed:
        raise click.UsageError(
            f"--resume keeps the settings of its run: leave out {', '.join(mixed)}, or start a new "
            "run without --resume (beside it go --jobs, --backend, --scheduler, --cache, "
            "--evaluations, --permutations, --log, --quiet, --json, and --bench for a bench in a "
            "file)"
        )


def _settings(options: dict[str, Any]) -> dict[str, Any]:
    """Return the settings given, without the bench; of a resumed run those it may change."""
    if options["resume"] is not None:
        return given_only(options, *MORE, "teacher")
    apart = {*BESIDE_RESUME, "bench", "out", "seeds", "leave_one_out", "started_from"} - {*MORE}
    return given_only(options, *(options.keys() - apart))


def _evolved(options: dict[str, Any], watch: Watcher) -> Run:
    """Start or resume the run."""
    from autoprox.runs.evolve import evolve as run_evolve
    from autoprox.runs.starting import evolve_from

    common = common_arguments(options, watch)
    settings, bench = _settings(options), options["bench"] or ""
    if options["resume"] is not None:
        return run_evolve(bench, resume=options["resume"], **common, **settings)
    if options["started_from"] is not None:
        return evolve_from(options["started_from"], bench, out=options["out"], **common, **settings)
    return run_evolve(bench, out=options["out"], **common, **settings)


def _say_what_is_kept(watch: Watcher, options: Mapping[str, Any]) -> None:
    """Say, after Ctrl-C before there is anything to report, what the next run need not do again."""
    if watch.folder is None:
        click.echo("interrupted", err=True)
        return
    done, total = watch.measured
    before = "interrupted before there was anything to report; "
    if watch.stopped:
        before = "interrupted without a report; "
    if done < total:
        before = (
            f"interrupted: {done} of {total} architectures were measured, and the cache keeps "
            "them; "
        )
    say_how_to_go_on(watch.folder, watch.bench, options, before)

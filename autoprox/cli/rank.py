"""``autoprox rank``: the leaderboard of proxies on a bench."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from autoprox.assessment.wording import (
    EXPLAINED_PARTIAL,
    EXPLAINED_USE,
    figure,
    half_width,
    readable_seconds,
)
from autoprox.cli.live import Watcher, watcher
from autoprox.cli.options import (
    HIRING,
    INTERRUPTED,
    OUTPUT_OR_STDOUT,
    architectures_option,
    console,
    device_option,
    entries,
    given_only,
    hired,
    json_option,
    json_text,
    latex_option,
    listing,
    machine_options,
    option,
    picture_option,
    put_text,
    quiet_option,
    teacher_options,
    typed,
)
from autoprox.cli.streams import echo_json, echo_text
from autoprox.cli.tables import grid, print_figures, print_pairs, print_partial

if TYPE_CHECKING:
    from rich.console import Console

    from autoprox.leaderboard.board import Leaderboard, LeaderboardRow
    from autoprox.measuring.scoring import Outlook
    from autoprox.proxies.loading import Source
    from autoprox.ranking.figures import ColumnFigures

HELD_OUT = (
    "Only the part that a search with the same --architectures, --split-seed and the default "
    "--held-out-share does not see."
)
PLAIN = "Draw from all alike; else equal architectures (one isomorphism class) are drawn last."
TOGETHER = (
    "Rank, beside each PROXY, the best proxies of all runs in this folder by the mean of their "
    "ranks; repeatable."
)
SAMPLE = "Entries kept of each layer's tensor; 512 takes what autoprox evolve measured."
EXAMPLE = "autoprox rank --bench vit101 zico snip params --held-out --draw board.svg"


@click.command(epilog=f"\b\nExample:\n  {EXAMPLE}")
@click.argument("proxies", metavar="[PROXY]...", nargs=-1)
@option("--bench", "The bench, or a file that defines one.", "", "NAME|FILE.py", required=True)
@listing("--space spaces", "Only these spaces.", "all")
@listing("--target targets", "Rank by these.", "the bench's")
@architectures_option
@click.option("--plain", is_flag=True, help=PLAIN)
@click.option("--held-out", is_flag=True, help=HELD_OUT)
@option("--together", TOGETHER, "", "RUNS", multiple=True)
@option("--split-seed", "Seed of the split into search and held-out part.", "0", type=int)
@option("--sample", SAMPLE, "full", "N|full", callback=entries)
@option("--batch", "How many inputs a network sees.", "8", type=click.IntRange(min=1))
@option("--images", "Show the networks images, an .npz or a folder.", "seeded noise", "PATH")
@option("--probe-seed", "Seed of weights, noise and sample.", "0", type=int)
@device_option
@teacher_options
@machine_options
@option("--top", "How many proxies to show.", "all", type=click.IntRange(min=1))
@json_option
@option("--csv csv_file", "Write a line a proxy there; - for standard output.", "", "FILE|-",
        type=OUTPUT_OR_STDOUT)  # fmt: skip
@latex_option
@picture_option
@quiet_option
@click.pass_context
def rank(ctx: click.Context, /, **options: Any) -> None:
    """Rank proxies by how well they rank the architectures of a bench.

    PROXY is a name, a file, a run's folder, or an expression; without any, all that ship are
    ranked, on benches of bits those that use bits. Every architecture is measured once for all of
    them, and the scores are kept. Ctrl-C loses only what is in work: call it again to go on.
    """
    if typed(ctx, ("split_seed",)) and not options["held_out"]:
        raise click.UsageError("--split-seed goes with --held-out")
    _check_outputs(options)
    watch = watcher(options["quiet"])
    try:
        with watch:
            board = _ranked(options, watch)
    except KeyboardInterrupt:
        done, total = watch.measured
        click.echo(
            f"interrupted: {done} of {total} architectures are scored and kept; the same command "
            "goes on from there",
            err=True,
        )
        ctx.exit(INTERRUPTED)
    _report(board, options, watch)


def _check_outputs(options: dict[str, Any]) -> None:
    """Refuse outputs that would overwrite each other, and pictures of another kind."""
    if [options["json_file"], options["csv_file"], options["latex"]].count("-") > 1:
        raise click.UsageError("only one of --json, --csv and --latex can go to standard output")
    places: dict[Path, str] = {}
    named = {"--json": "json_file", "--csv": "csv_file", "--latex": "latex", "--draw": "picture"}
    for flag, name in named.items():
        if options[name] in (None, "-"):
            continue
        place = Path(options[name]).resolve()
        if place in places:
            raise click.UsageError(f"{places[place]} and {flag} are one file: {options[name]}")
        places[place] = flag
    if options["picture"] is not None:
        from autoprox.show.draw.style import check_path, matplotlib

        check_path(options["picture"])
        matplotlib()


def _ranked(options: dict[str, Any], watch: Watcher) -> Leaderboard:
    from autoprox.assessment.assess import costly
    from autoprox.benches import load_bench
    from autoprox.leaderboard.run import rank as run_rank
    from autoprox.runs.several_record import read_runs

    command_options = (
        "bench",
        "proxies",
        "together",
        "top",
        "json_file",
        "csv_file",
        "latex",
        "picture",
        "quiet",
    )
    settings = given_only(options, *(options.keys() - {*command_options, *HIRING}))

    bench = load_bench(options["bench"])  # first of all: its file may define words of the runs
    proxies: list[Source] = [*options["proxies"]]
    proxies += [read_runs(folder).together for folder in options["together"]]
    left_out = [] if proxies else costly(bench)
    if left_out:
        watch.say(f"left out, as they take minutes a network, unless named: {', '.join(left_out)}")

    def tell(outlook: Outlook) -> None:
        watch.slow = outlook.built  # they come first; the scores of the others need no network
        watch.say(outlook_in_words(outlook))

    return run_rank(
        proxies or None,
        options["bench"],
        **hired(options),
        progress=lambda _, done, total: watch.measuring(done, total),
        outlook=tell,
        **settings,
    )


def outlook_in_words(outlook: Outlook) -> str:
    """Say what has to be measured, or about how long it takes."""
    from autoprox.statistics import DEFAULT_SAMPLE

    if outlook.seconds is not None:
        return f"about {readable_seconds(outlook.seconds)} left, as the first networks took"
    if not outlook.lacking:
        return "the cache has all scores: nothing is measured"
    lacking = f"{outlook.lacking} of {outlook.networks} networks lack scores or times"
    if not outlook.built:
        return f"{lacking}; the cache has all statistics: no network is built"
    parts = {
        "measure": ", ".join(outlook.statistics),
        "compute": ", ".join(outlook.functions),
        "time proxies on": f"{outlook.timed} of them" if outlook.timed else "",
    }
    todo = "; ".join(f"{verb} {items}" for verb, items in parts.items() if items)
    sentence = f"{lacking}; {outlook.built} are built, to {todo}"
    if outlook.sample == "full" and outlook.statistics:
        sentence += f" (whole tensors; --sample {DEFAULT_SAMPLE} takes what a search measured)"
    return sentence


def _report(board: Leaderboard, options: dict[str, Any], watch: Watcher) -> None:
    """Write the files and the picture, then print the table unless standard output is taken.

    Files come first, for whoever reads what is printed may stop doing so.
    """
    from autoprox.show.latex import board_latex

    outputs: dict[Any, Callable[[], str]] = {
        options["json_file"]: lambda: json_text(board.to_json()),
        options["csv_file"]: board.to_csv,
        options["latex"]: lambda: board_latex(board, options["top"]),
    }
    outputs.pop(None, None)
    printed = outputs.pop("-", None)
    try:
        for path, text in outputs.items():
            put_text(text(), path)
        if options["picture"] is not None:
            from autoprox.show.draw.leaderboards import save_chart

            save_chart(board, options["picture"], options["top"])
            click.echo(f"drawn into {options['picture']}", err=True)
    finally:  # there may be nothing to draw
        if printed is None:
            print_board(board, options["top"], watch.seconds, console())
        else:
            (echo_json if options["json_file"] == "-" else echo_text)(printed())


def print_board(board: Leaderboard, top: int | None, seconds: float, out: Console) -> None:
    """Print a leaderboard for a reader."""
    from autoprox.leaderboard.board import TITLES, cells_of

    ranked = [row for row in board if row.place is not None][:top]
    part = "held-out architectures" if board.settings["held_out"] else "architectures"
    out.print(
        f"{board.bench}: {len(board.architectures)} {part}, {len(board)} proxies, "
        f"{readable_seconds(seconds)}",
        soft_wrap=True,
    )
    if ranked:
        print_figures(out, TITLES, [cells_of(row) for row in ranked], keys=2)
        pairs = [(row.marked, [*map(_somers_pair, row.columns)]) for row in ranked]
        print_pairs(out, ("D ±", "ρ"), board.columns, pairs)  # noqa: RUF001
        print_partial(out, [(row.marked, row.columns) for row in ranked])
        if ranked[0].best:
            shares = ", ".join(f"{best.share:.0%}" for best in ranked[0].columns[0].best)
            lines = [[row.marked, *map(_best_cell, row.columns)] for row in ranked]
            print_figures(out, [f"ρ ± {shares}", *board.columns], lines)  # noqa: RUF001
            out.print(EXPLAINED_BEST, soft_wrap=True)
        shown = {row.name for row in ranked}
        notes = (note for row, note in board.footnotes.items() if row in shown)
        partial = any(figures.partial is not None for figures in ranked[0].columns)
        for line in (*EXPLAINED, *[EXPLAINED_PARTIAL] * partial, *notes):
            out.print(line, soft_wrap=True)
    noted = [row for row in ranked if row.reason is not None]
    if noted:
        out.print()
        _print_reasons("Of those with a rank:", noted, out)
    failed = [row for row in board if row.place is None]
    if failed:
        out.print()
        _print_reasons(
            "No rank, for want of a score on more than 5 %, or of 3 in a column:", failed, out
        )


EXPLAINED = (
    "joint D: mean over the columns of Somers' D given the accuracy, 95 % bootstrap interval",
    "τ, ρ: means of Kendall's τ-b, which pays for ties, and of Spearman's ρ",  # noqa: RUF001
    EXPLAINED_USE,
    "s: median core seconds a network of the proxy alone; failed: architectures without a score",
)


EXPLAINED_BEST = "ρ 20%, 50%: Spearman's correlation among the best by score"  # noqa: RUF001


def _print_reasons(heading: str, rows: list[LeaderboardRow], out: Console) -> None:
    cells = [(row.name, str(row.failures or ""), row.reason or "") for row in rows]
    out.print(heading)
    out.print(grid((f"  {name}", count, why.partition("\n")[0]) for name, count, why in cells))


def _somers_pair(figures: ColumnFigures) -> tuple[str, str]:
    """Return D ± half its interval, and rho."""
    return _with_half(figures.somers, figures.interval), figure(figures.spearman, ".2f")


def _best_cell(figures: ColumnFigures) -> str:
    """Return rho ± half its interval among the best by score."""
    return "  ".join(_with_half(best.spearman, best.spearman_interval) for best in figures.best)


def _with_half(value: float, interval: tuple[float, float] | None) -> str:
    """Return a figure and half the width of its interval."""
    text = figure(value, ".2f")
    return text if interval is None else f"{text} ±{half_width(interval)}"

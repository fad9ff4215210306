"""``autoprox rank``: the leaderboard of proxies on a bench."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from autoprox.assessment.wording import readable_seconds
from autoprox.cli.live import Watcher, watcher
from autoprox.cli.options import (
    HIRING,
    INTERRUPTED,
    architectures_option,
    console,
    device_option,
    entries,
    given_only,
    hired,
    json_text,
    machine_options,
    option,
    outer_parts,
    quiet_option,
)
from autoprox.cli.tables import NUMBER, column_tables, grid, table
from autoprox.runtime.files import write_text
from autoprox.statistics import DEFAULT_SAMPLE

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from autoprox.leaderboard.board import Leaderboard, LeaderboardRow
    from autoprox.measuring.scoring import Outlook
    from autoprox.ranking.figures import ColumnFigures

HELD_OUT = (
    "Only the part that a search with the same --architectures, --split-seed and the default "
    "--held-out does not see."
)
PLAIN = "Draw from all alike; else equal architectures (one isomorphism class) are drawn last."
SAMPLE = "Entries kept of each layer's tensor; 512 takes what autoprox evolve measured."
EXAMPLE = "autoprox rank --bench vit101 zico snip params --held-out --plot board.svg"


def _several(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    """Cut each value at its commas."""
    return tuple(part.strip() for value in values for part in outer_parts(value) if part.strip())


@click.command(epilog=f"\b\nExample:\n  {EXAMPLE}")
@click.argument("proxies", metavar="[PROXY]...", nargs=-1)
@option("--bench", "The bench, or a file that defines one.", "", "NAME|FILE.py", required=True)
@option("--space spaces", "Only this space; repeatable.", "all", "NAME", multiple=True)
@option(
    "--target --targets targets",
    "Rank by these; repeatable.",
    "the bench's",
    "A,B,…",
    multiple=True,
    callback=_several,
)
@architectures_option
@click.option("--plain", is_flag=True, help=PLAIN)
@click.option("--held-out", is_flag=True, help=HELD_OUT)
@option("--split-seed", "Of the split into search and held-out part.", "0", type=int)
@option("--sample", SAMPLE, "full", "N|full", callback=entries)
@option("--batch", "How many inputs a network sees.", "8", type=click.IntRange(min=1))
@option("--images", "Show the networks images, an .npz or a folder.", "seeded noise", "PATH")
@option("--probe-seed", "Of weights, noise and sample.", "0", type=int)
@device_option
@machine_options
@option("--top", "How many proxies to show.", "all", type=click.IntRange(min=1))
@option("--json json_file", "Write everything there; - for standard output.", "", "FILE|-")
@option("--csv csv_file", "Write a line a proxy there; - for standard output.", "", "FILE|-")
@option("--plot", "Draw the correlations there, .svg or .png.", "", "FILE")
@quiet_option
@click.pass_context
def rank(ctx: click.Context, /, **given: Any) -> None:
    """Rank proxies by how well they rank the architectures of a bench.

    PROXY is a name, a file, a run's folder, or an expression; without any, all that ship are
    ranked, on benches of bits those that use bits. Every architecture is measured once for all of
    them, and the scores are kept. Ctrl-C loses only what is in work: call it again to go on.
    """
    _check_outputs(given)
    watch = watcher(given["quiet"])
    try:
        with watch:
            board = _ranked(given, watch)
    except KeyboardInterrupt:
        done, total = watch.measured
        click.echo(
            f"interrupted: {done} of {total} architectures are scored and kept; the same command "
            "goes on from there",
            err=True,
        )
        ctx.exit(INTERRUPTED)
    _report(board, given, watch)


def _check_outputs(given: dict[str, Any]) -> None:
    """Refuse outputs that would overwrite each other, and pictures of another kind.

    Raises:
        click.UsageError: two outputs have the same place.
        AutoproxError: the picture is neither .svg nor .png.
    """
    if given["json_file"] == given["csv_file"] == "-":
        raise click.UsageError("only one of --json and --csv can go to standard output")
    places: dict[Path, str] = {}
    for flag, name in (("--json", "json_file"), ("--csv", "csv_file"), ("--plot", "plot")):
        if given[name] in (None, "-"):
            continue
        place = Path(given[name]).resolve()
        if place in places:
            raise click.UsageError(f"{places[place]} and {flag} are one file: {given[name]}")
        places[place] = flag
    if given["plot"] is not None:
        from autoprox.show.draw.style import check_path

        check_path(given["plot"])


def _ranked(given: dict[str, Any], watch: Watcher) -> Leaderboard:
    from autoprox.leaderboard.run import rank as run_rank

    own = ("bench", "proxies", "top", "json_file", "csv_file", "plot", "quiet")
    settings = given_only({name: given[name] for name in given.keys() - {*own, *HIRING}})
    return run_rank(
        given["proxies"] or None,
        given["bench"],
        **hired(given),
        progress=watch.measuring,
        outlook=lambda outlook: watch.say(outlook_in_words(outlook)),
        **settings,
    )


def outlook_in_words(outlook: Outlook) -> str:
    """Say what has to be measured, or about how long it takes."""
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
    todo = "; ".join(f"{verb} {what}" for verb, what in parts.items() if what)
    said = f"{lacking}; {outlook.built} are built, to {todo}"
    if outlook.sample == "full" and outlook.statistics:
        said += f" (whole tensors; --sample {DEFAULT_SAMPLE} takes what a search measured)"
    return said


def _report(board: Leaderboard, given: dict[str, Any], watch: Watcher) -> None:
    """Print the table unless standard output is taken, and write the files, the picture last."""
    outputs = {
        given["json_file"]: lambda: json_text(board.to_json()),
        given["csv_file"]: board.to_csv,
    }
    outputs.pop(None, None)
    if "-" in outputs:
        click.echo(outputs.pop("-")(), nl=False)
    else:
        print_board(board, given["top"], watch.seconds, console())
    for path, text in outputs.items():
        write_text(Path(path), text(), "file")
    if given["plot"] is not None:
        from autoprox.show.draw.leaderboards import save_chart

        save_chart(board, given["plot"], given["top"])


def print_board(board: Leaderboard, top: int | None, seconds: float, out: Console) -> None:
    """Print a leaderboard for a reader."""
    ranked = [row for row in board if row.place is not None][:top]
    part = "held-out architectures" if board.settings["held_out"] else "architectures"
    out.print(
        f"{board.bench}: {len(board.architectures)} {part}, {len(board)} proxies, "
        f"{readable_seconds(seconds)}",
        soft_wrap=True,
    )
    if ranked:
        out.print(_main_table(ranked))
        for table in _column_tables(ranked, board.columns, out.width):
            out.print(table)
        if ranked[0].best:
            for table in _best_tables(ranked, board.columns, out.width):
                out.print(table)
            out.print(EXPLAINED_BEST, soft_wrap=True)
        shown = {row.name for row in ranked}
        notes = (note for row, note in board.footnotes.items() if row in shown)
        for line in (*EXPLAINED, *notes):
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
    "lost: points of accuracy lost by taking the best score; of 5: the best of the five best",
    "top 10 %: share of the true best 10 % among the best 10 % by score",
    "s: median core seconds a network of the proxy alone; failed: architectures without a score",
)


EXPLAINED_BEST = "ρ 20%, 50%: Spearman's correlation among the best by score"  # noqa: RUF001


def _print_reasons(heading: str, rows: list[LeaderboardRow], out: Console) -> None:
    cells = [(row.name, str(row.failures or ""), row.reason or "") for row in rows]
    out.print(heading)
    out.print(grid((f"  {name}", count, why.partition("\n")[0]) for name, count, why in cells))


def _main_table(rows: list[LeaderboardRow]) -> Table:
    from autoprox.leaderboard.board import TITLES, cells_of

    shown = table([])
    for title in TITLES:
        look = {"overflow": "fold", "max_width": 40} if title == "proxy" else NUMBER
        shown.add_column(title, **look)
    for row in rows:
        shown.add_row(*cells_of(row))
    return shown


def _column_tables(rows: list[LeaderboardRow], columns: tuple[str, ...], width: int) -> list[Table]:
    """Return the figures of every column, D ± half its interval (rho), in as many tables as fit."""

    def cell(each: ColumnFigures) -> str:
        return f"{_with_half(each.somers, each.interval)} ({each.spearman:.2f})"

    return _tables("D ± (ρ)", rows, columns, width, cell)  # noqa: RUF001


def _best_tables(rows: list[LeaderboardRow], columns: tuple[str, ...], width: int) -> list[Table]:
    """Return rho ± half its interval among the best by score, of every column."""

    def cell(each: ColumnFigures) -> str:
        parts = [_with_half(best.spearman, best.spearman_interval) for best in each.best]
        return "  ".join(parts)

    shares = [f"{best.share:.0%}" for best in rows[0].columns[0].best]
    return _tables(f"ρ ± {', '.join(shares)}", rows, columns, width, cell)  # noqa: RUF001


def _tables(
    title: str,
    rows: list[LeaderboardRow],
    columns: tuple[str, ...],
    width: int,
    cell: Callable[[ColumnFigures], str],
) -> list[Table]:
    """Return a table with a row a proxy and a column a column, cut into as many as fit."""
    lines = [(row.marked, [cell(each) for each in row.columns]) for row in rows]
    return column_tables(title, columns, lines, width, overflow="ellipsis", max_width=24)


def _with_half(value: float, interval: tuple[float, float] | None) -> str:
    """Return a figure and half the width of its interval."""
    if interval is None:
        return f"{value:.2f}"
    half = f"{(interval[1] - interval[0]) / 2:.2f}".removeprefix("0")
    return f"{value:.2f} ±{half}"

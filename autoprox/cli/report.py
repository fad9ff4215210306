"""``autoprox report``: a run as one page."""

from __future__ import annotations

import click

from autoprox.cli.counting import counting
from autoprox.cli.options import (
    OUTPUT,
    PATH,
    latex_option,
    load_words,
    option,
    put_text,
    words_option,
)

EXAMPLE = "autoprox report runs/vit101-default-0"
RANKING = "Show these known proxies beside: a file that autoprox rank --json wrote."


@click.command(epilog=f"\b\nExample:\n  {EXAMPLE}")
@click.argument("run", type=PATH)
@option("-o --out", "The page.", "report.html in the run's folder", "FILE", type=OUTPUT)
@option("--ranking", RANKING, metavar="FILE", type=PATH)
@latex_option
@words_option
def report(
    run: str, out: str | None, ranking: str | None, latex: str | None, bench: str | None
) -> None:
    """Write a run as one HTML page, which opens offline; with --latex as tables for a paper.

    RUN is the folder of a run, finished, stopped or still going.
    """
    load_words(bench)
    if latex is not None:
        from autoprox.runs.record import read_run
        from autoprox.show.latex import run_latex

        if out is not None or ranking is not None:
            raise click.UsageError("--latex writes tables and no page: leave out --out, --ranking")
        put_text(run_latex(read_run(run)), latex)
        return
    from autoprox.show.page import write_page

    with counting(quiet=False) as progress:
        path = write_page(run, out, ranking, progress)
    click.echo(f"written to {path}")

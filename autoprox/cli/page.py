"""``autoprox report``: a run as one page."""

from __future__ import annotations

import click

from autoprox.cli.options import PATH, option

EXAMPLE = "autoprox report runs/vit101-default-0"
RANKING = "Show these known proxies beside: a file that autoprox rank --json wrote."


@click.command(epilog=f"\b\nExample:\n  {EXAMPLE}")
@click.argument("run", type=PATH)
@option("--out", "The page.", "report.html in the run's folder", "FILE", type=PATH)
@option("--ranking", RANKING, metavar="FILE", type=PATH)
def report(run: str, out: str | None, ranking: str | None) -> None:
    """Write a run as one HTML page, which opens offline.

    RUN is the folder of a run, finished, stopped or still going.
    """
    from autoprox.show.page import write_page

    click.echo(f"written to {write_page(run, out, ranking)}")

"""``autoprox cite``: BibTeX of what a run or a proxy stands on."""

from __future__ import annotations

from pathlib import Path

import click

from autoprox.cli.options import PATH, load_words, words_option
from autoprox.cli.streams import echo_text

EXAMPLE = "autoprox cite runs/vit101-default-0 zico az_nas > references.bib"


@click.command(epilog=f"\b\nExample:\n  {EXAMPLE}")
@click.argument("sources", metavar="RUN|PROXY…", nargs=-1, required=True, type=PATH)
@words_option
def cite(sources: tuple[str, ...], bench: str | None) -> None:
    """Print BibTeX of every paper that runs and proxies stand on, and of autoprox.

    Of a RUN's folder: DEAP, its benches, its algorithm, the statistics of its best proxies, and the
    known proxies beside them. Of a PROXY (a name, a file, an expression): its paper, those of its
    statistics, and the bench that it was found on; of a fitted one those of its model, of what it
    reads, and of the bench of its labels. Only what these say of their papers themselves.
    """
    from autoprox.proxies.loading import load
    from autoprox.runs.record import read_run
    from autoprox.show.citing import bibliography

    load_words(bench)
    echo_text(
        bibliography(
            read_run(source) if (Path(source) / "config.json").is_file() else load(source)
            for source in sources
        )
    )

"""``autoprox export``: a proxy for one's own code, paper or page."""

from __future__ import annotations

from pathlib import Path

import click

from autoprox.cli.options import OUTPUT, load_words, option, words_option
from autoprox.cli.streams import echo_json, echo_text
from autoprox.export import FORMS, exported
from autoprox.runtime.files import write_text


@click.command(epilog="\b\nExample:\n  autoprox export zico --to python --out zico.py")
@click.argument("source", metavar="PROXY")
@click.option(
    "--to", "form", type=click.Choice(FORMS), required=True, help="The form of what is written."
)
@option("-o --out", "The file to write.", "standard output", "FILE", type=OUTPUT)
@words_option
def export(source: str, form: str, out: str | None, bench: str | None) -> None:
    """Write a proxy as Python, LaTeX, JSON or SVG.

    PROXY is a name, a file, a run's folder, or an expression. The Python file needs torch alone:
    its function score(network, inputs, targets) gives what the proxy gives on full tensors. That of
    a proxy of bits takes bits=[8, 4, ...] too.
    """
    from autoprox.proxies.loading import load

    load_words(bench)
    text = exported(load(source), form)
    if out is None:
        (echo_json if form == "json" else echo_text)(text)
    else:
        write_text(Path(out), text)
        click.echo(f"written to {out}", err=True)

"""``autoprox words``: the language that proxies are written in."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import click

from autoprox.cli.options import console, load_words, words_option
from autoprox.cli.tables import table

if TYPE_CHECKING:
    from rich.console import Console


@click.command(epilog="\b\nExample:\n  autoprox words statistics")
@click.argument("family", type=click.Choice(["kinds", "statistics", "primitives"]), required=False)
@words_option
def words(family: str | None, bench: str | None) -> None:
    """List the language: kinds, statistics and primitives."""
    load_words(bench)
    out = console()
    listed = {"kinds": _kinds, "statistics": _statistics, "primitives": _primitives}
    for name, show in listed.items():
        if family in (None, name):
            show(out)


def _print(
    out: Console, title: str, headings: Sequence[str], rows: Iterable[Sequence[str]]
) -> None:
    shown = table(headings, title=title, title_justify="left", title_style="bold")
    for row in rows:
        shown.add_row(*row)
    out.print(shown)


def _kinds(out: Console) -> None:
    from autoprox.primitives.kinds import KINDS, Network, reduced

    rows = []
    for kind in KINDS:
        holds = (inspect.getdoc(kind) or "").partition("\n")[0].replace("``", "").rstrip(".")
        rows.append((kind.__name__, holds, "" if kind is Network else reduced(kind).__name__))
    title = "Kinds: what the numbers of a value are entries of"
    _print(out, title, ("kind", "one value holds", "reduces to"), rows)


def _statistics(out: Console) -> None:
    from autoprox.statistics import STATISTICS

    rows = [
        (name, statistic.kind.__name__, statistic.description)
        for name, statistic in STATISTICS.items()
    ]
    title = "Statistics: what a network shows, measured once"
    _print(out, title, ("statistic", "kind", "definition"), rows)


def _primitives(out: Console) -> None:
    from autoprox.primitives import PRIMITIVES, Form
    from autoprox.primitives.primitive import KINDS_OF_FORM

    for form in Form:
        takes = ", ".join(kind.__name__ for kind in KINDS_OF_FORM[form])
        rows = []
        for name, primitive in PRIMITIVES.items():
            if primitive.form is not form:
                continue
            arguments = "(x, y)" if primitive.arity == 2 else "(x)"
            only = (
                ""
                if primitive.kinds == KINDS_OF_FORM[form]
                else f" On {', '.join(kind.__name__ for kind in primitive.kinds)} only."
            )
            summary = primitive.summary.replace("``", "").replace("`", "")
            rows.append((name + arguments, summary + only, primitive.guard))
        title = f"Primitives, {form.value}: on {takes}"
        _print(out, title, ("primitive", "result", "outside its domain"), rows)

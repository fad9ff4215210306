"""``autoprox words``: the language that proxies are written in."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

import click

from autoprox.cli.options import console

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


@click.command(epilog="\b\nExample:\n  autoprox words statistics")
@click.argument("family", type=click.Choice(["kinds", "statistics", "primitives"]), required=False)
def words(family: str | None) -> None:
    """List the language: kinds, statistics and primitives."""
    out = console()
    listed = {"kinds": _kinds, "statistics": _statistics, "primitives": _primitives}
    for name, show in listed.items():
        if family in (None, name):
            show(out)


def _table(title: str, *headings: str) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(
        title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False
    )
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


def _kinds(out: Console) -> None:
    from autoprox.primitives.kinds import KINDS, Network, reduced

    table = _table(
        "Kinds: what the numbers of a value are entries of", "kind", "one value holds", "reduces to"
    )
    for kind in KINDS:
        holds = (inspect.getdoc(kind) or "").partition("\n")[0].replace("``", "").rstrip(".")
        table.add_row(kind.__name__, holds, "" if kind is Network else reduced(kind).__name__)
    out.print(table)


def _statistics(out: Console) -> None:
    from autoprox.statistics import STATISTICS

    table = _table(
        "Statistics: what a network shows, measured once", "statistic", "kind", "definition"
    )
    for name, each in STATISTICS.items():
        table.add_row(name, each.kind.__name__, each.description)
    out.print(table)


def _primitives(out: Console) -> None:
    from autoprox.primitives import PRIMITIVES, Form
    from autoprox.primitives.primitive import KINDS_OF_FORM

    for form in Form:
        takes = ", ".join(kind.__name__ for kind in KINDS_OF_FORM[form])
        table = _table(
            f"Primitives, {form.value}: on {takes}", "primitive", "result", "outside its domain"
        )
        for name, each in PRIMITIVES.items():
            if each.form is not form:
                continue
            arguments = "(x, y)" if each.arity == 2 else "(x)"
            only = (
                ""
                if each.kinds == KINDS_OF_FORM[form]
                else f" On {', '.join(k.__name__ for k in each.kinds)} only."
            )
            summary = each.summary.replace("``", "").replace("`", "")
            table.add_row(name + arguments, summary + only, each.guard)
        out.print(table)

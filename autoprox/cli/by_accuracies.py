"""``autoprox search --algorithm shgo``: what fitted models of accuracy and costs promise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from autoprox.cli.options import console, given_only, put_json
from autoprox.cli.tables import table

if TYPE_CHECKING:
    from autoprox.search.architectures.by_accuracies import Choice

TAKEN = {"space", "params", "flops", "limits", "algorithm", "labels", "target", "seed"}
"""The parameters of ``autoprox search`` that go with it, beside where the result is written."""


def search_accuracies(options: dict[str, Any]) -> None:
    """Search, and print the choice unless standard output is taken."""
    from autoprox.search.architectures.by_accuracies import search_by_accuracies

    limits = given_only(options, "params", "flops", "limits", "target", "seed")
    choice = search_by_accuracies(options["space"], options["labels"] or 25, **limits)
    if not put_json(choice.to_json(), options["json_file"]):
        _print(choice)


def _print(choice: Choice) -> None:
    from autoprox.search.architectures.found import cost_text, short

    out = console()
    out.print(short(choice.config), soft_wrap=True)
    if choice.true_costs:
        shown = table(["cost"], ["its network", "limit", "fitted", "error of the model"])
        for name, cost in choice.true_costs.items():
            figures = (cost, choice.limits[name], choice.costs[name])
            error = f"{choice.errors[name]:.1%}"
            shown.add_row(name, *(cost_text(name, figure) for figure in figures), error)
        out.print(shown)
    published = "" if choice.accuracy is None else f"; published {choice.accuracy:.2f}"
    click.echo(
        f"accuracy {choice.predicted:.2f} by a model of {choice.trained} trained networks"
        f"{published}"
    )
    checked = {
        True: "; no other within the limits is better by the model",
        False: "; another within the limits is better by the model",
        None: "",
    }[choice.best]
    click.echo(f"searched in {choice.seconds:.2f} s{checked}")

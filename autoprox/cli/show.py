"""``autoprox show``: one proxy, from every side."""

from __future__ import annotations

import inspect
import json
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from autoprox.cli.options import (
    console,
    json_option,
    load_words,
    picture_option,
    put_json,
    words_option,
)
from autoprox.cli.streams import echo_text
from autoprox.cli.tables import grid

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.tree import Tree

    from autoprox.language.graph import Graph
    from autoprox.proxies.fitted import FittedProxy
    from autoprox.proxies.function import Ensemble, FunctionProxy
    from autoprox.proxies.proxy import Proxy


@click.command(
    epilog='\b\nExample:\n  autoprox show "sum(mean(absolute(grad)))" --draw gradient.svg'
)
@click.argument("source", metavar="[PROXY]", required=False)
@picture_option
@click.option(
    "--latex", "only_latex", is_flag=True, help="Print the formula in LaTeX and nothing else."
)
@json_option
@words_option
def show(
    source: str | None,
    picture: str | None,
    only_latex: bool,
    json_file: str | None,
    bench: str | None,
) -> None:
    """Show a proxy: its formula, tree, statistics and where it comes from.

    PROXY is a name (autoprox show zico), a file, a run's folder, or an expression; without it, all
    that ship are listed.
    """
    from autoprox.proxies import get, names
    from autoprox.proxies.loading import load
    from autoprox.proxies.proxy import Proxy

    load_words(bench)
    if only_latex and json_file is not None:
        raise click.UsageError("--latex prints the formula and nothing else: leave out --json")
    if source is None:
        if picture is not None or only_latex or json_file is not None:
            raise click.UsageError("name the PROXY; alone, autoprox show lists those that ship")
        console().print(grid((name, get(name).description) for name in names()))
        return
    proxy = load(source)
    if not isinstance(proxy, Proxy):
        _show_function(proxy, picture, only_latex, json_file)
        return
    if picture is not None:
        from autoprox.show.draw import save

        save(proxy, picture)
        click.echo(f"drawn into {picture}", err=True)
    if only_latex:
        echo_text(proxy.latex() + "\n")
    elif not put_json(_facts(proxy), json_file):
        print_proxy(proxy, console())


def print_fitted(proxy: FittedProxy, out: Console) -> None:
    """Print a proxy that was fitted: what it reads, and what it was fitted on."""
    out.print(f"{proxy.name}  {proxy.description}", soft_wrap=True)
    out.print()
    parts = {
        "reads": "\n".join(graph.text for graph in proxy.inputs),
        "settings": grid((name, str(value)) for name, value in proxy.settings.items()),
        "shown": f"{proxy.batch} inputs, {proxy.sample} entries of each tensor",
        "fitted on": _origin(proxy.provenance),
    }
    if not proxy.settings:
        del parts["settings"]
    _print_parts(parts, out, "\n")


def _show_function(
    proxy: FunctionProxy | Ensemble | FittedProxy,
    picture: str | None,
    only_latex: bool,
    json_file: str | None,
) -> None:
    """Show a proxy that is no expression."""
    if picture is not None or only_latex:
        proxy.latex()  # raises: there is none
    if put_json(proxy.to_json(), json_file):
        return
    from autoprox.proxies.fitted import FittedProxy

    if isinstance(proxy, FittedProxy):
        print_fitted(proxy, console())
    else:
        print_function(proxy, console())


def print_function(proxy: FunctionProxy | Ensemble, out: Console) -> None:
    """Print a proxy that is no expression: what its function says of itself, and its origin."""
    from rich.text import Text

    from autoprox.proxies.function import FunctionProxy

    facts = proxy.to_json()
    out.print(Text.assemble((proxy.name, "bold"), "  ", proxy.description))
    function = proxy.function if isinstance(proxy, FunctionProxy) else proxy.rule
    text = (inspect.getdoc(function) or "").partition("\n\nRaises:")[0]
    text = text.replace(".. code-block:: text\n\n", "")
    parts: dict[str, Any] = {f"function {facts['function']}": text.replace("``", "")}
    if isinstance(proxy, FunctionProxy):
        parts["needs"] = (
            f"{'inputs with labels' if proxy.needs_labels else 'inputs'}, "
            f"{max(proxy.batch, 1)} or more"
        )
    else:
        parts["parts"] = proxy.members
    parts["provenance"] = _origin(proxy.provenance)
    out.print()
    _print_parts(parts, out, "\n")


def _print_parts(parts: Mapping[str, Any], out: Console, between: str = "") -> None:
    """Print parts below their headings; single lines as they are."""
    from rich.padding import Padding
    from rich.text import Text

    for place, (heading, part) in enumerate(parts.items()):
        out.print(Text(f"{between if place else ''}{heading}", style="bold"))
        if isinstance(part, str) and "\n" not in part:
            out.print(f"  {part}", soft_wrap=True)
        else:
            out.print(Padding(part, (0, 0, 0, 2), expand=False))


def _origin(provenance: Mapping[str, Any]) -> Table:
    """Return where a proxy comes from, as a table."""
    return grid(
        (key, value if isinstance(value, str) else json.dumps(_rounded(value)))
        for key, value in {**provenance, **_asked(provenance)}.items()
    )


def _rounded(value: Any) -> Any:
    """Return a figure, or figures, with three decimals; anything else as it is."""
    if isinstance(value, list):
        return [_rounded(figure) for figure in value]
    return round(value, 3) if isinstance(value, float) else value


def _asked(provenance: Mapping[str, Any]) -> dict[str, str]:
    """Return the settings of the search that found a proxy, those that are not the usual ones."""
    settings = provenance.get("settings")
    if not isinstance(settings, dict) or "bench" not in settings:
        return {}
    from autoprox.benches import several
    from autoprox.evolution.algorithms import ALGORITHMS
    from autoprox.evolution.settings import Settings
    from autoprox.evolution.small import usual_of_families

    usual = json.loads(json.dumps(Settings(settings["bench"]).to_json()))  # lists, as in a file
    usual |= usual_of_families(len(several(settings["bench"])))
    usual["held_out"] = usual["held_out_share"]  # its name in older files
    if settings.get("algorithm") == usual["algorithm"]:
        usual["parameters"] = ALGORITHMS[usual["algorithm"]]().parameters()
    unusual = {key: value for key, value in settings.items() if value != usual.get(key)}
    words = [
        f"{key} {value if isinstance(value, str) else json.dumps(value)}"
        for key, value in {"bench": settings["bench"], **unusual}.items()
    ]
    return {"settings": f"{', '.join(words)}; the others are the usual ones"}


def _facts(proxy: Proxy) -> dict[str, Any]:
    """Return the proxy's file and what follows from its graph."""
    return {
        **proxy.to_json(),
        "latex": proxy.latex(),
        "statistics": list(proxy.statistics),
        "complexity": proxy.graph.complexity,
        "depth": proxy.graph.depth,
    }


def print_proxy(proxy: Proxy, out: Console) -> None:
    """Print a proxy for a reader."""
    from rich.text import Text

    from autoprox.statistics import STATISTICS

    if proxy.name or proxy.description:
        between = "  " if proxy.name else ""
        out.print(Text.assemble((proxy.name, "bold"), between, proxy.description, "\n"))
    parts: dict[str, Any] = {
        "formula": proxy.graph.text,
        "LaTeX": proxy.latex(),
        f"tree: {proxy.graph.complexity} nodes, {proxy.graph.depth} deep": tree(proxy.graph),
    }
    parts["statistics to measure"] = grid(
        (name, STATISTICS[name].kind.__name__, STATISTICS[name].description)
        for name in proxy.statistics
    )
    if proxy.provenance:
        parts["provenance"] = _origin(proxy.provenance)
    _print_parts(parts, out)


def tree(graph: Graph) -> Tree:
    """Return a graph as a tree; what is shared is written out once and numbered."""
    from rich.tree import Tree

    uses = Counter(arg for node in graph for arg in node.args)
    shared = [node for node in graph if uses[node] > 1]
    numbers = {node: i for i, node in enumerate(shared, start=1)}
    written: set[Graph] = set()

    def grow(node: Graph, above: Tree | None) -> Tree:
        again = node in written and bool(node.args)
        label = _label(node, numbers.get(node), again)
        written.add(node)
        here = Tree(label, guide_style="dim") if above is None else above.add(label)
        for arg in () if again else node.args:
            grow(arg, here)
        return here

    return grow(graph, None)


def _label(node: Graph, number: int | None, again: bool) -> Any:
    from rich.text import Text

    label = Text(node.word, style="bold" if not node.args else "")
    if node.kind is not None:
        label.append(f"  {node.kind.__name__}", style="dim")
    if number is not None:
        label.append(f"  #{number}" + (" (as above)" if again else ""), style="cyan")
    return label

"""``autoprox show``: one proxy, from every side."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from autoprox.cli.options import console

if TYPE_CHECKING:
    from rich.console import Console
    from rich.tree import Tree

    from autoprox.graph import Graph
    from autoprox.proxy import Proxy


@click.command(
    epilog='\b\nExample:\n  autoprox show "sum(mean(absolute(grad)))" --draw gradient.svg'
)
@click.argument("source", metavar="PROXY")
@click.option(
    "--draw",
    "picture",
    type=click.Path(),
    metavar="FILE",
    help="Draw the graph into an .svg or .png file.",
)
@click.option(
    "--latex", "only_latex", is_flag=True, help="Print the formula in LaTeX and nothing else."
)
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
def show(source: str, picture: str | None, only_latex: bool, as_json: bool) -> None:
    """Show a proxy: its formula, tree, statistics and where it comes from.

    PROXY is a name (autoprox show zico), a file, a run's folder, or an expression.
    """
    from autoprox.proxy import load

    proxy = load(source)
    if picture is not None:
        from autoprox.draw import save

        save(proxy, picture)
        click.echo(f"drawn into {picture}", err=True)
    if only_latex:
        click.echo(proxy.latex())
    elif as_json:
        click.echo(json.dumps(_facts(proxy), indent=2, ensure_ascii=False))
    elif picture is None:
        print_proxy(proxy, console())


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
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    from autoprox.statistics import STATISTICS

    if proxy.name or proxy.description:
        out.print(
            Text.assemble((proxy.name, "bold"), "  " if proxy.name else "", proxy.description)
        )
        out.print()
    parts: dict[str, Any] = {
        "formula": proxy.graph.text,
        "LaTeX": proxy.latex(),
        f"tree: {proxy.graph.complexity} nodes, {proxy.graph.depth} deep": tree(proxy.graph),
    }
    needed = Table.grid(padding=(0, 2))
    for name in proxy.statistics:
        needed.add_row(name, STATISTICS[name].kind.__name__, STATISTICS[name].description)
    parts["statistics to measure"] = needed
    origin = Table.grid(padding=(0, 2))
    for key, value in proxy.provenance.items():
        origin.add_row(key, value if isinstance(value, str) else json.dumps(value))
    if proxy.provenance:
        parts["provenance"] = origin
    for heading, part in parts.items():
        out.print(Text(heading, style="bold"))
        if isinstance(part, str):
            out.print(f"  {part}", soft_wrap=True)
        else:
            out.print(Padding(part, (0, 0, 0, 2), expand=False))


def tree(graph: Graph) -> Tree:
    """Return a graph as a tree; what is shared is written out once and numbered."""
    from rich.tree import Tree

    users: dict[Graph, int] = {}
    for node in graph:
        for arg in dict.fromkeys(node.args):
            users[arg] = users.get(arg, 0) + sum(other is arg for other in node.args)
    shared = [node for node in graph if users.get(node, 0) > 1]
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

"""Imports run one way: a room stands on those above it in the table, and never on one below."""

import ast
import re
from collections import defaultdict
from pathlib import Path

import networkx
import pytest

import autoprox

ROOT = Path(autoprox.__file__).parent
ROOMS = (
    "errors",
    "runtime",
    "primitives",
    "quantise",
    "statistics",
    "language",
    "evaluation",
    "ranking",
    "predictors",
    "proxies",
    "benches",
    "training",
    "measuring",
    "assessment",
    "evolution",
    "runs",
    "fitting",
    "hardware",
    "leaderboard",
    "search",
    "show",
    "export",
    "timing",
    "cli",
)
"""The rooms, lowest first."""


def modules():
    """Return the file of each module by its name; the rooms that are links are followed."""
    files = [*ROOT.rglob("*.py")]
    files += [path for room in ROOT.iterdir() if room.is_symlink() for path in room.rglob("*.py")]
    return {
        ".".join(("autoprox", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(
            ".__init__"
        ): path
        for path in files
    }


def imported(tree, names):
    """Return the modules of autoprox that a module imports, but for those only types need."""
    typed = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in typed:
            continue
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "autoprox":
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole in names else node.module
        elif isinstance(node, ast.Import):
            yield from (each.name for each in node.names if each.name.split(".")[0] == "autoprox")


@pytest.fixture(scope="module")
def imports():
    """Return the imports of all modules, those inside of functions too, as a graph."""
    files = modules()
    graph = networkx.DiGraph()
    graph.add_nodes_from(files)
    for name, path in files.items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        graph.add_edges_from((name, other) for other in imported(tree, files) if other != name)
    return graph


def room(module):
    """Return the room of a module; None for autoprox itself."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[1] != "__main__" else None


def test_every_module_has_a_room(imports):
    assert {room(name) for name in imports} - {None} == set(ROOMS)


def test_imports_run_one_way(imports):
    pairs = {(room(one), room(other)) for one, other in imports.edges}
    upwards = {
        (one, other)
        for one, other in pairs
        if one and other and ROOMS.index(other) > ROOMS.index(one)
    }
    assert upwards == set()


def test_no_circle_of_modules(imports):
    circles = [sorted(each) for each in networkx.strongly_connected_components(imports)]
    assert [each for each in circles if len(each) > 1] == []


def test_no_module_is_longer_than_400_lines():
    lengths = {name: len(path.read_text().splitlines()) for name, path in modules().items()}
    assert {name: length for name, length in lengths.items() if length > 400} == {}


def named_types(tree):
    """Return the names that a module gives to classes, and whether it is a class or an alias."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            yield node.name, True
        elif isinstance(node, ast.AnnAssign) and "TypeAlias" in ast.dump(node.annotation):
            yield ast.unparse(node.target), False


def test_no_class_shares_its_name_with_another_or_with_an_alias():
    homes = defaultdict(list)
    for module, path in modules().items():
        for name, is_class in named_types(ast.parse(path.read_text(encoding="utf-8"))):
            homes[name].append((module, is_class))
    del homes["Kind"]  # the one in `export.values` takes the other's place in exported files
    shared = {name: where for name, where in homes.items() if len(where) > 1}
    assert {name: where for name, where in shared.items() if any(kind for _, kind in where)} == {}


def test_the_page_on_architecture_names_the_rooms_in_their_order():
    text = (ROOT.parent / "docs" / "architecture.md").read_text(encoding="utf-8")
    assert tuple(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)) == ROOMS

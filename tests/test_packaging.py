"""What is packaged, and what importing it costs."""

from __future__ import annotations

import configparser
import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

import autoprox
from tests.processes import run_python

ROOT = Path(__file__).resolve().parent.parent
HOMES = {
    "autoprox": ROOT / "autoprox",
    "autoprox.benches": ROOT / "benches",
    "autoprox.primitives": ROOT / "primitives",
}
HEAVY = ("deap", "joblib", "matplotlib", "networkx", "numpy", "pandas", "scipy", "torch")


def setup_cfg() -> configparser.ConfigParser:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    return config


def packages_in(name: str, folder: Path) -> set[str]:
    """The packages of one home; links to the other homes are not followed."""
    found = {name}
    for child in folder.iterdir():
        if child.is_dir() and not child.is_symlink() and (child / "__init__.py").is_file():
            found |= packages_in(f"{name}.{child.name}", child)
    return found


def test_every_package_is_listed_in_setup_cfg() -> None:
    listed = setup_cfg()["options"]["packages"].split()
    found = {package for name, home in HOMES.items() for package in packages_in(name, home)}
    assert sorted(listed) == listed
    assert set(listed) == found


def test_every_data_file_is_covered_by_package_data() -> None:
    patterns = [one.strip() for one in setup_cfg()["options.package_data"]["*"].split(",")]
    for home in HOMES.values():
        for path in home.rglob("*"):
            if path.is_file() and path.suffix not in {".py", ".pyc"}:
                assert any(path.match(pattern) for pattern in patterns), path


def test_the_links_lead_to_the_top_level_folders() -> None:
    for name in ("benches", "primitives"):
        link = ROOT / "autoprox" / name
        assert link.is_symlink()
        assert link.readlink() == Path("..", name)


def loaded_by(statements: Iterable[str], modules: Iterable[str]) -> dict[str, list[str]]:
    """The modules of these that are loaded in a new process after each statement in turn."""
    script = (
        "import json, sys\nloaded = {}\n"
        f"for statement in {list(statements)!r}:\n"
        "    exec(statement)\n"
        f"    loaded[statement] = sorted(set(sys.modules) & set({list(modules)!r}))\n"
        "print(json.dumps(loaded))"
    )
    command = [sys.executable, "-c", script]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return json.loads(answer.stdout)


def test_importing_autoprox_imports_nothing_heavy() -> None:
    statements = ("import autoprox", "autoprox.__version__", "from autoprox import AutoproxError")
    assert loaded_by(statements, HEAVY) == {statement: [] for statement in statements}


def test_reading_a_bench_needs_no_torch() -> None:
    benches = ("vit101", "nb201", "mq101", "natssss", "landmarks", "rnn", "resnet64")
    statements = [f"import autoprox; autoprox.load_bench({bench!r})" for bench in benches]
    assert loaded_by(statements, ["torch"]) == {statement: [] for statement in statements}


def test_measuring_does_not_load_the_compiler_of_torch() -> None:
    # It takes as long as torch itself, and longer than most of what a command does.
    script = (
        "import sys, torch, autoprox\n"
        "from torch import nn\n"
        "network = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 4))\n"
        "for name in ('snip', 'zico', 'flops', 'nn_mass'):\n"
        "    autoprox.load(name)(network, torch.randn(4, 6), torch.arange(4))\n"
        "print('torch._dynamo' in sys.modules)"
    )
    done = run_python("-c", script)
    assert done.stdout == "False\n", done.stderr


def test_public_names_are_sorted_and_each_says_where_it_is_defined() -> None:
    assert autoprox.__all__ == sorted(autoprox.__all__)
    assert set(autoprox.__all__) == set(autoprox._LAZY)
    assert set(autoprox.__all__) <= set(dir(autoprox))


@pytest.mark.parametrize("name", autoprox.__all__)
def test_every_public_name_can_be_imported(name: str) -> None:
    value = getattr(autoprox, name)
    assert getattr(autoprox, name) is value
    assert callable(value)


@pytest.mark.parametrize("name", autoprox.__all__)
def test_no_public_name_is_that_of_a_module(name: str) -> None:
    # Importing the module autoprox.<name> would replace the public object of that name.
    assert importlib.util.find_spec(f"autoprox.{name}") is None


def test_a_name_that_does_not_exist_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'evolv'"):
        autoprox.evolv  # noqa: B018

"""What README and docs/ say holds: lists, links, commands and code."""

from __future__ import annotations

import configparser
import doctest
import importlib.util
import os
import re
import shlex
import subprocess
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from urllib.parse import quote

import click
import pytest
from click.testing import CliRunner

import autoprox
from autoprox.benches import drawn, load_bench, several, split
from autoprox.cli import main
from autoprox.cli.evolve import evolve as evolve_command
from tests.processes import run_python

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]
OTHERS = ("CHANGELOG.md", "CONTRIBUTING.md", "results/README.md")
LINKED = [*PAGES, *(ROOT / name for name in OTHERS)]

BLOCK = re.compile(
    r"^(?:<!-- (?P<mark>run|prints|file: (?P<file>\S+)) -->\n)?"
    r"```(?P<language>\w*)\n(?P<text>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)
LINK = re.compile(r"(?<!!)\[[^\]]*\]\((?P<link>[^)\s]+)\)|<img src=\"(?P<image>[^\"]+)\"")


@dataclass(frozen=True)
class Block:
    """A fenced block: its text, and the comment above it that says what a test does with it."""

    mark: str
    file: str
    language: str
    text: str


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page."""
    found = BLOCK.finditer(page.read_text(encoding="utf-8"))
    return [
        Block(*(each[name] or "" for name in ("mark", "file", "language", "text")))
        for each in found
    ]


def prose(page: Path) -> str:
    """The text of a page without its fenced blocks."""
    return BLOCK.sub("", page.read_text(encoding="utf-8"))


def named(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


# The generated lists


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    """docs/generate.py, which is a script and in no package."""
    spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_generated_lists_are_what_the_code_says(generate: ModuleType) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "complex parameters are not measured")
        stale = generate.stale()
    assert [generate.difference(*changed) for changed in stale.items()] == []


def test_a_list_that_is_out_of_date_is_shown_line_by_line(
    generate: ModuleType, tmp_path: Path
) -> None:
    page = tmp_path / "language.md"
    right = (DOCS / "language.md").read_text(encoding="utf-8")
    page.write_text(right.replace("Square root.", "Cube root."), encoding="utf-8")
    ((found, now),) = generate.stale(tmp_path).items()
    assert (found, now) == (page, right)
    shown = generate.difference(page, now).splitlines()
    assert [line[:12] for line in shown if "root." in line and line[0] in "+-"] == [
        "-| `sqrt(x)`",
        "+| `sqrt(x)`",
    ]


def test_the_examples_of_the_generator_hold(generate: ModuleType) -> None:
    found = doctest.testmod(generate)
    assert found.attempted
    assert not found.failed


def test_every_generated_part_is_on_a_page(generate: ModuleType) -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in DOCS.glob("*.md"))
    assert {part["name"] for part in generate.PART.finditer(text)} == set(generate.PARTS)


# Links


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", LINKED, ids=named)
def test_relative_links_lead_somewhere(page: Path) -> None:
    for found in LINK.finditer(prose(page)):
        link = found["link"] or found["image"]
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{named(page)}: {link}"
        assert target.is_relative_to(ROOT), f"{named(page)}: {link}"
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target), f"{named(page)}: {link}"


def test_every_page_of_docs_can_be_reached_from_the_readme() -> None:
    known: set[Path] = set()
    left = [ROOT / "README.md"]
    while left:
        page = left.pop()
        known.add(page)
        links = {found["link"] or "" for found in LINK.finditer(prose(page))}
        targets = {(page.parent / link.partition("#")[0]).resolve() for link in links}
        left += [each for each in targets - known if each.parent == DOCS and each.suffix == ".md"]
    assert set(PAGES) <= known


# Commands


def commands(page: Path) -> list[list[str]]:
    """The words of every autoprox command in the shell blocks of a page."""
    shell = [each.text for each in blocks(page) if each.language in ("bash", "sh")]
    lines = "\n".join(shell).replace("\\\n", " ").splitlines()
    split = [shlex.split(part, comments=True) for line in lines for part in line.split("&&")]
    return [words[1:] for words in split if words and Path(words[0]).name == "autoprox"]


def mentioned(page: Path) -> list[list[str]]:
    """The words of the commands in the text of a page, but for those that name alternatives."""
    found = re.findall(r"`autoprox ([^`|…]*)`", prose(page))
    return [shlex.split(text) for text in found]


def silence(monkeypatch: pytest.MonkeyPatch, command: click.Command) -> None:
    """Let a command, and all below it, parse its words and do nothing."""
    if isinstance(command, click.Group):
        for each in command.commands.values():
            silence(monkeypatch, each)
    else:
        monkeypatch.setattr(command, "callback", lambda **_: None)


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_command_is_understood(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    silence(monkeypatch, main)
    for words in commands(page):
        done = CliRunner().invoke(main, words)
        assert done.exit_code == 0, f"autoprox {shlex.join(words)}\n{done.output}"


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_what_the_text_says_of_commands_is_understood(
    page: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    silence(monkeypatch, main)
    for words in mentioned(page):
        done = CliRunner().invoke(main, words)
        incomplete = "Error: Missing" in done.output  # a mention may leave out what is needed
        assert done.exit_code == 0 or incomplete, f"autoprox {shlex.join(words)}\n{done.output}"


def test_what_commands_draw_of_benches_can_be_split() -> None:
    drawing = [
        words
        for page in (*PAGES, ROOT / "CONTRIBUTING.md")
        for words in (*commands(page), *mentioned(page))
        if words[0] == "evolve" and {"--bench", "--architectures"} <= set(words)
    ]
    assert len(drawing) > 3
    for words in drawing:
        options = evolve_command.make_context("evolve", words[1:]).params
        for name in several(options["bench"]):
            split(drawn(load_bench(name), options["architectures"]), 0)


def test_a_command_that_is_not_there_is_not_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    silence(monkeypatch, main)
    assert sum(len(commands(page)) for page in PAGES) > 5
    assert sum(len(mentioned(page)) for page in PAGES) > 10
    assert CliRunner().invoke(main, ["evolve", "--no-such-option"]).exit_code == 2


# Code

RUN = [page for page in PAGES if any(each.mark == "run" for each in blocks(page))]


COMMANDS = """
import pathlib, shlex, sys
from autoprox.cli import main
for line in pathlib.Path(sys.argv[1]).read_text().splitlines():
    main.main(shlex.split(line)[1:], standalone_mode=False)
"""


def run(block: Block, folder: Path, number: int) -> str:
    """Run a block in `folder`, in a process of its own; returns what it prints."""
    suffix = {"python": "py", "bash": "sh"}[block.language]
    script = folder / f"block_{number}.{suffix}"
    script.write_text(block.text, encoding="utf-8")
    environment = {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "AUTOPROX_CACHE": str(folder / "cache"),
    }
    commands = all(line.startswith("autoprox ") for line in block.text.splitlines())
    if suffix == "py" or commands:
        program = ["-c", COMMANDS] if commands else []  # one process for all of them
        done = run_python(*program, script.name, folder=folder, environment=environment)
    else:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", script.name],
            cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True,
            timeout=120,
        )  # fmt: skip
    assert done.returncode == 0, f"{block.text}\n{done.stdout}\n{done.stderr}"
    return done.stdout


LONG = ("several-runs", "teachers")
"""Pages whose code takes longer than the others; the slow tests run it."""


@pytest.mark.parametrize(
    "page",
    [pytest.param(page, marks=pytest.mark.slow) if page.stem in LONG else page for page in RUN],
    ids=named,
)
def test_code_runs_and_prints_what_the_page_says(page: Path, tmp_path: Path) -> None:
    printed = ""
    for number, block in enumerate(blocks(page)):
        if block.file:
            (tmp_path / block.file).write_text(block.text, encoding="utf-8")
        elif block.mark == "run":
            printed = run(block, tmp_path, number)
        elif block.mark == "prints":
            assert printed == block.text


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_all_python_on_a_page_compiles(page: Path) -> None:
    for block in blocks(page):
        if block.language == "python":
            compile(block.text, named(page), "exec")


def test_the_badges_say_what_the_package_says() -> None:
    badges = dict(re.findall(r"img\.shields\.io/badge/(\w+)-(.+)-\w+\)", _badges()))
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")
    assert badges == {
        "version": autoprox.__version__,
        "python": quote("≥ ") + settings["options"]["python_requires"].removeprefix(">="),
        "licence": settings["metadata"]["license"],
    }


def _badges() -> str:
    """The badges of the README, one a line."""
    return (ROOT / "README.md").read_text(encoding="utf-8").replace(" ![", "\n![")

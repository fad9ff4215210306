"""Builds the documentation as a site that needs no network: pages, gallery, reference, tutorials.

    python docs/build_site.py                      into build/site; open build/site/index.html
    python docs/build_site.py --notebooks FOLDER   tutorials from notebooks that were run there

Pages are those of the checkout, at the same places, so that their links hold. The gallery and the
reference are written here from the code and from the tables in results/. Needs the extra `docs`.
Every warning is an error, a link to nothing too.
"""

from __future__ import annotations

import argparse
import csv
import logging
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from autoprox.language.mathml import from_latex, to_mathml
from autoprox.language.svg import to_svg
from autoprox.proxies import shipped
from autoprox.proxies.loading import AnyProxy
from autoprox.proxies.proxy import Proxy

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build"
PAGES = BUILD / "pages"
"""Where everything lies that the site is made of."""

ROOMS = re.compile(r"^\| `(\w+)` \| (.+) \|$", re.MULTILINE)
LINK = re.compile(r"(?<!!)\[(?P<text>[^\]]*)\]\((?P<target>[^)#\s]+)(?P<anchor>#[^)]*)?\)")
MATHS = re.compile(r"\$`(.+?)`\$")
IMAGE = re.compile(r'<img src="([^"]+)"')
BADGE = re.compile(r"!\[[^\]]*\]\(https://img\.shields\.io/[^)]*\) ?")
PLACES = {"index.md": "README.md"}
"""Pages of the site that have another place in the checkout."""

GUIDES = (
    "any-network",
    "how-numbers-are-measured",
    "published-systems",
    "language",
    "proxies",
    "general",
    "add-a-primitive",
    "add-a-statistic",
    "add-a-bench",
    "add-a-space",
    "add-a-proxy",
    "add-an-algorithm",
    "architecture",
    "files",
    "clusters",
    "tracking",
)
"""The pages in docs/ that are listed first; others follow by name."""


def copy_pages() -> None:
    """Copy the pages, with formulas as MathML, and what they link to."""
    pages = [ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")]
    pages += [ROOT / "results/README.md", *sorted((ROOT / "docs").glob("*.md"))]
    for page in pages:
        home = page.relative_to(ROOT)
        text = page.read_text(encoding="utf-8")
        place = "index.md" if home == Path("README.md") else home
        linked = LINK.sub(lambda found, home=home: _link(found, home), BADGE.sub("", text))
        write(place, MATHS.sub(_maths, linked))
        for image in IMAGE.findall(text):
            _copy(ROOT / home.parent / image)
    _copy(ROOT / "docs/iframe-worker.js")


def _maths(found: re.Match[str]) -> str:
    return str(from_latex(found[1]))


def _link(found: re.Match[str], home: Path) -> str:
    """Return a link as it is; what it leads to is copied, and folders have no page to lead to."""
    if ":" in found["target"]:
        return found[0]
    target = (ROOT / home.parent / found["target"]).resolve()
    if target.is_dir():
        return found["text"]
    if target == ROOT / "README.md":
        return found[0].replace("README.md", "index.md")
    if target.suffix == ".ipynb":
        return found[0].replace(".ipynb", ".md")
    if target.is_file() and target.suffix != ".md":
        _copy(target)
    return found[0]


def _copy(source: Path) -> None:
    place = PAGES / source.resolve().relative_to(ROOT)
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, place)


def write(place: str | Path, text: str) -> str:
    """Write a page of the site; return its place."""
    path = PAGES / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return str(place)


def figures() -> dict[str, list[tuple[str, str, str, str]]]:
    """Return what the rankings in results/ say of each proxy: table, place, figure, interval."""
    found: dict[str, list[tuple[str, str, str, str]]] = {}
    for path in sorted((ROOT / "results").glob("*_ranking*.csv")):
        with path.open(encoding="utf-8", newline="") as lines:
            for row in csv.DictReader(lines):
                name = next(
                    (name for name in ("joint_somers", "joint_kendall") if row.get(name)), None
                )
                if name is None:
                    continue
                value, low, high = (float(row[name + end]) for end in ("", "_low", "_high"))
                symbol = "D" if name == "joint_somers" else "τ"
                shown = f"{symbol} = {value:.3f}", f"{low:.2f} to {high:.2f}"
                link = f"[{path.stem}](../results/{path.name})"
                found.setdefault(row["proxy"], []).append((link, row["rank"], *shown))
                _copy(path)
    return found


def write_gallery() -> list[str]:
    """Write a page for each proxy that ships, and one with all of them; return their places."""
    ranked = figures()
    lines = ["# Gallery of proxies", "", "| proxy | formula | |", "|---|---|---|"]
    places = []
    for name in shipped.names():
        proxy = shipped.get(name)
        formula = to_mathml(proxy.graph) if isinstance(proxy, Proxy) else ""
        first = proxy.description.partition(". ")[0].rstrip(".")
        lines.append(f"| [{name}]({name}.md) | {_inline(str(formula))} | {first}. |")
        places.append(write(f"gallery/{name}.md", _proxy_page(name, proxy, ranked.get(name, []))))
    return [write("gallery/index.md", "\n".join(lines) + "\n"), *places]


def _inline(markup: str) -> str:
    return markup.replace('display="block"', 'display="inline"').replace("|", "&#124;")


def _proxy_page(name: str, proxy: AnyProxy, ranked: Sequence[tuple[str, ...]]) -> str:
    """Return the page of a proxy: formula, graph, origin, and its figures on every bench."""
    parts = [f"# {name}", proxy.description]
    if isinstance(proxy, Proxy):
        parts += [str(to_mathml(proxy.graph)), f"```text\n{proxy.graph.text}\n```"]
        parts += [str(to_svg(proxy.graph)), f"```latex\n{proxy.latex()}\n```"]
    facts = {key: value for key, value in proxy.provenance.items() if isinstance(value, (str, int))}
    rows = [f"| {key.replace('_', ' ')} | {value} |" for key, value in facts.items()]
    if rows:
        parts += ["## Where it comes from", "\n".join(["| | |", "|---|---|", *rows])]
    parts += ["## On the benches"]
    head = ["| table | place | joint correlation | 95 % interval |", "|---|---|---|---|"]
    lines = [f"| {' | '.join(row)} |" for row in ranked]
    parts += ["\n".join([*head, *lines])] if ranked else ["No table in the results ranks it."]
    return "\n\n".join(parts) + "\n"


def write_reference() -> list[str]:
    """Write a page of the reference for each room, and one for the package; return their places."""
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    head = "# {0}\n\n{1}\n\n"
    places = [write("reference/index.md", _public())]
    for room, purpose in ROOMS.findall(text):
        if room == "cli":
            continue  # its reference is `autoprox --help`
        parts = _modules(ROOT / "autoprox" / room, f"autoprox.{room}")
        page = head.format(room, f"What it is for: {purpose}.") + "\n".join(parts)
        places.append(write(f"reference/{room}.md", page))
    return places


def _public() -> str:
    """Return a page with the names of the package, which lead to where they are defined."""
    import autoprox

    named = {name: getattr(autoprox, name) for name in sorted(autoprox.__all__)}
    lines = [
        f"* [`autoprox.{name}`][{value.__module__}.{value.__qualname__}]"
        for name, value in named.items()
        if hasattr(value, "__qualname__")
    ]
    return "# Reference\n\nThe names of the package itself:\n\n" + "\n".join(lines) + "\n"


def _modules(home: Path, name: str) -> Iterator[str]:
    """Yield what stands for each public module of a room, those of its packages after their own."""
    if home.with_suffix(".py").is_file():
        yield f"::: {name}\n"
        return
    yield f"::: {name}\n    options: {{members: false}}\n"  # they are those of its modules
    for path in sorted(home.iterdir()):
        if path.suffix == ".py" and not path.stem.startswith("_"):
            yield f"::: {name}.{path.stem}\n"
        elif (path / "__init__.py").is_file():
            yield from _modules(path, f"{name}.{path.name}")


def write_tutorials(folder: Path) -> list[str]:
    """Write the notebooks with the outputs that they have as pages; return their places."""
    from nbconvert import MarkdownExporter

    places = []
    for path in sorted(folder.glob("*.ipynb")):
        text, resources = MarkdownExporter().from_filename(path)
        for name, content in resources["outputs"].items():
            place = PAGES / "notebooks" / path.stem / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
        text = re.sub(r"\]\((output_[^)]+)\)", rf"]({path.stem}/\1)", text)
        text = LINK.sub(lambda found: _link(found, Path("notebooks/x")), text)
        places.append(write(f"notebooks/{path.stem}.md", text))
    return places


def navigation(gallery: list[str], reference: list[str], tutorials: list[str]) -> list[Any]:
    """Return the contents of the site."""
    others = sorted(path.stem for path in (ROOT / "docs").glob("*.md") if path.stem not in GUIDES)
    return [
        {"autoprox": "index.md"},
        {"Tutorials": tutorials},
        {"Guides": [f"docs/{name}.md" for name in (*GUIDES, *others)]},
        {"Gallery": gallery},
        {"Results": "results/README.md"},
        {"Reference": reference},
        {"Project": ["CHANGELOG.md", "CONTRIBUTING.md"]},
    ]


def main() -> int:
    """Build the site."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=BUILD / "site")
    parser.add_argument("--notebooks", type=Path, default=ROOT / "notebooks")
    asked = parser.parse_args()
    try:
        from mkdocs.commands.build import build
        from mkdocs.config import load_config
        from mkdocs.exceptions import Abort
    except ImportError:
        print("the site needs mkdocs: pip install -c constraints.txt -e '.[docs]'", file=sys.stderr)
        return 1
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    shutil.rmtree(PAGES, ignore_errors=True)
    copy_pages()
    contents = navigation(write_gallery(), write_reference(), write_tutorials(asked.notebooks))
    config = load_config(
        str(ROOT / "docs/mkdocs.yml"),
        docs_dir=str(PAGES),
        site_dir=str(asked.out.resolve()),
        nav=contents,
        strict=True,
    )
    try:
        build(config)
    except Abort as error:
        print(error, file=sys.stderr)
        return 1
    print(f"written to {asked.out / 'index.html'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

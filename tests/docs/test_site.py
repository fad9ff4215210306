"""The site of the documentation, as far as it is written before mkdocs builds it."""

import importlib.util
import re
from pathlib import Path

import pytest

from autoprox import proxies
from tests.show.page.chromium import Chromium, executable

ROOT = Path(__file__).parents[2]
LINK = re.compile(r"(?<!!)\[[^\]\n]*\]\((?P<target>[^)#\s]+)(?:#[^)]*)?\)")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The module that builds the site, with its pages in a folder of their own."""
    spec = importlib.util.spec_from_file_location("build_site", ROOT / "docs/build_site.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.PAGES = tmp_path_factory.mktemp("pages")
    module.copy_pages()
    return module


@pytest.fixture(scope="module")
def gallery(site):
    return site.write_gallery()


@pytest.fixture(scope="module")
def reference(site):
    return site.write_reference()


def test_every_page_of_the_documentation_is_in_the_contents(site, gallery, reference):
    contents = site.navigation(gallery, reference, [])
    listed = {page for part in contents for pages in part.values() for page in [*_flat(pages)]}
    assert {f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")} <= listed
    assert all((site.PAGES / page).is_file() for page in listed)


def _flat(pages):
    return [pages] if isinstance(pages, str) else pages


def test_every_proxy_that_ships_has_a_page_with_its_formula(site, gallery):
    assert {Path(place).stem for place in gallery} == {"index", *proxies.names()}
    for name in proxies.expressions():
        page = (site.PAGES / f"gallery/{name}.md").read_text(encoding="utf-8")
        for part in (proxies.get(name).graph.text, "<math", "<svg"):
            assert part in page, name
    zico = (site.PAGES / "gallery/zico.md").read_text(encoding="utf-8")
    assert "nb201_ranking" in zico, "its figures"


def test_every_room_has_a_page_of_the_reference(site, reference):
    rooms = {path.parent.name for path in (ROOT / "autoprox").glob("*/__init__.py")} - {"cli"}
    assert rooms <= {Path(place).stem for place in reference}
    text = (site.PAGES / "reference/evolution.md").read_text(encoding="utf-8")
    assert "::: autoprox.evolution.judge" in text


def test_links_lead_to_what_is_there(site, gallery, reference):
    missing = [
        f"{page.relative_to(site.PAGES)}: {target}"
        for page in site.PAGES.rglob("*.md")
        for target in LINK.findall(page.read_text(encoding="utf-8"))
        if ":" not in target
        and "notebooks/" not in target  # the tutorials are written from notebooks that were run
        and not (page.parent / target).resolve().is_file()
    ]
    assert missing == []


def test_pages_show_no_picture_from_the_network(site):
    remote = re.compile(r'!\[[^\]]*\]\(https?:|<img[^>]* src="https?:')
    shown = [page.name for page in site.PAGES.rglob("*.md") if remote.search(page.read_text())]
    assert shown == []


@pytest.mark.skipif(executable() is None, reason="there is no Chromium on the PATH")
def test_the_worker_of_the_search_answers_on_a_page_that_is_opened_from_a_folder(site, tmp_path):
    worker = "self.sum = 0; addEventListener('message', e => postMessage(self.sum += e.data))"
    (tmp_path / "worker.js").write_text(worker)
    script = (site.PAGES / "docs/iframe-worker.js").read_text(encoding="utf-8")
    page = tmp_path / "page.html"
    page.write_text(f"<meta charset=utf-8><title>page</title><body><script>{script}</script>")
    with Chromium(tmp_path / "profile") as browser:
        browser.open(page)
        answered = browser.run(
            "new Promise(resolve => { const heard = [], worker = new Worker('worker.js');"
            " worker.addEventListener('message', e => {"
            "   heard.push(e.data); if (heard.length === 1) worker.postMessage(30);"
            "   if (heard.length === 3) resolve([heard, 'sum' in window]) });"
            " worker.postMessage(1); worker.postMessage(2); })"
        )
        assert browser.complaints() == []
    heard, leaked = answered
    assert sorted(heard) in ([1, 3, 33], [1, 31, 33]), "both early messages and one from a listener"
    assert not leaked


def test_pictures_and_formulas_are_there(site):
    front = (site.PAGES / "index.md").read_text(encoding="utf-8")
    for image in re.findall(r'<img src="([^"]+)"', front):
        assert (site.PAGES / image).is_file()
    assert all("$`" not in page.read_text() for page in site.PAGES.glob("docs/*.md"))

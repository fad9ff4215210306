"""The page in a real browser: it is drawn without complaint, and picking and sorting work."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from autoprox.runs.evolve import evolve
from autoprox.show.page import write_page
from tests.show.page.chromium import Chromium, executable

pytestmark = pytest.mark.skipif(executable() is None, reason="there is no Chromium on the PATH")
TINY = str(Path(__file__).parents[2] / "tiny_bench.py")
SHOWN = "[...document.querySelectorAll('article.proxy')].filter(each => !each.hidden)"
FIRST = "table.sortable"


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    evolve(
        TINY,
        out=folder / "run",
        cache=folder / "cache",
        evaluations=160,
        population=20,
        proposals=40,
    )
    return write_page(folder / "run")


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    with Chromium(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture
def page(chromium, written) -> Chromium:
    """The page, just opened."""
    chromium.events.clear()
    chromium.size(1400, 1000)
    chromium.open(written)
    return chromium


def shown(page: Chromium) -> list[str]:
    """The names of the proxies that can be seen."""
    return page.run(f"{SHOWN}.map(each => each.id)")


def column(page: Chromium, place: int) -> list[str]:
    """The texts in a column of the first table."""
    return page.run(
        f"[...document.querySelector('{FIRST}').tBodies[0].rows]"
        f".map(row => row.cells[{place}].firstChild.textContent.trim())"
    )


def test_it_is_drawn_without_complaint(page):
    assert page.run("document.title").endswith("- autoprox")
    for drawn in (f"{SHOWN}[0]", "document"):
        for selector in ("math", "svg", "pre"):
            box = page.run(
                f"(b => [b.width, b.height])"
                f"({drawn}.querySelector('{selector}').getBoundingClientRect())"
            )
            assert min(box) > 15, selector
    assert page.complaints() == []


def test_a_complaint_would_be_heard(page):
    page.run("console.error('heard')")
    page.run("document.body.append(Object.assign(new Image(), {src: 'https://example.org/a.png'}))")
    heard = page.complaints()
    assert any("heard" in each for each in heard)
    assert any("Content Security Policy" in each for each in heard)


def test_a_link_picks_a_proxy(page):
    assert shown(page) == ["proxy-top-1"]
    page.run(f"document.querySelector('{FIRST} a[href=\"#proxy-top-2\"]').click()")
    page.complaints()
    assert shown(page) == ["proxy-top-2"]
    current = page.run(
        "[...document.querySelectorAll('a[aria-current]')].map(a => a.getAttribute('href'))"
    )
    assert set(current) == {"#proxy-top-2"}
    assert page.run(f"{SHOWN}[0].querySelector('h3').textContent") == "top 2"


def test_a_point_of_the_chart_picks_with_the_keyboard(page):
    hash_ = page.run(
        "(a => { a.focus(); return a.getAttribute('href'); })"
        "([...document.querySelectorAll('.chart a')].at(-1))"
    )
    page.press("Enter")
    page.complaints()
    assert hash_ != "#proxy-top-1"
    assert shown(page) == [hash_[1:]]
    assert page.run(
        f"(b => b.top < innerHeight && b.bottom > 0)({SHOWN}[0].getBoundingClientRect())"
    )


def test_an_address_names_a_proxy(page, written):
    page.call("Page.navigate", url=f"{written.resolve().as_uri()}#proxy-params")
    page.complaints()
    assert shown(page) == ["proxy-params"]


def test_a_heading_sorts_numbers_and_words_both_ways(page):
    def sort(place: int) -> str:
        return page.run(
            f"(h => {{ h.firstChild.click(); return h.getAttribute('aria-sort'); }})"
            f"(document.querySelector('{FIRST}').tHead.rows[0].cells[{place}])"
        )

    before = [float(each) for each in column(page, 2)]
    assert sort(2) == "descending"
    assert [float(each) for each in column(page, 2)] == sorted(before, reverse=True)
    assert sort(2) == "ascending"
    assert [float(each) for each in column(page, 2)] == sorted(before)
    names = column(page, 0)
    assert sort(0) == "ascending"
    assert column(page, 0)[-1] == max(names, key=str.lower)
    assert sorted(column(page, 0)) == sorted(names)
    assert column(page, 0).index("top 2") < column(page, 0).index("top 10")
    sorted_by = page.run(f"document.querySelectorAll('{FIRST} th[aria-sort]').length")
    assert sorted_by == 1


def test_a_heading_sorts_by_the_keyboard(page):
    page.run(f"document.querySelector('{FIRST} thead th:nth-child(2) button').focus()")
    page.press("Enter")
    nodes = [int(each) for each in column(page, 1)]
    assert nodes == sorted(nodes, reverse=True)


def test_what_has_no_figure_comes_last_both_ways(page):
    page.run(f"document.querySelector('{FIRST}').tBodies[0].rows[0].cells[1].textContent = '-'")
    for _ in range(2):
        page.run(f"document.querySelector('{FIRST} thead th:nth-child(2) button').click()")
        assert column(page, 1)[-1] == "-"


def test_a_node_says_what_it_means(page):
    meaning = f"{SHOWN}[0].querySelector('.meaning').textContent"
    node = f"{SHOWN}[0].querySelector('.node')"
    assert "Point at a node" in page.run(meaning)
    page.move_to("article:not([hidden]) .node")
    assert page.run(meaning) == page.run(f"{node}.getAttribute('aria-label')")
    page.run(f"[...{SHOWN}[0].querySelectorAll('.node')].at(-1).focus()")
    word = page.run(f"[...{SHOWN}[0].querySelectorAll('.node .word')].at(-1).textContent")
    assert page.run(meaning).startswith(f"{word} (")


def test_a_formula_that_is_wider_than_its_cell_is_made_smaller(page):
    math = f"document.querySelector('{FIRST} td.formula math')"
    size = f"parseFloat(getComputedStyle({math}).fontSize)"
    cell = f"document.querySelector('{FIRST} td.formula div')"
    before = page.run(size)
    page.run(  # repeated until it is a fifth wider than the cell
        f"(m => {{ const part = m.innerHTML; while (m.scrollWidth < 1.2 * {cell}.clientWidth) "
        f"m.innerHTML += part; const c = {cell}; const copy = c.cloneNode(true); "
        f"fitted.unobserve(c); c.replaceWith(copy); fitted.observe(copy); }})({math})"
    )
    page.complaints()
    assert 0.6 * before < page.run(size) < before
    assert page.run(f"{cell}.scrollWidth <= {cell}.clientWidth")


CONTRASTS = """
(() => {
  const channels = colour => colour.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
    .map(v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
  function behind(element) {
    for (let e = element; e; e = e.parentElement) {
      const colour = channels(getComputedStyle(e).backgroundColor);
      if (colour.length === 3 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  }
  const found = {};
  for (const e of document.querySelectorAll("body *")) {
    if (![...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim())) continue;
    if (["SCRIPT", "STYLE", "title"].includes(e.tagName)) continue;
    const style = getComputedStyle(e), drawn = e instanceof SVGElement;
    const box = drawn && e.closest(".node")?.querySelector("polygon, rect");
    const back = box ? channels(getComputedStyle(box).fill) : behind(e);
    const scale = box && getComputedStyle(box).fill.startsWith("color(") ? 255 : 1;
    const a = light(channels(drawn ? style.fill : style.color));
    const b = light(back.map(v => v * scale));
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    const name = e.tagName + "." + (e.className.baseVal ?? e.className);
    found[name] = Math.min(found[name] ?? 99, ratio);
  }
  return found;
})()
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_stands_out_enough(page, scheme):
    page.scheme(scheme)
    ink = page.run("getComputedStyle(document.body).color")
    assert (ink == "rgb(27, 31, 36)") == (scheme == "light")
    ratios = page.run(CONTRASTS)
    assert len(ratios) > 15
    assert {name: ratio for name, ratio in ratios.items() if ratio < 4.5} == {}


@pytest.mark.parametrize("width", [360, 800, 1400])
def test_the_page_never_scrolls_sideways(page, width):
    page.size(width, 800)
    assert page.run("document.documentElement.scrollWidth <= innerWidth")


def test_everything_can_be_read_without_scripts(page, written):
    page.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        page.open(written)
        count = page.run("document.querySelectorAll('article.proxy').length")
        assert len(shown(page)) == count > 10
    finally:
        page.call("Emulation.setScriptExecutionDisabled", value=False)


def test_it_prints(page):
    printed = page.call("Page.printToPDF", printBackground=False)
    assert len(json.dumps(printed)) > 50_000
    assert page.complaints() == []

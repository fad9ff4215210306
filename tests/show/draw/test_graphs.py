"""Pictures: what is drawn where, which files come out, and what stays as it was."""

from __future__ import annotations

import itertools
import re
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import networkx
import pytest

from autoprox.errors import AutoproxError, RunError
from autoprox.language.layout import apart, crossings, layered
from autoprox.language.picture import GAP, LAYER_STEP, LOOKS, ROOT_EDGE, box_width, picture
from autoprox.language.svg import to_svg
from autoprox.language.text import parse
from autoprox.primitives import PRIMITIVES
from autoprox.proxies.loading import load
from autoprox.show.draw import draw, save

matplotlib = pytest.importorskip("matplotlib")

SHARED = (
    "subtract(sum(only_attention(divide(norm(multiply(weight, grad)), log(params)))), "
    "multiply(max(log_softmax(norm(act))), sum(multiply(norm(multiply(weight, grad)), "
    "mean(absolute(act_gram))))))"
)
LONG = (
    "add(sum(multiply(params, log(add(params, norm(divide(weight, sqrt(absolute(grad)))))))), "
    "multiply(sum(params), divide(sum(mean(weight)), 2.0)))"
)


@pytest.fixture(params=["own", "graphviz"], autouse=True)
def places(request, monkeypatch):
    """Draw with and without Graphviz."""
    if request.param == "graphviz":
        pytest.importorskip("pygraphviz")
    else:
        monkeypatch.setitem(sys.modules, "pygraphviz", None)


def laid(text: str):
    view = parse(text).to_networkx()
    widths = {node: box_width(data) for node, data in view.nodes(data=True)}
    return view, widths, layered(view, widths, GAP, LAYER_STEP)


@pytest.mark.parametrize("text", [SHARED, LONG, "params", "sum(params)"])
def test_no_two_boxes_overlap_and_all_lie_inside_the_extent(text: str) -> None:
    _, widths, layout = laid(text)
    for (a, (xa, ya)), (b, (xb, yb)) in itertools.combinations(layout.places.items(), 2):
        assert ya != yb or abs(xa - xb) >= (widths[a] + widths[b]) / 2 + GAP - 1e-6
    for node, (x, y) in layout.places.items():
        assert abs(x) + widths[node] / 2 <= layout.width / 2 + 1e-6
        assert 0 <= y <= layout.height


@pytest.mark.parametrize("text", [SHARED, LONG])
def test_arguments_lie_below_their_users_and_the_root_on_top(text: str) -> None:
    view, _, layout = laid(text)
    assert all(layout.places[a][1] < layout.places[b][1] for a, b in view.edges)
    top = max(layout.places, key=lambda node: layout.places[node][1])
    assert view.out_degree(top) == 0


def test_a_long_edge_passes_no_box() -> None:
    _, widths, layout = laid(LONG)
    long = [points for points in layout.ways.values() if points]
    assert long
    for x, y in itertools.chain.from_iterable(long):
        for node, (x0, y0) in layout.places.items():
            assert y != y0 or abs(x - x0) > widths[node] / 2


def test_a_layout_untangles_what_can_be_untangled() -> None:
    view = networkx.DiGraph([(0, 5), (1, 4), (2, 3), (3, 6), (4, 6), (5, 6)])
    layout = layered(view, dict.fromkeys(range(7), 1.0), 0.3, 1.0)
    assert {layout.places[node][1] for node in (3, 4, 5)} == {1.0}
    order = sorted((0, 1, 2), key=lambda node: layout.places[node][0])
    above = sorted((3, 4, 5), key=lambda node: layout.places[node][0])
    assert crossings(view, [order, above]) == 0


def test_crossings_are_counted_by_pairs_of_edges() -> None:
    view = networkx.DiGraph([(0, 2), (0, 3), (1, 2), (1, 3)])
    assert crossings(view, [[0, 1], [2, 3]]) == 1
    assert crossings(networkx.DiGraph([(0, 3), (1, 2)]), [[0, 1], [2, 3]]) == 1
    assert crossings(networkx.DiGraph([(0, 2), (1, 3)]), [[0, 1], [2, 3]]) == 0


def test_boxes_that_fit_are_where_they_want_to_be() -> None:
    assert apart([0.0, 5.0], [1.0, 1.0], 0.5) == [0.0, 5.0]
    assert apart([5.0, 0.0], [1.0, 1.0], 0.5) == [1.75, 3.25]


def test_every_form_has_a_look_of_its_own_without_colour() -> None:
    forms = {made.form.value for made in PRIMITIVES.values()}
    assert forms | {"statistic", "number"} == set(LOOKS)
    shapes = [(LOOKS[form].lean, LOOKS[form].pointed) for form in (*forms, "statistic")]
    assert len(set(shapes)) == len(shapes)
    assert len({look.fill for look in LOOKS.values()}) == len(LOOKS)


def texts(axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def test_a_drawing_has_each_word_once_and_only_the_root_marked() -> None:
    graph = parse(SHARED)
    axes = draw(graph)
    shown = texts(axes)
    for word in {node.word for node in graph}:
        assert shown.count(word) == sum(node.word == word for node in graph)
    marked = [
        patch
        for patch in axes.patches
        if matplotlib.colors.to_hex(patch.get_edgecolor()) == ROOT_EDGE
    ]
    assert len(marked) == 1


def test_arguments_are_numbered_exactly_where_their_order_matters() -> None:
    assert {"1", "2"} <= set(texts(draw(parse("divide(weight, grad)"))))
    assert not {"1", "2"} & set(texts(draw(parse("multiply(weight, grad)"))))


def test_an_argument_that_is_used_twice_shows_both_its_places() -> None:
    assert "1, 2" in texts(draw(parse("multiply(weight, weight)")))


def test_numbers_and_kinds_are_drawn() -> None:
    shown = texts(draw(parse("multiply(weight, 2.0)")))
    assert {"2.0", "Weight"} <= set(shown)


SVG = "{http://www.w3.org/2000/svg}"


def numbers(text: str) -> list[float]:
    return [float(each) for each in re.findall(r"-?\d+(?:\.\d+)?", text)]


@pytest.mark.parametrize("text", [SHARED, LONG, "params"])
def test_svg_has_each_node_once_with_its_word_and_what_it_means(text: str) -> None:
    graph = parse(text)
    root = ElementTree.fromstring(to_svg(graph))
    nodes = [each for each in root.iter(f"{SVG}g") if "node" in each.attrib["class"].split()]
    assert [each.find(f"{SVG}text").text for each in nodes] == [
        node.word for node in reversed(list(graph))
    ]
    marked = [each.attrib["stroke"] for each in nodes if "root" in each.attrib["class"].split()]
    assert marked == [ROOT_EDGE]
    for each, node in zip(nodes, reversed(list(graph)), strict=True):
        assert each.find(f"{SVG}title").text.startswith(node.word)
        assert each.attrib["aria-label"] == each.find(f"{SVG}title").text


@pytest.mark.parametrize("title", ["", "a < b"])
def test_everything_of_an_svg_lies_inside_its_extent(title: str) -> None:
    root = ElementTree.fromstring(to_svg(parse(SHARED), title))
    left, top, width, height = numbers(root.attrib["viewBox"])
    for each in root.iter():
        if each.tag in (f"{SVG}path", f"{SVG}polygon"):
            places = numbers(each.get("d") or each.get("points"))
            assert left <= min(places[::2]) <= max(places[::2]) <= left + width
            assert top <= min(places[1::2]) <= max(places[1::2]) <= top + height
        elif each.tag == f"{SVG}text":
            assert top < float(each.attrib["y"]) < top + height
    texts = [each.text for each in root.iter(f"{SVG}text")]
    assert (title in texts) == bool(title)


@pytest.mark.parametrize("text", [SHARED, LONG])
def test_every_line_leads_from_the_top_of_a_box_to_the_foot_of_another(text: str) -> None:
    drawn = picture(parse(text))
    assert len(drawn.lines) == parse(text).to_networkx().number_of_edges()
    for line in drawn.lines:
        ((x0, y0), *_, (x, y)) = line.points
        assert sum(box.place == (x0, pytest.approx(y0 + 23)) for box in drawn.boxes) == 1
        ends = [box for box in drawn.boxes if box.place[1] == pytest.approx(y - 23)]
        assert any(abs(box.place[0] - x) <= box.width / 2 for box in ends)


def test_svg_needs_no_matplotlib(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    save(load("zico"), tmp_path / "zico.svg")
    text = (tmp_path / "zico.svg").read_text(encoding="utf-8")
    assert text.strip() == to_svg(load("zico").graph, "zico")
    assert to_svg(load("zico").graph) == load("zico")._repr_svg_()


def test_a_proxy_draws_itself_in_a_notebook() -> None:
    assert ElementTree.fromstring(load("snip")._repr_svg_()).tag.endswith("svg")


@pytest.mark.parametrize(
    ("suffix", "start"),
    [(".svg", b"<svg"), (".png", b"\x89PNG"), (".PNG", b"\x89PNG"), (".pdf", b"%PDF")],
)
def test_the_suffix_decides_the_format(tmp_path: Path, suffix: str, start: bytes) -> None:
    path = tmp_path / f"picture{suffix}"
    save(load("snip"), path)
    assert path.read_bytes().startswith(start)
    assert list(tmp_path.iterdir()) == [path]


def test_another_suffix_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(AutoproxError, match=r"\.svg, \.png or \.pdf file; got .*picture\.gif"):
        save(load("snip"), tmp_path / "picture.gif")
    assert not list(tmp_path.iterdir())


def test_a_picture_makes_its_folder_and_says_so_if_it_cannot(tmp_path: Path) -> None:
    save(load("snip"), tmp_path / "new" / "picture.svg")
    assert (tmp_path / "new" / "picture.svg").stat().st_size > 0
    with pytest.raises(RunError, match="cannot write"):
        save(load("snip"), tmp_path / "new" / "picture.svg" / "picture.svg")


def test_without_matplotlib_the_error_says_how_to_install_it(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(AutoproxError, match="pip install matplotlib"):
        draw(parse("sum(params)"))


def test_drawing_leaves_pyplot_and_the_settings_alone() -> None:
    before = dict(matplotlib.rcParams)
    had_pyplot = "matplotlib.pyplot" in sys.modules
    draw(load("snip"))
    assert dict(matplotlib.rcParams) == before
    assert ("matplotlib.pyplot" in sys.modules) == had_pyplot


def test_given_axes_are_drawn_on() -> None:
    axes = matplotlib.figure.Figure().add_subplot()
    assert draw(parse("sum(params)"), axes, title="mine") is axes
    assert axes.get_title() == "mine"

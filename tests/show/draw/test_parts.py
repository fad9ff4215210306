"""The pictures of a proxy's parts."""

from __future__ import annotations

import sys

import pytest

from autoprox.assessment.ablation import Ablation, Part
from autoprox.assessment.contributions import contributions
from autoprox.errors import AutoproxError
from autoprox.language.text import parse
from autoprox.proxies.proxy import Proxy
from autoprox.show.draw import ablation, heat_map, layers
from autoprox.show.draw.parts import draw_ablation, draw_layers
from autoprox.statistics import noise
from tests.made_measurements import measurement
from tests.tiny_bench import bench

pytest.importorskip("matplotlib")

GRAPH = parse("divide(sum(params), sum(flops))")
FOUND = Ablation(
    GRAPH,
    0.5,
    (
        Part("params", 1.0, 0.1, 0.4, None),
        Part("sum(params)", 1.0, 0.0, 0.5, None),
        Part("flops", 1.0, 0.7, -0.2, None),
        Part("sum(flops)", 2.0, None, None, "not finite"),
    ),
)


def shown(axes) -> dict[str, str]:
    """The words of the boxes, and what stands below each; two of one word are told by a number."""
    texts = [each.get_text() for each in axes.texts if each.get_transform() == axes.transData]
    texts = [each for each in texts if each not in ("1", "2")]
    pairs = list(zip(texts[::2], texts[1::2], strict=True))
    return {f"{word} {i}": below for i, (word, below) in enumerate(pairs)}


def test_each_box_has_the_loss_of_its_part_and_the_root_what_there_is_to_lose() -> None:
    assert shown(draw_ablation(FOUND)) == {
        "params 0": "0.400",
        "sum 1": "0.500",
        "flops 2": "\N{MINUS SIGN}0.200",
        "sum 3": "undefined",
        "divide 4": "joint D 0.500",
    }


def test_the_more_is_lost_the_deeper_a_box_is_blue_and_a_gain_is_red() -> None:
    from matplotlib.patches import FancyArrowPatch

    axes = draw_ablation(FOUND)
    boxes = [each for each in axes.patches if not isinstance(each, FancyArrowPatch)]
    some, all_, gain, undefined, root = (each.get_facecolor()[:3] for each in boxes)
    assert some[0] > all_[0]
    assert all_[2] > all_[0]
    assert gain[0] > gain[2]
    assert undefined == root == (1, 1, 1)


def test_a_bar_a_layer_in_the_order_of_execution() -> None:
    network = measurement(("embedding", "attention", "head"), params=[1.0, 2.0, 4.0],
                          flops=[1.0, 1.0, 1.0])  # fmt: skip
    graph = parse("divide(sum(params), mean(only_attention(flops)))")
    first, second = draw_layers(contributions(graph, network), title="mine").axes
    by_title = {each.get_title(): each for each in (first, second)}
    whole, part = by_title["params"], by_title["only_attention(flops)"]
    assert [each.get_text() for each in whole.get_yticklabels()] == ["layer0", "layer1", "layer2"]
    assert [each.get_width() for each in whole.patches] == [1, 2, 4]
    assert len({each.get_facecolor() for each in whole.patches}) == 3
    assert whole.get_xlabel() == "sum of these: 7"
    assert whole.get_ylim()[0] > whole.get_ylim()[1]  # the first on top
    assert [each.get_width() for each in part.patches] == [1]
    assert whole.figure.get_suptitle() == "mine"
    (key,) = whole.figure.legends
    assert [each.get_text() for each in key.get_texts()] == ["embedding", "attention", "head"]


@pytest.mark.usefixtures("one_thread")
def test_the_contributions_of_a_sum_are_those_of_the_score() -> None:
    proxy = Proxy(parse("sum(norm(weight))"), name="norms")
    network = bench.network(bench.architectures[1])
    batch = noise(bench.input_shape, bench.classes, batch=4, seed=0)
    figure = layers(proxy, network, *batch, sample="full")
    (axes,) = figure.axes
    widths = [each.get_width() for each in axes.patches]
    weights = [each for each in network.parameters() if each.ndim > 1]
    assert widths == pytest.approx([each.detach().norm().item() for each in weights])
    assert sum(widths) == pytest.approx(proxy(network, *batch, sample="full"))
    assert figure.get_suptitle() == "norms"


@pytest.mark.usefixtures("one_thread")
def test_an_ablation_is_drawn_from_a_bench(tmp_path) -> None:
    axes = ablation(Proxy(parse("sum(params)"), name="params"), bench, cache=tmp_path)
    assert axes.get_title() == "params"
    assert list(shown(axes)) == ["params 0", "sum 1"]


@pytest.mark.parametrize(
    "draw",
    [
        lambda: ablation(GRAPH, "no bench"),
        lambda: layers(Proxy(GRAPH), None, None),
        lambda: heat_map("no file.csv"),
    ],
    ids=["ablation", "layers", "heat_map"],
)
def test_that_matplotlib_is_missing_shows_before_anything_is_computed(draw, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(AutoproxError, match="pip install matplotlib"):
        draw()

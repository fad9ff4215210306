"""The evaluator against plain loops over layers, live scores against cached ones."""

import math

import numpy as np
import pytest
import torch

from autoprox.errors import ScoreError, StatisticError
from autoprox.evaluation.evaluate import Evaluator, Table
from autoprox.language.text import parse_proxy
from autoprox.proxies.loading import load
from autoprox.proxies.proxy import Proxy
from autoprox.statistics import Measurement, Store, measure, noise
from tests.made_measurements import measurement
from tests.tiny_bench import bench

NAMES = (
    "weight",
    "grad",
    "grad_abs_mean",
    "grad_std",
    "act",
    "act_gram",
    "params",
    "position",
    "heads",
)


@pytest.fixture(scope="module")
def networks():
    return [bench.network(each) for each in bench.architectures[::5]]


@pytest.fixture(scope="module")
def batch():
    return noise(bench.input_shape, bench.classes, batch=8, seed=0)


@pytest.fixture(scope="module", params=[64, "full"])
def table(request, networks, batch):
    return Table(tuple(measure(net, *batch, NAMES, sample=request.param) for net in networks))


def by_hand(measurement, layer_number, network_number):
    """Return a score by a loop over the layers that have all the statistics."""
    layers = []
    for i in range(len(measurement.layers)):
        tensors = {n: measurement.values[n][i].double().numpy() for n in NAMES[:6]}
        sizes = {n: float(measurement.sizes[n][i]) for n in NAMES[:6]}
        layers.append(layer_number(tensors, sizes))
    return network_number(np.array(layers))


EXPRESSIONS = {
    "sum(sum(absolute(multiply(weight, grad))))": (
        lambda t, n: np.abs(t["weight"] * t["grad"]).mean() * n["weight"],
        np.sum,
    ),
    "sum(log(sum(divide(grad_abs_mean, grad_std))))": (
        lambda t, n: math.log(
            np.divide(
                t["grad_abs_mean"],
                t["grad_std"],
                out=np.zeros_like(t["grad_std"]),
                where=t["grad_std"] != 0,
            ).mean()
            * n["weight"]
        ),
        np.sum,
    ),
    "max(norm(act))": (lambda t, n: math.sqrt((t["act"] ** 2).mean() * n["act"]), np.max),
    "std(std(weight))": (lambda t, n: t["weight"].std(), np.std),
    "mean(trace(act_gram))": (lambda t, n: np.trace(t["act_gram"]), np.mean),
    "exp(min(multiply(mean(weight), 3)))": (
        lambda t, n: 3 * t["weight"].mean(),
        lambda x: math.exp(x.min()),
    ),
}


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_a_score_is_what_a_loop_over_the_layers_gives(table, text):
    scores = Evaluator(table)(parse_proxy(text))
    assert not scores.failures
    truth = [by_hand(each, *EXPRESSIONS[text]) for each in table.measurements]
    np.testing.assert_allclose(scores.values, truth, rtol=2e-5)


def test_counts_are_exact(table, networks):
    scores = Evaluator(table)(parse_proxy("sum(params)"))
    assert scores.values.tolist() == [sum(p.numel() for p in net.parameters()) for net in networks]


def test_scores_that_a_caller_changes_are_right_the_next_time(table):
    evaluator, graph = Evaluator(table), parse_proxy("sum(norm(weight))")
    expected = evaluator(graph).values.copy()
    evaluator(graph).values[:] = 0.0
    assert evaluator(graph).values.tolist() == expected.tolist()


def test_a_selector_keeps_the_layers_of_one_half():
    layers = [1.0, 10.0, 100.0, 1000.0]
    evaluator = Evaluator(Table(tuple(measurement(params=layers[:count]) for count in (2, 3, 4))))
    assert evaluator(parse_proxy("sum(only_early(params))")).values.tolist() == [1, 1, 11]
    assert evaluator(parse_proxy("sum(only_late(params))")).values.tolist() == [10, 110, 1100]


def test_a_layer_is_counted_only_where_it_has_all_that_is_read_of_it():
    tensors = {name: torch.ones(2, 3) for name in ("weight", "weight_error")}
    there = {"weight": torch.tensor([True, True]), "weight_error": torch.tensor([True, False])}
    sizes = dict.fromkeys(tensors, torch.full((2,), 3.0, dtype=torch.float64))
    made = Measurement(("first", "second"), ("mlp",) * 2, 3, tensors, there, sizes)
    evaluator = Evaluator(Table((made,)))
    assert evaluator(parse_proxy("count(norm(weight))")).values == 2
    assert evaluator(parse_proxy("count(norm(multiply(weight, weight_error)))")).values == 1
    assert evaluator(parse_proxy("count(count(multiply(weight, weight_error)))")).values == 1


def test_a_network_without_the_layers_fails_with_the_reason(table):
    scores = Evaluator(table)(parse_proxy("sum(heads)"))
    assert scores.failures[0] == "no layer has heads"
    assert len(scores.failures) == len(table)


@pytest.mark.parametrize("word", ["sum", "mean", "std", "norm", "max", "min", "entropy"])
def test_nothing_is_said_of_no_layer_however_it_is_bounded(table, word):
    scores = Evaluator(table)(parse_proxy(f"sigmoid({word}(heads))"))
    assert scores.failures == dict.fromkeys(range(len(table)), "no layer has heads")


def test_what_is_not_finite_is_a_failure_that_names_the_word(table):
    scores = Evaluator(table)(
        parse_proxy("sum(square(square(square(square(exp(square(params)))))))")
    )
    assert scores.failure == "not finite: square"


def test_the_cache_of_values_changes_nothing_however_small(table):
    graphs = [parse_proxy(text) for text in EXPRESSIONS] * 2
    wide, narrow = Evaluator(table), Evaluator(table, cache_bytes=1)
    for graph in graphs:
        np.testing.assert_array_equal(wide(graph).values, narrow(graph).values)


def test_a_part_of_a_table_gives_the_same_scores(table):
    graph = parse_proxy("sum(sum(absolute(multiply(weight, grad))))")
    whole = Evaluator(table)(graph).values
    np.testing.assert_array_equal(Evaluator(table.subset([3, 1]))(graph).values, whole[[3, 1]])


@pytest.mark.parametrize("sample", [64, "full"])
def test_live_and_cached_scores_are_equal(tmp_path, networks, batch, sample):
    store = Store(tmp_path)
    for i, net in enumerate(networks):
        store.save({"i": i}, measure(net, *batch, NAMES, sample=sample))
    evaluator = Evaluator(Table(tuple(store.load({"i": i}, NAMES) for i in range(len(networks)))))
    for text in EXPRESSIONS:
        live = [Proxy(parse_proxy(text))(net, *batch, sample=sample) for net in networks]
        np.testing.assert_allclose(evaluator(parse_proxy(text)).values, live, rtol=1e-5)


def test_a_proxy_says_why_it_has_no_score(networks, batch):
    with pytest.raises(ScoreError, match="no layer has heads"):
        load("sum(heads)")(networks[0], *batch)
    with pytest.raises(StatisticError, match=r"label|target"):
        load("snip")(networks[0], batch[0])


def test_a_proxy_that_needs_no_labels_takes_none(networks, batch):
    assert load("params")(networks[0], batch[0]) == sum(p.numel() for p in networks[0].parameters())


def test_scores_do_not_depend_on_the_number_of_threads(table):
    graph = parse_proxy("sum(log(sum(divide(grad_abs_mean, grad_std))))")
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = Evaluator(table)(graph).values
        torch.set_num_threads(2)
        np.testing.assert_allclose(Evaluator(table)(graph).values, one, rtol=1e-12)
    finally:
        torch.set_num_threads(before)

"""Bits that a search finds, against all that there are."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn

import autoprox
from autoprox.errors import QuantisationError, ScoreError, UnknownNameError
from autoprox.evaluation.evaluate import Evaluator, Table
from autoprox.language.text import parse
from autoprox.proxies.function import FunctionProxy
from autoprox.quantise import costs, quantise
from autoprox.statistics import measure
from tests.quantise.small_networks import images, residual
from tests.search.bits.small import WIDTHS, batch, network

pytestmark = pytest.mark.usefixtures("one_thread")

SUMS = (
    "negative(sum(sum(square(weight_error))))",
    "mean(multiply(bits, norm(grad)))",
    "negative(norm(multiply(norm(act_error), log(bits))))",
    "tanh(sum(only_early(log(multiply(params, bits)))))",
    "sqrt(sum(divide(norm(weight), norm(weight_error))))",
)
COMPARING = (
    "negative(sum(softmax(norm(weight_error))))",
    "negative(std(multiply(bits, norm(grad))))",
    "negative(log(sum(sum(square(weight_error)))))",
    "add(sum(bits), negative(max(multiply(bits, bits))))",
)
LIMITS = ({"size": 400}, {"bops": "600K"}, {"average_bits": 2.7}, {"average_bits": 4})


@pytest.fixture(scope="module")
def truth():
    """All configurations, and each measured by itself."""
    made, shown = network(), batch()
    names = sorted({name for each in (*SUMS, *COMPARING) for name in parse(each).statistics})
    every = [(8, *inner, 8) for inner in itertools.product(WIDTHS, repeat=4)]
    table = Table(tuple(measure(made, *shown, names, bits=bits) for bits in every))
    return every, Evaluator(table)


LAYERS = [each for each in network() if isinstance(each, nn.Conv2d | nn.Linear)]


def spent(name, bits):
    """What a configuration costs, from the network's modules alone."""
    weights = [each.weight.numel() for each in LAYERS]
    if name == "size":
        biases = sum(each.bias.numel() for each in LAYERS)
        return sum(-(-n * b // 8) for n, b in zip(weights, bits, strict=True)) + 4 * biases
    if name == "bops":
        places = [36] * 5 + [1]
        return sum(8 * n * b * at for n, b, at in zip(weights, bits, places, strict=True))
    inner = list(zip(weights, bits, strict=True))[1:-1]
    return sum(n * b for n, b in inner) / sum(n for n, _ in inner)


def amount(limit):
    return float(str(limit).replace("K", "e3"))


PAIRS = [(text, limit) for text in SUMS for limit in LIMITS]
PAIRS += [*zip(COMPARING, LIMITS, strict=True), *((COMPARING[0], limit) for limit in LIMITS[1:])]


@pytest.mark.parametrize(("text", "limit"), PAIRS, ids=str)
def test_nothing_within_the_limit_scores_higher(truth, text, limit):
    every, evaluator = truth
    ((name, most),) = limit.items()
    fits = np.array([spent(name, bits) <= amount(most) for bits in every])
    best = evaluator(parse(text)).values[fits].max()
    choice = autoprox.search_bits(network(), *batch(), text, widths=WIDTHS, **limit)
    assert spent(name, choice.bits.values()) <= amount(most)
    np.testing.assert_allclose(choice.score, best, rtol=1e-9)
    assert choice.found_by == ("integer programme" if text in SUMS else "evolution")
    assert 0 < fits.sum() <= len(every)


def test_a_choice_says_what_it_costs_and_can_be_quantised():
    made, (inputs, targets) = network(), batch()
    choice = autoprox.search_bits(made, inputs, targets, "bit_sum", size=450, widths=WIDTHS)
    bits = tuple(choice.bits.values())
    assert list(choice.bits) == [layer.name for layer in costs(made, inputs).layers]
    assert bits[0] == bits[-1] == 8
    assert choice.size_bytes == spent("size", bits)
    assert choice.bops == spent("bops", bits)
    assert choice.average_bits == spent("average_bits", bits)
    assert choice.score == sum(bits)
    assert quantise(made, choice.bits, inputs)(inputs).shape == (8, 4)
    assert choice.to_json()["bits"] == choice.bits


def test_the_score_is_that_of_a_call():
    choice = autoprox.search_bits(network(), *batch(), "hawq_v2", average_bits=3.5, seed=3)
    live = autoprox.load("hawq_v2")(network(), *batch(), bits=choice.bits, sample=512, seed=3)
    np.testing.assert_allclose(choice.score, live, rtol=1e-9)


def test_layers_that_cannot_be_quantised_do_not_matter():
    made, inputs = residual(), images(8)  # one layer never runs
    text = "negative(std(multiply(norm(act_error), bits)))"
    choice = autoprox.search_bits(made, inputs, None, text, average_bits=3.5, seed=3)
    live = autoprox.load(text)(made, inputs, bits=choice.bits, sample=512, seed=3)
    assert "unused" not in choice.bits
    np.testing.assert_allclose(choice.score, live, rtol=1e-9)


def test_a_seed_decides_and_nothing_else_changes():
    made, shown, text = network(), batch(), "negative(std(multiply(bits, norm(weight))))"
    before = {name: tensor.clone() for name, tensor in made.state_dict().items()}
    torch.manual_seed(0)
    state = torch.get_rng_state()
    first, again = (
        autoprox.search_bits(made, *shown, text, size=440, seed=5, evaluations=100)
        for _ in range(2)
    )
    assert first == again
    assert torch.equal(state, torch.get_rng_state())
    assert made.training
    assert all(torch.equal(before[name], each) for name, each in made.state_dict().items())


def test_a_function_is_searched_call_by_call():
    calls = []

    def fewest(subject):
        """Minus the sum of the bits."""
        calls.append(subject.bits)
        return -float(sum(subject.bits.values()))

    proxy = FunctionProxy("fewest", fewest, needs_bits=True)
    told = []
    choice = autoprox.search_bits(
        network(),
        *batch(),
        proxy,
        average_bits=3.5,
        widths=WIDTHS,
        evaluations=40,
        progress=lambda *numbers: told.append(numbers),
    )
    assert choice.score == -(8 + 2 * 4 + 8)
    assert choice.evaluated == len(calls) == 40
    assert told[-1] == ("scoring configurations", 40, 40)


@pytest.mark.parametrize(
    ("limit", "least"),
    [({"size": "200B"}, "312"), ({"bops": 9}, "396160"), ({"average_bits": 1.9}, "2")],
)
def test_an_impossible_limit_says_the_smallest_possible(limit, least):
    ((name, _),) = limit.items()
    assert spent(name, (8, 2, 2, 2, 2, 8)) == float(least)
    with pytest.raises(QuantisationError, match=f"the smallest possible is {least}, with 2 bits"):
        autoprox.search_bits(network(), *batch(), "bit_sum", **limit)
    fits = autoprox.search_bits(network(), *batch(), "bit_sum", **{name: least})
    assert set(list(fits.bits.values())[1:-1]) == {2}


@pytest.mark.parametrize(
    ("proxy", "given", "error", "message"),
    [
        (
            "bit_sum",
            {},
            QuantisationError,
            "expected one limit, size, bops, average_bits; got none",
        ),
        ("bit_sum", {"size": 1, "bops": 1}, QuantisationError, "got size, bops"),
        ("bit_sum", {"size": "80KiB"}, QuantisationError, "KB, MB, GB; got '80KiB'"),
        ("bit_sum", {"size": "1e999999999"}, QuantisationError, "a positive number"),
        ("bit_sum", {"size": -1}, QuantisationError, "a positive number"),
        ("bit_sum", {"bops": float("nan")}, QuantisationError, "a positive number"),
        ("bit_sum", {"average_bits": "3K"}, QuantisationError, "positive number; got '3K'"),
        ("bit_sum", {"size": 999, "widths": (2, 17)}, QuantisationError, "from 1 to 16; got 17"),
        ("bit_sum", {"size": 999, "widths": (4, 4)}, QuantisationError, "two widths or more"),
        ("bit_sum", {"size": 999, "evaluations": 0}, QuantisationError, "at least 1; got 0"),
        ("zico", {"size": 999}, QuantisationError, "zico does not depend on bits"),
        ("az_nas", {"size": 999}, ScoreError, "az_nas compares networks"),
        ("bit_sun", {"size": 999}, UnknownNameError, "did you mean 'bit_sum'"),
    ],
)
def test_what_cannot_be_searched_is_refused(proxy, given, error, message):
    with pytest.raises(error, match=message.replace("(", r"\(")):
        autoprox.search_bits(network(), *batch(), proxy, **given)


def test_a_limit_beyond_all_changes_nothing():
    choice = autoprox.search_bits(network(), *batch(), "bit_sum", size="1e20 GB", widths=WIDTHS)
    assert choice.bits == dict(zip(choice.bits, (8, 4, 4, 4, 4, 8), strict=True))


def test_a_network_with_nothing_to_choose_is_refused():
    made = nn.Sequential(nn.Flatten(), nn.Linear(108, 5), nn.Linear(5, 4))
    with pytest.raises(QuantisationError, match="2 layers to quantise; the first and the last"):
        autoprox.search_bits(made, *batch(), "bit_sum", size=999)


def test_a_proxy_without_a_finite_score_says_why():
    with pytest.raises(ScoreError, match=r"no score on this network: not finite"):
        autoprox.search_bits(
            network(),
            *batch(),
            "sum(square(square(square(square(exp(exp(bits)))))))",
            average_bits=4,
        )


@pytest.mark.parametrize("shown", [lambda x: {"x": x}, lambda x: (x,), list])
def test_inputs_that_are_no_tensor_are_refused_in_a_sentence(shown):
    inputs, targets = batch()
    with pytest.raises(QuantisationError, match=r"one tensor of images.*put what takes more into"):
        autoprox.search_bits(network(), shown(inputs), targets, proxy="hawq_v2", size=400)

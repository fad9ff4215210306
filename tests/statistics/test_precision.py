"""Scores do not depend on how numbers are held, nor on the state of the caller's process."""

import copy
import sys
from contextlib import contextmanager

import pytest
import torch
from torch import nn

from autoprox import proxies
from autoprox.errors import AutoproxError
from autoprox.proxies.frame import score
from autoprox.statistics import STATISTICS, measure
from tests.statistics.zoo import built

pytestmark = [pytest.mark.usefixtures("one_thread", "seeded")]

PROXIES = [
    name
    for name in proxies.names()
    if not (proxies.get(name).needs_bits or proxies.get(name).needs_teacher)
]
WORDS = [name for name, word in STATISTICS.items() if not (word.needs_bits or word.needs_teacher)]
NOISE = {"nb201_best"}
"""Divides by singular values, of which some are 0 but for rounding."""
CANCELLING = {"plain", "grasp"}
"""Sums of products of both signs, of which few digits are left."""
SIGNS = {"grad_sign"}
"""A sign is that of rounding where the gradient is 0 but for it."""


def scores(network, inputs, targets):
    """Score or reason of every shipped proxy."""
    frame = score({"it": network}, PROXIES, inputs, targets, sample="full")
    return {name: frame.failures.get(("it", name), frame[name]["it"]) for name in PROXIES}


def held_in(dtype, network, inputs):
    inputs = inputs.to(dtype) if inputs.is_floating_point() else inputs
    return copy.deepcopy(network).to(dtype), inputs


@pytest.mark.parametrize(
    "kind",
    [
        "attention",
        "lstm",
        pytest.param("mlp", marks=pytest.mark.slow),
        pytest.param("checkpointed", marks=pytest.mark.slow),
    ],
)
def test_every_proxy_scores_alike_in_every_precision(kind):
    network, inputs, targets = built(kind)
    exact = scores(*held_in(torch.float64, network, inputs), targets)
    assert sum(isinstance(each, float) for each in exact.values()) > len(PROXIES) / 2
    for dtype, tolerance in ((torch.float32, 1e-4), (torch.bfloat16, 0.1)):
        found = scores(*held_in(dtype, network, inputs), targets)
        for name in PROXIES:
            if name in NOISE or (name in CANCELLING and dtype == torch.bfloat16):
                continue
            if isinstance(exact[name], str):
                assert isinstance(found[name], str), (dtype, name)
            else:
                assert found[name] == pytest.approx(exact[name], rel=tolerance), (dtype, name)


def measured(network, inputs, targets):
    """Every statistic that the network shows, each layer's numbers as one tensor."""
    found = {}
    for name in WORDS:
        try:
            values = measure(network, inputs, targets, name, sample="full").values[name]
        except AutoproxError:
            continue
        layers = (
            values if isinstance(values, torch.Tensor) else [v for v in values if v is not None]
        )
        found[name] = torch.cat([torch.zeros(0), *(each.reshape(-1) for each in layers)]).double()
    return found


@pytest.mark.parametrize("kind", ["checkpointed", "attention"])
def test_every_statistic_is_alike_in_every_precision(kind):
    network, inputs, targets = built(kind)
    exact = measured(*held_in(torch.float64, network, inputs), targets)
    for dtype, tolerance in ((torch.float32, 1e-4), (torch.bfloat16, 0.1)):
        found = measured(*held_in(dtype, network, inputs), targets)
        assert found.keys() == exact.keys()
        for name, values in exact.items():
            if name not in SIGNS:
                assert (found[name] - values).norm() <= tolerance * values.norm(), (dtype, name)


@contextmanager
def default_dtype(dtype):
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


SURROUNDINGS = {
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "no_grad": torch.no_grad,
    "inference": torch.inference_mode,
    "float64 by default": lambda: default_dtype(torch.float64),
    "bfloat16 by default": lambda: default_dtype(torch.bfloat16),
}


def frozen(network):
    for parameter in list(network.parameters())[:-1]:
        parameter.requires_grad_(False)
    return network


def out_of_place(network):
    for module in network.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
    return network


FORMS = {
    "compiled": lambda network: torch.compile(network, backend="eager"),
    "frozen": frozen,
    "not in place": out_of_place,
    "in evaluation mode": lambda network: network.eval(),
}


@pytest.mark.parametrize("kind", ["attention", pytest.param("inplace", marks=pytest.mark.slow)])
def test_scores_are_the_same_in_all_surroundings_and_forms(kind):
    network, inputs, targets = built(kind)
    expected = scores(network, inputs, targets)
    for name, surroundings in SURROUNDINGS.items():
        with surroundings():
            assert scores(network, inputs, targets) == expected, name
    for name, form in FORMS.items():
        assert scores(form(copy.deepcopy(network)), inputs, targets) == expected, name


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_every_statistic_is_the_same_whatever_type_tensors_have_by_default(dtype):
    network = nn.Sequential(nn.Conv2d(3, 300, 3), nn.ReLU(), nn.Flatten(), nn.Linear(10800, 5))
    inputs, targets = torch.randn(6, 3, 8, 8), torch.arange(6) % 5
    expected = measure(network, inputs, targets, WORDS, sample="full").values
    with default_dtype(dtype):
        found = measure(network, inputs, targets, WORDS, sample="full").values
    for name in WORDS:
        for one, other in zip(found[name], expected[name], strict=True):
            assert (one is None and other is None) or torch.equal(one, other), name


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own, while it compiles
def test_a_network_that_was_compiled_and_ran_scores_as_before(monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])  # torch adds to it while it compiles
    network, inputs, targets = built("grouped")
    expected = scores(network, inputs, targets)
    compiled = torch.compile(network)
    compiled(inputs)
    assert scores(compiled, inputs, targets) == expected


@pytest.mark.parametrize("kind", ["mlp", "checkpointed", "attention", "lstm"])
def test_a_batch_of_one_has_scores_or_reasons(kind):
    network, inputs, targets = built(kind)
    found = scores(network, inputs[:1], targets[:1])
    for each in found.values():
        assert isinstance(each, str) or abs(each) < float("inf")
    assert found["l2_norm"] == scores(network, inputs, targets)["l2_norm"]
    if kind != "checkpointed":  # batch norm trains on more than one
        assert found["snip"] > 0

"""The known proxies of bits against their formulas, written out in float64."""

import copy
import math
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.autograd import grad as differentiate
from torch.nn.attention import SDPBackend, sdpa_kernel

from autoprox import proxies
from autoprox.errors import StatisticError
from autoprox.proxies.functions import bit_allocation
from autoprox.quantise.layers import costs
from autoprox.quantise.weights import quantised
from autoprox.statistics import measure
from tests.known_networks import Convolutions, Transformer, case, weights
from tests.proxies.test_known_proxies import mean

pytestmark = pytest.mark.usefixtures("one_thread")

BITS = {Convolutions: (8, 3, 8), Transformer: (8, 2, 5, 3, 4, 8)}


def gradients(network, x, y):
    return differentiate(F.cross_entropy(network(x), y), weights(network))


def over_layers(formula):
    """Return the sum over the layers of a formula of bits, weight and gradient."""

    def score(network, x, y, bits):
        rows = zip(bits, weights(network), gradients(network, x, y), strict=True)
        return sum(formula(*row) for row in rows)

    return score


def curvature(network, x, y, name):
    """Return a statistic of each layer's Hessian, which has tests of its own."""
    shown = measure(network.float(), x.float(), y, (name,), sample="full", mode="eval")
    return shown.values[name].tolist()


def hawq(network, x, y, bits):
    tops = curvature(network, x, y, "hessian_top")
    rows = zip(bits, tops, weights(network), strict=True)
    return sum(b * top / w.numel() for b, top, w in rows)


def damages(network, x, y, bits):
    traces = curvature(network, x, y, "hessian_trace")
    rows = zip(bits, traces, weights(network), strict=True)
    return [
        trace / w.numel() * ((w - quantised(w.detach(), b)) ** 2).sum().item()
        for b, trace, w in rows
    ]


def bit_synflow(network, x, y, bits):
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.abs_()
    grads = differentiate(network(torch.ones_like(x[:1])).sum(), weights(network))
    rows = zip(bits, weights(network), grads, strict=True)
    return sum(b * (w * g).abs().sum() for b, w, g in rows)


def emq(network, x, y, bits):
    """The tree as its authors compute trees: softmax along the first dimension, means."""
    ones = differentiate(network(torch.ones_like(x[:1])).sum(), weights(network))
    rows = zip(bits, ones, weights(network), strict=True)
    return mean(
        [
            b * g.abs().log().clamp(min=-700).softmax(0).mean() * w.clamp(min=0).sqrt().mean()
            for b, g, w in rows
        ]
    )


def ompq(network, x, y, bits):
    """By centred kernel alignment in feature space, pair by pair."""
    outputs = [each.detach().flatten(1) for each in network.steps(x)[1]]
    outputs = [each - each.mean(0) for each in outputs]

    def alike(a, b):
        return (a.T @ b).norm() ** 2 / ((a.T @ a).norm() * (b.T @ b).norm())

    theta = [
        math.exp(-sum(alike(a, b) for j, b in enumerate(outputs) if j != i))
        for i, a in enumerate(outputs)
    ]
    return sum(b * mean(theta[i:]) for i, b in enumerate(bits))


FORMULAS = {
    "bit_sum": lambda network, x, y, bits: sum(bits),
    "model_size": over_layers(lambda b, w, g: b * w.numel()),
    "bops": lambda network, x, y, bits: costs(network, x).bops(bits) / 8,
    "bit_snip": over_layers(lambda b, w, g: b * (w * g).abs().sum()),
    "bit_synflow": bit_synflow,
    "hawq": hawq,
    "hawq_v2": lambda *given: -sum(damages(*given)),
    "hawq_v3": lambda *given: -sum(damages(*given)[1:-1]),
    "emq": emq,
    "ompq": ompq,
}


@pytest.mark.parametrize("kind", BITS)
@pytest.mark.parametrize("name", FORMULAS)
def test_a_known_proxy_of_bits_is_its_formula(name, kind):
    network, x, y = case(kind)
    with torch.no_grad():
        network(x)  # the running statistics are no longer 0 and 1, nor those of the batch
    network.eval()
    with sdpa_kernel(SDPBackend.MATH):
        found = FORMULAS[name](copy.deepcopy(network).double(), x.double(), y, BITS[kind])
        score = proxies.get(name)(network, x, y, sample="full", bits=BITS[kind])
    expected = found.item() if isinstance(found, torch.Tensor) else found
    assert score == pytest.approx(expected, rel=1e-3)


def test_every_proxy_of_bits_that_ships_has_a_formula_here():
    shipped = {name for name in proxies.names() if proxies.get(name).needs_bits}
    discovered = {name for name in shipped if "command" in proxies.get(name).provenance}
    assert shipped - discovered == {*FORMULAS, "qe_score"}


RELEASED = {2: 1.7388228634059972, 3: 2.8903940182483057, 4: 3.8504712566997665}
"""The released table of deviations of quantised weights, for Gaussians of deviation 4; from 6 bits
on it is 4.010403138505321."""


def test_the_qe_score_adds_what_the_released_table_says():
    network, x, _ = case(Convolutions)
    inputs = (27, 27, 8)  # of an output entry
    expected = sum(math.log(each) / 2 for each in inputs)
    expected += 2 * math.log(4.010403138505321)
    for bits, deviation in RELEASED.items():
        score = proxies.get("qe_score")(network, x, bits=(8, bits, 8))
        assert score == pytest.approx(expected + math.log(deviation), rel=1e-9)


def test_ompq_looks_again_at_a_network_that_has_changed():
    network, x, _ = case(Convolutions)
    proxy, bits = proxies.get("ompq"), BITS[Convolutions]
    first = proxy(network, x, bits=bits)
    assert proxy(network, x, bits=(8, 2, 8)) < first
    with torch.no_grad():
        nn.init.normal_(network.second.weight)
    changed = proxy(network, x, bits=bits)
    assert changed != pytest.approx(first)
    assert proxy(copy.deepcopy(network), x, bits=bits) == changed
    assert proxy(network, x[:5], bits=bits) != pytest.approx(changed)


class Scaled(nn.Module):
    """Two linear layers with a number, and something that is no number, between."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.scale = nn.Linear(6, 8), nn.Linear(8, 4), [1.0]
        self.options = None

    def forward(self, x):
        shift = self.options.shift if self.options else 0.0
        return self.second(torch.relu(self.scale[0] * self.first(x) + shift))


def test_ompq_looks_again_where_no_tensor_has_changed():
    proxy, x = proxies.get("ompq"), torch.randn(6, 6)
    network = nn.Sequential(nn.Linear(6, 8), nn.LeakyReLU(), nn.Dropout(), nn.Linear(8, 4))
    scaled = Scaled()

    def found(network, **options):
        known = proxy(network, x, bits=4, **options)
        assert known == proxy(copy.deepcopy(network), x, bits=4, **options)
        return known

    scores = [found(network), found(network, mode="train"), found(network, mode="train", seed=1)]
    network[1].negative_slope = 0.5
    scores.append(found(network))
    network[1] = nn.Tanh()
    scores.append(found(network))
    assert len(set(scores)) == 5
    scores = [found(scaled)]
    scaled.scale[0] = -1.0
    scores.append(found(scaled))
    scaled.options = SimpleNamespace(shift=1.0)
    scores.append(found(scaled))
    scaled.options.shift = 2.0
    scores.append(found(scaled))
    assert len(set(scores)) == 4


def test_ompq_looks_once_at_a_network_for_all_bits(monkeypatch):
    looked = []
    measured = bit_allocation.measured
    monkeypatch.setattr(
        bit_allocation, "measured", lambda *a, **k: looked.append(1) or measured(*a, **k)
    )
    network, x, _ = case(Convolutions)
    for bits in (2, 4, 8):
        proxies.get("ompq")(network, x, bits=bits)
    assert len(looked) == 1


@pytest.mark.parametrize("name", ["ompq", "qe_score"])
def test_bits_of_a_network_in_bfloat16_have_scores(name):
    network, x, _ = case(Convolutions)
    expected = proxies.get(name)(network, x, bits=4)
    score = proxies.get(name)(network.bfloat16(), x.bfloat16(), bits=4)
    assert score == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize("name", [*FORMULAS, "qe_score"])
def test_a_proxy_of_bits_asks_for_them(name):
    network, x, y = case(Convolutions)
    with pytest.raises(StatisticError, match="cannot be measured without bits"):
        proxies.get(name)(network, x, y)

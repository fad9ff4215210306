"""The known proxies against their formulas, written out with autograd and numpy in float64."""

import copy
import math
from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.autograd import grad as differentiate
from torch.nn.attention import SDPBackend, sdpa_kernel

from autoprox import proxies
from autoprox.errors import ScoreError, StatisticError
from tests.known_networks import Convolutions, Transformer, case, weights


@pytest.fixture(autouse=True)
def plain_attention(one_thread):
    with sdpa_kernel(SDPBackend.MATH):
        yield


def gradients(network, x, y):
    return differentiate(F.cross_entropy(network(x), y), weights(network))


def sample_gradients(network, outcomes):
    """Return the gradient of each outcome, ``(outcomes, all weights)``."""
    rows = [
        differentiate(outcome, weights(network), retain_graph=True, allow_unused=True)
        for outcome in outcomes
    ]
    return torch.stack([torch.cat([part.flatten() for part in row]) for row in rows])


def flow(network, x):
    """Return absolute weights and SynFlow's gradients of a copy without batch norm."""
    network = copy.deepcopy(network)
    for name, module in network.named_children():
        if isinstance(module, nn.BatchNorm2d):
            setattr(network, name, nn.Identity())
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.abs_()
    total = network(torch.ones_like(x[:1])).sum()
    return weights(network), differentiate(total, weights(network))


def grasp(network, x, y):
    layers = weights(network)
    first = differentiate(F.cross_entropy(network(x), y), layers, create_graph=True)
    dot = sum((g * g.detach()).sum() for g in first)
    second = differentiate(dot, layers)
    return -sum((w * h).sum() for w, h in zip(layers, second, strict=True))


def fisher(network, x, y):
    logits, outputs, _ = network.steps(x)
    grads = differentiate(F.cross_entropy(logits, y), outputs)
    total = 0.0
    for weight, output, grad in zip(weights(network), outputs, grads, strict=True):
        products = output * grad
        if products.ndim == 4:
            saliency = products.sum((2, 3))
        else:
            saliency = products.sum(1) if products.ndim == 3 else products
        per_channel = 0.5 * (saliency**2).mean(0)
        for channel in range(len(weight)):
            total += per_channel[channel].item() * weight[channel].numel()
    return total


def synflow(network, x, y):
    return sum((w * g).abs().sum() for w, g in zip(*flow(network, x), strict=True))


def logsynflow(network, x, y):
    return sum((w * torch.log1p(g.abs())).sum() for w, g in zip(*flow(network, x), strict=True))


def jacob_cov(network, x, y):
    x = x.clone().requires_grad_()
    jacobian = differentiate(network(x).sum(), x)[0].flatten(1).numpy()
    values = np.linalg.eigvalsh(np.corrcoef(jacobian))
    return -np.sum(np.log(values + 1e-5) + 1 / (values + 1e-5))


def naswot(network, x, y):
    kernel = np.zeros((len(x), len(x)))
    for argument in network.steps(x)[2]:
        codes = (argument.detach() > 0).flatten(1).numpy().astype(float)
        kernel += codes @ codes.T + (1 - codes) @ (1 - codes).T
    return np.linalg.slogdet(kernel)[1]


def ntk(network, x, y):
    rows = sample_gradients(network, network(x).sum(1))
    return (rows @ rows.T).numpy()


def ntk_condition(network, x, y):
    values = np.linalg.eigvalsh(ntk(network, x, y))
    return values[0] / values[-1]


def losses(network, x, y):
    return sample_gradients(network, F.cross_entropy(network(x), y, reduction="none"))


def knas(network, x, y):
    rows = losses(network, x, y)
    return (rows @ rows.T).mean()


def zico(network, x, y, *, signed=True):
    cuts = [0, 2, 4, 6, 8]
    parts = [gradients(network, x[a:b], y[a:b]) for a, b in pairwise(cuts)]
    score = 0.0
    for layer in zip(*parts, strict=True):
        stack = torch.stack(layer)
        deviation = (stack if signed else stack.abs()).std(0, correction=0)
        score += math.log(float((stack.abs().mean(0) / deviation)[deviation > 0].sum()))
    return score


def dss(network, x, y):
    total = 0.0
    names = [n for n, p in network.named_parameters() if n.endswith("weight") and p.ndim > 1]
    for name, original, w, g in zip(names, weights(network), *flow(network, x), strict=True):
        if name.startswith("attention"):
            total += torch.linalg.matrix_norm(g, "nuc") * torch.linalg.matrix_norm(original, "nuc")
        else:
            total += (w * g).abs().sum()
    return total


def meco(network, x, y):
    total = 0.0
    for output in network.steps(x)[1]:
        first = output[0].detach().numpy()
        if first.ndim == 1:
            continue
        channels = first.T if first.ndim == 2 else first.reshape(len(first), -1)
        total += np.linalg.eigvalsh(np.corrcoef(channels)).min()
    return total


def z_score(g):
    return (g - g.mean()) / g.std(correction=0)


def min_max(w):
    return (w - w.min()) / (w.max() - w.min())


def mean(numbers):
    return sum(numbers) / len(numbers)


def auto_prox_a(network, x, y):
    pairs = zip(weights(network), gradients(network, x, y), strict=True)
    return mean([z_score(g).abs().mean() + w.clamp(min=0).sqrt().mean() for w, g in pairs])


def output_gradients(network, x, y):
    logits, outputs, _ = network.steps(x)
    return differentiate(F.cross_entropy(logits, y), outputs)


def auto_prox_p(network, x, y):
    pairs = zip(weights(network), output_gradients(network, x, y), strict=True)
    return mean([w.norm().relu() - g.abs().mean().abs().log() for w, g in pairs])


def auto_prox_released(network, x, y):
    pairs = zip(weights(network), output_gradients(network, x, y), strict=True)
    return mean([min_max(w).norm() + g.sigmoid().sqrt().mean() for w, g in pairs])


def lpzero(network, x, y):
    pairs = zip(weights(network), gradients(network, x, y), strict=True)
    return mean([(w**2).mean() + (g.flatten().softmax(0) ** 2).mean() for w, g in pairs])


def over_weights(formula):
    """Return the sum over the layers of a formula of weight and gradient."""

    def score(network, x, y):
        pairs = zip(weights(network), gradients(network, x, y), strict=True)
        return sum(formula(w, g) for w, g in pairs)

    return score


FORMULAS = {
    "params": lambda network, x, y: sum(p.numel() for p in network.parameters()),
    "depth": lambda network, x, y: len(weights(network)),
    "width": lambda network, x, y: mean([w[0].numel() for w in weights(network)]),
    "grad_norm": over_weights(lambda w, g: g.norm()),
    "l2_norm": over_weights(lambda w, g: w.norm()),
    "plain": over_weights(lambda w, g: (w * g).sum()),
    "snip": over_weights(lambda w, g: (w * g).abs().sum()),
    "pruner_zero": over_weights(lambda w, g: (w * w * min_max(g)).sum()),
    "grasp": grasp,
    "fisher": fisher,
    "synflow": synflow,
    "logsynflow": logsynflow,
    "jacob_cov": jacob_cov,
    "naswot": naswot,
    "ntk_condition": ntk_condition,
    "ntk_trace": lambda network, x, y: np.trace(ntk(network, x, y)),
    "gradsign": lambda network, x, y: losses(network, x, y).sign().sum(0).abs().sum(),
    "knas": knas,
    "zico": zico,
    "zico_paper": lambda network, x, y: zico(network, x, y, signed=False),
    "dss": dss,
    "meco": meco,
    "auto_prox_a": auto_prox_a,
    "auto_prox_p": auto_prox_p,
    "auto_prox_released": auto_prox_released,
    "lpzero": lpzero,
}


@pytest.mark.parametrize("kind", [Convolutions, Transformer])
@pytest.mark.parametrize("name", FORMULAS)
def test_a_known_proxy_is_its_formula(name, kind):
    if (name, kind) == ("dss", Convolutions):
        pytest.skip("the formula is for networks that attend")
    if (name, kind) == ("meco", Transformer):
        pytest.skip("it is 0 where there are fewer positions than channels")
    network, x, y = case(kind)
    found = FORMULAS[name](copy.deepcopy(network).double(), x.double(), y)
    expected = found.item() if isinstance(found, torch.Tensor) else found
    assert proxies.get(name)(network, x, y, sample="full") == pytest.approx(expected, rel=1e-4)


def test_operations_are_those_of_a_count_by_hand():
    network, x, y = case(Convolutions)
    by_hand = 2 * 64 * 6 * 27 + 2 * 9 * 8 * 27 + 2 * 8 * 5
    assert proxies.get("flops")(network, x, y, sample="full") == by_hand


def test_every_expression_that_ships_has_a_formula_here():
    discovered = {name for name in proxies.names() if "command" in proxies.get(name).provenance} | {
        "flops"
    }
    others = {
        name
        for name in proxies.names()
        if proxies.get(name).needs_bits or proxies.get(name).needs_teacher
    }
    expressions = {name for name in proxies.names() if hasattr(proxies.get(name), "graph")}
    assert expressions - discovered - others == set(FORMULAS)


def test_dss_says_that_it_needs_attention():
    network, x, y = case(Convolutions)
    with pytest.raises(ScoreError, match="dss has no score on this network: no layer has"):
        proxies.get("dss")(network, x, y)


def test_meco_says_that_it_says_nothing_where_channels_outnumber_positions():
    with pytest.raises(ScoreError, match=r"says nothing: min\(channel_spectrum\) is 0 in every la"):
        proxies.get("meco")(*case(Transformer))


@pytest.mark.parametrize("name", ["snip", "gradsign", "knas", "fisher", "zico_paper"])
def test_a_proxy_of_the_loss_asks_for_labels(name):
    network, x, _ = case(Convolutions)
    with pytest.raises(StatisticError, match="cannot be measured without targets"):
        proxies.get(name)(network, x)


@pytest.mark.parametrize("name", ["ntk_trace", "naswot", "jacob_cov", "meco", "synflow"])
def test_a_proxy_without_a_loss_needs_no_labels(name):
    network, x, _ = case(Convolutions)
    assert math.isfinite(proxies.get(name)(network, x))


@pytest.mark.parametrize("name", ["naswot", "jacob_cov"])
def test_a_proxy_that_compares_samples_refuses_a_single_one(name):
    network, x, y = case(Transformer, batch=1)
    with pytest.raises(StatisticError, match="need 2 or more; got a batch of 1"):
        proxies.get(name)(network, x, y)


def test_naswot_refuses_a_network_without_activation_functions():
    network = nn.Sequential(nn.Linear(6, 5), nn.Sigmoid(), nn.Linear(5, 3))
    with pytest.raises(StatisticError, match=r"needs activation functions.*calls none"):
        proxies.get("naswot")(network, torch.randn(4, 6))


def test_jacob_cov_refuses_a_gradient_that_correlates_with_nothing():
    network = nn.Sequential(nn.Flatten(), nn.AvgPool1d(6), nn.Linear(1, 3))
    with pytest.raises(StatisticError, match="input number 0 is the same in all its entries"):
        proxies.get("jacob_cov")(network, torch.randn(4, 6))


def test_a_condition_number_is_better_the_lower_it_is():
    network, x, y = case(Convolutions)
    condition = proxies.get("ntk_condition")
    assert 0 < condition(network, x, y) < condition(network, x[:2], y[:2]) < 1

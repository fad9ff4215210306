"""Statistics of single samples, channels and activation functions, against loops."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import autoprox
from autoprox.errors import StatisticError
from autoprox.statistics import Store, measure, samples
from autoprox.statistics.passes import Passes
from tests.known_networks import Convolutions, Transformer, case, weights

pytestmark = pytest.mark.usefixtures("one_thread", "seeded")


def full(network, names, inputs, targets=None):
    return measure(network, inputs, targets, names, sample="full")


def by_sample(network, outcomes):
    """Return the gradients of each outcome: outcome -> layer -> tensor."""
    return [torch.autograd.grad(each, weights(network), retain_graph=True) for each in outcomes]


@pytest.mark.parametrize("kind", [Convolutions, Transformer])
def test_gradients_of_samples_are_those_of_a_loop(kind):
    network, x, y = case(kind)
    losses = by_sample(network, F.cross_entropy(network(x), y, reduction="none"))
    logits = by_sample(network, network(x).sum(1))
    names = ["grad_sign", "grad_gram", "ntk", "ntk_spectrum"]
    found = full(network, names, x, y).values
    for layer, signs in enumerate(found["grad_sign"]):
        expected = sum(np.sign(row[layer].numpy()) for row in losses)
        # A gradient of 0 but for rounding may have either sign.
        assert (signs.numpy() == expected.ravel()).mean() > 0.99
    for name, rows in (("grad_gram", losses), ("ntk", logits)):
        gram = [
            [sum(float((a * b).sum()) for a, b in zip(p, q, strict=True)) for q in rows]
            for p in rows
        ]
        scale = float(np.abs(gram).max())
        np.testing.assert_allclose(found[name][0], gram, rtol=1e-4, atol=1e-6 * scale)
        assert found[name][1:] == (None,) * (len(weights(network)) - 1)
    values = np.linalg.eigvalsh(np.array(gram))[::-1]
    np.testing.assert_allclose(found["ntk_spectrum"][0], values, rtol=1e-3, atol=1e-6 * values[0])


@pytest.mark.parametrize("kind", [Convolutions, Transformer])
def test_little_memory_changes_no_number(kind, monkeypatch):
    network, x, y = case(kind)
    names = ["grad_sign", "grad_gram", "ntk"]
    roomy = full(network, names, x, y)
    forwards = []
    network.head.register_forward_hook(lambda *_: forwards.append(1))
    monkeypatch.setattr(samples, "HELD_BYTES", 0)
    scarce = full(network, ["ntk"], x, y)
    passes = len(forwards) - (1 if kind is Convolutions else 3)  # the trace, a sample and a pair
    assert passes == len(weights(network)) * (1 if kind is Convolutions else len(x))
    torch.testing.assert_close(scarce.values["ntk"][0], roomy.values["ntk"][0])
    scarce = full(network, names, x, y)
    for a, b in zip(scarce.values["grad_sign"], roomy.values["grad_sign"], strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("kind", [Convolutions, Transformer])
def test_channel_saliency_is_output_times_gradient_over_positions(kind):
    network, x, y = case(kind)
    logits, outputs, _ = network.steps(x)
    grads = torch.autograd.grad(F.cross_entropy(logits, y), outputs)
    found = full(network, ["channel_saliency", "act_grad"], x, y)
    alone = full(network, ["channel_saliency"], x, y)
    for layer, (output, grad) in enumerate(zip(outputs, grads, strict=True)):
        channel = "nchw->nc" if output.ndim == 4 else "npc->nc" if output.ndim == 3 else "nc->nc"
        names = channel.partition("->")[0]
        expected = torch.einsum(f"{names},{names}->nc", output, grad).detach().flatten()
        values = found.values["channel_saliency"][layer]
        torch.testing.assert_close(values, expected, rtol=1e-3, atol=1e-7)
        assert torch.equal(alone.values["channel_saliency"][layer], values)
        assert found.sizes["channel_saliency"][layer] == expected.numel()


def test_saliency_is_that_of_an_output_before_it_is_overwritten_in_place():
    network = nn.Sequential(nn.Linear(4, 6), nn.ReLU(inplace=True), nn.Linear(6, 3))
    x, y = torch.randn(5, 4), torch.randint(0, 3, (5,))
    first = network[0](x)
    grad = torch.autograd.grad(F.cross_entropy(network[2](first.relu()), y), first)[0]
    found = full(network, ["channel_saliency"], x, y).values["channel_saliency"]
    torch.testing.assert_close(found[0], (first * grad).detach().flatten())


def test_channels_and_samples_are_found_in_sequence_first_networks():
    class Sequence(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.head = nn.Linear(4, 6), nn.Linear(6, 3)

        def forward(self, x):
            return self.head(F.gelu(self.layer(x.transpose(0, 1))).mean(0))

    network, x, y = Sequence(), torch.randn(8, 8, 4), torch.randint(0, 3, (8,))
    output = network.layer(x)  # sample first
    loss = F.cross_entropy(network.head(F.gelu(output).mean(1)), y)
    grad = torch.autograd.grad(loss, output)[0]
    names = ["channel_saliency", "channel_spectrum", "code_total"]
    found = full(network, names, x, y).values
    expected = (output * grad).sum(1).detach().flatten()
    torch.testing.assert_close(found["channel_saliency"][0], expected, rtol=1e-4, atol=1e-7)
    values = np.linalg.eigvalsh(np.corrcoef(output[0].detach().numpy().T))[::-1]
    np.testing.assert_allclose(found["channel_spectrum"][0], values, atol=1e-5)
    assert found["channel_spectrum"][1] is None
    codes = (output > 0).flatten(1)
    agree = (codes[:, None] == codes[None]).sum(2)
    assert torch.equal(found["code_total"][0], agree.float())


def test_channels_that_are_constant_correlate_with_nothing():
    network = nn.Sequential(nn.Conv2d(1, 3, 1), nn.Flatten(), nn.Linear(48, 2))
    with torch.no_grad():
        network[0].weight[1] = 0
    values = full(network, ["channel_spectrum"], torch.randn(4, 1, 4, 4)).values
    np.testing.assert_allclose(values["channel_spectrum"][0], [2, 0, 0], atol=1e-6)


def test_more_channels_than_positions_leave_eigenvalues_of_zero():
    network = nn.Sequential(nn.Conv2d(2, 9, 1), nn.Flatten(), nn.Linear(36, 2))
    x = torch.randn(4, 2, 2, 2)
    values = full(network, ["channel_spectrum"], x).values["channel_spectrum"][0]
    output = network[0](x)[0].flatten(1).detach().numpy()
    expected = np.linalg.eigvalsh(np.corrcoef(output))[::-1]
    np.testing.assert_allclose(values, expected, atol=1e-5)
    assert len(values) == 9


class Activated(nn.Module):
    """One activation, called in some way, between two layers."""

    def __init__(self, activation):
        super().__init__()
        self.first, self.second = nn.Linear(4, 9), nn.Linear(9, 3)
        self.activation = activation

    def forward(self, x):
        return self.second(self.activation(self.first(x)))


WAYS = {
    "module": nn.ReLU(),
    "in place": nn.ReLU(inplace=True),
    "functional": F.relu,
    "torch": torch.relu,
    "method": lambda x: x.relu(),
    "method in place": lambda x: x.relu_(),
    "relu6": nn.ReLU6(inplace=True),
    "leaky": nn.LeakyReLU(0.1, inplace=True),
    "prelu": nn.PReLU(),
    "elu": nn.ELU(),
    "gelu": nn.GELU(),
    "tanh gelu": nn.GELU(approximate="tanh"),
    "silu": nn.SiLU(inplace=True),
    "mish": nn.Mish(),
    "hardswish": nn.Hardswish(),
    "selu": F.selu,
    "tanh": nn.Tanh(),
}


@pytest.mark.parametrize("way", WAYS)
def test_codes_are_found_however_an_activation_is_called(way):
    network, x = Activated(WAYS[way]), torch.randn(6, 4)
    output = WAYS[way](network.first(x).clone())
    codes = (output > 0).tolist()
    agree = [[sum(a == b for a, b in zip(p, q, strict=True)) for p in codes] for q in codes]
    assert full(network, ["code_total"], x).values["code_total"][0].tolist() == agree


def test_codes_of_all_activations_add_up_and_stand_on_the_first_layer():
    network, x, _ = case(Convolutions)
    found = full(network, ["code_total"], x)
    expected = torch.zeros(8, 8)
    for argument in network.steps(x)[2]:
        codes = (argument > 0).flatten(1)
        expected += (codes[:, None] == codes[None]).sum(2)
    assert torch.equal(found.values["code_total"][0], expected)
    assert found.present["code_total"].tolist() == [True, False, False]


def test_a_network_that_activates_a_batch_otherwise_is_refused():
    class Moody(Activated):
        def forward(self, x):
            x = self.first(x)
            return self.second(x.relu().relu() if len(x) > 1 else x.relu())

    with pytest.raises(StatisticError, match="calls other activation functions on a batch"):
        measure(Moody(None), torch.randn(6, 4), None, ["code_total"])


def test_correlations_of_input_gradients_are_those_of_numpy():
    network, x, _ = case(Transformer)
    inputs = x.clone().requires_grad_()
    jacobian = torch.autograd.grad(network(inputs).sum(), inputs)[0].flatten(1).double().numpy()
    found = full(network, ["jacobian_correlation", "jacobian_spectrum"], x).values
    expected = np.corrcoef(jacobian)
    np.testing.assert_allclose(found["jacobian_correlation"][0], expected, atol=1e-5)
    values = np.linalg.eigvalsh(expected)[::-1]
    np.testing.assert_allclose(found["jacobian_spectrum"][0], values, atol=1e-5)


def test_deviation_of_absolute_gradients_is_that_of_a_loop():
    network, x, y = case(Convolutions)
    parts = [
        torch.autograd.grad(F.cross_entropy(network(x[a : a + 2]), y[a : a + 2]), weights(network))
        for a in range(0, 8, 2)
    ]
    found = full(network, ["grad_abs_std"], x, y).values["grad_abs_std"]
    for layer, values in enumerate(found):
        expected = np.abs(np.stack([part[layer].numpy().ravel() for part in parts])).std(0)
        np.testing.assert_allclose(values, expected, rtol=1e-3, atol=1e-7)


def deep(layers):
    parts = [nn.Conv2d(3, 16, 3, padding=1), nn.ReLU()]
    for _ in range(layers - 2):
        parts += [nn.Conv2d(16, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU()]
    return nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 5))


@pytest.mark.parametrize("sample", [64, "full"])
def test_a_flow_too_large_for_float32_is_kept_in_float64(sample, tmp_path):
    x = torch.randn(2, 3, 8, 8)
    names = ["flow_grad", "flow_spectrum", "weight"]
    shallow = measure(deep(4), x, None, names, sample=sample)
    found = measure(deep(60), x, None, names, sample=sample)
    assert {tensor.dtype for tensor in found.values["weight"]} == {torch.float32}
    for name in names[:2]:
        assert {tensor.dtype for tensor in shallow.values[name]} == {torch.float32}
        assert {tensor.dtype for tensor in found.values[name]} == {torch.float64}
        assert all(torch.isfinite(tensor).all() for tensor in found.values[name])
        assert max(float(tensor.max()) for tensor in found.values[name]) > 1e38
    store = Store(tmp_path)
    store.save({"a": 1}, found)
    for a, b in zip(
        store.load({"a": 1}, names).values["flow_grad"], found.values["flow_grad"], strict=True
    ):
        assert a.dtype == torch.float64
        assert torch.equal(a, b)


@pytest.mark.parametrize("size", [1e-24, 1e20])
def test_a_flow_whose_squares_leave_float32_has_the_norm_that_autograd_says(size):
    network = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2)).requires_grad_()
    with torch.no_grad():
        network[1].weight.fill_(size)
    score = autoprox.load("sum(norm(flow_grad))")(network, torch.ones(2, 4))
    hidden = network[0].weight.detach().abs().sum(1) + network[0].bias.detach().abs()
    expected = 2 * size * math.sqrt(3 * 4) + hidden.expand(2, 3).double().norm()
    assert score == pytest.approx(float(expected), rel=1e-5)


def test_singular_values_of_the_flow_are_those_of_its_gradient():
    network, x, _ = case(Transformer)
    found = full(network, ["flow_grad", "flow_spectrum"], x).values
    for weight, grad, values in zip(
        weights(network), found["flow_grad"], found["flow_spectrum"], strict=True
    ):
        expected = torch.linalg.svdvals(grad.reshape(weight.shape).double()).float()
        torch.testing.assert_close(values, expected, rtol=1e-4, atol=float(expected[0]) * 1e-6)


def test_only_the_passes_that_are_asked_for_run(monkeypatch):
    network, x, y = case(Transformer)
    forwards = []
    network.head.register_forward_hook(lambda *_: forwards.append(1))
    cost = {"ntk": 11, "grad_sign": 11, "code_total": 6, "jacobian_spectrum": 6, "weight": 1}
    for name, expected in cost.items():
        forwards.clear()
        measure(network, x, y, [name])
        assert len(forwards) == expected, name
    called = []
    monkeypatch.setattr(Passes, "measure_loss", lambda self: called.append("loss"))
    measure(network, x, y, ["ntk", "grad_sign", "code_total"])
    assert not called

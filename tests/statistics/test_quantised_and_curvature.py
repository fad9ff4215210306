"""What quantising changes, and second derivatives, against formulas written by hand."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.autograd.functional import hessian
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel

from autoprox.errors import QuantisationError, StatisticError, UnknownNameError
from autoprox.quantise.weights import quantised
from autoprox.statistics import curvature, measure
from tests.known_networks import Convolutions, Transformer, case, weights

pytestmark = pytest.mark.usefixtures("one_thread")


class Perceptron(nn.Module):
    shape = (4,)

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(4, 6), nn.Linear(6, 5)

    def forward(self, x):
        return self.second(torch.tanh(self.first(x)))


def blocks(network, x, y):
    """The Hessian of the loss by each layer's weight, in float64."""
    network = network.double().eval()
    parameters = dict(network.named_parameters())
    found = {}
    for name, weight in parameters.items():
        if name.endswith("weight") and weight.ndim > 1:

            def loss(flat, name=name, shape=weight.shape):
                changed = {**parameters, name: flat.reshape(shape)}
                return F.cross_entropy(functional_call(network, changed, (x.double(),)), y)

            with sdpa_kernel(SDPBackend.MATH):
                found[name] = hessian(loss, weight.detach().flatten())
    return found


@pytest.mark.parametrize("kind", [Perceptron, Convolutions, Transformer])
def test_the_trace_is_near_that_of_the_hessians_block(kind, monkeypatch):
    monkeypatch.setattr(curvature, "PRODUCTS", 24)  # enough for blocks as small as these
    network, x, y = case(kind)
    measured = measure(network, x, y, ["hessian_trace"], mode="eval")
    truth = blocks(network, x, y)
    for name, number in zip(measured.layers, measured.values["hessian_trace"], strict=True):
        total = torch.linalg.eigvalsh(truth[name]).abs().sum()
        assert abs(number - truth[name].trace()) < 0.1 * total


def test_the_estimate_of_the_trace_is_right_on_average(monkeypatch):
    monkeypatch.setattr(curvature, "PRODUCTS", 3)
    network, x, y = case(Perceptron)
    found = [measure(network, x, y, ["hessian_trace"], seed=seed) for seed in range(100)]
    estimates = torch.stack([each.values["hessian_trace"] for each in found])
    truth = torch.stack([block.trace() for block in blocks(network, x, y).values()])
    error = estimates.std(0) / len(estimates) ** 0.5
    assert (estimates.std(0) > 0).all()
    assert ((estimates.mean(0) - truth).abs() < 4 * error).all()


def test_the_trace_of_a_small_diagonal_block_is_exact():
    """A sample is shown to one weight alone, so no second derivative mixes two weights."""

    class Products(nn.Module):
        """Two classes; one has the weighted sum of the inputs as its logit, and the other 0."""

        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(3, 1, bias=False)

        def forward(self, x):
            logit = self.layer(x)
            return torch.cat([logit, torch.zeros_like(logit)], 1)

    network, sizes = Products(), torch.tensor([1.0, 2.0, 3.0])
    measured = measure(network, sizes.diag(), torch.tensor([0, 1, 0]), ["hessian_trace"])
    share = torch.sigmoid(network.layer.weight.detach()[0] * sizes)
    truth = (sizes**2 * share * (1 - share)).mean()
    torch.testing.assert_close(measured.values["hessian_trace"][0].float(), truth)


@pytest.mark.parametrize("kind", [Perceptron, Convolutions, Transformer])
def test_the_top_eigenvalue_is_the_largest_by_its_size(kind, monkeypatch):
    monkeypatch.setattr(curvature, "ITERATIONS", 300)
    monkeypatch.setattr(curvature, "TOLERANCE", 1e-6)
    network, x, y = case(kind)
    measured = measure(network, x, y, ["hessian_top"], mode="eval")
    truth = blocks(network, x, y)
    for name, number in zip(measured.layers, measured.values["hessian_top"], strict=True):
        values = torch.linalg.eigvalsh(truth[name])
        top = values[values.abs().argmax()]
        torch.testing.assert_close(number, top, rtol=2e-2, atol=0)


def test_ones_grad_is_the_gradient_for_an_input_of_ones():
    network, x, y = case(Convolutions)
    measured = measure(network, x, y, ["ones_grad"], sample="full")
    network = network.double().eval()
    logits = network(torch.ones(1, *Convolutions.shape, dtype=torch.float64))
    truth = torch.autograd.grad(logits.sum(), weights(network))
    for found, grad in zip(measured.values["ones_grad"], truth, strict=True):
        torch.testing.assert_close(found.double(), grad.flatten(), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("kind", [Convolutions, Transformer])
def test_errors_are_what_quantising_each_layer_by_itself_changes(kind):
    network, x, y = case(kind)
    network(x) if kind is Convolutions else None  # running statistics are no longer 0 and 1
    bits = [8, *range(2, 2 + len(weights(network)) - 2), 8]
    names = ["bits", "weight_error", "act_error", "act"]
    measured = measure(network, x, y, names, sample="full", bits=bits)
    assert measured.values["bits"].tolist() == bits
    network.eval()
    owners = [name.rpartition(".")[0] for name in measured.layers]
    shown = {}
    modules = dict(network.named_modules())
    handles = [
        modules[owner].register_forward_hook(lambda m, i, o, owner=owner: shown.update({owner: i}))
        for owner in owners
    ]
    with torch.no_grad():
        network(x)
        for handle in handles:
            handle.remove()
        for place, owner in enumerate(owners):
            module = modules[owner]
            error = module.weight - quantised(module.weight, bits[place])
            torch.testing.assert_close(measured.values["weight_error"][place], error.flatten())
            output = module(*shown[owner])
            module.weight.sub_(error)
            change = module(*shown[owner]) - output
            module.weight.add_(error)
            found = measured.values["act_error"][place]
            torch.testing.assert_close(found, change.flatten(), rtol=1e-4, atol=1e-6)


class Routed(nn.Module):
    """Has a layer that runs for the samples whose first number is above 0, if there are any."""

    def __init__(self):
        super().__init__()
        self.first, self.some, self.head = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, x):
        hidden, chosen = self.first(x), x[:, 0] > 0
        out = hidden.clone()
        if chosen.any():
            out[chosen] = self.some(hidden[chosen])
        return self.head(out)


@pytest.mark.parametrize("sample", ["full", 16])
def test_errors_of_a_layer_that_runs_in_some_parts_only_are_refused(sample):
    network, x, y = Routed(), torch.randn(8, 8), torch.arange(8) % 3
    x[:, 0] = torch.tensor([1, 1, -1, -1, 1, 1, 1, 1])
    for name in ("act_error", "act"):
        with pytest.raises(StatisticError, match=r"'some' ran in 3 of 4 parts of the batch: it r"):
            measure(network, x, y, [name], bits=4, sample=sample)
    found = measure(network, x.abs(), y, ["act_error"], bits=4, sample="full")
    with torch.no_grad():
        weight = network.some.weight
        change = network.first(x.abs()) @ (quantised(weight, 4) - weight).T
    torch.testing.assert_close(found.values["act_error"][1], change.flatten())


def test_of_an_error_the_entries_are_kept_that_are_kept_of_the_tensor():
    network, x, y = case(Convolutions)
    pairs = {"weight": "weight_error", "act": "act_error"}
    names = [*pairs, *pairs.values()]
    full = measure(network, x, y, names, sample="full", bits=2)
    kept = measure(network, x, y, names, sample=16, bits=2)
    for name, error in pairs.items():
        for layer in range(3):
            known = dict(
                zip(full.values[name][layer].tolist(), full.values[error][layer], strict=True)
            )
            truth = torch.stack([known[value] for value in kept.values[name][layer].tolist()])
            torch.testing.assert_close(kept.values[error][layer], truth, rtol=1e-4, atol=1e-7)


def test_16_bits_change_next_to_nothing_and_fewer_change_more():
    network, x, y = case(Transformer)
    sizes = []
    for bits in (2, 4, 8, 16):
        names = ["weight_error", "act_error"]
        measured = measure(network, x, y, names, sample="full", bits=(bits,) * 6)
        sizes.append([sum(map(torch.norm, measured.values[name])) for name in names])
    sizes = torch.tensor(sizes)
    assert (sizes[1:] < sizes[:-1] / 2).all()
    assert (sizes[-1] < 1e-2).all()


def test_bits_are_given_by_name_or_in_order_or_as_one_number():
    network, x, y = case(Convolutions)
    for bits, truth in (
        (3, [8, 3, 8]),
        ([2, 3, 4], [2, 3, 4]),
        ({"second": 2}, [8, 2, 8]),
    ):
        assert measure(network, x, y, ["bits"], bits=bits).values["bits"].tolist() == truth
    for bits, error, message in (
        ([2, 3], QuantisationError, "3 layers"),
        ([2, 3, 17], QuantisationError, "1 to 16"),
        ({"secnd": 2}, UnknownNameError, "did you mean 'second'"),
    ):
        with pytest.raises(error, match=message):
            measure(network, x, y, ["bits"], bits=bits)
    with pytest.raises(StatisticError, match="'bits' cannot be measured without bits"):
        measure(network, x, y, ["bits"])


def test_what_is_to_be_quantised_is_measured_in_eval_mode():
    network, x, y = case(Convolutions)
    network(x)
    with torch.no_grad():
        truth = network.eval().steps(x)[1]
    for options in ({"bits": 4}, {"mode": "eval"}):
        found = measure(network.train(), x, y, ["act"], sample="full", **options)
        for output, values in zip(truth, found.values["act"], strict=True):
            torch.testing.assert_close(values, output.flatten(), rtol=1e-4, atol=1e-6)
    trained = measure(network, x, y, ["act"], sample="full")
    assert not torch.allclose(trained.values["act"][1], truth[1].flatten(), atol=1e-3)
    assert network.training

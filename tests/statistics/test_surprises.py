"""Networks that keep, draw, pack, map, repeat or mix in ways of their own, against autograd."""

import random
import warnings

import numpy
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call, stack_module_state
from torch.utils.checkpoint import checkpoint

from autoprox.errors import StatisticError
from autoprox.proxies.loading import load
from autoprox.statistics import measure
from tests.known_networks import left
from tests.statistics.test_other_networks import Calls, gradients, parameter, two

pytestmark = pytest.mark.usefixtures("one_thread", "seeded")


def batch(seed=5):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(8, 12, generator=generator), torch.arange(8)


class Keeps(nn.Module):
    """Writes into what it holds whenever it runs, and scales by it."""

    def __init__(self, scale):
        super().__init__()
        self.first, self.head, self.scale = nn.Linear(12, 8), nn.Linear(8, 10), scale
        self.runs, self.count, self.counts = [], torch.ones(()), [torch.ones(())]
        self.by_name = {"runs": []}
        self.draws = torch.Generator().manual_seed(0)
        self.own, self.numpy = random.Random(0), numpy.random.default_rng(0)

    def forward(self, x):
        return self.head((self.first(x) * self.scale(self)).tanh())


def in_a_list(self):
    self.runs.append(1)
    return len(self.runs)


def in_a_dict(self):
    self.by_name["runs"].append(1)
    return len(self.by_name["runs"])


def in_place(self):
    self.count += 1
    return self.count


def in_place_in_a_list(self):
    self.counts[0] += 1
    return self.counts[0]


SCALES = [
    in_a_list, in_a_dict, in_place, in_place_in_a_list,
    lambda self: torch.rand(8, generator=self.draws),
    lambda self: self.own.random(),
    lambda self: float(self.numpy.random()),
]  # fmt: skip


@pytest.mark.parametrize("scale", SCALES)
def test_every_pass_begins_with_what_the_network_holds(scale):
    network, (x, y) = Keeps(scale), batch()
    found = measure(network, x, y, ["grad", "flow_grad", "ntk"], sample="full").values["grad"]
    assert torch.equal(found[0], measure(network, x, y, "grad", sample="full").values["grad"][0])
    assert not network.runs
    assert network.count == network.counts[0] == 1
    expected = gradients(network, x, y)  # the first run of the network itself
    torch.testing.assert_close(found[0], expected["first.weight"], rtol=1e-4, atol=1e-6)


def re_entrant(self, x):
    return self.head(checkpoint(torch.tanh, self.first(x), use_reentrant=True))


def all_in_re_entrant(self, x):
    inner = lambda z: checkpoint(self.first, z, use_reentrant=True).tanh()  # noqa: E731  # as users do
    return self.head(checkpoint(inner, x, use_reentrant=True))


def over_the_batch(self, x):
    return self.head(((x @ x.T).softmax(-1) @ self.first(x)).tanh())


def mapped(self, x):
    return self.head(torch.vmap(lambda row: self.first(row).tanh())(x))


def with_a_scalar(self, x):
    return {"logits": self.head(self.first(x).tanh()), "loss": x.mean()}


def of_dtypes(self, x):
    return self.head(self.first(x.float()).tanh() + torch.zeros(8))


def sparse_lookup(self, x):
    rows = F.embedding((x > 0).long(), self.table, sparse=True)
    return self.head((self.first(x) + rows.mean(1)).tanh())


def by_names(self, x):
    return self.head(self.parts["weight_orig"](self.parts["_orig_mod"](x)).tanh())


NAMES = ["grad", "act", "act_grad", "flow_grad", "ntk", "grad_gram", "hessian_grad"]
BUILDS = {
    **{
        forward.__name__: lambda forward=forward: two(forward)
        for forward in (
            re_entrant, all_in_re_entrant, over_the_batch, mapped, with_a_scalar, of_dtypes,
        )
    },
    "sparse_lookup": lambda: Calls(
        sparse_lookup, first=nn.Linear(12, 8), head=nn.Linear(8, 10), table=parameter(2, 8)
    ),
    "by_names": lambda: Calls(
        by_names, head=nn.Linear(8, 10),
        parts=nn.ModuleDict({"_orig_mod": nn.Linear(12, 8), "weight_orig": nn.Linear(8, 8)}),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BUILDS)
def test_gradients_are_those_of_autograd(name):
    torch.manual_seed(5)
    network, (x, y) = BUILDS[name](), batch()
    before, names = left(network), list(NAMES)
    found = measure(network, x, y, names, sample="full")
    assert left(network) == before
    for parameter_ in network.parameters():
        parameter_.requires_grad_()
    if "re_entrant" in name:  # what torch's own would refuse to give, or leave out
        plain = two(lambda self, x: self.head(self.first(x).tanh()))
        plain.load_state_dict(network.state_dict())
        network = plain
    loss = F.cross_entropy
    if name == "with_a_scalar":
        loss = lambda out, y: F.cross_entropy(out["logits"], y)  # noqa: E731  # one line
    network.zero_grad()
    loss(network(x), y).backward()
    parameters = dict(network.named_parameters())
    for layer, grad in zip(found.layers, found.values["grad"], strict=True):
        expected = parameters[layer].grad
        expected = expected.to_dense() if expected.is_sparse else expected
        torch.testing.assert_close(grad, expected.flatten(), rtol=1e-4, atol=1e-6)
    assert set(found.unseen) == parameters.keys() - set(found.layers)


def test_second_derivatives_of_checkpoints_are_those_of_the_function():
    names, (x, y) = ["hessian_grad", "hessian_trace", "grad_std", "jacobian_gram"], batch()
    network = two(all_in_re_entrant)
    plain = two()
    plain.load_state_dict(network.state_dict())
    found = [measure(each, x, y, names, sample="full") for each in (network, plain)]
    for name in names:
        pairs = zip(*(each.values[name] for each in found), strict=True)
        for one, other in pairs:
            if one is not None:
                torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_a_function_that_maps_over_experts_shows_the_signs_of_all():
    experts = nn.ModuleList(nn.Linear(12, 4) for _ in range(3))

    def forward(self, x):
        parts, _ = stack_module_state(list(self.experts))
        shown = torch.vmap(lambda each: functional_call(self.experts[0], each, (x,)).relu())(parts)
        return self.head(shown.mean(0))

    network, (x, _) = Calls(forward, experts=experts, head=nn.Linear(4, 10)), batch()
    found = measure(network, x, None, ["code_total"], sample="full").values["code_total"][0]
    signs = torch.cat([expert(x) for expert in experts], 1) > 0
    expected = (signs[:, None] == signs[None]).sum(-1)
    assert torch.equal(found.reshape(8, 8).long(), expected)


def test_what_a_forward_makes_or_casts_is_float64_too_for_ones():
    network, (x, _) = two(of_dtypes), batch()
    plain = two()
    plain.load_state_dict(network.state_dict())
    assert load("synflow")(network, x) == load("synflow")(plain, x)


def test_what_a_forward_writes_into_in_place_is_kept_in_float64_too():
    def forward(self, x):
        self.scale.mul_(2)
        return self.head((x * self.scale).to(torch.float32))

    head, (x, _) = nn.Linear(12, 10), batch()
    network = Calls(forward, head=head)
    network.scale = torch.ones(12)
    plain = Calls(lambda self, x: self.head(x * 2), head=head)
    assert load("synflow")(network, x) == pytest.approx(load("synflow")(plain, x))


@pytest.mark.parametrize("shared", [True, False])
def test_a_tensor_that_two_modules_write_into_is_one_tensor_in_every_pass(shared):
    """Each pass adds 1 to what both hold, or to what each holds; `act` is of the first pass."""

    class Adds(nn.Module):
        def forward(self, x):
            return x + self.held.add_(1)

    network = nn.Sequential(Adds(), Adds(), nn.Linear(12, 10))
    network[0].held = torch.zeros(12)
    network[1].held = network[0].held if shared else torch.zeros(12)
    x, _ = batch()
    for _ in range(3):
        found = measure(network, x, None, ["act"], sample="full").values["act"]
        expected = network[2](x + (3 if shared else 2))
        torch.testing.assert_close(found[0].reshape(8, 10), expected.detach())
    assert not network[0].held.any()
    assert (network[0].held is network[1].held) == shared


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_errors_of_quantised_weights_are_measured_in_any_precision(dtype):
    torch.manual_seed(5)
    network, (x, _) = two(), batch()
    names = ["weight_error", "act_error"]
    expected = measure(network, x, None, names, bits=[4, 4], sample="full").values
    found = measure(network.to(dtype), x.to(dtype), None, names, bits=[4, 4], sample="full").values
    rounding = 4 * torch.finfo(dtype).eps if dtype != torch.float64 else 1e-5
    for name in names:
        scale = float(torch.cat(expected[name]).abs().max())
        for one, other in zip(found[name], expected[name], strict=True):
            assert (one - other).norm() < 40 * rounding * scale * len(one) ** 0.5


class Packed(nn.Module):
    """Weights of four bits, two in a number, in a parameter or a buffer."""

    def __init__(self, *, buffer):
        super().__init__()
        numbers = torch.randint(0, 255, (8, 4), dtype=torch.uint8)
        if buffer:
            self.register_buffer("qweight", numbers)
        else:
            self.qweight = nn.Parameter(numbers, requires_grad=False)
        self.register_buffer("mask", torch.ones(8, 8, dtype=torch.uint8))

    def forward(self, x):
        pairs = torch.stack([self.qweight & 15, self.qweight >> 4], -1).flatten(1)
        weight = (pairs.float() - 8) / 8
        return F.linear(x, weight).masked_fill(self.mask[0] == 0, 0.0)


@pytest.mark.parametrize("buffer", [True, False])
def test_packed_weights_are_named(buffer):
    network = nn.Sequential(nn.Linear(12, 8), nn.Tanh(), Packed(buffer=buffer), nn.Linear(8, 10))
    x, y = batch()
    with pytest.warns(
        UserWarning, match=r"looks like quantised weights is not measured: 2\.qweight; scores"
    ):
        found = measure(network, x, y, ["grad"], sample="full")
    assert found.layers == ("0.weight", "3.weight")
    assert "2.qweight" in found.unseen
    expected = gradients(network, x, y)
    for layer, grad in zip(found.layers, found.values["grad"], strict=True):
        torch.testing.assert_close(grad, expected[layer], rtol=1e-4, atol=1e-6)


@pytest.mark.filterwarnings("ignore:.*quantized tensor creation", "ignore:.*an autograd kernel")
def test_quantised_modules_of_torch_are_named_and_let_no_gradient_through():
    quantised = torch.ao.nn.quantized.dynamic.Linear(8, 8)
    network, (x, y) = nn.Sequential(nn.Linear(12, 8), quantised, nn.Linear(8, 10)), batch()
    with pytest.warns(UserWarning, match=r"not measured: 1\._packed_params\._packed_params"):
        found = measure(network, x, y, ["act"])
    assert "1._packed_params._packed_params" in found.unseen
    with pytest.raises(StatisticError, match="quantised, and neither measured nor") as raised:
        measure(network, x, y, ["grad"])
    assert "\n" not in str(raised.value)
    with pytest.raises(StatisticError, match=r"no layer to measure.* are quantised"):
        measure(nn.Sequential(quantised), torch.randn(8, 8), y, ["params"])


def test_a_parameter_without_entries_is_no_layer():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Initializing zero-element tensors")
        empty = nn.Sequential(nn.Linear(8, 0), nn.Linear(0, 8))
    network = Calls(
        lambda self, x: self.head((self.first(x) + self.empty(self.first(x))).tanh()),
        first=nn.Linear(12, 8), empty=empty, head=nn.Linear(8, 10),
    )  # fmt: skip
    x, y = batch()
    found = measure(network, x, y, ["grad", "act", "flow_grad", "params"])
    assert found.layers == ("first.weight", "head.weight")
    assert {"empty.0.weight", "empty.1.weight"} <= set(found.unseen)


def test_experts_that_some_parts_do_not_reach_are_refused_in_a_sentence():
    def forward(self, x):
        chosen, hidden = self.router(x).argmax(-1), torch.zeros(len(x), 8, dtype=x.dtype)
        for number, expert in enumerate(self.experts):
            places = (chosen == number).nonzero()[:, 0]
            hidden = hidden.index_add(0, places, expert(x[places]))
        return self.head(hidden.tanh()) + self.router(x).sum(-1, keepdim=True)

    network = Calls(
        forward, router=nn.Linear(12, 3), head=nn.Linear(8, 10),
        experts=nn.ModuleList(nn.Linear(12, 8) for _ in range(3)),
    )  # fmt: skip
    x, y = batch()
    found = measure(network, x, y, ["grad", "flow_grad"], sample="full")
    expected = gradients(network, x, y)
    for layer, grad in zip(found.layers, found.values["grad"], strict=True):
        torch.testing.assert_close(grad, expected[layer], rtol=1e-4, atol=1e-6)
    for name in ("act", "act_grad"):
        with pytest.raises(StatisticError, match=r"(tell|told) .*apart") as raised:
            measure(network, x, y, [name])
        assert "\n" not in str(raised.value)


def test_an_error_of_many_lines_is_told_in_one_sentence():
    def forward(self, x):
        raise RuntimeError("no rule for it.\nHint: register one\n")

    with pytest.raises(StatisticError, match="RuntimeError: no rule for it; expected") as raised:
        measure(two(forward), batch()[0], None, ["params"])
    assert "\n" not in str(raised.value)


@pytest.mark.filterwarnings("ignore:.*nested tensors is in prototype")
def test_inputs_that_cannot_be_cut_by_sample_are_refused():
    nested = torch.nested.nested_tensor([torch.randn(2, 12), torch.randn(3, 12)])
    for inputs, kind in ((batch()[0].to_sparse(), "sparse"), (nested, "nested")):
        with pytest.raises(StatisticError, match=f"got {kind} tensor for the inputs: its to_"):
            measure(two(), inputs, None, ["params"])

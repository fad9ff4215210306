"""The numbers of the statistics, against computations that share no code with them."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from autoprox.errors import StatisticError, UnknownNameError
from autoprox.proxies.frame import score
from autoprox.proxies.loading import load
from autoprox.statistics import STATISTICS, measure, subject
from autoprox.statistics.outputs import CODES_AT_ONCE, agreement
from tests.known_networks import weights

pytestmark = pytest.mark.usefixtures("one_thread", "seeded")


def small(batch_norm=False):
    norm = nn.BatchNorm2d(4) if batch_norm else nn.GroupNorm(2, 4)
    return nn.Sequential(
        nn.Conv2d(2, 4, 3), norm, nn.Tanh(), nn.Conv2d(4, 3, 2), nn.Flatten(), nn.Linear(27, 5)
    )


def batch_of(size=8):
    return torch.randn(size, 2, 6, 6), torch.randint(0, 5, (size,))


def full(network, name, inputs, targets=None):
    return measure(network, inputs, targets, [name], sample="full").values[name]


def plain_gradients(network, inputs, targets):
    return torch.autograd.grad(F.cross_entropy(network(inputs), targets), weights(network))


def close(found, expected, **tolerance):
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b.detach().flatten().float(), **tolerance)


@pytest.mark.parametrize("batch_norm", [False, True])
def test_weight_and_grad_are_those_of_autograd(batch_norm):
    network, (x, y) = small(batch_norm), batch_of(9)
    close(full(network, "weight", x), weights(network))
    close(full(network, "grad", x, y), plain_gradients(network, x, y), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("batch_norm", [False, True])
def test_micro_batch_gradients_are_those_of_a_loop(batch_norm):
    network, (x, y) = small(batch_norm), batch_of(10)
    cuts = [0, 2, 5, 8, 10]
    loop = [
        [g.numpy() for g in plain_gradients(network, x[a:b], y[a:b])] for a, b in pairwise(cuts)
    ]
    for layer in range(3):
        stack = np.stack([grads[layer] for grads in loop]).astype(np.float64)
        mean, std = np.abs(stack).mean(0).ravel(), stack.std(0).ravel()
        found = measure(network, x, y, ["grad_abs_mean", "grad_std"], sample="full")
        np.testing.assert_allclose(found.values["grad_abs_mean"][layer], mean, rtol=1e-4, atol=1e-7)
        np.testing.assert_allclose(found.values["grad_std"][layer], std, rtol=1e-3, atol=1e-7)


def test_running_the_batch_in_parts_changes_no_number(monkeypatch):
    network, (x, y) = small(), batch_of(10)
    names, how = list(STATISTICS), {"sample": "full", "bits": 4, "mode": "train"}
    how["teacher"] = small()
    parts = measure(network, x, y, names, **how)
    monkeypatch.setattr(subject, "couples_samples", lambda _: True)
    whole = measure(network, x, y, names, **how)
    for name in names:
        torch.testing.assert_close(parts.values[name], whole.values[name], rtol=1e-4, atol=1e-5)
        assert torch.equal(parts.sizes[name], whole.sizes[name])


def test_flow_grad_is_synflow_written_by_hand():
    network = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3))
    first, second = (w.detach().double().abs() for w in weights(network))
    bias = network[0].bias.detach().double().abs()
    hidden = first @ torch.ones(6, dtype=torch.float64) + bias
    expected = [second.sum(0)[:, None].expand(5, 6), hidden.expand(3, 5)]
    close(full(network, "flow_grad", torch.randn(4, 6)), expected)


def test_flow_conserves_its_sum_from_layer_to_layer():
    network = nn.Sequential(
        nn.Conv2d(3, 6, 3, bias=False), nn.ReLU(), nn.Conv2d(6, 4, 2, bias=False), nn.ReLU(),
        nn.Flatten(), nn.Linear(100, 7, bias=False),
    )  # fmt: skip
    x = torch.randn(4, 3, 8, 8)
    flow = full(network, "flow_grad", x)
    sums = [
        float((g * w.detach().abs().flatten()).double().sum())
        for g, w in zip(flow, weights(network), strict=True)
    ]
    assert sums == pytest.approx([sums[0]] * 3, rel=1e-5)


def test_hessian_grad_is_the_finite_difference_of_the_gradient_along_itself():
    network, x = (
        nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3)).double(),
        torch.randn(6, 5).double(),
    )
    y = torch.randint(0, 3, (6,))
    grads, step = plain_gradients(network, x, y), 1e-5

    def at(sign):
        with torch.no_grad():
            for weight, grad in zip(weights(network), grads, strict=True):
                weight.add_(grad, alpha=sign * step)
        return plain_gradients(network, x, y)

    ahead, behind = at(1), at(-2)
    at(1)
    expected = [(a - b) / (2 * step) for a, b in zip(ahead, behind, strict=True)]
    close(full(network, "hessian_grad", x, y), expected, rtol=1e-4, atol=1e-7)


def test_hessian_grad_works_through_fused_attention():
    network, (x, y) = attentive(), (torch.randn(4, 5, 8), torch.randint(0, 3, (4,)))
    with sdpa_kernel(SDPBackend.MATH):
        layers = weights(network)
        first = torch.autograd.grad(F.cross_entropy(network(x), y), layers, create_graph=True)
        dot = sum((g.detach() * g).sum() for g in first)
        expected = torch.autograd.grad(dot, layers)
    close(full(network, "hessian_grad", x, y), expected, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("batch_norm", [False, True])
def test_outputs_and_their_gradients_are_those_of_the_layers(batch_norm):
    network, (x, y) = small(batch_norm), batch_of(7)
    outputs, now = [], x
    for module in network:
        now = module(now)
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            outputs.append(now)
    grads = torch.autograd.grad(F.cross_entropy(now, y), outputs)
    close(full(network, "act", x), outputs, rtol=1e-4, atol=1e-6)
    close(full(network, "act_grad", x, y), grads, rtol=1e-4, atol=1e-7)


def test_an_output_is_recorded_before_it_is_overwritten_in_place():
    network = nn.Sequential(nn.Linear(4, 6), nn.ReLU(inplace=True), nn.Linear(6, 3))
    x, y = torch.randn(5, 4), torch.randint(0, 3, (5,))
    found = measure(network, x, y, ["act", "act_gram", "code_gram", "act_grad"], sample="full")
    first = network[0](x)
    close(found.values["act"][:1], [first])
    torch.testing.assert_close(found.values["act_gram"][0], (first @ first.T).detach())
    assert (found.values["act"][0] < 0).any()
    grad = torch.autograd.grad(F.cross_entropy(network[2](first.relu()), y), first)[0]
    close(found.values["act_grad"][:1], [grad])


def test_a_module_that_runs_twice_shows_its_last_run():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner, self.head = nn.Linear(4, 4), nn.Linear(4, 3)

        def forward(self, x):
            return self.head(torch.tanh(self.inner(torch.tanh(self.inner(x)))))

    network, x, y = Twice(), torch.randn(5, 4), torch.randint(0, 3, (5,))
    last = network.inner(torch.tanh(network.inner(x)))
    grad = torch.autograd.grad(F.cross_entropy(network.head(torch.tanh(last)), y), last)[0]
    close(full(network, "act", x)[:1], [last])
    close(full(network, "act_grad", x, y)[:1], [grad])
    assert len(measure(network, x, y, ["act"]).layers) == 2


def test_a_module_that_runs_at_two_widths_is_compared_at_its_last():
    class Widths(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner, self.head = nn.Linear(4, 4), nn.Linear(4, 3)

        def forward(self, x):
            wide = self.inner(x[:, None].expand(-1, 5, -1) * torch.arange(5.0)[:, None])
            return self.head(torch.tanh(self.inner(wide.mean(1))))

    network, x = Widths(), torch.randn(9, 4)
    last = network.inner(network.inner(x[:, None] * torch.arange(5.0)[:, None]).mean(1)).detach()
    found = measure(network, x, None, ["act_gram", "code_gram"])
    torch.testing.assert_close(found.values["act_gram"][0], last @ last.T)
    agree = ((last > 0)[:, None] == (last > 0)).sum(-1)
    assert torch.equal(found.values["code_gram"][0].long(), agree)


@pytest.mark.parametrize("entries", [1, CODES_AT_ONCE, 2 * CODES_AT_ONCE + 3])
def test_the_agreement_of_signs_is_counted_over_all_entries(entries):
    values = torch.randn(6, entries).index_fill_(1, torch.tensor([0]), 0.0)
    expected = ((values > 0)[:, None] == (values > 0)).sum(-1)
    assert torch.equal(agreement(values).long(), expected)
    assert torch.equal(agreement(values > 0).long(), expected)


def test_the_batch_is_found_where_it_is_not_the_first_dimension():
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=False)

    class Sequence(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.head = layer, nn.Linear(8, 3)

        def forward(self, x):
            return self.head(self.layer(x.transpose(0, 1)).mean(0))

    x = torch.randn(8, 8, 8)  # as many tokens as samples
    found = measure(Sequence(), x, None, ["act", "act_gram"], sample="full")
    place = found.layers.index("layer.linear1.weight")
    attended = layer.norm1(x + layer.self_attn(*[x.transpose(0, 1)] * 3)[0].transpose(0, 1))
    rows = layer.linear1(attended).flatten(1).detach()
    torch.testing.assert_close(found.values["act"][place], rows.flatten())
    torch.testing.assert_close(found.values["act_gram"][place], rows @ rows.T)


def test_spectra_are_the_singular_values():
    network, (x, y) = small(), batch_of(6)
    names = ["weight_spectrum", "grad_spectrum", "act_spectrum"]
    found = measure(network, x, y, names, sample="full")
    first = network[0](x)
    outputs = [first, network[3](network[2](network[1](first))), network(x)]
    for layer, (weight, grad, output) in enumerate(
        zip(weights(network), plain_gradients(network, x, y), outputs, strict=True)
    ):
        channels = output.shape[1]
        rows = output.movedim(1, -1).reshape(-1, channels)
        for name, matrix in zip(names, (weight.flatten(1), grad.flatten(1), rows), strict=True):
            expected = torch.linalg.svdvals(matrix.detach().double()).float()
            values = found.values[name][layer]
            torch.testing.assert_close(values, expected, rtol=1e-3, atol=float(expected[0]) * 1e-6)
            assert (values.diff() <= 0).all()


def test_a_sampled_spectrum_keeps_evenly_spread_values():
    network = nn.Linear(40, 30)
    x = torch.randn(4, 40)
    whole = full(network, "weight_spectrum", x)[0]
    kept = measure(network, x, None, ["weight_spectrum"], sample=7).values["weight_spectrum"][0]
    assert torch.equal(kept, whole[[2, 6, 10, 15, 19, 23, 27]])


def test_relations_are_the_matrices_written_by_hand():
    network, x = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3)), torch.randn(5, 4)
    names = ["act_gram", "code_gram", "jacobian_gram"]
    found = measure(network, x, None, names, sample="full").values
    output = network[0](x).detach()
    codes = (output > 0).tolist()
    agree = [[sum(a == b for a, b in zip(p, q, strict=True)) for p in codes] for q in codes]
    torch.testing.assert_close(found["act_gram"][0], output @ output.T)
    assert found["code_gram"][0].tolist() == agree
    slope = network[2].weight.detach().sum(0) * (output > 0)
    jacobian = slope @ network[0].weight.detach()
    torch.testing.assert_close(found["jacobian_gram"][0], jacobian @ jacobian.T)
    assert found["jacobian_gram"][1] is None


class attentive(nn.Module):
    """One attention, by a hand-written softmax if `explicit`, of `masked` scores if so."""

    def __init__(self, explicit=False, causal=False):
        super().__init__()
        self.explicit, self.causal = explicit, causal
        self.qkv, self.head = nn.Linear(8, 24), nn.Linear(8, 3)

    def maps(self, x):
        q, k, _ = self.split(x)
        scores = torch.einsum("bhqd,bhkd->bhqk", q, k) / math.sqrt(4)
        if self.causal:
            scores = scores + torch.full((x.shape[1],) * 2, -math.inf).triu(1)
        return scores.exp() / scores.exp().sum(-1, keepdim=True)

    def split(self, x):
        return self.qkv(x).reshape(len(x), -1, 3, 2, 4).permute(2, 0, 3, 1, 4)

    def forward(self, x):
        q, k, v = self.split(x)
        if self.explicit:
            y = (q @ k.transpose(-2, -1) / math.sqrt(4)).softmax(dim=-1) @ v
        else:
            y = F.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        return self.head(y.transpose(1, 2).flatten(2).mean(1))


@pytest.mark.parametrize("options", [{}, {"explicit": True}, {"causal": True}])
def test_attention_maps_are_the_explicit_softmax(options):
    network, x = attentive(**options), torch.randn(6, 5, 8)
    found = measure(network, x, None, ["attention", "heads"], sample="full")
    assert found.layers[0] == "qkv.weight"
    close(found.values["attention"][:1], [network.maps(x)])
    assert found.values["attention"][1] is None
    assert found.values["heads"].tolist() == [2, 0]
    assert found.sizes["attention"].tolist() == [6 * 2 * 5 * 5, 0]


@pytest.mark.parametrize("need_weights", [False, True])
def test_attention_maps_of_multi_head_attention_are_its_weights(need_weights):
    class Wrapped(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
            self.head = nn.Linear(8, 3)

        def forward(self, x):
            return self.head(self.attention(x, x, x, need_weights=need_weights)[0].mean(1))

    network, x = Wrapped(), torch.randn(6, 5, 8)
    maps = network.attention(x, x, x, average_attn_weights=False)[1]
    found = measure(network, x, None, ["attention", "heads", "act"], sample="full")
    assert found.layers[0] == "attention.in_proj_weight"
    close(found.values["attention"][:1], [maps])
    assert found.values["heads"].tolist() == [2, 0, 0]
    assert found.present["act"].tolist() == [True, False, True]
    assert found.roles == ("embedding", "attention", "head")


def test_flops_add_up_to_the_counter_of_torch():
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
    network = nn.Sequential(nn.Linear(4, 8), layer, nn.Flatten(), nn.Linear(40, 3))
    x = torch.randn(4, 5, 4)
    found = measure(network.eval(), x, None, ["flops"])
    counter = FlopCounterMode(display=False)
    with counter, sdpa_kernel(SDPBackend.MATH):
        network.train()(x[:1])
    assert found.values["flops"].sum() == counter.get_total_flops()
    by_hand = {
        "0.weight": 2 * 5 * 4 * 8,
        "1.linear1.weight": 2 * 5 * 8 * 16,
        "3.weight": 2 * 40 * 3,
    }
    for name, flops in by_hand.items():
        assert found.values["flops"][found.layers.index(name)] == flops
    attended = 2 * 5 * 8 * 24 + 2 * 5 * 8 * 8 + 2 * (2 * 5 * 5 * 8)
    assert found.values["flops"][found.layers.index("1.self_attn.in_proj_weight")] == attended


@pytest.mark.parametrize("build", [small, lambda: small(True), attentive])
def test_params_add_up_to_the_network(build):
    network = build()
    x = torch.randn(4, 5, 8) if isinstance(network, attentive) else batch_of(4)[0]
    found = measure(network, x, None, ["params"]).values["params"]
    assert found.sum() == sum(p.numel() for p in network.parameters())


def test_counts_of_layers_are_those_of_a_calculation_by_hand():
    network, (x, _) = small(), batch_of()
    names = ["params", "fan_in", "fan_out", "position", "out_entries"]
    found = measure(network, x, None, names).values
    assert found["params"].tolist() == [72 + 4 + 8, 48 + 3, 135 + 5]
    assert found["fan_in"].tolist() == [18, 16, 27]
    assert found["fan_out"].tolist() == [36, 12, 5]
    assert found["position"].tolist() == [0, 0.5, 1]
    assert found["out_entries"].tolist() == [64, 27, 5]


def test_layers_stand_in_the_order_in_which_they_first_run():
    class Backwards(nn.Module):
        def __init__(self):
            super().__init__()
            self.head, self.body, self.stem = nn.Linear(4, 3), nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x):
            return self.head(self.body(self.stem(x)))

    found = measure(Backwards(), torch.randn(4, 4), None, ["params"])
    assert found.layers == ("stem.weight", "body.weight", "head.weight")
    assert found.roles == ("embedding", "mlp", "head")


def test_a_network_in_float64_is_measured():
    network, (x, y) = small().double(), batch_of()
    assert measure(network, x.double(), y, ["grad"]).values["grad"].dtype == torch.float32


def test_measuring_works_inside_no_grad():
    network, (x, y) = small(), batch_of()
    outside = measure(network, x, y, ["grad"]).values["grad"]
    with torch.no_grad():
        assert torch.equal(measure(network, x, y, ["grad"]).values["grad"], outside)


def test_token_networks_are_measured_without_input_gradients():
    network = nn.Sequential(nn.Embedding(7, 6), nn.Flatten(), nn.Linear(18, 3))
    x, y = torch.randint(0, 7, (5, 3)), torch.randint(0, 3, (5,))
    found = measure(network, x, y, ["grad", "act"])
    assert found.present["act"].all()
    for name in ("jacobian_gram", "flow_grad", "ones_grad"):
        with pytest.raises(StatisticError, match=f"'{name}' needs floating-point inputs"):
            measure(network, x, y, [name])


class Failing(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x):
        self.layer(x)
        raise RuntimeError("no such kernel")


def test_a_network_that_raises_keeps_no_hook_and_is_named_with_its_input():
    network = Failing().eval()
    with pytest.raises(StatisticError, match=r"\(1, 4\).*RuntimeError: no such kernel"):
        measure(network, torch.randn(5, 4), None, ["act"])
    assert not network.layer._forward_hooks
    assert not network.layer._forward_pre_hooks
    assert not network.training


class Lost(nn.Module):
    """Five layers of which the loss reaches one."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(4, 4) for _ in range(4))
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        for layer in self.layers:
            x = layer(x).detach()
        return self.head(x)


def test_layers_that_the_loss_does_not_reach_are_named():
    x, y = torch.randn(4, 4), torch.randint(0, 3, (4,))
    message = r"layers.0.weight, layers.1.weight, layers.2.weight and 1 more \(4 of 5 layers\)"
    for name in ("grad", "grad_std", "act_grad", "flow_grad", "hessian_grad"):
        with pytest.raises(StatisticError, match=message):
            measure(Lost(), x, y, [name])
    assert measure(Lost(), x, y, ["act", "weight"]).present["act"].all()


def test_what_does_not_fit_is_refused_with_the_reason():
    network, x, y = nn.Linear(4, 3), torch.randn(6, 4), torch.randint(0, 3, (6,))
    cases = [
        ((nn.ReLU(), x, y, ["grad"]), "no layer to measure"),
        ((network, x * math.inf, y, ["grad"]), "logits are not finite"),
        ((network, x, y + 3, ["grad"]), r"targets go from \d to \d, but the network has 3 outputs"),
        ((network, x, y[:4], ["grad"]), r"expected targets of shape \(6,\)"),
        ((network, x, y.int(), ["grad"]), r"torch.int64"),
        ((network, x, None, ["act", "grad"]), "'grad' cannot be measured without targets"),
        ((network, x[:3], y[:3], ["grad_std"]), "need 4 samples or more.* batch of 3"),
        ((nn.Conv1d(4, 3, 1), x[..., None], y, ["grad"]), r"expected targets of shape \(6, 3\)"),
        ((nn.Bilinear(4, 4, 3), x, y, ["act"]), "TypeError"),
        ((network, x[:0], y[:0], ["act"]), "at least one sample"),
        ((network, x[0], y, ["act"]), "expected inputs of shape"),
        ((nn.LazyLinear(3), x, y, ["act"]), "lazy network"),
    ]
    for arguments, message in cases:
        with pytest.raises(StatisticError, match=message):
            measure(*arguments)
    with pytest.raises(StatisticError, match=r"loss is a function of .* got 'mse'"):
        measure(network, x, y, ["grad"], loss="mse")
    with pytest.raises(UnknownNameError, match="did you mean 'grad_std'"):
        measure(network, x, y, ["grad_sdt"])


@pytest.mark.parametrize(
    ("how", "message"),
    [
        *(({"sample": it}, f"whole number, 1 or more, or 'full'; got {it!r}")
          for it in (0, "all", 8.5, True, None)),
        *(({"seed": it}, f"whole number, 0 or more; got {it!r}") for it in (-1, 1.5, True, "0")),
        *(({"mode": it}, f"to be 'train' or 'eval'; got {it!r}: leave it out for that of training")
          for it in ("Train", "training", "", 1)),
    ],
)  # fmt: skip
def test_how_to_measure_is_one_of_what_there_is(how, message):
    network, (x, y) = small(), batch_of()
    calls = [
        lambda: measure(network, x, y, ["grad"], **how),
        lambda: load("snip")(network, x, y, **how),
        lambda: load("swap")(network, x, y, **how),
        lambda: score([network], "snip", x, y, **how),
    ]
    for call in calls:
        with pytest.raises(StatisticError, match=message):
            call()


def test_integers_of_numpy_are_integers():
    network, (x, y) = small(), batch_of()
    plain = measure(network, x, y, ["grad"], sample=4, seed=3)
    found = measure(network, x, y, ["grad"], sample=np.int64(4), seed=np.uint8(3))
    assert torch.equal(found.values["grad"], plain.values["grad"])
    assert type(found.sample) is int


def test_of_several_tensors_the_first_is_the_logits():
    class Pair(nn.Linear):
        def forward(self, x):
            return x, super().forward(x)

    with pytest.raises(StatisticError, match="the loss does not reach weight"):
        measure(Pair(4, 3), torch.randn(4, 4), torch.tensor([0, 1, 2, 0]), ["grad"])


def test_a_forward_that_takes_one_dict_is_given_it_in_a_tuple():
    class OfDict(nn.Linear):
        def forward(self, batch):
            return super().forward(batch["x"])

    torch.manual_seed(0)
    network, x, y = OfDict(4, 3), torch.randn(4, 4), torch.tensor([0, 1, 2, 0])
    with pytest.raises(StatisticError, match=r"a dict is passed as keyword .*a tuple, \(inputs,\)"):
        measure(network, {"x": x}, y, ["act"])
    F.cross_entropy(network({"x": x}), y).backward()
    snip = (network.weight * network.weight.grad).abs().sum().item()
    kept = load("snip")(network, ({"x": x},), y)  # in half precision
    assert kept == pytest.approx(snip, rel=1e-3)


@pytest.mark.parametrize(
    ("given", "name"),
    [
        (("resnet18", torch.ones(4, 3), None), "str for the network"),
        ((nn.Linear, torch.ones(4, 3), None), "type for the network: pass an object"),
        ((nn.Linear(3, 2), np.ones((4, 3)), None), "ndarray for the inputs: torch.as_tensor"),
        ((nn.Linear(3, 2), torch.ones(4, 3), [0, 1, 0, 1]), "list for the targets"),
    ],
)
@pytest.mark.parametrize("proxy", ["snip", "zen_score"])
def test_what_is_no_network_or_no_tensor_is_refused(proxy, given, name):
    with pytest.raises(StatisticError, match=f"expected a torch.nn.Module.*got {name}"):
        load(proxy)(*given)

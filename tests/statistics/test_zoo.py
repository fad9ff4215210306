"""What a measurement sees of every kind of module: all of it, and it changes nothing."""

import copy
import math
import re
import warnings

import pytest
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

import autoprox
from autoprox import proxies
from autoprox.errors import AutoproxError, ScoreError, StatisticError
from autoprox.proxies.loading import load
from autoprox.statistics import measure
from tests.known_networks import random_states
from tests.processes import run_python
from tests.statistics.zoo import IMAGES, PLAIN, SIZES, TOKENS, Attends, built, mlp

pytestmark = [pytest.mark.usefixtures("one_thread", "seeded")]

NAMES = (
    "weight",
    "grad",
    "grad_std",
    "act",
    "act_grad",
    "flow_grad",
    "params",
    "fan_in",
    "fan_out",
)
KINDS = [*IMAGES, *TOKENS]
FAULT = re.compile(r"\n|(?<!NotImplemented)Error")
"""In a reason: more than a sentence, or an error, but for torch's lack of a derivative."""


def tensors(network):
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


@pytest.fixture
def complex_allowed():
    """Complex weights are warned of; a test of its own looks at the warning."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "complex parameters are not measured")
        yield


@pytest.mark.usefixtures("complex_allowed")
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", KINDS)
def test_all_parameters_are_seen_or_named_and_nothing_changes(kind, size):
    network, x, y = built(kind, size)
    computed = network.eval()(x)
    network.train()
    before, states = tensors(network), random_states()
    attributes = [copy.copy(vars(module)) for module in network.modules()]
    names = [name for name in NAMES if name != "flow_grad" or x.is_floating_point()]
    found = measure(network, x, y, names, sample="full")
    assert random_states() == states
    assert all(torch.equal(before[name], each) for name, each in network.state_dict().items())
    for module, held in zip(network.modules(), attributes, strict=True):
        assert vars(module).keys() == held.keys()
        assert all(vars(module)[key] is value for key, value in held.items())

    assert torch.equal(network.eval()(x), computed)
    parameters = {name: each.numel() for name, each in network.named_parameters()}
    assert found.values["params"].sum() == sum(parameters.values())
    plain = PLAIN.get(kind, set())
    matrices = {
        name
        for name, parameter in network.named_parameters()
        if (parameter.ndim > 1 or "parametrizations" in name) and name not in plain
    }
    assert parameters.keys() - set(found.unseen) == matrices
    sources = ("original0", "up", "down")  # of weights that are computed from several
    seen = sum(parameters[name] for name in matrices if not name.endswith(sources))
    if kind not in ("experts", "lists"):
        assert sum(len(weight) for weight in found.values["weight"]) == seen
    for name in names[: names.index("params")]:
        assert all(torch.isfinite(each).all() for each in found.values[name] if each is not None)


@pytest.mark.usefixtures("complex_allowed")
@pytest.mark.parametrize("kind", KINDS)
def test_every_proxy_has_a_finite_score_or_a_reason(kind):
    network, x, y = built(kind)
    names = [name for name in proxies.names() if not proxies.get(name).needs_bits]
    frame = autoprox.score({"it": network}, names, x, y)
    for name in names:
        reason = frame.failures.get(("it", name))
        assert (reason is None) == math.isfinite(frame[name]["it"])
        assert reason is None or not FAULT.search(reason), (name, reason)
    assert {"params", "l2_norm", "snip", "zico", "grad_norm"} <= {
        name for name in names if ("it", name) not in frame.failures
    }


@pytest.mark.usefixtures("complex_allowed")
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("lstm", "low rank")])
def test_operations_are_those_that_torch_counts(kind, size):
    network, x, _ = built(kind, size)
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        network(x[:1] if kind != "checkpointed" else x)
    expected = counter.get_total_flops() / (len(x) if kind == "checkpointed" else 1)
    missing = {"bilinear": 2 * 7 * (5 * size) ** 2, "lists": 2 * 6 * size}.get(kind, 0)
    assert measure(network, x, None, ["flops"]).values["flops"].sum() == expected + missing


@pytest.mark.parametrize("kind", ["weight norm", "pruned", "spectral norm"])
def test_a_reparametrised_network_scores_as_the_function_that_it_computes(kind):
    network, x, y = built(kind)
    plain = mlp()
    for layer, own in ((1, network[1]), (3, network[3])):
        plain[layer].weight.data = own.weight.detach().clone()
        plain[layer].bias.data = own.bias.detach().clone()
    tolerance = 0.2 if kind == "spectral norm" else 1e-5  # it iterates once more in training
    assert load("snip")(network, x, y) == pytest.approx(load("snip")(plain, x, y), rel=tolerance)


@pytest.mark.parametrize("groups", [1, 2])
def test_a_transposed_convolution_has_the_fans_and_matrix_of_its_jacobian(groups):
    layer = nn.ConvTranspose2d(4, 6, 3, groups=groups)
    network = nn.Sequential(layer, nn.Flatten(), nn.Linear(6 * 49, 10))
    found = measure(
        network, torch.randn(2, 4, 5, 5), None, ["fan_in", "fan_out", "weight_spectrum"],
        sample="full",
    )  # fmt: skip
    jacobian = torch.autograd.functional.jacobian(lambda x: layer(x)[0], torch.randn(1, 4, 5, 5))
    assert found.values["fan_out"][0] == (jacobian[:, :, :, 0, 0, 2, 2] != 0).sum()
    assert found.values["fan_in"][0] == (jacobian[0, 3, 3] != 0).sum()
    assert len(found.values["weight_spectrum"][0]) == min(6, 4 // groups * 9)


@pytest.mark.parametrize("cross", [False, True])
def test_attention_has_the_same_maps_however_it_is_written(cross):
    x, maps = torch.randn(8, 3, 8, 8), []
    for way in ("hand", "einsum", "torch"):
        torch.manual_seed(3)
        found = measure(Attends(way, cross), x, None, ["attention", "heads"], sample="full")
        assert found.values["heads"].max() == 2
        maps.append(next(each for each in found.values["attention"] if each is not None))
    assert len(maps[0]) == 8 * 2 * 24 * (7 if cross else 24)
    torch.testing.assert_close(maps[0], maps[1])
    torch.testing.assert_close(maps[0], maps[2])


def test_operations_of_an_lstm_are_those_of_its_matrices():
    network, x, _ = built("lstm")
    flops = measure(network, x, None, ["flops"]).values["flops"]
    first, second = 32 * (6 + 8), 32 * (16 + 8)
    assert flops.sum() == 2 * (5 * 2 * (first + second) + 16 * 10)


def test_an_operation_without_a_formula_is_named():
    class Spectral(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(33, 10)

        def forward(self, x):
            return self.head(torch.fft.rfft(x).abs())

    with pytest.raises(StatisticError, match="_fft_r2c"):
        measure(Spectral(), torch.randn(8, 64), None, ["flops"])


@pytest.mark.slow
def test_numbers_do_not_depend_on_the_hash_seed():
    program = (
        "import torch, autoprox; from torch import nn; torch.manual_seed(0); "
        "n = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 4)).double(); "
        "x, y = torch.randn(8, 6).double(), torch.randint(0, 4, (8,)); "
        "print(autoprox.load('add(sum(sum(grad_std)), add(sum(sum(grad_abs_std)), "
        "sum(sum(grad_abs_mean))))')(n, x, y))"
    )
    said = {
        (done.returncode, done.stdout)
        for done in (run_python("-c", program, hash_seed=seed) for seed in range(3))
    }
    assert len(said) == 1
    assert said.pop()[0] == 0


def test_what_says_nothing_is_named():
    network, x, y = built("mlp")
    nn.init.zeros_(network[3].weight)
    with pytest.raises(StatisticError, match=r"says nothing on this network.*3\.weight"):
        load("snip")(network, x, y)
    with pytest.raises(StatisticError, match="one output"):
        load("snip")(mlp(middle=lambda width, _: nn.Linear(width, 1)), x, y * 0)


def test_a_loss_that_zero_heads_alone_hear_says_nothing():
    class TwoHeads(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.a, self.b = nn.Linear(192, 6), nn.Linear(6, 10), nn.Linear(6, 10)
            nn.init.zeros_(self.a.weight)
            nn.init.zeros_(self.b.weight)

        def forward(self, x):
            hidden = self.body(x.flatten(1)).tanh()
            return self.a(hidden) + self.b(hidden)

    _, x, y = built("mlp")
    for name in ("snip", "grad_norm", "zico", "gradsign", "knas"):
        with pytest.raises(StatisticError, match=r"every layer but 'a.weight', 'b.weight', whose"):
            load(name)(TwoHeads(), x, y)
    with pytest.raises(ScoreError, match="synflow has no score on this network: it says nothing: "):
        load("synflow")(TwoHeads(), x)


@pytest.mark.parametrize("name", [name for name in proxies.names() if not load(name).needs_teacher])
def test_a_weight_that_is_not_finite_is_one_sentence_for_all_proxies(name):
    network, x, y = built("mlp")
    network[1].weight.data[0, 0] = torch.nan
    proxy = load(name)
    bits = 4 if proxy.needs_bits else None
    with pytest.raises(
        AutoproxError, match=r"'1\.weight' has entries that are not finite|compares"
    ):
        proxy(network, x, y, bits=bits)


def test_all_patterns_that_there_are_say_nothing():
    network, x, _ = built("grouped")
    with pytest.raises(StatisticError, match=r"swap: it says nothing .* all 2\*\*2 patterns"):
        load("swap")(network, x[:2])
    assert load("swap")(network, x) < 2**8


def test_complex_weights_are_named_and_the_others_measured():
    network, x, y = built("complex")
    with pytest.warns(UserWarning, match="complex parameters are not measured: mixing; scores"):
        found = measure(network, x, y, ["grad"], sample="full")
    assert found.layers == ("first.weight", "head.weight")
    assert "mixing" in found.unseen


def test_proxies_that_say_the_same_of_all_networks_are_named():
    network, x, y = built("mlp")
    frame = autoprox.score({"a": network, "b": mlp(2)}, ["depth", "params"], x, y)
    assert str(frame).endswith("the same score on every network, which says nothing: depth")

"""What a measurement sees of every kind of module: all of it, and it changes nothing."""

import copy
import os
import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from autoprox.errors import StatisticError
from autoprox.proxies.loading import load
from autoprox.statistics import measure
from tests.known_networks import random_states
from tests.statistics.zoo import IMAGES, PLAIN, TOKENS, Attends, built, mlp

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


def tensors(network):
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


@pytest.mark.parametrize("kind", KINDS)
def test_all_matrices_are_layers_or_tables_and_nothing_changes(kind):
    network, x, y = built(kind)
    before, states = tensors(network), random_states()
    attributes = [copy.copy(vars(module)) for module in network.modules()]
    names = [name for name in NAMES if name != "flow_grad" or x.is_floating_point()]
    found = measure(network, x, y, names, sample="full")
    assert random_states() == states
    assert all(torch.equal(before[name], each) for name, each in network.state_dict().items())
    for module, held in zip(network.modules(), attributes, strict=True):
        assert vars(module).keys() == held.keys()
        assert all(vars(module)[key] is value for key, value in held.items())

    total = sum(parameter.numel() for parameter in network.parameters())
    assert found.values["params"].sum() == total
    plain = PLAIN.get(kind, set())
    seen = sum(weight.numel() for weight in found.values["weight"])
    matrices = {
        name.replace("_orig", "").replace(".parametrizations", ""): parameter.numel()
        for name, parameter in network.named_parameters()
        if parameter.ndim > 1 and not name.endswith("original0") and name not in plain
    }
    assert seen == sum(matrices.values())
    for name in names[: names.index("params")]:
        assert all(torch.isfinite(each).all() for each in found.values[name] if each is not None)


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


def test_operations_are_those_of_torch_and_the_recurrent_ones_beside():
    network, x, _ = built("transposed")
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        network(x[:1])
    flops = measure(network, x, None, ["flops"]).values["flops"]
    assert flops.sum() == counter.get_total_flops()
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


@pytest.mark.parametrize("kind", ["mlp", "grouped", "attention"])
def test_precisions_agree_and_autocast_of_the_caller_does_not_matter(kind):
    network, x, y = built(kind)
    names = ("grad", "grad_std", "grad_abs_std", "grad_abs_mean", "act", "weight_spectrum")
    single = measure(network, x, y, names, sample="full").values
    double = measure(copy.deepcopy(network).double(), x.double(), y, names, sample="full").values
    half = measure(copy.deepcopy(network).bfloat16(), x.bfloat16(), y, names, sample="full").values
    with torch.autocast("cpu", torch.bfloat16):
        mixed = measure(network, x, y, names, sample="full").values
    for name in names:
        for a, b, c, d in zip(single[name], double[name], half[name], mixed[name], strict=True):
            size = float(b.abs().max())
            torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5 * size)
            assert (c - b).norm() < 0.1 * b.norm()
            assert torch.equal(a, d)


def test_numbers_do_not_depend_on_the_hash_seed():
    program = (
        "import torch, autoprox; from torch import nn; torch.manual_seed(0); "
        "n = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 4)).double(); "
        "x, y = torch.randn(8, 6).double(), torch.randint(0, 4, (8,)); "
        "print(autoprox.load('add(sum(sum(grad_std)), add(sum(sum(grad_abs_std)), "
        "sum(sum(grad_abs_mean))))')(n, x, y))"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True,
            env={**os.environ, "PYTHONHASHSEED": str(seed)},
        ).stdout
        for seed in range(3)
    }  # fmt: skip
    assert len(said) == 1


def test_what_says_nothing_is_named():
    network, x, y = built("mlp")
    nn.init.zeros_(network[3].weight)
    with pytest.raises(StatisticError, match=r"says nothing on this network.*3\.weight"):
        load("snip")(network, x, y)
    network[1].weight.data[0, 0] = torch.nan
    for name in ("snip", "params", "swap", "dss"):
        with pytest.raises(StatisticError, match=r"'1\.weight' has entries that are not finite"):
            load(name)(network, x, y)
    with pytest.raises(StatisticError, match="one output"):
        load("snip")(mlp(nn.Linear(12, 1)), x, y * 0)

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from autoprox.benches import load_bench
from autoprox.errors import QuantisationError, UnknownNameError
from autoprox.quantise import (
    Method,
    Quantiser,
    accuracy,
    bits_per_layer,
    costs,
    logits,
    quantisable_layers,
    quantise,
    quantised,
)
from autoprox.quantise.folding import folded
from autoprox.quantise.observing import observed
from tests.quantise.small_networks import LAYERS, images, residual

pytestmark = pytest.mark.usefixtures("one_thread")

aten = torch.ops.aten


def change(network: nn.Module, other: nn.Module) -> float:
    """How far the logits move, relative to their spread."""
    shown = images(200, seed=7)
    exact = logits(network, shown)
    return float((exact - logits(other, shown)).square().mean() / exact.var())


def test_layers_come_in_the_order_of_execution_without_those_that_never_run():
    assert quantisable_layers(residual(), images(2)) == LAYERS


def test_costs_are_those_of_a_hand_count():
    found = costs(residual(), images(2))
    weights = {"stem": 216, "depthwise": 144, "pointwise": 64, "hidden": 48, "head": 24}
    macs = {"stem": 216 * 64, "depthwise": 144 * 64, "pointwise": 64 * 64, "hidden": 48, "head": 24}
    assert {layer.name: layer.weights for layer in found.layers} == weights
    assert {layer.name: layer.macs for layer in found.layers} == macs
    others = 2 * (8 + 8) + 8 + 4 + 12  # norms, two biases, the unused layer
    assert found.others == others
    bits = (8, 3, 2, 3, 8)
    size = 216 + 144 * 3 // 8 + 64 * 2 // 8 + 48 * 3 // 8 + 24 + 4 * others
    assert found.size_bytes(bits) == size
    assert found.bops(bits) == sum(8 * b * m for b, m in zip(bits, macs.values(), strict=True))
    assert found.size_bytes(4) == found.size_bytes((8, 4, 4, 4, 8))


class Tokens(nn.Module):
    """One layer reads the tokens of all images as one batch, if `merged`, another a vector."""

    def __init__(self, merged: bool) -> None:
        super().__init__()
        self.merged, self.shared = merged, nn.Parameter(torch.randn(6))
        self.enter, self.middle = nn.Linear(8, 8), nn.Linear(8, 8)
        self.gate, self.head = nn.Linear(6, 8), nn.Linear(8, 10)

    def forward(self, x):
        x = self.enter(x)
        y = (
            self.middle(x.flatten(0, 1)).unflatten(0, x.shape[:2])
            if self.merged
            else self.middle(x)
        )
        return self.head(y.relu().mean(1) * self.gate(self.shared))


def tokens(merged: bool) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Tokens(merged).eval()


def test_costs_are_of_one_image_whatever_a_layer_takes_for_its_batch():
    for merged in (False, True):
        found = costs(tokens(merged), torch.zeros(4, 16, 8)).layers
        macs = {layer.name: layer.macs for layer in found}
        assert macs == {"enter": 1024, "middle": 1024, "gate": 48, "head": 80}


@pytest.mark.parametrize("name", ["nb201", "vit101", "nb101", "macro", "darts", "natssss"])
def test_networks_of_benches_cost_what_torch_counts_of_their_convolutions_and_linear_maps(name):
    bench = load_bench(name)
    for space in bench.spaces:
        network, shown = bench.network(bench.in_space(space)[3]), torch.zeros(1, *bench.input_shape)
        counter = FlopCounterMode(display=False)
        with counter, torch.no_grad():
            network.eval()(shown)
        products = {aten.convolution, aten.mm, aten.addmm}  # not those of attention, aten.bmm
        operations = counter.get_flop_counts()["Global"]
        counted = sum(operations.get(product, 0) for product in products)
        assert 2 * sum(layer.macs for layer in costs(network, shown).layers) == counted


def test_layers_that_merge_images_and_tokens_or_read_a_vector_are_quantised_as_others():
    shown = torch.randn(64, 16, 8, generator=torch.Generator().manual_seed(0))
    apart, merged = (logits(quantise(tokens(each), 4, shown), shown) for each in (False, True))
    torch.testing.assert_close(merged, apart)
    exact = logits(tokens(True), shown)
    assert (logits(quantise(tokens(True), 16, shown), shown) - exact).abs().max() < 0.02


def test_folding_changes_nothing_but_the_batch_norms():
    network = residual()
    made = folded(network, images(4))
    torch.testing.assert_close(logits(made, images(50)), logits(network, images(50)))
    assert isinstance(made.stem_norm, nn.Identity)
    assert isinstance(made.depthwise_norm, nn.Identity)
    assert isinstance(network.stem_norm, nn.BatchNorm2d)


def test_a_batch_norm_whose_convolution_has_a_second_reader_is_not_folded():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.convolution, self.norm = nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)
            nn.init.constant_(self.norm.weight, 3.0)

        def forward(self, x):
            y = self.convolution(x)
            return (self.norm(y) + y).mean((2, 3))

    assert isinstance(folded(Twice(), images(4)).norm, nn.BatchNorm2d)


class SharedNorm(nn.Module):
    """Two convolutions in front of one batch norm."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.norm, self.head = nn.BatchNorm2d(8), nn.Linear(8, 10)
        self.norm.running_mean.normal_()
        self.norm.running_var.uniform_(0.5, 2)

    def forward(self, x):
        x = self.norm(self.first(x)).relu()
        return self.head(self.norm(self.second(x)).relu().mean((2, 3)))


def test_a_batch_norm_at_two_places_is_left_as_it_is():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = SharedNorm().eval()
    assert isinstance(folded(network, images(4)).norm, nn.BatchNorm2d)
    assert change(network, quantise(network, 16, images(64))) < 1e-3


def test_a_weight_that_two_layers_share_or_that_is_computed_is_refused():
    tied = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    tied[1].weight = tied[0].weight
    with pytest.raises(QuantisationError, match="layers '0' and '1' share one weight"):
        quantise(tied, 4, torch.randn(8, 4))
    normed = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(4, 4)))
    with pytest.raises(QuantisationError, match="layer '0' is computed from other parameters"):
        quantise(normed, 4, torch.randn(8, 4))


@pytest.mark.parametrize("rounding", ["fitted", "nearest", "plain"])
def test_the_network_stays_as_it_was(rounding):
    network = residual().train()
    before = copy.deepcopy(network.state_dict())
    quantise(network, 2, images(32), Method(rounding))
    assert all(torch.equal(network.state_dict()[key], value) for key, value in before.items())
    assert all(module.training for module in network.modules())
    assert not any(module._forward_hooks for module in network.modules())
    assert not any(module._forward_pre_hooks for module in network.modules())


def test_what_is_known_of_the_inputs_of_a_layer_is_their_covariance_on_the_grid():
    shown = 3 + torch.randn(200, 5, generator=torch.Generator().manual_seed(0))
    (found,) = observed(nn.Sequential(nn.Linear(5, 2)), shown).values()
    expected = np.cov(found.grid.nearest(shown), rowvar=False, bias=True)
    np.testing.assert_allclose(found.covariance[0], expected, rtol=1e-4, atol=1e-5)


def test_many_bits_are_nearly_full_precision_and_fewer_are_worse():
    network = residual()
    quantiser = Quantiser(network, images(256))
    changes = [change(network, quantiser([bits] * 5)) for bits in (16, 4, 3, 2)]
    assert changes[0] < 2e-4
    assert changes == sorted(changes)


@pytest.mark.parametrize("bits", [3, pytest.param(2, marks=pytest.mark.slow)])
def test_fitted_beats_nearest_beats_plain_and_correction_helps(bits):
    def of(rounding: str, corrected: bool = True) -> float:
        total = 0.0
        for seed in range(4):
            network = residual(seed)
            made = quantise(network, [bits] * 5, images(256), Method(rounding, corrected))
            total += change(network, made)
        return total

    assert of("fitted") < of("nearest") < of("plain", False)
    assert of("fitted") < of("fitted", False)


def test_without_correction_and_fitting_the_weights_are_the_nearest_on_the_folded_ones():
    network = residual()
    made = quantise(network, 3, images(32), Method("nearest", corrected=False))
    base = folded(network, images(2))
    for name, bits in zip(LAYERS, (8, 3, 3, 3, 8), strict=True):
        weight = base.get_parameter(f"{name}.weight")
        torch.testing.assert_close(made.get_parameter(f"{name}.weight"), quantised(weight, bits))


def test_correction_gives_every_channel_its_mean_and_deviation_back():
    network, shown = residual(), images(128)
    outputs: dict[str, list[torch.Tensor]] = {name: [] for name in LAYERS}
    for each in (folded(network, shown[:2]), quantise(network, 2, shown)):
        for name in LAYERS:
            each.get_submodule(name).register_forward_hook(
                lambda _, __, out, name=name: outputs[name].append(out.detach())
            )
        each(shown)
    for exact, got in outputs.values():
        axes = (0, 2, 3) if exact.ndim == 4 else (0,)
        torch.testing.assert_close(got.mean(axes), exact.mean(axes), atol=1e-4, rtol=1e-3)
        torch.testing.assert_close(got.std(axes), exact.std(axes), atol=1e-4, rtol=1e-3)


def test_a_configuration_does_not_depend_on_those_made_before():
    first, second = Quantiser(residual(), images(64)), Quantiser(residual(), images(64))
    first(2), first((8, 3, 2, 3, 8))
    shown = images(20, seed=5)
    bits = (8, 2, 3, 3, 8)
    assert torch.equal(logits(first(bits), shown), logits(second(bits), shown))


def test_a_vision_transformer_keeps_its_tokens():
    from autoprox.benches.transformer import EncoderBlock

    class Small(nn.Module):
        def __init__(self):
            super().__init__()
            self.patches, self.block = nn.Conv2d(3, 12, 4, stride=4), EncoderBlock(12, 3, 2.0)
            self.head = nn.Linear(12, 4)

        def forward(self, x):
            return self.head(self.block(self.patches(x).flatten(2).mT).mean(1))

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = Small().eval()
    assert len(quantisable_layers(network, images(2))) == 6
    assert change(network, quantise(network, 8, images(64))) < 1e-2


def test_bits_are_given_as_one_number_as_many_or_by_name():
    layers = costs(residual(), images(2)).layers
    assert bits_per_layer(layers, 4) == (8, 4, 4, 4, 8)
    assert bits_per_layer(layers, [2, 3, 4, 5, 6]) == (2, 3, 4, 5, 6)
    assert bits_per_layer(layers, {"hidden": 3, "stem": 16}) == (16, 8, 8, 3, 8)


@pytest.mark.parametrize(
    ("bits", "message"),
    [
        (0, "from 1 to 16; got 0"),
        (17, "from 1 to 16; got 17"),
        ([4, 4], "5 layers to quantise, from 'stem' to 'head'; got bits for 2"),
        ([4, 4, 4, 4, 2.5], "from 1 to 16; got 2.5"),
        ("44444", "from 1 to 16; got '4'"),
    ],
)
def test_impossible_bits_are_refused(bits, message):
    with pytest.raises(QuantisationError, match=message):
        bits_per_layer(costs(residual(), images(2)).layers, bits)


def test_the_name_of_no_layer_is_refused():
    with pytest.raises(UnknownNameError, match="unknown layer 'steam'; did you mean 'stem'"):
        bits_per_layer(costs(residual(), images(2)).layers, {"steam": 4})


def test_networks_without_layers_and_shared_layers_are_refused():
    with pytest.raises(QuantisationError, match="Flatten runs no layer that can be quantised"):
        quantise(nn.Flatten(), 4, images(8))
    layer = nn.Conv2d(3, 3, 1)
    with pytest.raises(QuantisationError, match="layer '0' runs more than once"):
        quantise(nn.Sequential(layer, nn.ReLU(), layer), 4, images(8))


def test_unknown_ways_and_raw_images_are_refused():
    with pytest.raises(QuantisationError, match=r"rounding is one of .*; got 'up'"):
        Method("up")
    with pytest.raises(QuantisationError, match="precision float32 or bfloat16; got 'half'"):
        Method(precision="half")
    raw = torch.zeros(2, 3, 8, 8, dtype=torch.uint8)
    for use in (lambda: logits(residual(), raw), lambda: Quantiser(residual(), raw)):
        with pytest.raises(QuantisationError, match=r"normalised images .* got torch.uint8"):
            use()


def test_accuracy_is_the_share_of_labels_and_restores_the_modes():
    network = residual().train()
    shown = images(40)
    labels = logits(network, shown).argmax(1)
    labels[:10] += 1
    assert accuracy(network, shown, labels) == 75.0
    assert all(module.training for module in network.modules())


def test_no_images_are_refused_in_a_sentence():
    network, none, labels = residual(), images(4)[:0], torch.zeros(0, dtype=torch.int64)
    for use in (
        lambda: accuracy(network, none, labels),
        lambda: logits(network, none),
        lambda: costs(network, none),
        lambda: quantise(network, 4, none),
    ):
        with pytest.raises(QuantisationError, match=r"one image or more; got .* \(0, 3, 8, 8\)"):
            use()

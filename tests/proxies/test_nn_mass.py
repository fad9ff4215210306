"""NN-Mass, found in traced networks, against the formulas and published figures."""

import itertools

import pytest
import torch
from scipy.stats import kendalltau
from torch import nn

import autoprox
from autoprox.benches import BENCHES
from autoprox.benches.cifar.resnet import ResNet
from autoprox.proxies import nn_mass
from autoprox.proxies.functions.nn_mass import cell_mass
from tests.known_networks import lines


def mass(network, *shape):
    return nn_mass(network, torch.zeros(2, *shape))


class Inverted(nn.Module):
    def __init__(self, width, hidden, shortcut=True):
        super().__init__()
        self.shortcut = shortcut
        self.layers = nn.Sequential(
            nn.Conv2d(width, hidden, 1), nn.BatchNorm2d(hidden), nn.ReLU6(inplace=True),
            nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden), nn.BatchNorm2d(hidden),
            nn.ReLU6(inplace=True), nn.Conv2d(hidden, width, 1), nn.BatchNorm2d(width),
        )  # fmt: skip

    def forward(self, x):
        y = self.layers(x)
        return x + y if self.shortcut else y


class Dense(nn.Module):
    """Layer i gets the output of layer i - 1, and `skipping` channels of those before."""

    def __init__(self, width, depth, skipping, inputs=5):
        super().__init__()
        self.skipping = [min(skipping, width * max(i - 1, 0)) for i in range(depth)]
        sizes = [inputs, *[width] * (depth - 1)]
        self.layers = nn.ModuleList(
            nn.Linear(size + extra, width) for size, extra in zip(sizes, self.skipping, strict=True)
        )
        self.head = nn.Linear(width, 2)

    def forward(self, x):
        outputs = []
        for layer, extra in zip(self.layers, self.skipping, strict=True):
            if extra:
                earlier = torch.cat(outputs[:-1], 1)[:, :extra]
                x = torch.cat([x, earlier], 1)
            x = torch.nn.functional.elu(layer(x))
            outputs.append(x)
        return self.head(x)


def test_blocks_have_the_mass_of_the_paper():
    hidden, width = 48, 8
    expected = (width + 2 * hidden) * width / (2 * width + hidden)
    assert mass(Inverted(width, hidden), width, 4, 4) == pytest.approx(expected)
    assert mass(Inverted(width, hidden, shortcut=False), width, 4, 4) == 0
    twice = nn.Sequential(Inverted(width, hidden), nn.ReLU(), Inverted(width, hidden))
    assert mass(twice, width, 4, 4) == pytest.approx(2 * expected)


def test_residual_networks_by_hand():
    # Basic blocks: in + out each, downsampling ones too.
    network = ResNet(14)  # two blocks a stage
    expected = 2 * (16 + 16) + (16 + 32) + 2 * 32 + (32 + 64) + 2 * 64
    assert mass(network, 3, 32, 32) == expected


@pytest.mark.parametrize(("width", "depth", "skipping"), [(8, 6, 5), (8, 16, 10), (4, 5, 100)])
def test_concatenating_networks_by_the_formula(width, depth, skipping):
    could = [width * (i - 1) for i in range(2, depth)]
    density = sum(min(skipping, each) for each in could) / sum(could)
    found = mass(Dense(width, depth, skipping), 5)
    assert found == pytest.approx(density * width * depth)
    assert cell_mass(width, [0, 0, *(min(skipping, each) for each in could)]) == found


def test_no_skip_no_mass():
    assert mass(Dense(8, 6, 0), 5) == 0
    assert mass(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3)), 3, 8, 8) == 0


def test_a_convolution_of_one_dimension_is_as_wide_as_its_channels():
    found = [nn_mass(*case) for case in lines()]
    block = (6 + 10) * 6 / 6
    assert found[0] == found[1] > 2 * block


@pytest.mark.skipif("resnet64" not in BENCHES, reason="the bench with the accuracies is not there")
def test_it_ranks_64_residual_networks_as_published_figures_say():
    bench = autoprox.load_bench("resnet64")
    rows = {tuple(row.config["depths"]): row for row in bench.architectures}
    assert {*rows} == {*itertools.product((1, 3, 5, 7), repeat=3)}
    sizes = [mass(bench.network(row, 0), 3, 32, 32) for row in rows.values()]
    for target, expected in (("c100", 0.877), ("c100_kd", 0.902)):
        found = kendalltau(sizes, bench.accuracies(target, list(rows.values()))).statistic
        assert found == pytest.approx(expected, abs=0.005)

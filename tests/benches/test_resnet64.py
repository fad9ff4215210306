"""The bench resnet64: its figures and networks against what its authors state."""

from __future__ import annotations

import pytest
from scipy.stats import kendalltau

from autoprox.benches import Architecture, load_bench
from autoprox.benches.resnet64 import build
from autoprox.errors import BenchError


def params(depths: list[int]) -> int:
    """Parameters of a network with 100 classes, from its numbers of blocks alone."""
    total, width = 9 * 3 * 16 + 2 * 16, 16
    for wider, blocks in zip((16, 32, 64), depths, strict=True):
        total += 9 * wider * (width + wider * (2 * blocks - 1)) + 4 * wider * blocks
        total += 0 if wider == width else wider * width + 2 * wider
        width = wider
    return total + 65 * 100


def test_the_networks_have_the_parameters_that_the_authors_print() -> None:
    bench = load_bench("resnet64")
    counted = {
        architecture.name: sum(
            tensor.numel() for tensor in bench.network(architecture).parameters()
        )
        for architecture in bench.architectures
    }
    expected = {one.name: params(one.config["depths"]) for one in bench.architectures}
    assert counted == expected
    assert counted["resnet64/713"] == 259_892
    assert counted["resnet64/333"] == 278_324


def test_the_figures_rank_as_the_authors_say() -> None:
    bench = load_bench("resnet64")
    named = {one.name: one.accuracies for one in bench.architectures}
    assert named["resnet64/713"] == {"c100": 69.13, "c100_kd": 71.01}
    assert named["resnet64/333"] == {"c100": 69.57, "c100_kd": 70.76}
    tau = kendalltau(bench.accuracies("c100"), bench.accuracies("c100_kd")).statistic
    assert tau == pytest.approx(0.836, abs=5e-4)


def test_what_is_no_description_builds_no_network() -> None:
    with pytest.raises(BenchError, match=r"blocks of three stages.*got \[3\]"):
        build(Architecture("odd", "resnet64", {"depths": [3]}, {}))

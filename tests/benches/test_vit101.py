"""The bench vit101: its figures against the published ones, its networks against a formula."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import kendalltau

from autoprox.benches import Architecture, Bench, load_bench
from autoprox.benches.vit101 import build
from autoprox.errors import UnknownNameError

FILES = ("gt_autoformer", "gt_autoformer_2", "gt_pit")


@pytest.fixture(scope="module")
def bench() -> Bench:
    return load_bench("vit101")


def block(width: int, hidden: int) -> int:
    """Parameters of a block: two norms, q, k, v and projection, and the MLP."""
    return 2 * 2 * width + 4 * width * (width + 1) + (2 * width + 1) * hidden + width


def autoformer(config: Mapping[str, Any], classes: int, side: int) -> int:
    """Parameters of an AutoFormer network, from its description alone."""
    d = config["hidden_dim"]
    tables = d + ((side // 16) ** 2 + 1) * d
    blocks = sum(block(d, int(d * ratio)) for ratio in config["mlp_ratio"])
    return (3 * 16 * 16 + 1) * d + tables + blocks + 2 * d + (d + 1) * classes


def pit(config: Mapping[str, Any], classes: int, side: int) -> int:
    """Parameters of a PiT network, from its description alone."""
    widths = [config["base_dim"] * heads for heads in config["num_heads"]]
    first, last = widths[0], widths[-1]
    tables = first + ((side - 16) // 8 + 1) ** 2 * first
    blocks = sum(
        depth * block(width, int(width * config["mlp_ratio"]))
        for width, depth in zip(widths, config["depth"], strict=True)
    )
    # A depthwise convolution has nine weights and a bias for every output channel.
    poolings = sum(10 * b + (a + 1) * b for a, b in pairwise(widths))
    return (3 * 16 * 16 + 1) * first + tables + blocks + poolings + 2 * last + (last + 1) * classes


FORMULAS = {"autoformer": autoformer, "pit": pit}


def formula(architecture: Architecture, classes: int = 100, side: int = 224) -> int:
    return FORMULAS[architecture.space](architecture.config, classes, side)


def of_file(bench: Bench, file: str) -> list[Architecture]:
    return [one for one in bench.architectures if one.config["file"] == file]


def test_there_are_a_hundred_architectures_of_every_published_file(bench: Bench) -> None:
    assert [len(of_file(bench, file)) for file in FILES] == [100, 100, 100]
    assert bench.spaces == ("autoformer", "pit")
    assert bench.default_targets == ("c100_kd", "flower_kd", "chaoyang_kd")
    described = {json.dumps({**one.config, "file": ""}) for one in bench.architectures}
    assert len(described) == 300


def test_figures_are_missing_where_none_was_published(bench: Bench) -> None:
    missing = {
        (target, file)
        for target in bench.targets
        for file in FILES
        if np.isnan(bench.accuracies(target, of_file(bench, file))).any()
    }
    assert missing == {
        ("c100", "gt_autoformer_2"),
        ("flower", "gt_autoformer_2"),
        ("chaoyang", "gt_autoformer_2"),
        ("imagenet_super", "gt_pit"),
    }


def test_figures_are_the_published_ones(bench: Bench) -> None:
    folder = Path(os.environ.get("AUTOPROX_DATA", "")) / "vit101"
    if not os.environ.get("AUTOPROX_DATA") or not folder.is_dir():
        pytest.skip("AUTOPROX_DATA names no folder with vit101/gt_*.jsonl")
    for file in FILES:
        records = map(json.loads, (folder / f"{file}.jsonl").read_text().splitlines())
        for record, one in zip(records, of_file(bench, file), strict=True):
            assert {**record["arch"], "file": file} == one.config
            for target in bench.targets:
                word, kind = target.rsplit("_", 1) if "_" in target else (target, "base")
                published = record.get(f"{word}_{kind}_acc")
                figure = one.accuracies[target]
                assert (figure is None) == (published is None)
                assert figure is None or abs(figure - published) <= 0.5001e-4


@pytest.mark.parametrize("space", ["autoformer", "pit"])
def test_networks_have_the_parameters_of_the_formula(bench: Bench, space: str) -> None:
    ordered = sorted(bench.in_space(space), key=formula)
    for architecture in (ordered[0], ordered[37], ordered[-1]):
        with torch.device("meta"):
            network = build(architecture)
        assert sum(p.numel() for p in network.parameters()) == formula(architecture)


@pytest.mark.parametrize(
    ("file", "least", "most"),
    [("gt_autoformer", 5.28, 9.75), ("gt_autoformer_2", 5.10, 9.75), ("gt_pit", 0.16, 29.47)],
)
def test_parameter_counts_span_the_published_range(
    bench: Bench, file: str, least: float, most: float
) -> None:
    millions = [formula(one) / 1e6 for one in of_file(bench, file)]
    assert round(min(millions), 2) == least
    assert round(max(millions), 2) == most


@pytest.mark.parametrize(
    ("file", "taus"),
    [
        ("gt_autoformer", (0.548, 0.700, 0.315)),
        ("gt_autoformer_2", (0.416, 0.744, 0.374)),
        ("gt_pit", (0.817, 0.865, 0.564)),
    ],
)
def test_the_parameter_count_ranks_as_published(
    bench: Bench, file: str, taus: tuple[float, ...]
) -> None:
    architectures = of_file(bench, file)
    counts = [formula(one) for one in architectures]
    for target, tau in zip(bench.default_targets, taus, strict=True):
        measured = kendalltau(counts, bench.accuracies(target, architectures)).statistic
        assert measured == pytest.approx(tau, abs=1e-3)


@pytest.mark.parametrize("space", ["autoformer", "pit"])
@pytest.mark.parametrize(("classes", "side"), [(4, 64), (102, 48)])
def test_classes_and_image_size_can_be_changed(
    bench: Bench, space: str, classes: int, side: int
) -> None:
    architecture = min(bench.in_space(space), key=formula)
    network = build(architecture, classes=classes, image_size=side)
    assert sum(p.numel() for p in network.parameters()) == formula(architecture, classes, side)
    assert network(torch.ones(2, 3, side, side)).shape == (2, classes)


def test_weights_and_biases_start_as_published(bench: Bench) -> None:
    for space in bench.spaces:
        network = bench.network(bench.in_space(space)[0])
        for name, module in network.named_modules():
            if isinstance(module, torch.nn.Linear):
                assert not module.bias.any(), name
                assert module.weight.mean().abs() < 3 * 0.02 / module.weight.numel() ** 0.5 + 1e-4
                assert module.weight.std().item() == pytest.approx(0.02, rel=0.05), name
        for name in ("class_token", "positions"):
            assert network.get_parameter(name).std().item() == pytest.approx(0.02, rel=0.25)


def test_layers_have_readable_names(bench: Bench) -> None:
    with torch.device("meta"):
        networks = [build(bench.in_space(space)[0]) for space in bench.spaces]
    names = {name for network in networks for name, _ in network.named_modules()}
    assert {
        "patch_embedding",
        "blocks.3.attention.qkv",
        "blocks.3.attention.projection",
        "blocks.3.mlp.fc1",
        "blocks.3.mlp.fc2",
        "stages.1.0.attention.qkv",
        "poolings.1.convolution",
        "poolings.0.token",
        "head",
    } <= names


class ByHand:
    """The layers of a network in float64, with explicit softmax, loops and formulas."""

    def __init__(self, network: torch.nn.Module) -> None:
        self.weights = {name: p.detach().double() for name, p in network.named_parameters()}

    def norm(self, x: torch.Tensor, name: str) -> torch.Tensor:
        centred = x - x.mean(-1, keepdim=True)
        scale = (centred.square().mean(-1, keepdim=True) + 1e-6).sqrt()
        return centred / scale * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]

    def affine(self, x: torch.Tensor, name: str) -> torch.Tensor:
        return x @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]

    def patches(self, images: torch.Tensor, stride: int) -> torch.Tensor:
        """Every 16 x 16 patch as one row, times the kernel: ``(batch, patches, width)``."""
        pieces = images.double().unfold(2, 16, stride).unfold(3, 16, stride)
        pieces = pieces.permute(0, 2, 3, 1, 4, 5).flatten(3).flatten(1, 2)
        kernel = self.weights["patch_embedding.weight"].flatten(1)
        return pieces @ kernel.T + self.weights["patch_embedding.bias"]

    def block(self, x: torch.Tensor, name: str, heads: int) -> torch.Tensor:
        d = x.shape[-1]
        q, k, v = self.affine(
            self.norm(x, f"{name}.attention_norm"), f"{name}.attention.qkv"
        ).split(d, dim=-1)
        outputs = []
        for start in range(0, d, d // heads):
            one = slice(start, start + d // heads)
            weights = (q[..., one] @ k[..., one].mT / (d // heads) ** 0.5).softmax(-1)
            outputs.append(weights @ v[..., one])
        x = x + self.affine(torch.cat(outputs, -1), f"{name}.attention.projection")
        hidden = self.affine(self.norm(x, f"{name}.mlp_norm"), f"{name}.mlp.fc1")
        hidden = hidden * 0.5 * (1 + torch.erf(hidden / 2**0.5))
        return x + self.affine(hidden, f"{name}.mlp.fc2")

    def pooling(self, x: torch.Tensor, name: str) -> torch.Tensor:
        """The depthwise convolution, one output position and channel group at a time."""
        kernel = self.weights[f"{name}.convolution.weight"]
        side, width, copies = math.isqrt(x.shape[1] - 1), x.shape[2], len(kernel) // x.shape[2]
        image = torch.zeros(len(x), side + 2, side + 2, width, dtype=x.dtype)
        image[:, 1:-1, 1:-1] = x[:, 1:].reshape(len(x), side, side, width)
        image = image.repeat_interleave(copies, dim=-1)
        tokens = [self.affine(x[:, :1], f"{name}.token")]
        for row in range(0, side, 2):
            for column in range(0, side, 2):
                piece = image[:, row : row + 3, column : column + 3]
                total = (piece * kernel[:, 0].permute(1, 2, 0)).sum((1, 2))
                tokens.append((total + self.weights[f"{name}.convolution.bias"]).unsqueeze(1))
        return torch.cat(tokens, 1)


def autoformer_by_hand(
    network: torch.nn.Module, config: Mapping[str, Any], images: torch.Tensor
) -> torch.Tensor:
    hand = ByHand(network)
    token = hand.weights["class_token"].expand(len(images), -1, -1)
    x = torch.cat([token, hand.patches(images, stride=16)], 1) + hand.weights["positions"]
    for index, heads in enumerate(config["num_heads"]):
        x = hand.block(x, f"blocks.{index}", heads)
    return hand.affine(hand.norm(x, "norm")[:, 1:].mean(1), "head")


def pit_by_hand(
    network: torch.nn.Module, config: Mapping[str, Any], images: torch.Tensor
) -> torch.Tensor:
    hand = ByHand(network)
    token = hand.weights["class_token"].expand(len(images), -1, -1)
    positions = hand.weights["positions"].flatten(2).mT
    x = torch.cat([token, hand.patches(images, stride=8) + positions], 1)
    for stage, (heads, depth) in enumerate(zip(config["num_heads"], config["depth"], strict=True)):
        if stage:
            x = hand.pooling(x, f"poolings.{stage - 1}")
        for index in range(depth):
            x = hand.block(x, f"stages.{stage}.{index}", heads)
    return hand.affine(hand.norm(x, "norm")[:, 0], "head")


@pytest.mark.parametrize(
    ("space", "by_hand"), [("autoformer", autoformer_by_hand), ("pit", pit_by_hand)]
)
def test_logits_equal_those_written_out_by_hand(
    bench: Bench, space: str, by_hand: Callable[..., torch.Tensor]
) -> None:
    architecture = min(bench.in_space(space), key=formula)
    network = build(architecture, classes=7, image_size=48)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():  # biases and norms that do something
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.05)
        images = torch.randn(2, 3, 48, 48, generator=generator)
        expected = by_hand(network, architecture.config, images)
        assert expected.std() > 0.1
        torch.testing.assert_close(network(images).double(), expected, rtol=1e-4, atol=1e-4)


def test_pit_pools_the_map_and_reads_the_class_token(bench: Bench) -> None:
    network: Any = build(bench.in_space("pit")[1], image_size=224)
    sides = []
    for pooling in network.poolings:
        pooling.register_forward_hook(lambda _, args, out: sides.append((args[0], out)))
    seen = []
    network.norm.register_forward_hook(lambda _, args, out: seen.append(args[0]))
    with torch.no_grad():
        network(torch.zeros(1, 3, 224, 224))
    tokens = [pair[0].shape[1] - 1 for pair in sides] + [sides[-1][1].shape[1] - 1]
    assert tokens == [27**2, 14**2, 7**2]
    assert seen[0].shape == (1, network.head.in_features)


def test_a_space_that_vit101_has_not_is_refused(bench: Bench) -> None:
    with pytest.raises(UnknownNameError, match="unknown space 'swin'"):
        build(Architecture("x", "swin", {}, {}))


def test_building_the_largest_autoformer_takes_well_under_half_a_second(bench: Bench) -> None:
    largest = max(bench.in_space("autoformer"), key=formula)
    seconds = []
    for _ in range(3):
        start = time.process_time()
        bench.network(largest)
        seconds.append(time.process_time() - start)
    assert min(seconds) < 0.5

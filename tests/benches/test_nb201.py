"""The bench nb201: its figures, its networks against formulas, its classes against functions."""

from __future__ import annotations

import csv
import os
import random
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import kendalltau
from torch import nn

import autoprox
from autoprox.benches import Architecture, Bench, load_bench, split
from autoprox.benches.cells import OPERATIONS, Cell
from autoprox.benches.nb201 import COSTS, build, costs
from autoprox.statistics import measure, noise

DEAD = "000000"


@pytest.fixture(scope="module")
def bench() -> Bench:
    return load_bench("nb201")


pytestmark = pytest.mark.usefixtures("one_thread")


def of(cell: str) -> Architecture:
    return Architecture(f"nb201/{cell}", "nb201", {"cell": cell}, {})


def parameters(cell: str) -> int:
    """Parameters of a network, from its description alone: every convolution has a norm."""
    total = 3 * 9 * 16 + 2 * 16 + 2 * 64 + 64 * 10 + 10
    for width in (16, 32, 64):
        for digit in cell:
            kernel = {"2": 1, "3": 9}.get(digit, 0)
            total += 5 * ((kernel * width + 2) * width if kernel else 0)
    for width in (16, 32):
        wider = 2 * width
        total += (9 * width + 2) * wider + (9 * wider + 2) * wider + width * wider
    return total


def products(cell: str) -> int:
    """Multiplications of a network on one image, from its description alone."""
    total = 3 * 9 * 16 * 32 * 32 + 64 * 10
    for width, side in ((16, 32), (32, 16), (64, 8)):
        for digit in cell:
            total += 5 * {"2": 1, "3": 9}.get(digit, 0) * width * width * side * side
    for width, side in ((16, 16), (32, 8)):
        total += (9 * width + 9 * 2 * width + width) * 2 * width * side * side
    return total


# The table


def test_every_cell_is_there_once(bench: Bench) -> None:
    cells = {one.config["cell"] for one in bench.architectures}
    assert len(bench.architectures) == len(cells) == 5**6
    assert all(len(cell) == 6 and set(cell) <= set("01234") for cell in cells)
    assert bench.spaces == ("nb201",)


def test_the_best_accuracies_are_the_published_optima(bench: Bench) -> None:
    best = [round(float(bench.accuracies(target).max()), 2) for target in bench.default_targets]
    assert best == [94.37, 73.51, 47.31]


def test_figures_and_order_are_the_published_ones(bench: Bench) -> None:
    path = Path(os.environ.get("AUTOPROX_DATA", "nowhere"), "nb201", "nb201_acc.csv")
    if not path.is_file():
        pytest.skip("AUTOPROX_DATA names no folder with nb201/nb201_acc.csv")
    columns = {"c10": "cifar10", "c100": "cifar100", "in16": "imagenet16_120"}
    classes: dict[str, str | None] = {}
    with path.open() as file:
        for one, row in zip(bench.architectures, csv.DictReader(file), strict=True):
            digits = iter(one.config["cell"])
            nodes = [
                "".join(f"|{OPERATIONS[int(next(digits))]}~{start}" for start in range(end)) + "|"
                for end in (1, 2, 3)
            ]
            assert "+".join(nodes) == row["arch_str"]
            for target, figure in one.accuracies.items():
                word, _, epochs = target.partition("_")
                published = float(row[f"{columns[word]}_test_{epochs or 200}"])
                assert figure is not None
                assert abs(figure - published) <= 0.5001e-3
            assert classes.setdefault(row["isomorph"], one.isomorph) == one.isomorph
    assert len(classes) == 6466  # the published classes, each inside one of ours


def test_the_parameter_count_ranks_all_cells_as_published(bench: Bench) -> None:
    """.57, .55 and .52 in ZiCo (Li et al., ICLR 2023)."""
    counts = [parameters(one.config["cell"]) for one in bench.architectures]
    taus = [kendalltau(counts, bench.accuracies(name)).statistic for name in bench.default_targets]
    assert taus == pytest.approx([0.57, 0.55, 0.52], abs=0.01)


def test_the_parameter_count_ranks_the_default_sample_as_the_caveat_says(bench: Bench) -> None:
    sample = bench.sampled(1000)
    counts = [parameters(one.config["cell"]) for one in sample.architectures]
    taus = [
        kendalltau(counts, sample.accuracies(name)).statistic for name in sample.default_targets
    ]
    assert [round(tau, 2) for tau in taus] == [0.60, 0.57, 0.53]


def test_flops_order_the_cells_as_parameters_do(bench: Bench) -> None:
    cells = [one.config["cell"] for one in bench.architectures]
    pairs = sorted({(parameters(cell), products(cell)) for cell in cells})
    assert all(a < c and b < d for (a, b), (c, d) in pairwise(pairs))


def test_a_search_has_the_usual_statistics_without_attention_and_that_of_meco(
    bench: Bench,
) -> None:
    from autoprox.evolution.settings import DEFAULT_STATISTICS

    assert bench.default_statistics is not None
    measured = set(bench.default_statistics)
    assert measured - set(DEFAULT_STATISTICS) == set(autoprox.load("meco").statistics)
    assert set(DEFAULT_STATISTICS) - measured == {"attention", "heads"}


# Classes


class Sharing:
    """Computes cells whose convolutions of one size are one and the same, without norms."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        self.input = torch.randn(1, 2, 4, 4, generator=generator, dtype=torch.float64)
        self.kernels = {
            side: torch.randn(2, 2, side, side, generator=generator, dtype=torch.float64)
            for side in (1, 3)
        }

    def __call__(self, cell: str) -> tuple[int, ...]:
        """What the cell makes of the input, to six decimals."""
        module: Any = Cell(cell, 2).double()
        for place, edge in enumerate(module.edges):
            if hasattr(edge, "conv"):
                edge.conv.weight = nn.Parameter(self.kernels[edge.conv.kernel_size[0]])
                module.edges[place] = nn.Sequential(edge.conv, nn.Tanh())
        with torch.no_grad():
            return tuple((module(self.input).flatten() * 1e6).round().long().tolist())


def assert_classes_are_functions(cells: dict[str, str | None]) -> None:
    """Cells are of one class if, and only if, they compute the same."""
    compute = Sharing()
    functions: dict[tuple[int, ...], str | None] = {}
    for cell, isomorph in cells.items():
        assert functions.setdefault(compute(cell), isomorph) == isomorph, cell
    assert len(set(functions.values())) == len(functions)


def classes_of(bench: Bench) -> dict[str, str | None]:
    return {one.config["cell"]: one.isomorph for one in bench.architectures}


def test_classes_are_named_by_their_first_cell(bench: Bench) -> None:
    classes = classes_of(bench)
    assert len(set(classes.values())) == 4660
    for cell, isomorph in classes.items():
        assert isomorph is not None
        assert isomorph <= cell
        assert classes[isomorph] == isomorph


def test_cells_of_one_class_compute_the_same_and_others_do_not(bench: Bench) -> None:
    classes = classes_of(bench)
    drawn = random.Random(0).sample(sorted(set(classes.values()), key=str), 200)
    assert_classes_are_functions({c: i for c, i in classes.items() if i in drawn})


@pytest.mark.slow
def test_all_classes_are_functions(bench: Bench) -> None:
    assert_classes_are_functions(classes_of(bench))


def test_cells_without_a_path_stay_at_chance(bench: Bench) -> None:
    dead = [one for one in bench.architectures if one.isomorph == DEAD]
    assert len(dead) == 341
    assert set(bench.accuracies("c10", dead)) == {10.0}
    alive = [one for one in bench.architectures if one.isomorph != DEAD]
    assert bench.accuracies("c10", alive).min() > 10.0


def test_no_class_is_split(bench: Bench) -> None:
    parts = split(bench, seed=0)
    sides = [
        {bench.architectures[index].isomorph for index in part}
        for part in (parts.search, parts.held_out)
    ]
    assert not sides[0] & sides[1]


# Networks


@pytest.mark.parametrize(
    ("cell", "millions"), [("333333", 1.531546), ("111111", 0.073306), (DEAD, 0.073306)]
)
def test_parameters_are_the_published_ones(cell: str, millions: float) -> None:
    with torch.device("meta"):
        network = build(of(cell))
    count = sum(p.numel() for p in network.parameters())
    assert count == parameters(cell) == round(millions * 1e6)


def test_parameters_and_flops_follow_the_formulas(bench: Bench) -> None:
    inputs, targets = noise((3, 32, 32), 10, batch=2)
    for one in random.Random(1).sample(bench.architectures, 4):
        measured = measure(bench.network(one), inputs, targets, ["params", "flops"])
        cell = one.config["cell"]
        sums = {name: measured.values[name].sum().item() for name in ("params", "flops")}  # type: ignore[union-attr]
        assert sums == {"params": parameters(cell), "flops": 2 * products(cell)}


def test_the_largest_network_has_the_published_flops() -> None:
    assert products("333333") / 1e6 == pytest.approx(220.12, abs=0.005)


def test_logits_equal_those_written_out_by_hand() -> None:
    """Of a cell with every operation, in evaluation mode, with norms that do something."""
    network: Any = build(of("423103"))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if tensor.ndim == 1:
                drawn = torch.rand(tensor.shape, generator=generator)
                tensor.copy_(drawn + 0.5 if name.endswith(("weight", "var")) else drawn - 0.5)
    network.eval().double()
    state = network.state_dict()

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        mean, var, weight, bias = (
            state[f"{name}.{part}"][:, None, None]
            for part in ("running_mean", "running_var", "weight", "bias")
        )
        scaled: torch.Tensor = (x - mean) / (var + 1e-5).sqrt() * weight + bias
        return scaled

    def block(x: torch.Tensor, name: str, stride: int = 1) -> torch.Tensor:
        weight = state[f"{name}.conv.weight"]
        x = torch.conv2d(x.clamp(min=0), weight, stride=stride, padding=weight.shape[-1] // 2)
        return norm(x, f"{name}.norm")

    def pooled(x: torch.Tensor) -> torch.Tensor:
        ones = torch.ones(x.shape[1], 1, 3, 3, dtype=x.dtype)
        total = torch.conv2d(x, ones, padding=1, groups=x.shape[1])
        return total / torch.conv2d(torch.ones_like(x), ones, padding=1, groups=x.shape[1])

    images = torch.randn(2, 3, 32, 32, generator=generator).double()
    x = norm(torch.conv2d(images, state["stem.0.weight"], padding=1), "stem.1")
    for stage in range(3):
        if stage:
            name = f"reductions.{stage - 1}"
            short = x.unfold(2, 2, 2).unfold(3, 2, 2).mean((-1, -2))
            short = torch.conv2d(short, state[f"{name}.shortcut.weight"])
            x = short + block(block(x, f"{name}.first", stride=2), f"{name}.second")
        for cell in range(5):
            edges = f"stages.{stage}.{cell}.edges"
            one = pooled(x)
            two = block(x, f"{edges}.1") + block(one, f"{edges}.2")
            x = x + block(two, f"{edges}.5")
    x = norm(x, "norm").clamp(min=0).mean((2, 3))
    expected = x @ state["head.weight"].T + state["head.bias"]
    assert expected.std() > 0.1
    torch.testing.assert_close(network(images), expected)


def test_trained_weights_of_the_published_code_are_accurate_in_our_network() -> None:
    """Cell 2566 of the published index; 90.8 % on the whole test set."""
    data = Path(os.environ.get("AUTOPROX_DATA", "nowhere"))
    path, pictures = (
        data / "weights/nb201_2566_mpq_200ep.pth",
        data / "images/cifar10_test_10000.npz",
    )
    if not path.is_file() or not pictures.is_file():
        pytest.skip(f"AUTOPROX_DATA names no folder with {path.name} and {pictures.name}")
    network = build(of("033123"))
    ours, theirs = network.state_dict(), torch.load(path, "cpu", weights_only=True)
    # Both list stem, cells and reductions in their own order; within each, the same.
    order = [*range(5), "r0", *range(5, 10), "r1", *range(10, 15)]
    names = {str(place): name for place, name in enumerate(order)}
    for key, tensor in theirs.items():
        ours[_renamed(key, names)].copy_(tensor)
    with np.load(pictures) as archive:
        x, y = torch.from_numpy(archive["x"][:500]), torch.from_numpy(archive["y"][:500])
    mean = torch.tensor((0.4914, 0.4822, 0.4465))
    deviation = torch.tensor((0.2470, 0.2435, 0.2616))
    with torch.no_grad():
        logits = network.eval()(((x / 255 - mean) / deviation).permute(0, 3, 1, 2))
    assert (logits.argmax(1) == y).float().mean() > 0.85


def _renamed(key: str, names: dict[str, Any]) -> str:
    """Our name of a published parameter."""
    head, _, rest = key.partition(".")
    if head == "lastact":
        return rest.replace("0.", "norm.")
    if head != "cells":
        return key.replace("classifier", "head")
    place, _, rest = rest.partition(".")
    rest = rest.replace("op.1", "conv").replace("op.2", "norm")
    name = names[place]
    if isinstance(name, str):
        rest = rest.replace("conv_a", "first").replace("conv_b", "second")
        return f"reductions.{name[1]}.{rest.replace('downsample.1', 'shortcut')}"
    return f"stages.{name // 5}.{name % 5}.{rest.replace('layers', 'edges')}"


def test_the_loss_reaches_the_layers_of_cells_with_dead_branches(bench: Bench) -> None:
    inputs, targets = noise((3, 32, 32), 10, batch=4)
    for cell in ("003333", DEAD, "330330"):
        network = bench.network(of(cell))
        assert bench.default_statistics is not None
        measured = measure(network, inputs, targets, bench.default_statistics, sample=16)
        assert len(measured.layers) == sum(p.ndim > 1 for p in network.parameters())
        gradients = measured.values["grad"]
        assert isinstance(gradients, torch.Tensor)
        assert gradients.isfinite().all()
        assert gradients[-1].any() == (cell != DEAD)  # else the head sees zeros only


def test_weights_start_as_torch_leaves_them(bench: Bench) -> None:
    network: Any = bench.network(of("333333"))
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            bound = module.weight[0].numel() ** -0.5
            assert module.weight.abs().max() <= bound
            assert module.weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.2)
        if isinstance(module, nn.BatchNorm2d):
            assert (module.weight == 1).all()
            assert (module.bias == 0).all()


# Samples


def test_a_sample_has_one_cell_of_a_class(bench: Bench) -> None:
    sample = bench.sampled(1000)
    assert len({one.isomorph for one in sample.architectures}) == 1000
    places = {one.name: place for place, one in enumerate(bench.architectures)}
    order = [places[one.name] for one in sample.architectures]
    assert order == sorted(order)
    assert sample.default_architectures is None


def test_a_sample_beyond_the_classes_has_all_of_them(bench: Bench) -> None:
    sample = bench.sampled(5000, seed=1)
    assert len({one.name for one in sample.architectures}) == 5000
    assert len({one.isomorph for one in sample.architectures}) == 4660


def test_a_run_draws_the_default_number(bench: Bench, tmp_path: Path) -> None:
    from autoprox.evolution.settings import Settings
    from autoprox.runs.ground import lay

    ground = lay("nb201", Settings(bench="nb201"), tmp_path)
    assert ground.settings.architectures == len(ground.bench.architectures) == 1000
    assert len(ground.search) + len(ground.held_out) == 1000
    again = lay("nb201", ground.settings, tmp_path)
    assert again.digest == ground.digest
    fewer = lay("nb201", Settings(bench="nb201", architectures=100), tmp_path)
    assert len(fewer.rows) == 100


def test_a_sample_is_the_same_in_any_process(bench: Bench) -> None:
    script = (
        "from autoprox.benches import load_bench\n"
        "print(*(one.name for one in load_bench('nb201').sampled(10, 3).architectures))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert answer.stdout.split() == [one.name for one in bench.sampled(10, 3).architectures]


# Further targets and costs


def test_cells_without_a_path_have_one_figure_on_each_further_target(bench: Bench) -> None:
    dead = [one for one in bench.architectures if one.isomorph == DEAD]
    for target in ("ninapro", "darcy"):
        assert len(dead) == 341
        assert len({one.accuracies[target] for one in dead}) == 1


def test_further_targets_rank_the_cells_otherwise(bench: Bench) -> None:
    taus = [
        kendalltau(bench.accuracies("c100"), bench.accuracies(target)).statistic
        for target in ("ninapro", "darcy")
    ]
    assert taus == pytest.approx([0.19, 0.31], abs=0.01)
    assert not {"ninapro", "darcy"} & set(bench.default_targets)


def test_costs_are_in_the_order_of_the_cells(bench: Bench) -> None:
    table = costs()
    assert tuple(table) == COSTS
    assert all(column.shape == (len(bench.architectures),) for column in table.values())
    assert np.isnan(table["edgetpu_ms"]).sum() == 4699
    assert not np.isnan(table["pi5_litert_mj"]).any()
    taus = [
        kendalltau(table[name], bench.accuracies("c10")).statistic
        for name in ("raspi4_ms", "pixel3_ms", "edgegpu_mj", "edgegpu_ms")
    ]
    assert taus == pytest.approx([0.485, 0.44, 0.339, 0.309], abs=0.01)
    convolutions = [
        sum({"2": 1, "3": 9}.get(digit, 0) for digit in one.config["cell"])
        for one in bench.architectures
    ]
    assert kendalltau(convolutions, table["pi5_litert_ms"]).statistic > 0.6

"""Programs of many reductions against the reductions one by one."""

import dataclasses
from unittest.mock import patch

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import autoprox
from autoprox.evaluation.blocks import Block
from autoprox.evaluation.evaluate import Table, reduces_tensor
from autoprox.evaluation.program import Program
from autoprox.evolution.settings import DEFAULT_STATISTICS
from autoprox.evolution.variation import Variation
from autoprox.evolution.vocabulary import Vocabulary
from autoprox.language.text import parse
from autoprox.primitives import PRIMITIVES, primitive
from autoprox.statistics import STATISTICS, measure, noise, statistic
from tests.evolution.test_variation import drawn
from tests.tiny_bench import bench

VARIATION = Variation(Vocabulary(DEFAULT_STATISTICS))


@pytest.fixture(scope="module", params=[64, "full"])
def measurement(request):
    network = bench.network(bench.architectures[3])
    batch = noise(bench.input_shape, bench.classes, batch=8, seed=0)
    return measure(network, *batch, DEFAULT_STATISTICS, sample=request.param)


def present(measurement, reduction):
    """Return which layers have all of a reduction's statistics."""
    masks = [measurement.present[name] for name in reduction.statistics]
    return torch.stack(masks).all(0)


@settings(max_examples=30)
@given(st.integers(0, 10**6))
def test_reductions_in_one_program_are_those_one_by_one(measurement, seed):
    def draw():
        return [VARIATION.mutated(VARIATION.random()) for _ in range(5)]

    graphs = drawn(seed, draw)
    reductions = [
        node for node in dict.fromkeys(n for g in graphs for n in g) if reduces_tensor(node)
    ]
    if not reductions:
        return
    together = Program(reductions)(Block((measurement,)))
    assert together.shape == (len(reductions), len(measurement.layers))
    for row, reduction in zip(together, reductions, strict=True):
        there = present(measurement, reduction)
        alone = Program([reduction])(Block((measurement,)))[0]
        assert torch.equal(row[there].nan_to_num(7), alone[there].nan_to_num(7))


def test_a_number_stands_beside_entries_of_every_kind(measurement):
    reductions = [parse("mean(add(weight, 0.5))"), parse("mean(add(act, 0.5))"), parse("mean(act)")]
    weight, act, plain = Program(reductions)(Block((measurement,)))
    there = measurement.present["act"]
    assert torch.allclose(act[there] - 0.5, plain[there], atol=1e-6)
    assert weight.shape == act.shape


def test_a_repeated_sub_expression_is_computed_once(measurement, monkeypatch):
    calls = []
    made = PRIMITIVES["square"]

    def counted(x):
        calls.append(x.shape)
        return made.function(x)

    replaced = {"square": dataclasses.replace(made, function=counted)}
    with patch.dict(PRIMITIVES._members, replaced):  # their order decides what a search draws
        program = Program([parse("sum(square(weight))"), parse("max(exp(square(weight)))")])
        program(Block((measurement,)))
    assert len(calls) == (len(measurement.layers) if measurement.sample == "full" else 1)


def test_some_networks_of_a_table_are_reduced_as_all_are(measurement):
    table = Table((measurement,) * 3)
    reductions = [parse("mean(weight)"), parse("std(act)")]
    assert torch.equal(table.reduced(reductions, (2, 0)), table.reduced(reductions)[:, [2, 0]])
    assert table.reduced(reductions, ()).shape == (len(reductions), 0, table.widest)


def test_a_primitive_that_is_defined_anew_is_used_anew(measurement):
    def define(factor):
        @primitive("elementwise", latex="{0}")
        def turned(x):
            """A multiple."""
            return x * factor

    table, found = Table((measurement,)), []
    for factor in (1.0, -1.0):
        define(factor)
        try:
            found.append(table.reduced([parse("max(turned(weight))"), parse("mean(weight)")])[0])
        finally:
            PRIMITIVES.unregister("turned")
    assert not torch.equal(*found)


@pytest.fixture
def thirds():
    def thirds(network, inputs, targets):
        """Three numbers of each weight."""
        names = [name for name, weight in network.named_parameters() if weight.ndim > 1]
        return dict.fromkeys(names, torch.tensor([1.0, 2.0, 3.0]))

    statistic("Spectrum", latex="x", needs_labels=False)(thirds)
    yield
    STATISTICS.unregister("thirds")


@pytest.mark.usefixtures("thirds")
@pytest.mark.parametrize("sample", [48, "full"])
def test_spectra_of_other_lengths_meet_by_relative_rank_and_are_as_many_as_the_longest(sample):
    network = nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 12))
    values = [np.linalg.svd(layer.weight.detach(), compute_uv=False) for layer in network[::2]]
    plain, shared = (
        autoprox.load(f"sum(sum(multiply(weight_spectrum, {other})))")(
            network, torch.zeros(2, 8), sample=sample
        )
        for other in ("thirds", "share(thirds)")
    )
    expected = sum(float(six @ np.array([3, 3, 2, 2, 1, 1])) for six in values)
    assert plain == pytest.approx(expected, rel=1e-5)
    assert shared == pytest.approx(expected / (1 + 2 + 3), rel=1e-5)

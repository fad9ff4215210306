"""Blocks: several measurements computed as one, to the last bit as each alone."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from autoprox.evaluation import blocks
from autoprox.evaluation.blocks import Block, Budget, Extent, cut, extent
from autoprox.evaluation.evaluate import Table, reduces_tensor
from autoprox.evaluation.program import Program
from autoprox.evolution.settings import DEFAULT_STATISTICS
from autoprox.evolution.variation import Variation
from autoprox.evolution.vocabulary import Vocabulary
from autoprox.language.text import parse
from autoprox.primitives import PRIMITIVES
from autoprox.statistics import measure, noise
from tests.evolution.test_variation import drawn
from tests.tiny_bench import bench

VARIATION = Variation(Vocabulary(DEFAULT_STATISTICS, tuple(PRIMITIVES)))


def measured(sample):
    batch = noise(bench.input_shape, bench.classes, batch=8, seed=0)
    return [
        measure(bench.network(each), *batch, DEFAULT_STATISTICS, sample=sample)
        for each in bench.architectures[:7]
    ]


@pytest.fixture(scope="module")
def measurements():
    return measured(64)


@settings(max_examples=40)
@given(st.integers(0, 10**6))
def test_a_block_gives_each_network_what_it_gives_alone(measurements, seed):
    graph = drawn(seed, lambda: VARIATION.mutated(VARIATION.random()))
    reductions = [node for node in graph if reduces_tensor(node)]
    if not reductions:
        return
    block = Block(measurements)
    together = torch.split(Program(reductions)(block), block.layers, 1)
    for measurement, own in zip(measurements, together, strict=True):
        alone = Program(reductions)(Block([measurement]))
        assert own.shape == (len(reductions), len(measurement.layers))
        assert torch.equal(own.nan_to_num(7), alone.nan_to_num(7))


def test_what_a_block_gives_is_computed_on_its_device(measurements, monkeypatch):
    # "meta" has shapes and no numbers, and refuses what lies on another device, as a GPU does.
    full = measured("full")[:1]
    monkeypatch.setattr(torch.Tensor, "__bool__", lambda _: False)
    monkeypatch.setattr(
        "torch.fx.experimental._config.meta_nonzero_assume_all_nonzero", True, raising=False
    )
    graphs = drawn(0, lambda: [VARIATION.mutated(VARIATION.random()) for _ in range(200)])
    graphs.append(parse("sum(mean(coarsen(weight)))"))  # rare words, whatever is drawn
    reductions = [n for n in dict.fromkeys(n for g in graphs for n in g) if reduces_tensor(n)]
    words = {node.word for each in reductions for node in each}
    assert {"softmax", "entropy", "std", "coarsen", "log_determinant", "add"} <= words
    for several in (measurements, measurements[:1], full):
        block = Block(several, device=torch.device("meta"))
        found = Program(reductions)(block)
        assert (found.device, found.dtype) == (block.device, torch.float64)
        assert found.shape == (len(reductions), sum(block.layers))


@given(
    st.lists(
        st.tuples(st.sampled_from([None, (), (("act", torch.float32, (8,)),)]), st.integers(0, 99)),
        max_size=30,
    )
)
def test_blocks_hold_neighbours_of_one_shape_within_the_limit(drawn_extents):
    extents = [Extent(shape, numbers * 2**11) for shape, numbers in drawn_extents]
    found = cut(extents)
    assert [place for block in found for place in block] == list(range(len(extents)))
    for block in found:
        assert len({extents[place].shape for place in block}) == 1
        if len(block) > 1:
            assert extents[block[0]].shape is not None
            assert sum(extents[place].numbers for place in block) <= blocks.BLOCK_NUMBERS


def test_full_tensors_stand_alone():
    (first, second, *_) = measured("full")
    assert [len(each) for each in cut([extent(first), extent(second)])] == [1, 1]


def test_what_is_kept_of_stacked_statistics_stays_within_the_budget(measurements):
    stacked = Block(measurements).values("act").nbytes
    budget = Budget(stacked)
    block = Block(measurements, budget)
    assert block.values("act") is block.values("act")
    assert block.values("weight") is not block.values("weight")
    assert budget.left == 0
    assert torch.equal(block.values("weight"), Block(measurements).values("weight"))


def test_a_table_reduces_its_measurements_as_each_alone(measurements):
    table = Table(tuple(measurements))
    assert len(table.blocks()) < len(measurements)
    reductions = [parse("sum(absolute(act))"), parse("std(weight)")]
    together = table.reduced(reductions)
    for place, measurement in enumerate(measurements):
        alone = Table((measurement,)).reduced(reductions)[:, 0]
        assert torch.equal(together[:, place, : alone.shape[1]], alone)
        assert not together[:, place, alone.shape[1] :].any()


@pytest.mark.parametrize("count", [1, 2, 3, 50])
def test_parts_are_whole_blocks_and_give_what_the_table_gives(measurements, count, monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK_NUMBERS", 2 * extent(measurements[0]).numbers)
    table = Table(tuple(measurements))
    parts = table.parts(count)
    assert [place for part in parts for place in part] == list(range(len(measurements)))
    assert len(parts) == min(count, len(table.blocks()))
    reduction = [parse("std(act)")]
    together = torch.cat([table.reduced(reduction, part) for part in parts], 1)
    assert torch.equal(together, table.reduced(reduction))

"""What every registered bench promises."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from autoprox.benches import BENCHES, MINIMUM_ARCHITECTURES, Architecture, Bench, load_bench, split
from autoprox.errors import MissingTableError


@pytest.fixture(params=sorted(BENCHES))
def bench(request: pytest.FixtureRequest) -> Bench:
    try:
        return load_bench(request.param)
    except MissingTableError as error:
        pytest.skip(str(error))


def samples(bench: Bench) -> list[Architecture]:
    """The first architecture of every space."""
    return [bench.in_space(space)[0] for space in bench.spaces]


def test_a_bench_says_where_its_figures_come_from(bench: Bench) -> None:
    assert bench.name in BENCHES
    for text in (bench.description, bench.citation, bench.source, bench.version, *bench.caveats):
        assert text.strip() == text != ""


def test_names_are_unique_and_every_space_can_be_split(bench: Bench) -> None:
    names = [one.name for one in bench.architectures]
    assert len(set(names)) == len(names)
    for space in bench.spaces:
        assert len(bench.in_space(space)) >= MINIMUM_ARCHITECTURES
    assert sum(len(bench.in_space(space)) for space in bench.spaces) == len(names)


def test_default_targets_rank_every_space(bench: Bench) -> None:
    for space in bench.spaces:
        columns = [bench.accuracies(each, bench.in_space(space)) for each in bench.default_targets]
        known = [np.isfinite(column) for column in columns]
        # Sets of bits are columns of their own, and not every trained network has them all.
        assert all(each.all() or bench.trained for each in known)
        assert any(each.any() for each in known)
        for column, there in zip(columns, known, strict=True):
            assert column.dtype == np.float64
            if there.any():
                assert len(np.unique(column[there])) > MINIMUM_ARCHITECTURES // 2


def test_figures_are_percentages_or_nan(bench: Bench) -> None:
    for target in bench.targets:
        column = bench.accuracies(target)
        known = column[~np.isnan(column)]
        assert len(known) > 0
        assert ((known > 0) & (known <= 100)).all()


def test_networks_give_finite_logits(bench: Bench) -> None:
    inputs = torch.randn(1, *bench.input_shape, generator=torch.Generator().manual_seed(0))
    for architecture in samples(bench):
        with torch.no_grad():
            logits = bench.network(architecture)(inputs)
        assert logits.shape == (1, bench.classes)
        assert logits.isfinite().all()


def test_one_seed_gives_one_network_whatever_was_built_before(bench: Bench) -> None:
    for architecture in samples(bench):
        first = bench.network(architecture, seed=3).state_dict()
        torch.rand(7)
        again = bench.network(architecture, seed=3).state_dict()
        other = bench.network(architecture, seed=4).state_dict()
        assert all(torch.equal(first[key], again[key]) for key in first)
        same = all(torch.equal(first[key], other[key]) for key in first)
        assert same == bench.trained


def test_building_leaves_the_global_generators_alone(bench: Bench) -> None:
    before = torch.get_rng_state(), repr(np.random.get_state()), random.getstate()  # noqa: NPY002
    bench.network(samples(bench)[0])
    assert torch.equal(torch.get_rng_state(), before[0])
    assert repr(np.random.get_state()) == before[1]  # noqa: NPY002
    assert random.getstate() == before[2]


def test_a_split_is_disjoint_complete_and_repeatable(bench: Bench) -> None:
    parts = split(bench, seed=1)
    everything = sorted(parts.search + parts.held_out)
    assert everything == list(range(len(bench.architectures)))
    assert parts == split(bench, seed=1)
    assert parts != split(bench, seed=2)
    assert list(parts.search) == sorted(parts.search)
    held = {bench.architectures[index].space for index in parts.held_out}
    assert held == set(bench.spaces)

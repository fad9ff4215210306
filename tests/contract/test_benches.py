"""What every registered bench promises."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from autoprox.benches import BENCHES, MINIMUM_ARCHITECTURES, Architecture, Bench, load_bench, split
from autoprox.errors import MissingTableError
from autoprox.measuring.probe import Probe


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


def test_figures_are_percentages_or_nan_and_losses_are_negated_once(bench: Bench) -> None:
    for target in bench.targets:
        column = bench.figures(target)
        known = column[~np.isnan(column)]
        assert len(known) > 0
        assert (np.abs(known) <= 100).all()
        sign = -1 if target in bench.lower_is_better else 1
        np.testing.assert_array_equal(bench.accuracies(target), sign * column)


def test_networks_give_finite_outputs_and_a_loss(bench: Bench) -> None:
    inputs, targets = Probe(batch=2).inputs(bench)
    for architecture in samples(bench):
        with torch.no_grad():
            outputs = bench.network(architecture)(inputs)
        assert outputs.isfinite().all()
        if bench.inputs is None:
            assert outputs.shape == (2, bench.classes)
        elif bench.loss is not None:
            assert bench.loss(outputs, targets).isfinite()
        else:
            assert outputs.shape[:2] == targets.shape


def test_architectures_of_a_class_are_one_network_to_every_count(bench: Bench) -> None:
    """Unused convolutions of nb201's classes apart, see its caveats."""
    classes: dict[str, list[Architecture]] = {}
    for one in bench.architectures:
        if one.isomorph is not None:
            classes.setdefault(one.isomorph, []).append(one)
    twins = [rows for rows in classes.values() if len(rows) > 1]
    for rows in [] if bench.bits or bench.name in ("nb201", "transnas") else twins[:3]:
        with torch.device("meta"):
            sizes = {sum(p.numel() for p in bench.build(one).parameters()) for one in rows}
        assert len(sizes) == 1


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

"""One fitness over families, against figures worked by hand."""

import math

import numpy as np
import pytest
from scipy.stats import norm

from autoprox.ranking import (
    Column,
    balanced,
    by_family,
    columns_by_family,
    over_families,
    somers,
)
from autoprox.ranking.families import gain

NAMES = ("cells", "cells", "vits")
COLUMNS = balanced([Column(str(i), "top1", np.arange(3), np.arange(3.0)) for i in range(3)], NAMES)
FOUND = np.array([[0.8, 0.4, 0.1], [0.3, 0.3, 0.2], [-0.2, 0.0, 0.9]])


def test_a_family_is_the_mean_of_its_columns():
    assert by_family(FOUND, COLUMNS).tolist() == [
        pytest.approx([0.6, 0.1]),
        pytest.approx([0.3, 0.2]),
        pytest.approx([-0.1, 0.9]),
    ]


@pytest.mark.parametrize(
    ("over", "expected"),
    [("mean", [0.35, 0.25, 0.4]), ("median", [0.35, 0.25, 0.4]), ("worst", [0.1, 0.2, -0.1])],
)
def test_families_are_put_together(over, expected):
    assert over_families(FOUND, COLUMNS, over).tolist() == pytest.approx(expected)


def test_the_median_of_three_families_is_the_middle_one():
    columns = balanced(COLUMNS, ("cells", "vits", "convolutions"))
    assert over_families(np.array([[0.9, 0.1, 0.2]]), columns, "median").tolist() == [0.2]


def test_gain_is_the_least_over_the_best_count_of_each_family():
    # The best count has .5 on cells (the first) and .15 on vits (the second).
    counts = np.array([[0.6, 0.4, 0.0], [0.1, 0.1, 0.15]])
    gained = over_families(FOUND, COLUMNS, "gain", counts)
    # Below the best count the way is to -1: 1.5 and 1.15; above it to 1: 0.5 and 0.85.
    least = [-0.05 / 1.15, -0.2 / 1.5, -0.6 / 1.5]
    assert gained.tolist() == pytest.approx(least)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("reference", [-1.0, -0.5, 0.0, 1.0])
def test_what_equals_the_reference_gains_nothing(reference):
    assert gain(np.array([reference]), np.array(reference)).tolist() == [0.0]


@pytest.mark.filterwarnings("error")
def test_where_all_counts_are_upside_down_so_may_be_a_proxy():
    upside_down = np.full((4, 3), -1.0)
    found = over_families(np.array([[-1.0] * 3, [0.0] * 3]), COLUMNS, "gain", upside_down)
    assert found.tolist() == [0.0, 0.5]


def test_wins_are_counted_against_the_count_that_is_hardest_to_beat():
    # The counts have (.5, .0) and (.1, .15) on cells and vits; the proxies (.6, .1), (.3, .2) and
    # (-.1, .9), of which the means decide among equals.
    counts = np.array([[0.6, 0.4, 0.0], [0.1, 0.1, 0.15]])
    won = over_families(FOUND, COLUMNS, "wins", counts)
    assert won.tolist() == pytest.approx([1.35 / 3, 1.25 / 3, 1.4 / 3])
    won = over_families(FOUND, COLUMNS, "wins", counts - 1)
    assert won.tolist() == pytest.approx([2.35 / 3, 2.25 / 3, 2.4 / 3])


@pytest.mark.parametrize("noise", [1.0, 1.5])
def test_a_share_is_of_what_the_noise_of_the_figures_allows(noise):
    # Of a variance of 4 noise is its square: trainings with that deviation of two networks that are
    # 4 apart, truly √(1 - noise²/4) as much, tell them right with Φ of that over √2 noise.
    noisy = [
        Column("a", "t", np.arange(2), np.array([0.0, 4.0]), family="a", noise=noise),
        Column("b", "t", np.arange(2), np.array([0.0, 4.0]), family="b"),
    ]
    ceiling = 2 * norm.cdf(math.sqrt(1 - noise**2 / 4) * 4 / (math.sqrt(2) * noise)) - 1
    assert noisy[0].ceiling == pytest.approx(ceiling)
    assert noisy[1].ceiling == 1
    shares = over_families(np.array([[0.4, 0.2]]), noisy, "share")
    assert shares.tolist() == pytest.approx([(0.4 / ceiling + 0.2) / 2])


@pytest.mark.parametrize(
    ("drawn", "spread"), [("normal", 0.5), ("normal", 1), ("normal", 2), ("uniform", 6)]
)
def test_the_ceiling_is_what_the_true_figures_have(drawn, spread):
    generator = np.random.default_rng(0)
    true = getattr(generator, drawn)(size=(10, 1000))
    true *= spread / true.std()
    seen = true + generator.normal(size=true.shape)
    reached = [somers(one, other) for one, other in zip(true, seen, strict=True)]
    told = [Column("a", "t", np.arange(1000), each, noise=1.0).ceiling for each in seen]
    assert np.mean(told) == pytest.approx(np.mean(reached), abs=0.02)


def test_where_all_is_noise_nothing_can_be_had():
    noise = Column("a", "t", np.arange(2), np.array([0.0, 2.0]), family="a", noise=1.0)
    assert noise.ceiling == 0
    known = Column("b", "t", np.arange(2), np.array([0.0, 2.0]), family="b")
    assert over_families(np.array([[0.9, 0.4]]), [noise, known], "share").tolist() == [0.2]


def test_a_share_is_at_most_all_even_where_almost_all_is_noise():
    noise = Column("a", "t", np.arange(2), np.array([0.0, 2.0]), family="a", noise=0.999)
    known = Column("b", "t", np.arange(2), np.array([0.0, 2.0]), family="b")
    assert 0 < noise.ceiling < 0.1
    shares = over_families(np.array([[0.9, 0.4], [-0.9, 0.4]]), [noise, known], "share")
    assert shares.tolist() == pytest.approx([0.7, -0.3])


def test_columns_of_a_family_are_found():
    assert columns_by_family(COLUMNS) == ((0, 1), (2,))

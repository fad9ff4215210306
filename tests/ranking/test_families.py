"""One fitness over families, against figures worked by hand."""

import numpy as np
import pytest

from autoprox.ranking import Column, balanced, by_family, over_families

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


def test_gain_is_the_least_over_the_best_count_of_each_family():
    # The best count has .5 on cells (the first) and .15 on vits (the second).
    counts = np.array([[0.6, 0.4, 0.0], [0.1, 0.1, 0.15]])
    gained = over_families(FOUND, COLUMNS, "gain", counts)
    # Below the best count the way is to -1: 1.5 and 1.15; above it to 1: 0.5 and 0.85.
    least = [-0.05 / 1.15, -0.2 / 1.5, -0.6 / 1.5]
    assert gained.tolist() == pytest.approx(least)


def test_wins_are_counted_against_the_count_that_is_hardest_to_beat():
    # The counts have (.5, .0) and (.1, .15) on cells and vits; the proxies (.6, .1), (.3, .2) and
    # (-.1, .9), of which the means decide among equals.
    counts = np.array([[0.6, 0.4, 0.0], [0.1, 0.1, 0.15]])
    won = over_families(FOUND, COLUMNS, "wins", counts)
    assert won.tolist() == pytest.approx([1.35 / 3, 1.25 / 3, 1.4 / 3])
    won = over_families(FOUND, COLUMNS, "wins", counts - 1)
    assert won.tolist() == pytest.approx([2.35 / 3, 2.25 / 3, 2.4 / 3])

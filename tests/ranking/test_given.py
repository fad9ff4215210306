"""What a score says beyond sizes, against regressions and pairs counted one by one."""

import numpy as np
import pytest
from scipy import stats

from autoprox.ranking import alike, partial_given, partial_spearman, somers, somers_among

DRAWN = np.random.default_rng(3)
PARAMS, NOISE = DRAWN.normal(size=(2, 40))
OPERATIONS = PARAMS + 0.5 * DRAWN.normal(size=40)
SCORES = np.round(PARAMS + NOISE, 1)  # with ties
ACCURACIES = PARAMS + OPERATIONS + 0.7 * NOISE


def test_one_given_is_the_formula_of_three_correlations():
    xy, xz, yz = (
        stats.spearmanr(*pair).statistic
        for pair in ((SCORES, ACCURACIES), (SCORES, PARAMS), (ACCURACIES, PARAMS))
    )
    expected = (xy - xz * yz) / ((1 - xz**2) * (1 - yz**2)) ** 0.5
    assert partial_given(SCORES, ACCURACIES, PARAMS[None]) == pytest.approx(expected)
    assert partial_spearman(SCORES, ACCURACIES, PARAMS) == pytest.approx(expected)


def test_of_two_architectures_nothing_is_said():
    two, given = np.array([1.0, 2.0, 3.0]), np.array([5.0, 5.0, np.nan])
    assert partial_spearman(two, two, given) is None


def test_two_given_are_one_after_the_other():
    # The recursion of partial correlations, from those given the first alone.
    found = [
        partial_given(*pair, PARAMS[None])
        for pair in ((SCORES, ACCURACIES), (SCORES, OPERATIONS), (ACCURACIES, OPERATIONS))
    ]
    xy, xz, yz = found
    expected = (xy - xz * yz) / ((1 - xz**2) * (1 - yz**2)) ** 0.5
    given = np.stack([PARAMS, OPERATIONS])
    assert partial_given(SCORES, ACCURACIES, given) == pytest.approx(expected)


def test_nothing_is_left_of_what_is_given():
    given = np.stack([PARAMS, OPERATIONS])
    assert partial_given(PARAMS, ACCURACIES, given) is None
    assert partial_given(np.exp(PARAMS), ACCURACIES, given) is None


def test_pairs_of_nearly_equal_sizes_are_ranked_by_themselves():
    sizes = np.exp(np.stack([PARAMS, OPERATIONS]))
    pairs = alike(sizes, 1.5)
    agree = count = 0
    for i in range(40):
        for j in range(i):
            near = all(max(one[i], one[j]) / min(one[i], one[j]) <= 1.5 for one in sizes)
            if near:
                count += 1
                agree += np.sign(SCORES[i] - SCORES[j]) * np.sign(ACCURACIES[i] - ACCURACIES[j])
    assert somers_among(SCORES, ACCURACIES, pairs) == (pytest.approx(agree / count), count)


def test_all_pairs_are_somers_d_and_none_are_nothing():
    every = np.ones((40, 40), dtype=bool)
    assert somers_among(SCORES, ACCURACIES, every)[0] == pytest.approx(somers(SCORES, ACCURACIES))
    assert somers_among(SCORES, ACCURACIES, ~every) == (None, 0)

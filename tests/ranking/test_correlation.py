"""Rank correlations against scipy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoprox.errors import BenchError
from autoprox.ranking import (
    CORRELATIONS,
    Column,
    Ranker,
    balanced,
    joint,
    kendall,
    resolved,
    spearman,
    standardised_ranks,
    weights,
)
from autoprox.ranking.resampling import RESAMPLED, interval, resample, resampled_taus
from tests.scipy_correlations import SCIPY


def column(accuracies, places=None, name="all"):
    accuracies = np.asarray(accuracies, dtype=float)
    return Column(
        name, "accuracy", np.arange(len(accuracies)) if places is None else places, accuracies
    )


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("n", [3, 10, 77])
@pytest.mark.parametrize("correlation", CORRELATIONS)
def test_correlations_are_those_of_scipy_for_all_columns(correlation, n, ties):
    generator = np.random.default_rng(n)
    draw = (
        (lambda *s: generator.integers(0, 5, s).astype(float))
        if ties
        else (lambda *s: generator.normal(size=s))
    )
    scores = draw(40, n)
    some = np.sort(generator.permutation(n)[: max(3, n // 2)])
    columns = [
        column(generator.normal(size=n)),
        column(draw(n) + np.arange(n)),
        column(np.arange(len(some)), some),
    ]
    found = Ranker(columns, correlation).correlations(scores)
    for i, row in enumerate(scores):
        for j, each in enumerate(columns):
            own = row[each.places]
            truth = SCIPY[correlation](own, each.accuracies).statistic if np.ptp(own) else 0.0
            assert found[i, j] == pytest.approx(truth, abs=1e-6)


def test_memory_that_is_used_again_leaves_no_trace():
    generator = np.random.default_rng(1)
    columns = [column(generator.normal(size=20)), column(np.arange(9.0), np.arange(9))]
    ranker = Ranker(columns)
    for count in (40, 3, 41, 1, 40):
        scores = generator.normal(size=(count, 20))
        found = ranker.correlations(scores)
        np.testing.assert_array_equal(found, Ranker(columns).correlations(scores))


def test_many_candidates_are_ranked_in_pieces_with_the_same_result(monkeypatch):
    generator = np.random.default_rng(0)
    ranker = Ranker([column(generator.normal(size=30))])
    scores = generator.normal(size=(20, 30))
    whole = ranker.taus(scores)
    monkeypatch.setattr("autoprox.ranking.correlation.PAIRS_AT_ONCE", 1)
    np.testing.assert_array_equal(ranker.taus(scores), whole)


@pytest.mark.parametrize("figures", [[], [1.0, 2.0], [3.0, 3.0, 3.0, 3.0]])
def test_a_column_that_cannot_be_ranked_by_is_refused(figures):
    with pytest.raises(BenchError, match="ranking needs 3 that differ"):
        Ranker([column(figures)])


def test_the_joint_correlation_does_not_hide_a_sign():
    assert joint(np.array([0.5, -0.5]), np.ones(2)) == 0.0


def test_every_group_of_columns_counts_the_same():
    columns = [column(np.arange(4), name=name) for name in "abcd"]
    weighed = balanced(columns, ["one", "two", "one", "one"])
    assert [each.name for each in weighed] == [each.name for each in columns]
    np.testing.assert_allclose(weights(weighed), [2 / 3, 2, 2 / 3, 2 / 3])
    taus = np.array([[0.1, 0.8, 0.2, 0.6], [-0.3, 0.4, 0.0, 0.0]])
    np.testing.assert_allclose(joint(taus, weights(weighed)), [(0.3 + 0.8) / 2, (-0.1 + 0.4) / 2])


@pytest.mark.parametrize("count", range(1, 40))
def test_the_joint_correlation_of_one_group_is_the_plain_mean_to_the_last_bit(count):
    columns = balanced([column(np.arange(4))] * count, ["one"] * count)
    taus = np.random.default_rng(count).normal(size=(50, count))
    for row in taus:
        assert joint(row, weights(columns)) == row.mean()
    np.testing.assert_array_equal(joint(taus, weights(columns)), taus.mean(-1))
    np.testing.assert_array_equal(
        joint(taus.T.copy().T, weights(columns)), np.mean(taus.T.copy(), 0)
    )


def test_constant_scores_have_no_correlation():
    assert kendall(np.ones(5), np.arange(5.0)) == 0.0
    assert spearman(np.arange(5.0), np.ones(5)) == 0.0


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("correlation", RESAMPLED)
def test_a_resample_has_the_correlation_of_the_repeated_architectures(correlation, ties):
    generator = np.random.default_rng(1)
    scores, accuracies = generator.normal(size=12), generator.normal(size=12)
    if ties:
        scores = np.round(scores)
    counts = resample(12, 50, seed=3)
    found = RESAMPLED[correlation](scores, accuracies, counts)
    for drawn, value in zip(counts, found, strict=True):
        places = np.repeat(np.arange(12), drawn.astype(int))
        truth = SCIPY[correlation](scores[places], accuracies[places]).statistic
        assert value == pytest.approx(truth, abs=1e-9)


def test_the_interval_covers_the_true_tau_about_as_often_as_it_says():
    generator = np.random.default_rng(2)
    truth = 2 / np.pi * np.arcsin(0.6)
    hits = 0
    for trial in range(200):
        x = generator.normal(size=60)
        y = 0.6 * x + 0.8 * generator.normal(size=60)
        low, high = interval(resampled_taus(x, y, resample(60, 300, trial)))
        hits += low <= truth <= high
    assert 0.88 <= hits / 200 <= 0.99


def test_scores_that_differ_by_rounding_alone_tie():
    scores = np.array([1.0, 1.0 + 1e-8, 1.0 - 1e-8, 2.0])
    assert len(np.unique(resolved(scores))) == 2
    accuracies = np.array([3.0, 2.0, 1.0, 4.0])
    tied = np.array([1.0, 1.0, 1.0, 2.0])
    assert kendall(scores, accuracies) == kendall(tied, accuracies)
    assert spearman(scores, accuracies) == spearman(tied, accuracies)
    column = Column("s", "t", np.arange(4), accuracies)
    assert Ranker([column]).taus(scores[None])[0, 0] == pytest.approx(kendall(tied, accuracies))


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False, width=32), min_size=1))
def test_resolved_scores_are_within_a_millionth_and_keep_the_order(values):
    scores = np.sort(np.array(values, dtype=np.float64))
    rounded = resolved(scores)
    assert (np.diff(rounded) >= 0).all()
    assert (np.abs(rounded - scores) <= 1e-6 * np.abs(scores)).all()
    assert (resolved(rounded) == rounded).all()


@pytest.mark.parametrize("n", [3, 40])
def test_standardised_ranks_multiply_to_spearmans_correlation(n):
    generator = np.random.default_rng(n)
    scores = generator.integers(0, 6, (12, n)).astype(float)
    scores[0] = 1.0
    ranks = standardised_ranks(scores)
    assert not ranks[0].any()
    for i, own in enumerate(scores[1:], start=1):
        for j, other in enumerate(scores[1:], start=1):
            assert ranks[i] @ ranks[j] == pytest.approx(spearman(own, other), abs=1e-6)

"""Rank correlations against scipy."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import somersd

from autoprox.errors import BenchError
from autoprox.ranking import (
    CORRELATIONS,
    Column,
    Ranker,
    Scratch,
    balanced,
    joint,
    kendall,
    pair_signs,
    resolved,
    somers,
    spearman,
    standardised_ranks,
    weights,
)
from autoprox.ranking.correlation import TABULATED
from autoprox.ranking.resampling import (
    RESAMPLED,
    interval,
    resample,
    resampled_columns,
    resampled_taus,
)
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
    scores = draw(12, n)
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
    whole = ranker.correlations(scores)
    monkeypatch.setattr("autoprox.ranking.ranker.PAIRS_AT_ONCE", 1)
    np.testing.assert_array_equal(ranker.correlations(scores), whole)


@pytest.mark.parametrize("correlation", CORRELATIONS)
def test_what_a_candidate_has_does_not_depend_on_what_is_ranked_with_it(correlation):
    generator = np.random.default_rng(0)
    ranker = Ranker([column(generator.normal(size=60)) for _ in range(2)], correlation)
    scores = generator.normal(size=(50, 60))
    whole = ranker.correlations(scores)
    for size in (1, 2, 7, 33):
        parts = [ranker.correlations(scores[i : i + size]) for i in range(0, 50, size)]
        np.testing.assert_array_equal(np.concatenate(parts), whole)


@pytest.mark.parametrize(
    ("figures", "said"),
    [
        ([], "'all/accuracy' has 0 figures; ranking needs 3"),
        ([1.0, 2.0], "'all/accuracy' has 2 figures; ranking needs 3"),
        ([3.0] * 4, r"'all/accuracy' has the same figure for all of its 4 architectures \(3\)"),
    ],
)
def test_a_column_that_cannot_be_ranked_by_is_refused(figures, said):
    with pytest.raises(BenchError, match=said):
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


@pytest.mark.parametrize("correlation", CORRELATIONS)
def test_constant_scores_have_no_correlation(correlation):
    assert CORRELATIONS[correlation](np.ones(5), np.arange(5.0)) == 0.0
    assert CORRELATIONS[correlation](np.arange(5.0), np.ones(5)) == 0.0
    ranker = Ranker([column(np.arange(5.0))], correlation)
    assert ranker.correlations(np.stack([np.ones(5), np.arange(5.0)])).ravel() == pytest.approx(
        [0.0, 1.0]
    )


@pytest.mark.parametrize(
    ("n", "resamples", "ties"), [(12, 50, False), (12, 50, True), (300, 2, True)]
)
@pytest.mark.parametrize("correlation", RESAMPLED)
def test_a_resample_has_the_correlation_of_the_repeated_architectures(
    correlation, n, resamples, ties
):
    generator = np.random.default_rng(1)
    scores, accuracies = generator.normal(size=n), generator.normal(size=n)
    if ties:
        scores = np.round(scores)
    counts = resample(n, resamples, seed=3)
    found = RESAMPLED[correlation](scores, accuracies, counts)
    for drawn, value in zip(counts, found, strict=True):
        places = np.repeat(np.arange(n), drawn.astype(int))
        truth = SCIPY[correlation](scores[places], accuracies[places]).statistic
        assert value == pytest.approx(truth, abs=1e-9)


def test_the_interval_is_the_middle_95_percent():
    assert interval(np.arange(1001.0)) == pytest.approx((25, 975))


def test_the_columns_of_a_space_draw_the_same_architectures():
    places = np.array([2, 3, 5, 7, 11, 13, 17])
    some = np.delete(places, [0, 3])
    columns = [column(np.arange(7), places), column(np.arange(5), some)]
    first, second = resampled_columns(columns, 9, seed=0)
    np.testing.assert_array_equal(second, np.delete(first, [0, 3], axis=1))


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
    scores = np.array([1.0, 1.0 + 3e-7, 1.0 - 3e-7, 2.0])  # float32 tells them apart
    assert len(np.unique(resolved(scores))) == 2
    assert len(np.unique(resolved(np.array([1.0, 1.0 + 4e-6])))) == 2
    accuracies = np.array([3.0, 2.0, 1.0, 4.0])
    tied = np.array([1.0, 1.0, 1.0, 2.0])
    for name, correlation in CORRELATIONS.items():
        assert correlation(scores, accuracies) == correlation(tied, accuracies)
        ranker = Ranker([column(accuracies)], name)
        assert ranker.correlations(scores[None])[0, 0] == pytest.approx(
            SCIPY[name](tied, accuracies).statistic
        )


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


# Somers' D


SOME = st.sampled_from([-1.0, 0.0, 0.5, 2.0, 7.0])


@pytest.mark.parametrize("largest", [1000, 5])
def test_d_is_that_of_scipy_with_ties_in_scores_and_in_accuracies(monkeypatch, largest):
    monkeypatch.setattr("autoprox.ranking.ranker.LARGEST", largest)
    generator = np.random.default_rng(3)
    accuracies = generator.integers(0, 3, 40).astype(float)
    some = np.sort(generator.permutation(40)[:17])
    columns = [
        column(accuracies),
        column(generator.integers(0, 9, 40)),
        column(generator.normal(size=17), some),
    ]
    scores = generator.integers(0, 4, (30, 40)).astype(float)
    scores[:5] = generator.normal(size=(5, 40))
    scores[5] = 3.0
    found = Ranker(columns, "somers").correlations(scores)
    assert len(set(accuracies)) == 3
    assert not found[5].any()
    for i, row in enumerate(scores):
        for j, each in enumerate(columns):
            truth = somersd(each.accuracies, row[each.places]).statistic if i != 5 else 0.0
            assert found[i, j] == pytest.approx(truth, abs=1e-6)
            assert somers(row[each.places], each.accuracies) == pytest.approx(truth, abs=1e-9)


def test_without_ties_in_the_scores_d_is_kendalls_tau_and_with_ties_it_is_nearer_to_0():
    generator = np.random.default_rng(4)
    accuracies = generator.normal(size=50)
    scores = accuracies + generator.normal(size=50)
    assert somers(scores, accuracies) == pytest.approx(kendall(scores, accuracies))
    assert 0 < somers(scores.round(), accuracies) < kendall(scores.round(), accuracies)


def exactly(scores, accuracies):
    """Return Somers' D by its definition, pair by pair, as a fraction."""
    pairs = list(itertools.combinations(range(len(scores)), 2))
    signs = [
        int(np.sign(scores[i] - scores[j]) * np.sign(accuracies[i] - accuracies[j]))
        for i, j in pairs
    ]
    return Fraction(sum(signs), sum(accuracies[i] != accuracies[j] for i, j in pairs))


@given(st.lists(st.tuples(SOME, SOME), min_size=3, max_size=12))
def test_a_tie_counts_as_a_coin_toss(rows):
    scores, accuracies = np.array(rows).T
    if not np.ptp(accuracies):
        return
    places = np.arange(len(rows))
    one, other = (np.empty(len(rows)) for _ in range(2))
    one[np.lexsort((places, scores))] = places  # equal scores in one order, and in the reverse
    other[np.lexsort((-places, scores))] = places
    mean = (exactly(one, accuracies) + exactly(other, accuracies)) / 2
    assert exactly(scores, accuracies) == mean
    assert somers(scores, accuracies) == pytest.approx(float(mean), abs=1e-12)


@given(
    st.lists(st.tuples(st.integers(-9, 9), SOME), min_size=3, max_size=12),
    st.lists(st.integers(-9, 9), min_size=1, max_size=4),
)
def test_what_a_coarser_score_changes_is_the_agreement_of_the_pairs_it_ties(rows, cuts):
    scores, accuracies = np.array(rows, dtype=float).T
    if not np.ptp(accuracies):
        return
    coarser = np.searchsorted(np.sort(cuts), scores).astype(float)
    pairs = list(itertools.combinations(range(len(rows)), 2))
    untied = sum(accuracies[i] != accuracies[j] for i, j in pairs)
    newly = sum(
        int(np.sign(scores[i] - scores[j]) * np.sign(accuracies[i] - accuracies[j]))
        for i, j in pairs
        if scores[i] != scores[j] and coarser[i] == coarser[j]
    )
    assert untied * (exactly(scores, accuracies) - exactly(coarser, accuracies)) == newly
    change = somers(scores, accuracies) - somers(coarser, accuracies)
    assert untied * change == pytest.approx(newly, abs=1e-9)


def flattened(scores, generator, cuts):
    """Return scores after a random map that never falls, and is flat between most of its cuts."""
    borders = np.sort(generator.choice(scores, size=generator.integers(*cuts), replace=False))
    pieces = np.searchsorted(borders, scores, side="right")
    flat = generator.random(len(borders) + 1) < 0.8
    return np.where(flat[pieces], 10.0 * pieces, 10.0 * pieces + scores / 10)


def errors_of_change(correlation, strength, cuts, count=200):
    """Return the mean change of a correlation by random flat pieces, in its standard errors."""
    generator = np.random.default_rng(5)
    changes = np.empty(count)
    for i in range(count):
        accuracies = generator.normal(size=40)
        scores = strength * accuracies + generator.normal(size=40)
        coarser = flattened(scores, generator, cuts)
        assert (np.diff(coarser[np.argsort(scores)]) >= 0).all()
        changes[i] = correlation(coarser, accuracies) - correlation(scores, accuracies)
    return changes.mean() / (changes.std(ddof=1) / np.sqrt(count))


@pytest.mark.parametrize("cuts", [(1, 4), (8, 20)])
@pytest.mark.parametrize("strength", [0.0, 0.3, 0.7, 1.5])
def test_a_coarser_score_gains_nothing_by_d_on_average(strength, cuts):
    assert errors_of_change(somers, strength, cuts) < 3


@pytest.mark.parametrize("strength", [0.7, 1.5])
def test_tau_b_pays_for_the_ties_of_a_coarser_score(strength):
    assert errors_of_change(kendall, strength, (8, 20)) > 4
    assert errors_of_change(somers, strength, (8, 20)) < -4


def test_pairs_that_the_accuracies_tie_count_for_nothing():
    accuracies = np.array([1.0, 1.0, 2.0, 3.0])
    assert somers(np.array([1.0, 2.0, 3.0, 4.0]), accuracies) == 1.0
    assert somers(np.array([2.0, 1.0, 3.0, 4.0]), accuracies) == 1.0
    signs = pair_signs(np.array([[0, 0, 1, 2]], dtype=np.int16), Scratch())
    assert signs.ravel().tolist() == [0, 1, 1, 1, 1, 1]


@pytest.mark.parametrize("count", [3, 12, 100, TABULATED, TABULATED + 1])
@pytest.mark.parametrize("levels", [2, 7, 10_000])
def test_kendalls_tau_and_spearmans_rho_are_scipys_to_the_last_bit(count, levels):
    random = np.random.default_rng(count + levels)
    for _ in range(5):
        x, y = random.integers(0, levels, (2, count)).astype(float)
        x[:2], y[:2] = (0, 1), (0, 1)
        for one, other in ((x, y), (x, x), (x, -x)):
            assert kendall(one, other) == scipy.stats.kendalltau(one, other).statistic
            assert spearman(one, other) == scipy.stats.spearmanr(one, other).statistic


def test_a_perfect_ranking_of_tied_accuracies_is_no_more_than_1():
    scores = np.arange(36.0)
    assert somers(scores, scores // 4) == 1.0
    assert somers(-scores, scores // 4) == -1.0

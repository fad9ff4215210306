"""The figures of a proxy, against scipy and against resamples that are written out."""

from __future__ import annotations

import itertools
import tracemalloc
import zlib

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from autoprox.ranking import Column, balanced, figures, resampling, spearman
from autoprox.ranking.figures import Comparison, best_of_top, best_spearman, top_share
from autoprox.ranking.resampling import resample
from tests.scipy_correlations import SCIPY


def columns(n=12, ties=True):
    """Return two columns of one space, and one of another that lacks a figure."""
    generator = np.random.default_rng(0)
    first = generator.integers(0, 6, n).astype(float) if ties else generator.normal(size=n)
    return [
        Column("a", "x", np.arange(n), first),
        Column("a", "y", np.arange(n), generator.normal(size=n)),
        Column("b", "x", n + np.arange(1, n), generator.normal(size=n - 1)),
    ]


def middle(values):
    """Return the middle 95 % of the values of resamples."""
    return tuple(np.quantile(values, [0.025, 0.975]))


def drawn(column, counts, scores, correlation):
    """Return a correlation on each resample, which is written out architecture by architecture."""
    found = []
    for count in counts:
        places = np.repeat(np.arange(len(count)), count.astype(int))
        found.append(correlation(scores[places], column.accuracies[places]).statistic)
    return np.array(found)


def test_figures_are_those_of_scipy():
    scores = np.random.default_rng(1).integers(0, 9, 24).astype(float)
    for column, found in zip(columns(), Comparison(columns())(scores).columns, strict=True):
        own = scores[column.places]
        assert found.column == column.name
        assert found.architectures == len(own)
        for name, correlation in SCIPY.items():
            truth = correlation(own, column.accuracies).statistic
            assert found.correlation(name) == pytest.approx(truth)


@pytest.mark.parametrize("correlation", SCIPY)
def test_intervals_are_those_of_resamples_with_repeated_architectures(monkeypatch, correlation):
    monkeypatch.setattr(figures, "RESAMPLES", 60)
    scores = np.random.default_rng(2).integers(0, 9, 24).astype(float)
    found = Comparison(columns(), correlation, seed=5)(scores)
    joint = []
    for column, each in zip(columns(), found.columns, strict=True):
        size = 12 if column.space == "a" else 11
        counts = resample(size, 60, [5, zlib.crc32(column.space.encode())])
        own = scores[column.places]
        values = drawn(column, counts, own, SCIPY[correlation])
        assert each.interval == pytest.approx(middle(values), abs=1e-6)
        joint.append(values)
    np.testing.assert_allclose(found.resampled, np.mean(joint, axis=0), atol=1e-6)
    assert found.joint_interval == pytest.approx(middle(np.mean(joint, axis=0)), abs=1e-6)
    own = np.mean([each.correlation(correlation) for each in found.columns])
    assert found.joint == pytest.approx(own)


def test_the_joint_figure_and_its_resamples_are_weighted_alike():
    scores = np.random.default_rng(6).normal(size=24)
    weighed = balanced(columns(), ["one", "one", "two"])
    found = Comparison(weighed)(scores)
    one, two, three = (each.somers for each in found.columns)
    assert found.joint == pytest.approx(((one + two) / 2 + three) / 2)
    parts = [Comparison([each])(scores).resampled for each in columns()]
    np.testing.assert_allclose(found.resampled, ((parts[0] + parts[1]) / 2 + parts[2]) / 2)


@pytest.mark.parametrize("hole", [np.nan, np.inf, -np.inf])
def test_architectures_without_a_score_share_the_last_place(hole):
    scores = np.random.default_rng(3).normal(size=24)
    holes, last = scores.copy(), scores.copy()
    holes[[2, 5, 20]], last[[2, 5, 20]] = hole, -100
    found, told = Comparison(columns())(holes), Comparison(columns())(last)
    assert found.columns == told.columns
    np.testing.assert_array_equal(found.resampled, told.resampled)
    truth = SCIPY["somers"](last[:12], columns()[0].accuracies).statistic
    assert found.columns[0].somers == pytest.approx(truth)
    assert [each.architectures for each in found.columns] == [12, 12, 11]


def test_for_the_best_tenth_an_architecture_without_a_score_is_the_worst():
    figures_ = np.arange(24.0)
    column = Column("a", "x", np.arange(24), figures_)
    scores = figures_.copy()
    scores[23] = np.nan  # the best two are 22 and 23; the best two by score are 21 and 22
    assert Comparison([column])(scores).columns[0].top_share == 0.5
    scores[23] = -np.inf
    assert Comparison([column])(scores).columns[0].top_share == 0.5


def test_a_column_with_too_few_scores_is_said():
    scores = np.arange(24.0)
    scores[2:12] = np.inf
    compare = Comparison(columns())
    assert compare.too_short(np.arange(24.0)) is None
    assert compare.too_short(scores) == "2 scores for a/x; a rank correlation needs 3"


def test_proxies_do_not_change_each_others_figures():
    generator = np.random.default_rng(4)
    scores = generator.normal(size=(3, 24))
    compare = Comparison(columns())
    holes = scores[1].copy()
    holes[3] = np.nan
    together = [compare(each) for each in (scores[0], holes, scores[0], scores[2])]
    first, last = (Comparison(columns())(each) for each in (scores[0], scores[2]))
    for found, alone in ((together[0], first), (together[2], first), (together[3], last)):
        assert (found.columns, found.joint) == (alone.columns, alone.joint)
        np.testing.assert_array_equal(found.resampled, alone.resampled)


def test_equal_scores_have_no_correlation_and_are_worth_a_guess():
    found = Comparison(columns())(np.ones(24)).columns[1]
    assert (found.somers, found.kendall, found.spearman) == (0.0, 0.0, 0.0)
    assert (found.interval, found.distinct) == ((0.0, 0.0), 1)
    assert found.top_share == pytest.approx(1 / 12)
    accuracies = columns()[1].accuracies
    assert found.top1_regret == pytest.approx(accuracies.max() - accuracies.mean())
    fives = [max(five) for five in itertools.combinations(accuracies, 5)]
    assert found.top5_regret == pytest.approx(accuracies.max() - np.mean(fives))


def test_columns_that_are_too_large_have_intervals_but_none_among_the_best(monkeypatch):
    monkeypatch.setattr(figures, "LARGEST_RESAMPLED", 11)
    found = Comparison(columns(), best=(0.5,))(np.arange(24.0))
    assert [each.best[0].spearman_interval is None for each in found.columns] == [True, True, False]
    assert all(low < each.somers < high for each in found.columns for low, high in [each.interval])


@pytest.mark.parametrize("correlation", ["somers", "kendall"])
def test_the_interval_of_a_large_column_is_that_of_all_pairs_but_for_little(
    monkeypatch, correlation
):
    generator = np.random.default_rng(8)
    accuracies = generator.normal(size=300)
    column = Column("a", "x", np.arange(300), accuracies)
    scores = (accuracies + generator.normal(size=300)).round(1)
    exact = Comparison([column], correlation)(scores)
    monkeypatch.setattr("autoprox.ranking.resampling.LARGEST_RESAMPLED", 100)
    large = Comparison([column], correlation)(scores)
    assert large.joint == exact.joint
    assert large.joint_interval == pytest.approx(exact.joint_interval, abs=0.01)
    assert large.joint_interval != exact.joint_interval  # by another way


def test_the_best_tenth_by_score_and_by_accuracy():
    accuracies = np.arange(20.0)
    assert top_share(accuracies, accuracies) == 1.0
    assert top_share(-accuracies, accuracies) == 0.0
    half = accuracies.copy()
    half[19] = -1
    assert top_share(half, accuracies) == 0.5
    eighteen = np.arange(18.0)  # a tenth is 1.8, so two
    assert top_share(np.where(eighteen == 16, 20, eighteen), eighteen) == 1.0
    assert top_share(np.where(eighteen == 17, -1, eighteen), eighteen) == 0.5
    tied = np.zeros(20)
    tied[[18, 3, 4, 5]] = 1.0  # four share two places
    assert top_share(tied, accuracies) == pytest.approx(0.25)


def test_what_is_lost_by_the_best_score_is_shared_by_ties():
    column = Column("a", "x", np.arange(3), np.array([50.0, 60.0, 70.0]))
    for scores, lost in (([1, 3, 2], 10), ([3, 1, 3], 10), ([1, 1, 1], 10), ([5, 6, 7], 0)):
        (found,) = Comparison([column])(np.array(scores, dtype=float)).columns
        assert (found.top1_regret, found.top5_regret) == pytest.approx((lost, 0))


def by_hand(scores, accuracies, count):
    """Return the mean of the best accuracy on top over all orders in which ties can fall."""
    found = []
    for order in itertools.permutations(range(len(scores))):
        if all(scores[a] >= scores[b] for a, b in itertools.pairwise(order)):
            found.append(max(accuracies[place] for place in order[:count]))
    return np.mean(found)


@given(
    st.lists(
        st.tuples(st.sampled_from([-1.0, 0.0, 2.5, 3.0]), st.sampled_from([70.0, 71.5, 90.25])),
        min_size=1,
        max_size=6,
    ),
    st.integers(1, 8),
)
def test_the_best_of_those_on_top_is_the_mean_over_all_ways_to_break_ties(rows, count):
    scores, accuracies = np.array(rows).T
    found = best_of_top(scores, accuracies, count)
    assert found == pytest.approx(by_hand(scores, accuracies, count))
    if count >= len(rows):
        assert found == accuracies.max()


@pytest.mark.parametrize("seed", range(5))
def test_nothing_is_lost_by_a_perfect_proxy_and_never_less_than_nothing(seed):
    generator = np.random.default_rng(seed)
    column = Column("a", "x", np.arange(30), generator.integers(0, 8, 30).astype(float))
    compare = Comparison([column])
    (perfect,) = compare(np.exp(column.accuracies)).columns
    assert (perfect.top1_regret, perfect.top5_regret, perfect.somers) == pytest.approx((0, 0, 1))
    for scores in generator.integers(0, 6, (20, 30)).astype(float):
        (found,) = compare(scores).columns
        assert found.top1_regret >= found.top5_regret >= 0


def test_what_is_lost_is_lost_to_the_best_even_if_that_has_no_score():
    column = Column("a", "x", np.arange(8), np.arange(8.0))
    scores = np.arange(8.0)
    scores[7] = np.nan
    (found,) = Comparison([column])(scores).columns
    assert (found.top1_regret, found.top5_regret) == (1.0, 1.0)


def test_different_scores_are_counted_with_the_last_place_and_not_apart_by_rounding():
    column = Column("a", "x", np.arange(7), np.arange(7.0))
    scores = np.array([1.0, 1.0 + 1e-9, 2.0, np.nan, 3.0, 3.0, -np.inf])
    assert Comparison([column])(scores).columns[0].distinct == 4
    assert Comparison([column])(np.arange(7.0)).columns[0].distinct == 7
    without_holes = np.array([1.0, 1.0 + 1e-9, 2.0, 3.0, 3.0, 3.0, 3.0])
    assert Comparison([column])(without_holes).columns[0].distinct == 3


def test_a_tie_at_the_border_of_five_is_broken_every_way():
    generator = np.random.default_rng(9)
    accuracies = generator.normal(size=12)
    scores = np.array([9.0, 8, 8, 7, 5, 5, 5, 5, 1, 1, 1, 0])  # one of four is taken
    sure, tied = accuracies[:4], accuracies[4:8]
    truth = np.mean([max(*sure, each) for each in tied])
    assert best_of_top(scores, accuracies, 5) == pytest.approx(truth)


def test_the_ways_to_break_a_tie_of_thousands_are_counted():
    count = 60_000
    found = best_of_top(np.ones(count), np.arange(count, dtype=float), 5)
    assert found == pytest.approx(5 * (count + 1) / 6 - 1)


@pytest.mark.parametrize("share", [0.25, 0.5, 1.0])
def test_the_best_by_score_are_ranked_as_scipy_ranks_them(share):
    generator = np.random.default_rng(3)
    scores, accuracies = generator.permutation(20).astype(float), generator.normal(size=20)
    chosen = np.argsort(-scores)[: round(20 * share)]
    truth = scipy.stats.spearmanr(scores[chosen], accuracies[chosen]).statistic
    assert best_spearman(scores, accuracies, np.ones((1, 20)), share) == pytest.approx([truth])


@pytest.mark.parametrize("rounding", [0.0, 1e-9])
def test_those_that_tie_at_the_border_count_in_part(rounding):
    scores = np.array([3.0, 2.0, 2.0 + rounding, 1.0, 0.0, 0.0, -1.0, -1.0])
    accuracies = np.array([1.0, 4.0, 2.0, 9.0, 9.0, 9.0, 9.0, 9.0])
    # The best quarter is the first and half of the second and of the third: twice that is
    # a sample of two copies of the first beside the second and the third.
    twice = scipy.stats.spearmanr([3, 3, 2, 2], [1, 1, 4, 2]).statistic
    assert best_spearman(scores, accuracies, np.ones((1, 8)), 0.25) == pytest.approx([twice])


def test_the_best_of_thousands_are_ranked_without_a_table_of_all_pairs():
    accuracies = np.random.default_rng(0).normal(size=4000)
    scores = accuracies + np.random.default_rng(1).normal(size=4000)
    tracemalloc.start()
    try:
        found = best_spearman(scores, accuracies, np.ones((1, 4000)), 1.0)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found == pytest.approx(spearman(scores, accuracies))
    assert most < 4000 * 4000


def test_the_accuracies_of_resamples_are_ranked_once_for_all_proxies(monkeypatch):
    ranked, centred = [], resampling._centred_ranks

    def counting(values, counts):
        ranked.append(values)
        return centred(values, counts)

    monkeypatch.setattr(resampling, "_centred_ranks", counting)
    accuracies = np.arange(12.0)
    compare = Comparison([Column("a", "x", np.arange(12), accuracies)], "spearman")
    for seed in range(3):
        compare(np.random.default_rng(seed).normal(size=12))
    assert len(ranked) == 4


def test_each_resample_has_its_own_best():
    generator = np.random.default_rng(4)
    scores, accuracies = generator.normal(size=12), generator.normal(size=12)
    counts = resample(12, 5, 0)
    found = best_spearman(scores, accuracies, counts, 0.5)
    for count, value in zip(counts, found, strict=True):
        places = np.repeat(np.arange(12), count.astype(int))
        alone = best_spearman(scores[places], accuracies[places], np.ones((1, 12)), 0.5)
        assert value == pytest.approx(alone[0])


def test_the_figures_of_the_best_are_there_if_they_are_asked_for():
    scores = np.random.default_rng(1).normal(size=24)
    assert all(each.best == () for each in Comparison(columns())(scores).columns)
    for column, found in zip(
        columns(), Comparison(columns(), "spearman", best=(0.5, 1.0))(scores).columns, strict=True
    ):
        half, whole = found.best
        own = scores[column.places], column.accuracies
        assert half.spearman == pytest.approx(
            best_spearman(*own, np.ones((1, len(own[0]))), 0.5)[0]
        )
        assert (half.share, whole.share) == (0.5, 1.0)
        assert whole.spearman == pytest.approx(found.spearman)
        assert whole.spearman_interval == pytest.approx(found.interval)
        assert half.spearman_interval[0] <= half.spearman <= half.spearman_interval[1]


def test_a_missing_score_is_not_among_the_best():
    scores = np.random.default_rng(1).normal(size=24)
    scores[5] = np.nan
    (first, *_) = Comparison(columns(), best=(0.5,))(scores).columns
    scores[5] = -100
    truth = best_spearman(scores[:12], columns()[0].accuracies, np.ones((1, 12)), 0.5)
    assert first.best[0].spearman == pytest.approx(truth[0])

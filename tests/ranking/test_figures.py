"""The figures of the leaderboard, against scipy and against resamples that are written out."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
import scipy.stats

from autoprox.errors import BenchError
from autoprox.ranking import Column, figures
from autoprox.ranking.figures import Comparison, best_spearman, gap, top_share
from autoprox.ranking.resampling import interval, resample


def columns(n=12, ties=True):
    """Return two columns of one space, and one of another that lacks a figure."""
    generator = np.random.default_rng(0)
    first = generator.integers(0, 6, n).astype(float) if ties else generator.normal(size=n)
    return [
        Column("a", "x", np.arange(n), first),
        Column("a", "y", np.arange(n), generator.normal(size=n)),
        Column("b", "x", n + np.arange(1, n), generator.normal(size=n - 1)),
    ]


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
        tau = scipy.stats.kendalltau(own, column.accuracies).statistic
        assert found.kendall == pytest.approx(tau)
        assert found.spearman == pytest.approx(
            scipy.stats.spearmanr(own, column.accuracies).statistic
        )


def test_intervals_are_those_of_resamples_with_repeated_architectures(monkeypatch):
    monkeypatch.setattr(figures, "RESAMPLES", 60)
    scores = np.random.default_rng(2).integers(0, 9, 24).astype(float)
    found = Comparison(columns(), seed=5)(scores)
    joint = []
    for column, each in zip(columns(), found.columns, strict=True):
        size = 12 if column.space == "a" else 11
        counts = resample(size, 60, [5, zlib.crc32(column.space.encode())])
        own = scores[column.places]
        taus = drawn(column, counts, own, scipy.stats.kendalltau)
        rhos = drawn(column, counts, own, scipy.stats.spearmanr)
        assert each.kendall_interval == pytest.approx(interval(taus), abs=1e-6)
        assert each.spearman_interval == pytest.approx(interval(rhos), abs=1e-5)
        joint.append(taus)
    assert found.joint_interval == pytest.approx(interval(np.mean(joint, axis=0)), abs=1e-6)


def test_an_architecture_without_a_score_is_left_out():
    scores = np.random.default_rng(3).normal(size=24)
    holes = scores.copy()
    holes[[2, 20]] = np.nan
    found = Comparison(columns())(holes).columns
    kept = np.delete(np.arange(12), 2)
    truth = scipy.stats.kendalltau(scores[kept], columns()[0].accuracies[kept]).statistic
    assert found[0].kendall == pytest.approx(truth)
    assert [each.architectures for each in found] == [11, 11, 10]
    low, high = found[0].kendall_interval
    assert low < truth < high


def test_for_the_best_tenth_an_architecture_without_a_score_is_the_worst():
    figures_ = np.arange(24.0)
    column = Column("a", "x", np.arange(24), figures_)
    scores = figures_.copy()
    scores[23] = np.nan  # the best two are 22 and 23; the best two by score are 21 and 22
    assert Comparison([column])(scores).columns[0].top_share == 0.5
    scores[23] = -np.inf
    assert Comparison([column])(scores).columns[0].top_share == 0.5


def test_a_column_with_too_few_scores_is_said_and_not_compared():
    scores = np.arange(24.0)
    scores[2:12] = np.inf
    compare = Comparison(columns())
    assert compare.too_short(np.arange(24.0)) is None
    assert compare.too_short(scores) == "2 scores for a/x; a rank correlation needs 3"
    with pytest.raises(BenchError, match="2 scores for a/x"):
        compare(scores)


def test_proxies_do_not_change_each_others_figures():
    generator = np.random.default_rng(4)
    scores = generator.normal(size=(3, 24))
    compare = Comparison(columns())
    holes = scores[1].copy()
    holes[3] = np.nan
    together = [compare(each) for each in (scores[0], holes, scores[0], scores[2])]
    assert together[0] == together[2] == Comparison(columns())(scores[0])
    assert together[3] == Comparison(columns())(scores[2])


def test_equal_scores_have_no_correlation_and_are_worth_a_guess():
    found = Comparison(columns())(np.ones(24)).columns[1]
    assert (found.kendall, found.kendall_interval) == (0.0, (0.0, 0.0))
    assert found.top_share == pytest.approx(1 / 12)


def test_columns_that_are_too_large_get_no_interval(monkeypatch):
    monkeypatch.setattr(figures, "LARGEST", 11)
    found = Comparison(columns())(np.arange(24.0))
    assert [each.kendall_interval is None for each in found.columns] == [True, True, False]
    assert found.joint_interval is None


def test_the_best_tenth_by_score_and_by_accuracy():
    accuracies = np.arange(20.0)
    assert top_share(accuracies, accuracies) == 1.0
    assert top_share(-accuracies, accuracies) == 0.0
    half = accuracies.copy()
    half[19] = -1
    assert top_share(half, accuracies) == 0.5
    tied = np.zeros(20)
    tied[[18, 3, 4, 5]] = 1.0  # four share two places
    assert top_share(tied, accuracies) == pytest.approx(0.25)


def test_the_gap_is_to_the_best_accuracy_and_shared_by_ties():
    accuracies = np.array([50.0, 60.0, 70.0])
    assert gap(np.array([1.0, 3.0, 2.0]), accuracies, 70.0) == -10
    assert gap(np.array([3.0, 1.0, 3.0]), accuracies, 70.0) == -10
    assert gap(accuracies, accuracies, 70.0) == 0


@pytest.mark.parametrize("share", [0.25, 0.5, 1.0])
def test_the_best_by_score_are_ranked_as_scipy_ranks_them(share):
    generator = np.random.default_rng(3)
    scores, accuracies = generator.permutation(20).astype(float), generator.normal(size=20)
    chosen = np.argsort(-scores)[: round(20 * share)]
    truth = scipy.stats.spearmanr(scores[chosen], accuracies[chosen]).statistic
    assert best_spearman(scores, accuracies, np.ones((1, 20)), share) == pytest.approx([truth])


def test_those_that_tie_at_the_border_count_in_part():
    scores = np.array([3.0, 2.0, 2.0, 1.0, 0.0, 0.0, -1.0, -1.0])
    accuracies = np.array([1.0, 4.0, 2.0, 9.0, 9.0, 9.0, 9.0, 9.0])
    # The best quarter is the first and half of the second and of the third: twice that is
    # a sample of two copies of the first beside the second and the third.
    twice = scipy.stats.spearmanr([3, 3, 2, 2], [1, 1, 4, 2]).statistic
    assert best_spearman(scores, accuracies, np.ones((1, 8)), 0.25) == pytest.approx([twice])


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
        columns(), Comparison(columns(), best=(0.5, 1.0))(scores).columns, strict=True
    ):
        half, whole = found.best
        own = scores[column.places], column.accuracies
        assert half.spearman == pytest.approx(
            best_spearman(*own, np.ones((1, len(own[0]))), 0.5)[0]
        )
        assert (half.share, whole.share) == (0.5, 1.0)
        assert whole.spearman == pytest.approx(found.spearman)
        assert whole.spearman_interval == pytest.approx(found.spearman_interval)
        assert half.spearman_interval[0] <= half.spearman <= half.spearman_interval[1]


def test_a_missing_score_is_not_among_the_best():
    scores = np.random.default_rng(1).normal(size=24)
    scores[5] = np.nan
    (first, *_) = Comparison(columns(), best=(0.5,))(scores).columns
    kept = np.delete(np.arange(12), 5)
    accuracies = columns()[0].accuracies[kept]
    truth = best_spearman(scores[kept], accuracies, np.ones((1, 11)), 0.5)
    assert first.best[0].spearman == pytest.approx(truth[0])

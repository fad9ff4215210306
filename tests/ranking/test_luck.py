"""How much of a winner is luck: against simulations whose truth is known."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter

import numpy as np
import pytest

from autoprox.ranking import CORRELATIONS, Column, luck, somers
from autoprox.ranking.luck import (
    BRED,
    MISLED,
    chance_floor,
    null_luck,
    selection_luck,
    shuffled,
    superior,
    without_luck,
)
from autoprox.ranking.ranker import Ranker
from autoprox.ranking.resampling import resampled_columns


def column(accuracies, places=None, space="a", target="x", weight=1.0):
    accuracies = np.asarray(accuracies, dtype=float)
    places = np.arange(len(accuracies)) if places is None else np.asarray(places)
    return Column(space, target, places, accuracies, weight)


# Shuffled accuracies


def columns_with_holes():
    """Two spaces; the second target lacks figures, in the second space most of them."""
    generator = np.random.default_rng(0)
    x, y = generator.permutation(40).astype(float), 100 + generator.permutation(40).astype(float)
    some, few = np.delete(np.arange(25), [3, 4, 17]), np.array([26, 30, 31, 39])
    return [
        column(x[:25], space="a"),
        column(y[some], some, "a", "y", weight=2.0),
        column(x[25:], np.arange(25, 40), "b"),
        column(y[few], few, "b", "y"),
    ]


@pytest.mark.parametrize("seed", [0, 1, [3, 4, 5]])
def test_shuffling_moves_all_targets_of_a_space_alike_and_mixes_no_spaces(seed):
    before, after = columns_with_holes(), shuffled(columns_with_holes(), seed)
    for old, new in zip(before, after, strict=True):
        assert (new.space, new.target, new.weight) == (old.space, old.target, old.weight)
        assert sorted(new.accuracies) == sorted(old.accuracies)
        assert (np.diff(new.places) > 0).all()
    for x_before, y_before, x_after, y_after in (
        (*before[:2], *after[:2]),
        (*before[2:], *after[2:]),
    ):
        assert new_places(x_before, x_after).keys() == set(x_before.places.tolist())
        moved = new_places(x_before, x_after)
        assert sorted(moved.values()) == sorted(moved)
        expected = {
            moved[place]: value
            for place, value in zip(y_before.places.tolist(), y_before.accuracies, strict=True)
        }
        assert dict(zip(y_after.places.tolist(), y_after.accuracies, strict=True)) == expected
        assert moved != {place: place for place in moved}


def test_figures_from_training_without_a_teacher_move_with_the_others():
    figures = np.arange(9.0)
    (moved,) = shuffled([dataclasses.replace(column(figures), apart=figures + 100)], 3)
    assert moved.places.tolist() == list(range(9))
    np.testing.assert_array_equal(moved.apart, moved.accuracies + 100)
    assert moved.accuracies.tolist() != figures.tolist()


def new_places(before, after):
    """Return where each architecture's figure went; the figures of a column are all different."""
    there = dict(zip(after.accuracies, after.places.tolist(), strict=True))
    return {
        place: there[value]
        for place, value in zip(before.places.tolist(), before.accuracies, strict=True)
    }


def test_shuffling_depends_on_the_seed_alone_and_gives_every_order():
    first, again = (shuffled(columns_with_holes(), [7, 1]) for _ in range(2))
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.places, other.places)
        np.testing.assert_array_equal(one.accuracies, other.accuracies)
    orders = Counter(
        tuple(shuffled([column([1.0, 2.0, 3.0])], seed)[0].accuracies) for seed in range(600)
    )
    assert len(orders) == 6
    assert min(orders.values()) > 60


def test_copies_of_a_network_are_shuffled_together_with_those_of_one_that_has_as_many():
    networks = np.array([0, 1, 0, 3, 1, 5, 5, 5, 3])
    figures = np.arange(9.0)
    seen = set()
    for seed in range(60):
        (new,) = shuffled([dataclasses.replace(column(figures), networks=networks)], seed)
        at = {k: tuple(new.accuracies[networks == k]) for k in (0, 1, 3, 5)}
        assert at[5] == (5, 6, 7)  # no other network has three copies
        assert {at[0], at[1], at[3]} == {(0, 2), (1, 4), (3, 8)}
        seen.add((at[0], at[1], at[3]))
    assert len(seen) == 6


def test_the_p_of_a_search_among_copies_is_rarely_small_where_there_is_nothing_to_find():
    small = 0
    for trial in range(60):
        generator = np.random.default_rng(trial)
        figures = np.repeat(generator.normal(size=20), 3) + generator.normal(scale=0.1, size=60)
        scores = np.repeat(generator.normal(size=(30, 20)), 3, axis=1)
        own = dataclasses.replace(column(figures), networks=np.repeat(np.arange(0, 60, 3), 3))
        columns = [own, *(shuffled([own], [trial, i])[0] for i in range(19))]
        best, *null = (np.abs(Ranker([each]).correlations(scores)).max() for each in columns)
        small += null_luck(best, null, "somers").p <= 0.1
    assert small / 60 < 0.25


def test_a_resample_leaves_a_network_out_with_all_its_copies_and_luck_counts_networks():
    generator = np.random.default_rng(0)
    networks = np.repeat(np.arange(0, 30, 3), 3)
    figures = generator.normal(size=30)
    own = dataclasses.replace(column(figures), networks=networks)
    (counts,) = resampled_columns([own], 50, seed=0)
    assert (counts == counts[:, networks]).all()
    assert (counts[:, ::3].sum(axis=1) == 10).all()
    assert chance_floor([own], "somers", 100) == chance_floor([column(figures[::3])], "somers", 100)
    alone = dataclasses.replace(own, networks=np.zeros(30, dtype=int))
    assert chance_floor([alone], "spearman", 100) == 0


# Searches on shuffled accuracies


def test_the_p_of_searches_on_shuffled_accuracies_counts_the_true_one_too():
    found = null_luck(0.5, [0.1, 0.2, 0.6], "somers")
    assert found.best == (0.1, 0.2, 0.6)
    assert found.floor == pytest.approx(0.3)
    assert found.deviation == pytest.approx(math.sqrt((0.04 + 0.01 + 0.09) / 3))
    assert found.p == 2 / 4
    assert found.corrected == without_luck(0.5, found.floor, "somers")
    assert null_luck(0.6, [0.1, 0.2, 0.6], "somers").p == 2 / 4  # as much counts as reached
    assert null_luck(0.7, [0.1, 0.2, 0.6], "somers").p == 1 / 4
    assert null_luck(0.0, [0.3], "somers").p == 1.0


# What chance reaches, and what is left without it


def unrelated(count, space="a", target="x"):
    return column(np.arange(float(count)), space=space, target=target)


@pytest.mark.parametrize(
    ("count", "candidates", "expected"),
    [(40, 10, 0.173), (40, 10_000, 0.425), (60, 1000, 0.288), (180, 10_000, 0.194)],
)
def test_chance_reaches_what_the_closed_form_says(count, candidates, expected):
    floor = chance_floor([unrelated(count)], "somers", candidates)
    assert floor == pytest.approx(expected, abs=5e-4)


@pytest.mark.parametrize("correlation", ["somers", "spearman"])
def test_chance_reaches_what_the_best_of_unrelated_scores_does(correlation):
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(2, 50))
    y = x + y  # targets that are alike
    columns = [column(x), column(y, target="y"), unrelated(30, "b", "z")]
    columns[2] = column(columns[2].accuracies, np.arange(50, 80), "b")
    best = []
    for _ in range(60):
        scores = generator.normal(size=(50, 80))
        found = [
            [CORRELATIONS[correlation](row[each.places], each.accuracies) for each in columns]
            for row in scores
        ]
        best.append(np.mean(found, axis=1).max())
    assert chance_floor(columns, correlation, 50) == pytest.approx(np.mean(best), rel=0.1)


def test_one_candidate_has_no_luck_of_selection():
    assert chance_floor([unrelated(40)], "somers", 1) == 0.0


LEVELS = {
    "two levels": np.repeat([0.0, 1.0], [50, 10]),
    "five levels": np.repeat([1.0, 2.0, 3.0, 4.0, 5.0], [2, 9, 30, 15, 4]),
}


@pytest.mark.parametrize("levels", LEVELS)
@pytest.mark.parametrize("correlation", ["somers", "kendall", "spearman"])
def test_chance_reaches_more_where_figures_are_coarse(correlation, levels):
    columns = [column(LEVELS[levels])]
    scores = np.random.default_rng(0).normal(size=(4000, 60))
    found = Ranker(columns, correlation).correlations(scores)[:, 0]
    reached = chance_floor(columns, correlation, 1000) / found.std()
    # The largest of 1,000 normal numbers has a mean of 3.241.
    assert reached == pytest.approx(3.241, rel=0.04)


@pytest.mark.parametrize("count", [3, 40, 999])
@pytest.mark.parametrize("correlation", ["somers", "kendall"])
def test_figures_without_ties_have_kendalls_deviation_to_the_last_bit(correlation, count):
    known = math.sqrt(2 * (2 * count + 5) / (9 * count * (count - 1)))
    assert luck._deviation(unrelated(count), correlation) == known


@pytest.mark.parametrize("count", [10, 11, 37, 100])
@pytest.mark.parametrize("correlation", ["somers", "spearman"])
def test_where_two_targets_rank_exactly_opposite_chance_reaches_nothing(correlation, count):
    generator = np.random.default_rng(0)
    for figures in generator.normal(size=(30, count)):  # what cancels is rounded to either side
        columns = [column(figures), column(100 - figures, target="loss")]
        assert chance_floor(columns, correlation, 1000) == pytest.approx(0, abs=1e-6)


def rank_correlation(squared, correlation="somers"):
    """Return the rank correlation of normal numbers of which one explains a share of the other."""
    if correlation == "spearman":
        return 6 / math.pi * math.asin(math.sqrt(squared) / 2)
    return 2 / math.pi * math.asin(math.sqrt(squared))


@pytest.mark.parametrize("correlation", ["somers", "kendall", "spearman"])
def test_a_search_that_is_not_misled_is_left_what_an_adjusted_r_squared_leaves(
    correlation, monkeypatch
):
    monkeypatch.setattr(luck, "MISLED", 0.0)
    count, predictors, r_squared = 40, 9, 0.8
    adjusted = 1 - (1 - r_squared) * (count - 1) / (count - predictors - 1)
    floor = rank_correlation(predictors / (count - 1), correlation)
    left = without_luck(rank_correlation(r_squared, correlation), floor, correlation)
    assert left == pytest.approx(rank_correlation(adjusted, correlation))


@pytest.mark.parametrize(("predictors", "signal"), [(10, 0.5), (30, 0.7), (50, 0.8)])
def test_a_search_that_is_misled_as_a_regression_is_left_what_regressions_reach_elsewhere(
    predictors, signal, monkeypatch
):
    monkeypatch.setattr(luck, "MISLED", 1.0)
    generator, count = np.random.default_rng(predictors), 100
    here, elsewhere = [], []
    for _ in range(500):
        basis = np.linalg.qr(generator.normal(size=(count, predictors)))[0]
        truth = basis @ generator.normal(size=predictors)
        truth *= math.sqrt(signal / (1 - signal) * count) / np.linalg.norm(truth)
        seen, other = truth + generator.normal(size=(2, count))
        fitted = basis @ (basis.T @ seen)
        here.append(fitted @ fitted / (seen @ seen))
        elsewhere.append((fitted @ other) ** 2 / (fitted @ fitted * (other @ other)))
    floor = rank_correlation(predictors / count)
    left = without_luck(rank_correlation(np.mean(here)), floor, "somers")
    assert left == pytest.approx(rank_correlation(np.mean(elsewhere)), abs=0.01)
    assert rank_correlation(np.mean(here)) - left > 0.03  # more than the tolerance


def test_what_is_left_without_luck_worked_by_hand():
    # r² = .8 and L = .2: the best explains .75, and the winner .5625 / (.75 + .5 * .2 * .25).
    assert MISLED == 0.5
    left = without_luck(rank_correlation(0.8), rank_correlation(0.2), "somers")
    assert left == pytest.approx(rank_correlation(0.5625 / 0.775))


def test_what_chance_reaches_leaves_nothing_and_what_is_perfect_stays():
    assert without_luck(0.3, 0.3, "somers") == without_luck(-0.2, 0.1, "somers") == 0.0
    assert without_luck(1.0, 1.0, "somers") == 0.0
    assert without_luck(1.0, 0.4, "somers") == pytest.approx(1.0)
    assert without_luck(0.4, 0.0, "somers") == pytest.approx(0.4)


def test_of_two_estimates_the_more_cautious_holds():
    generator = np.random.default_rng(5)
    accuracies = generator.normal(size=40)
    scores = accuracies + generator.normal(size=(30, 40))
    few, many = (
        selection_luck(scores, np.zeros(30), {}, [column(accuracies)], "somers", count)
        for count in (30, 10**9)
    )
    assert few.outside == many.outside == few.corrected
    assert many.floor == BRED * chance_floor([column(accuracies)], "somers", 10**9)
    assert many.corrected == without_luck(many.search, many.floor, "somers") < few.corrected
    assert np.diff(many.corrected_interval) == pytest.approx(np.diff(few.corrected_interval))


# Is any contender better than the benchmark?


def differences(generator, means, count=60, resamples=200):
    """Return mean differences of contenders on observations, and on bootstrap resamples."""
    seen = generator.normal(size=(len(means), count)) + np.array(means)[:, None]
    drawn = generator.multinomial(count, np.full(count, 1 / count), size=resamples)
    return seen.mean(1), seen @ drawn.T / count, count


def ps(means, trials, observations=60):
    generator = np.random.default_rng(0)
    drawn = (differences(generator, means, observations) for _ in range(trials))
    return np.array([superior(*each) for each in drawn])


@pytest.mark.parametrize(
    ("count", "observations", "slack"), [(1, 60, 1), (20, 400, 1), (20, 60, 1.5)]
)
def test_if_no_contender_is_better_the_p_is_rarely_small(count, observations, slack):
    found = ps([0.0] * count, 300, observations)  # of few observations it is small too often
    for level in (0.05, 0.1, 0.2, 0.4):
        error = math.sqrt(level * (1 - level) / len(found))
        assert level / 3 < (found <= level).mean() < slack * level + 3 * error


def test_a_contender_that_is_plainly_better_has_a_small_p():
    assert np.quantile(ps([0.0] * 19 + [0.8], 60), 0.9) < 0.02


def test_hundreds_of_poor_contenders_do_not_dilute_the_test():
    few, many = ([0.5], [0.5] + [-1.5] * 300)
    alone, beside = ps(few, 60), ps(many, 60)
    assert np.quantile(beside, 0.9) < 0.05
    assert abs(np.median(alone) - np.median(beside)) < 0.01
    for each in (few, many):  # the poor ones alone are not better
        assert min(ps([-mean for mean in each[:1]] + each[1:], 30)) > 0.5


def test_what_never_differs_from_the_benchmark_is_not_better():
    assert superior(np.zeros(3), np.zeros((3, 50)), 20) == 1.0
    better = np.array([0.0, 1.0]), np.stack([np.zeros(50), 1 + np.linspace(-0.1, 0.1, 50)])
    assert superior(*better, 20) == pytest.approx(1 / 51)


# The luck of a selection


def noisy(generator, truth, count, architectures):
    """Return accuracies, and scores of candidates whose D is `truth` in the long run."""
    rho = math.sin(math.pi / 2 * truth)
    accuracies = generator.normal(size=architectures)
    noise = generator.normal(size=(count, architectures))
    return accuracies, rho * accuracies + math.sqrt(1 - rho**2) * noise


@pytest.mark.parametrize("truth", [0.0, 0.3])
def test_without_its_luck_a_winner_has_what_it_has_elsewhere(truth):
    raw, corrected = [], []
    for seed in range(12):
        accuracies, scores = noisy(np.random.default_rng(seed), truth, 150, 60)
        found = selection_luck(scores, np.zeros(150), {}, [column(accuracies)], "somers", 150, seed)
        assert found.contenders == 150
        assert found.search == pytest.approx(max(somers(row, accuracies) for row in scores))
        assert found.optimism == pytest.approx(found.search - found.corrected)
        low, high = found.corrected_interval
        assert low < found.corrected < high
        assert (found.rival, found.rival_p) == (None, None)
        raw.append(found.search)
        corrected.append(found.corrected)
    assert abs(np.mean(corrected) - truth) < 0.03
    assert np.mean(raw) > truth + 0.15


def test_one_candidate_that_is_far_better_owes_little_to_luck():
    generator = np.random.default_rng(0)
    accuracies, scores = noisy(generator, 0.0, 50, 80)
    scores[7] = accuracies + 0.3 * generator.normal(size=80)
    found = selection_luck(scores, np.zeros(50), {}, [column(accuracies)], "somers", 50)
    assert found.search == pytest.approx(somers(scores[7], accuracies))
    assert abs(found.optimism) < 0.02


@pytest.mark.parametrize("correlation", ["somers", "kendall", "spearman"])
def test_the_luck_is_that_of_the_weighted_mean_of_the_columns(correlation):
    generator = np.random.default_rng(1)
    x, y = generator.normal(size=(2, 30))
    scores = np.stack([np.concatenate([x, y]), np.concatenate([x, -y]), np.ones(60)])
    columns = [column(x, weight=0.5), column(y, np.arange(30, 60), "b", weight=1.5)]
    found = selection_luck(scores, np.zeros(3), {}, columns, correlation, 3)
    assert (found.search, found.corrected) == pytest.approx((1.0, 1.0))
    rest = selection_luck(scores[1:], np.zeros(2), {}, columns, correlation, 2)
    assert rest.search == 0.0  # 0.5 - 1.5 is worse than to say nothing
    alone = selection_luck(scores[1:2], np.zeros(1), {}, columns, correlation, 1)
    assert (alone.search, alone.corrected) == pytest.approx((-0.5, -0.5))


def test_the_winner_is_chosen_after_costs():
    generator = np.random.default_rng(2)
    accuracies = generator.normal(size=40)
    good, fair = accuracies + 0.1 * generator.normal(size=40), accuracies.round()
    scores, columns = np.stack([good, fair]), [column(accuracies)]
    best, second = (somers(each, accuracies) for each in (good, fair))
    assert best > second
    for costs, expected in (([0.0, 0.0], best), ([0.9, 0.0], second), ([0.0, 0.9], best)):
        found = selection_luck(scores, np.array(costs), {}, columns, "somers", 2)
        assert found.search == pytest.approx(expected)
        assert (found.outside, found.corrected) == pytest.approx((expected, expected), abs=0.03)


def test_no_interval_ends_above_1_by_rounding():
    scores, ties = np.arange(20.0), np.arange(20) // 3
    found = selection_luck(scores[None], np.zeros(1), {}, [column(ties)], "somers", 1)
    assert found.corrected_interval[1] <= 1


def test_of_a_column_that_is_too_large_or_too_small_no_luck_is_said(monkeypatch):
    accuracies = np.arange(30.0)
    scores, columns = np.stack([accuracies, -accuracies]), [column(accuracies), column([1, 2, 3])]
    assert selection_luck(scores, np.zeros(2), {}, columns[:1], "somers", 2) is not None
    assert (
        selection_luck(scores, np.zeros(2), {}, columns, "somers", 2) is None
    )  # too little is left
    tied = column([1.0] * 28 + [2.0] * 2)  # what is left often ties, but mostly not
    assert selection_luck(scores, np.zeros(2), {}, [tied], "somers", 2) is not None
    one = column([1.0] * 29 + [2.0])  # the only other one is left out of the rest too often
    assert selection_luck(scores, np.zeros(2), {}, [one], "somers", 2) is None
    monkeypatch.setattr(luck, "LARGEST", 29)
    assert selection_luck(scores, np.zeros(2), {}, columns[:1], "somers", 2) is None


def test_the_rival_is_the_best_known_proxy_and_better_ones_are_told_from_luck():
    generator = np.random.default_rng(3)
    accuracies, scores = noisy(generator, 0.2, 60, 80)
    known = {
        "weak": generator.normal(size=80),
        "fair": accuracies + 1.5 * generator.normal(size=80),
    }
    columns = [column(accuracies)]
    nothing = selection_luck(scores, np.zeros(60), known, columns, "somers", 60)
    assert (nothing.rival, nothing.contenders) == ("fair", 60)
    assert nothing.rival_p > 0.2
    same = selection_luck(np.stack([known["fair"]]), np.zeros(1), known, columns, "somers", 1)
    assert same.rival_p == 1.0
    scores[5] = accuracies + 0.1 * generator.normal(size=80)
    better = selection_luck(scores, np.zeros(60), known, columns, "somers", 60)
    assert (better.rival, better.rival_p) == ("fair", pytest.approx(1 / 201))


def test_the_architectures_of_each_space_are_observations_whatever_their_targets(monkeypatch):
    observations = []
    monkeypatch.setattr(luck, "superior", lambda *given: observations.append(given[2]))
    accuracies, scores = noisy(np.random.default_rng(3), 0.2, 5, 30)
    columns = [
        column(accuracies, space=space, target=target)
        for space, target in (("a", "x"), ("a", "y"), ("b", "x"))
    ]
    selection_luck(scores, np.zeros(5), {"known": scores[0]}, columns, "somers", 5)
    assert observations == [60]


def test_the_same_seed_gives_the_same_luck():
    accuracies, scores = noisy(np.random.default_rng(4), 0.2, 20, 40)
    given = scores, np.zeros(20), {"known": scores[0]}, [column(accuracies)], "somers", 20
    assert selection_luck(*given, seed=3) == selection_luck(*given, seed=3)
    assert selection_luck(*given, seed=3) != selection_luck(*given, seed=4)

"""How the search algorithms choose."""

import math
import random

import numpy as np
import pytest
from deap import base, tools
from hypothesis import given
from hypothesis import strategies as st

from autoprox.evolution.algorithms import ALGORITHMS, Default, Random
from autoprox.evolution.base import PARSIMONY, ranked, worth
from autoprox.evolution.judge import Candidate
from autoprox.evolution.lexicase import lexicase
from autoprox.language.text import parse
from autoprox.ranking import spearman, standardised_ranks
from tests.evolution.worlds import (
    FIRST,
    SECOND,
    THIRD,
    begun,
    candidate,
    candidates,
    failure,
    grown,
    texts,
)

GRAPH = parse("sum(params)")


class Columns(base.Fitness):
    weights = (1.0, 1.0, 1.0, 1.0)


class Individual:
    """What DEAP's selection reads of a candidate."""

    def __init__(self, taus):
        self.fitness = Columns(taus)
        self.correlations = tuple(taus)


taus = st.lists(st.sampled_from([-0.5, 0.0, 0.1, 0.25, 0.3, 0.31, 0.6]), min_size=4, max_size=4)


@given(st.lists(taus, min_size=1, max_size=9), st.integers(0, 2**32))
def test_lexicase_selection_is_that_of_deap_draw_by_draw(rows, seed):
    state = random.getstate()
    try:
        random.seed(seed)
        (theirs,) = tools.selAutomaticEpsilonLexicase([Individual(row) for row in rows], 1)
        after = random.random()
        random.seed(seed)
        ours = lexicase([Candidate(GRAPH, tuple(row), 0.0, None, "") for row in rows])
        assert random.random() == after
    finally:
        random.setstate(state)
    assert ours.correlations == pytest.approx(theirs.correlations)


@pytest.mark.parametrize("size", [1, 5, 40])
def test_those_survive_that_rank_unlike_every_better_one(size):
    generator = np.random.default_rng(size)
    base_scores = generator.normal(size=(6, 30))
    scores = np.repeat(base_scores, 5, 0) + 0.2 * generator.normal(size=(30, 30))
    fitnesses = generator.random(30)
    rows = [
        Candidate(GRAPH, (fitness,), fitness, None, str(i), ranks=ranks)
        for i, (fitness, ranks) in enumerate(
            zip(fitnesses.tolist(), standardised_ranks(scores), strict=True)
        )
    ]
    failed = Candidate(GRAPH, (), None, "not finite", "")
    unranked = Candidate(GRAPH, (0.9,), 0.9, None, "known")
    algorithm = begun(Default, size, 10)
    algorithm.population = rows[:10]
    algorithm.survive([*rows[10:], failed, unranked])
    kept = []
    for i in np.argsort(-fitnesses):
        if len(kept) < size and all(spearman(scores[i], scores[j]) < 0.995 for j in kept):
            kept.append(i)
    assert [int(each.behaviour) for each in algorithm.population] == kept


@pytest.mark.parametrize(("below", "survivors"), [(0.0, 1), (4e-7, 2)])
def test_who_survives_is_no_matter_of_rounding(below, survivors):
    count = 20000
    first = np.repeat([1.0, -1.0], count // 2)  # products of them are off by 1e-5 in float32
    second = np.concatenate([-first[:50], first[50:]])  # 0.995 = 1 - 2 * 50 / 20000
    other = np.zeros(count)
    other[[400, 401]] = (count / 2) ** 0.5, -((count / 2) ** 0.5)
    second = second + math.sqrt((0.995 / (0.995 - below)) ** 2 - 1) * other
    rows = [
        Candidate(GRAPH, (0.5,), 0.5 - i / 10, None, str(i), ranks=ranks.astype(np.float32))
        for i, ranks in enumerate(each / np.linalg.norm(each) for each in (first, second))
    ]
    algorithm = begun(Default, 5, 5)
    algorithm.survive(rows)
    assert len(algorithm.population) == survivors


def test_ranks_that_correlate_by_the_limit_itself_are_alike():
    first = np.arange(49.0)
    second = first.copy()
    second[[0, 7]] = second[[7, 0]]  # 2 * 7 ** 2 = 98 = 0.005 * (49 ** 3 - 49) / 6
    assert spearman(first, second) == pytest.approx(0.995, abs=1e-12)
    both = standardised_ranks(np.stack([first, second]))
    rows = [
        Candidate(GRAPH, (0.5,), 0.5 - i / 10, None, str(i), ranks=each)
        for i, each in enumerate(both)
    ]
    algorithm = begun(Default, 5, 5)
    algorithm.survive(rows)
    assert algorithm.population == rows[:1]
    algorithm.population = []
    algorithm.survive([])
    assert algorithm.population == []


def test_the_best_come_first_then_the_smallest_then_in_the_order_of_their_texts():
    best, large, late, early = (
        candidate(text, fitness)
        for text, fitness in (
            ("exp(sum(params))", 0.5),
            ("exp(max(params))", 0.4),
            ("sum(params)", 0.4),
            ("max(params)", 0.4),
        )
    )
    mixed = [large, failure(SECOND), late, best, early]
    assert ranked(mixed) == [best, early, late, large]
    assert ranked(mixed, lambda each: -each.fitness) == [early, late, large, best]


def test_a_candidate_is_worth_its_fitness_less_what_its_nodes_cost():
    assert worth(candidate("exp(sum(params))", 0.5)) == 0.5 - 3 * PARSIMONY
    assert worth(failure("exp(sum(params))")) == -3 * PARSIMONY


@pytest.mark.parametrize("name", ALGORITHMS)
def test_a_search_starts_with_its_seeds_and_random_graphs_until_the_population_is_full(name):
    seeds = [parse(FIRST), parse(SECOND)]
    algorithm = begun(ALGORITHMS[name], 3, 4, seeds)
    proposals = list(algorithm.ask())
    assert texts(proposals) == [FIRST, SECOND, "add(1.0, sum(params))", "add(2.0, sum(params))"]
    assert all(each.parents == () for each in proposals)
    first, second = candidates(0.1, 0.2)
    algorithm.tell([first, second, failure(THIRD), candidate(THIRD, 0.1, first.behaviour)])
    assert algorithm.population == [second, first]
    assert not algorithm.state()["filled"]
    assert texts(algorithm.ask()) == [f"add({i}.0, sum(params))" for i in (3, 4, 5, 6)]
    third, fourth = candidate(THIRD, 0.3), candidate("exp(sum(params))", 0.15)
    algorithm.tell([third, fourth, candidate("log(sum(params))", 0.3, third.behaviour)])
    assert algorithm.population == [third, second, fourth]
    assert algorithm.state()["filled"]


def test_random_search_proposes_nothing_but_random_graphs():
    algorithm = grown(Random, candidates(0.5, 0.4), batch=3)
    proposals = list(algorithm.ask())
    assert texts(proposals) == [f"add({i}.0, sum(params))" for i in (1, 2, 3)]
    assert all(each.parents == () for each in proposals)


def test_random_search_keeps_the_fittest_of_members_and_newcomers():
    one, two, three, four, five = candidates(0.5, 0.1, 0.2, 0.3, 0.6)
    algorithm = grown(Random, [one, two, three])
    algorithm.tell([four, failure("exp(sum(params))"), five])
    assert algorithm.population == [five, one, four]
    algorithm.tell([two, three])
    assert algorithm.population == [five, one, four]


def test_random_search_keeps_no_two_that_rank_alike():
    (member,) = candidates(0.5)
    algorithm = grown(Random, [member], size=9)
    large, small, like_member = (
        candidate("exp(max(params))", 0.3, "same"),
        candidate(SECOND, 0.3, "same"),
        candidate(THIRD, 0.5, member.behaviour),
    )
    algorithm.tell([large, like_member, small])
    assert algorithm.population == [member, small]
    algorithm.tell([large, small, member])
    assert algorithm.population == [member, small]

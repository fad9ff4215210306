"""EMQ's search: the better of child and newcomer enters, if it passes the screening."""

import numpy as np
import pytest

from autoprox.evolution.algorithms import Emq
from autoprox.evolution.judge import FEW, judged
from autoprox.language.text import parse
from tests.evolution.worlds import (
    FIRST,
    SECOND,
    TEXTS,
    THIRD,
    Drawn,
    begun,
    candidate,
    candidates,
    failure,
    grown,
    texts,
)

CHILD, NEWCOMER = "log(sum(params))", "add(1, sum(params))"
OTHER_CHILD, OTHER_NEWCOMER = "log(max(params))", "add(2, sum(params))"
YES, NO = 0.0, 1.0 - 1e-9


@pytest.mark.parametrize(("members", "best"), [(15, 3), (14, 2), (3, 2), (2, 2)])
def test_two_parents_are_drawn_from_the_best_share_but_from_two_at_least(
    members, best, monkeypatch
):
    drawn = Drawn(monkeypatch, [NO, NO])
    population = candidates(*(0.01 * i for i in range(members)))
    algorithm = grown(Emq, population, batch=4)
    algorithm.offspring()
    assert drawn.samples == [(population[::-1][:best], 2)] * 2


@pytest.mark.parametrize(
    ("draws", "born", "parents"),
    [
        ([YES, YES], f"log(divide({FIRST}, {SECOND}))", (FIRST, SECOND)),
        ([YES, NO], f"divide({FIRST}, {SECOND})", (FIRST, SECOND)),
        ([NO], f"log({FIRST})", (FIRST,)),
    ],
)
def test_the_parents_cross_and_the_child_mutates_at_times_but_one_of_both_always_happens(
    draws, born, parents, monkeypatch
):
    drawn = Drawn(monkeypatch, draws)
    algorithm = grown(Emq, candidates(0.9, 0.8, 0.1), batch=2)
    child, newcomer = algorithm.offspring()
    assert (child.graph.text, child.parents) == (born, parents)
    assert (newcomer.graph.text, newcomer.parents) == ("add(1.0, sum(params))", ())
    assert drawn.left == []


def test_the_shares_of_crossed_and_of_mutated_children_are_what_they_are_said_to_be(monkeypatch):
    at, below = Emq.crossover, np.nextafter(Emq.crossover, 0)
    drawn = Drawn(monkeypatch, [at, below, Emq.mutation, below, np.nextafter(Emq.mutation, 0)])
    algorithm = grown(Emq, candidates(0.9, 0.8), batch=6)
    assert texts(algorithm.offspring())[::2] == [
        f"log({FIRST})",
        f"divide({FIRST}, {SECOND})",
        f"log(divide({FIRST}, {SECOND}))",
    ]
    assert drawn.left == []


@pytest.mark.parametrize("batch", [4, 5])
def test_every_child_is_followed_by_a_newcomer(batch, monkeypatch):
    Drawn(monkeypatch, [NO, NO])
    algorithm = grown(Emq, candidates(0.9, 0.8), batch=batch)
    assert texts(algorithm.offspring()) == [
        f"log({FIRST})",
        "add(1.0, sum(params))",
        f"log({FIRST})",
        "add(2.0, sum(params))",
    ]


@pytest.mark.parametrize(
    ("child", "newcomer", "enters"), [(0.6, 0.5, CHILD), (0.5, 0.6, NEWCOMER), (0.5, 0.5, CHILD)]
)
def test_the_better_of_child_and_newcomer_enters_and_the_smaller_of_equals(child, newcomer, enters):
    (member,) = candidates(0.9)
    algorithm = grown(Emq, [member], size=5)
    algorithm.survive([candidate(CHILD, child), candidate(NEWCOMER, newcomer)])
    assert texts(algorithm.population) == [FIRST, parse(enters).text]


def test_each_newcomer_competes_with_the_child_before_it_and_with_no_other():
    (member,) = candidates(0.95)
    algorithm = grown(Emq, [member], size=5, batch=4)
    pairs = [
        candidate(CHILD, 0.9),
        candidate(NEWCOMER, 0.8),
        candidate(OTHER_CHILD, 0.1),
        candidate(OTHER_NEWCOMER, 0.2),
    ]
    algorithm.survive(pairs)
    assert algorithm.population == [member, pairs[0], pairs[3]]


def test_a_failure_leaves_its_place_to_the_other_of_the_pair_and_two_leave_none():
    (member,) = candidates(0.9)
    algorithm = grown(Emq, [member], size=5, batch=6)
    child, newcomer = candidate(CHILD, 0.2), candidate(OTHER_NEWCOMER, 0.1)
    algorithm.survive(
        [
            child,
            failure(NEWCOMER),
            failure(OTHER_CHILD),
            newcomer,
            failure(OTHER_CHILD),
            failure(NEWCOMER),
        ]
    )
    assert algorithm.population == [member, child, newcomer]


def test_the_worst_leave_for_what_enters_and_what_enters_may_be_the_worst():
    population = candidates(0.5, 0.4, 0.3)
    algorithm = grown(Emq, population)
    child = candidate(CHILD, 0.45)
    algorithm.survive([child, candidate(NEWCOMER, 0.1)])
    assert algorithm.population == [population[0], child, population[1]]
    algorithm.survive([candidate(OTHER_CHILD, 0.2), candidate(OTHER_NEWCOMER, 0.3)])
    assert algorithm.population == [population[0], child, population[1]]


def test_what_ranks_like_a_member_is_not_let_in_nor_is_the_worse_one_in_its_place():
    (member,) = candidates(0.5)
    algorithm = grown(Emq, [member], size=5)
    alike = candidate(CHILD, 0.5, behaviour=member.behaviour)
    algorithm.survive([alike, candidate(NEWCOMER, 0.1)])
    assert algorithm.population == [member]


def test_of_two_pairs_whose_better_ones_rank_alike_one_enters():
    (member,) = candidates(0.9)
    algorithm = grown(Emq, [member], size=5, batch=4)
    first = candidate(CHILD, 0.5, behaviour="same")
    second = candidate(OTHER_CHILD, 0.5, behaviour="same")
    algorithm.survive([first, candidate(NEWCOMER, 0.1), second, candidate(OTHER_NEWCOMER, 0.2)])
    assert algorithm.population == [member, first]


def test_what_has_left_the_population_may_come_back():
    first, second, third = candidates(0.5, 0.4, 0.6)
    algorithm = grown(Emq, [first, second])
    algorithm.survive([third, failure(NEWCOMER)])
    assert algorithm.population == [third, first]
    algorithm.population = [third]
    algorithm.survive([second, failure(NEWCOMER)])
    assert algorithm.population == [third, second]


def test_what_cannot_tell_the_first_few_apart_does_not_compete():
    (member,) = candidates(0.9)
    algorithm = grown(Emq, [member], size=5, batch=6)
    newcomer, child = candidate(NEWCOMER, 0.1), candidate(OTHER_CHILD, 0.2)
    algorithm.survive(
        [
            candidate(CHILD, 0.8, few=False),
            newcomer,
            child,
            candidate(OTHER_NEWCOMER, 0.7, few=False),
            candidate(SECOND, 0.6, few=False),
            candidate(THIRD, 0.5, few=False),
        ]
    )
    assert algorithm.population == [member, child, newcomer]


def test_who_is_refused_is_no_matter_of_ranks_which_known_candidates_have_lost():
    (member,) = candidates(0.9)
    algorithm = grown(Emq, [member], size=5, batch=4)
    flat = np.array([0.0, 0.0, 0.0, 0.0, 0.7, -0.7], np.float32)
    varied = np.linspace(-0.6, 0.6, 6).astype(np.float32)
    known, new = (
        candidate(text, 0.5, few=True, ranks=ranks)
        for text, ranks in zip(TEXTS[1:3], [None, varied], strict=True)
    )
    algorithm.survive(
        [
            candidate(CHILD, 0.8, few=False),
            known,
            candidate(OTHER_CHILD, 0.7, few=False, ranks=flat),
            new,
        ]
    )
    assert texts(algorithm.population) == [FIRST, *sorted(TEXTS[1:3])]


@pytest.mark.parametrize(
    ("first", "tells"),
    [([0.0] * FEW, False), ([0.0] * (FEW - 1) + [0.5], True), ([0.5] + [0.0] * (FEW - 1), True)],
)
@pytest.mark.parametrize("sign", [1, -1])
def test_a_judged_candidate_says_whether_the_first_few_architectures_differ(first, tells, sign):
    ranks = np.array([*first, 0.3, -0.2, -0.6], np.float32)
    found = judged(parse(FIRST), ranks, np.array([sign * 0.5]), sign * 0.5)
    assert found.tells_few_apart is tells
    assert found.fitness == 0.5
    assert found.correlations == (0.5,)
    np.testing.assert_array_equal(found.ranks, sign * ranks)


def test_the_first_population_is_screened_as_all_that_comes_later():
    algorithm = begun(Emq, 2, 4)
    blind = candidate(FIRST, 0.9, few=False)
    algorithm.tell([blind, candidate(SECOND, 0.2), failure(THIRD)])
    assert texts(algorithm.population) == [SECOND]
    assert not algorithm.filled

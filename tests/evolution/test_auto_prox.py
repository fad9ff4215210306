"""Auto-Prox's search: mutate one of the best of a sample, and accept only what improves."""

import json
import math

import pytest

from autoprox.evolution.algorithms import AutoProx
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


def child(parent_text, fitness):
    return candidate(f"log({parent_text})", fitness)


def test_parents_are_drawn_from_the_best_of_a_sample_of_half_the_population(monkeypatch):
    drawn = Drawn(monkeypatch)
    population = candidates(*(0.1 * (i % 7) for i in range(14)))
    algorithm = grown(AutoProx, population, batch=2)
    proposals = algorithm.offspring()
    assert drawn.samples == [(population, 7)] * 2
    best = [population[i] for i in (6, 5, 4, 3, 2)]
    assert drawn.choices == [best] * 2
    assert AutoProx.top == len(best)
    assert texts(proposals) == [f"log({TEXTS[2]})"] * 2
    assert [each.parents for each in proposals] == [(TEXTS[2],)] * 2


@pytest.mark.parametrize(("members", "count"), [(2, 1), (3, 1), (5, 2)])
def test_a_sample_of_a_small_population_is_rounded_down_but_never_empty(
    members, count, monkeypatch
):
    drawn = Drawn(monkeypatch)
    algorithm = grown(AutoProx, candidates(*[0.5] * members), batch=1)
    algorithm.offspring()
    assert [taken for _, taken in drawn.samples] == [count]


@pytest.mark.parametrize(
    ("gain", "accepted"),
    [
        (0.5, True),
        (AutoProx.margin, True),
        (math.nextafter(AutoProx.margin, 0), False),
        (0.0, False),
        (-0.5, False),
        (None, False),
    ],
)
def test_a_child_is_accepted_if_it_is_better_than_its_parent_by_the_margin(
    gain, accepted, monkeypatch
):
    Drawn(monkeypatch)
    parent = candidate(FIRST, 0.0)
    algorithm = grown(AutoProx, [parent], size=5, batch=1)
    algorithm.offspring()
    born = failure(f"log({FIRST})") if gain is None else child(FIRST, gain)
    algorithm.survive([born])
    assert algorithm.population == ([born, parent] if accepted else [parent])


def test_a_child_is_held_against_its_own_parent_not_against_the_best_or_the_worst(monkeypatch):
    Drawn(monkeypatch)
    best, parent, worst = candidates(0.9, 0.5, 0.1)
    algorithm = grown(AutoProx, [best, parent, worst], size=9, batch=2)
    algorithm.at_work = [(parent, 0), (best, 0)]
    assert texts(algorithm.offspring()) == [f"log({SECOND})", f"log({FIRST})"]
    better, worse = child(SECOND, 0.6), child(FIRST, 0.8)
    algorithm.survive([better, worse])
    assert algorithm.population == [best, better, parent, worst]


def test_the_parent_of_a_refused_child_is_mutated_again_and_one_is_drawn_for_the_rest(monkeypatch):
    drawn = Drawn(monkeypatch)
    first, second, third = candidates(0.3, 0.2, 0.1)
    algorithm = grown(AutoProx, [third, second, first], batch=2)
    algorithm.at_work = [(first, 0), (second, 0)]
    algorithm.offspring()
    assert drawn.samples == []
    algorithm.survive([child(FIRST, 0.5), child(SECOND, 0.1)])
    proposals = algorithm.offspring()
    assert texts(proposals) == [f"log({SECOND})", f"log(log({FIRST}))"]
    assert len(drawn.samples) == 1


def test_a_parent_has_so_many_tries_and_no_more(monkeypatch):
    drawn = Drawn(monkeypatch)
    first, second = candidates(0.3, 0.2)
    algorithm = grown(AutoProx, [first, second], batch=1)
    algorithm.at_work = [(second, 0)]
    proposed = []
    for _ in range(AutoProx.tries + 1):
        proposed += texts(algorithm.offspring())
        algorithm.survive([failure(proposed[-1])])
    assert proposed == [f"log({SECOND})"] * AutoProx.tries + [f"log({FIRST})"]
    assert len(drawn.samples) == 1
    assert algorithm.at_work == [(first, 1)]


def test_a_parent_that_is_drawn_again_has_all_its_tries_again(monkeypatch):
    Drawn(monkeypatch)
    (only,) = candidates(0.3)
    algorithm = grown(AutoProx, [only], batch=1)
    tries = []
    for _ in range(AutoProx.tries + 2):
        algorithm.offspring()
        tries.append(algorithm.at_work[0][1])
        algorithm.survive([failure(FIRST)])
    assert tries == [*range(AutoProx.tries), 0, 1]


def test_as_many_of_the_worst_leave_as_children_were_accepted(monkeypatch):
    Drawn(monkeypatch)
    first, second, third, fourth = candidates(0.4, 0.3, 0.2, 0.1)
    algorithm = grown(AutoProx, [second, fourth, first, third], batch=2)
    algorithm.at_work = [(third, 0), (fourth, 0)]
    born = [child(THIRD, 0.35), child(TEXTS[3], 0.25)]
    algorithm.survive(born)
    assert algorithm.population == [first, born[0], second, born[1]]
    algorithm.at_work = [(first, 0)]
    algorithm.survive([child(FIRST, 0.39)])
    assert algorithm.population == [first, born[0], second, born[1]]


def test_an_accepted_child_may_be_the_worst_itself(monkeypatch):
    Drawn(monkeypatch)
    first, second = candidates(0.4, 0.3)
    gone = candidate(THIRD, 0.1)
    algorithm = grown(AutoProx, [first, second], batch=1)
    algorithm.at_work = [(gone, 0)]
    algorithm.survive([child(THIRD, 0.2)])
    assert algorithm.population == [first, second]
    assert algorithm.at_work == []


def test_parents_in_work_come_back_from_a_checkpoint_even_if_they_left_the_population(monkeypatch):
    Drawn(monkeypatch)
    first, second, gone = candidates(0.3, 0.2, 0.1)
    algorithm = grown(AutoProx, [first, second], batch=2)
    algorithm.at_work = [(gone, 0), (first, 2)]
    algorithm.offspring()
    algorithm.survive([failure(f"log({THIRD})"), failure(f"log({FIRST})")])
    state = json.loads(json.dumps(algorithm.state()))
    again = begun(AutoProx, 2, 2, variation=algorithm.variation)
    known = {each.graph.text: each for each in (first, second, gone)}
    again.restore([first, second], state, known)
    assert again.at_work == algorithm.at_work == [(gone, 1), (first, 3)]
    assert again.filled
    assert texts(again.ask()) == [f"log({THIRD})", f"log({FIRST})"]

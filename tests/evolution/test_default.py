"""Our search: lexicase parents, newcomers, crossover, clearing, parsimony."""

import json
import math

import numpy as np
import pytest

from autoprox.evolution.algorithms import Default
from autoprox.evolution.base import PARSIMONY, worth
from autoprox.evolution.lexicase import lexicase
from autoprox.evolution.variation import ATTEMPTS
from autoprox.language.graph import apply
from autoprox.language.text import parse
from tests.evolution.worlds import (
    FIRST,
    FOURTH,
    SECOND,
    TEXTS,
    THIRD,
    Drawn,
    Spelling,
    begun,
    candidate,
    candidates,
    failure,
    grown,
    texts,
)

CHILD, CROSSED = 1.0 - 1e-9, 0.0


def at(degrees):
    """Return ranks whose products are cosines: alike within 5.7 degrees, as cos(5.7°) > 0.995."""
    turn = math.radians(degrees)
    return np.array([math.cos(turn), math.sin(turn)], np.float32)


def ranking(text, fitness, degrees, **more):
    return candidate(text, fitness, ranks=at(degrees), **more)


def test_most_proposals_are_children_of_two_or_of_one_and_a_few_are_newcomers(monkeypatch):
    below_newcomers, below_crossover = (
        math.nextafter(share, 0) for share in (Default.newcomers, Default.crossover)
    )
    draws = [below_newcomers, Default.newcomers, below_crossover, CHILD, Default.crossover]
    drawn = Drawn(monkeypatch, draws)
    algorithm = grown(Default, candidates(0.5), batch=3)
    newcomer, crossed, mutant = algorithm.offspring()
    assert (newcomer.graph.text, newcomer.parents) == ("add(1.0, sum(params))", ())
    assert (crossed.graph.text, crossed.parents) == (f"divide({FIRST}, {FIRST})", (FIRST, FIRST))
    assert (mutant.graph.text, mutant.parents) == (f"log({FIRST})", (FIRST,))
    assert drawn.left == []


@pytest.mark.parametrize(("members", "best"), [(40, 8), (25, 5), (14, 2), (3, 2)])
def test_each_parent_is_selected_from_a_few_of_the_best_that_are_drawn_anew(
    members, best, monkeypatch
):
    found = [candidate(f"add({i}, sum(params))", 1 - 0.01 * i) for i in range(members)]
    drawn = Drawn(monkeypatch, [CHILD, CROSSED, CHILD, CHILD])
    tuple(grown(Default, found, batch=2).offspring())
    assert drawn.samples == [(found[:best], min(best, Default.competing))] * 3


def test_who_is_outstanding_on_one_column_is_a_parent_though_others_are_fitter(monkeypatch):
    specialist = candidate(FIRST, 0.4, correlations=(0.9, -0.1))
    fitter = [candidate(f"add({i}, sum(params))", 0.5, correlations=(0.5, 0.5)) for i in range(24)]
    Drawn(monkeypatch, [CHILD, CROSSED, CHILD, CHILD])
    members = [*fitter[:4], specialist, *fitter[4:]]
    crossed, mutant = grown(Default, members, batch=2).offspring()
    assert crossed.parents == (FIRST, FIRST)
    assert mutant.parents == (FIRST,)


def test_lexicase_selection_takes_column_after_column_and_the_last_ones_by_lot(monkeypatch):
    drawn = Drawn(monkeypatch)
    rows = [(0.9, 0.1, 0.3), (0.9, 0.7, 0.2), (0.9, 0.7, 0.2), (0.1, 0.9, 0.9), (0.9, 0.1, 0.9)]
    found = [candidate(text, 0.5, correlations=row) for text, row in zip(TEXTS, rows, strict=False)]
    assert lexicase(found) is found[2]
    assert drawn.choices == [found[1:3]]


def test_lexicase_selection_spares_those_within_a_median_absolute_deviation(monkeypatch):
    drawn = Drawn(monkeypatch)
    values = (16, 13, 10, 4)  # the median is 11.5; deviations are 4.5, 1.5, 1.5 and 7.5
    found = [
        candidate(text, each, correlations=(each,))
        for text, each in zip(TEXTS, values, strict=False)
    ]
    lexicase(found)
    assert drawn.choices == [found[:2]]


def test_lexicase_selection_over_families_takes_the_mean_of_their_columns(monkeypatch):
    drawn = Drawn(monkeypatch)
    rows = [(0.9, 0.1, 0.8), (0.6, 0.6, 0.9), (0.6, 0.6, 0.2)]
    found = [candidate(text, 0.5, correlations=row) for text, row in zip(TEXTS, rows, strict=False)]
    assert lexicase(found, [(0, 1), (2,)]) is found[1]
    assert drawn.choices == [found[1:2]]


def test_over_lexicase_the_whole_population_competes_over_the_families(monkeypatch):
    rows = [(0.6, 0.6, 0.2)] * 9 + [(0.2, 0.2, 0.9)]
    found = [
        candidate(f"add({i}, sum(params))", 1 - 0.01 * i, correlations=row)
        for i, row in enumerate(rows)
    ]
    Drawn(monkeypatch, [CHILD, CHILD])
    algorithm = grown(Default, found, batch=1)
    algorithm.families = ((2,), (0, 1))
    (mutant,) = algorithm.offspring()
    assert mutant.parents == (found[-1].graph.text,)


def test_lexicase_selection_of_none_is_refused_in_a_sentence():
    with pytest.raises(ValueError, match="needs a candidate to select; got none"):
        lexicase([])


def test_a_population_without_a_member_gives_newcomers(monkeypatch):
    drawn = Drawn(monkeypatch)
    algorithm = grown(Default, [], size=5, batch=3)
    algorithm.survive([failure(FIRST)])
    proposals = list(algorithm.ask())
    assert texts(proposals) == [f"add({i}.0, sum(params))" for i in (1, 2, 3)]
    assert all(each.parents == () for each in proposals)
    assert drawn.samples == []


def test_a_population_that_clearing_made_smaller_has_children(monkeypatch):
    Drawn(monkeypatch, [CHILD, CHILD])
    algorithm = grown(Default, [], size=5, batch=1)
    algorithm.survive([ranking(FIRST, 0.5, 0), ranking(SECOND, 0.4, 1)])
    assert texts(algorithm.population) == [FIRST]
    assert texts(algorithm.ask()) == [f"log({FIRST})"]


@pytest.mark.parametrize("member", [0, 1])
def test_of_two_that_rank_alike_the_better_survives_be_it_a_member_or_a_child(member):
    pair = [ranking(FIRST, 0.5, 0), ranking(SECOND, 0.4, 5.7)]
    other = ranking(THIRD, 0.3, 60)
    algorithm = grown(Default, [pair[member]], size=5)
    algorithm.survive([other, pair[1 - member]])
    assert algorithm.population == [pair[0], other]


def test_only_survivors_clear_and_opposites_are_not_alike():
    best = ranking(FIRST, 0.5, 0)
    cleared = ranking(SECOND, 0.4, 4)
    spared = ranking(THIRD, 0.3, 5.8)
    opposite = ranking(FOURTH, 0.2, 180)
    algorithm = grown(Default, [opposite, spared, cleared, best], size=5)
    algorithm.survive([])
    assert algorithm.population == [best, spared, opposite]


def test_what_has_no_place_clears_nothing_and_the_best_by_worth_have_places():
    found = [ranking(text, 0.1 * i, 30 * i) for i, text in enumerate(TEXTS[:5])]
    algorithm = grown(Default, found[:2], size=3)
    algorithm.survive(found[2:])
    assert algorithm.population == found[:1:-1]


def larger(text, nodes):
    graph = parse(text)
    for _ in range(nodes):
        graph = apply("log", graph)
    return graph.text


@pytest.mark.parametrize(("gain", "larger_survives"), [(0.5, False), (1.5, True)])
@pytest.mark.parametrize("alike", [True, False])
def test_a_larger_proxy_survives_a_smaller_only_if_its_fitness_pays_for_its_nodes(
    gain, larger_survives, alike
):
    small = ranking(FIRST, 0.5, 0)
    large = ranking(larger(FIRST, 4), 0.5 + 4 * gain * PARSIMONY, 0 if alike else 90)
    assert (worth(large) > worth(small)) is larger_survives
    for order in ([small, large], [large, small]):
        algorithm = grown(Default, order[:1], size=2 if alike else 1)
        algorithm.survive(order[1:])
        assert algorithm.population == [large if larger_survives else small]


def generation(algorithm, *fitnesses):
    """Let an algorithm take candidates that rank unlike each other."""
    texts = iter(TEXTS)
    algorithm.tell([ranking(next(texts), each, 30 * i) for i, each in enumerate(fitnesses)])


def test_a_population_without_a_better_best_for_some_generations_starts_anew():
    algorithm = begun(Default, 2, 4)
    generation(algorithm, 0.5, 0.4)
    assert algorithm.filled
    for _ in range(Default.patience - 1):
        generation(algorithm, 0.5, 0.3)
        assert algorithm.population
    generation(algorithm, 0.6)  # a better best in time
    for _ in range(Default.patience - 1):
        generation(algorithm, 0.1)
    assert texts(algorithm.population)[0] == FIRST
    generation(algorithm, 0.1)
    assert (algorithm.population, algorithm.filled) == ([], False)
    assert texts(algorithm.ask()) == [f"add({i}.0, sum(params))" for i in (1, 2, 3, 4)]
    generation(algorithm, 0.2)  # worse than the earlier best, and the best of the new start
    assert texts(algorithm.population) == [FIRST]


def test_a_new_start_does_not_begin_with_the_seeds_again():
    seeds = [parse(text) for text in (FIRST, SECOND)]
    algorithm, resumed = begun(Default, 2, 2, seeds), begun(Default, 2, 2, seeds)
    assert texts(algorithm.ask()) == [FIRST, SECOND]
    generation(algorithm, 0.5, 0.4)
    for _ in range(Default.patience):
        generation(algorithm, 0.1)
    resumed.restore(algorithm.kept, json.loads(json.dumps(algorithm.state())), {})
    for search in (algorithm, resumed):
        assert (search.population, search.filled) == ([], False)
        assert texts(search.ask()) == [f"add({i}.0, sum(params))" for i in (1, 2)]


def test_a_population_that_gets_no_better_either_is_joined_by_the_one_before():
    algorithm = begun(Default, 2, 4)
    old = [ranking(FIRST, 0.5, 0), ranking(SECOND, 0.4, 90)]
    algorithm.tell(old)
    for _ in range(Default.patience):
        algorithm.tell([])
    assert (algorithm.population, algorithm.kept) == ([], old)
    young = [ranking(THIRD, 0.45, 45), ranking(FOURTH, 0.1, 135)]
    algorithm.tell(young)
    resumed = begun(Default, 2, 4)
    resumed.restore(algorithm.kept, json.loads(json.dumps(algorithm.state())), {})
    for search in (algorithm, resumed):
        assert search.kept == [*young, *old]
        for _ in range(Default.patience):
            assert search.population == young
            search.tell([])
        assert search.population == search.kept == [old[0], young[0]]
        for _ in range(1 + Default.patience):  # its best is new once; then it starts anew
            search.tell([])
        assert search.population == []


def test_what_an_earlier_population_knew_does_not_come_back_without_its_ranks():
    algorithm = begun(Default, 2, 4)
    algorithm.tell([candidate(FIRST, 0.9, ranks=None), ranking(SECOND, 0.2, 0)])
    assert texts(algorithm.population) == [SECOND]


def test_a_resumed_search_is_as_impatient_as_it_was():
    first, second = begun(Default, 2, 4), begun(Default, 2, 4)
    generation(first, 0.5, 0.4)
    for _ in range(Default.patience - 1):
        generation(first, 0.5)
    state = json.loads(json.dumps(first.state()))
    second.restore(list(first.population), state, {})
    generation(second, 0.5)
    assert second.population == []


KNOWN, NOVEL = "sum(mean(act))", "sum(std(act))"


class Mutants(Spelling):
    """A variation whose mutants are told."""

    def __init__(self, *expressions):
        super().__init__()
        self.left = [parse(each) for each in expressions]

    def mutated(self, parent):
        return self.left.pop(0)


def with_mutants(*expressions):
    algorithm = grown(Default, [candidate(KNOWN, 0.5)], batch=1)
    algorithm.variation = Mutants(*expressions)
    algorithm.tell([candidate(KNOWN, 0.5)])
    return algorithm


def test_a_child_with_a_reduction_that_nobody_had_is_most_often_drawn_again(monkeypatch):
    drawn = Drawn(monkeypatch, [CHILD, CHILD, Default.novel, CHILD, CHILD])
    algorithm = with_mutants(NOVEL, f"log({KNOWN})")
    assert texts(algorithm.ask()) == [f"log({KNOWN})"]
    assert drawn.left == []


def test_one_child_in_ten_may_bring_a_reduction_that_nobody_had(monkeypatch):
    drawn = Drawn(monkeypatch, [CHILD, CHILD, math.nextafter(Default.novel, 0)])
    assert texts(with_mutants(NOVEL).ask()) == [NOVEL]
    assert drawn.left == []


def test_a_child_is_drawn_again_only_so_often(monkeypatch):
    Drawn(monkeypatch, [CHILD, CHILD, Default.novel] * ATTEMPTS)
    assert texts(with_mutants(*[NOVEL] * ATTEMPTS).ask()) == [NOVEL]


def test_what_valid_candidates_had_is_known_also_after_a_resumption(monkeypatch):
    draws = [CHILD, CHILD, Default.novel, CHILD, CHILD]
    algorithm = with_mutants(NOVEL, KNOWN)
    known = {NOVEL: candidate(NOVEL, 0.1)}
    algorithm.restore(list(algorithm.population), algorithm.state(), known)
    algorithm.tell([failure("sum(max(act))")])
    drawn = Drawn(monkeypatch, draws[:2])
    assert texts(algorithm.ask()) == [NOVEL]
    assert drawn.left == []
    algorithm.variation = Mutants("sum(max(act))", KNOWN)
    Drawn(monkeypatch, draws)
    assert texts(algorithm.ask()) == [KNOWN]

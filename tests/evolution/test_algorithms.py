"""How the search algorithms choose."""

import random

import pytest
from deap import base, tools
from hypothesis import given
from hypothesis import strategies as st

from autoprox.evolution.algorithms import lexicase
from autoprox.evolution.judge import Candidate
from autoprox.text import parse

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

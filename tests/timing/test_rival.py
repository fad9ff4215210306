"""The search of a user of DEAP: its words and trees mean what autoprox's do."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch

from autoprox.evaluation.evaluate import Evaluator
from autoprox.evolution.drawing import drawing_from
from autoprox.language.text import parse
from autoprox.primitives import PRIMITIVES, Entries, Form
from autoprox.primitives.kinds import Layer, Network, Relation
from autoprox.primitives.primitive import call
from autoprox.ranking import Column
from autoprox.timing import rival as rival_module
from autoprox.timing.rival import (
    ELEMENTWISE,
    REDUCTIONS,
    WORDS,
    DeapSearch,
    correlations,
    global_random,
    joint_correlation,
    search,
    silence,
    writes,
)
from autoprox.timing.stage import laid
from autoprox.timing.ways import SCIPY as BY_SCIPY
from tests.scipy_correlations import SCIPY

TINY = str(Path(__file__).parents[1] / "tiny_bench.py")
PLAIN = {**ELEMENTWISE, **REDUCTIONS}


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cache")
    return laid(TINY, "cnn", 200, folder, 1, 60, 0, lambda *told: None)


def values_of(name, kind):
    """Return arguments of a word: of three rows with four entries."""
    made, generator = PRIMITIVES[name], np.random.default_rng(0)
    shape = (3, 4, 4) if kind is Relation else (3, 4)
    dtype = torch.float64 if kind is Layer else torch.float32
    values = [torch.tensor(generator.normal(size=shape), dtype=dtype) for _ in range(made.arity)]
    return made, values


@pytest.mark.parametrize("name", PLAIN)
def test_a_plain_word_gives_what_the_primitive_gives_on_tensors(name):
    made, values = values_of(name, Relation)
    sizes = torch.full((3,), 100.0, dtype=torch.float64)
    with silence():
        plain = PLAIN[name](*(each.numpy() for each in values))
    np.testing.assert_allclose(plain, call(made, values, Entries(sizes)), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", [name for name in PLAIN if Layer in PRIMITIVES[name].kinds])
def test_a_plain_word_leaves_out_the_layers_that_a_network_lacks(name):
    made, values = values_of(name, Layer)
    present = torch.tensor([[True, False, True, True]] * 3)
    there = Entries(present.sum(1, dtype=torch.float64), present)
    expected = call(made, values, there)
    if made.form is not Form.REDUCTION:
        expected = torch.where(present, expected, torch.nan)
    for row, wanted in enumerate(expected):
        network = [torch.where(present, each, torch.nan)[row].numpy() for each in values]
        with silence():
            np.testing.assert_allclose(PLAIN[name](*network), wanted, rtol=1e-6, atol=1e-9)


FORMULAS = (
    "mean(mean(multiply(weight, grad)))",
    "mean(log(std(act)))",
    "add(2.0, std(divide(params, 3.0)))",
    "subtract(max(square(flops)), 0.5)",
    "mean(min(multiply(act_gram, act_gram)))",
    "mean(multiply(params, std(sigmoid(weight))))",
)


@pytest.mark.parametrize("text", FORMULAS)
def test_a_compiled_tree_scores_as_the_graph_does(text, stage):
    graph = parse(text)
    rival = DeapSearch(stage, stage.table)
    with silence():
        scores = rival.scores(rival.compiled(graph))
    np.testing.assert_allclose(scores, Evaluator(stage.table)(graph).values, rtol=1e-4)


def test_drawn_trees_are_those_of_a_search_with_the_same_words(stage):
    rival = DeapSearch(stage, stage.table)
    with drawing_from(random.Random(3)):
        trees = [rival.drawn() for _ in range(20)]
    with drawing_from(random.Random(3)):
        graphs = [rival.variation.random() for _ in range(20)]
    assert [list(map(str, tree)) for tree in trees] == [
        list(map(str, rival.tree(graph))) for graph in graphs
    ]
    assert all(tree[0].ret is Network for tree in trees)


def test_what_is_no_line_of_numpy_is_left_out_on_both_sides(stage):
    assert writes(parse("mean(log(std(act)))"))
    assert not writes(parse("mean(log_determinant(act_gram))"))
    assert set(WORDS) < set(PRIMITIVES)  # no primitive has to be one of them


def test_the_search_counts_distinct_trees_and_keeps_to_its_seed(stage):
    rival = DeapSearch(stage, stage.table)
    places = range(len(stage.bench.architectures))
    columns = stage.ground.columns(places)
    counts, states = [], []
    for _ in range(2):
        before = random.getstate()
        with global_random(1):
            counts.append(search(rival, columns, population=20, generations=2))
            states.append(random.getstate())
        assert random.getstate() == before
    assert counts[0] == counts[1]
    assert states[0] == states[1]
    assert 20 <= counts[0] <= 60


def test_a_tree_without_a_finite_score_has_the_worst_fitness(stage):
    places = range(len(stage.bench.architectures))
    columns = stage.ground.columns(places)
    scores = np.ones(len(places))
    assert joint_correlation(scores, columns) == -1.0
    assert joint_correlation(np.full(len(places), np.inf), columns) == -1.0


@pytest.fixture(params=[False, True], ids=["SciPy as it is", "an older SciPy"])
def calls(request, monkeypatch):
    """The calls of SciPy's Kendall's τ by the rivals, with and without an axis."""
    made, whole = [], rival_module.kendalltau

    def counted(x, y, **axis):
        if request.param and axis:
            raise TypeError("kendalltau() got an unexpected keyword argument 'axis'")
        made.append(np.shape(x))
        return whole(x, y, **axis)

    monkeypatch.setattr(rival_module, "kendalltau", counted)
    return made


def test_the_rivals_rank_by_scipy_at_any_size(stage, calls):
    next(BY_SCIPY.laps(stage))
    scipys = len(calls)
    joint_correlation(stage.scores[0], stage.ground.columns(stage.places))
    assert 0 < scipys < len(calls)


def test_the_rivals_correlations_are_somers_d(calls):
    draws = np.random.default_rng(0)
    scores = draws.integers(0, 5, (6, 14)).astype(np.float64)
    scores[2] = 1.0
    places = (np.arange(14), np.arange(3, 12), np.arange(14), np.arange(14))
    accuracies = [draws.integers(0, 9, len(each)).astype(np.float64) for each in places]
    accuracies[3][:] = 7.0
    columns = [Column("s", "t", *each) for each in zip(places, accuracies, strict=True)]
    expected = np.zeros((6, 4))
    for row in (0, 1, 3, 4, 5):
        for number in (0, 1, 2):
            own = scores[row, places[number]]
            expected[row, number] = SCIPY["somers"](own, accuracies[number]).statistic
    np.testing.assert_allclose(correlations(scores, columns), expected, atol=1e-12)

"""Variation stays inside the language, and depends on nothing but its generator."""

import json
import random
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoprox.errors import LanguageError, UnknownNameError
from autoprox.evaluation.evaluate import reduces_tensor
from autoprox.evolution import drawing
from autoprox.evolution.drawing import drawing_from
from autoprox.evolution.settings import DEFAULT_STATISTICS
from autoprox.evolution.variation import REDUCTION_NODES, Variation, is_constant
from autoprox.evolution.vocabulary import Vocabulary
from autoprox.language.graph import check_root
from autoprox.language.text import parse
from autoprox.primitives import PRIMITIVES, Facts, primitive
from autoprox.primitives.kinds import KINDS
from tests.processes import other_seed, run_python

VARIATION = Variation(Vocabulary(DEFAULT_STATISTICS))
SEEDS = st.integers(0, 2**32 - 1)


def drawn(seed, draw):
    with drawing_from(random.Random(seed)):
        return draw()


@settings(max_examples=100)
@given(SEEDS)
def test_random_proxies_and_their_offspring_are_proxies_within_the_limits(seed):
    first, second = drawn(seed, lambda: (VARIATION.random(), VARIATION.random()))
    child = drawn(seed, lambda: VARIATION.crossed(first, second))
    mutant = drawn(seed, lambda: VARIATION.mutated(child))
    for graph in (first, second, child, mutant):
        assert check_root(graph).complexity <= VARIATION.complexity
        assert parse(str(graph)) is graph
        assert set(graph.statistics) <= set(DEFAULT_STATISTICS)


@settings(max_examples=50)
@given(SEEDS)
def test_a_mutant_is_not_its_parent(seed):
    parent = drawn(seed, VARIATION.random)
    assert drawn(seed, lambda: VARIATION.mutated(parent)) is not parent


@settings(max_examples=50)
@given(SEEDS)
def test_trees_and_graphs_are_two_forms_of_one_thing(seed):
    graph = drawn(seed, VARIATION.random)
    assert VARIATION.vocabulary.graph(VARIATION.vocabulary.tree(graph)) is graph


def test_the_smallest_trees_of_every_kind_can_be_drawn():
    vocabulary = VARIATION.vocabulary
    for kind in (kind for kind in KINDS if kind in vocabulary.heights):
        tree = drawn(0, lambda kind=kind: vocabulary.random_tree(kind, vocabulary.heights[kind]))
        assert vocabulary.graph(tree).kind is kind


def test_the_global_generator_is_neither_used_nor_changed():
    random.seed(5)
    before = random.getstate()
    first = drawn(0, VARIATION.random)
    assert random.getstate() == before
    random.seed(6)
    assert drawn(0, VARIATION.random) is first


def test_another_thread_that_draws_meanwhile_changes_nothing():
    def hundred():
        return [VARIATION.mutated(VARIATION.random()) for _ in range(100)]

    alone = drawn(0, hundred)
    stop = threading.Event()

    def disturb():
        while not stop.is_set():
            random.random()
            drawing.random.random()

    thread = threading.Thread(target=disturb)
    thread.start()
    try:
        assert drawn(0, hundred) == alone
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize("statistics", [("weight",), ("params",), ("act_gram", "attention")])
def test_small_vocabularies_work(statistics):
    variation = Variation(Vocabulary(statistics))
    graphs = drawn(0, lambda: [variation.mutated(variation.random()) for _ in range(50)])
    assert {name for graph in graphs for name in graph.statistics} <= set(statistics)


def test_vocabularies_that_cannot_write_a_proxy_are_refused():
    with pytest.raises(LanguageError, match="no proxy can be written"):
        Vocabulary(())
    with pytest.raises(LanguageError, match="reductions lead"):
        Vocabulary(("weight",), ("absolute",))
    with pytest.raises(UnknownNameError, match="did you mean 'weight'"):
        Vocabulary(("weigth",))


SCRIPT = """
import networkx, scipy.stats
things = [type(f"T{i}", (), {}) for i in range(999)]
import json
from random import Random
from autoprox.evolution.settings import DEFAULT_STATISTICS
from autoprox.evolution.drawing import drawing_from, random
from autoprox.evolution.variation import Variation
from autoprox.evolution.vocabulary import Vocabulary
variation = Variation(Vocabulary(DEFAULT_STATISTICS))
with drawing_from(Random(1)):
    pool = [variation.random() for _ in range(30)]
    for _ in range(200):
        first, second = random.sample(pool, 2)
        pool[random.randrange(30)] = variation.mutated(variation.crossed(first, second))
print(json.dumps([str(graph) for graph in pool]))
"""


def test_one_seed_gives_one_result_in_every_process_whatever_was_imported_before(capsys):
    exec(SCRIPT, {})
    here = capsys.readouterr().out
    there = run_python("-c", SCRIPT, hash_seed=other_seed())
    assert json.loads(here) == json.loads(there.stdout), there.stderr
    assert len(set(json.loads(here))) > 20


@pytest.mark.parametrize(
    ("text", "constant"),
    [
        ("sum(mean(standardise(act)))", True),
        ("sum(max(standardise(act)))", False),
        ("sum(log(sign(act)))", True),
        ("sum(softmax(params))", True),
        ("sum(divide(params, params))", True),
        ("sum(divide(params, flops))", False),
        ("sum(add(params, params))", False),
    ],
)
def test_what_counts_as_constant_is(text, constant):
    assert any(is_constant(node) for node in parse(text)) is constant


def test_evolution_heeds_the_facts_of_a_users_words():
    @primitive(
        "normalisation",
        latex="c({0})",
        facts=Facts(constant_under=(PRIMITIVES["mean"].function, PRIMITIVES["sum"].function)),
    )
    def centre(x, entries):
        """Each entry minus the mean of all."""
        mean = entries.mean(x)
        return x - entries.spread(mean, x)

    @primitive("elementwise", latex="r({0})", facts=Facts(rising=True, flattening=True))
    def cube_root(x):
        """Number whose third power it is."""
        return x.sign() * x.abs().pow(1 / 3)

    try:
        assert is_constant(parse("mean(centre(act))"))
        assert not is_constant(parse("max(centre(act))"))
        written = Vocabulary(DEFAULT_STATISTICS).pset.mapping
        assert "cube_root@Layer" in written
        assert "cube_root@Network" not in written
    finally:
        PRIMITIVES.unregister("centre")
        PRIMITIVES.unregister("cube_root")


def test_nothing_plainly_constant_is_bred():
    for seed in range(200):
        graph = drawn(seed, lambda: VARIATION.mutated(VARIATION.random()))
        assert not any(is_constant(node) for node in graph)


def test_reductions_of_tensors_stay_short():
    for seed in range(200):
        graph = drawn(seed, lambda: VARIATION.mutated(VARIATION.random()))
        assert all(node.complexity <= REDUCTION_NODES for node in graph if reduces_tensor(node))


@settings(max_examples=30)
@given(SEEDS)
def test_where_architectures_differ_by_bits_every_proxy_uses_them(seed):
    vocabulary = Vocabulary(("weight", "grad", "params", "bits", "weight_error"))
    variation = Variation(vocabulary, needs_bits=True)

    def three():
        first, second = variation.random(), variation.random()
        return first, variation.mutated(first), variation.crossed(first, second)

    for graph in drawn(seed, three):
        assert {"bits", "weight_error"} & set(graph.statistics)

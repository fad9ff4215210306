"""Shorter reductions: fewer words, the same bits, whatever the entries are."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from autoprox.evaluation.evaluate import reduces_tensor
from autoprox.evaluation.shorter import IDLE, MIRRORED, NOT_NEGATIVE, shorter
from autoprox.evolution.settings import DEFAULT_STATISTICS
from autoprox.evolution.variation import Variation
from autoprox.evolution.vocabulary import Vocabulary
from autoprox.language.graph import apply, leaf
from autoprox.language.text import parse
from autoprox.primitives import PRIMITIVES, Entries, Form
from autoprox.statistics import STATISTICS
from tests.evolution.test_variation import drawn

VARIATION = Variation(Vocabulary(DEFAULT_STATISTICS))
ODD = torch.tensor(
    [
        [0.0, -0.0, 1.0, -2.5, 3e-39, -1e-42, 1e30, -7.0],
        [torch.inf, -torch.inf, torch.nan, 1.0, -1.0, 0.0, 2.0, 1e-3],
        [-1.0, -2.0, -3.0, -4.0, -5.0, -6.0, -7.0, -8.0],
        [5.0, 5.0, 5.0, 5.0, 5.0, 5.0, 5.0, 5.0],
    ]
)


def bits(value):
    """Return a result with every NaN as one number, and both zeros as one."""
    return (value + 0.0).nan_to_num(nan=123.0, posinf=1e38, neginf=-1e38)


def computed(node, values):
    """Return a tensor expression by its definition, given the statistics' entries."""
    if not node.args:
        return values[node.word]
    made = PRIMITIVES[node.word]
    args = [
        torch.full_like(next(iter(values.values())), float(arg.word))
        if arg.kind is None
        else computed(arg, values)
        for arg in node.args
    ]
    entries = Entries(torch.full((len(args[0]),), 800.0, dtype=torch.float64))
    return made.function(*args) if made.form is Form.ELEMENTWISE else made.function(*args, entries)


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_a_shorter_reduction_has_fewer_words_and_the_same_bits(seed, entropy):
    graph = drawn(seed, lambda: VARIATION.mutated(VARIATION.random()))
    generator = torch.Generator().manual_seed(entropy)
    for node in graph:
        if not reduces_tensor(node):
            continue
        values = {}
        for name in node.statistics:
            shape = (4, 8, 8) if STATISTICS[name].kind.__name__ == "Relation" else (4, 8)
            values[name] = torch.randn(shape, generator=generator)
            if shape == (4, 8) and entropy % 2:
                values[name] = ODD[torch.randperm(4, generator=generator)]
            if name in NOT_NEGATIVE:
                values[name] = values[name].abs()
        short = shorter(node)
        assert short.complexity <= node.complexity
        assert short.kind is node.kind
        assert shorter(short) is short
        if "log_determinant" not in node.text:
            assert torch.equal(bits(computed(short, values)), bits(computed(node, values)))


@pytest.mark.parametrize(
    ("long", "short"),
    [
        ("norm(absolute(negative(act)))", "norm(act)"),
        ("std(negative(absolute(negative(act))))", "std(absolute(act))"),
        ("sum(relu(square(negative(act))))", "sum(square(act))"),
        ("max(multiply(negative(act), negative(act)))", "max(square(act))"),
        ("count(multiply(act, act_grad))", "count(act)"),
        ("sum(negative(negative(relu(weight_spectrum))))", "sum(weight_spectrum)"),
        ("sum(relu(act))", "sum(relu(act))"),
    ],
)
def test_known_cases(long, short):
    assert shorter(parse(long)) is parse(short)


@pytest.mark.parametrize("word", sorted(NOT_NEGATIVE - set(STATISTICS)))
def test_entries_that_are_said_not_to_be_negative_are_not(word):
    made = PRIMITIVES[word]
    entries = Entries(torch.full((4,), 8.0, dtype=torch.float64))
    found = made.function(ODD) if made.form is Form.ELEMENTWISE else made.function(ODD, entries)
    assert not (found < 0).any()


def test_the_words_of_the_rules_exist():
    assert set(PRIMITIVES) | set(STATISTICS) >= NOT_NEGATIVE | MIRRORED | IDLE
    for word in IDLE:
        assert apply(word, leaf("act")) is not leaf("act")

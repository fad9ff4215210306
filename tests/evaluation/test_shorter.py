"""Shorter reductions: fewer words, the same bits, whatever the entries are."""

from unittest.mock import patch

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from autoprox.evaluation.evaluate import Evaluator, Table, reduces_tensor
from autoprox.evaluation.program import sized_by
from autoprox.evaluation.shorter import shorter
from autoprox.evolution.settings import DEFAULT_STATISTICS
from autoprox.evolution.variation import Variation
from autoprox.evolution.vocabulary import Vocabulary
from autoprox.language.text import parse
from autoprox.primitives import PRIMITIVES, Entries, Facts, Form, primitive
from autoprox.proxies.proxy import Proxy
from autoprox.statistics import STATISTICS, measure
from tests.evolution.test_variation import drawn

VARIATION = Variation(Vocabulary(DEFAULT_STATISTICS))
SIZES = list(STATISTICS)
"""A tensor has as many entries, beyond 800, as its statistic has here before it."""
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
    size = max(map(SIZES.index, sized_by(node.statistics)))
    entries = Entries(torch.full((len(args[0]),), 800.0 + size, dtype=torch.float64))
    return made.function(*args) if made.form is Form.ELEMENTWISE else made.function(*args, entries)


@settings(max_examples=300)
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
            if STATISTICS[name].nonnegative:
                values[name] = values[name].abs()
        short = shorter(node)
        assert short.complexity <= node.complexity
        assert short.kind is node.kind
        assert short.statistics == node.statistics
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
        ("count(multiply(tanh(act), square(act)))", "count(act)"),
        ("count(multiply(act, act_grad))", "count(multiply(act, act_grad))"),
        ("sum(negative(negative(relu(weight_spectrum))))", "sum(weight_spectrum)"),
        ("sum(relu(act))", "sum(relu(act))"),
    ],
)
def test_known_cases(long, short):
    assert shorter(parse(long)) is parse(short)


def test_spectra_that_meet_have_as_many_entries_as_the_longest():
    network = torch.nn.Sequential(torch.nn.Linear(20, 12), torch.nn.ReLU(), torch.nn.Linear(12, 5))
    inputs, targets = torch.randn(4, 20), torch.tensor([0, 1, 2, 3])
    names, formula = ("act_spectrum", "weight_spectrum"), "multiply(act_spectrum, weight_spectrum)"
    for sample in (64, "full"):
        table = Table((measure(network, inputs, targets, names, sample=sample),))
        assert Evaluator(table).value(parse(f"count({formula})")).numbers.tolist() == [[12, 5]]
    assert Proxy(parse(f"sum(count({formula}))"))(network, inputs, targets) == 17


@pytest.fixture
def redefined():
    """Return what puts another function in the place of a word until the test is over."""

    def redefine(word, function, **facts):
        PRIMITIVES.unregister(word)
        function.__name__, function.__doc__ = word, "A word of one's own."
        return primitive("elementwise", latex="f({0})", facts=Facts(**facts))(function)

    with patch.dict(PRIMITIVES._members):  # their order decides what a search draws
        yield redefine


def test_a_word_defined_anew_has_none_of_the_facts_of_the_old_one(redefined):
    redefined("absolute", lambda x: x + 1)
    for text in ("norm(absolute(weight))", "sum(absolute(square(act)))"):
        assert shorter(parse(text)) is parse(text)


def test_a_square_defined_anew_does_not_stand_for_a_product(redefined):
    redefined("square", lambda x: 2 * x)
    assert shorter(parse("sum(multiply(act, act))")) is parse("sum(multiply(act, act))")


def test_facts_of_a_users_word_shorten_as_those_of_a_shipped_one():
    @primitive("elementwise", latex="c({0})", facts=Facts(even="entry", nonnegative=True))
    def hyperbolic(x):
        """Hyperbolic cosine of the number, cut at 1."""
        return x.abs().clamp_max(1.0).cosh()

    try:
        assert shorter(parse("sum(hyperbolic(absolute(act)))")) is parse("sum(hyperbolic(act))")
        assert shorter(parse("sum(absolute(hyperbolic(act)))")) is parse("sum(hyperbolic(act))")
    finally:
        PRIMITIVES.unregister("hyperbolic")

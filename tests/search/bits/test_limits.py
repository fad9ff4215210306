"""Quantities, terms that add up, and how near evolution comes to an integer programme."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
import scipy.optimize

from autoprox.language.text import parse
from autoprox.quantise.layers import Costs, QuantisableLayer
from autoprox.search.bits.breeding import bred
from autoprox.search.bits.limits import Limit, limit_of, space_of
from autoprox.search.bits.programme import solved
from autoprox.search.bits.scoring import layer_sum


@pytest.mark.parametrize(
    ("name", "value", "most"),
    [
        ("size", "80KB", 80_000),
        ("size", "0.5 mb", 500_000),
        ("size", "81920", 81_920),
        ("size", 81920.0, 81_920),
        ("bops", "1.2G", 1_200_000_000),
        ("bops", 3e9, 3_000_000_000),
        ("average_bits", 3.2, Fraction(16, 5)),
    ],
)
def test_quantities_are_read_exactly(name, value, most):
    assert limit_of({name: value}) == Limit(name, Fraction(most))


@pytest.mark.parametrize(
    ("text", "term", "sign"),
    [
        ("sum(bits)", "bits", 1),
        ("negative(mean(square(bits)))", "square(bits)", -1),
        ("negative(negative(sum(bits)))", "bits", 1),
        ("sqrt(norm(multiply(bits, params)))", "square(multiply(bits, params))", 1),
        ("sum(sum(softmax(weight_error)))", "sum(softmax(weight_error))", 1),
        ("sum(only_late(bits))", "only_late(bits)", 1),
    ],
)
def test_a_sum_over_layers_is_recognised(text, term, sign):
    assert layer_sum(parse(text)) == (parse(term), sign)


@pytest.mark.parametrize(
    "text",
    [
        "sum(min_max(bits))",
        "std(bits)",
        "max(bits)",
        "absolute(sum(bits))",
        "log(sum(bits))",
        "square(sum(bits))",
        "multiply(sum(bits), sum(params))",
        "sum(multiply(bits, log_softmax(params)))",
    ],
)
def test_what_is_no_sum_over_layers_is_not_taken_for_one(text):
    assert layer_sum(parse(text)) is None


def space(layers, limit, widths=(2, 3, 4, 5, 6, 7, 8), seed=0):
    generator = np.random.default_rng(seed)
    made = tuple(
        QuantisableLayer(str(i), *map(int, generator.integers(100, 10_000, 2)))
        for i in range(layers)
    )
    return space_of(Costs(made, 33), widths, limit)


def random_terms(space, seed=0):
    """Terms that fall with the error of a width, for some layers more than for others."""
    generator = np.random.default_rng(seed)
    return -generator.lognormal(0, 3, (len(space.prices), 1)) * 4.0 ** -np.array(space.widths)


@pytest.mark.parametrize("seed", range(5))
def test_an_integer_programme_finds_the_best_of_all(seed):
    limit = Limit("average_bits", Fraction(37, 10))
    small = space(7, limit, widths=(1, 3, 4, 16), seed=seed)
    terms = random_terms(small, seed)
    every = np.array(list(itertools.product(range(4), repeat=5)))
    sums = terms[np.arange(5), every[small.fits(every)]].sum(1)
    found = solved(small, terms)
    np.testing.assert_allclose(terms[np.arange(5), found[0]].sum(), sums.max(), rtol=1e-9)


def test_what_the_solver_did_not_bring_to_an_end_is_no_solution(monkeypatch):
    small = space(7, Limit("average_bits", Fraction(37, 10)))
    terms, solve = random_terms(small), scipy.optimize.milp
    assert solved(small, terms) is not None

    def interrupted(*given, **options):
        return scipy.optimize.OptimizeResult({**solve(*given, **options), "status": 1})

    monkeypatch.setattr(scipy.optimize, "milp", interrupted)
    assert solved(small, terms) is None


def best_sum(prices, terms, most):
    """The largest sum of terms within a limit, by dynamic programming over what is spent."""
    best = np.zeros(most + 1)
    for price, term in zip(prices, terms, strict=True):
        choices = np.full((len(term), most + 1), -np.inf)
        for choice, paid, value in zip(choices, price.tolist(), term.tolist(), strict=True):
            if paid <= most:
                choice[paid:] = best[: most + 1 - paid] + value
        best = choices.max(0)
    return best[-1]


@pytest.mark.parametrize("seed", range(4))
def test_an_integer_programme_of_many_layers_is_solved_in_silence(seed, capfd):
    large = space(62, Limit("average_bits", Fraction(5, 2)), seed=seed)
    terms = random_terms(large, seed)
    found = solved(large, terms)
    step = np.gcd.reduce(large.prices, axis=None)
    expected = best_sum(large.prices // step, terms, large.most // int(step))
    np.testing.assert_allclose(terms[np.arange(60), found[0]].sum(), expected, rtol=1e-9)
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize("name", ["size", "bops"])
def test_evolution_comes_near_an_integer_programme_on_a_large_network(name):
    costs = space(42, Limit(name, Fraction(10**15))).costs
    most = Fraction(int(Limit(name, Fraction(1)).cost(costs, 4)))
    large = space(42, Limit(name, most))
    terms = random_terms(large)

    def scorer(bits):
        return terms[np.arange(40), bits[:, 1:-1] - 2].sum(1)

    best = scorer(large.bits(solved(large, terms)))[0]
    places, score, evaluated = bred(large, scorer, np.random.default_rng(0), 10_000)
    assert large.fits(places).all()
    assert evaluated == 10_000
    uniform = scorer(large.bits(large.uniform())).max()
    assert uniform < 1.5 * best  # both are negative: uniform bits are far behind
    assert 1.01 * best < score <= best + 1e-9


def test_repairing_only_lowers_and_stops_when_it_fits():
    tight = space(12, Limit("average_bits", Fraction(31, 10)))
    generator = np.random.default_rng(0)
    places = generator.integers(7, size=(50, 10))
    repaired = tight.repaired(places, generator)
    assert tight.fits(repaired).all()
    assert (repaired <= places).all()
    kept = tight.fits(places)
    np.testing.assert_array_equal(repaired[kept], places[kept])

"""Primitives against formulas worked by hand, scipy and numpy, and what registration refuses."""

import math

import numpy as np
import pytest
import scipy.special
import scipy.stats
import torch

from autoprox.errors import AutoproxError, PrimitiveError
from autoprox.primitives import PRIMITIVES, Entries, primitive
from autoprox.primitives.kinds import Layer, Network, Weight
from autoprox.primitives.primitive import call

ROW = np.array([0.5, -2.0, 3.0, 0.0, 1.25])

TRUTH = {
    "absolute": np.abs,
    "negative": np.negative,
    "square": np.square,
    "sqrt": lambda x: np.sqrt(np.maximum(x, 0)),
    "log": lambda x: np.log(np.where(x > 0, x, 1)),
    "log_absolute": lambda x: np.log(np.abs(np.where(x == 0, 1, x))),
    "exp": np.exp,
    "reciprocal": lambda x: np.divide(1, x, out=np.zeros_like(x), where=x != 0),
    "relu": lambda x: np.maximum(x, 0),
    "sigmoid": scipy.special.expit,
    "tanh": np.tanh,
    "sign": np.sign,
    "coarsen": lambda x: (
        np.sign(x) * 2 ** (np.round(10 * np.log2(np.abs(np.where(x == 0, 1, x)))) / 10)
    ),
    "standardise": lambda x: scipy.stats.zscore(x),
    "min_max": lambda x: (x - x.min()) / (x.max() - x.min()),
    "softmax": scipy.special.softmax,
    "log_softmax": scipy.special.log_softmax,
    "share": lambda x: x / np.abs(x).sum(),
    "sum": np.sum,
    "mean": np.mean,
    "std": np.std,
    "norm": np.linalg.norm,
    "max": np.max,
    "min": np.min,
    "count": np.size,
    "entropy": lambda x: scipy.stats.entropy(np.abs(x)),
}


@pytest.mark.parametrize("scale", [1.0, 1e-60])
@pytest.mark.parametrize("name", TRUTH)
def test_a_unary_primitive_agrees_with_numpy_and_scipy(name, scale):
    row = ROW * scale
    result = call(PRIMITIVES[name], (torch.tensor(row)[None],), Entries(torch.tensor([5.0])))
    expected = TRUTH[name](row)
    close = {"rtol": 1e-9, "atol": 1e-12 * np.abs(expected).max()}
    np.testing.assert_allclose(result[0].numpy(), expected, **close)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_logarithms_where_there_is_none(dtype):
    nan, inf = math.nan, math.inf
    least = math.log(1e-39 if dtype is torch.float64 else 2.0**-126)
    x = torch.tensor([nan, inf, -inf, 0.0, -0.0, -1.0, 1e-39, -1e-39, 2.0], dtype=dtype)
    log, log_absolute = (PRIMITIVES[name].function(x).numpy() for name in ("log", "log_absolute"))
    two = math.log(2)
    np.testing.assert_allclose(log, [nan, inf, 0, 0, 0, 0, least, 0, two], rtol=1e-6)
    np.testing.assert_allclose(log_absolute, [nan, inf, inf, 0, 0, 0, least, least, two], rtol=1e-6)
    assert not np.signbit(log[3:6]).any()


@pytest.mark.parametrize(
    ("name", "truth"),
    [
        ("add", np.add),
        ("subtract", np.subtract),
        ("multiply", np.multiply),
        ("divide", lambda x, y: np.divide(x, y, out=np.zeros_like(x), where=y != 0)),
    ],
)
def test_a_binary_primitive_agrees_with_numpy(name, truth):
    other = np.array([2.0, 0.0, -1.0, 0.0, 4.0])
    result = PRIMITIVES[name].function(torch.tensor(ROW), torch.tensor(other))
    np.testing.assert_allclose(result.numpy(), truth(ROW, other))


def test_matrix_primitives_agree_with_numpy():
    x = np.random.default_rng(0).normal(size=(3, 4, 4))
    entries = Entries(torch.full((3,), 16.0))
    value = torch.tensor(x)
    np.testing.assert_allclose(PRIMITIVES["matmul"].function(value, value), x @ x)
    np.testing.assert_allclose(
        PRIMITIVES["trace"].function(value, entries), np.trace(x, axis1=1, axis2=2)
    )
    truth = np.linalg.slogdet(x)[1]
    np.testing.assert_allclose(PRIMITIVES["log_determinant"].function(value, entries), truth)


MATRIX_TRUTH = {
    "row_unit": lambda x: x / np.sqrt((x**2).sum(-1, keepdims=True)),
    "row_sign": np.sign,
    "row_mean": lambda x: np.broadcast_to(x.mean(-1, keepdims=True), x.shape),
    "column_mean": lambda x: np.broadcast_to(x.mean(-2, keepdims=True), x.shape),
    "row_softmax": lambda x: scipy.special.softmax(x, axis=-1),
    "row_log_softmax": lambda x: scipy.special.log_softmax(x, axis=-1),
    "column_softmax": lambda x: scipy.special.softmax(x, axis=-2),
}


@pytest.mark.parametrize("name", MATRIX_TRUTH)
def test_a_word_of_rows_or_columns_agrees_with_numpy_and_scipy(name):
    x = np.random.default_rng(0).normal(size=(2, 3, 4))
    result = call(PRIMITIVES[name], (torch.from_numpy(x),), Entries(torch.tensor([12.0, 12.0])))
    np.testing.assert_allclose(result.numpy(), MATRIX_TRUTH[name](x), rtol=1e-9)


def test_every_word_is_checked_against_an_independent_formula():
    others = {"add", "subtract", "multiply", "divide", "matmul", "trace", "log_determinant", "wave"}
    selectors = {name for name in PRIMITIVES if name.startswith("only_")}
    assert set(PRIMITIVES) == set(TRUTH) | set(MATRIX_TRUTH) | others | selectors


def impure(x):
    """Writes into its argument."""
    return x.abs_()


def unguarded(x):
    """Is undefined for negative numbers."""
    return x.log()


def mixing(x):
    """Looks at other rows."""
    return x - x.mean()


def widening(x):
    """Changes the type."""
    return x.to(torch.complex64)


def flattening(x):
    """Changes the shape."""
    return x.sum()


def three(x, y, z):
    """Takes too many."""
    return x + y + z


def falsely_commutative(x, y):
    """Is a difference."""
    return x - y


def failing(x):
    """Fails."""
    raise KeyError("no")


def silent(x):
    return x


def random_noise(x):
    """Is not a function."""
    return x + torch.rand(x.shape)


@pytest.mark.parametrize(
    ("function", "options", "message"),
    [
        (impure, {}, "writes into its argument"),
        (unguarded, {}, "not closed"),
        (mixing, {}, "depends on other rows"),
        (widening, {}, "keeps the type"),
        (flattening, {}, "returns shape"),
        (three, {}, r"takes \(x\) or \(x, y\)"),
        (falsely_commutative, {"commutative": True}, "declared commutative"),
        (failing, {}, "KeyError"),
        (silent, {}, "docstring"),
        (random_noise, {}, "two calls"),
        (unguarded, {"latex": "{3}"}, "bad LaTeX template .* are doubled"),
        (unguarded, {"latex": "q"}, "does not show its argument"),
        (unguarded, {"kinds": (Layer, int)}, "int"),
        (unguarded, {"form": "elementwize"}, "unknown form"),
        (unguarded, {"form": "reduction"}, "takes"),
        (falsely_commutative, {"form": "normalisation", "kinds": (Network,)}, "Network"),
    ],
)
def test_a_bad_primitive_is_refused_with_the_reason(function, options, message):
    given = {"form": "elementwise", "latex": "{0}", "kinds": (Weight,), **options}
    with pytest.raises(PrimitiveError, match=message):
        primitive(given.pop("form"), **given)(function)
    assert function.__name__ not in PRIMITIVES


def test_a_primitive_of_ones_own_enters_the_language_and_a_second_of_that_name_does_not():
    from autoprox.language.text import parse

    def cube(x):
        """Third power."""
        return x * x * x

    try:
        primitive("elementwise", latex="{0}^3")(cube)
        assert str(parse("sum(sum(cube(weight)))")) == "sum(sum(cube(weight)))"
        with pytest.raises(AutoproxError, match="already registered"):
            primitive("elementwise", latex="{0}^3")(cube)
    finally:
        PRIMITIVES.unregister("cube")


def test_the_logarithm_of_a_determinant_of_a_singular_matrix_is_finite():
    value = PRIMITIVES["log_determinant"].function(
        torch.ones(1, 2, 2), Entries(torch.tensor([4.0]))
    )
    assert math.isfinite(value)


@pytest.mark.parametrize("size", [1, 2, 8, 32])
def test_a_determinant_has_its_singular_values_cut_below(size):
    generator = np.random.default_rng(size)
    first, second = (np.linalg.qr(generator.normal(size=(size, size)))[0] for _ in range(2))
    spectra = [np.geomspace(1, least, size) for least in np.geomspace(1, 1e-9, 40)]
    spectra += [1e-11 * spectra[10], 1e-14 * spectra[10], 1e5 * spectra[30], 0 * spectra[0]]
    x = np.stack([first * values @ second for values in spectra])
    cut = [np.maximum(values, max(1e-6 * values[0], 1e-12)) for values in spectra]
    found = PRIMITIVES["log_determinant"].function(
        torch.tensor(x), Entries(torch.full((len(x),), float(size * size)))
    )
    np.testing.assert_allclose(found, [np.log(values).sum() for values in cut], atol=1e-6)


ROUNDING = torch.tensor([[1.0, 1.0 + 2**-23, 1.0, 1.0 - 2**-24]])


@pytest.mark.parametrize("name", ["standardise", "min_max"])
def test_a_normalisation_does_not_blow_rounding_up(name):
    result = PRIMITIVES[name].function(ROUNDING, Entries(torch.tensor([4.0])))
    assert result.abs().max() <= 1e-6


def test_reductions_of_what_cancels_are_zero():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3, 1024, generator=generator)
    entries = Entries(torch.full((3,), 1e6, dtype=torch.float64))
    centred = PRIMITIVES["standardise"].function(x, entries)
    assert (centred.mean(1) != 0).any()
    for name in ("mean", "sum"):
        assert (PRIMITIVES[name].function(centred, entries) == 0).all()
    assert (PRIMITIVES["std"].function(ROUNDING, Entries(torch.tensor([4.0]))) == 0).all()


def test_a_difference_of_layers_numbers_within_rounding_is_zero():
    x = torch.tensor([[1.0, 3.0]], dtype=torch.float64)
    y = x * (1 + 1e-7)
    assert (PRIMITIVES["subtract"].function(x, y) == 0).all()
    assert (PRIMITIVES["add"].function(x, -y) == 0).all()
    assert (PRIMITIVES["subtract"].function(x, x * (1 + 1e-5)) != 0).all()


def test_what_is_not_finite_is_not_hidden_as_rounding():
    x = torch.tensor([[torch.inf, 1.0], [torch.nan, 1.0]])
    entries = Entries(torch.tensor([2.0, 2.0]))
    for name in ("mean", "sum", "std"):
        assert not torch.isfinite(PRIMITIVES[name].function(x, entries)).any()


def test_a_sum_whose_size_overflows_is_not_taken_for_rounding():
    x = torch.tensor([[3e38, -3e38, 3e38]])
    assert PRIMITIVES["mean"].function(x, Entries(torch.tensor([3.0]))) != 0

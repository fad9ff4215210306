"""Models on numbers, against what they are by definition."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from scipy.stats import multivariate_normal

from autoprox.errors import AutoproxError, UnknownNameError
from autoprox.predictors import MODELS, check_labels, predict_by
from autoprox.predictors.kernels import PENALTIES, matern
from autoprox.predictors.losses import diff_kendall, pairwise, squared
from autoprox.predictors.parzc import BayesianLinear, ParZC, ResidualPerceptrons

SMALL = {"width": 16, "depth": 1, "epochs": 60, "rate": 0.01}


def data(count, seed=0, noise=0.1):
    draws = np.random.default_rng(seed)
    inputs = draws.normal(size=(count, 4))
    return inputs, inputs @ [1.0, -2.0, 0.5, 0.0] + noise * draws.normal(size=count)


def fitted(name, inputs, labels, **settings):
    entry = MODELS[name]
    whole = entry.asked(settings)
    arrays = entry.function("fit")(inputs, labels, 0, whole)
    return arrays, whole


def test_diff_kendall_is_minus_twice_kendall_where_differences_are_large():
    labels = torch.tensor([0.0, 100.0, 200.0, 300.0])
    assert diff_kendall(labels, labels).item() == pytest.approx(-2)
    assert diff_kendall(-labels, labels).item() == pytest.approx(2)


def test_diff_kendall_of_two_by_hand():
    x, y = torch.tensor([0.0, 1.0]), torch.tensor([0.0, 2.0])
    expected = -2 * math.tanh(0.25) * math.tanh(0.5)
    assert diff_kendall(x, y).item() == pytest.approx(expected)


def test_pairwise_leaves_equal_labels_out():
    x, y = torch.tensor([0.0, 1.0, 5.0]), torch.tensor([0.0, 1.0, 1.0])
    expected = (math.log1p(math.exp(-1)) + math.log1p(math.exp(-5))) / 2
    assert pairwise(x, y).item() == pytest.approx(expected)
    assert squared(x, y).item() == pytest.approx(16 / 3)


@pytest.mark.parametrize(("count", "noise"), [(12, 0.1), (8, 2.0)])
@pytest.mark.parametrize("seed", range(8))
def test_ridge_is_the_one_whose_left_out_errors_are_least(count, noise, seed):
    inputs, labels = data(count, seed, noise)
    arrays, settings = fitted("ridge", inputs, labels)
    x = (inputs - inputs.mean(0)) / inputs.std(0)

    def solved(rows, targets, penalty):  # the mean is free, as an unpenalised column
        centred = rows - rows.mean(0)
        gram = centred.T @ centred + penalty * np.eye(rows.shape[1])
        weights = np.linalg.solve(gram, centred.T @ (targets - targets.mean()))
        return weights, targets.mean() - rows.mean(0) @ weights

    errors = []
    for penalty in PENALTIES:
        left = []
        for out in range(count):
            rest = np.arange(count) != out
            weights, mean = solved(x[rest], labels[rest], penalty)
            left.append((x[out] @ weights + mean - labels[out]) ** 2)
        errors.append(np.mean(left))
    weights, mean = solved(x, labels, PENALTIES[int(np.argmin(errors))])
    predicted, spread = predict_by("ridge", arrays, inputs, settings)
    np.testing.assert_allclose(predicted, x @ weights + mean, rtol=1e-9)
    assert not spread.any()


def test_a_gaussian_process_is_sure_at_what_it_knows_and_returns_to_the_mean_far_away():
    inputs = np.linspace(-2, 2, 15)[:, None]
    labels = np.sin(2 * inputs[:, 0])
    arrays, settings = fitted("gp", inputs, labels)
    known, sure = predict_by("gp", arrays, inputs, settings)
    between, _ = predict_by("gp", arrays, np.array([[0.13]]), settings)
    assert np.abs(known - labels).max() < 0.05
    assert between[0] == pytest.approx(math.sin(0.26), abs=0.05)
    _, unsure = predict_by("gp", arrays, np.array([[50.0]]), settings)
    assert unsure[0] > 3 * sure.max()


def kernel(first, second, length):
    r = math.sqrt(5) * cdist(first, second) / length
    return (1 + r + r**2 / 3) * np.exp(-r)


@pytest.fixture
def process():
    """A Gaussian process of noisy labels: its arrays, and inputs and labels standardised."""
    inputs, labels = data(20, noise=2.0)
    arrays, _ = fitted("gp", inputs, labels)
    x, y = ((each - each.mean(0)) / each.std(0) for each in (inputs, labels))
    return arrays, x, y


def test_a_gaussian_process_has_the_length_and_the_noise_that_are_likeliest(process):
    arrays, x, y = process

    def likelihood(length, noise):
        covariance = (1 - noise) * kernel(x, x, length) + noise * np.eye(20)
        variance = y @ np.linalg.solve(covariance, y) / 20
        return multivariate_normal(np.zeros(20), variance * covariance).logpdf(y)

    best = max(
        likelihood(2 * length, noise)  # 2 is the root of the number of inputs
        for length in np.geomspace(0.1, 100, 30)
        for noise in np.geomspace(1e-3, 0.95, 30)
    )
    length, noise, *_ = arrays["facts"]
    assert best <= likelihood(length, noise) < best + 1


def test_the_spread_of_a_gaussian_process_is_that_of_its_normal_numbers_given_the_labels(process):
    arrays, x, y = process
    length, noise, *_ = arrays["facts"]
    inputs, labels = data(20, noise=2.0)
    new, _ = data(5, seed=1)
    both = np.concatenate([x, (new - inputs.mean(0)) / inputs.std(0)])
    covariance = (1 - noise) * kernel(both, both, length)
    covariance[:20, :20] += noise * np.eye(20)
    assert noise > 0.05
    variance = y @ np.linalg.solve(covariance[:20, :20], y) / 20
    given = np.linalg.inv(np.linalg.inv(covariance)[20:, 20:])  # Schur's complement of the known
    mean = covariance[20:, :20] @ np.linalg.solve(covariance[:20, :20], y)
    predicted, spread = predict_by("gp", arrays, new, {})
    np.testing.assert_allclose(spread, labels.std() * np.sqrt(variance * given.diagonal()))
    np.testing.assert_allclose(predicted, labels.mean() + labels.std() * mean)


def test_beyond_5_deviations_from_the_mean_a_gaussian_process_sees_no_further():
    inputs, labels = data(20)
    arrays, settings = fitted("gp", inputs, labels)
    away = inputs.mean(0) + np.array([[3.0], [4.0], [5.0], [50.0]]) * inputs.std(0)
    predicted, _ = predict_by("gp", arrays, away, settings)
    assert abs(predicted[0] - predicted[1]) > 0.1
    assert predicted[2] == pytest.approx(predicted[3])


def test_the_kernel_is_matern_by_its_formula():
    r = math.sqrt(5) * 3 / 2
    expected = (1 + r + r**2 / 3) * math.exp(-r)
    assert matern(np.zeros((1, 1)), np.full((1, 1), 3.0), 2.0)[0, 0] == pytest.approx(expected)


def test_a_forest_predicts_as_scikit_learn_does():
    ensemble = pytest.importorskip("sklearn.ensemble")
    inputs, labels = data(40)
    arrays, settings = fitted("forest", inputs, labels, trees=20)
    own = ensemble.RandomForestRegressor(20, max_features=0.33, random_state=0)
    other, _ = data(30, seed=1)
    expected = own.fit(inputs, labels).predict(other)
    predicted, spread = predict_by("forest", arrays, other, settings)
    np.testing.assert_allclose(predicted, expected, rtol=1e-12)
    assert (spread > 0).any()


def test_only_mixing_blocks_let_a_piece_see_another():
    x = torch.randn(1, 16, 8, generator=torch.Generator().manual_seed(0))
    y = x.clone()
    y[0, 5, 0] += 1  # of one entry: the same for all is taken away by the norm of the layer
    for mixing in (False, True):
        with torch.no_grad():
            block = ResidualPerceptrons(8, mixing)
            assert torch.equal(block(x)[0, 0], block(y)[0, 0]) is not mixing


def test_a_bayesian_layer_draws_at_every_pass_with_the_deviation_it_says():
    layer = BayesianLinear(1, 4000)
    with torch.no_grad():
        layer.mean.zero_()
        layer.spread.fill_(1.0)
        draws = layer(torch.ones(1, 1))
        assert not torch.equal(draws, layer(torch.ones(1, 1)))
    assert draws.std().item() == pytest.approx(math.log(1 + math.e), rel=0.1)


def test_the_parts_of_parzc():
    whole, plain = ParZC(30, 16), ParZC(30, 16, depth=0, bayesian=False)
    names = [type(each).__name__ for each in whole.modules()]
    assert names.count("ResidualPerceptrons") == 4
    assert names.count("BayesianLinear") == 2
    assert not any(
        isinstance(each, (ResidualPerceptrons, BayesianLinear)) for each in plain.modules()
    )
    assert whole(torch.zeros(7, 30)).shape == (7,)


@pytest.mark.parametrize(
    ("name", "loss"),
    [
        *itertools.product(("parzc", "mlp"), ("diff_kendall", "pairwise", "squared")),
        ("parzc_mixing", "pairwise"),
        ("parzc_mixer", "diff_kendall"),
    ],
)
def test_a_network_learns_an_order_that_is_there(name, loss):
    inputs, labels = data(24)
    small = {k: v for k, v in SMALL.items() if k in MODELS[name].settings}
    arrays, settings = fitted(name, inputs, labels, loss=loss, **small)
    predicted, spread = predict_by(name, arrays, inputs, settings)
    assert np.corrcoef(predicted, labels)[0, 1] > 0.9
    assert (spread.max() > 0) == settings.get("bayesian", False)


def test_one_seed_gives_one_result_whatever_was_drawn_before():
    inputs, labels = data(16)
    first, settings = fitted("parzc", inputs, labels, width=16, depth=1, epochs=3)
    state = torch.get_rng_state()
    torch.manual_seed(5)
    second, _ = fitted("parzc", inputs, labels, width=16, depth=1, epochs=3)
    torch.set_rng_state(state)
    assert all(np.array_equal(first[name], second[name]) for name in first)
    alone = predict_by("parzc", first, inputs[:1], settings)[0]
    together = predict_by("parzc", first, inputs, settings)[0]
    assert alone[0] == pytest.approx(together[0], rel=1e-5)


def test_what_cannot_be_fitted_is_refused():
    with pytest.raises(AutoproxError, match="'parzc' needs at least 10 labels; got 9"):
        check_labels("parzc", np.arange(9.0))
    with pytest.raises(AutoproxError, match="all 20 labels are the same"):
        check_labels("gp", np.full(20, 93.2))
    with pytest.raises(UnknownNameError, match="setting of the model 'epoch'; did you mean 'epo"):
        MODELS["parzc"].asked({"epoch": 3})
    with pytest.raises(UnknownNameError, match="unknown loss 'kendall'"):
        MODELS["parzc"].asked({"loss": "kendall"})
    with pytest.raises(AutoproxError, match="epochs is a whole number above 0"):
        MODELS["parzc"].asked({"epochs": 1.5})
    said = "batch is a whole number above 0, but not 1, as in batch=10; got 1"
    with pytest.raises(AutoproxError, match=said):  # no step would be taken
        MODELS["mlp"].asked({"batch": 1})
    said = "dropout is a number up to 1, from 0, but not 1, as in dropout=0.1; got 1.0"
    with pytest.raises(AutoproxError, match=said):
        MODELS["mlp"].asked({"dropout": 1.0})

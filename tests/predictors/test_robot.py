"""RoBoT's weights on scores whose best weights are known."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from autoprox.predictors import robot
from autoprox.predictors.models import MODELS
from autoprox.ranking import somers


def test_weights_rank_by_what_the_labels_are():
    random = np.random.default_rng(0)
    inputs = random.normal(size=(60, 3))
    labels = inputs @ np.array([1.0, -1.0, 0.0])
    entry = MODELS["robot"]
    arrays = entry.function("fit")(inputs[:30], labels[:30], 0, entry.settings)
    again = entry.function("fit")(inputs[:30], labels[:30], 0, entry.settings)
    predicted, spread = entry.function("predict")(arrays, inputs[30:], entry.settings)
    first, second, third = arrays["weights"]
    assert somers(predicted, labels[30:]) > 0.85
    assert first > 0.5 * abs(second) > abs(third)
    assert second < 0
    assert not spread.any()
    np.testing.assert_array_equal(arrays["weights"], again["weights"])


def test_steps_find_what_draws_alone_do_not():
    random = np.random.default_rng(1)
    inputs = random.normal(size=(60, 5))
    labels = inputs @ np.array([1.0, -1.0, 0.5, 0.0, 0.2])
    entry, reached = MODELS["robot"], {}
    for steps in (1, 30):
        arrays = entry.function("fit")(inputs, labels, 0, {"drawn": 10, "steps": steps})
        reached[steps] = somers(inputs @ arrays["weights"], labels)
    assert reached[30] > reached[1] + 0.02


def test_the_improvement_expected_is_the_integral_over_what_the_weights_may_be_worth(monkeypatch):
    means, spreads = np.array([0.1, 0.5, 0.7, 0.4]), np.array([0.2, 0.1, 0.05, 0.3])
    monkeypatch.setattr(robot, "predict_gp", lambda *given: (means, spreads))
    tried, values = np.array([[0.1], [-0.4], [0.9]]), np.array([0.2, 0.6, -0.1])
    found = robot._improvements(tried, values, np.zeros((4, 1)), 0)
    expected = [
        quad(lambda worth, *at: (worth - 0.6) * norm.pdf(worth, *at), 0.6, 3.0, each)[0]
        for each in zip(means, spreads, strict=True)
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("constant", "drawn"), [(True, 10), (False, 1)])
def test_where_all_drawn_weights_are_worth_the_same_the_next_are_drawn(constant, drawn):
    inputs = np.random.default_rng(0).normal(size=(12, 3))
    labels = inputs @ np.array([1.0, -1.0, 0.0])
    fit, settings = MODELS["robot"].function("fit"), {"drawn": drawn, "steps": 3}
    weights = fit(np.ones((12, 3)) if constant else inputs, labels, 0, settings)["weights"]
    assert (np.abs(weights) <= 1).all()
    if constant:  # the first of those that are worth the same
        np.testing.assert_array_equal(weights, np.random.default_rng(0).uniform(-1, 1, 3))


@pytest.mark.filterwarnings("error")
def test_weights_are_found_though_the_first_are_all_worth_the_same():
    inputs = np.abs(np.random.default_rng(0).normal(size=(40, 1)))  # any weight above 0 is perfect
    arrays = MODELS["robot"].function("fit")(inputs, inputs[:, 0], 2, {"drawn": 2, "steps": 20})
    first = np.random.default_rng(2).uniform(-1, 1, 2)
    assert (first < 0).all()
    assert arrays["weights"] > 0

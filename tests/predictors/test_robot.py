"""RoBoT's weights on scores whose best weights are known."""

import numpy as np
import pytest

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

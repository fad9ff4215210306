"""RoBoT's weights on scores whose best weights are known."""

import numpy as np

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

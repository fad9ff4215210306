"""The curve of accuracy over size, on a curve that is known and on published accuracies."""

import numpy as np
import pytest

import autoprox
from autoprox.benches import BENCHES
from autoprox.errors import AutoproxError
from autoprox.predictors.saturating import fit_saturating


def test_a_curve_that_is_there_is_found():
    sizes = np.geomspace(10, 1000, 25)
    true = 75 - 8 * (sizes / 100) ** -0.5
    curve = fit_saturating(sizes, true)
    assert curve.ceiling == pytest.approx(75, abs=0.01)
    assert curve.power == pytest.approx(0.5, abs=0.01)
    assert curve.error < 0.01
    np.testing.assert_allclose(curve(np.array([100.0, 400.0])), [67, 71], atol=0.01)


def test_a_curve_is_scaled_by_the_median_size():
    assert fit_saturating(np.array([1.0, 2.0, 4.0, 100.0]), np.arange(4.0)).scale == 3


def test_what_has_no_curve_is_refused():
    with pytest.raises(AutoproxError, match="at least 4 networks; got 3"):
        fit_saturating(np.arange(1.0, 4.0), np.arange(3.0))
    with pytest.raises(AutoproxError, match="sizes are above 0; got 0"):
        fit_saturating(np.arange(5.0), np.arange(5.0))
    with pytest.raises(AutoproxError, match="all accuracies are the same"):
        fit_saturating(np.arange(1.0, 6.0), np.ones(5))
    with pytest.raises(AutoproxError, match="accuracies are finite numbers; got nan: leave such"):
        fit_saturating(np.arange(1.0, 6.0), np.array([1.0, 2.0, np.nan, 4.0, 5.0]))
    with pytest.raises(AutoproxError, match="sizes are finite numbers; got inf: leave such"):
        fit_saturating(np.array([1.0, 2.0, 3.0, np.inf]), np.arange(4.0))


@pytest.mark.skipif("resnet64" not in BENCHES, reason="the bench with the accuracies is not there")
def test_25_of_64_residual_networks_tell_the_others_to_within_a_point():
    rows = autoprox.load_bench("resnet64").architectures
    depths = np.array([row.config["depths"] for row in rows])
    # NN-Mass of basic blocks: in + out each, on widths 16, 32 and 64.
    sizes = depths @ [32.0, 64.0, 128.0] - 48
    accuracies = np.array([row.accuracies["c100"] for row in rows])
    errors = []
    for seed in range(50):
        order = np.random.default_rng(seed).permutation(64)
        curve = fit_saturating(sizes[order[:25]], accuracies[order[:25]])
        rest = order[25:]
        errors.append(np.sqrt(np.mean((curve(sizes[rest]) - accuracies[rest]) ** 2)))
    assert np.median(errors) < 0.7

import pytest
import torch

from autoprox.errors import QuantisationError
from autoprox.quantise import quantised, scales
from autoprox.quantise.activations import Grid, searched
from autoprox.quantise.rounding import _damped, fitted
from autoprox.quantise.weights import on_grid, widest_scales

WEIGHT = torch.tensor([[0.9, -1.9, 0.4], [0.3, 0.2, -0.6]])


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def squared_error(weight: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    return (weight - other).square().flatten(1).sum(1)


def test_two_bits_are_the_four_integers_from_minus_two_to_one_by_hand():
    got = on_grid(WEIGHT, torch.tensor([1.0, 0.25]), 2)
    assert got.tolist() == [[1.0, -2.0, 0.0], [0.25, 0.25, -0.5]]


def test_three_bits_by_hand_with_scales_that_clip_nothing():
    scale = widest_scales(WEIGHT, 3)
    torch.testing.assert_close(scale, torch.tensor([1.9 / 3, 0.6 / 3]))
    expected = torch.tensor([[1, -3, 1], [2, 1, -3]]) * scale[:, None]
    torch.testing.assert_close(on_grid(WEIGHT, scale, 3), expected)  # 0.9 / 0.633 = 1.42


def test_one_bit_is_the_sign_times_the_mean_absolute_weight():
    expected = torch.tensor([[3.2, -3.2, 3.2], [1.1, 1.1, -1.1]]) / 3
    torch.testing.assert_close(quantised(WEIGHT, 1), expected)


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_the_searched_scale_is_the_best_of_eighty_shares_channel_by_channel(bits):
    weight = normal(4, 5, 3, 3)
    for channel in weight.split(1):
        widest = channel.abs().max() / (2 ** (bits - 1) - 1)
        tried = [on_grid(channel, (widest * k / 80).reshape(1), bits) for k in range(1, 81)]
        least = min(float(squared_error(channel, each)) for each in tried)
        assert float(squared_error(channel, quantised(channel, bits))) == pytest.approx(least)
    plain = on_grid(weight, widest_scales(weight, bits), bits)
    assert (squared_error(weight, quantised(weight, bits)) <= squared_error(weight, plain)).all()


def test_a_channel_does_not_depend_on_the_others_nor_on_its_size():
    weight = normal(6, 20)
    assert torch.equal(quantised(weight, 3)[2:4], quantised(weight[2:4], 3))
    assert torch.equal(quantised(weight * 4, 3), quantised(weight, 3) * 4)


def test_sixteen_bits_are_nearly_the_weight():
    weight = normal(4, 30)
    torch.testing.assert_close(quantised(weight, 16), weight, atol=1e-4, rtol=0)


@pytest.mark.parametrize("bits", range(1, 17))
def test_a_weight_of_zeros_stays_zeros_or_one_step(bits):
    got = quantised(torch.zeros(2, 3), bits)
    assert torch.isfinite(got).all()
    assert bits == 1 or not got.any()


@pytest.mark.parametrize("bits", [0, 17, -1, 2.0, True, "4", None])
def test_bits_that_are_no_integer_from_1_to_16_are_refused(bits):
    for function in (quantised, scales):
        with pytest.raises(QuantisationError, match="from 1 to 16; got"):
            function(WEIGHT, bits)


def covariance(groups: int, entries: int) -> torch.Tensor:
    inputs = normal(groups, 200, entries, seed=3) @ normal(groups, entries, entries, seed=4)
    return inputs.mT @ inputs / 200


@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_fitted_rounding_changes_outputs_much_less_than_the_nearest(groups, bits):
    weight, seen = normal(6, 12), covariance(groups, 12)

    def change(other: torch.Tensor) -> torch.Tensor:
        error = (weight - other).reshape(groups, -1, 12)
        return ((error @ seen) * error).sum((1, 2))

    got = change(fitted(weight, seen, bits))
    assert (got <= change(quantised(weight, bits))).all()
    assert got.sum() < 0.75 * change(quantised(weight, bits)).sum()


@pytest.mark.parametrize("bits", [2, 4])
def test_fitted_weights_are_integers_times_one_scale_a_channel(bits):
    got = fitted(normal(6, 12), covariance(1, 12), bits)
    for channel in got:
        levels = channel.unique()
        assert len(levels) <= 2**bits
        step = channel[channel != 0].abs().min()
        ratios = channel / step
        assert any(torch.allclose(ratios * k, (ratios * k).round(), atol=1e-4) for k in range(1, 9))


@pytest.mark.parametrize("seed", [0, 8, 16, 28])
def test_fitted_rounding_finds_the_best_of_all_integers_of_a_small_layer(seed):
    weight, seen = normal(1, 4, seed=seed), covariance(1, 4)
    got = fitted(weight, seen, 2)
    damped = seen[0] + 0.01 * seen[0].diagonal().mean() * torch.eye(4)

    def change(row: torch.Tensor) -> float:
        return float((weight[0] - row) @ damped @ (weight[0] - row))

    best = min(
        change(integers * scale)
        for integers in torch.cartesian_prod(*[torch.arange(-2.0, 2.0)] * 4)
        if integers.any()
        for scale in [(weight[0] @ damped @ integers) / (integers @ damped @ integers)]
        if scale > 0
    )
    assert change(got[0]) == pytest.approx(best, rel=1e-4)


def test_a_hundredth_of_the_mean_variance_damps():
    assert _damped(torch.diag(torch.tensor([1.0, 3.0]))[None])[0].tolist() == [
        pytest.approx([1.02, 0]),
        pytest.approx([0, 3.02]),
    ]


def test_inputs_that_never_vary_are_no_trouble():
    assert torch.isfinite(fitted(normal(3, 5), torch.zeros(1, 5, 5), 3)).all()


@pytest.mark.parametrize("grid", [Grid(0.1, 0), Grid(0.037, 128), Grid(2.0, 255)])
def test_activations_on_a_grid_are_what_torch_makes_of_them(grid):
    tensor = normal(1000) * 5
    expected = torch.fake_quantize_per_tensor_affine(tensor, grid.scale, grid.zero_point, 0, 255)
    torch.testing.assert_close(grid.nearest(tensor), expected)


@pytest.mark.parametrize(
    ("low", "high", "zero_point"),  # of 255 steps: 85, 69.5 and 73.7, nothing below 0
    [(-1.0, 2.0, 85), (-0.3, 0.8, 70), (-0.37, 0.91, 74), (0.2, 1.0, 0)],
)
def test_a_grid_that_clips_nothing_has_0_at_the_nearest_step(low, high, zero_point):
    found = searched(torch.linspace(low, high, 5001))
    assert found.scale == pytest.approx((high - min(low, 0)) / 255)
    assert found.zero_point == zero_point


def test_the_searched_grid_clips_an_outlier_but_not_a_uniform_range():
    uniform = torch.linspace(0, 1, 5000)
    assert searched(uniform).scale == pytest.approx(1 / 255)
    assert searched(uniform).zero_point == 0
    outlier = torch.cat([normal(50_000), torch.tensor([30.0])])
    assert searched(outlier).scale < 0.95 * float(outlier.max() - outlier.min()) / 255
    assert searched(torch.zeros(5)) == Grid(1.0, 0)


def test_inputs_of_more_entries_than_a_float_can_count_are_searched():
    many = torch.linspace(0, 1, 4096).repeat(4116)  # 112 images of 3 x 224 x 224
    assert searched(many).scale == pytest.approx(1 / 255)
    assert searched(many[:7]) == Grid(float(many[6]) / 255, 0)
    assert searched(many[1:2]) == Grid(float(many[1]) / 255, 0)

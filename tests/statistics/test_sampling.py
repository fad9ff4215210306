"""Which entries are kept."""

import numpy as np
import pytest
import torch

from autoprox.statistics.sampling import POOL, pool, singular_values, spread


@pytest.mark.parametrize(
    ("rows", "columns"), [(640, 1000), (1, 500000), (500000, 1), (100000, 4), (3, 70001), (1, 2051)]
)
def test_the_entries_of_a_pool_are_distinct_and_in_order(rows, columns):
    places = pool(rows, columns, 16, 0, "Weight", 3).places
    wanted = min(rows * columns, POOL)
    assert wanted * 0.85 < len(places) <= wanted
    assert places[0] >= 0
    assert places[-1] < rows * columns
    assert (np.diff(places) > 0).all()


def test_the_entries_of_a_large_pool_are_spread_over_rows_and_columns():
    places = pool(1024, 4096, 16, 0, "Weight", 0).places
    for counts, mean in ((np.bincount(places // 4096), 64), (np.bincount(places % 4096), 16)):
        assert counts.max() == mean  # a few are drawn twice, and count once
        assert counts.mean() > mean * 0.98
        assert counts.std() < np.sqrt(mean) / 4


def test_a_pool_depends_on_seed_kind_and_layer_alone():
    one = pool(1000, 300, 4, 0, "Weight", 0).places
    pool.cache_clear()
    assert np.array_equal(one, pool(1000, 300, 4, 0, "Weight", 0).places)
    for other in [(1, "Weight", 0), (0, "Activation", 0), (0, "Weight", 1)]:
        assert not np.array_equal(one, pool(1000, 300, 4, *other).places)


@pytest.mark.parametrize(("rows", "columns"), [(3, 5), (8, 8), (20, 30)])
def test_every_entry_of_a_small_matrix_is_kept_equally_often(rows, columns):
    values = torch.randn(rows * columns, generator=torch.Generator().manual_seed(0))
    kept = pool(rows, columns, 512, 0, "Weight", 0).kept(values)
    counts = np.bincount(kept, minlength=rows * columns)
    assert counts.max() - counts.min() <= 1


def test_what_is_kept_has_the_distribution_of_the_whole():
    generator = torch.Generator().manual_seed(0)
    values = torch.tan(torch.rand(300 * 200, generator=generator) * 2.6 - 1.3)  # heavy tails
    looked_at = pool(300, 200, 1024, 0, "Weight", 0)
    kept = values[looked_at.places][looked_at.kept(values[looked_at.places])]
    free = torch.stack(
        [values[torch.randint(len(values), (1024,), generator=generator)] for _ in range(40)]
    )
    for statistic in (torch.mean, torch.std, torch.norm):
        share = len(kept) / len(values) if statistic is torch.norm else 1.0
        whole = float(statistic(values)) * share**0.5
        typical = torch.tensor([float(statistic(each)) - whole for each in free]).square().mean()
        assert abs(float(statistic(kept)) - whole) < float(typical.sqrt()) / 3


def test_what_else_the_kept_entries_show_is_not_biased():
    """A matrix that depends on row and column, and not on the values that are sorted by."""
    generator = np.random.default_rng(0)
    matrix = generator.standard_normal((320, 1)) + generator.standard_normal((1, 640))
    flat, means = matrix.ravel(), []
    for seed in range(60):
        values = torch.from_numpy(generator.standard_normal(matrix.size)).float()
        looked_at = pool(320, 640, 256, seed, "Weight", 0)
        means.append(flat[looked_at.places[looked_at.kept(values[looked_at.places])]].mean())
    assert abs(np.mean(means) - flat.mean()) < 3 * np.std(means) / np.sqrt(60)


@pytest.mark.parametrize("shape", [(24, 96), (96, 24), (1, 7), (7, 1)])
def test_singular_values_are_those_of_a_decomposition(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    expected = torch.linalg.svdvals(matrix.double()).float()
    torch.testing.assert_close(singular_values(matrix), expected)


@pytest.mark.parametrize(("values", "sample"), [(7, 1024), (100, 1024), (1000, 64), (64, 64)])
def test_every_singular_value_of_a_sampled_spectrum_weighs_the_same(values, sample):
    spectrum = torch.arange(values, 0, -1, dtype=torch.float32)
    kept = spread(spectrum, sample)
    assert len(kept) == sample
    assert float(kept.mean()) == pytest.approx(float(spectrum.mean()), rel=2e-2)
    if values <= sample:
        counts = torch.unique(kept, return_counts=True)[1]
        assert len(counts) == values
        assert counts.max() - counts.min() <= 1


def test_a_spectrum_is_read_at_the_middles_of_its_strips():
    assert spread(torch.arange(10.0), 5).tolist() == [1, 3, 5, 7, 9]


def test_a_spike_at_the_top_of_a_spectrum_keeps_its_share():
    spectrum = torch.zeros(50)
    spectrum[0] = 50.0
    assert float(spread(spectrum, 1024).mean()) == pytest.approx(1.0, rel=0.03)

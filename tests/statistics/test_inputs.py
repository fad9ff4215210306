"""Batches of noise and of images."""

import sys

import numpy as np
import pytest
import torch

from autoprox.errors import StatisticError
from autoprox.statistics import fingerprint, images, noise
from autoprox.statistics.inputs import IMAGENET


@pytest.fixture
def pack(tmp_path):
    """Twelve 6 x 6 images whose pixels are ten times their number, of three classes."""
    x = np.repeat(np.arange(12, dtype=np.uint8) * 10, 6 * 6 * 3).reshape(12, 6, 6, 3)
    path = tmp_path / "pack.npz"
    np.savez(path, x=x, y=np.arange(12) % 3)
    return path


def test_noise_is_standard_normal_and_depends_on_the_seed_alone():
    before = torch.get_rng_state()
    x, y = noise((3, 16, 16), classes=7, batch=64, seed=3)
    assert torch.equal(before, torch.get_rng_state())
    assert x.shape == (64, 3, 16, 16)
    assert abs(float(x.mean())) < 0.02
    assert abs(float(x.std()) - 1) < 0.02
    assert y.dtype == torch.int64
    assert set(y.tolist()) == set(range(7))
    assert torch.equal(x, noise((3, 16, 16), classes=7, batch=64, seed=3)[0])
    assert not torch.equal(x, noise((3, 16, 16), classes=7, batch=64, seed=4)[0])


def test_images_are_drawn_without_repetition_and_normalised(pack):
    x, y = images(pack, (3, 6, 6), classes=3, batch=5, seed=1)
    mean, deviation = (torch.tensor(each).reshape(3, 1, 1) for each in IMAGENET)
    grey = x * deviation + mean
    numbers = (grey[:, 0, 0, 0] * 255 / 10).round().long()
    assert len(numbers.unique()) == 5
    assert torch.equal(numbers % 3, y)
    torch.testing.assert_close(grey, grey[:, :1, :1, :1].expand_as(grey))
    assert torch.equal(x, images(pack, (3, 6, 6), classes=3, batch=5, seed=1)[0])
    assert not torch.equal(x, images(pack, (3, 6, 6), classes=3, batch=5, seed=2)[0])


def test_channels_may_come_first_and_grey_images_fill_three_channels(pack, tmp_path):
    with np.load(pack) as archive:
        x, y = archive["x"], archive["y"]
    np.savez(tmp_path / "first.npz", x=x.transpose(0, 3, 1, 2), y=y)
    np.savez(tmp_path / "grey.npz", x=x[..., 0], y=y)
    expected = images(pack, (3, 6, 6), 3, batch=4)[0]
    for name in ("first.npz", "grey.npz"):
        assert torch.equal(images(tmp_path / name, (3, 6, 6), 3, batch=4)[0], expected)
    assert images(tmp_path / "grey.npz", (1, 6, 6), 3, batch=4)[0].shape == (4, 1, 6, 6)
    with pytest.raises(StatisticError, match="have 3 channels; expected 1"):
        images(pack, (1, 6, 6), 3, batch=4)


def test_images_are_resized(pack):
    x, _ = images(pack, (3, 9, 4), classes=3, batch=2)
    assert x.shape == (2, 3, 9, 4)
    torch.testing.assert_close(x, x[:, :, :1, :1].expand_as(x))


def test_a_folder_of_images_is_read_by_class(tmp_path):
    image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    for label, name in enumerate(("ant", "bee")):
        (tmp_path / name).mkdir()
        for number in range(3):
            pixels = np.full((5, 5, 3), 100 * label, np.uint8)
            image.fromarray(pixels).save(tmp_path / name / f"{number}.png")
        (tmp_path / name / "notes.txt").write_text("no image")
    x, y = images(tmp_path, (3, 5, 5), classes=2, batch=6)
    assert sorted(y.tolist()) == [0, 0, 0, 1, 1, 1]
    assert x[y == 1].min() > x[y == 0].max()
    (tmp_path / "bee" / "0.png").write_bytes(b"not a picture")
    with pytest.raises(StatisticError, match=r"cannot read .*0\.png"):
        images(tmp_path, (3, 5, 5), classes=2, batch=6)
    with pytest.raises(StatisticError, match="holds no images"):
        images(tmp_path / "ant", (3, 5, 5), classes=2)


def test_a_folder_without_pillow_says_what_to_install(tmp_path, monkeypatch):
    (tmp_path / "ant").mkdir()
    (tmp_path / "ant" / "0.png").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(StatisticError, match="pip install"):
        images(tmp_path, (3, 5, 5), classes=2, batch=1)


def test_data_that_does_not_fit_is_refused_with_the_reason(pack, tmp_path):
    shape = (3, 6, 6)
    with pytest.raises(StatisticError, match=r"go from 0 to 2, but the network has 2 classes"):
        images(pack, shape, classes=2)
    with pytest.raises(StatisticError, match="holds 12 images; expected 13"):
        images(pack, shape, classes=3, batch=13)
    with pytest.raises(StatisticError, match="no images at"):
        images(tmp_path / "nothing.npz", shape, classes=3)
    content = pack.read_bytes()
    for name, data in [("cut.npz", content[:400]), ("text.npz", b"hello"), ("empty.npz", b"")]:
        (tmp_path / name).write_bytes(data)
        with pytest.raises(StatisticError, match=rf"cannot read .*{name}.*expected an .npz file"):
            images(tmp_path / name, shape, classes=3)
    flipped = bytearray(content)
    flipped[300] ^= 255
    (tmp_path / "flipped.npz").write_bytes(bytes(flipped))
    with pytest.raises(StatisticError, match="cannot read"):
        images(tmp_path / "flipped.npz", shape, classes=3)
    np.savez(tmp_path / "foreign.npz", data=np.zeros(3))
    with pytest.raises(StatisticError, match=r"holds \['data'\]"):
        images(tmp_path / "foreign.npz", shape, classes=3)
    np.savez(tmp_path / "floats.npz", x=np.zeros((9, 6, 6, 3)), y=np.zeros(9, int))
    with pytest.raises(StatisticError, match="float64"):
        images(tmp_path / "floats.npz", shape, classes=3)
    np.savez(tmp_path / "pickled.npz", x=np.array([{}], dtype=object), y=np.zeros(1))
    with pytest.raises(StatisticError, match="cannot read"):
        images(tmp_path / "pickled.npz", shape, classes=3)


def test_the_fingerprint_follows_every_value_shape_and_type():
    x, y = noise((3, 4, 4), classes=5, batch=4)
    one = fingerprint(x, y)
    assert len(one) == 64
    assert fingerprint(x.clone(), y.clone()) == one
    other = x.clone()
    other[0, 0, 0, 0] += 1e-6
    for batch in [(other, y), (x, y + 1), (x.reshape(4, 48), y), (x, None), (x.double(), y)]:
        assert fingerprint(*batch) != one


def test_the_fingerprint_is_that_of_the_numbers_however_torch_keeps_them():
    x = torch.randn(4, 3, dtype=torch.complex64)
    turned = x.conj()
    assert fingerprint(turned, None) == fingerprint(turned.resolve_conj(), None)
    assert fingerprint(turned, None) != fingerprint(x, None)
    negative = torch._neg_view(torch.ones(4))
    assert fingerprint(negative, None) == fingerprint(-torch.ones(4), None)

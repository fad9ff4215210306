"""What images and labels on disk have to be, and what they may not cost."""

import io
import struct
import warnings
import zipfile
import zlib

import numpy as np
import pytest
import torch

from autoprox.errors import StatisticError
from autoprox.statistics import images
from autoprox.statistics.image_files import MOST_BYTES, MOST_PIXELS, stored

SHAPE = (3, 8, 8)
GREY = np.zeros((4, 8, 8, 3), np.uint8)


def packed(path, labels, x=GREY):
    np.savez(path, x=x, y=labels)
    return path


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (np.array([0.5, 1, 2, 3]), "0.5 at place 0"),
        (np.array([0, 1, np.nan, 2]), "nan at place 2"),
        (np.array([0, np.inf, 1, 2]), "inf at place 1"),
        (np.array([1e300, 0, 1, 2]), "1e.300 at place 0"),
        (np.array(["cat", "dog", "cow", "ape"]), "type <U3"),
        (np.array(["2020-01-01"] * 4, "M8[D]"), "type datetime64"),
        (np.full(4, 1 + 2j), "type complex128"),
        (np.zeros(4, [("a", "i4")]), r"type \[\("),
        (np.full(4, 2**63, np.uint64), "9223372036854775808 at place 0"),
    ],
)
def test_labels_are_whole_numbers(tmp_path, labels, said):
    path = packed(tmp_path / "x.npz", labels)
    with pytest.raises(StatisticError, match=rf"x\.npz are to be whole numbers.*got {said}"):
        images(path, SHAPE, 10, batch=4)


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.uint64, np.float32, np.float64])
def test_whole_numbers_of_any_type_are_labels(tmp_path, kind):
    path = packed(tmp_path / "x.npz", np.arange(4).astype(kind))
    assert sorted(images(path, SHAPE, 10, batch=4)[1].tolist()) == [0, 1, 2, 3]


def test_images_without_height_objects_and_other_types_are_refused(tmp_path):
    labels = np.zeros(4, int)
    flat = packed(tmp_path / "flat.npz", labels, np.zeros((4, 0, 8, 3), np.uint8))
    deep = packed(tmp_path / "deep.npz", labels, np.zeros((4, 8, 8, 3), np.uint16))
    objects = packed(tmp_path / "objects.npz", np.array([{}] * 4, object))
    for path, said in [
        (flat, "images of 0 x 8 x 3"),
        (deep, "uint16"),
        (objects, "Python objects"),
    ]:
        with pytest.raises(StatisticError, match=said):
            images(path, SHAPE, 10, batch=4)


def test_the_drawn_rows_are_those_of_the_whole_file(tmp_path):
    x = np.random.default_rng(0).integers(0, 256, (50, 5, 6, 3), dtype=np.uint8)
    y = np.arange(50)
    places = np.array([7, 49, 0, 8])
    np.savez_compressed(tmp_path / "a.npz", x=x, y=y)
    np.savez(tmp_path / "b.npz", x=np.asfortranarray(x), y=y)
    for name in ("a", "b"):
        drawn, labels = stored(tmp_path / f"{name}.npz", lambda _: places)
        np.testing.assert_array_equal(drawn, x[places])
        np.testing.assert_array_equal(labels, places)
        np.testing.assert_array_equal(stored(tmp_path / f"{name}.npz")[0], x)


def header(shape, dtype="|u1"):
    content = io.BytesIO()
    head = {"shape": shape, "fortran_order": False, "descr": dtype}
    np.lib.format.write_array_header_1_0(content, head)
    return content.getvalue()


def test_an_array_that_unpacks_to_more_than_is_read_is_refused_by_its_size(tmp_path):
    path = tmp_path / "bomb.npz"
    block = bytes(2**20)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        with archive.open("x.npy", "w", force_zip64=True) as file:
            for _ in range(MOST_BYTES // len(block) + 1):
                file.write(block)
        archive.writestr("y.npy", header((1,)) + b"\0")
    with pytest.raises(StatisticError, match=r"at most 1,073,741,824 are read"):
        images(path, SHAPE, 10, batch=1)


def test_a_header_that_claims_more_than_the_file_holds_is_refused(tmp_path):
    path = tmp_path / "claim.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", header((10**9, 1000, 1000, 3)) + bytes(100))
        archive.writestr("y.npy", header((10**9,)) + bytes(100))
    with pytest.raises(StatisticError, match="another size than its header says"):
        images(path, SHAPE, 10)


def test_an_encrypted_archive_is_refused(tmp_path):
    path = packed(tmp_path / "x.npz", np.zeros(4, int))
    content = bytearray(path.read_bytes())
    for mark, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = content.find(mark)
        while place >= 0:
            content[place + flags] |= 1
            place = content.find(mark, place + 4)
    path.write_bytes(bytes(content))
    with pytest.raises(StatisticError, match="is encrypted"):
        images(path, SHAPE, 10, batch=4)


def folder_of(tmp_path, *pictures):
    image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    (tmp_path / "a").mkdir()
    for number, pixels in enumerate(pictures):
        image.fromarray(pixels).save(tmp_path / "a" / f"{number}.png")
    return tmp_path


def test_16_bits_become_the_nearest_8(tmp_path):
    values = np.array([0, 128, 129, 257, 32896, 65535], np.uint16)
    folder = folder_of(tmp_path, np.tile(values, (2, 1)))
    x, _ = images(folder, (1, 2, 6), 1, batch=1, normalisation=((0.0,), (1.0,)))
    assert (x[0, 0, 0] * 255).round().tolist() == [0, 0, 1, 1, 128, 255]


def test_a_folder_of_grey_pictures_serves_one_channel_and_three(tmp_path):
    folder = folder_of(tmp_path, *(np.full((8, 8), 40 * place, np.uint8) for place in range(4)))
    one, _ = images(folder, (1, 8, 8), 1, batch=4, normalisation=((0.0,), (1.0,)))
    three, _ = images(folder, SHAPE, 1, batch=4, normalisation=((0.0,) * 3, (1.0,) * 3))
    assert sorted((one.amax((1, 2, 3)) * 255).round().tolist()) == [0, 40, 80, 120]
    assert torch.equal(one.expand(-1, 3, -1, -1), three)


def test_a_coloured_picture_is_named_where_the_network_takes_one_channel(tmp_path):
    folder = folder_of(tmp_path, np.zeros((8, 8, 3), np.uint8) + np.array([1, 2, 3], np.uint8))
    with pytest.raises(StatisticError, match=r"0\.png is coloured"):
        images(folder, (1, 8, 8), 1, batch=1)


@pytest.mark.parametrize("side", [60_000, 6_000])
def test_pictures_that_claim_too_many_pixels_are_refused_by_their_header(tmp_path, side):
    pytest.importorskip("PIL.Image", reason="Pillow is not installed")

    def chunk(name, data):
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "0.png").write_bytes(b"\x89PNG\r\n\x1a\n" + head + body)
    assert side**2 > MOST_PIXELS
    with pytest.raises(StatisticError, match=r"cannot read .*0\.png: .*pixels"):
        images(tmp_path, SHAPE, 10, batch=1)


@pytest.mark.parametrize(("batch", "seed"), [(0, 0), (1, -1), (1, 2**32)])
def test_impossible_batches_and_seeds_are_refused(tmp_path, batch, seed):
    with pytest.raises(StatisticError, match="expected a batch of 1 or more and a seed"):
        images(packed(tmp_path / "x.npz", np.zeros(4, int)), SHAPE, 10, batch=batch, seed=seed)


def test_of_two_arrays_of_one_name_none_is_believed(tmp_path):
    path, array = tmp_path / "x.npz", io.BytesIO()
    np.savez(path, x=np.zeros((2, 4, 4, 3), np.uint8), y=np.arange(2))
    np.save(array, np.arange(2)[::-1])
    with zipfile.ZipFile(path, "a") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zipfile's own, of the name
        archive.writestr("y.npy", array.getvalue())
    with pytest.raises(StatisticError, match="two files of one name"):
        images(path, (3, 4, 4), 2, 2)

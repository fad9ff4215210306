"""CIFAR-10: its files, and the networks that are trained on it."""

from __future__ import annotations

import io
import json
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from autoprox.benches.cifar import (
    DEVIATION,
    MEAN,
    NETWORKS,
    cifar10,
    normalised,
    trained,
)
from autoprox.benches.cifar.resnet import ResNet
from autoprox.errors import AutoproxError, BenchError, UnknownNameError
from autoprox.quantise.running import accuracy

Bytes = NDArray[np.uint8]
DATA = Path(os.environ.get("AUTOPROX_DATA", "")) if os.environ.get("AUTOPROX_DATA") else None
needs_data = pytest.mark.skipif(DATA is None, reason="AUTOPROX_DATA names no folder of real data")


def made(seed: int, count: int) -> tuple[Bytes, NDArray[np.int64]]:
    """Images and labels that differ from place to place."""
    generator = np.random.default_rng(seed)
    images = generator.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
    return images, generator.integers(0, 10, count)


TRAIN = [made(seed, 3) for seed in range(5)]
TEST = made(5, 4)


def packed(path: Path, files: dict[str, bytes]) -> Path:
    """A gzipped archive of these files."""
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def binary(path: Path) -> Path:
    """The five batches and the test batch as the official archive has them."""
    files = {}
    batches = {f"data_batch_{place + 1}": batch for place, batch in enumerate(TRAIN)}
    for name, (images, labels) in {**batches, "test_batch": TEST}.items():
        planes = images.transpose(0, 3, 1, 2).reshape(len(images), -1)
        rows = np.concatenate([labels[:, None].astype(np.uint8), planes], axis=1)
        files[f"cifar-10-batches-bin/{name}.bin"] = rows.tobytes()
    return packed(path, files)


def sheets(path: Path) -> Path:
    """The same as the npm package has them."""
    image = pytest.importorskip("PIL.Image")
    files = {}
    batches = {f"data_batch_{place + 1}": batch for place, batch in enumerate(TRAIN)}
    for name, (images, _) in {**batches, "test_batch": TEST}.items():
        content = io.BytesIO()
        image.fromarray(images.reshape(len(images), 1024, 3)).save(content, "png")
        files[f"package/{name}.png"] = content.getvalue()
    labels = [int(label) for _, batch in TRAIN for label in batch]
    files["package/train_lables.json"] = json.dumps(labels).encode()
    files["package/test_lables.json"] = json.dumps(TEST[1].tolist()).encode()
    return packed(path, files)


# The files


@pytest.mark.parametrize("write", [binary, sheets])
def test_both_archives_are_read_in_order(write: object, tmp_path: Path) -> None:
    path = write(tmp_path / "cifar.tgz")  # type: ignore[operator]
    read = cifar10(path, "train")
    assert read.images.dtype == np.uint8
    assert read.labels.dtype == np.int64
    np.testing.assert_array_equal(read.images, np.concatenate([images for images, _ in TRAIN]))
    np.testing.assert_array_equal(read.labels, np.concatenate([labels for _, labels in TRAIN]))
    images, labels = cifar10(path, "test")
    np.testing.assert_array_equal(images, TEST[0])
    np.testing.assert_array_equal(labels, TEST[1])


def test_an_npz_is_read_whatever_its_order_of_axes(tmp_path: Path) -> None:
    images, labels = TEST
    np.savez(tmp_path / "last.npz", x=images, y=labels.astype(np.uint8))
    np.savez(tmp_path / "first.npz", x=images.transpose(0, 3, 1, 2), y=labels)
    for name in ("last", "first"):
        read = cifar10(tmp_path / f"{name}.npz")
        np.testing.assert_array_equal(read.images, images)
        np.testing.assert_array_equal(read.labels, labels)


def test_a_missing_file_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"no CIFAR-10 at .*cifar-10-binary\.tar\.gz from https:"):
        cifar10(tmp_path / "none.tgz")


def test_foreign_and_damaged_files_are_refused(tmp_path: Path) -> None:
    pickled = packed(tmp_path / "python.tgz", {"cifar-10-batches-py/data_batch_1": b"pickle"})
    whole = binary(tmp_path / "whole.tgz").read_bytes()
    cut, text, short = (tmp_path / name for name in ("cut.tgz", "text.tgz", "short.tgz"))
    cut.write_bytes(whole[: len(whole) // 2])
    text.write_text("no archive")
    packed(short, {"cifar-10-batches-bin/test_batch.bin": bytes(3074)})
    for path in (pickled, cut, text, short):
        with pytest.raises(BenchError, match=rf"{path.name}.*expected cifar-10-binary"):
            cifar10(path, "test")
    lone = packed(tmp_path / "lone.tgz", {"cifar-10-batches-bin/test_batch.bin": bytes(3073)})
    with pytest.raises(BenchError, match=r"has no file cifar-10-batches-bin/data_batch_1\.bin"):
        cifar10(lone, "train")


def test_a_file_larger_than_any_of_cifar_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "large.tgz"
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        member = tarfile.TarInfo("cifar-10-batches-bin/test_batch.bin")
        member.size = 3073 * 10_001
        archive.addfile(member, io.BytesIO(bytes(member.size)))
    with pytest.raises(BenchError, match=r"has 30,733,073 bytes.*at most 30,730,000"):
        cifar10(path, "test")


def test_an_archive_of_many_files_is_refused_by_what_it_unpacks_to(tmp_path: Path) -> None:
    path = tmp_path / "many.tgz"
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        for place in range(9):
            member = tarfile.TarInfo(str(place))
            member.size = 3073 * 10_000
            archive.addfile(member, io.BytesIO(bytes(member.size)))
    with pytest.raises(BenchError, match="unpacks to more than 245,840,000 bytes"):
        cifar10(path, "test")


def test_labels_of_the_package_that_are_no_whole_numbers_are_refused(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    sheet = io.BytesIO()
    image.fromarray(np.zeros((2, 1024, 3), np.uint8)).save(sheet, "png")
    for labels in ("[0.5, 1]", '["a", "b"]', "[1e999, 1]", "[[0], [1]]", "[" * 100_000, "{}"):
        files = {
            "package/test_batch.png": sheet.getvalue(),
            "package/test_lables.json": labels.encode(),
        }
        with pytest.raises(AutoproxError, match=r"odd\.tgz"):
            cifar10(packed(tmp_path / "odd.tgz", files), "test")


def test_images_of_another_size_and_other_labels_are_refused(tmp_path: Path) -> None:
    images, labels = TEST
    np.savez(tmp_path / "small.npz", x=images[:, :28, :28], y=labels)
    np.savez(tmp_path / "many.npz", x=images, y=labels + 10)
    np.savez(tmp_path / "none.npz", x=images[:0], y=labels[:0])
    np.savez(tmp_path / "odd.npz", x=images)
    for name, message in {
        "small": r"holds images \(4, 28, 28, 3\)",
        "many": "labels of .* go from 1",
        "none": r"holds images \(0, 32, 32, 3\)",
        "odd": r"holds \['x'\]",
    }.items():
        with pytest.raises(AutoproxError, match=message):
            cifar10(tmp_path / f"{name}.npz")


def test_normalised_training_images_have_mean_0_and_deviation_1() -> None:
    mean, deviation = 255 * np.array(MEAN), 255 * np.array(DEVIATION)
    images = np.stack([mean - deviation, mean + deviation]).round().astype(np.uint8)
    shown = normalised(images.reshape(2, 1, 1, 3))
    assert shown.shape == (2, 3, 1, 1)
    torch.testing.assert_close(
        shown.flatten(1), torch.tensor([[-1.0] * 3, [1.0] * 3]), atol=0.01, rtol=0
    )


# The networks


@pytest.mark.parametrize(
    ("name", "parameters", "macs", "layers"),
    [
        ("resnet20", 269_722, 40.55e6, 20),  # as published, with option A
        ("mobilenetv2", 483_818, 16.75e6, 29),
        ("vit", 460_714, 28.6e6, 26),
    ],
)
def test_a_network_has_the_stated_size(
    name: str, parameters: int, macs: float, layers: int
) -> None:
    network = NETWORKS[name]()
    assert sum(each.numel() for each in network.parameters()) == parameters
    assert sum(isinstance(each, nn.Conv2d | nn.Linear) for each in network.modules()) == layers
    with FlopCounterMode(display=False) as counter:
        assert network(torch.zeros(2, 3, 32, 32)).shape == (2, 10)
    assert counter.get_total_flops() / 4 == pytest.approx(macs, rel=0.01)


def test_trained_weights_come_back_in_float32(tmp_path: Path) -> None:
    network = NETWORKS["vit"]().eval()
    path = tmp_path / "vit.safetensors"
    save_file({name: value.half() for name, value in network.state_dict().items()}, path)
    read = trained("vit", path)
    assert not read.training
    for one, other in zip(read.parameters(), network.parameters(), strict=True):
        assert one.dtype == torch.float32
        assert torch.equal(one, other.half().float())


def test_weights_that_are_missing_damaged_or_another_networks_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "file.safetensors"
    with pytest.raises(BenchError, match=r"no weights at .*autoprox bench train vit"):
        trained("vit", path)
    path.write_bytes(b"0")
    with pytest.raises(BenchError, match=r"is damaged: .*autoprox bench train vit"):
        trained("vit", path)
    save_file(NETWORKS["resnet20"]().state_dict(), path)
    with pytest.raises(BenchError, match="holds no weights of vit"):
        trained("vit", path)
    with pytest.raises(UnknownNameError, match="did you mean 'resnet20'"):
        trained("resnet", path)
    weights = NETWORKS["vit"]().state_dict()
    weights["head.bias"][0] = torch.nan
    save_file(weights, path)
    with pytest.raises(BenchError, match=r"head\.bias has weights that are not finite"):
        trained("vit", path)


# Real data


@needs_data
@pytest.mark.slow
@pytest.mark.parametrize(("depth", "published"), [(20, 91.73), (32, 92.63)])
def test_published_weights_reach_their_accuracy(depth: int, published: float) -> None:
    assert DATA is not None
    (path,) = (DATA / "weights").glob(f"resnet{depth}-*.th")
    weights = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
    network = ResNet(depth)
    # Same order, other names; the published files do not count batches.
    ours = [name for name in network.state_dict() if not name.endswith("num_batches_tracked")]
    theirs = [name for name in weights if not name.endswith("num_batches_tracked")]
    mapped = {one: weights[other] for one, other in zip(ours, theirs, strict=True)}
    missing = network.load_state_dict(mapped, strict=False)
    assert not missing.unexpected_keys
    mean, deviation = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # they saw ImageNet's
    test = cifar10(DATA / "images" / "cifar10_test_10000.npz")
    shown = normalised(test.images, mean, deviation)
    measured = accuracy(network, shown, torch.from_numpy(test.labels))
    assert measured == pytest.approx(published, abs=0.02)


@needs_data
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "least"), [("resnet20", 88.0), ("mobilenetv2", 85.0), ("vit", 70.0)]
)
def test_shipped_weights_reach_the_accuracy_that_their_file_states(name: str, least: float) -> None:
    from safetensors import safe_open

    import autoprox.benches

    assert DATA is not None
    path = Path(autoprox.benches.__file__).parent / "mq101" / f"{name}.safetensors"
    if not path.is_file():
        pytest.skip(f"{name} does not ship")
    with safe_open(path, framework="pt") as file:
        stated = json.loads(file.metadata()["autoprox"])["accuracy"]
    test = cifar10(DATA / "images" / "cifar10_test_10000.npz")
    shown, labels = normalised(test.images), torch.from_numpy(test.labels)
    assert accuracy(trained(name), shown, labels) == pytest.approx(stated, abs=0.05)
    assert stated >= least

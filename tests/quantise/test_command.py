import csv
import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from autoprox.benches.cifar import NETWORKS
from autoprox.cli import main
from autoprox.training.checkpoint import half, write_weights


@pytest.fixture
def command(tmp_path):
    """Runs ``autoprox bench quantise resnet20`` on a few images of noise."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        write_weights(tmp_path / "weights", half(NETWORKS["resnet20"]()), {})
    for part in ("train", "test"):
        generator = np.random.default_rng(len(part))
        pictures = generator.integers(0, 256, (8, 32, 32, 3), dtype=np.uint8)
        np.savez(tmp_path / f"{part}.npz", x=pictures, y=generator.integers(0, 10, 8))
    given = ["--data", "train.npz", "--test", "test.npz", "--weights", "weights", "--out", "out"]
    paths = [word if word.startswith("--") else str(tmp_path / word) for word in given]
    quick = ["--calibration", "8", "--rounding", "plain", "--threads", "1", "--quiet"]

    return lambda *more: CliRunner().invoke(
        main, ["bench", "quantise", "resnet20", *paths, *quick, *more]
    )


def test_a_table_is_made_continued_and_checked_row_by_row(command, tmp_path):
    assert command("--rows", "2").output.startswith("2 rows from ")
    assert command("--rows", "3").output.startswith("3 rows from ")
    table = (tmp_path / "out" / "resnet20.csv").read_text().splitlines()
    assert table[0] == "name,set,bits,accuracy,loss,size_bytes,bops,row_checksum"
    assert [line.split(",")[0] for line in table[1:]] == ["234/0000", "234/0001", "234/0002"]
    assert command("--row", "234/0001").output.endswith("the same\n")


def test_fewer_test_images_are_said_in_the_file_beside_the_table(command, tmp_path):
    assert command("--rows", "1", "--test-images", "5").exit_code == 0
    assert json.loads((tmp_path / "out" / "resnet20.json").read_text())["test_count"] == 5
    (row,) = csv.DictReader((tmp_path / "out" / "resnet20.csv").read_text().splitlines())
    assert float(row["accuracy"]) in (0, 20, 40, 60, 80, 100)
    assert "made with another test_" in command("--rows", "1", "--test-images", "6").output


@pytest.mark.parametrize("more", [["--set", "2-8"], ["--rows", "3"]])
def test_one_row_again_goes_with_no_other_rows(command, more):
    result = command("--row", "234/0001", *more)
    assert result.exit_code == 2
    assert f"--row measures one row again: leave out {more[0]}" in result.output


def test_a_folder_that_cannot_be_written_is_told_before_anything_is_read(command, tmp_path):
    (tmp_path / "out").touch()
    result = command("--data", "nowhere.npz")
    assert result.exit_code == 1
    assert "out/resnet20.csv': Not a directory; choose another --out" in result.output


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--set", "23"], "unknown set '23'"),
        (["--row", "234/9999"], "unknown row '234/9999'"),
        (["--calibration", "9"], "calibration takes 2 to 8 of the training images; got 9"),
        (["--rounding", "up"], "rounding is one of fitted, nearest, plain; got 'up'"),
        (["--test-images", "9"], "test.npz has 8 test images; got --test-images 9"),
        (["--precision", "half"], "expected precision float32 or bfloat16; got 'half'"),
    ],
)
def test_bad_options_are_one_line_each(command, more, message):
    result = command(*more)
    assert result.exit_code == 1
    assert message in result.output
    assert result.output.count("\n") == 1

"""Training: seeded, resumable to the bit, and honest about what it leaves."""

from __future__ import annotations

import itertools
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from torch import Tensor

from autoprox.benches.cifar import NETWORKS, normalised, trained
from autoprox.cli import main
from autoprox.errors import RunError, UnknownNameError
from autoprox.training import TrainingProgress, TrainingSettings, checkpoint_path, recipe, train
from autoprox.training.checkpoint import read_weights
from autoprox.training.train import augmented
from tests.processes import Python
from tests.training.two_colours import two_colours, weights

DATA, TEST = two_colours(96, 0), two_colours(40, 1)
SMALL: dict[str, Any] = {"epochs": 3, "batch": 16, "precision": "float32"}
ONE: dict[str, Any] = {**SMALL, "epochs": 1}


pytestmark = pytest.mark.usefixtures("one_thread")


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


class Stop:
    """An observer that interrupts as Ctrl-C does, in the middle of an epoch."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def __call__(self, now: TrainingProgress) -> None:
        if now.epoch == self.epoch and now.step == 2:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return train("resnet20", DATA, TEST, tmp_path_factory.mktemp("finished"), **SMALL)


# What comes out


def test_training_learns_and_states_the_accuracy_of_the_file(finished: Path) -> None:
    facts = read_weights(finished)[1]
    with torch.inference_mode():
        said = trained("resnet20", finished)(normalised(TEST.images)).argmax(1).numpy()
    assert facts["accuracy"] == pytest.approx(100 * float((said == TEST.labels).mean()))
    assert facts["history"][-1]["accuracy"] > 90
    assert facts["test_images"] == 40
    assert facts["settings"]["epochs"] == 3
    assert "--epochs 3 --batch 16" in facts["command"]
    assert facts["normalisation"]["mean"] == [0.4914, 0.4822, 0.4465]
    assert not checkpoint_path("resnet20", finished.parent).exists()


@pytest.mark.parametrize("change", [{"decay": 0.05}, {"smoothing": 0.0}, {"optimiser": "adamw"}])
def test_what_no_option_says_has_no_command(change: dict[str, Any], tmp_path: Path) -> None:
    path = train("resnet20", two_colours(16, 0), TEST, tmp_path, **ONE, **change)
    assert read_weights(path)[1]["command"] is None


def test_weights_are_stored_in_half_precision(finished: Path) -> None:
    types = {value.dtype for value in weights(finished).values() if value.is_floating_point()}
    assert types == {torch.float16}


# Seeds and resuming


def test_one_seed_gives_the_same_weights_and_another_seed_others(
    finished: Path, tmp_path: Path
) -> None:
    again = train("resnet20", DATA, TEST, tmp_path / "again", **SMALL)
    other = train("resnet20", DATA, TEST, tmp_path / "other", **SMALL, seed=1)
    assert again.read_bytes() == finished.read_bytes()
    assert not same(weights(other), weights(finished))


def test_the_order_of_the_images_and_their_augmentation_depend_on_the_seed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[Tensor] = []

    def noted(images: Tensor, generator: torch.Generator) -> Tensor:
        shown.append(images)
        return augmented(images, generator)

    monkeypatch.setattr(sys.modules["autoprox.training.train"], "augmented", noted)
    for seed in (0, 1, 7):
        train("resnet20", two_colours(32, 0), TEST, tmp_path / str(seed), **SMALL | {"seed": seed})
    firsts = shown[:: len(shown) // 9]  # of each of the three epochs of each training
    assert len(firsts) == 9
    for first, second in itertools.combinations(firsts, 2):
        assert not torch.equal(first, second)


@pytest.mark.parametrize(
    "name", ["resnet20", pytest.param("vit", marks=pytest.mark.slow)]
)  # SGD, AdamW
def test_a_resumed_training_ends_as_an_uninterrupted_one(name: str, tmp_path: Path) -> None:
    given = {**SMALL, "precision": "bfloat16"}
    straight = train(name, DATA, TEST, tmp_path / "straight", **given)
    folder = tmp_path / "stopped"
    with pytest.raises(KeyboardInterrupt):
        train(name, DATA, TEST, folder, observer=Stop(2), **given)
    shown: list[TrainingProgress] = []
    resumed = train(name, DATA, TEST, folder, resume=True, observer=shown.append)
    assert [now.epoch for now in shown] == [2] * 6 + [3] * 6
    assert resumed.read_bytes() == straight.read_bytes()


def test_training_leaves_the_global_random_state(tmp_path: Path) -> None:
    before = torch.get_rng_state()
    train("resnet20", DATA, TEST, tmp_path, **ONE)
    assert torch.equal(torch.get_rng_state(), before)


def test_what_cannot_be_resumed_says_why(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"there is no .* to go on with; leave out --resume"):
        train("resnet20", DATA, TEST, tmp_path, resume=True)
    with pytest.raises(KeyboardInterrupt):
        train("resnet20", DATA, TEST, tmp_path, observer=Stop(2), **SMALL)
    with pytest.raises(RunError, match="--resume goes on; or remove it"):
        train("resnet20", DATA, TEST, tmp_path, **SMALL)
    with pytest.raises(RunError, match="begun with epochs 3, not 4"):
        train("resnet20", DATA, TEST, tmp_path, resume=True, epochs=4)
    with pytest.raises(RunError, match="other training images"):
        train("resnet20", TEST, TEST, tmp_path, resume=True)
    kept = checkpoint_path("resnet20", tmp_path)
    kept.write_bytes(kept.read_bytes()[:1000])
    with pytest.raises(RunError, match="is damaged"):
        train("resnet20", DATA, TEST, tmp_path, resume=True)


def test_a_folder_that_cannot_be_written_is_known_before_the_first_epoch(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(RunError, match=r"cannot write .*choose another --out"):
        train("resnet20", DATA, TEST, tmp_path / "file", observer=Stop(1), **SMALL)


def test_finished_weights_are_not_overwritten(finished: Path) -> None:
    for resume in (False, True):
        with pytest.raises(RunError, match="is there already"):
            train("resnet20", DATA, TEST, finished.parent, resume=resume)


# Settings


def test_a_misspelt_setting_is_answered_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'epochs'"):
        train("resnet20", DATA, TEST, tmp_path, epoch=3)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"epochs": 0}, "epochs is a whole number from 1; got 0"),
        ({"epochs": 1.5}, "epochs is a whole number from 1; got 1.5"),
        ({"batch": -1}, "batch is a whole number from 1; got -1"),
        ({"batch": 16.5}, "batch is a whole number from 1; got 16.5"),
        ({"seed": -1}, "seed is a whole number from 0; got -1"),
        ({"seed": 0.5}, "seed is a whole number from 0; got 0.5"),
        ({"seed": 2**31}, "expected a seed up to 2147483647; got 2147483648"),
        ({"rate": 0.0}, "expected a finite rate above 0; got 0.0"),
        ({"rate": float("inf")}, "expected a finite rate above 0; got inf"),
        ({"rate": float("nan")}, "expected a finite rate above 0; got nan"),
        ({"rate": "0.1"}, "expected a finite rate above 0; got '0.1'"),
        ({"decay": float("inf")}, "expected a finite decay from 0; got inf"),
        ({"smoothing": float("nan")}, "expected a smoothing from 0 to 1; got nan"),
        ({"smoothing": 1.5}, "expected a smoothing from 0 to 1; got 1.5"),
        ({"precision": "int8"}, "expected precision bfloat16 or float32; got 'int8'"),
        ({"optimiser": "adam"}, "expected optimiser sgd or adamw; got 'adam'"),
    ],
)
def test_settings_that_make_no_sense_are_refused_before_anything_is_written(
    given: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(RunError, match=message):
        train("resnet20", DATA, TEST, tmp_path, **SMALL | given)
    assert not [*tmp_path.iterdir()]


def test_every_network_has_a_recipe_and_no_other_name_has() -> None:
    for name in NETWORKS:
        assert isinstance(recipe(name), TrainingSettings)
    with pytest.raises(UnknownNameError, match="unknown network 'resnet21'; did you mean"):
        recipe("resnet21")


def test_a_training_that_diverges_says_so_at_once_and_begins_anew(tmp_path: Path) -> None:
    steps: list[TrainingProgress] = []
    said = r"the loss of step \d of epoch 1 is nan: choose a smaller --rate"
    with pytest.raises(RunError, match=said):
        train("resnet20", DATA, TEST, tmp_path, **SMALL, rate=1e30, observer=steps.append)
    assert all(np.isfinite(now.loss) for now in steps)
    assert not [*tmp_path.iterdir()]
    with pytest.raises(KeyboardInterrupt):
        train("resnet20", DATA, TEST, tmp_path, **SMALL, observer=Stop(1))


# Augmentation


def test_augmentation_moves_and_mirrors_and_is_seeded() -> None:
    images = torch.arange(200 * 3 * 32 * 32.0).view(200, 3, 32, 32)
    one = augmented(images, torch.Generator().manual_seed(0))
    assert torch.equal(one, augmented(images, torch.Generator().manual_seed(0)))
    assert not torch.equal(one, augmented(images, torch.Generator().manual_seed(1)))
    wide = torch.nn.functional.pad(images, (4,) * 4, mode="reflect")
    found = set()
    for image, padded in zip(one, wide, strict=True):
        for down in range(9):
            for right in range(9):
                window = padded[:, down : down + 32, right : right + 32]
                for mirrored in (False, True):
                    if torch.equal(window.flip(2) if mirrored else window, image):
                        found.add((down, right, mirrored))
                        break
    assert {down for down, _, _ in found} == {right for _, right, _ in found} == set(range(9))
    assert {mirrored for *_, mirrored in found} == {False, True}


# The command


def call(*words: str) -> Result:
    return CliRunner().invoke(main, ["bench", "train", *words])


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    folder = tmp_path_factory.mktemp("files")
    for name, data in {"train": DATA, "test": TEST}.items():
        np.savez(folder / f"{name}.npz", x=data.images, y=data.labels)
    return ("--data", str(folder / "train.npz"), "--test", str(folder / "test.npz"))


def test_the_command_trains_as_the_function_does(
    files: tuple[str, ...], finished: Path, tmp_path: Path
) -> None:
    result = call(
        "resnet20", *files, "--epochs", "3", "--batch", "16", "--precision", "float32",
        "--threads", "1", "--out", str(tmp_path),
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert (tmp_path / "resnet20.safetensors").read_bytes() == finished.read_bytes()
    assert "% of 40 test images after 3 epochs, in half precision" in result.stdout
    assert [line[:9] for line in result.stderr.splitlines()] == [
        "epoch 1/3",
        "epoch 2/3",
        "epoch 3/3",
    ]


def test_ctrl_c_keeps_the_last_epoch_and_says_how_to_go_on(
    files: tuple[str, ...], tmp_path: Path
) -> None:
    words = ("resnet20", *files, "--batch", "16", "--threads", "1", "--out", str(tmp_path))
    running = Python("-m", "autoprox", "bench", "train", *words, "--epochs", "1000")
    running.until(lambda: running.stderr.count("\n") >= 2)  # by then, the first is on disk
    running.kill(signal.SIGINT)
    done = running.ended()
    lines = done.stderr.splitlines()
    assert [line[:12] for line in lines[:2]] == ["epoch 1/1000", "epoch 2/1000"]
    assert done.returncode == 130, done
    assert "go on with: autoprox bench train resnet20 --data" in done.stderr
    assert f"--out {tmp_path} --resume" in done.stderr
    _, facts = read_weights(checkpoint_path("resnet20", tmp_path))
    assert len(facts["history"]) >= 1


def test_mistakes_are_messages(files: tuple[str, ...], tmp_path: Path) -> None:
    for words, message in {
        ("resnet", *files): "unknown network 'resnet'; did you mean 'resnet20'?",
        ("vit", "--data", "none.tgz"): "no CIFAR-10 at none.tgz",
        ("vit", *files[:2]): "give --test FILE beside it",
        ("vit", *files, "--epochs", "0"): "epochs is a whole number from 1; got 0",
        ("vit", *files, "--resume", "--out", str(tmp_path)): "leave out --resume",
    }.items():
        result = call(*words)
        assert result.exit_code in (1, 2)
        assert message in result.stderr
        assert "Traceback" not in result.output

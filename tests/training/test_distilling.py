"""A teacher beside a training."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from click.testing import CliRunner, Result
from torch import Tensor, nn

from autoprox.benches.cifar import NETWORKS, normalised
from autoprox.benches.cifar.resnet import ResNet
from autoprox.cli import main
from autoprox.errors import RunError, StatisticError
from autoprox.proxies.functions.distillation import Compared, relation_distance, semantic_distance
from autoprox.statistics.taught import Side
from autoprox.training import Distillation, TrainingProgress, checkpoint_path, train
from autoprox.training.checkpoint import read_weights, write_weights
from autoprox.training.distilling import Distilled, soft_label_distance
from tests.training.two_colours import two_colours, weights

pytestmark = pytest.mark.usefixtures("one_thread")
SMALL: dict[str, Any] = {"epochs": 3, "batch": 16, "precision": "float32"}
ONE: dict[str, Any] = {**SMALL, "epochs": 1}


DATA, TEST = two_colours(48, 0), two_colours(32, 1)


def stop(now: TrainingProgress) -> None:
    """Interrupt as Ctrl-C does, in the middle of an epoch."""
    if now.epoch == 2 and now.step == 2:
        raise KeyboardInterrupt


def network(seed: int, classes: int = 10) -> ResNet:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return ResNet(8, classes=classes)


@pytest.fixture
def teacher() -> ResNet:
    return network(1)


def gram_rows(rows: Tensor) -> Tensor:
    """The Gram matrix of rows, each of its own rows made a unit vector."""
    return F.normalize(rows @ rows.T, dim=1)


def last_map(net: nn.Module, shown: Tensor) -> Tensor:
    return net.blocks(torch.relu(net.norm(net.conv(shown))))


def relation(student: nn.Module, teacher: nn.Module, shown: Tensor, _: Tensor) -> Tensor:
    own, others = (gram_rows(last_map(each, shown).flatten(1)) for each in (student, teacher))
    return (own - others).square().mean()


def semantic(student: nn.Module, teacher: nn.Module, shown: Tensor, labels: Tensor) -> Tensor:
    """The definition, with a Gram matrix of features for each class."""
    grads = []
    for each in (student, teacher):
        pooled = last_map(each, shown).mean((2, 3))
        wrong = (each.head(pooled).softmax(1) - F.one_hot(labels, 10)) / len(labels)
        grads.append(wrong.T @ pooled)
    own, others = (F.normalize(g[:, :, None] * g[:, None, :], dim=2) for g in grads)
    return (own - others).square().sum() / grads[0].numel()


def soft_labels(student: nn.Module, teacher: nn.Module, shown: Tensor, _: Tensor) -> Tensor:
    own, others = ((each(shown) / 4).softmax(1) for each in (student, teacher))
    return 16 * (others * (others / own).log()).sum(1).mean()


@pytest.mark.parametrize(
    ("distance", "defined"),
    [
        (relation_distance, relation),
        (semantic_distance, semantic),
        (soft_label_distance, soft_labels),
    ],
)
def test_what_is_added_and_its_gradient_are_those_of_the_definition(
    distance: Any, defined: Any, teacher: ResNet
) -> None:
    student = network(0).double()
    teacher = teacher.double().eval()
    shown = normalised(DATA.images[:6]).double()
    labels = torch.arange(6) % 10
    distilled = Distilled(student, Distillation(teacher, {distance: 2.0}), torch.device("cpu"))
    logits, added = distilled(shown, labels)
    expected = 2 * defined(student, teacher, shown, labels)
    torch.testing.assert_close(logits, student(shown).float(), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(added, expected.float(), rtol=1e-4, atol=1e-6)
    own, others = (
        torch.autograd.grad(each, student.conv.weight)[0].double() for each in (added, expected)
    )
    assert F.cosine_similarity(own.flatten(), others.flatten(), dim=0) > 0.9999
    torch.testing.assert_close(own.norm(), others.norm(), rtol=1e-3, atol=0)


def test_a_weight_of_zero_changes_nothing_and_the_teacher_stays(
    teacher: ResNet, tmp_path: Path
) -> None:
    before, state = copy.deepcopy(teacher.state_dict()), torch.get_rng_state()
    alone = train("resnet20", DATA, TEST, tmp_path / "alone", **ONE)
    nothing = Distillation(teacher, {relation_distance: 0.0})
    beside = train("resnet20", DATA, TEST, tmp_path / "beside", distillation=nothing, **ONE)
    trained = weights(beside)
    assert all(torch.equal(value, trained[name]) for name, value in weights(alone).items())
    assert teacher.training
    assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    assert "distillation" not in read_weights(alone)[1]
    assert read_weights(beside)[1]["distillation"]["weights"] == {"relation_distance": 0.0}


def test_a_distance_that_is_trained_on_gets_smaller(teacher: ResNet, tmp_path: Path) -> None:
    teacher = teacher.eval()
    shown = normalised(TEST.images)
    apart = {}
    for weight in (0.0, 3000.0):
        beside = Distillation(teacher, {relation_distance: weight})
        path = train("resnet20", DATA, TEST, tmp_path / str(weight), distillation=beside, **SMALL)
        student = ResNet(20)
        student.load_state_dict(weights(path))
        with torch.no_grad():
            apart[weight] = float(relation(student.eval(), teacher, shown, shown))
    assert apart[3000.0] < apart[0.0] / 2


def test_a_training_goes_on_with_its_own_teacher(teacher: ResNet, tmp_path: Path) -> None:
    beside = Distillation(teacher, {soft_label_distance: 1.0})
    straight = train("resnet20", DATA, TEST, tmp_path / "straight", distillation=beside, **SMALL)
    folder = tmp_path / "stopped"
    with pytest.raises(KeyboardInterrupt):
        train("resnet20", DATA, TEST, folder, distillation=beside, observer=stop, **SMALL)
    for other in (None, Distillation(network(2), beside.weights), Distillation(teacher, {})):
        with pytest.raises(RunError, match="begun with another teacher or distance: give the same"):
            train("resnet20", DATA, TEST, folder, resume=True, distillation=other)
    resumed = train("resnet20", DATA, TEST, folder, resume=True, distillation=beside)
    assert resumed.read_bytes() == straight.read_bytes()


def scaled(factor: float) -> Compared:
    """A distance of one name for all factors."""

    def distance(student: Side, teacher: Side, seed: int) -> Tensor:
        return factor * relation_distance(student, teacher, seed)

    return distance


def test_distances_of_one_name_are_told_apart(teacher: ResNet) -> None:
    def facts(*distances: Compared) -> dict[str, Any]:
        return Distillation(teacher, dict.fromkeys(distances, 1.0)).facts()

    assert facts(scaled(1.0)) == facts(scaled(1.0))
    assert facts(scaled(1.0)) != facts(scaled(2.0))
    both = facts(scaled(1.0), scaled(2.0), functools.partial(scaled(2.0)))
    assert both["weights"] == {"distance": 1.0, "distance 2": 1.0, "distance 3": 1.0}
    assert len({*both["distances"].values()}) == 3


def test_a_training_is_resumed_with_its_own_distance_only(teacher: ResNet, tmp_path: Path) -> None:
    def run(distance: Compared, **options: Any) -> Path:
        beside = Distillation(teacher, {distance: 1.0})
        return train("resnet20", two_colours(32, 0), TEST, tmp_path, distillation=beside, **options)

    with pytest.raises(KeyboardInterrupt):
        run(scaled(1.0), observer=stop, **SMALL)
    with pytest.raises(RunError, match="begun with another teacher or distance: give the same"):
        run(scaled(2.0), resume=True)
    checkpoint = checkpoint_path("resnet20", tmp_path)
    tensors, facts = read_weights(checkpoint)
    del facts["distillation"]["distances"]  # as an earlier autoprox wrote it
    write_weights(checkpoint, tensors, facts)
    assert "distances" in read_weights(run(scaled(1.0), resume=True))[1]["distillation"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: network(1, classes=5), "the teacher has 5 classes and the network 10"),
        (lambda: nn.Conv2d(1, 10, 3), r"the teacher: the network failed on inputs of shape"),
        (lambda: nn.Conv2d(3, 10, 32), "the teacher: Conv2d has no classifier to compare"),
    ],
)
def test_a_teacher_that_cannot_be_compared_leaves_nothing_in_the_way(
    make: Any, message: str, tmp_path: Path
) -> None:
    beside = Distillation(make(), {soft_label_distance: 1.0})
    with pytest.raises(StatisticError, match=message):
        train("resnet20", DATA, TEST, tmp_path, distillation=beside, **ONE)
    assert not [*tmp_path.iterdir()]


def test_a_teacher_sees_images_of_its_own_size(teacher: ResNet) -> None:
    teacher.image_size = 16  # type: ignore[assignment]
    beside = Distillation(teacher.eval(), {soft_label_distance: 1.0})
    shown, labels = normalised(DATA.images[:6]), torch.arange(6)
    student = network(0)
    _, added = Distilled(student, beside, torch.device("cpu"))(shown, labels)
    small = F.interpolate(shown, (16, 16), mode="bilinear")
    own, others = (student(shown) / 4).softmax(1), (teacher(small) / 4).softmax(1)
    expected = 16 * (others * (others / own).log()).sum(1).mean()
    torch.testing.assert_close(added, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("weight", [-1.0, float("nan"), float("inf"), "1"])
def test_a_weight_that_is_none_is_refused(weight: Any, teacher: ResNet) -> None:
    for distance in (relation_distance, functools.partial(relation_distance)):
        with pytest.raises(RunError, match=r"expected a weight from 0 of relation_distance.*; got"):
            Distillation(teacher, {distance: weight})


# The command


@pytest.fixture
def call(tmp_path: Path) -> Callable[..., Result]:
    """Run the command on the small images, into a folder of the test."""
    for name, data in {"train": DATA, "test": TEST}.items():
        np.savez(tmp_path / f"{name}.npz", x=data.images, y=data.labels)
    data_files = ("--data", str(tmp_path / "train.npz"), "--test", str(tmp_path / "test.npz"))
    small = ("--epochs", "1", "--batch", "16", "--precision", "float32", "--threads", "1")

    def run(*words: str) -> Result:
        words = ("resnet20", *data_files, *small, "--out", str(tmp_path / "out"), *words)
        return CliRunner().invoke(main, ["bench", "train", *words])

    return run


def test_the_command_distils_as_the_function_does(
    call: Callable[..., Result], tmp_path: Path
) -> None:
    teacher = NETWORKS["resnet20"]().eval()
    path = tmp_path / "teacher.pt"
    torch.save(teacher.state_dict(), path)
    distances = {semantic_distance: 0.25, relation_distance: 300.0}
    beside = Distillation(teacher, distances)
    expected = train("resnet20", DATA, TEST, tmp_path / "expected", distillation=beside, **ONE)
    words = ("--teacher", "resnet20", "--teacher-weights", str(path))
    result = call(*words, "--distance", "semantic=.25,relation=300")
    assert result.exit_code == 0, result.output
    made, facts = read_weights(tmp_path / "out/resnet20.safetensors")
    assert all(torch.equal(value, made[name]) for name, value in weights(expected).items())
    assert facts["distillation"] == read_weights(expected)[1]["distillation"]
    ending = f"--teacher resnet20 --teacher-weights {path} --distance semantic=0.25,relation=300"
    assert facts["command"].endswith(ending)
    assert read_weights(expected)[1]["command"] is None  # of a teacher that no option names


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ("--teacher resnet20", 2, "--teacher needs --distance, as in"),
        ("--distance relation=300", 2, "--distance needs --teacher, as in"),
        ("--teacher-weights FILE", 2, "--teacher-weights needs --teacher and --distance"),
        ("--teacher resnet20 --distance relation", 2, "expected NAME=WEIGHT, as in relation=300"),
        ("--teacher resnet20 --distance relations=3", 1, "did you mean 'relation'?"),
        ("--teacher FILE:build --distance relation=-3", 1, "expected a weight from 0 of relation"),
        (
            "--teacher resnet20 --distance relation=3",
            1,
            "an untrained teacher has nothing to teach",
        ),
        ("--teacher best --distance relation=3", 1, "an untrained teacher has nothing to teach"),
        ("--teacher FILE:gone --distance relation=3", 1, "line 4: OSError: gone"),
        ("--teacher FILE:one --distance relation=3", 1, "shows no map to compare"),
    ],
)
def test_what_cannot_be_distilled_is_refused_in_a_sentence(
    call: Callable[..., Result], tmp_path: Path, words: str, code: int, message: str
) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        "from torch import nn\n\ndef gone():\n    raise OSError('gone')\n\n"
        "def one():\n    return nn.Sequential(nn.Flatten(), nn.Linear(3072, 10))\n\nbuild = one\n"
    )
    result = call(*words.replace("FILE", str(path)).split())
    assert result.exit_code == code, result.output
    assert message in " ".join(result.output.split())
    assert "Traceback" not in result.output
    assert not (tmp_path / "out").exists()

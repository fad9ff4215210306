"""Teachers by name, by file, and with weights."""

import dataclasses
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from autoprox.benches import load_bench
from autoprox.benches.cifar.resnet import ResNet
from autoprox.benches.teachers import best_of, build_teacher, placed_teacher, teacher_mark
from autoprox.errors import BenchError

DATA = os.environ.get("AUTOPROX_DATA")


@pytest.fixture(scope="module")
def bench():
    return load_bench("resnet64")


def test_a_residual_network_by_its_depth(bench):
    teacher = build_teacher("resnet20", bench)
    assert sum(each.ndim > 1 for each in teacher.parameters()) == 20 + 2  # and two shortcuts
    assert teacher.head.out_features == 100
    assert teacher.image_size == 32
    assert teacher.training
    again, other = build_teacher("resnet20", bench), build_teacher("resnet20", bench, seed=1)
    assert torch.equal(teacher.conv.weight, again.conv.weight)
    assert not torch.equal(teacher.conv.weight, other.conv.weight)


def test_the_best_architecture_of_the_bench(bench):
    teacher = build_teacher("best", bench)
    same = build_teacher("cell:best", bench)
    assert torch.equal(teacher.conv.weight, same.conv.weight)
    best = next(a for a in bench.architectures if a.name == "resnet64/557")
    assert torch.equal(teacher.conv.weight, bench.network(best).conv.weight)
    assert torch.equal(teacher.conv.weight, build_teacher(best, bench).conv.weight)
    assert teacher_mark(best, None) == {"architecture": "resnet64/557"}


@pytest.mark.parametrize("name", ["rnn", "landmarks"])
def test_the_best_of_losses_is_the_lowest(name):
    bench = load_bench(name)
    best = best_of(bench, bench.architectures)
    target = bench.default_targets[0]
    figures = [row.accuracies[target] for row in bench.architectures]
    assert best.accuracies[target] == min(figure for figure in figures if figure is not None)
    with pytest.raises(BenchError, match=f"a figure for {target}, so that none is the best"):
        best_of(bench, [dataclasses.replace(best, accuracies={target: None})])


def test_a_function_of_a_file(bench, tmp_path, monkeypatch):
    path = tmp_path / "mine.py"
    path.write_text("from torch import nn\ndef build():\n    return nn.Linear(3, 2)\n")
    teacher = build_teacher(f"{path}:build", bench)
    assert isinstance(teacher, torch.nn.Linear)
    monkeypatch.chdir(tmp_path)
    assert placed_teacher("mine.py:build") == f"{path}:build"
    mark = teacher_mark("mine.py:build", None)
    path.write_text("from torch import nn\ndef build():\n    return nn.Linear(3, 4)\n")
    assert teacher_mark("mine.py:build", None) != mark


@pytest.mark.parametrize("projected", [True, False])
def test_weights_of_either_form_and_under_other_names(bench, tmp_path, projected):
    trained = ResNet(8, classes=10, projected=projected)
    state = trained.state_dict()
    torch.save({"state_dict": {f"module.{i}": x for i, x in enumerate(state.values()) if x.ndim}},
               tmp_path / "other.th")  # fmt: skip
    save_file(state, tmp_path / "own.safetensors")
    for name in ("other.th", "own.safetensors"):
        teacher = build_teacher("resnet8", bench, str(tmp_path / name))
        assert teacher.head.out_features == 10
        assert not teacher.training
        assert all(
            torch.equal(one, other)
            for one, other in zip(teacher.parameters(), trained.parameters(), strict=True)
        )


@pytest.mark.skipif(DATA is None, reason="AUTOPROX_DATA names no folder of real data")
def test_published_weights_are_read(bench):
    (path,) = (Path(DATA) / "weights").glob("resnet56-*.th")
    teacher = build_teacher("resnet56", bench, str(path))
    assert teacher.head.out_features == 10
    assert sum(each.numel() for each in teacher.parameters()) == 853_018


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("raise ValueError('not today')", r"mine\.py, line 1: ValueError: not today"),
        ("def build():\n    1 / 0", r"mine\.py, line 2: ZeroDivisionError"),
        ("def other():\n    pass", r"mine\.py defines no function 'build'"),
        (
            "def build():\n    return 3",
            r"mine\.py: build returned int; expected a torch\.nn\.Module",
        ),
    ],
)
def test_a_file_that_gives_no_teacher_is_refused(bench, tmp_path, text, message):
    path = tmp_path / "mine.py"
    path.write_text(text)
    with pytest.raises(BenchError, match=message):
        build_teacher(f"{path}:build", bench)


@pytest.mark.parametrize("name", ["resnet57", "resnet2", "resnet1208", "vgg", "nowhere.py"])
def test_a_teacher_that_is_none_is_refused(bench, name):
    with pytest.raises(BenchError, match=f"there is no teacher '{name}'; expected resnet20"):
        build_teacher(name, bench)


def test_a_file_that_is_not_there_is_refused(bench, tmp_path):
    with pytest.raises(BenchError, match=r"there is no file .*, which would make the teacher"):
        build_teacher(f"{tmp_path / 'mine.py'}:build", bench)


@pytest.mark.parametrize(
    ("save", "message"),
    [
        (lambda path: path.write_text("no weights"), "cannot read weights from"),
        (lambda path: path.write_text("hello"), "expected safetensors, or what torch.save"),
        (lambda path: path.write_text(""), "state_dict; got EOFError$"),
        (lambda path: torch.save({"epoch": 3}, path), "holds no weights: no tensors"),
        (lambda path: torch.save(ResNet(14).state_dict(), path), "no weights of the teacher res"),
        (lambda path: torch.save({"a": torch.ones(3)}, path), "tensors are of one of the two"),
    ],
)
def test_weights_that_do_not_fit_are_refused(bench, tmp_path, save, message):
    save(tmp_path / "w.pth")
    with pytest.raises(BenchError, match=message):
        build_teacher("resnet8", bench, str(tmp_path / "w.pth"))


def test_a_bench_is_not_changed(bench):
    before = dataclasses.asdict(bench)
    build_teacher("resnet8", bench)
    assert dataclasses.asdict(bench) == before

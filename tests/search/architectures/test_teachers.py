"""Searching students for a teacher."""

import json
from dataclasses import replace

import pytest
from click.testing import CliRunner

import autoprox
from autoprox.benches.cifar.resnet import ResNet
from autoprox.benches.spaces import BenchSpace
from autoprox.benches.teachers import build_teacher
from autoprox.cli import main
from autoprox.errors import BenchError, RunError, ScoreError, SpaceError
from autoprox.search.architectures.space import bench_of, build
from autoprox.statistics import noise

pytestmark = pytest.mark.usefixtures("one_thread")
TEACHER = "from autoprox.benches.cifar.resnet import ResNet\ndef build():\n    return ResNet({})\n"


FEW = """
from dataclasses import replace

from autoprox.benches import load_bench
from autoprox.benches.spaces import BenchSpace

bench = load_bench("resnet64")
rows = tuple(row for row in bench.architectures if max(row.config["depths"]) < 4)
space = BenchSpace(replace(bench, name="few", input_shape=(3, 8, 8), architectures=rows))
"""
"""A file with eight of the networks, on small images."""


def few():
    bench = autoprox.load_bench("resnet64")
    rows = tuple(row for row in bench.architectures if max(row.config["depths"]) < 4)
    return BenchSpace(replace(bench, name="few", input_shape=(3, 8, 8), architectures=rows))


@pytest.fixture
def how(tmp_path):
    return {"cache": tmp_path / "cache", "batch": 4, "evaluations": 30}


def test_the_space_has_the_networks_of_the_bench():
    bench = autoprox.load_bench("resnet64")
    for one in bench.architectures[::21]:
        same, network = bench.network(one), build("resnet64", one.config)
        for own, other in zip(network.parameters(), same.parameters(), strict=True):
            assert own.shape == other.shape


def test_a_search_finds_what_the_proxy_scores_highest_beside_the_teacher(how, tmp_path):
    found = autoprox.search_architectures(
        few(), "diswot_semantic", teacher="resnet8", out=tmp_path / "run", **how
    )
    assert len(found.scored) == 8
    space, batch = few(), noise((3, 8, 8), 100, batch=4)
    teacher = build_teacher("resnet8", bench_of(space, [{}]))
    proxy = autoprox.load("diswot_semantic")
    scores = [proxy(build(space, each.config), *batch, teacher=teacher) for each in found.scored]
    best = found.scored[scores.index(max(scores))]
    assert found.top(1)[0].config == best.config
    settings = json.loads((tmp_path / "run" / "settings.json").read_text())["settings"]
    assert settings["teacher"] == "resnet8"
    assert "teacher_weights" not in settings


def test_a_search_goes_on_with_its_own_teacher_only(how, tmp_path):
    path, run = tmp_path / "mine.py", tmp_path / "run"
    path.write_text(TEACHER.format("8, classes=100"))
    teacher = f"{path}:build"
    autoprox.search_architectures(few(), "rkd", teacher=teacher, out=run, **how)
    with pytest.raises(RunError, match=r"began with the teacher .*; got resnet8: give the same"):
        autoprox.search_architectures(few(), resume=run, teacher="resnet8", cache=how["cache"])
    path.write_text(TEACHER.format("14, classes=100"))
    with pytest.raises(RunError, match=r"no file is executed.*add --teacher .*mine\.py:build"):
        autoprox.search_architectures(few(), resume=run, cache=how["cache"])
    with pytest.raises(RunError, match=r"teacher of the search in .* changed since it began"):
        autoprox.search_architectures(few(), resume=run, teacher=teacher, cache=how["cache"])


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"teacher": "best"}, SpaceError, "none is the best: name the teacher"),
        ({"teacher": "resnet9"}, BenchError, "there is no teacher 'resnet9'"),
        ({"teacher_weights": "w.th"}, BenchError, r"w\.th are weights of a teacher; say of which"),
        ({}, ScoreError, "has a score by rkd: .*without a teacher: pass teacher="),
    ],
)
def test_a_mistake_in_the_teacher_is_one_sentence(how, tmp_path, options, kind, message):
    with pytest.raises(kind, match=message):
        autoprox.search_architectures(few(), "rkd", out=tmp_path / "run", **how, **options)


def test_the_command_searches_for_a_teacher(tmp_path):
    path = tmp_path / "space.py"
    path.write_text(FEW)
    words = ["search", "--space", str(path), "--proxy", "rkd", "--teacher", "resnet8",
             "--evaluations", "4", "--batch", "4", "--out", str(tmp_path / "run"),
             "--cache", str(tmp_path / "cache")]  # fmt: skip
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, result.output
    assert "4 architectures scored" in result.output
    again = CliRunner().invoke(main, ["search", "--resume", str(tmp_path / "run"), "--space",
                                      str(path), "--teacher", "resnet14"])  # fmt: skip
    assert again.exit_code == 1
    assert "began with the teacher resnet8" in again.output


def test_a_trained_teacher_of_other_classes_leaves_what_compares_maps(how, tmp_path):
    import torch

    torch.save(ResNet(8, classes=10).state_dict(), tmp_path / "w.th")
    options = {"teacher": "resnet8", "teacher_weights": str(tmp_path / "w.th"), **how}
    found = autoprox.search_architectures(few(), "rkd", out=tmp_path / "run", **options)
    assert len(found.scored) == 8
    with pytest.raises(ScoreError, match="the teacher has 10 classes and the network 100"):
        autoprox.search_architectures(few(), "diswot", out=tmp_path / "other", **options)

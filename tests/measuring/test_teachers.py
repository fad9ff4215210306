"""Ranking and evolving beside a teacher."""

from __future__ import annotations

import dataclasses
import hashlib
import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from scipy.stats import rankdata

import autoprox
from autoprox.benches import Bench, load_bench, teachers
from autoprox.benches.registry import file_digest
from autoprox.benches.teachers import build_teacher
from autoprox.cli import main
from autoprox.errors import BenchError, LanguageError, RunError, StatisticError
from autoprox.evolution.settings import Settings
from autoprox.evolution.variation import compares
from autoprox.evolution.vocabulary import Vocabulary
from autoprox.measuring import probe
from autoprox.measuring.probe import Probe
from autoprox.measuring.tables import Plan, load_table, measure_bench, pending
from autoprox.primitives.kinds import Layer, Network
from autoprox.primitives.matrices import ROW_WISE
from autoprox.ranking import partial_spearman
from autoprox.runs.comparing import compare
from autoprox.runs.ground import lay
from autoprox.runs.starting import evolve_from
from autoprox.runtime.digest import digest
from autoprox.statistics import Store, noise
from autoprox.statistics.words import TAUGHT

TEACHER = "from autoprox.benches.cifar.resnet import ResNet\ndef build():\n    return ResNet({})\n"


@pytest.fixture(scope="module")
def bench():
    """Twelve of the smallest networks, on small images."""
    whole = load_bench("resnet64")
    rows = sorted(whole.architectures, key=lambda one: sum(one.config["depths"]))[:12]
    return dataclasses.replace(whole, architectures=tuple(rows), input_shape=(3, 8, 8))


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "cache"


def test_a_ranking_is_what_the_proxies_say_beside_the_teacher(bench: Bench, folder):
    names = ["diswot_relation_own", "rkd", "params"]
    how = {"teacher": "resnet8", "cache": folder, "timed": False, "batch": 4}
    board = autoprox.rank(names, bench, **how)
    again = autoprox.rank(names, bench, **how)
    assert board.to_csv() == again.to_csv()
    teacher = build_teacher("resnet8", bench)
    batch = noise(bench.input_shape, 100, batch=4)
    for name in names[:2]:
        proxy = autoprox.load(name)
        scores = [proxy(bench.network(one), *batch, teacher=teacher, sample="full")
                  for one in bench.architectures]  # fmt: skip
        np.testing.assert_allclose(board.scores[name], scores, rtol=1e-5)
    other = autoprox.rank(names, bench, **{**how, "teacher": "resnet14"})
    assert not np.allclose(other.scores["rkd"], board.scores["rkd"])
    assert np.array_equal(other.scores["params"], board.scores["params"])
    assert board.settings["teacher"] == "resnet8"


def test_what_needs_no_teacher_is_scored_once_for_all_teachers(bench: Bench, folder):
    def none(_):
        raise AssertionError("nothing has to be built")

    how = {"cache": folder, "timed": False, "batch": 4}
    board = autoprox.rank(["snip", "params"], bench, teacher="resnet8", **how)
    unbuilt = dataclasses.replace(bench, build=none)
    for teacher in ("resnet14", None):
        again = autoprox.rank(["snip", "params"], unbuilt, teacher=teacher, **how)
        assert np.array_equal(again.scores["snip"], board.scores["snip"])


def test_statistics_of_the_network_alone_are_measured_once_for_all_teachers(bench: Bench, folder):
    few = dataclasses.replace(bench, architectures=bench.architectures[:2])
    names, store = ("grad", "map_gram", "teacher_map_gram", "params"), Store(folder)

    def plan(teacher):
        return Plan(few, few, names, Probe(4, teacher=teacher), folder)

    rows = measure_bench(plan("resnet8"), store)
    assert pending(plan("resnet8"), store) == []
    assert [work.names for work in pending(plan("resnet14"), store)] == [names[1:3]] * 2
    assert [work.names for work in pending(plan(None), store)] == [names[1:3]] * 2
    others = measure_bench(plan("resnet14"), store)
    beside, besides = (load_table(store, each, names).measurements[0] for each in (rows, others))
    for name, same in zip(names, (True, True, False, True), strict=True):
        assert torch.equal(beside.values[name], besides.values[name]) is same
    (alone,) = load_table(store, plan(None).rows[:1], ("grad", "params")).measurements
    assert torch.equal(alone.values["grad"], beside.values["grad"])


def test_the_best_teacher_is_that_of_what_the_search_sees(bench: Bench, folder):
    """And of the whole bench in a ranking, also where it is not drawn."""
    target = bench.default_targets[0]

    def with_best(names):
        figures = {name: 90.0 + place for place, name in enumerate(names)}
        rows = [
            dataclasses.replace(row, accuracies=row.accuracies | {target: figures[row.name]})
            if row.name in figures
            else row
            for row in bench.architectures
        ]
        return dataclasses.replace(bench, architectures=tuple(rows))

    def teacher(changed):
        return lay(changed, Settings(bench.name, teacher="best"), folder).plans[0].probe.teacher

    ground = lay(bench, Settings(bench.name, teacher="best"), folder)
    seen, unseen = (
        [bench.architectures[i] for i in half] for half in (ground.search, ground.held_out)
    )
    best = max(seen, key=lambda row: row.accuracies[target])
    assert teacher(with_best([row.name for row in unseen])) == best
    assert teacher(with_best([seen[0].name])).name == seen[0].name

    drawn = {row.name for row in bench.sampled(10).architectures}
    left_out = next(row for row in bench.architectures if row.name not in drawn)
    changed, how = with_best([left_out.name]), {"cache": folder, "timed": False, "batch": 4}
    scores = autoprox.rank("rkd", changed, teacher="best", architectures=10, **how).scores["rkd"]
    batch, rkd = noise(bench.input_shape, 100, batch=4), autoprox.load("rkd")

    def beside(best, rows):
        taught = {"teacher": build_teacher(best, bench), "sample": "full"}
        return [rkd(bench.network(row), *batch, **taught) for row in rows]

    expected = beside(left_out, changed.sampled(10).architectures)
    np.testing.assert_allclose(scores, expected, rtol=1e-5)
    held_out = autoprox.rank("rkd", bench, teacher="cell:best", held_out=True, **how)
    np.testing.assert_allclose(held_out.scores["rkd"], beside(best, unseen), rtol=1e-5)


def test_functions_and_weights_are_digested_once_for_all_architectures(
    bench: Bench, folder, tmp_path, monkeypatch
):
    digested = []

    def noted(of):
        def digest(what):
            digested.append(what)
            return of(what)

        return digest

    weights = tmp_path / "weights.pt"
    torch.save(build_teacher("resnet8", bench).state_dict(), weights)
    loss = torch.nn.functional.cross_entropy
    monkeypatch.setattr(probe, "digest", noted(digest))
    monkeypatch.setattr(teachers, "file_digest", noted(file_digest))
    shown = Probe(4, teacher="resnet8", teacher_weights=str(weights))
    plan = Plan(dataclasses.replace(bench, loss=loss), bench, ("params",), shown, folder)
    keys = [json.loads(row.key) for row in plan.rows]
    assert keys == [work.key for work in plan.works]
    assert digested == [loss, weights]
    assert [key["architecture"] for key in keys] == [row.name for row in bench.architectures]
    told = {key["teacher"]["weights"] for key in keys}
    assert told == {hashlib.sha256(weights.read_bytes()).hexdigest()[:16]}


def test_without_a_teacher_proxies_of_one_say_so(bench: Bench, folder):
    board = autoprox.rank(["rkd", "kd", "params"], bench, cache=folder, timed=False)
    for name in ("rkd", "kd"):
        assert board[name].place is None
        assert "without a teacher" in (board[name].reason or "")
    assert "teacher" not in board.settings


def test_a_mistake_in_the_teacher_shows_before_anything_is_measured(bench: Bench, folder):
    with pytest.raises(BenchError, match="there is no teacher 'resnet9'"):
        autoprox.rank("rkd", bench, teacher="resnet9", cache=folder)
    with pytest.raises(BenchError, match=r"w\.th are weights of a teacher; say of which"):
        autoprox.rank("rkd", bench, teacher_weights="w.th", cache=folder)
    with pytest.raises(BenchError, match="there is no teacher 'resnet9'"):
        autoprox.evolve(bench, teacher="resnet9", cache=folder)
    assert not folder.exists()


def test_ranks_given_the_accuracy_without_a_teacher(bench: Bench, folder):
    board = autoprox.rank(["snip", "depth"], bench, cache=folder, timed=False)
    for row in board:
        x, y, z = (
            rankdata(each)
            for each in (board.scores[row.name], bench.accuracies("c100_kd"),
                         bench.accuracies("c100"))
        )  # fmt: skip
        x, y = (a - np.polyval(np.polyfit(z, a, 1), z) for a in (x, y))
        assert row.columns[0].partial == pytest.approx(np.corrcoef(x, y)[0, 1], abs=1e-9)
    assert "resnet64/c100_kd partial_spearman" in board.to_csv()


def test_there_is_no_partial_correlation_where_nothing_is_left():
    z = np.arange(5.0)
    assert partial_spearman(z, z[::-1], z) is None
    assert partial_spearman(z[::-1], np.array([1.0, 0, 2, 3, 4]), np.full(5, np.nan)) is None


def test_evolution_writes_with_both_networks_and_resumes(bench: Bench, tmp_path, folder):
    path = tmp_path / "mine.py"
    path.write_text(TEACHER.format("8, classes=100"))
    how = {
        "teacher": f"{path}:build",
        "cache": folder,
        "batch": 4,
        "evaluations": 120,
        "population": 10,
        "proposals": 20,
    }
    run = autoprox.evolve(bench, out=tmp_path / "run", **how)
    lines = (run.folder / "candidates.jsonl").read_text().splitlines()
    words = {word for line in lines for word in TAUGHT if f"{word}," in line or f"{word})" in line}
    assert len(words) > 4
    assert any(f"{word}(" in line for line in lines for word in ROW_WISE)
    config = json.loads((run.folder / "config.json").read_text())
    assert config["settings"]["teacher"] == f"{path}:build"
    plain = autoprox.evolve(bench, out=tmp_path / "plain", **{**how, "teacher": None})
    assert "teacher" not in (plain.folder / "config.json").read_text()
    with pytest.raises(RunError, match=r"began with the teacher .*; got resnet8: give the same"):
        autoprox.evolve(bench, resume=run.folder, teacher="resnet8", permutations=1, cache=folder)
    canary = tmp_path / "executed"
    path.write_text(TEACHER.format("8, classes=100") + f"open({str(canary)!r}, 'w').close()\n")
    for goes_on in (
        lambda: autoprox.evolve(bench, resume=run.folder, permutations=1, cache=folder),
        lambda: evolve_from(run.folder, bench, out=tmp_path / "from", cache=folder),
        lambda: compare([run.folder, plain.folder], bench=bench, cache=folder),
    ):
        with pytest.raises(RunError, match=r"no file is executed.*add --teacher .*mine\.py:build"):
            goes_on()
    assert not canary.exists()
    named = compare([run.folder, plain.folder], bench=bench, teacher=how["teacher"], cache=folder)
    assert canary.exists()
    assert len(named.runs) == 2


def test_evolution_leaves_out_what_compares_classes_beside_a_teacher_of_others(
    bench: Bench, tmp_path, folder
):
    path = tmp_path / "mine.py"
    path.write_text(TEACHER.format("8, classes=7"))
    run = autoprox.evolve(bench, teacher=f"{path}:build", out=tmp_path / "run", cache=folder,
                          batch=4, evaluations=120, population=10, proposals=20)  # fmt: skip
    text = (run.folder / "candidates.jsonl").read_text()
    words = {word for word in TAUGHT if f"{word}," in text or f"{word})" in text}
    assert len(words) > 3
    assert not any("logits" in word or "class_grad" in word for word in words)


HEAD_FIRST = """
import torch
from torch import nn

class Teacher(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(6, 100)
        self.convolution, self.inner = nn.Conv2d(3, 8, 3), nn.Linear(8, 6)

    def forward(self, images):
        return self.head(self.inner(self.convolution(images).relu().mean((2, 3))))

def build():
    return Teacher()
"""


@pytest.mark.parametrize(
    ("text", "left_out"),
    [(HEAD_FIRST, 0), (HEAD_FIRST.replace("100", "7"), 4), (TEACHER.format("8, classes=7"), 4)],
)
def test_the_classes_of_a_teacher_are_those_that_it_says(bench: Bench, tmp_path, text, left_out):
    path = tmp_path / "mine.py"
    path.write_text(text)
    drawn = torch.random.get_rng_state()
    words = Probe(4, teacher=f"{path}:build").taught_words(bench)
    assert torch.equal(drawn, torch.random.get_rng_state())
    assert len(TAUGHT) - len(words) == left_out
    classless = {word for word in TAUGHT if "logits" not in word and "class_grad" not in word}
    assert set(words) == (classless if left_out else {*TAUGHT})


def test_every_formula_compares_where_all_have_to(bench: Bench, tmp_path, folder):
    how = {"teacher": "resnet8", "comparing": True, "cache": folder, "batch": 4, "evaluations": 60,
           "population": 10, "proposals": 20, "out": tmp_path / "run"}  # fmt: skip
    run = autoprox.evolve(bench, seed_proxies=("kd", "tvt_teacher"), **how)
    assert run.evaluations == 60
    assert run.judged
    for graph in (each.candidate.graph for each in run.judged):
        both = [node for node in graph if {w.startswith("teacher_") for w in node.statistics}
                == {True, False}]  # fmt: skip
        assert any(node.kind not in (Layer, Network) for node in both), graph.text
    assert json.loads((run.folder / "config.json").read_text())["settings"]["comparing"] is True
    assert run.settings.comparing
    with pytest.raises(LanguageError, match="the seed proxy params does not compare a network"):
        autoprox.evolve(bench, seed_proxies=("kd", "params"), **{**how, "out": tmp_path / "other"})
    with pytest.raises(RunError, match="give --teacher NAME, or leave out --comparing"):
        autoprox.evolve(bench, **{**how, "teacher": None, "out": tmp_path / "other"})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sum(mean(subtract(pooled, teacher_pooled)))", True),
        ("multiply(sum(params), sum(mean(multiply(logits, square(teacher_logits)))))", True),
        ("multiply(sum(params), sum(norm(teacher_pooled)))", False),
        ("sum(subtract(norm(pooled), norm(teacher_pooled)))", False),
        ("sum(norm(teacher_pooled))", False),
        ("sum(params)", False),
    ],
)
def test_a_formula_compares_where_tensors_of_both_meet(text, expected):
    assert compares(autoprox.load(text).graph) is expected


@pytest.mark.parametrize(
    "name", ["kd", "fitnet", "diswot_semantic_own", "auto_das_nb201", "auto_das_resnet"]
)
def test_known_expressions_that_compare_can_begin_a_search(name):
    graph = autoprox.load(name).graph
    vocabulary = Vocabulary(tuple({*graph.statistics, "teacher_pooled"}), seeds=(graph,))
    assert vocabulary.graph(vocabulary.tree(graph)) == graph


def test_statistics_of_a_teacher_without_one_are_refused(bench: Bench, tmp_path, folder):
    with pytest.raises(StatisticError, match="cannot be measured without a teacher"):
        autoprox.evolve(bench, statistics=["logits", "weight"], cache=folder,
                        out=tmp_path / "run", evaluations=20)  # fmt: skip


def test_what_is_lost_without_the_teacher_s_words_is_drawn(tmp_path):
    pytest.importorskip("matplotlib")
    words = ["draw", "ablation", "sum(mean(square(subtract(map_gram, teacher_map_gram))))",
             "--bench", "resnet64", "--architectures", "10", "--teacher", "resnet8",
             "--batch", "2", "--jobs", "1", "--cache", str(tmp_path)]  # fmt: skip
    result = CliRunner().invoke(main, [*words, "-o", str(tmp_path / "parts.svg")])
    assert result.exit_code == 0, result.output
    assert "teacher" in (tmp_path / "parts.svg").read_text()


def test_the_command_takes_a_teacher(tmp_path):
    path = tmp_path / "teacher.py"
    path.write_text("def build():\n    raise OSError('gone')\n")
    words = ["rank", "rkd", "--bench", "resnet64", "--teacher", f"{path}:build"]
    result = CliRunner().invoke(main, [*words, "--cache", str(tmp_path / "cache")])
    assert result.exit_code == 1
    assert "line 2: OSError: gone" in result.output
    assert "Traceback" not in result.output

"""Tables that people write, download or get with autoprox, and what is wrong in them."""

import dataclasses
from pathlib import Path

import pytest
from torch import nn

from autoprox.benches import Architecture, Bench, load_bench, mpnb201, read_table
from autoprox.benches.checks import check_outputs
from autoprox.benches.mq101 import mq101
from autoprox.benches.table import shipped
from autoprox.errors import AutoproxError, BenchError
from autoprox.measuring.probe import Probe
from autoprox.measuring.tables import Plan, measure_bench
from autoprox.search.architectures.space import build
from autoprox.statistics import Store

HEAD = "op0,op1,op2,op3,op4,op5,w0,w1,w2,w3,w4,w5,test_acc"
ROW = "3,2,0,0,0,0,2,4,0,0,0,0,0.7"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("accuracy\n" + "1" * 400, "line 2: target 'accuracy'.*got 1"),
        ("accuracy\n-" + "9" * 310, "line 2: target 'accuracy'"),
        ("accuracy\n1e999", "line 2: target 'accuracy'.*got inf"),
        ("accuracy\nn/a", "line 2: target 'accuracy'.*got 'n/a'.*leave the cell empty"),
        ("accuracy\n71,5", "line 2: expected 1 cells"),
        ("name;accuracy\na;71", "line 1: separated by ';'"),
        ("name\taccuracy\na\t71", r"line 1: separated by '\\t'"),
        ("accuracy,w\n71,NaN", "line 2: expected finite numbers"),
        ("accuracy,w\n71,1e999", "line 2: expected finite numbers"),
        ("accuracy\n71\n0.74\n76", "line 3: target 'accuracy': 0.74 is a fraction among perc"),
        ("name,accuracy\na\x1b[2J,71", "line 2: 'name': expected text"),
        ('accuracy,w\n71,"{""a"": 1, ""a"": 2}"', "line 2: the key 'a' occurs twice in a cell"),
        ('accuracy,w\n71,"[{""a"": 1, ""a"": 2}]"', "line 2: the key 'a' occurs twice in a cell"),
        ('accuracy,w\n71,"[NaN]"', "line 2: expected finite numbers"),
        ('accuracy,w\n71,"{""a"": [1e999]}"', "line 2: expected finite numbers"),
    ],
)
def test_a_damaged_cell_is_named_by_its_line(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "t.csv").write_text(text + "\n", newline="")
    with pytest.raises(BenchError, match=rf"t\.csv, {said}"):
        read_table(tmp_path / "t.csv")


def test_json_lines_that_nest_deeply_or_have_lone_surrogates_or_keys_twice_are_refused(
    tmp_path: Path,
) -> None:
    for row in (
        '{"accuracy": 1, "w": ' + "[" * 100_000,
        r'{"accuracy": 1, "name": "\ud800"}',
        r'{"accuracy": 1, "w": "\ud800"}',
        '{"accuracy": 1, "accuracy": 2}',
        '{"accuracy": 1, "accuracy": ":"}',
        '{"accuracy": 1, "w": {"a": 1, "a": 2}}',
    ):
        (tmp_path / "t.jsonl").write_text(row + "\n")
        with pytest.raises(BenchError, match=r"t\.jsonl, line 1"):
            read_table(tmp_path / "t.jsonl")


def test_a_failed_training_among_percentages_is_no_fraction(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("accuracy\n0.833\n44.0\n17.2\n")
    assert read_table(tmp_path / "t.csv")[0].accuracies == {"accuracy": 0.833}


def test_one_target_may_be_given_as_a_text(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("top1\n71\n")
    assert read_table(tmp_path / "t.csv", targets="top1")[0].accuracies == {"top1": 71.0}


@pytest.mark.parametrize(
    ("head", "row"),
    [
        (HEAD, ROW.replace("3,", ",", 1)),
        (HEAD, ROW.replace("3,", "9,", 1)),
        (HEAD, ROW.replace("3,", "x,", 1)),
        (HEAD, ROW.replace(",2,4,", ",x,4,")),
        (HEAD, ROW.replace(",2,4,", ",99,4,")),
        (HEAD, ROW.replace(",2,4,", ",0,4,")),  # a convolution without bits
        (HEAD, ROW.replace(",2,4,0,", ",2,4,8,")),  # bits of nothing
        (HEAD, "3,2,4,0,0,0,2,4,8,0,0,0,0.7"),  # bits of a pool
        (HEAD, ROW.replace("0.7", "70")),
        (HEAD, ROW.replace("0.7", "-1")),
        (HEAD.replace("op0", "opp"), ROW),
        (HEAD.replace("w5", "w"), ROW),
    ],
)
def test_a_damaged_row_of_mpnb201_is_refused(tmp_path: Path, head: str, row: str) -> None:
    (tmp_path / mpnb201.FILES["50ep"]).write_text(f"{head}\n{row}\n")
    with pytest.raises(BenchError, match=r"cell_uniform\.csv, row 1"):
        mpnb201.mpnb201(tmp_path)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("8-3-8", "8-99-8"),
        ("8-3-8", "8-3"),
        ("8-3-8", "8-3-8-"),
        (",77.0", ",177.0"),
        (",77.0", ","),
        ("234/0000,234", "234/0000,2-8"),
    ],
)
def test_a_damaged_row_of_mq101_is_refused(tmp_path: Path, before: str, after: str) -> None:
    rows = "name,set,bits,accuracy\n234/0001,234,8-2-8,70.0\n234/0000,234,8-3-8,77.0\n"
    assert before in rows
    (tmp_path / "vit.csv").write_text(rows.replace(before, after))
    with pytest.raises(BenchError, match=r"vit\.csv, row '234/0000': expected"):
        mq101(tmp_path)


def test_a_table_that_ships_is_held_against_its_digest() -> None:
    from autoprox.benches import nb201, vit101

    for module, name in ((nb201, "nb201.csv"), (vit101, "vit101.jsonl")):
        shipped(name, module.DIGEST)
        with pytest.raises(BenchError, match=rf"{name} is damaged.*install"):
            shipped(name, module.DIGEST[::-1])


@pytest.mark.parametrize("cell", ["999999", "33313", "3331322", "33313x", 333132, None])
def test_what_is_no_cell_of_nb201_builds_no_network(cell: object) -> None:
    with pytest.raises(AutoproxError, match="six edges, each 0 to 4"):
        build("nb201", {"cell": cell})


# Benches


ROWS = tuple(Architecture(f"n{i}", "s", {"w": 4 + i}, {"accuracy": 40.0 + i}) for i in range(12))
BENCH = Bench(
    name="mine",
    description="",
    citation="",
    source="",
    caveats=(),
    architectures=ROWS,
    targets=("accuracy",),
    default_targets=("accuracy",),
    build=lambda one: nn.Sequential(nn.Flatten(), nn.Linear(12, 10)),
    input_shape=(3, 2, 2),
    classes=10,
)


def test_one_text_is_taken_for_a_list_of_one() -> None:
    made = dataclasses.replace(BENCH, targets="accuracy", default_targets="accuracy", caveats="a b")
    assert made.targets == made.default_targets == ("accuracy",)
    assert made.caveats == ("a b",)
    assert made.restricted("s").spaces == ("s",)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": "../mine"}, "without slashes"),
        ({"name": "a\0b"}, "without slashes and control characters"),
        ({"name": 3}, "got 3"),
        ({"classes": "10"}, "got '10'"),
        ({"classes": True}, "got True"),
        ({"input_shape": (3, 2.0)}, "input_shape"),
        ({"source": None}, "source is to be a text"),
        ({"build": None}, "build is to be a function"),
        ({"architectures": ({"name": "a"},)}, "architectures are to be those of read_table"),
        ({"targets": (1,)}, "targets are to be texts"),
    ],
)
def test_what_is_no_bench_is_refused(changes: dict, said: str) -> None:
    with pytest.raises(BenchError, match=said):
        dataclasses.replace(BENCH, **changes)


def test_a_fraction_among_percentages_is_named_by_its_architecture() -> None:
    rows = (*ROWS, Architecture("odd", "s", {}, {"accuracy": 0.45}))
    with pytest.raises(BenchError, match=r"'odd', target 'accuracy': 0\.45 is a fraction"):
        dataclasses.replace(BENCH, architectures=rows)


def test_a_figure_that_no_float_holds_is_refused() -> None:
    rows = (*ROWS, Architecture("odd", "s", {}, {"accuracy": 10**400}))
    with pytest.raises(BenchError, match="'odd', target 'accuracy': expected a finite number"):
        dataclasses.replace(BENCH, architectures=rows)


def measured(bench: Bench, folder: Path) -> None:
    measure_bench(Plan(bench, bench, ("params",), Probe(), folder), Store(folder))


def test_a_build_without_a_network_is_refused(tmp_path: Path) -> None:
    bench = dataclasses.replace(BENCH, build=lambda one: None)
    with pytest.raises(BenchError, match="build returned NoneType for architecture 'n0'"):
        measured(bench, tmp_path)


def test_a_build_that_fails_is_named(tmp_path: Path) -> None:
    bench = dataclasses.replace(BENCH, build=lambda one: one.config["widht"])
    with pytest.raises(BenchError, match="build failed on architecture 'n0': KeyError: 'widht'"):
        measured(bench, tmp_path)


@pytest.mark.parametrize("classes", [5, 20])
def test_networks_with_other_outputs_than_classes_are_refused(tmp_path: Path, classes: int) -> None:
    bench = dataclasses.replace(BENCH, classes=classes)
    with pytest.raises(BenchError, match=rf"{classes} classes, but .*'n0' returns \(1, 10\)"):
        measured(bench, tmp_path)


def test_shipped_networks_have_as_many_outputs_as_classes() -> None:
    check_outputs(load_bench("nb201").sampled(10))

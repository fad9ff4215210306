"""Tables in CSV and JSON Lines files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from autoprox.benches import read_table
from autoprox.errors import BenchError


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_csv_columns_become_names_spaces_targets_and_config(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "t.csv",
        "name,space,isomorph,top1,top5,width,heads,kind,label\n"
        '007,wide,x,71.5,,192,"[3, 4]",conv,null\n'
        '"a, b",deep,, 60 ,81,64,"{""q"": [1]}",true,\n',
    )
    one, two = read_table(path, targets=["top1", "top5"])
    assert (one.name, one.space, one.isomorph) == ("007", "wide", "x")
    assert one.accuracies == {"top1": 71.5, "top5": None}
    assert one.config == {"width": 192, "heads": [3, 4], "kind": "conv", "label": None}
    assert (two.name, two.space, two.isomorph) == ("a, b", "deep", None)
    assert two.accuracies == {"top1": 60.0, "top5": 81.0}
    assert two.config == {"width": 64, "heads": {"q": [1]}, "kind": True, "label": None}


def test_json_lines_read_like_csv(tmp_path: Path) -> None:
    keys = ("name", "space", "accuracy", "width", "heads")
    values = [("a", "s", 1.5, 3, [1, 2]), ("b", "s", None, 4, [])]
    lines = "\n\n".join(json.dumps(dict(zip(keys, row, strict=True))) for row in values)
    table = "\n".join(
        [",".join(keys), 'a,s,1.5,3,"[1, 2]"', "b,s,,4,[]"],
    )
    assert read_table(written(tmp_path, "t.jsonl", lines)) == read_table(
        written(tmp_path, "t.csv", table)
    )


def test_names_are_row_numbers_and_the_space_is_all_by_default(tmp_path: Path) -> None:
    table = read_table(written(tmp_path, "t.csv", "accuracy\n1\n2\n"))
    assert [(one.name, one.space) for one in table] == [("1", "all"), ("2", "all")]


def test_a_config_object_is_merged_with_the_other_columns(tmp_path: Path) -> None:
    path = written(tmp_path, "t.jsonl", '{"accuracy": 1, "config": {"width": 2}, "depth": 3}\n')
    assert read_table(path)[0].config == {"width": 2, "depth": 3}


def test_a_byte_order_mark_and_windows_line_ends_are_no_obstacle(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes("\ufeffname,accuracy\r\na,1\r\n".encode())
    assert read_table(path)[0].name == "a"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("t.csv", "", r"t\.csv: the table is empty"),
        ("t.csv", "name,accuracy\n", r"t\.csv: the table is empty"),
        ("t.jsonl", "\n", r"t\.jsonl: the table is empty"),
        ("t.csv", "name,width\na,1\n", "line 2: there is no target 'accuracy'.*name, width"),
        ("t.jsonl", '{"accuracy": 1}\n{"x": 1}\n', "line 2: there is no target 'accuracy'"),
        ("t.csv", "name,accuracy\na,1\nb,1\na,2\n", "line 4: the name 'a' is already .* line 2"),
        ("t.csv", "accuracy\n1\nNaN\n", "line 3: target 'accuracy'.*got nan.*leave the cell"),
        ("t.csv", "accuracy\ninf\n", "line 2: target 'accuracy'.*got 'inf'"),
        ("t.csv", "accuracy\n1e999\n", "line 2: target 'accuracy'.*got inf"),
        ("t.csv", "accuracy\ngood\n", "line 2: target 'accuracy'.*got 'good'"),
        ("t.csv", "accuracy\ntrue\n", "line 2: target 'accuracy'.*got True"),
        ("t.jsonl", '{"accuracy": NaN}', "line 1: target 'accuracy'.*write null"),
        ("t.jsonl", '{"accuracy": "7"}', "line 1: target 'accuracy'.*got '7'"),
        ("t.jsonl", '{"accuracy": 1}\n{"accuracy"', "line 2: this is no JSON"),
        ("t.jsonl", "[1]\n", "line 1: expected one JSON object a line, got list"),
        ("t.jsonl", '{"name": 3, "accuracy": 1}', "line 1: 'name': expected text, got 3"),
        ("t.jsonl", '{"accuracy": 1, "config": 3}', "line 1: 'config': expected an object"),
        ("t.jsonl", '{"accuracy": 1, "a": 2, "config": {"a": 3}}', "line 1: 'a' is a column and"),
        ("t.csv", "name,accuracy\n,1\n", "line 2: 'name': expected text"),
        ("t.csv", "accuracy,heads\n1,2,3\n", "line 2: expected 2 cells.*got 3.*double quotes"),
        ("t.csv", "accuracy,width\n1\n", "line 2: expected 2 cells"),
        ("t.csv", "accuracy,accuracy\n1,2\n", "line 1: every column needs a name of its own"),
        ("t.csv", "accuracy,\n1,2\n", "line 1: every column needs a name of its own"),
        ("t.csv", 'accuracy\n"1\n', "this is no CSV"),
        ("t.xlsx", "accuracy\n1\n", r"a table is a \.csv or a \.jsonl file; got '\.xlsx'"),
    ],
)
def test_a_bad_table_is_refused_with_file_and_line(
    tmp_path: Path, name: str, text: str, message: str
) -> None:
    path = written(tmp_path, name, text)
    with pytest.raises(BenchError, match=message) as caught:
        read_table(path)
    assert str(path) in str(caught.value)


def test_a_missing_file_and_one_that_is_no_text_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"^cannot read .*absent\.csv: No such file"):
        read_table(tmp_path / "absent.csv")
    (tmp_path / "t.csv").write_bytes(b"accuracy\n\xff\xfe\n")
    with pytest.raises(BenchError, match=r"^cannot read .*t\.csv: it is no text in UTF-8"):
        read_table(tmp_path / "t.csv")

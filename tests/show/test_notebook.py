"""What a run and a leaderboard show of themselves in a notebook."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from autoprox.assessment.assess import Assessment
from autoprox.evolution.settings import Settings
from autoprox.leaderboard.board import Leaderboard, LeaderboardRow
from autoprox.ranking.figures import ColumnFigures
from autoprox.ranking.luck import SelectionLuck, null_luck
from autoprox.runs.record import Run
from autoprox.show.page.tables import _correlation
from tests.made_runs import step


def assessment(name: str, expression: str, joint: float | None) -> Assessment:
    columns = (ColumnFigures("cnn/accuracy", 9, 0.5, 0.6, 0.7, (0.4, 0.6), 0.5, 1.25, 0.75, 9),)
    return Assessment(
        name, expression, 3, name == "params", joint,
        None if joint is None else (joint - 0.1, joint + 0.1), 0.1,
        (0.05, 0.15), columns if joint is not None else (), None if joint else "a < b",
    )  # fmt: skip


@pytest.fixture
def run() -> Run:
    rows = (
        assessment("top 1", "sum(norm(weight))", 0.612),
        assessment("top 2", "sum(mean(grad))", None),
        assessment("params", "sum(params)", 0.512),
    )
    settings = Settings("tiny", seed=7)
    luck = SelectionLuck(900, 500, 0.7, 0.2, 0.58, 0.123, 0.577, (0.4, 0.8), "params", 0.034)
    return Run(
        Path("runs/<x>"), settings, (step(1, 0.7, 0.6, 0.5, "sum(norm(weight))"),), 10, 12, (),
        Counter(), luck=luck, null=null_luck(0.7, [0.3, 0.5], "somers"),
        held_out=rows, search=rows[:1],
    )  # fmt: skip


def cells(markup: str) -> list[list[str]]:
    """The texts of the cells, row by row; the markup is well-formed."""
    table = ElementTree.fromstring(f"<div>{markup.replace('<br>', ' ')}</div>").find("table")
    assert table is not None
    return [["".join(cell.itertext()) for cell in row] for row in table.iter("tr")]


def test_a_run_shows_what_it_found_beside_the_known_proxies(run: Run) -> None:
    text = run._repr_html_()
    head, first, second, last = cells(text)
    assert head[:5] == ["", "nodes", "joint D", "95 % interval", "joint D, search"]
    assert head[5:] == [
        "lost by the best score, by the best of five", "cnn accuracy", "formula",
    ]  # fmt: skip
    assert first == [
        "top 1", "3", "0.612", "0.512 to 0.712", "0.612", "1.25, 0.75", "0.50 (0.70)",
        "sum(norm(weight))",
    ]  # fmt: skip
    assert second[2:] == ["-", "-", "-", "-", "-", "no score: a < b"]
    assert last[0] == "params"
    assert "stopped before its end" in text
    assert "seed 7" in text
    assert "top 1 is 0.100 above params, the only known proxy measured here" in text
    assert "of 0.700 on the search split about 0.123 is luck" in text
    assert "2 searches on shuffled accuracies reached 0.400 ± 0.100 (p = 0.333, the least " in text
    assert "runs/&lt;x&gt;" in text


def test_known_proxies_are_shown_the_best_first_and_those_without_a_score_last(run: Run) -> None:
    known = [
        replace(assessment(name, f"sum({name})", joint), known=True)
        for name, joint in (("params", 0.2), ("flops", None), ("fan_in", 0.6), ("fan_out", -0.1))
    ]
    text = replace(run, held_out=(*run.held_out[:2], *known))._repr_html_()
    shown = [line[0] for line in cells(text)[1:]]
    assert shown == ["top 1", "top 2", "fan_in", "params", "fan_out", "flops"]


def test_a_figure_that_is_nearly_none_is_zero_without_a_minus(run: Run) -> None:
    nearly = ColumnFigures(
        "cnn/accuracy", 9, -0.0001, -0.0001, -0.0001, (-0.001, 0.04), 0.5, 0.0, 0.0, 9
    )
    rows = [
        replace(each, difference_interval=(-0.0001, 0.04), columns=(nearly,) * bool(each.columns))
        for each in run.held_out
    ]
    one = replace(row("good", 1, None), columns=(nearly,))
    board = Leaderboard(
        "tiny", {"held_out": True}, ("a", "b"), ("cnn/accuracy",), (one,), {"good": np.zeros(2)}
    )
    changed = replace(run, held_out=tuple(rows))
    for text in (changed._repr_html_(), str(_correlation(nearly, "somers")), board._repr_html_()):
        assert "0.00" in text
        assert "-0.00" not in text.replace("-0.0001", "")  # what it is sorted by


def row(name: str, place: int | None, reason: str | None) -> LeaderboardRow:
    figures = {
        "column": "cnn/accuracy", "somers": 0.456, "kendall": 0.5, "spearman": 0.6,
        "interval": (0.4, 0.5), "top_share": 0.5, "top1_regret": 1.0, "best": (),
    }  # fmt: skip
    names = ColumnFigures.__dataclass_fields__
    columns = (ColumnFigures(**{key: figures.get(key, 9) for key in names}),)
    return LeaderboardRow(
        place, name, "sum(params)", 0.456 if place else None,
        None, None, None, None, None, None, None,
        0 if place else 9, reason, columns if place else (),
    )  # fmt: skip


def test_a_leaderboard_shows_a_cell_a_column_and_says_why_a_proxy_has_no_rank() -> None:
    rows = (row("good", 1, None), row("<bad>", None, "not finite: log\nmore"))
    board = Leaderboard(
        "tiny", {"held_out": True}, ("a", "b"), ("cnn/accuracy",), rows, {"good": np.zeros(2)}
    )
    text = board._repr_html_()
    head, good, bad = cells(text)
    assert len(head) == len(good) == len(bad)
    assert (head[-1], good[1], good[-1], bad[1], bad[-1]) == (
        "cnn accuracy", "good", "0.46", "<bad>", "-",
    )  # fmt: skip
    assert "tiny: 2 held-out architectures, 2 proxies" in text
    assert "<p>&lt;bad&gt;: not finite: log</p>" in text
    starred = replace(board, rows=(replace(rows[0], searched_on=1),))
    assert "* good: searched on 1 of 2 of these architectures" in starred._repr_html_()

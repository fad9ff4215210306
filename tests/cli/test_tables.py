"""Tables on the command line: what stands where, and how wide ones are cut."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from rich.console import Console

from autoprox.assessment.assess import Assessment
from autoprox.assessment.wording import luck_in_words
from autoprox.benches import BENCHES, load_bench
from autoprox.cli import main
from autoprox.cli.options import console
from autoprox.cli.run_tables import _settings, print_report
from autoprox.cli.tables import print_figures, print_pairs, table
from autoprox.language.text import parse
from autoprox.ranking import Column
from autoprox.ranking.figures import Comparison
from tests.made_runs import found, judged

ROWS = [["best", "0.50 (0.60)", "0.40 (0.50)", "-0.10 (0.00)"], ["none"]]
HEADINGS = ["D", "cnn/coarse", "cnn/fine", "mlp/coarse"]


def printed(shown: object, width: int = 80) -> list[str]:
    console = Console(width=width, color_system=None)
    with console.capture() as capture:
        console.print(shown)
    return [line.strip() for line in capture.get().splitlines() if line.strip()]


def lines_at(width: int, headings=HEADINGS, rows=ROWS, **how) -> list[str]:
    console = Console(width=width, color_system=None)
    with console.capture() as capture:
        print_figures(console, headings, rows, **how)
    return [line.rstrip() for line in capture.get().splitlines() if line.strip()]


def test_columns_that_do_not_fit_go_into_further_tables_with_the_names_again() -> None:
    whole = lines_at(80)
    assert len(whole) == 2 + 1 + len(ROWS)
    assert whole[0].split() == ["cnn", "cnn", "mlp"]
    assert whole[1].split() == ["D", "coarse", "fine", "coarse"]
    cut = lines_at(40)
    assert [line.split() for line in cut if "coarse" in line or "fine" in line] == [
        ["D", "coarse", "fine"],
        ["D", "coarse"],
    ]
    assert [line.split()[0] for line in cut if "0.50 (" in line or "-0.10" in line] == ["best"] * 2


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
def test_no_figure_is_cut_at_any_width_and_nothing_is_wider(width) -> None:
    names = ["sum(sum(absolute(multiply(weight, grad))))", "runs/a-long-way/to-the-run-7", "snip"]
    rows = [[str(i), name, *[f"{i}.{j}2345" for j in range(9)]] for i, name in enumerate(names)]
    headings = ["", "proxy", *[f"space/target_{j}" for j in range(8)], "a" * 70]
    shown = lines_at(width, headings, rows, keys=2)
    tables = [line for line in shown if " is " not in line]
    assert max(map(len, tables)) <= width
    text = " ".join(tables).split()
    for row in rows:
        assert all(figure in text for figure in row[2:])
    assert all(name in "\n".join(shown) for name in (*names, "a" * 70))  # whole, if only below


def test_a_table_is_one_as_long_as_closer_columns_and_shorter_names_let_it() -> None:
    headings = ["", "proxy", *[f"target{i}" for i in range(6)]]
    rows = [[str(i), "a_name_of_twenty_five_in_a", *["0.123"] * 6] for i in range(2)]
    airy, tight, short, many = (
        lines_at(width, headings, rows, keys=2) for width in (90, 78, 64, 50)
    )
    assert len(airy) == len(tight) == 4
    assert "target0  target1" in airy[0]
    assert "target0 target1" in tight[0]
    assert sum("─" in line for line in short) == 1
    assert sum(" is a_name_of_twenty_five_in_a" in line for line in short) == 2
    assert sum("─" in line for line in many) > 1


def test_a_column_without_a_text_is_left_out() -> None:
    shown = lines_at(80, ["", "joint D", "failed"], [["a", "0.5", ""], ["b", "0.4", ""]])
    assert "failed" not in shown[0]
    assert shown[2].split() == ["a", "0.5"]
    assert "failed" in lines_at(80, ["", "D", "failed"], [["a", "0.5", ""], ["b", "0.4", "2"]])[0]


def test_key_columns_and_tables_without_rows_stay_whole() -> None:
    shown = lines_at(80, ["#", "proxy", "D", "failed"], [["", "a", "0.5", ""]], keys=2)
    assert [line.split() for line in shown] == [
        ["#", "proxy", "D"],
        [shown[1].strip()],
        ["a", "0.5"],
    ]
    empty = lines_at(80, ["#", "proxy", "D"], [], keys=2)
    assert empty[0].split() == ["#", "proxy", "D"]


@pytest.mark.parametrize(("width", "tables"), [(100, 1), (70, 2)])
def test_two_figures_a_column_stand_together_or_in_a_table_each(width: int, tables: int) -> None:
    console = Console(width=width, color_system=None)
    rows = [("best", [("0.55 ±.05", "0.76")] * 4), ("none", [])]
    with console.capture() as capture:
        print_pairs(console, ("D ±", "ρ"), [f"target_{i}" for i in range(4)], rows)  # noqa: RUF001
    shown = capture.get()
    assert shown.count("─ ") + shown.count("─\n") == tables
    assert ("0.55 ±.05 (0.76)" in shown) == (tables == 1)
    assert shown.count("0.76") == shown.count("0.55 ±.05") == 4
    assert len(re.findall(r"none( +-){4}", shown)) == tables


def test_a_row_without_figures_has_dashes() -> None:
    assert lines_at(80)[-1].split() == ["none", "-", "-", "-"]


def test_even_the_narrowest_console_gets_a_column_a_table() -> None:
    assert sum("best" in line for line in lines_at(21)) == len(HEADINGS) - 1


def test_numbers_are_right_and_never_cut_while_words_are_folded() -> None:
    shown = table(["name"], ["figure"])
    shown.add_row("a name that is long", "0.123")
    shown.add_row("b", "10.123")
    lines = printed(shown, 20)
    assert any(line.endswith(" 0.123") for line in lines)
    assert lines[-1].endswith("10.123")
    assert "…" not in "".join(lines)


@pytest.mark.parametrize(("columns", "width"), [("60", 60), ("200", 200), ("", 100), ("x", 100)])
def test_a_pipe_heeds_columns(columns, width, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert console().width == width


@pytest.mark.parametrize("width", ["60", "80", "120", "200"])
def test_the_list_of_benches_breaks_no_name(width: str) -> None:
    done = CliRunner().invoke(main, ["bench", "list"], env={"COLUMNS": width})
    assert done.exit_code == 0
    assert max(map(len, done.stdout.splitlines())) <= int(width)
    words = re.split(r"[\s,]+", done.stdout)
    for name in BENCHES:
        assert name in words
    listed = load_bench("vit101")
    assert {*listed.spaces, *listed.targets} <= {*words}


def test_the_reason_why_luck_is_not_estimated_is_the_one_that_holds() -> None:
    def told(run) -> str:
        return luck_in_words(run.luck, run.null, "joint D", run.no_luck)

    def of(architectures: int):
        accuracies = np.arange(float(architectures))
        column = Column("cnn", "c10", np.arange(architectures), accuracies)
        figures = Comparison([column])(accuracies)
        row = Assessment("top 1", "x", 1, False, 1.0, None, None, None, figures.columns, None)
        return replace(run, search=(row,))

    run = found(judged(("sum(norm(weight))", 0.7, None)))
    assert told(run) == "Luck: not estimated; no proxy is assessed yet."
    assert "has 12 architectures of one target, too few" in told(of(12))
    assert "has 1200 architectures of one target, and with more than 1000" in told(of(1200))
    settings = replace(run.settings, bench="nb201,vit101", over="wins")
    assert "is no mean over the benches, but wins" in told(replace(run, settings=settings))
    settings = replace(settings, over="lexicase")  # the fitness is the mean
    assert "no proxy is assessed yet" in told(replace(run, settings=settings))


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_a_report_shows_the_joint_correlation_and_whole_formulas_at_any_width(width: int) -> None:
    figures = Comparison([Column("cnn", "c10", np.arange(20), np.arange(20.0))])(np.arange(20.0))
    long = parse("sum(mean(absolute(divide(multiply(weight, grad), add(grad_std, weight)))))").text
    run = found(judged((long, 0.7, None)))
    row = Assessment("top 1", long, 9, False, 0.7, (0.6, 0.8), None, None, figures.columns, None)
    out = Console(width=width, color_system=None)
    with out.capture() as capture:
        print_report(replace(run, held_out=(row,), search=(row,)), "after 2 s", out)
    shown = capture.get()
    lines = shown.splitlines()
    assert any(re.search(r"top 1 +0\.700 +0\.60 … 0\.80 +9\b", line) for line in lines)
    assert f"  top 1   {long}" in lines
    commands = [line for line in lines if line.startswith("  autoprox ")]
    assert [line.split()[1] for line in commands] == ["report", "show", "evolve", "evolve"]


@pytest.mark.parametrize(("asked", "said"), [(2, "  2 candidates  "), (9, "  2 of 9 candidates  ")])
def test_a_report_says_how_many_candidates_were_judged_of_those_asked_for(
    asked: int, said: str
) -> None:
    run = found(judged(("sum(norm(weight))", 0.7, None), ("sum(params)", 0.5, None)))
    run = replace(run, settings=replace(run.settings, evaluations=asked))
    assert said in _settings(run, "after 2 s")[1]

"""Tables for papers: what is bold, what is said, and that LaTeX takes them."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import autoprox
from autoprox.assessment.assess import Assessment
from autoprox.assessment.wording import EXPLAINED_USE, sizes_in_words
from autoprox.errors import RunError
from autoprox.leaderboard.board import Leaderboard, LeaderboardRow
from autoprox.ranking import Column
from autoprox.ranking.figures import ColumnFigures, Comparison
from autoprox.show.latex import LatexCell, LatexColumn, board_latex, booktabs, escaped, run_latex
from autoprox.statistics import STATISTICS
from tests.made_runs import found, judged

TINY, BITS = (
    str(Path(__file__).parents[1] / f"{name}.py") for name in ("tiny_bench", "quantised_tiny_bench")
)
SENT = "a_file_that_somebody_sent.py"
TRAINED = "Trained networks that differ by their bits"
ACCURACIES = np.linspace(50, 90, 20)
RANKED = Column("cnn", "c10_a", np.arange(20), ACCURACIES)


def figures(scores: np.ndarray) -> tuple[ColumnFigures, ...]:
    return Comparison([RANKED])(scores).columns


def board() -> Leaderboard:
    noise = np.random.default_rng(0).normal(0, 12, 20)
    own = {"snip_it": ACCURACIES + noise, "R&D 50%": ACCURACIES, "sum(weight)": -ACCURACIES}
    rows = [
        LeaderboardRow(
            place, name, name, each[0].somers, each[0].interval, each[0].kendall, each[0].spearman,
            each[0].top_share, each[0].top1_regret, each[0].top5_regret, 0.5, 0, None, each,
            12 if place == 1 else None,
        )
        for place, (name, each) in enumerate(
            ((name, figures(scores)) for name, scores in own.items()), start=1
        )
    ]  # fmt: skip
    settings = {"held_out": True, "batch": 8, "sample": "full", "images": None, "seed": 3}
    return Leaderboard("tiny", settings, ("a",) * 20, (RANKED.name,), tuple(rows), {})


def run():
    made = found(judged(("sum(norm(weight))", 0.7, None), ("sum(params)", 0.5, None)))
    formulas = {"top 1": "sum(norm(weight))", "top 2": "sum(params)", "params": "sum(params)"}
    rows = tuple(
        Assessment(
            name, text, 3, name == "params", joint, (joint - 0.1, joint + 0.1), 0.1, (-0.1, 0.2),
            figures(ACCURACIES * joint), None,
        )
        for (name, text), joint in zip(formulas.items(), (0.7, 0.5, 0.6), strict=True)
    )  # fmt: skip
    return replace(made, held_out=rows, search=rows, reported=2)


def test_the_best_of_each_column_is_bold_and_all_that_look_like_it() -> None:
    cells = tuple(LatexCell(value, f"{value:.2f}") for value in (0.501, 0.499, 0.4))
    text = booktabs(
        ["a", "b", "c"], [LatexColumn("up", cells), LatexColumn("down", cells, min)], "", "t"
    )
    bold = re.findall(r"^(\w) & (.*) & (.*) \\\\$", text, re.MULTILINE)
    assert [("textbf" in up, "textbf" in down) for _, up, down in bold] == [
        (True, False),
        (True, False),
        (False, True),
    ]


def test_what_latex_would_take_for_commands_is_shown() -> None:
    assert escaped(r"a_b & 5% of {x^2} \n ~") == (
        r"a\_b \& 5\% of \{x\textasciicircum{}2\} \textbackslash{}n \textasciitilde{}"
    )


def test_a_leaderboard_says_how_it_was_measured() -> None:
    text = board_latex(board())
    assert r"20 held-out architectures of tiny" in text
    assert "a batch of 8 inputs of seeded noise, whole tensors, seed 3" in text
    assert r"\texttt{snip\_it}$^*$" in text
    assert r"discovered on some of these architectures" in text
    (best,) = (line for line in text.splitlines() if r"R\&D 50\%" in line and "seed" not in line
               and r"$1.000$" in line)  # fmt: skip
    assert best.split(" & ")[1].startswith(r"\textbf{\boldmath $1.000$")
    assert r"sum(weight)" not in board_latex(board(), top=2)


def networks_in(captions: str) -> set[str]:
    return {found.strip() for found in re.findall(r"([\w ]*etworks[\w ]*), a batch", captions)}


@pytest.mark.parametrize(
    ("bench", "networks"), [("vit101", "Untrained networks"), (BITS, TRAINED), (SENT, "Networks")]
)
def test_a_run_says_whether_its_networks_were_trained(bench: str, networks: str) -> None:
    autoprox.load_bench(BITS)  # no file is executed for a caption, but this one was
    made = run()
    text = run_latex(replace(made, settings=replace(made.settings, bench=bench)))
    assert networks_in(text) == {networks}


@pytest.mark.parametrize(("bench", "networks"), [(TINY, "Untrained networks"), (BITS, TRAINED)])
def test_a_leaderboard_says_whether_its_networks_were_trained(
    bench: str, networks: str, tmp_path: Path
) -> None:
    ranked = autoprox.rank("mean(params)", bench, batch=2, sample=8, cache=tmp_path, timed=False)
    assert networks_in(board_latex(ranked)) == {networks}


def test_formulas_are_set_left_and_their_symbols_explained() -> None:
    formulas = run_latex(run()).rpartition(r"\begin{table*}")[2]
    assert r"\begin{tabular}{ll}" in formulas
    assert f"$W$: {STATISTICS['weight'].description}" in formulas
    assert f"$n$: {STATISTICS['params'].description}" in formulas


def test_a_run_has_its_tables_and_formulas() -> None:
    text = run_latex(run())
    assert text.count(r"\begin{table*}") == text.count(r"\end{table*}") == 3
    assert r"\midrule" + "\n" + r"\texttt{params}" in text  # the known ones below a line
    assert "80 of" not in text
    assert "20 of cnn" in text
    with pytest.raises(RunError, match="assessed nothing"):
        run_latex(found(judged(("sum(norm(weight))", 0.7, None))))


def test_captions_count_what_was_judged_and_one_target_is_one() -> None:
    made = run()
    text = run_latex(replace(made, settings=replace(made.settings, evaluations=5000)))
    assert "Search: default, 2 candidates, seed 0" in text
    assert "mean over 1 target, " in text


def test_what_is_lost_is_said_as_the_terminal_says_it_and_need_not_be_accuracy() -> None:
    told = "in the unit of the target, such as points of accuracy; of 5: "
    assert told in EXPLAINED_USE
    share = r"top 10\,\%: share of the true best tenth"
    for text in (board_latex(board()), run_latex(run())):
        assert told in text
        assert share in text


def test_a_space_is_as_large_as_its_target_that_has_most_figures() -> None:
    few = Column("cnn", "few", np.arange(12), ACCURACIES[:12])
    columns = Comparison([RANKED, few])(ACCURACIES).columns
    made = run()
    rows = tuple(replace(row, columns=columns) for row in made.held_out)
    assert "did not see (20 of cnn), " in run_latex(replace(made, held_out=rows))
    assert sizes_in_words(rows) == " (20 of cnn)"
    assert sizes_in_words([replace(rows[0], columns=())]) == ""


@pytest.mark.parametrize("text", [board_latex(board()), run_latex(run())])
def test_braces_and_environments_are_balanced(text: str) -> None:
    bare = re.sub(r"\\[{}\\]", "", text)
    depth = np.cumsum([(mark == "{") - (mark == "}") for mark in bare])
    assert depth.min() >= 0
    assert depth[-1] == 0
    open_ones: list[str] = []
    for kind, name in re.findall(r"\\(begin|end)\{([^}]+)\}", text):
        if kind == "begin":
            open_ones.append(name)
        else:
            assert open_ones.pop() == name
    assert not open_ones
    assert text.isascii()


def many(count: int) -> Leaderboard:
    """A leaderboard with so many targets, of long names."""
    columns = [replace(RANKED, target=f"a_long_name_{i}") for i in range(count)]
    each, shown = Comparison(columns)(ACCURACIES).columns, board()
    rows = [replace(row, name="a_very_long_name_of_a_proxy", columns=each) for row in shown]
    return replace(shown, rows=tuple(rows), columns=tuple(column.name for column in columns))


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="there is no pdflatex on the PATH")
@pytest.mark.parametrize("columns", ["", "[twocolumn]"])
@pytest.mark.parametrize(
    "text",
    [board_latex(board()), run_latex(run()), board_latex(many(9))],
    ids="board run many".split(),
)
def test_pdflatex_sets_them_within_the_page(tmp_path: Path, text: str, columns: str) -> None:
    packages = rf"\documentclass{columns}{{article}}{text.partition('needs ')[2].splitlines()[0]}"
    document = "\n".join([packages, r"\begin{document}", text, r"\end{document}"])
    (tmp_path / "paper.tex").write_text(document, encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Overfull" not in done.stdout

"""The pictures of a run written by hand."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from autoprox.assessment.assess import Assessment
from autoprox.errors import AutoproxError, RunError
from autoprox.evolution.base import ranked, worth
from autoprox.evolution.settings import Settings
from autoprox.show.draw import history, lineage, pareto, words, write
from autoprox.show.draw.lineages import FORMULA
from autoprox.show.draw.style import figure_of, set_width
from tests.made_runs import found, judged, step

matplotlib = pytest.importorskip("matplotlib")

A, B, C = "sum(params)", "sum(log(params))", "divide(sum(params), sum(log(params)))"
RUN = found(
    judged((A, 0.5, ()), (B, 0.4, ()), (C, 0.7, (A, B)), ("mean(flops)", 0.2, ())),
    step(1, 0.5, 0.45, 0.3, A),
    step(2, 0.7, None, 0.4, C),
    step(3, 0.7, 0.75, 0.5, C),
)
DRAWN = (history, pareto, words, lineage)


def legend(axes) -> list[str]:
    return [each.get_text() for each in axes.get_legend().get_texts()]


def test_a_history_has_a_line_for_each_figure_over_the_candidates_judged() -> None:
    lines = {each.get_label(): each for each in history(RUN).lines if each.get_label()[0] != "_"}
    assert [name.partition(":")[0] for name in lines] == [
        "best so far, search",
        "the same, held out",
        "median of the population",
    ]
    best, held_out, median = ([list(each.get_xdata()), list(each.get_ydata())] for each in
                              lines.values())  # fmt: skip
    assert best == [[10, 20, 30], [0.5, 0.7, 0.7]]
    assert held_out == [[10, 30], [0.45, 0.75]]
    assert median == [[10, 20, 30], [0.3, 0.4, 0.5]]


@pytest.mark.parametrize("width", [3.3, 5, 10])
def test_the_names_of_a_history_cover_nothing(width) -> None:
    axes = history(RUN)
    set_width(figure_of(axes), width)
    axes.figure.canvas.draw()
    names = axes.get_legend().get_window_extent()
    assert names.y1 < axes.xaxis.label.get_window_extent().y0 < axes.get_window_extent().y0


def test_a_history_says_why_the_best_may_fall() -> None:
    told = " ".join(legend(history(RUN))[0].split())
    assert told == "best so far, search: chosen by fitness less 0.001 a node, so it may fall"
    simpler_later = [judged((A, 0.5, ()), (C, 0.502, ()))[i].candidate for i in (1, 0)]
    assert ranked(simpler_later, worth)[0].fitness == 0.5  # with 2 nodes for 5


def test_no_fitness_but_the_mean_shares_an_axis_with_held_out_correlations() -> None:
    wins, mean = (
        replace(RUN, settings=Settings("a,b", over=over), folder=Path(over))
        for over in ("wins", "lexicase")
    )
    best, median = history(wins).lines[::2]
    assert (best.get_label()[:4], median.get_label()[:6]) == ("best", "median")
    assert history(wins).get_ylabel() == pareto(wins).get_ylabel() == "fitness (wins)"
    assert lineage(wins).get_xlabel().startswith("fitness (wins), search")
    assert legend(pareto(wins)) == ["other candidates", "search split"]
    assert pareto(wins).get_ylim()[0] > 0.45
    assert history(mean).get_ylabel() == pareto(mean).get_ylabel() == "joint D"
    assert legend(pareto(mean))[-1] == "held out"


def test_fronts_of_another_fitness_are_called_by_it_and_have_no_diamonds() -> None:
    best = Assessment("top 1", C, 5, False, 0.6, None, None, None, (), None)
    wins, mean = (
        replace(RUN, settings=Settings("a,b", over=over), folder=Path(over), held_out=(best,))
        for over in ("wins", "mean")
    )
    both = pareto(wins, mean)
    assert both.get_ylabel() == "fitness (wins) or joint D"
    assert legend(both) == ["wins: fitness (wins)", "mean: joint D"]
    assert len(both.lines) == 2
    assert "diamonds" not in both.get_title()
    assert len(pareto(mean, replace(mean, folder=Path("other"))).lines) == 4


def test_lines_are_told_apart_without_colour() -> None:
    styles = [each.get_linestyle() for each in history(RUN).lines if each.get_label()[0] != "_"]
    assert len(set(styles)) == len(styles) == 3


def test_the_front_is_what_nothing_as_simple_beats() -> None:
    axes = pareto(RUN)
    assert legend(axes) == ["other candidates", "search split", "held out"]
    points = {each.get_label(): each.get_offsets().tolist() for each in axes.collections}
    assert len(points["other candidates"]) == 4
    assert points["search split"] == [[2, 0.5], [5, 0.7]]
    assert points["held out"] == [[2, 0.45], [5, 0.75]]
    low, high = axes.get_ylim()
    assert low < 0.45
    assert high > 0.75


def test_words_stand_with_both_their_shares() -> None:
    axes = words(RUN, 1)
    names = [each.get_text() for each in axes.get_yticklabels()]
    assert names == ["params", "flops", "sum", "log", "divide", "mean"]
    every, best = (each for each in axes.collections if each.get_label()[0] != "_")
    assert best.get_label() == "the best 1"
    assert best.get_offsets()[:, 0].tolist() == [1, 0, 1, 1, 1, 0]
    assert every.get_offsets()[:, 0].tolist() == [0.75, 0.25, 0.75, 0.5, 0.25, 0.25]
    assert {"statistics", "primitives"} <= {each.get_text() for each in axes.texts}


def test_a_lineage_has_a_row_a_candidate_and_a_line_a_parent() -> None:
    axes = lineage(RUN, C)
    assert [each.get_text() for each in axes.get_yticklabels()] == ["3", "2", "1"]
    assert {each.get_text() for each in axes.texts} == {A, B, C}
    ends = {
        (tuple(each.get_path().vertices[0]), tuple(each.get_path().vertices[-1]))
        for each in axes.patches
    }
    assert ends == {((0.5, 2), (0.7, 0)), ((0.4, 1), (0.7, 0))}
    assert [each.get_marker() for each in axes.lines] == ["o", "s", "s"]


def test_long_formulas_are_shortened_in_the_middle() -> None:
    long = "sqrt(" * 30 + "sum(params)" + ")" * 30
    axes = lineage(found(judged((long, 0.5, ()))))
    (text,) = (each.get_text() for each in axes.texts)
    assert len(text) == FORMULA
    assert text.startswith(long[:9])
    assert text.endswith(long[-9:])


def test_a_lineage_says_how_many_ancestors_it_leaves_out() -> None:
    assert "1 earlier ancestor" in lineage(RUN, C, most=2).get_title(loc="center")


@pytest.mark.parametrize("draw", DRAWN)
def test_no_text_lies_outside_or_on_another(draw) -> None:
    axes = draw(replace(RUN, generations=RUN.generations[:1] + RUN.generations[2:]))
    figure = axes.figure
    figure.canvas.draw()
    shown = [*axes.texts, *axes.get_yticklabels(), *axes.get_xticklabels(), axes.title,
             axes.xaxis.label, axes.yaxis.label]  # fmt: skip
    boxes = [each.get_window_extent() for each in shown if each.get_text() and each.get_visible()]
    for i, one in enumerate(boxes):
        for other in boxes[:i]:
            assert not one.shrunk(0.95, 0.9).overlaps(other.shrunk(0.95, 0.9))


@pytest.mark.parametrize("draw", DRAWN)
def test_given_axes_are_drawn_on_and_no_pyplot_is_needed(draw) -> None:
    axes = matplotlib.figure.Figure().add_subplot()
    assert draw(RUN, axes=axes) is axes


@pytest.mark.parametrize("draw", [history, pareto, words])
def test_a_run_without_a_fitness_is_an_error(draw) -> None:
    with pytest.raises(RunError, match="has a fitness"):
        draw(replace(RUN, judged=()))


def test_a_folder_without_a_run_is_an_error(tmp_path) -> None:
    with pytest.raises(RunError, match="holds no run"):
        history(tmp_path)


def test_every_colour_is_used_for_one_thing_that_has_a_shape_too() -> None:
    front, held_out = (
        each for each in pareto(RUN).collections if each.get_label() in ("search split", "held out")
    )
    shapes = [np.round(each.get_paths()[0].vertices, 3).tolist() for each in (front, held_out)]
    assert shapes[0] != shapes[1]


@pytest.mark.parametrize(
    ("draw", "inches"),
    [*itertools.product((history, pareto, words), (3.3, 6.9)), (lineage, 12), (lineage, 30)],
)
def test_a_file_is_as_wide_as_it_is_told_with_its_fonts_in_it(draw, inches, tmp_path):
    write(draw(RUN), tmp_path / "a.pdf", width=inches)
    content = (tmp_path / "a.pdf").read_bytes()
    (box,) = re.findall(rb"/MediaBox \[ ?([\d. ]+)\]", content)
    left, _, right, _ = map(float, box.split())
    assert (right - left) / 72 == pytest.approx(inches, rel=0.06)
    assert b"/FontFile2" in content  # TrueType, embedded


@pytest.mark.parametrize("draw", [history, lineage])
def test_one_run_is_one_file_to_the_byte(draw, tmp_path):
    for name in ("a.pdf", "b.pdf"):
        write(draw(RUN), tmp_path / name, width=12)
    assert (tmp_path / "a.pdf").read_bytes() == (tmp_path / "b.pdf").read_bytes()


def test_names_that_do_not_fit_are_no_narrow_picture(tmp_path):
    with pytest.raises(AutoproxError, match=r"cannot be 0\.5 inches wide"):
        write(lineage(RUN), tmp_path / "a.pdf", width=0.5)


def test_squares_are_explained_where_there_are_some():
    assert "squares have no parents" in lineage(RUN).get_xlabel()
    assert "squares" not in lineage(RUN, most=1).get_xlabel()

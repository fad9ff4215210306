"""The picture of a leaderboard."""

from __future__ import annotations

import dataclasses
from xml.etree import ElementTree

import numpy as np
import pytest

from autoprox.errors import AutoproxError, RunError
from autoprox.leaderboard.board import Leaderboard, LeaderboardRow
from autoprox.ranking.figures import BestFigures, ColumnFigures
from autoprox.show.draw.leaderboards import chart, save_chart


def row(name, joint, spread=0.1):
    span = None if joint is None else (joint - spread, joint + spread)
    return LeaderboardRow(1, name, name, joint, span, 0.9, 0.9, 0.9, 9.0, 9.0, 0.1, 0, None, ())


def board(*rows):
    return Leaderboard("tiny", {"held_out": True}, ("a", "b"), (), rows, {"x": np.zeros(2)})


BOARD = board(row("zico", 0.7), row("params", 0.5), row("odd", -0.2), row("failed", None))


def test_a_bar_a_proxy_that_has_a_rank():
    axes = chart(BOARD).axes[0]
    assert [each.get_text() for each in axes.get_yticklabels()] == ["odd", "params", "zico"]
    assert [bar.get_width() for bar in axes.patches] == [-0.2, 0.5, 0.7]
    assert len({bar.get_facecolor() for bar in axes.patches}) == 2  # params is a baseline
    assert "held-out" in axes.get_title()


def test_the_error_bars_are_the_intervals():
    axes = chart(BOARD).axes[0]
    lines = [each.get_segments() for each in axes.collections]
    ends = sorted(x for segments in lines for segment in segments for x, _ in segment)
    for low, high in ((-0.3, -0.1), (0.4, 0.6), (0.6, 0.8)):
        assert any(abs(low - end) < 1e-9 for end in ends)
        assert any(abs(high - end) < 1e-9 for end in ends)


def test_only_the_best_are_drawn_if_so_asked():
    assert len(chart(BOARD, top=2).axes[0].patches) == 2


def test_the_best_by_score_are_marked_if_they_are_known():
    def figures(low, high):
        shares = ((0.2, low), (0.5, high), (1.0, 3 * low))
        best = tuple(BestFigures(share, rho, None) for share, rho in shares)
        return ColumnFigures("a/x", 9, 0.5, 0.5, 0.9, (0.4, 0.6), 0.5, 0.0, 0.0, 9, best)

    columns = (figures(0.1, 0.3), figures(0.3, 0.5))
    rows = [dataclasses.replace(row(name, 0.5), columns=columns) for name in ("emq", "bops")]
    axes = chart(board(*rows)).axes[0]
    assert [each.get_text() for each in axes.get_legend().get_texts()] == [
        "ρ, best 20%",  # noqa: RUF001
        "ρ, best 50%",  # noqa: RUF001
        "ρ, all",  # noqa: RUF001
    ]
    marks = [each for each in axes.collections if len(each.get_offsets()) == 2]
    places = [each.get_offsets()[:, 0].tolist() for each in marks]
    for expected in ([0.2, 0.2], [0.4, 0.4], [0.6, 0.6]):
        assert any(np.allclose(expected, each) for each in places)
    assert chart(BOARD).axes[0].get_legend() is None


@pytest.mark.parametrize("suffix", ["svg", "png", "pdf"])
def test_a_file_is_written_whole(tmp_path, suffix):
    path = tmp_path / f"board.{suffix}"
    save_chart(BOARD, path)
    assert path.stat().st_size > 1000
    assert list(tmp_path.iterdir()) == [path]
    if suffix == "svg":
        assert ElementTree.fromstring(path.read_text(encoding="utf-8")).tag.endswith("svg")


def test_what_cannot_be_drawn_is_refused(tmp_path):
    with pytest.raises(AutoproxError, match=r"an \.svg, \.png or \.pdf"):
        save_chart(BOARD, tmp_path / "board.gif")
    with pytest.raises(AutoproxError, match="no proxy has a rank"):
        save_chart(board(row("failed", None)), tmp_path / "board.svg")
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="choose another name"):
        save_chart(BOARD, tmp_path / "file" / "board.svg")
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_the_folder_of_a_picture_is_made(tmp_path):
    save_chart(BOARD, tmp_path / "new" / "board.svg")
    assert [each.name for each in (tmp_path / "new").iterdir()] == ["board.svg"]


def test_a_proxy_that_was_discovered_on_what_is_ranked_has_a_star():
    found = dataclasses.replace(row("found", 0.8), searched_on=1)
    axes = chart(board(found, row("params", 0.5))).axes[0]
    assert [each.get_text() for each in axes.get_yticklabels()] == ["params", "found *"]
    assert "* discovered on some of these" in axes.get_xlabel()
    assert "*" not in chart(BOARD).axes[0].get_xlabel()

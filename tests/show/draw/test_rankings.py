"""The scatter and the heat map: what they show is what they are given."""

from __future__ import annotations

import json

import numpy as np
import pytest

from autoprox.errors import AutoproxError
from autoprox.leaderboard.board import Leaderboard, LeaderboardRow
from autoprox.ranking.figures import ColumnFigures
from autoprox.show.draw import heat_map, scatter

pytest.importorskip("matplotlib")

COLUMNS = ("pit/c100", "pit/flower", "autoformer/c100")


def row(name: str, *ds: float) -> LeaderboardRow:
    columns = tuple(
        ColumnFigures(column, 9, d, 0.0, 0.0, (-1.0, 1.0), 0.5, 0.0, 0.0, 9)
        for column, d in zip(COLUMNS, ds, strict=False)
    )
    joint = sum(ds) / len(ds) if ds else None
    return LeaderboardRow(
        1, name, name, joint, None, 0.0, 0.0, 0.5, 0.0, 0.0, 0.1, 0, None, columns
    )


def board(*rows: LeaderboardRow) -> Leaderboard:
    settings = {"held_out": False}
    return Leaderboard("vit101", settings, ("a", "b"), COLUMNS, rows, {"x": np.zeros(2)})


BOARD = board(row("zico", 0.9, -0.25, -0.001), row("snip", 0.5, 0.25), row("failed"))


def cells(axes) -> dict[tuple[int, int], str]:
    """The texts in the cells, by row and column."""
    inside = [each for each in axes.texts if each.get_transform() == axes.transData]
    return {tuple(map(round, each.get_position()[::-1])): each.get_text() for each in inside}


def test_a_scatter_shows_every_figure_and_its_d() -> None:
    axes = scatter([1, 2, 3, 4], [10, 20, float("nan"), 15], name="zico", target="c100")
    assert axes.get_xlabel() == "zico"
    assert axes.get_ylabel() == "c100"
    # Of the pairs of (1, 10), (2, 20), (4, 15) two agree and one does not: 1/3.
    assert "0.333" in axes.get_title()


def test_a_scatter_of_losses_shows_them_as_they_are_and_the_d_of_the_lowest_first() -> None:
    axes = scatter([1, 2, 3], [0.9, 0.2, 0.4], target="loss", lower_is_better=True)
    assert axes.get_ylabel() == "loss (lower is better)"
    assert sorted(axes.collections[0].get_offsets()[:, 1]) == [0.2, 0.4, 0.9]
    assert "0.333" in axes.get_title()


@pytest.mark.parametrize("count", [0, 1])
def test_a_scatter_of_too_few_figures_says_that_there_is_no_score(count: int) -> None:
    axes = scatter([1.0] * count + [float("nan")] * 3, [10.0] * (count + 3))
    assert axes.get_title() == f"no score  ({count} architectures)"


def test_a_scatter_refuses_lists_of_different_lengths() -> None:
    with pytest.raises(AutoproxError, match="one score an accuracy"):
        scatter([1, 2], [1, 2, 3])


def test_a_heat_map_has_the_figures_and_their_names() -> None:
    axes = heat_map(BOARD)
    assert [each.get_text() for each in axes.get_yticklabels()] == ["zico", "snip"]
    assert [each.get_text() for each in axes.get_xticklabels()] == ["c100", "flower", "c100"]
    assert cells(axes) == {
        (0, 0): "0.90",
        (0, 1): "\N{MINUS SIGN}0.25",
        (0, 2): "0.00",
        (1, 0): "0.50",
        (1, 1): "0.25",
    }
    assert [each.get_text() for each in axes.texts[-2:]] == ["pit", "autoformer"]


def test_blue_agrees_and_red_ranks_upside_down_the_more_the_deeper() -> None:
    colours = [each.get_facecolor()[:3] for each in heat_map(BOARD).patches]
    strong, upside_down, none, weaker, weakest = colours
    for red, _, blue in (strong, weaker, weakest):
        assert blue > red
    assert upside_down[0] > upside_down[2]
    assert sum(strong) < sum(weaker) < sum(weakest) < sum(none)


def test_the_numbers_can_be_read_on_their_cells() -> None:
    ds = [[d, -d, d / 2] for d in np.linspace(0, 1, 9)]
    axes = heat_map(board(*(row(str(i), *each) for i, each in enumerate(ds))))
    from matplotlib.colors import to_rgb

    def luminance(colour) -> float:
        """Relative luminance, WCAG 2.1."""
        parts = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour]
        return float(np.dot(parts, (0.2126, 0.7152, 0.0722)))

    inside = [each for each in axes.texts if each.get_transform() == axes.transData]
    for cell, text in zip(axes.patches, inside, strict=True):
        pair = luminance(cell.get_facecolor()[:3]), luminance(to_rgb(text.get_color()))
        assert (max(pair) + 0.05) / (min(pair) + 0.05) >= 3.5


def test_every_form_of_a_ranking_draws_the_same(tmp_path) -> None:
    (tmp_path / "board.json").write_text(json.dumps(BOARD.to_json()))
    (tmp_path / "board.csv").write_text(BOARD.to_csv())
    pytest.importorskip("pandas")
    expected = cells(heat_map(BOARD))
    for each in (BOARD.to_frame(), tmp_path / "board.json", str(tmp_path / "board.csv")):
        assert cells(heat_map(each)) == expected


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.json", "{}", "is no 'autoprox leaderboard' file"),
        (
            "a.json",
            '{"format": "autoprox leaderboard", "version": 2}',
            "damaged: the key bench is missing",
        ),
        ("a.csv", "a,b\n1,2\n", "a ranking has the column 'proxy'"),
        ("a.csv", "", "a ranking has the column 'proxy'"),
        ("a.csv", "proxy,pit/c100 somers\nzico,much\n", "damaged: ValueError"),
        ("a.csv", "proxy,pit/c100 somers\nzico,\n", "no proxy of the ranking has a correlation"),
        ("a.csv", "proxy,pit/c100 somers\n", "a ranking has the column 'proxy'"),
    ],
)
def test_what_is_no_ranking_is_refused(tmp_path, name, content, said) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(AutoproxError, match=said):
        heat_map(tmp_path / name)


def test_a_folder_is_no_ranking(tmp_path) -> None:
    with pytest.raises(AutoproxError, match=r"expected .* rank --json FILE .*got the folder '"):
        heat_map(tmp_path)


def test_a_file_that_is_not_there_is_an_error(tmp_path) -> None:
    with pytest.raises(AutoproxError, match=r"cannot read .*there\.csv: No such file"):
        heat_map(tmp_path / "there.csv")

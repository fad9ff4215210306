"""The leaderboard as a picture: a bar a proxy, with its interval.

Where the best by score are ranked among themselves, a mark a share.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from autoprox.assessment.assess import BASELINES
from autoprox.assessment.wording import figure as written
from autoprox.errors import AutoproxError
from autoprox.leaderboard.board import Leaderboard, LeaderboardRow
from autoprox.show.draw.style import (
    GREY,
    INK,
    LIGHT_BLUE,
    PALE,
    blank_figure,
    check_path,
    dress,
    shortened,
    write,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NAME = 40
"""Letters: the longest name of a proxy."""

MARKS = ("v", "D", "o")
"""The marks of rho among shares of the architectures, the best by score."""


def chart(board: Leaderboard, top: int | None = None) -> Figure:
    """Draw the joint correlations of the best proxies with their 95 % intervals.

    Args:
        board: the leaderboard.
        top: how many proxies are shown; None for all that have a rank.

    Raises:
        AutoproxError: no proxy has a rank, or matplotlib is not installed.
    """
    rows = [row for row in board if row.joint is not None][:top]
    if not rows:
        raise AutoproxError("no proxy has a rank: there is nothing to draw")
    figure = blank_figure(6.4, 0.9 + 0.24 * len(rows))
    axes = figure.add_subplot()
    for place, row in enumerate(reversed(rows)):
        joint = row.joint or 0.0
        colour = PALE if row.name in BASELINES else LIGHT_BLUE
        axes.barh(place, joint, height=0.72, color=colour, zorder=2)
        low, high = row.joint_interval or (joint, joint)
        axes.hlines(place, low, high, color=INK, linewidth=1.2, zorder=3)
        axes.vlines((low, high), place - 0.18, place + 0.18, color=INK, lw=1.2, zorder=3)
        axes.text(
            1.015, place, written(joint), fontsize=8, va="center", color=GREY,
            transform=axes.get_yaxis_transform(),
        )  # fmt: skip
    _mark_best(axes, rows[::-1])
    axes.set_yticks(range(len(rows)), [_label(row) for row in reversed(rows)], fontsize=8)
    axes.set_ylim(-0.7, len(rows) - 0.3)
    axes.axvline(0, color=GREY, linewidth=0.8, zorder=2.5)
    starred = any(row.searched_on for row in rows)
    note = "\n* discovered on some of these architectures" if starred else ""
    dress(axes, f"joint Somers' D, with its 95 % interval{note}", "", grid="x")
    part = "held-out architectures" if board.settings.get("held_out") else "architectures"
    above = 20 if rows[0].best else 6  # points, room for the legend of the marks
    axes.set_title(f"{board.bench}: {len(board.architectures)} {part}", fontsize=10, pad=above)
    return figure


def _mark_best(axes: Axes, rows: list[LeaderboardRow]) -> None:
    """Mark the mean rho among the best by score, if it is known."""
    shares = list(rows[0].best)
    if not shares:
        return
    for share, mark in zip(shares, MARKS, strict=True):
        values = [row.best[share] for row in rows]
        axes.scatter(
            values, range(len(rows)), s=16, marker=mark, facecolor="white", edgecolor=INK,
            linewidth=0.8, zorder=4, label=f"ρ, best {share:.0%}" if share < 1 else "ρ, all",  # noqa: RUF001
        )  # fmt: skip
    axes.legend(
        ncols=len(MARKS), fontsize=7, loc="lower center", bbox_to_anchor=(0.5, 1), frameon=False,
        borderpad=0, handletextpad=0.2,
    )  # fmt: skip


def _label(row: LeaderboardRow) -> str:
    short = shortened(row.name, NAME)
    return f"{short} *" if row.searched_on else short


def save_chart(board: Leaderboard, path: str | Path, top: int | None = None) -> None:
    """Draw the leaderboard into a file, whole or not at all; its folder is made.

    Raises:
        AutoproxError: the name is none of a picture, matplotlib is not installed, or
            there is nothing to draw.
        RunError: the file cannot be written.
    """
    check_path(path)
    write(chart(board, top), path)

"""The leaderboard: a row a proxy, as a table, JSON, CSV, a data frame or HTML."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from autoprox.assessment.wording import figure, short_interval
from autoprox.errors import AutoproxError, UnknownNameError
from autoprox.ranking.figures import ColumnFigures, Interval
from autoprox.runtime.frames import csv_of, frame_of
from autoprox.runtime.markup import join, table, tag
from autoprox.runtime.schema import Correlation, Count, FileKind

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True)
class WrittenColumn:
    """The figures of a proxy on a column that are read back from a file."""

    column: str
    somers: Correlation


@dataclass(frozen=True)
class WrittenRow:
    """The fields of a `LeaderboardRow` that are read back from a file."""

    name: str
    formula: str
    columns: tuple[WrittenColumn, ...]
    joint: Correlation | None = None
    joint_interval: tuple[Correlation, Correlation] | None = None
    joint_kendall: Correlation | None = None
    joint_spearman: Correlation | None = None
    reason: str | None = None
    searched_on: Count | None = None


@dataclass(frozen=True)
class WrittenBoard:
    """The fields of a `Leaderboard` that are read back, and the number of architectures."""

    bench: str
    settings: dict[str, Any]
    architectures: Count
    columns: tuple[str, ...]
    rows: tuple[WrittenRow, ...]


BOARD = FileKind("autoprox leaderboard", 2, WrittenBoard)
"""What ``autoprox rank --json`` writes."""


def read_board(path: Path) -> WrittenBoard:
    """Return a leaderboard that was written.

    Raises:
        AutoproxError: the file cannot be read, or is none of a leaderboard; or it is a folder.
    """
    if path.is_dir():
        raise AutoproxError(
            f"expected the file of a leaderboard, as autoprox rank --json FILE writes it; got the "
            f"folder {str(path)!r}"
        )
    return BOARD.read(path)


@dataclass(frozen=True)
class LeaderboardRow:
    """One proxy on the leaderboard.

    Attributes:
        place: from 1; None for a proxy without a rank.
        name: the proxy's; of one without a name that of its run's folder, or its expression.
        formula: its expression, or which function it is.
        joint: the mean of Somers' D over the columns; None without a rank.
        joint_interval: its 95 % bootstrap interval.
        joint_kendall: the mean of Kendall's τ-b over the columns.
        joint_spearman: the mean of Spearman's rho over the columns.
        top_share: the mean over the columns of the share of the true best 10 % that are among the
            best 10 % by score.
        top1_regret: the mean over the columns of the best accuracy minus that of the architecture
            with the best score.
        top5_regret: the same for the best among the five best scores.
        seconds: the median time of one core that the proxy alone takes on a network, all its passes
            included; None if it is not known.
        failures: on how many architectures it has no score.
        reason: the first of their reasons, or what else a reader has to know; None if nothing.
        columns: the figures of each column; none without a rank.
        searched_on: for a discovered proxy, how many of the ranked architectures its search saw,
            which flatters it; None for a proxy that no search found.
    """

    place: int | None
    name: str
    formula: str
    joint: float | None
    joint_interval: Interval | None
    joint_kendall: float | None
    joint_spearman: float | None
    top_share: float | None
    top1_regret: float | None
    top5_regret: float | None
    seconds: float | None
    failures: int
    reason: str | None
    columns: tuple[ColumnFigures, ...]
    searched_on: int | None = None

    @property
    def best(self) -> dict[float, float]:
        """Share of the architectures, the best by score, to the mean of rho over the columns."""
        if not self.columns:
            return {}
        shares = [best.share for best in self.columns[0].best]
        correlations = [[best.spearman for best in column.best] for column in self.columns]
        return dict(zip(shares, np.mean(correlations, axis=0).tolist(), strict=True))

    @property
    def marked(self) -> str:
        """The name, with a star if the proxy was searched for on some of the architectures."""
        return f"{self.name} *" if self.searched_on else self.name


@dataclass(frozen=True)
class Leaderboard:
    """Proxies, the best first, by how well they rank the architectures of a bench.

    Those without a score on more than a twentieth of the architectures, or on almost all that a
    column has, have no rank and come last.

    Attributes:
        bench: the bench's name.
        settings: all that the figures depend on.
        architectures: the names of those that were ranked.
        columns: the names of the columns, ``"space/target"``.
        rows: the proxies.
        scores: proxy to its scores, ``(architectures,)``, NaN where there is none.
        trained: whether the networks are trained ones that differ by their bits.
    """

    bench: str
    settings: Mapping[str, Any]
    architectures: tuple[str, ...]
    columns: tuple[str, ...]
    rows: tuple[LeaderboardRow, ...]
    scores: Mapping[str, NDArray[np.float64]] = field(repr=False)
    trained: bool = False

    def __len__(self) -> int:
        """Count the proxies."""
        return len(self.rows)

    def __iter__(self) -> Iterator[LeaderboardRow]:
        """Iterate over the rows, the best first."""
        return iter(self.rows)

    def __getitem__(self, name: str) -> LeaderboardRow:
        """Return the row of a proxy.

        Raises:
            UnknownNameError: it is not on the leaderboard.
        """
        for row in self.rows:
            if row.name == name:
                return row
        raise UnknownNameError("proxy", name, [row.name for row in self.rows])

    @property
    def footnotes(self) -> dict[str, str]:
        """What the stars behind the names of proxies mean, by name."""
        count = len(self.architectures)
        return {
            row.name: f"* {row.name}: searched on {row.searched_on} of {count} of these "
            "architectures"
            for row in self.rows
            if row.searched_on
        }

    def to_json(self) -> dict[str, Any]:
        """Return everything but the scores as JSON data."""
        return {
            "format": BOARD.form,
            "version": BOARD.version,
            "bench": self.bench,
            "settings": dict(self.settings),
            "architectures": len(self.architectures),
            "columns": list(self.columns),
            "rows": [asdict(row) for row in self.rows],
        }

    def records(self) -> list[dict[str, Any]]:
        """Return a flat record a row; figures of a column are called ``"space/target somers"``."""
        return [_record(row, self.columns) for row in self.rows]

    def to_csv(self) -> str:
        """Return the records as the text of a CSV file with a header."""
        return csv_of(self.records())

    def to_frame(self) -> pandas.DataFrame:
        """Return the records as a data frame.

        Raises:
            AutoproxError: pandas is not installed.
        """
        return frame_of(self.records())

    def __repr__(self) -> str:
        """Show what was ranked, on what, and what ranks best; the figures are the rows'."""
        best = f"best {self.rows[0].name}" if self.rows[0].place else "none has a rank"
        ranked = f"{len(self)} ranked on {len(self.architectures)} architectures"
        return f"Leaderboard({self.bench}: {ranked}, {best})"

    def _repr_html_(self) -> str:
        """Show the table in a notebook."""

        def cells(row: LeaderboardRow) -> list[str]:
            by_column = {column.column: figure(column.somers, ".2f") for column in row.columns}
            return [*cells_of(row), *(by_column.get(name, "-") for name in self.columns)]

        part = "held-out architectures" if self.settings["held_out"] else "architectures"
        caption = f"{self.bench}: {len(self.architectures)} {part}, {len(self)} proxies"
        notes = [*self.footnotes.values()]
        notes += [f"{row.name}: {row.reason.partition(chr(10))[0]}" for row in self if row.reason]
        shown = table(caption, (*TITLES, *self.columns), map(cells, self))
        return join([shown, *(tag("p", note) for note in notes)])


TITLES = (
    "", "proxy", "joint D", "95 %", "τ", "ρ", "lost", "of 5", "top 10 %", "s", "failed",  # noqa: RUF001
)  # fmt: skip
"""What the cells of a row are."""


def cells_of(row: LeaderboardRow) -> tuple[str, ...]:
    """Return a row's figures as they are printed; see `TITLES`."""
    return (
        figure(row.place, "d"),
        row.marked,
        figure(row.joint),
        short_interval(row.joint_interval),
        figure(row.joint_kendall, ".2f"),
        figure(row.joint_spearman, ".2f"),
        figure(row.top1_regret, ".2f"),
        figure(row.top5_regret, ".2f"),
        figure(row.top_share, ".0%"),
        figure(row.seconds, ".2f"),
        str(row.failures) if row.failures else "",
    )


ROW_FIGURES = (
    "top_share", "top1_regret", "top5_regret", "seconds", "failures", "reason", "searched_on",
)  # fmt: skip
COLUMN_FIGURES = ("kendall", "spearman", "top1_regret", "top5_regret", "top_share")


def _record(row: LeaderboardRow, columns: tuple[str, ...]) -> dict[str, Any]:
    low, high = row.joint_interval or (None, None)
    record = {
        "rank": row.place,
        "proxy": row.name,
        "formula": row.formula,
        "joint_somers": row.joint,
        "joint_somers_low": low,
        "joint_somers_high": high,
        "joint_kendall": row.joint_kendall,
        "joint_spearman": row.joint_spearman,
        **{f"joint_spearman@{share:.0%}": mean for share, mean in row.best.items()},
        **{name: getattr(row, name) for name in ROW_FIGURES},
    }
    known = {column.column: column for column in row.columns}
    for name in columns:
        figures = known.get(name)
        low, high = figures.interval if figures else (None, None)
        record |= {
            f"{name} somers": getattr(figures, "somers", None),
            f"{name} somers_low": low,
            f"{name} somers_high": high,
            **{f"{name} {key}": getattr(figures, key, None) for key in COLUMN_FIGURES},
        }
        if figures and figures.partial is not None:
            record[f"{name} partial_spearman"] = figures.partial
        for best in figures.best if figures else ():
            share = f"{name} spearman@{best.share:.0%}"
            least, most = best.spearman_interval or (None, None)
            record |= {share: best.spearman, f"{share}_low": least, f"{share}_high": most}
    return record

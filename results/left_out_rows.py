"""Rows on what is found without a family, as the scripts here write them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from csv_tables import write_csv
from numpy.typing import NDArray

from autoprox.assessment.assess import Assessor
from autoprox.benches.counts import COUNTS
from autoprox.language.graph import Graph
from autoprox.runs.ground import Ground
from autoprox.runs.left_out import LeftOut, over_architectures

COLUMNS = (
    "fitness", "left_out", "beside", "found", "known", *COUNTS, "difference", "low", "high",
    "low_architectures", "high_architectures", "formula",
)  # fmt: skip

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Families:
    """The families, and what any formula is worth on resamples of their architectures.

    Attributes:
        assessors: one a family, on all its drawn architectures.
        known: the known proxies.
    """

    assessors: Mapping[str, Assessor]
    known: Mapping[str, Graph]

    @classmethod
    def of(cls, ground: Ground) -> Families:
        """Return the families of a ground."""
        homes: dict[str, list[int]] = {}
        names = [plan.bench.name for plan in ground.plans for _ in plan.bench.architectures]
        for place, name in enumerate(names):
            homes.setdefault(name, []).append(place)
        assessors = {name: ground.assessor(places) for name, places in homes.items()}
        return cls(assessors, ground.known)

    def interval(
        self, graphs: Mapping[str, Sequence[Graph]], rival: Mapping[str, str]
    ) -> tuple[float, float]:
        """Return the interval over architectures of what was found less a rival.

        Args:
            graphs: by family the formulas that were found without it.
            rival: by family the name of the known proxy.
        """
        resampled = {
            family: np.stack([self.assessors[family].resampled(graph) for graph in own])
            for family, own in graphs.items()
        }
        beside = {
            family: self.assessors[family].resampled(self.known[name])
            for family, name in rival.items()
        }
        return over_architectures(resampled, beside)


def left_out_rows(
    fitness: str, table: LeftOut, graphs: Mapping[str, Sequence[Graph]], families: Families
) -> Iterator[dict[str, Any]]:
    """Yield a row for each family, and one for each known proxy in the mean over them.

    Args:
        fitness: by which the formulas were chosen.
        table: what they are worth on the families that were left out.
        graphs: what was chosen without each family, by every seed; the first one's is written.
        families: the families.
    """
    for family, figure in table.found.items():
        counts = {name: round(table.known[name][family], 4) for name in COUNTS}
        row = {"fitness": fitness, "left_out": family, "found": round(figure.middle, 4)}
        yield {**row, **counts, "formula": graphs[family][0].text}
    afterwards = {family: name for family, (name, _) in table.best_counts.items()}
    for proxy in table.beside:
        assert proxy.difference_interval is not None
        rival = dict.fromkeys(table.found, proxy.name) if proxy.name in table.known else afterwards
        ends = (*proxy.difference_interval, *families.interval(graphs, rival))
        yield {
            "fitness": fitness,
            "left_out": "mean over families",
            "beside": proxy.name,
            "found": round(table.joint, 4),
            "known": round(proxy.joint, 4),
            "difference": round(proxy.difference, 4),
            **dict(zip(COLUMNS[-5:-1], (round(float(end), 4) for end in ends), strict=True)),
        }


def write_left_out(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write rows; a cell that a row does not have is empty."""
    write_csv(path, [{name: row.get(name, "") for name in COLUMNS} for row in rows])

"""What a formula is worth on a family of architectures that its search never saw.

Of several benches each is a family. With one run for each family that is left out, everything that
is found is judged where it was not found, beside what is known before any search.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from autoprox.benches.counts import COUNTS
from autoprox.evolution.small import MANY_FAMILIES
from autoprox.ranking.correlation import Array
from autoprox.ranking.figures import Interval
from autoprox.ranking.resampling import interval

if TYPE_CHECKING:
    from autoprox.assessment.assess import Assessment
    from autoprox.ranking.medians import Median


@dataclass(frozen=True)
class Beside:
    """A known proxy beside what was found, over the families that were left out.

    Attributes:
        name: the known proxy's; ``"best count"`` for the one of params, FLOPs, depth and width that
            turns out to be the best of each family, which nobody knows before.
        joint: the mean of its joint correlations with the families.
        difference: the mean of what was found less it.
        difference_interval: the 95 % interval of that mean over families, see `of_mean`; None for
            too few families.
        below: on how many of the families it is below.
    """

    name: str
    joint: float
    difference: float
    difference_interval: Interval | None
    below: int


@dataclass(frozen=True)
class LeftOut:
    """What was found, on the families that were left out; see `Runs.left_out`.

    Attributes:
        found: by family the joint correlation of the best formula of the others, over the seeds.
        known: by name, the joint correlation of each known proxy by family, on the same
            architectures; of those that have one on every family.
    """

    found: Mapping[str, Median]
    known: Mapping[str, Mapping[str, float]]

    @property
    def best_counts(self) -> dict[str, tuple[str, float]]:
        """By family the best of params, FLOPs, depth and width there, picked afterwards."""
        counts = [name for name in COUNTS if name in self.known]
        best = {
            family: max(counts, key=lambda name: self.known[name][family]) for family in self.found
        }
        return {family: (name, self.known[name][family]) for family, name in best.items()}

    @property
    def joint(self) -> float:
        """The mean over the families of what was found."""
        return float(np.mean([median.middle for median in self.found.values()]))

    @property
    def beside(self) -> list[Beside]:
        """The known proxies, the best in the mean first, and the best count of each family."""
        afterwards = {family: joint for family, (_, joint) in self.best_counts.items()}
        rows = [self._beside("best count", afterwards)]
        rows += [self._beside(name, joints) for name, joints in self.known.items()]
        return sorted(rows, key=lambda row: -row.joint)

    def _beside(self, name: str, joints: Mapping[str, float]) -> Beside:
        """Compare what was found with one known proxy."""
        gains = np.array([median.middle - joints[family] for family, median in self.found.items()])
        return Beside(
            name,
            float(np.mean([joints[family] for family in self.found])),
            float(gains.mean()),
            of_mean(gains) if len(gains) >= MANY_FAMILIES else None,
            int((gains > 0).sum()),
        )

    def to_json(self) -> dict[str, Any]:
        """Return the figures as JSON data."""
        return {
            "joint": self.joint,
            "found": {family: asdict(median) for family, median in self.found.items()},
            "best_counts": {family: list(best) for family, best in self.best_counts.items()},
            "known": {name: dict(joints) for name, joints in self.known.items()},
            "beside": [asdict(row) for row in self.beside],
        }


def of_mean(values: NDArray[np.float64]) -> Interval:
    """Return Student's 95 % interval of the mean of a few values, ``(n,)``.

    A percentile bootstrap of ten families holds the mean 90 times in 100, and of three 73 times.

    >>> low, high = of_mean(np.array([0.1, -0.1, 0.3]))
    >>> round(low, 3), round(high, 3)
    (-0.397, 0.597)
    """
    from scipy.special import stdtrit

    count = len(values)
    half = float(stdtrit(count - 1, 0.975) * values.std(ddof=1) / np.sqrt(count))
    return float(values.mean()) - half, float(values.mean()) + half


def over_architectures(resampled: Mapping[str, Array], known: Mapping[str, Array]) -> Interval:
    """Return the 95 % bootstrap interval over architectures of what was found less what is known.

    The families stay as they are; the interval says nothing of other families, as `of_mean` does.

    Args:
        resampled: by family the joint correlation on each resample of its architectures,
            ``(formulas, resamples)``, of which the median over the formulas counts.
        known: by family that of a known proxy on the same resamples, ``(resamples,)``.

    >>> resampled = {"a": np.array([[0.5, 0.6], [0.7, 0.6]]), "b": np.array([[0.4, 0.2]])}
    >>> known = {"a": np.array([0.5, 0.5]), "b": np.array([0.1, 0.1])}
    >>> low, high = over_architectures(resampled, known)  # of .2 and .1
    >>> round(low, 4), round(high, 4)
    (0.1025, 0.1975)
    """
    gains = [np.median(joints, axis=0) - known[family] for family, joints in resampled.items()]
    return interval(np.mean(gains, axis=0))


def known_everywhere(
    tables: Mapping[str, Sequence[Assessment]],
) -> dict[str, dict[str, float]]:
    """Return the joint correlations of known proxies by name and family, given each family's rows.

    Those that have none on some family are left out.
    """
    joints = {
        family: {row.name: row.joint for row in rows if row.known and row.joint is not None}
        for family, rows in tables.items()
    }
    shared = set.intersection(*(set(by_name) for by_name in joints.values()))
    names = [name for name in next(iter(joints.values())) if name in shared]
    return {name: {family: by_name[name] for family, by_name in joints.items()} for name in names}

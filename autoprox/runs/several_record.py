"""Several runs in one folder, as their files tell it: what they share, and their spread."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoprox.assessment.assess import Assessment
from autoprox.errors import AutoproxError, RunError
from autoprox.evolution.base import PARSIMONY, RULE
from autoprox.evolution.settings import Settings
from autoprox.proxies.function import Ensemble, mean_of_ranks
from autoprox.proxies.proxy import Proxy, dumps
from autoprox.ranking.medians import Median, median
from autoprox.runs.contents import check_names, holds_several
from autoprox.runs.folder import going_on
from autoprox.runs.forms import forms
from autoprox.runs.left_out import LeftOut, known_everywhere
from autoprox.runs.record import Run
from autoprox.runs.record import read_run as read_single
from autoprox.runs.schemas import SEVERAL, SEVERAL_REPORT, RunConfig
from autoprox.runtime.files import write_text
from autoprox.runtime.frames import frame_of
from autoprox.runtime.schema import read_bytes

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True)
class Rival:
    """A known proxy beside the best one of each run, on the architectures that the run held out.

    Attributes:
        name: the known proxy's.
        joint: its joint correlation over the runs.
        difference: that of the run's best one minus its own, over the runs.
        below: in how many of the runs it is below.
        above: in how many it is above; in the others the two are equal.
    """

    name: str
    joint: Median
    difference: Median
    below: int
    above: int


@dataclass(frozen=True)
class Runs:
    """Several runs in one folder, finished, stopped or still going. Read them with `read_runs`.

    Attributes:
        folder: where their folders are.
        settings: what each is asked for, by its name.
        runs: those that have judged anything.
    """

    folder: Path
    settings: Mapping[str, Settings]
    runs: Mapping[str, Run]

    @property
    def finished(self) -> bool:
        """Whether all of them are."""
        return self.reported.keys() == self.settings.keys()

    @cached_property
    def reported(self) -> dict[str, Run]:
        """The runs that are finished with what is asked now, which all figures here are of."""
        asked = {name for name, run in self.runs.items() if run.settings == self.settings[name]}
        return {name: run for name, run in self.runs.items() if run.finished and name in asked}

    @cached_property
    def varied(self) -> tuple[str, ...]:
        """The settings in which the runs differ; some are told only where they are given."""
        names = differing(self.settings.values())
        return tuple(name for name in names if name != "searches")  # these vary with seed proxies

    @property
    def title(self) -> str:
        """What the runs were: benches, algorithm, what varies."""
        first = next(iter(self.settings.values()))
        names = " and ".join(self.varied) or "nothing"
        return f"{first.bench}, {first.algorithm}, {len(self.settings)} runs, varied: {names}"

    @property
    def joint(self) -> str:
        """How the joint correlation is written."""
        return next(iter(self.settings.values())).joint

    @cached_property
    def pick(self) -> str:
        """The name of the run whose best proxy is picked by `RULE`.

        Raises:
            RunError: no run is finished.
        """
        if not self.reported:
            raise RunError(f"none of the runs in {self.folder} is finished: {self._going_on}")

        def worth(name: str) -> float:
            best = self.reported[name].best
            fitness: float | None = best.provenance["search_fitness"]
            return (fitness or 0.0) - PARSIMONY * best.graph.complexity

        return max(self.reported, key=worth)

    @property
    def _going_on(self) -> str:
        return going_on(self.folder, next(iter(self.settings.values())))

    @property
    def best(self) -> Proxy:
        """The one proxy that is picked by `RULE`.

        Raises:
            RunError: no run is finished.
            LanguageError: its words are not known here.
        """
        return self.reported[self.pick].best

    @property
    def together(self) -> Ensemble:
        """The best proxies of all runs that are finished, by the mean of their ranks.

        `autoprox.rank` and `autoprox.score` take it. It has no score for one network alone.

        Raises:
            RunError: fewer than two runs are finished.
            LanguageError: a word is not known here.
        """
        parts = tuple(run.best for run in self.reported.values())
        if len(parts) < 2:
            has = f"expected two finished runs or more in {self.folder}; it has {len(parts)}"
            more = "begin several with --seeds" if self.finished else self._going_on
            raise RunError(f"{has}: {more}")
        number = f"{len(parts)}" if self.finished else f"{len(parts)} of {len(self.settings)}"
        text = f"The best proxies of {number} runs in {self.folder}, by the mean of their ranks."
        return Ensemble(f"{self.folder.name}, {number} together", parts, mean_of_ranks, text)

    @property
    def share_split(self) -> bool:
        """Whether all runs searched on the same architectures and held the same ones out."""
        return len({replace(run.seeing, targets=None) for run in self.settings.values()}) == 1

    def rows(self) -> list[dict[str, Any]]:
        """Return a row of figures for each finished run: what varies, and its best proxy."""
        return [self._row(name, run) for name, run in self.reported.items()]

    def _row(self, name: str, run: Run) -> dict[str, Any]:
        best, on_search = run.held_out[0], run.search[0]
        low, high = best.joint_interval or (None, None)
        gain_low, gain_high = best.difference_interval or (None, None)
        settings, by_bench = run.settings.to_json(), bool(run.benches)
        rival = max(
            (row for row in run.held_out if row.known and row.joint is not None),
            key=lambda row: row.joint or 0.0,
            default=None,
        )
        return {
            "run": name,
            **{setting: settings.get(setting) for setting in self.varied},
            "evaluations": run.evaluations,
            "search": on_search.joint,
            "corrected": None if run.luck is None else run.luck.corrected,
            "held_out": best.joint,
            "held_out_low": low,
            "held_out_high": high,
            "best_known": rival and rival.name,
            "over_best_known": best.difference,
            "over_best_known_low": gain_low,
            "over_best_known_high": gain_high,
            "transfer": run.transfer[0].joint if run.transfer else None,
            "top1_regret": best.mean("top1_regret", by_bench=by_bench),
            "top5_regret": best.mean("top5_regret", by_bench=by_bench),
            "top_share": best.mean("top_share", by_bench=by_bench),
            "nodes": best.complexity,
            "seconds": run.seconds,
            "failure": best.failure,
            "expression": best.expression,
        }

    @cached_property
    def medians(self) -> dict[str, Median]:
        """The medians of the figures of `rows` over the runs; of those that all of them have."""
        rows = self.rows()
        figures = [
            name
            for name in (rows[0] if rows else ())
            if name not in self.varied and all(isinstance(row[name], float | int) for row in rows)
        ]
        return {name: median([row[name] for row in rows]) for name in figures}

    @cached_property
    def rivals(self) -> list[Rival]:
        """The known proxies that have a score in every run, the best median first."""
        tables = [_joints(run.held_out) for run in self.reported.values()]
        names = [
            name for name in (tables[0][1] if tables else ()) if all(name in t[1] for t in tables)
        ]
        rivals = []
        for name in names:
            gains = [best - known[name] for best, known in tables]
            below, above = sum(gain > 0 for gain in gains), sum(gain < 0 for gain in gains)
            joints = median([known[name] for _, known in tables])
            rivals.append(Rival(name, joints, median(gains), below, above))
        return sorted(rivals, key=lambda rival: -rival.joint.middle)

    @cached_property
    def left_out(self) -> LeftOut | None:
        """What was found on the families left out; None if no finished run leaves just one out."""
        by_family: dict[str, list[Run]] = {}
        for run in self.reported.values():
            if len(run.settings.leave_out) == 1 and run.transfer:
                by_family.setdefault(run.settings.leave_out[0], []).append(run)
        if not by_family:
            return None
        joints = {
            family: median([run.transfer[0].joint or 0.0 for run in runs])
            for family, runs in by_family.items()
        }
        return LeftOut(
            joints, known_everywhere({k: runs[0].transfer for k, runs in by_family.items()})
        )

    @cached_property
    def recurring(self) -> dict[str, tuple[str, ...]]:
        """The formulas that are among the best of more than one run, with the runs' names.

        The best are those that a run reports and its front; formulas that are the same but for the
        sign, or for words that make no difference, are one. Those of most runs come first.
        """
        homes: dict[str, list[str]] = {}
        for name, run in self.reported.items():
            for form in forms(run):
                homes.setdefault(form, []).append(name)
        several = {form: tuple(names) for form, names in homes.items() if len(names) > 1}
        return dict(
            sorted(several.items(), key=lambda entry: (-len(entry[1]), len(entry[0]), entry[0]))
        )

    def to_frame(self) -> pandas.DataFrame:
        """Return `rows` as a data frame.

        Raises:
            AutoproxError: pandas is not installed.
        """
        return frame_of(self.rows())

    def to_json(self) -> dict[str, Any]:
        """Return everything that is said of the runs together, as JSON data."""
        return {
            "finished": self.finished,
            "varied": list(self.varied),
            "runs": self.rows(),
            "medians": {name: asdict(figure) for name, figure in self.medians.items()},
            "known": [asdict(rival) for rival in self.rivals],
            "left_out": None if self.left_out is None else self.left_out.to_json(),
            "recurring": {form: list(names) for form, names in self.recurring.items()},
            "pick": {"rule": RULE, "run": self.pick, "expression": self.best.graph.text},
        }

    def write(self) -> None:
        """Write ``best.json``, the picked proxy, and ``report.json`` into the folder.

        Raises:
            RunError: no run is finished, or the folder cannot be written.
        """
        write_text(self.folder / "best.json", dumps(self.best))
        SEVERAL_REPORT.write(self.folder / "report.json", self.to_json())

    @property
    def written(self) -> bool:
        """Whether the folder's report and picked proxy are those of the runs as they are now."""
        wanted = {"best.json": dumps(self.best), "report.json": SEVERAL_REPORT.text(self.to_json())}
        return all(
            (self.folder / name).is_file() and read_bytes(self.folder / name) == text.encode()
            for name, text in wanted.items()
        )

    def __repr__(self) -> str:
        """Show which runs they are, and how many are finished."""
        return f"Runs({self.title}; {len(self.reported)} finished, in {self.folder})"

    def _repr_html_(self) -> str:
        """Show the runs in a notebook."""
        from autoprox.runs.html import runs_html

        return runs_html(self)


def differing(settings: Iterable[Settings]) -> dict[str, tuple[Any, ...]]:
    """Return the settings that differ between runs, with the values of each."""
    records = [run_settings.to_json() for run_settings in settings]
    names = dict.fromkeys(name for record in records for name in record)
    values = {name: tuple(record.get(name) for record in records) for name in names}
    return {name: row for name, row in values.items() if any(value != row[0] for value in row)}


def _joints(rows: Sequence[Assessment]) -> tuple[float, dict[str, float]]:
    """Return the joint correlation of the best proxy found, and of the known ones by name."""
    known = {row.name: row.joint for row in rows if row.known and row.joint is not None}
    return rows[0].joint or 0.0, known


def asked_in(folder: Path) -> dict[str, RunConfig]:
    """Return what the runs in a folder are asked for, by their names.

    Raises:
        RunError: there are none, or the file is damaged or newer.
    """
    if not holds_several(folder):
        raise RunError(f"{folder} does not hold several runs: it has no runs.json")
    try:
        asked = SEVERAL.read(folder / "runs.json").runs
    except AutoproxError as error:
        raise RunError(str(error)) from None
    _check(asked, folder)
    return asked


def write_asked(folder: Path, asked: Mapping[str, RunConfig]) -> None:
    """Write what the runs in a folder are asked for.

    Raises:
        RunError: a name cannot be that of a folder, or the folder cannot be written.
    """
    _check(asked, folder)
    runs = {name: asdict(run) for name, run in asked.items()}
    SEVERAL.write(folder / "runs.json", {"runs": runs})


def _check(asked: Mapping[str, RunConfig], folder: Path) -> None:
    """Raise `RunError` if there are no runs, or a name is none of a run's folder."""
    check_names(asked, f" in {folder}")
    if not asked:
        raise RunError(f"expected runs in {folder}, got none")


def read_runs(folder: str | Path) -> Runs:
    """Return several runs in one folder, finished, stopped or still going; nothing is written.

    Raises:
        RunError: there are none, or their files are damaged or newer.
    """
    folder = Path(folder)
    settings = {
        name: Settings.from_json(config.settings) for name, config in asked_in(folder).items()
    }
    runs = {
        name: read_single(folder / name)
        for name in settings
        if (folder / name / "checkpoint.json").is_file()
    }
    return Runs(folder, settings, runs)


def read_run(folder: str | Path) -> Run | Runs:
    """Return the run in a folder, or the several runs; nothing is written.

    Raises:
        RunError: there is none, it has judged nothing yet, or its files are damaged or newer.
    """
    return read_runs(folder) if holds_several(folder) else read_single(folder)


def chosen(run: str | Path | Run | Runs) -> Run:
    """Return a run; of several in one folder the one whose proxy is picked.

    Raises:
        RunError: there is none, or none of several is finished.
    """
    loaded = run if isinstance(run, Run | Runs) else read_run(run)
    return loaded.reported[loaded.pick] if isinstance(loaded, Runs) else loaded


def names_of(folders: Sequence[Path]) -> list[str]:
    """Return short names of the folders of runs, which differ where the folders do.

    >>> names_of([Path("runs/a"), Path("runs/b/seed-0"), Path("runs/c/seed-0")])
    ['a', 'b/seed-0', 'c/seed-0']
    """
    names = [
        f"{folder.parent.name}/{folder.name}" if holds_several(folder.parent) else folder.name
        for folder in folders
    ]
    for parts in range(2, max(len(folder.parts) for folder in folders) + 1):
        names = [
            name if names.count(name) == 1 else str(Path(*folder.parts[-parts:]))
            for name, folder in zip(names, folders, strict=True)
        ]
    return names

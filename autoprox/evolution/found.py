"""What the files in a run's folder say, whether the run is finished, stopped or still going."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from autoprox.assessment.assess import Assessment
from autoprox.assessment.wording import summary
from autoprox.benches import several
from autoprox.errors import AutoproxError, RunError
from autoprox.evolution.folder import RunFolder
from autoprox.evolution.schemas import CHECKPOINT, REPORT, Line, Report, Step
from autoprox.evolution.settings import Settings
from autoprox.language.graph import Graph
from autoprox.language.text import parse
from autoprox.ranking.luck import NullLuck, SelectionLuck
from autoprox.runtime.schema import read_bytes, sealed_lines

PARTS = ("held_out", "search", "transfer")


@dataclass(frozen=True)
class Judged:
    """A candidate that has a fitness.

    Attributes:
        number: how many candidates had been judged with it, from 1.
        text: its formula.
        complexity: distinct nodes.
        fitness: the joint correlation on the search split.
        parents: the formulas of those that it was bred from; None if the run did not write them.
    """

    number: int
    text: str
    complexity: int
    fitness: float
    parents: tuple[str, ...] | None


HISTORY = {
    "best": "best so far, search",
    "held_out": "the same, held out",
    "median": "median of the population",
}
"""The figures of a `Step` that a history shows, and what they are called."""


@dataclass(frozen=True)
class Found:
    """What a run found.

    Attributes:
        folder: the run's.
        settings: what was asked for.
        generations: what they did, in order.
        evaluations: how many distinct candidates were judged.
        proposals: how many were proposed, with those that had been judged before.
        judged: the candidates that have a fitness, in order; without those whose words are not
            known here.
        failures: how often each reason for a failure occurred.
        reported: how many candidates the assessments stand on; None if there is no report.
        finished: whether the search came to its end.
        best_seed: the seed proxy that the best one is; None if it is none of them.
        luck: how much of the best one's correlation is luck of the selection, as far as known.
        null: what searches on shuffled accuracies reach, if there were any.
        elsewhere: the known proxies that the measured statistics cannot express.
        held_out: assessments of the best proxies, then of known ones; none without a report.
        search: the same on the search split.
        transfer: the same on the spaces that were not evolved on.
    """

    folder: Path
    settings: Settings
    generations: tuple[Step, ...]
    evaluations: int
    proposals: int
    judged: tuple[Judged, ...]
    failures: Counter[str]
    reported: int | None
    finished: bool
    best_seed: str | None
    luck: SelectionLuck | None = None
    null: NullLuck | None = None
    elsewhere: tuple[str, ...] = ()
    held_out: tuple[Assessment, ...] = ()
    search: tuple[Assessment, ...] = ()
    transfer: tuple[Assessment, ...] = ()

    @property
    def title(self) -> str:
        """What the run was: benches, algorithm, seed."""
        benches = " and ".join(Path(each).stem for each in several(self.settings.bench))
        return f"{benches}, {self.settings.algorithm}, seed {self.settings.seed}"

    @property
    def seconds(self) -> float:
        """How long the search took."""
        return self.generations[-1].seconds

    @property
    def benches(self) -> tuple[str, ...]:
        """The names of the benches if they are several; they begin the names of the columns."""
        if len(several(self.settings.bench)) == 1:
            return ()
        columns = [each.column for row in self.held_out for each in row.columns]
        return tuple(dict.fromkeys(column.partition("/")[0] for column in columns))

    @property
    def best(self) -> str:
        """The formula of the best proxy; there is one as soon as any candidate has a fitness."""
        return self.held_out[0].expression if self.held_out else self.generations[-1].expression

    @property
    def held_out_figures(self) -> dict[str, float]:
        """The joint correlation on the held-out architectures of those that have one, by formula.

        These are the best of every generation, and, if there is a report, the best at its end.
        """
        rows = [(row.expression, row.held_out) for row in self.generations]
        rows += [(row.expression, row.joint) for row in self.held_out if not row.known]
        return {text: figure for text, figure in rows if figure is not None}

    @property
    def front(self) -> list[Judged]:
        """The candidates that are better on the search split than all that are as simple."""
        best: dict[int, Judged] = {}
        for each in self.judged:
            held = best.get(each.complexity)
            if held is None or each.fitness > held.fitness:
                best[each.complexity] = each
        chosen: list[Judged] = []
        for _, each in sorted(best.items()):
            if not chosen or each.fitness > chosen[-1].fitness:
                chosen.append(each)
        return chosen


def read(folder: Path) -> Found:
    """Return what the files of a run say; nothing is written.

    Raises:
        RunError: there is no run, it has judged nothing yet, or its files are damaged or newer.
    """
    if not (folder / "config.json").is_file():
        there = "holds no run: it has no config.json" if folder.is_dir() else "is no folder"
        raise RunError(f"{folder} {there}; give the folder of a run, as autoprox evolve printed it")
    settings = RunFolder(folder).settings()
    if not (folder / "checkpoint.json").is_file():
        raise RunError(
            f"the run in {folder} has judged nothing yet: "
            f"go on with autoprox evolve --resume {folder}"
        )
    try:
        checkpoint = CHECKPOINT.read(folder / "checkpoint.json")
        if not checkpoint.rows:
            raise RunError(f"{folder / 'checkpoint.json'} is damaged: rows: there is none")
        sealed = checkpoint.saves > 0  # what an earlier autoprox wrote has no checksums
        judged, failures = _candidates(folder / "candidates.jsonl", checkpoint.bytes, sealed)
        report = _report(folder / "report.json")
    except AutoproxError as error:
        raise RunError(str(error)) from None
    found = Found(
        folder=folder,
        settings=settings,
        generations=checkpoint.rows,
        evaluations=checkpoint.evaluations,
        proposals=checkpoint.proposals,
        judged=judged,
        failures=failures,
        reported=None,
        finished=False,
        best_seed=None,
    )
    if report is None:
        return found
    told = ("finished", "best_seed", "luck", "null", "elsewhere", *PARTS)
    return replace(
        found, reported=report.evaluations, **{name: getattr(report, name) for name in told}
    )


def known_graph(text: str) -> Graph | AutoproxError:
    """Return the graph of a formula, or why there is none: its words may be another program's."""
    try:
        return parse(text)
    except AutoproxError as error:
        return error


def _candidates(path: Path, size: int, sealed: bool) -> tuple[tuple[Judged, ...], Counter[str]]:
    """Return the candidates that the checkpoint stands on, and why others failed.

    Raises:
        RunError: the file is shorter than the checkpoint says.
        AutoproxError: a line is damaged.
    """
    content = read_bytes(path)
    if len(content) < size:
        raise RunError(
            f"{path} was truncated: {len(content)} of {size} bytes are there; --resume does again "
            "what is missing"
        )
    judged: list[Judged] = []
    failures: Counter[str] = Counter()
    for number, line in enumerate(sealed_lines(content[:size], Line, path, sealed), start=1):
        if line.failure is not None:
            failures[summary(line.failure)] += 1
            continue
        assert line.expression is not None
        assert line.fitness is not None
        graph = known_graph(line.expression)
        if isinstance(graph, Graph):
            parents = None if line.parents is None else tuple(dict.fromkeys(line.parents))
            judged.append(Judged(number, graph.text, graph.complexity, line.fitness, parents))
    return tuple(judged), failures


def _report(path: Path) -> Report | None:
    """Return the report of a run; None if it was killed before there was one.

    Raises:
        AutoproxError: it is damaged, or an earlier autoprox wrote it, which took Kendall's τ-b.
    """
    return REPORT.read(path, oldest=2) if path.is_file() else None

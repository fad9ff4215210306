"""A run as its files tell it, whether it is finished, stopped or still going."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from autoprox.assessment.assess import Assessment
from autoprox.assessment.wording import summary
from autoprox.benches import several
from autoprox.errors import AutoproxError, LanguageError, RunError
from autoprox.evolution.base import ranked, worth
from autoprox.evolution.judge import Candidate
from autoprox.evolution.settings import Settings
from autoprox.language.graph import Graph
from autoprox.language.text import parse
from autoprox.proxies.proxy import Proxy, hinted
from autoprox.ranking.luck import LARGEST, NullLuck, SelectionLuck
from autoprox.runs.contents import holds_several
from autoprox.runs.fitness import is_joint
from autoprox.runs.folder import RunFolder, candidate_of
from autoprox.runs.schemas import GenerationRow, Line, Placed
from autoprox.runtime.frames import frame_of

if TYPE_CHECKING:
    import pandas

PARTS = ("held_out", "search", "transfer")

SHOWN = 10
"""How many proxies a run names as its best."""


@dataclass(frozen=True)
class Judged:
    """A candidate that has a fitness.

    Attributes:
        number: how many candidates had been judged with it, from 1.
        candidate: its graph, its fitness on the search split, and how it ranks.
        parents: the formulas of those that it was bred from; None if the run did not write them.
    """

    number: int
    candidate: Candidate
    parents: tuple[str, ...] | None

    @property
    def text(self) -> str:
        """Its formula."""
        return self.candidate.graph.text

    @property
    def complexity(self) -> int:
        """Distinct nodes."""
        return self.candidate.graph.complexity

    @property
    def fitness(self) -> float:
        """The joint correlation on the search split."""
        assert self.candidate.fitness is not None
        return self.candidate.fitness


HISTORY = {
    "best": "best so far, search",
    "held_out": "the same, held out",
    "median": "median of the population",
}
"""The figures of a `GenerationRow` that a history shows, and what they are called."""


@dataclass(frozen=True)
class Run:
    """A run: finished, stopped, or as far as it is. Read one with `read_run`.

    Attributes:
        folder: where its files are.
        settings: what was asked for.
        generations: what they did, in order.
        evaluations: how many distinct candidates were judged.
        proposals: how many were proposed, with those that had been judged before.
        judged: the candidates that have a fitness, in order; without those whose words are not
            known here.
        failures: how often each reason for a failure occurred.
        reported: how many candidates the assessments stand on; None if there is no report.
        finished: whether the search came to its end: the budget spent, or nothing new to be found;
            and the searches on shuffled accuracies that were asked for.
        best_seed: the seed proxy that the best one is, as it is or turned; None if it is none of
            them, or there is no report.
        luck: how much of the best one's correlation is luck of the selection, as far as known.
        null: what searches on shuffled accuracies reach, if there were any.
        elsewhere: the known proxies that the measured statistics cannot express.
        held_out: assessments on the held-out architectures of the proxies found, best on the search
            split first (by fitness less 0.001 a node), then of the known proxies; none without a
            report.
        search: the same on the search split.
        transfer: the same on the spaces that were not evolved on; empty if there are none.
        placed: the held-out architectures with the scores of the best proxy.
        lower_is_better: the bench's targets that are losses, as far as the report says.
    """

    folder: Path
    settings: Settings
    generations: tuple[GenerationRow, ...]
    evaluations: int
    proposals: int
    judged: tuple[Judged, ...]
    failures: Counter[str]
    reported: int | None = None
    finished: bool = False
    best_seed: str | None = None
    luck: SelectionLuck | None = None
    null: NullLuck | None = None
    elsewhere: tuple[str, ...] = ()
    held_out: tuple[Assessment, ...] = ()
    search: tuple[Assessment, ...] = ()
    transfer: tuple[Assessment, ...] = ()
    placed: tuple[Placed, ...] = ()
    lower_is_better: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """What the run was: benches, algorithm, seed."""
        benches = " and ".join(Path(source).stem for source in several(self.settings.bench))
        return f"{benches}, {self.settings.algorithm}, seed {self.settings.seed}"

    @property
    def seconds(self) -> float:
        """How long the search took."""
        return self.generations[-1].seconds

    @property
    def no_luck(self) -> str:
        """Why `luck` is not known, in words."""
        if not is_joint(self.settings):
            return f"the fitness is no mean over the benches, but {self.settings.over}"
        if not self.search:
            return "no proxy is assessed yet"
        sizes = [column.architectures for row in self.search for column in row.columns]
        if max(sizes, default=0) > LARGEST:
            return (
                f"the search split has {max(sizes)} architectures of one target, and with more "
                f"than {LARGEST} it takes long, and there is little of it"
            )
        return (
            f"the search split has {min(sizes, default=0)} architectures of one target, too few to "
            "rank by what resamples of them leave out"
        )

    @property
    def benches(self) -> tuple[str, ...]:
        """The names of the benches if they are several; they begin the names of the columns."""
        if len(several(self.settings.bench)) == 1:
            return ()
        columns = [column.column for row in self.held_out for column in row.columns]
        return tuple(dict.fromkeys(column.partition("/")[0] for column in columns))

    @property
    def best_text(self) -> str:
        """The formula of the best proxy; there is one as soon as any candidate has a fitness."""
        return self.held_out[0].expression if self.held_out else self.generations[-1].expression

    @property
    def best(self) -> Proxy:
        """The best proxy on the search split.

        Raises:
            RunError: no candidate has a fitness yet.
            LanguageError: its words are not known here.
        """
        if not self.proxies:
            raise RunError(f"no candidate of the run in {self.folder} has a fitness yet")
        return self.proxies[0]

    @property
    def proxies(self) -> tuple[Proxy, ...]:
        """The best proxies that rank the search split differently, best first: those of the report.

        Raises:
            LanguageError: the words of one are not known here.
        """
        fitness = {candidate.text: candidate.fitness for candidate in self.judged}
        if self.held_out:
            return tuple(
                discovered(
                    self.settings, self.graph_of(row.expression), fitness.get(row.expression), row
                )
                for row in self.held_out
                if not row.known
            )
        best = top([judged.candidate for judged in self.judged])
        return tuple(discovered(self.settings, c.graph, c.fitness) for c in best)

    def graph_of(self, text: str) -> Graph:
        """Return the graph of a formula.

        Raises:
            LanguageError: its words are not known here.
        """
        graph = known_graph(text)
        if isinstance(graph, AutoproxError):
            raise LanguageError(f"{self.folder}: {graph}")
        return graph

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
        chosen: list[Judged] = []
        for candidate in sorted(self.judged, key=lambda c: (c.complexity, -c.fitness)):
            if not chosen or candidate.fitness > chosen[-1].fitness:
                chosen.append(candidate)
        return chosen

    def to_frame(self) -> pandas.DataFrame:
        """Return the candidates that have a fitness as a data frame, in the order of their judging.

        Its columns are ``number``, ``expression``, ``nodes``, ``fitness``, the correlation with
        each column of the search split if there is a report, ``held_out`` where that is known, and
        ``parents``.

        Raises:
            AutoproxError: pandas is not installed.
        """
        columns = [column.column for column in self.search[0].columns] if self.search else []
        held_out = self.held_out_figures
        return frame_of(
            {
                "number": judged.number,
                "expression": judged.text,
                "nodes": judged.complexity,
                "fitness": judged.fitness,
                **dict(zip(columns, judged.candidate.correlations, strict=False)),
                "held_out": held_out.get(judged.text),
                "parents": judged.parents,
            }
            for judged in self.judged
        )

    def __repr__(self) -> str:
        """Show which run it is, and how far it came."""
        return f"Run({self.title}: {self.evaluations} candidates, in {self.folder})"

    def _repr_html_(self) -> str:
        """Show what was found in a notebook."""
        from autoprox.runs.html import run_html

        return run_html(self)


def top(candidates: Sequence[Candidate], count: int = SHOWN) -> list[Candidate]:
    """Return the best candidates that rank the search split differently, best first."""
    chosen: dict[str, Candidate] = {}
    for candidate in ranked(candidates, worth):
        chosen.setdefault(candidate.behaviour, candidate)
        if len(chosen) == count:
            break
    return list(chosen.values())


def discovered(
    settings: Settings, graph: Graph, fitness: float | None, held_out: Assessment | None = None
) -> Proxy:
    """Return a proxy that a run found, with where it comes from."""
    provenance = {
        "found_by": "autoprox evolve",
        "settings": settings.to_json(),
        "search_fitness": fitness,
        "held_out_fitness": held_out and held_out.joint,
        "held_out_interval": held_out and held_out.joint_interval,
    }
    return Proxy(graph, description=f"Discovered on {settings.bench}.", provenance=provenance)


def read_run(folder: str | Path, graphs: Mapping[str, Graph] | None = None) -> Run:
    """Return a run, whether it is finished, stopped or still going; nothing is written.

    Args:
        folder: the run's.
        graphs: graphs by their formulas, which then need not be parsed.

    Raises:
        RunError: there is no run, it has judged nothing yet, or its files are damaged or newer.
    """
    folder = Path(folder)
    if holds_several(folder):
        raise RunError(
            f"{folder} holds several runs, which autoprox.read_run reads together; give the folder "
            "of one of them here"
        )
    if not os.path.isfile(folder / "config.json"):
        there = "holds no run: it has no config.json" if os.path.isdir(folder) else "is no folder"
        raise RunError(f"{folder} {there}; give the folder of a run, as autoprox evolve printed it")
    files = RunFolder(folder)
    settings = files.settings()
    if not os.path.isfile(folder / "checkpoint.json"):
        raise RunError(
            f"the run in {folder} has judged nothing yet: "
            f"go on with autoprox evolve --resume {folder}"
        )
    try:
        checkpoint, report = files.last_checkpoint(), files.report()
        judged, failures = _judged(files.lines(checkpoint), graphs or {})
    except AutoproxError as error:
        raise RunError(str(error)) from None
    attributes = ("best_seed", "luck", "null", "elsewhere", "placed", "lower_is_better", *PARTS)
    return Run(
        folder=folder,
        settings=settings,
        generations=checkpoint.rows,
        evaluations=checkpoint.evaluations,
        proposals=checkpoint.proposals,
        judged=judged,
        failures=failures,
        reported=report.evaluations if report else None,
        finished=files.finished(settings),
        **({name: getattr(report, name) for name in attributes} if report else {}),
    )


def known_graph(text: str) -> Graph | AutoproxError:
    """Return the graph of a formula, or why there is none: its words may be another program's."""
    try:
        return parse(text)
    except AutoproxError as error:
        return hinted(error)


def _judged(
    lines: Iterable[Line], graphs: Mapping[str, Graph]
) -> tuple[tuple[Judged, ...], Counter[str]]:
    """Return the candidates of a file that have a fitness, and why others failed."""
    judged: list[Judged] = []
    failures: Counter[str] = Counter()
    for number, line in enumerate(lines, start=1):
        if line.failure is not None:
            failures[summary(line.failure)] += 1
            continue
        assert line.expression is not None
        graph = graphs.get(line.expression) or known_graph(line.expression)
        if isinstance(graph, Graph):
            parents = None if line.parents is None else tuple(dict.fromkeys(line.parents))
            judged.append(Judged(number, candidate_of(line, graph), parents))
    return tuple(judged), failures

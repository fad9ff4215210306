"""The files of a run: of each kind its format, its version, and what is in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from autoprox.assessment.assess import Assessment
from autoprox.ranking.luck import NullLuck, SelectionLuck
from autoprox.runtime.schema import Count, FileKind


@dataclass(frozen=True)
class RunConfig:
    """``config.json``: what was asked for.

    Attributes:
        bench: the digest of the bench that the run began on.
        settings: as `Settings.from_json` takes them.
        words: the statistics that it writes with; empty in runs of before they were kept.
        primitives: the primitives, likewise.
    """

    bench: str
    settings: dict[str, Any]
    words: tuple[str, ...] = ()
    primitives: tuple[str, ...] = ()


@dataclass(frozen=True)
class Several:
    """``runs.json``: what each of several runs in one folder is asked for, by its name."""

    runs: dict[str, RunConfig]


@dataclass(frozen=True)
class Line:
    """A line of ``candidates.jsonl``: a candidate with a fitness, or why it has none.

    Attributes:
        proposed: its formula as it was proposed.
        parents: the formulas that it was bred from; None in runs of before they were kept.
        failure: why it has no fitness; None if it has one.
        expression: its formula, turned so that higher is better.
        fitness: its joint correlation on the search split.
        correlations: with each column of the search split.
        behaviour: equal for candidates that rank the search split alike.
        tells_few_apart: whether the first few architectures have scores that differ.
    """

    proposed: str
    parents: tuple[str, ...] | None = None
    failure: str | None = None
    expression: str | None = None
    fitness: float | None = None
    correlations: tuple[float, ...] | None = None
    behaviour: str = ""
    tells_few_apart: bool = True

    def __post_init__(self) -> None:
        """Check that it is one of the two.

        Raises:
            ValueError: it is neither; the file's reader says where.
        """
        if self.failure is None and (self.expression is None or self.fitness is None):
            raise ValueError("expected 'failure', or 'expression' and 'fitness'")
        if self.fitness is not None and not abs(self.fitness) <= 1.001:
            raise ValueError(f"fitness: expected a correlation from -1 to 1, got {self.fitness}")


@dataclass(frozen=True)
class GenerationRow:
    """What a generation did: a row of ``generations.csv``.

    Attributes:
        generation: its number.
        evaluations: how many distinct candidates were judged by its end.
        proposals: how many were proposed.
        best: the joint correlation of the best so far on the search split.
        median: that of the middle of the population; None if it was empty, where runs of before
            have 0.
        held_out: that of the best so far on the held-out architectures.
        complexity: distinct nodes of the best so far.
        failures: how many candidates of the generation failed.
        seconds: since the search began.
        expression: the formula of the best so far.
    """

    generation: Count
    evaluations: Count
    proposals: Count
    best: float | None
    median: float | None
    held_out: float | None
    complexity: Count
    failures: Count
    seconds: float
    expression: str


@dataclass(frozen=True)
class Checkpoint:
    """``checkpoint.json``, and without its rows a line of ``checkpoints.jsonl``.

    Attributes:
        bytes: how many bytes of ``candidates.jsonl`` it stands on.
        evaluations: how many candidates these are.
        proposals: how many were proposed.
        saves: how many generations were saved.
        rows: what each of them did.
        generation, barren, population, algorithm, random: see `Search.checkpoint`.
    """

    bytes: Count
    evaluations: Count
    proposals: Count
    saves: Count = 0
    rows: tuple[GenerationRow, ...] = ()
    generation: Count = 0
    barren: Count = 0
    population: tuple[str, ...] = ()
    algorithm: dict[str, Any] | None = None
    random: tuple[Count, tuple[Count, ...], float | None] | None = None


@dataclass(frozen=True)
class Shuffled:
    """What a search on shuffled accuracies found.

    Attributes:
        number: which one, from 1.
        fitness: the best fitness; None if nothing had one.
        expression: the formula.
    """

    number: Count
    fitness: float | None
    expression: str


@dataclass(frozen=True)
class Permutations:
    """``permutations.json``: the searches on shuffled accuracies."""

    found: tuple[Shuffled, ...]


@dataclass(frozen=True)
class Placed:
    """A held-out architecture, and what the best proxy makes of it.

    Attributes:
        name, space: the architecture's.
        config: its description, as text.
        score: of the best proxy; None if it has none.
        accuracies: target to figure in its own unit, of the targets of the fitness that it has.
    """

    name: str
    space: str
    config: str
    score: float | None
    accuracies: dict[str, float]


@dataclass(frozen=True)
class Report:
    """``report.json``: the numbers of the end.

    Attributes:
        finished, luck, null, elsewhere, held_out, search, transfer: as in `runs.record.Run`.
        evaluations, proposals: how many candidates were judged and proposed.
        settings: what was asked for.
        best_seed: the seed proxy that the best one is; None if it is none of them.
        placed: the held-out architectures; none in reports of earlier versions.
        lower_is_better: the bench's targets that are losses; none in reports of earlier versions.
    """

    finished: bool
    evaluations: Count
    proposals: Count
    settings: dict[str, Any]
    held_out: tuple[Assessment, ...]
    search: tuple[Assessment, ...]
    transfer: tuple[Assessment, ...]
    luck: SelectionLuck | None = None
    null: NullLuck | None = None
    elsewhere: tuple[str, ...] = ()
    best_seed: str | None = None
    placed: tuple[Placed, ...] = ()
    lower_is_better: tuple[str, ...] = ()


CONFIG = FileKind("autoprox run", 2, RunConfig, sealed=2)
SEVERAL = FileKind("autoprox runs", 1, Several, sealed=1)
CHECKPOINT = FileKind("autoprox checkpoint", 2, Checkpoint, sealed=2)
PERMUTATIONS = FileKind("autoprox permutations", 2, Permutations, sealed=2)
REPORT = FileKind("autoprox report", 3, Report, sealed=3)
SEVERAL_REPORT = FileKind("autoprox runs report", 1, dict[str, Any], sealed=1)

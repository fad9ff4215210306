"""The folder of a run: text files that are whole at any moment.

config.json       the settings
candidates.jsonl  every distinct candidate: proposed text, its parents' expressions, its rank
                  correlation with each column or the reason of its failure
generations.csv   what each generation did
checkpoint.json   what a resumed run goes on from; says how many candidates it stands on
checkpoints.jsonl what it said after each generation, for a run whose last candidates are lost
permutations.json the best of each search on shuffled accuracies, if any were asked for
best.json         the best proxy, as `autoprox.load` reads it
report.json       the numbers of the end, held-out ones first; written last: it says "finished"
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from autoprox.benches import several
from autoprox.benches.registry import unnamed_files
from autoprox.benches.teachers import teacher_file
from autoprox.errors import AutoproxError, RunError
from autoprox.evolution.judge import Candidate
from autoprox.evolution.search import Generation
from autoprox.evolution.settings import Settings
from autoprox.language.graph import Graph
from autoprox.language.text import parse
from autoprox.proxies.proxy import Proxy, dumps
from autoprox.runs.contents import check_free, holds_several
from autoprox.runs.schemas import (
    CHECKPOINT,
    CONFIG,
    PERMUTATIONS,
    REPORT,
    Checkpoint,
    Line,
    Report,
    RunConfig,
)
from autoprox.runtime.files import write_text
from autoprox.runtime.frames import csv_of
from autoprox.runtime.journal import Journal
from autoprox.runtime.schema import read_bytes, sealed_lines


class RunFolder:
    """The files of one run. Use it as a context: it keeps other processes out of the folder.

    Args:
        path: the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._config = path / "config.json"
        self._journal = Journal(
            path / "candidates.jsonl", path / "checkpoint.json", CHECKPOINT, Line
        )
        self._lock = FileLock(path / ".lock", timeout=0)
        self._rows: list[dict[str, Any]] = []

    def __enter__(self) -> RunFolder:
        """Make the folder if need be, and lock it.

        Raises:
            RunError: the folder cannot be written, or another process runs in it.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock.acquire()
        except Timeout:
            raise RunError(
                f"another process runs in {self.path}; wait for it, or choose another --out"
            ) from None
        except (OSError, ValueError) as error:
            raise RunError(
                f"cannot write the run folder {self.path}: "
                f"{getattr(error, 'strerror', None) or error}; choose another --out"
            ) from None
        return self

    def __exit__(self, *_: object) -> None:
        """Let other processes in."""
        self._lock.release()

    def create(self, config: RunConfig) -> None:
        """Begin a new run.

        Raises:
            RunError: the folder already holds one.
        """
        check_free(self.path)
        self._journal.begin()
        CONFIG.write(self._config, asdict(config))

    def check_bench(self, bench: str) -> None:
        """Raise `RunError` if the run in this folder began on a bench with another digest."""
        if self.config().bench != bench:
            raise RunError(
                f"the bench of the run in {self.path} has changed since it began (figures, "
                "architectures or file); start a new run"
            )

    def config(self) -> RunConfig:
        """Return what the run in this folder was asked for.

        Raises:
            RunError: there is none, or its files are damaged or of a newer autoprox.
        """
        if holds_several(self.path):
            raise RunError(
                f"{self.path} holds several runs: give the folder of one, or go on with all "
                "by autoprox.evolve_several(resume=…)"
            )
        if not self._config.is_file():
            raise RunError(f"{self.path} holds no run to resume: it has no config.json")
        try:
            return CONFIG.read(self._config)
        except AutoproxError as error:
            raise RunError(str(error)) from None

    def settings(self) -> Settings:
        """Return the settings of the run in this folder; errors as `config` has them."""
        try:
            return Settings.from_json(self.config().settings)
        except AutoproxError as error:
            raise RunError(str(error)) from None

    def bench(self, settings: Settings) -> str:
        """Return what the bench of the run in this folder is loaded by.

        Raises:
            RunError: that would execute a file which nobody named but this folder.
        """
        if files := unnamed_files(several(settings.bench)):
            raise RunError(
                f"the run in {self.path} says that {', '.join(files)} defines its bench; no file "
                "is executed because a folder says so: if you trust it, add "
                f"--bench {settings.bench}"
            )
        return settings.bench

    @property
    def seconds(self) -> float:
        """How long the search in this folder has taken so far."""
        return float(self._rows[-1]["seconds"]) if self._rows else 0.0

    def report(self) -> Report | None:
        """Return the report of the run; None if it was killed before there was one.

        Raises:
            AutoproxError: the file is damaged, newer, or of an earlier autoprox.
        """
        path = self.path / "report.json"
        return REPORT.read(path, oldest=REPORT.version) if path.is_file() else None

    def save_report(self, report: Mapping[str, Any], best: Proxy) -> None:
        """Write the best proxy, then the report, as JSON data, which says that it is finished.

        Raises:
            RunError: the folder cannot be written.
        """
        write_text(self.path / "best.json", dumps(best))
        REPORT.write(self.path / "report.json", report)

    def finished(self, settings: Settings | None = None) -> bool:
        """Say whether all that is asked of the run in this folder is done and reported.

        Args:
            settings: what is asked; None for what it was begun with.

        Raises:
            AutoproxError: a file is damaged.
        """
        report = self.report()
        if report is None or not report.finished:
            return False
        return Settings.from_json(report.settings) == (settings or self.settings())

    @property
    def begun(self) -> bool:
        """Whether there is a run in this folder."""
        return self._config.is_file()

    def extend(self, asked: RunConfig) -> None:
        """Let the run go on, on the same bench, with more evaluations or permutations.

        The words that it writes with are kept, if they were not yet.

        A search that spent its budget cut its last generation short, so it goes back to the one
        before, and does the last one again as a whole: then it is what it would be if it had been
        asked for as many from the start. Its searches on shuffled accuracies had the budget of
        before: they are done again.

        Raises:
            RunError: the folder cannot be written.
            AutoproxError: a file is damaged.
        """
        config = self.config()
        before, settings = (Settings.from_json(record.settings) for record in (config, asked))
        if replace(asked, settings=config.settings) == config and settings == before:
            return
        if settings.evaluations > before.evaluations:
            if self._journal.state.is_file():
                last = self.last_checkpoint()
                if last.evaluations >= before.evaluations:
                    self._journal.rewind({"rows": [asdict(row) for row in last.rows[:-1]]})
            (self.path / "permutations.json").unlink(missing_ok=True)
        CONFIG.write(self._config, asdict(asked))

    def permutations(self) -> dict[int, dict[str, Any]]:
        """Return what each search on shuffled accuracies found, by its number.

        Raises:
            RunError: the file is damaged.
        """
        path = self.path / "permutations.json"
        if not path.is_file():
            return {}
        try:
            rows = PERMUTATIONS.read(path).found
        except AutoproxError as error:
            raise RunError(f"{error}; remove it to do them again") from None
        return {row.number: {"fitness": row.fitness, "expression": row.expression} for row in rows}

    def save_permutations(self, searches: Mapping[int, Mapping[str, Any]]) -> None:
        """Write what the searches on shuffled accuracies found.

        Raises:
            RunError: the folder cannot be written.
        """
        rows = [{"number": number, **row} for number, row in sorted(searches.items())]
        PERMUTATIONS.write(self.path / "permutations.json", {"found": rows})

    def save(
        self,
        generation: Generation,
        held_out: float | None,
        seconds: float,
        checkpoint: Mapping[str, Any],
    ) -> None:
        """Write what a generation did, then the checkpoint that counts it.

        Raises:
            RunError: the folder cannot be written.
        """
        lines = [_line(text, generation.parents[text], new) for text, new in generation.new.items()]
        extra = {"seconds": round(seconds, 3), "expression": generation.best.graph.text}
        self._rows.append({**figures(generation, held_out), **extra})
        write_text(self.path / "generations.csv", csv_of(self._rows))
        self._journal.save(lines, checkpoint, {"rows": self._rows})

    def checkpoint(self) -> tuple[Checkpoint, dict[str, Candidate]] | None:
        """Return the checkpoint to go on from and the candidates it stands on; None if none is.

        It is the last one, or an earlier one if candidates are missing that the last one counts.

        Raises:
            RunError: a file is damaged, of an earlier autoprox, or newer.
        """
        try:
            saved = self._journal.load(_rows_until)
            if saved is None:
                return None
            checkpoint, lines = saved
            known = {
                line.proposed: candidate_of(line, parse(line.expression or line.proposed))
                for line in lines
            }
        except AutoproxError as error:
            raise RunError(f"the run in {self.path} cannot be resumed: {error}") from None
        if len(known) != checkpoint.evaluations:
            raise RunError(
                f"{self._journal.lines} has {len(known)} candidates, but the checkpoint stands on "
                f"{checkpoint.evaluations}: one of the files is of another run"
            )
        self._rows = [asdict(row) for row in checkpoint.rows]
        return checkpoint, known

    def last_checkpoint(self) -> Checkpoint:
        """Return the last checkpoint.

        Raises:
            AutoproxError: there is none, or it is damaged or newer.
        """
        checkpoint = CHECKPOINT.read(self._journal.state)
        if not checkpoint.rows:
            raise RunError(f"{self._journal.state} is damaged: rows: there is none")
        return checkpoint

    def lines(self, checkpoint: Checkpoint) -> Iterator[Line]:
        """Return the candidates that a checkpoint stands on.

        Raises:
            AutoproxError: their file is shorter, or a line is damaged.
        """
        path, size = self._journal.lines, checkpoint.bytes
        content = read_bytes(path)
        if len(content) < size:
            raise RunError(
                f"{path} was truncated: {len(content)} of {size} bytes are there; --resume does "
                "again what is missing"
            )
        # What an earlier autoprox wrote has no checksums.
        return sealed_lines(content[:size], Line, path, must=checkpoint.saves > 0)


def _rows_until(checkpoint: Checkpoint, last: Checkpoint) -> dict[str, Any]:
    """What a checkpoint says besides that takes the place of the last one."""
    return {"rows": [asdict(row) for row in last.rows[: checkpoint.generation]]}


def resume_words(folder: Path, bench: str, teacher: str | None = None) -> list[str]:
    """Return the words, after autoprox, of the command that goes on with the run in a folder.

    `bench` is what its bench was loaded by, and `teacher` is its settings'; files have to be named
    again.
    """
    words = ["evolve", "--resume", str(folder), *bench_words(bench)]
    return [*words, "--teacher", teacher] if teacher and teacher_file(teacher) else words


def bench_words(bench: str) -> list[str]:
    """Return the option of a command that names a bench again; none for one that ships."""
    return ["--bench", bench] if ".py" in bench else []


def going_on(folder: Path, settings: Settings) -> str:
    """Say how to go on with the run in a folder, or with several, of one of which settings are."""
    words = resume_words(folder, settings.bench, settings.teacher)
    return f"go on with {shlex.join(['autoprox', *words])}"


def _line(text: str, parents: Sequence[str], candidate: Candidate) -> dict[str, Any]:
    """Return a candidate as a line of JSON has it."""
    data: dict[str, Any] = {"proposed": text, "parents": parents}
    if candidate.failure is not None:
        return {**data, "failure": candidate.failure}
    return {
        **data,
        "expression": candidate.graph.text,
        "fitness": candidate.fitness,
        "correlations": candidate.correlations,
        "behaviour": candidate.behaviour,
        **({} if candidate.tells_few_apart else {"tells_few_apart": False}),
    }


def candidate_of(line: Line, graph: Graph) -> Candidate:
    """Return the candidate of a line, given the graph of its formula."""
    if line.failure is not None:
        return Candidate(graph, (), None, line.failure, "")
    return Candidate(
        graph, line.correlations or (), line.fitness, None, line.behaviour, line.tells_few_apart
    )


def figures(generation: Generation, held_out: float | None) -> dict[str, Any]:
    """Return the figures of a generation, by the names of their columns in ``generations.csv``."""
    return {
        "generation": generation.number,
        "evaluations": generation.evaluations,
        "proposals": generation.proposals,
        "best": generation.best.fitness,
        "median": generation.median,
        "held_out": held_out,
        "complexity": generation.best.graph.complexity,
        "failures": sum(generation.failures.values()),
    }

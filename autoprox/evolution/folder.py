"""The folder of a run: text files that are whole at any moment.

config.json       the settings
candidates.jsonl  every distinct candidate: proposed text, its parents' expressions, its rank
                  correlation with each column or the reason of its failure
generations.csv   what each generation did
checkpoint.json   what a resumed run goes on from; says how many candidates it stands on
permutations.json the best of each search on shuffled accuracies, if any were asked for
report.json       the numbers of the end, held-out ones first
best.json         the best proxy, as `autoprox.load` reads it
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from autoprox.errors import AutoproxError, RunError
from autoprox.evolution.judge import Candidate
from autoprox.evolution.search import Generation
from autoprox.evolution.settings import Settings
from autoprox.language.graph import Graph
from autoprox.language.text import parse
from autoprox.proxies.proxy import Proxy, dumps
from autoprox.runtime.files import append_text, read_json, write_json, write_text

VERSION = 1
REPORT_VERSION = 2
RUN, CHECKPOINT, REPORT = "autoprox run", "autoprox checkpoint", "autoprox report"
PERMUTATIONS = "autoprox permutations"


class RunFolder:
    """The files of one run. Use it as a context: it keeps other processes out of the folder.

    Args:
        path: the folder.
    """

    def __init__(self, path: Path) -> None:
        """Touch nothing yet."""
        self.path = path
        self._lock: IO[str] | None = None
        self._rows: list[dict[str, Any]] = []

    def __enter__(self) -> RunFolder:
        """Make the folder if need be, and lock it.

        Raises:
            RunError: the folder cannot be written, or another process runs in it.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = (self.path / ".lock").open("a")
        except OSError as error:
            raise RunError(
                f"cannot write the run folder {self.path}: {error.strerror}; choose another --out"
            ) from None
        try:
            import fcntl

            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except ImportError:  # no such locks on this platform
            pass
        except OSError:
            self._lock.close()
            raise RunError(
                f"another process runs in {self.path}; wait for it, or choose another --out"
            ) from None
        return self

    def __exit__(self, *_: object) -> None:
        """Let other processes in."""
        if self._lock is not None:
            self._lock.close()

    def create(self, settings: Settings, bench: str) -> None:
        """Begin a new run on the bench with that digest.

        Raises:
            RunError: the folder already holds one.
        """
        if (self.path / "config.json").exists():
            raise RunError(
                f"{self.path} already holds a run; go on with --resume {self.path}, "
                "or choose another --out"
            )
        data = {"format": RUN, "version": VERSION, "bench": bench, "settings": settings.to_json()}
        write_json(self.path / "config.json", data)
        write_text(self.path / "candidates.jsonl", "")

    def check_bench(self, bench: str) -> None:
        """Raise `RunError` if the run in this folder began on a bench with another digest."""
        if read_json(self.path / "config.json", RUN, VERSION).get("bench") != bench:
            raise RunError(
                f"the bench of the run in {self.path} has changed since it began (figures, "
                "architectures or file); start a new run"
            )

    def settings(self) -> Settings:
        """Return the settings of the run in this folder.

        Raises:
            RunError: there is none, or its files are damaged or of a newer autoprox.
        """
        if not (self.path / "config.json").is_file():
            raise RunError(f"{self.path} holds no run to resume: it has no config.json")
        try:
            return Settings.from_json(
                read_json(self.path / "config.json", RUN, VERSION)["settings"]
            )
        except (KeyError, TypeError) as error:
            raise RunError(f"{self.path / 'config.json'} is damaged: {error}") from None
        except AutoproxError as error:
            raise RunError(str(error)) from None

    @property
    def seconds(self) -> float:
        """How long the search in this folder has taken so far."""
        return float(self._rows[-1]["seconds"]) if self._rows else 0.0

    def report(self) -> dict[str, Any]:
        """Return the report as JSON data; nothing if the run was killed before there was one.

        Raises:
            AutoproxError: the file is damaged, newer, or of an earlier autoprox.
        """
        path = self.path / "report.json"
        if not path.is_file():
            return {}
        report = read_json(path, REPORT, REPORT_VERSION)
        if report["version"] < REPORT_VERSION:
            raise RunError(
                f"{path} is of an earlier autoprox, which took Kendall's τ-b for fitness; run it "
                "again"
            )
        return report

    def save_report(self, report: Mapping[str, Any], best: Proxy) -> None:
        """Write the report, as JSON data, and the best proxy.

        Raises:
            RunError: the folder cannot be written.
        """
        data = {"format": REPORT, "version": REPORT_VERSION, **report}
        write_json(self.path / "report.json", data)
        write_text(self.path / "best.json", dumps(best))

    def change(self, settings: Settings) -> None:
        """Let the run go on with other settings, of those that change nothing that it has done."""
        path = self.path / "config.json"
        write_json(path, {**read_json(path, RUN, VERSION), "settings": settings.to_json()})

    def permutations(self) -> dict[int, dict[str, Any]]:
        """Return what each search on shuffled accuracies found, by its number.

        Raises:
            RunError: the file is damaged.
        """
        path = self.path / "permutations.json"
        if not path.is_file():
            return {}
        try:
            rows = read_json(path, PERMUTATIONS, VERSION)["found"]
            return {row.pop("number"): {"fitness": row["fitness"], **row} for row in rows}
        except (AutoproxError, KeyError, TypeError, AttributeError) as error:
            raise RunError(f"cannot read {path}: {error}; remove it to do them again") from None

    def save_permutations(self, found: Mapping[int, Mapping[str, Any]]) -> None:
        """Write what the searches on shuffled accuracies found.

        Raises:
            RunError: the folder cannot be written.
        """
        rows = [{"number": number, **row} for number, row in sorted(found.items())]
        data = {"format": PERMUTATIONS, "version": VERSION, "found": rows}
        write_json(self.path / "permutations.json", data)

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
        lines = "".join(
            _line(text, generation.parents[text], each) + "\n"
            for text, each in generation.new.items()
        )
        try:
            size = append_text(self.path / "candidates.jsonl", lines)
        except OSError as error:
            raise RunError(
                f"cannot write {self.path}: {error.strerror}; the last checkpoint is whole"
            ) from None
        self._rows.append(_row(generation, held_out, seconds))
        write_text(self.path / "generations.csv", _csv(self._rows))
        data = {
            "format": CHECKPOINT,
            "version": VERSION,
            "bytes": size,
            "rows": self._rows,
            **checkpoint,
        }
        write_json(self.path / "checkpoint.json", data, indent=None)

    def checkpoint(self) -> tuple[dict[str, Any], dict[str, Candidate]] | None:
        """Return the last checkpoint and the candidates it stands on, or None before the first.

        What was written after the checkpoint is cut off, since the resumed run will write it again.

        Raises:
            RunError: a file is damaged, truncated, or newer.
        """
        path = self.path / "candidates.jsonl"
        if not (self.path / "checkpoint.json").is_file():
            write_text(path, "")
            return None
        try:
            data = self.last_checkpoint()
            known = {
                line["proposed"]: candidate_of(
                    line, parse(line.get("expression", line["proposed"]))
                )
                for line in self.lines(data["bytes"])
            }
        except (AutoproxError, OSError, ValueError, KeyError, TypeError) as error:
            raise RunError(f"the run in {self.path} cannot be resumed: {error}") from None
        if len(known) != data["evaluations"]:
            raise RunError(
                f"{self.path / 'candidates.jsonl'} has {len(known)} candidates, "
                f"but the checkpoint stands on {data['evaluations']}: "
                "the file was truncated or is of another run"
            )
        if path.stat().st_size > data["bytes"]:
            write_text(path, path.read_bytes()[: data["bytes"]].decode())
        self._rows = data["rows"]
        return data, known

    def last_checkpoint(self) -> dict[str, Any]:
        """Return the last checkpoint as JSON data.

        Raises:
            AutoproxError: there is none, or it is damaged or newer.
        """
        return read_json(self.path / "checkpoint.json", CHECKPOINT, VERSION)

    def lines(self, size: int) -> list[dict[str, Any]]:
        """Return the candidates in the first `size` bytes of their file, as JSON data.

        Raises:
            RunError: the file is shorter.
            OSError, ValueError: it cannot be read, or a line is no JSON.
        """
        path = self.path / "candidates.jsonl"
        content = path.read_bytes()
        if len(content) < size:
            raise RunError(f"{path} was truncated: {len(content)} of {size} bytes are there")
        return [json.loads(line) for line in content[:size].decode().splitlines()]


def _line(text: str, parents: Sequence[str], candidate: Candidate) -> str:
    """Return a candidate as a line of JSON."""
    data: dict[str, Any] = {"proposed": text, "parents": parents}
    if candidate.failure is not None:
        data["failure"] = candidate.failure
    else:
        data |= {
            "expression": candidate.graph.text,
            "fitness": candidate.fitness,
            "correlations": candidate.correlations,
            "behaviour": candidate.behaviour,
            **({} if candidate.tells_few_apart else {"tells_few_apart": False}),
        }
    return json.dumps(data)


def candidate_of(line: Mapping[str, Any], graph: Graph) -> Candidate:
    """Return the candidate of a line, given the graph of its formula."""
    if "failure" in line:
        return Candidate(graph, (), None, line["failure"], "")
    return Candidate(
        graph,
        tuple(line["correlations"] if "correlations" in line else line["taus"]),
        float(line["fitness"]),
        None,
        line["behaviour"],
        line.get("tells_few_apart", True),
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


def _row(generation: Generation, held_out: float | None, seconds: float) -> dict[str, Any]:
    own = {"seconds": round(seconds, 3), "expression": generation.best.graph.text}
    return {**figures(generation, held_out), **own}


def _csv(rows: Sequence[Mapping[str, Any]]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()

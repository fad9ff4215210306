"""Runs written by hand, as `autoprox.read_run` returns them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from autoprox.evolution.judge import Candidate
from autoprox.evolution.settings import Settings
from autoprox.language.text import parse
from autoprox.runs.record import GenerationRow, Judged, Run


def judged(*rows: tuple[str, float, Iterable[str] | None]) -> tuple[Judged, ...]:
    """Candidates: formula, fitness, parents."""
    return tuple(
        Judged(
            number,
            Candidate(parse(text), (), fitness, None, text),
            None if parents is None else tuple(parents),
        )
        for number, (text, fitness, parents) in enumerate(rows, start=1)
    )


def step(
    number: int, best: float, held_out: float | None, median: float, text: str
) -> GenerationRow:
    """A generation of ten candidates."""
    return GenerationRow(number, 10 * number, 12 * number, best, median, held_out, 3, 0, 1.0, text)


def found(candidates: tuple[Judged, ...], *steps: GenerationRow) -> Run:
    """A run that was stopped before it could assess anything."""
    return Run(
        folder=Path("runs/made"),
        settings=Settings("vit101"),
        generations=steps or (step(1, 0.5, 0.4, 0.3, candidates[-1].text),),
        evaluations=len(candidates),
        proposals=len(candidates),
        judged=candidates,
        failures=Counter(),
    )

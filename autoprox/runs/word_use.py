"""Which words the good proxies of a run use: statistics and primitives."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from autoprox.errors import RunError
from autoprox.language.text import parse
from autoprox.primitives import PRIMITIVES
from autoprox.runs.record import Judged, Run

BEST = 100
"""How many candidates are the good ones, if nobody says otherwise."""


@dataclass(frozen=True)
class WordUse:
    """How often a word is used.

    Attributes:
        word: the name of a statistic or a primitive.
        form: ``"statistic"``, or the primitive's form.
        best: the share of the best candidates that use it, from 0 to 1.
        all: the share of all candidates with a fitness that do.
    """

    word: str
    form: str
    best: float
    all: float


def word_use(run: Run, best: int = BEST) -> list[WordUse]:
    """Return how often words are used, those that the best candidates use most first.

    Each formula counts once, and a word that it uses twice counts once in it.

    Args:
        run: the run.
        best: how many candidates, by their fitness, are the best ones.

    Raises:
        RunError: no candidate of the run has a fitness, or `best` is not at least 1.
    """
    if best < 1:
        raise RunError(f"expected at least 1 best candidate; got {best}")
    judged = list({candidate.text: candidate for candidate in run.judged}.values())
    if not judged:
        raise RunError(f"no candidate of the run in {run.folder} has a fitness")
    chosen = sorted(judged, key=lambda candidate: (-candidate.fitness, candidate.number))[:best]
    in_best, in_all = _counts(chosen), _counts(judged)
    uses = [
        WordUse(word, form, in_best[word, form] / len(chosen), count / len(judged))
        for (word, form), count in in_all.items()
    ]
    return sorted(uses, key=lambda use: (-use.best, -use.all, use.word))


def _counts(candidates: Iterable[Judged]) -> Counter[tuple[str, str]]:
    """Return how many candidates use each word; the keys are words and their forms."""
    counts: Counter[tuple[str, str]] = Counter()
    for candidate in candidates:
        counts.update(
            {
                (node.word, PRIMITIVES[node.word].form.value if node.args else "statistic")
                for node in parse(candidate.text)
                if node.kind is not None
            }
        )
    return counts

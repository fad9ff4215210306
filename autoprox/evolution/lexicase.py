"""Lexicase selection of parents."""

from __future__ import annotations

from collections.abc import Sequence

from autoprox.evolution.drawing import random
from autoprox.evolution.judge import Candidate


def lexicase(
    candidates: Sequence[Candidate], cases: Sequence[Sequence[int]] | None = None
) -> Candidate:
    """Return a candidate that is among the best on some columns, in an order drawn at random.

    Automatic epsilon-lexicase selection (La Cava, Spector and Danai, GECCO 2016): column after
    column, those stay whose correlation is at most a median absolute deviation below the highest.
    The same as DEAP's `selAutomaticEpsilonLexicase`, draw by draw, and many times faster on a few
    candidates.

    Args:
        candidates: valid ones, at least one.
        cases: places of columns whose mean correlation counts as one, as those of a family do; each
            column alone if None.

    Raises:
        ValueError: there is none.
    """
    left = list(candidates)
    if not left:
        raise ValueError("lexicase selection needs a candidate to select; got none")
    order = list(cases or ((column,) for column in range(len(left[0].correlations))))
    random.shuffle(order)
    for columns in order:
        if len(left) == 1:
            break
        values = [
            sum(candidate.correlations[column] for column in columns) / len(columns)
            for candidate in left
        ]
        middle = _median(values)
        least = max(values) - _median([abs(value - middle) for value in values])
        left = [candidate for candidate, value in zip(left, values, strict=True) if value >= least]
    return random.choice(left)


def _median(values: list[float]) -> float:
    """Return what `statistics.median` does, for the few numbers that it is asked for so often."""
    ordered, middle = sorted(values), len(values) // 2
    return ordered[middle] if len(values) % 2 else (ordered[middle - 1] + ordered[middle]) / 2

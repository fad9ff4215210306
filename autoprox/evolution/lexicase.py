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
    if not candidates:
        raise ValueError("lexicase selection needs a candidate to select; got none")
    left = [(candidate, _by_case(candidate.correlations, cases)) for candidate in candidates]
    order = list(range(len(left[0][1])))
    random.shuffle(order)
    for case in order:
        if len(left) == 1:
            break
        values = [correlations[case] for _, correlations in left]
        middle = _median(values)
        least = max(values) - _median([abs(value - middle) for value in values])
        left = [pair for pair, value in zip(left, values, strict=True) if value >= least]
    return random.choice([candidate for candidate, _ in left])


def _by_case(
    correlations: Sequence[float], cases: Sequence[Sequence[int]] | None
) -> Sequence[float]:
    """Return the mean of the correlations of each case."""
    if not cases:
        return correlations
    return [sum(correlations[column] for column in case) / len(case) for case in cases]


def _median(values: list[float]) -> float:
    """Return what `statistics.median` does, for the few numbers that it is asked for so often."""
    ordered, middle = sorted(values), len(values) // 2
    return ordered[middle] if len(values) % 2 else (ordered[middle - 1] + ordered[middle]) / 2

"""A good configuration for any score: evolution among those that fit."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from autoprox.errors import ScoreError
from autoprox.search.bits.limits import BitSpace, Places
from autoprox.search.bits.scoring import BitScorer

POPULATION = 64
MUTATED = 3
"""How many layers of a child change at most."""

NEAR = 0.8
"""The share of children whose changes go to the next width, up or down; others go anywhere."""

STALE = 20
"""Evolution ends after so many generations in a row without a new configuration."""


def bred(
    space: BitSpace,
    scorer: BitScorer,
    generator: np.random.Generator,
    evaluations: int,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Places, float, int]:
    """The best configuration found, ``(1, inner layers)``, its score, and how many were scored.

    The first population are the uniform configurations and random ones. A child has each layer's
    bits from one of two parents, each the better of two drawn; then one to three layers change.
    What does not fit is repaired, and nothing is scored twice.

    Args:
        space: what fits.
        scorer: scores bits.
        generator: all that is random.
        evaluations: how many configurations are scored at most.
        progress: called as ``progress(done, total)``.
    """
    layers, widths = space.prices.shape
    random = generator.integers(widths, size=(POPULATION, layers))
    children = np.concatenate([space.uniform(), space.repaired(random, generator)])
    population, scores = children[:0], np.zeros(0)
    seen: set[bytes] = set()
    stale = 0
    while len(seen) < evaluations and stale < STALE:
        fresh = _unseen(children, seen, evaluations)
        stale = 0 if len(fresh) else stale + 1
        if len(fresh):
            fresh_scores = _scores(scorer, space.bits(fresh), needed=not np.isfinite(scores).any())
            population = np.concatenate([population, fresh])
            scores = np.concatenate([scores, fresh_scores])
            best = np.argsort(-scores, kind="stable")[:POPULATION]
            population, scores = population[best], scores[best]
            if progress:
                progress(len(seen), evaluations)
        children = space.repaired(_children(population, widths, generator), generator)
    return population[:1], float(scores[0]), len(seen)


def _scores(scorer: BitScorer, bits: NDArray[np.int64], needed: bool) -> NDArray[np.float64]:
    """The scores, less than any number where there is none."""
    try:
        return np.nan_to_num(scorer(bits), nan=-np.inf)
    except ScoreError:
        if needed:
            raise
        return np.full(len(bits), -np.inf)


def _unseen(places: Places, seen: set[bytes], evaluations: int) -> Places:
    """The configurations that are new, as many as are left to be scored; they are seen now."""
    fresh = []
    for row in places:
        if len(seen) < evaluations and (mark := row.tobytes()) not in seen:
            seen.add(mark)
            fresh.append(row)
    return np.array(fresh, np.int64).reshape(-1, places.shape[1])


def _children(population: Places, widths: int, generator: np.random.Generator) -> Places:
    """As many children as a population has; the population is sorted, the best first."""
    count, layers = POPULATION, population.shape[1]
    parents = generator.integers(len(population), size=(2, count, 2)).min(2)
    crossed = np.where(generator.random((count, layers)) < 0.5, *population[parents])
    changed = generator.random((count, layers)).argsort(1) < generator.integers(
        1, MUTATED + 1, size=(count, 1)
    )
    near = np.clip(crossed + generator.choice([-1, 1], size=crossed.shape), 0, widths - 1)
    anywhere = generator.integers(widths, size=crossed.shape)
    mutated = np.where(generator.random((count, 1)) < NEAR, near, anywhere)
    children: NDArray[np.int64] = np.where(changed, mutated, crossed)
    return children

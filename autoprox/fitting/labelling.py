"""Which networks to train: the labels that a predictor is fitted to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from autoprox.benches import Bench
from autoprox.errors import BenchError
from autoprox.predictors.features import normal_scores

Array = NDArray[np.float64]

LABELLINGS = ("random", "spread", "uncertainty")
"""Drawn at random; at even steps of what known proxies say; where the model is least sure."""

ROUNDS = 4
"""In how many rounds labels are bought by uncertainty; the first is random."""

Uncertain: TypeAlias = Callable[[Sequence[int], Sequence[int]], Array]
"""Places with labels, and without, to how unsure a model is of the latter."""


def with_figures(bench: Bench, targets: Sequence[str], places: Iterable[int]) -> list[int]:
    """Return which of some architectures have a figure for every target.

    Raises:
        UnknownNameError: the bench has no such target.
        BenchError: none of the bench's architectures has.
    """
    figures = np.array([bench.accuracies(target) for target in targets])
    complete = {*np.flatnonzero(np.isfinite(figures).all(0)).tolist()}
    if not complete:
        raise BenchError(
            f"no architecture of {bench.name!r} has figures for all of the targets "
            f"{', '.join(targets)}; name one with --target, or one space with --space: targets "
            "without figures there are left out"
        )
    return [place for place in places if place in complete]


def check_enough(count: int, places: Sequence[int]) -> None:
    """Refuse more labels than there are architectures to be labelled.

    Raises:
        BenchError: there are not as many.
    """
    if count > len(places):
        raise BenchError(
            f"the search split has {len(places)} architectures with figures; got labels={count}: "
            "draw more with architectures, or ask for fewer"
        )


def labels_of(bench: Bench, places: Sequence[int], targets: Sequence[str], scaled: str) -> Array:
    """Return a label for each of some architectures, ``(n,)``: the mean over the targets.

    Each target is scaled within each space, so that spaces and data sets count alike:
    ``"standardised"`` to mean 0 and deviation 1, ``"ranks"`` to normal scores.

    Raises:
        BenchError: an architecture has no figure for a target.
    """
    rows = [bench.architectures[place] for place in places]
    spaces = np.array([row.space for row in rows])
    labels = np.zeros(len(rows))
    for target in targets:
        figures = bench.accuracies(target, rows)
        if np.isnan(figures).any():
            lacking = rows[int(np.flatnonzero(np.isnan(figures))[0])].name
            raise BenchError(f"{lacking} has no figure for {target}; leave the target out")
        for space in dict.fromkeys(spaces.tolist()):
            in_space = spaces == space
            labels[in_space] += _scaled(figures[in_space], scaled) / len(targets)
    return labels


def _scaled(figures: Array, how: str) -> Array:
    if how == "ranks":
        return normal_scores(figures)
    deviation = figures.std()
    return np.asarray((figures - figures.mean()) / (deviation or 1.0))


def chosen(
    how: str,
    count: int,
    places: Sequence[int],
    scores: Array,
    uncertain: Uncertain,
    seed: int,
    least: int = 1,
) -> list[int]:
    """Return the architectures that are labelled, out of some.

    Args:
        how: one of `LABELLINGS`.
        count: how many.
        places: of those that may be labelled.
        scores: ``(len(places),)``, what known proxies say of them.
        uncertain: says how unsure a model is.
        seed: of what is drawn.
        least: how many labels the model needs.

    Raises:
        BenchError: there are not as many.
    """
    check_enough(count, places)
    drawn = np.random.default_rng([seed, count]).permutation(len(places))
    if how == "random":
        return sorted(places[index] for index in drawn[:count])
    if how == "spread":
        order = np.argsort(scores, kind="stable")
        steps = (np.arange(count) + 0.5) * len(places) / count
        return sorted(places[index] for index in order[steps.astype(int)])
    labelled = drawn[: max(least, count // ROUNDS)].tolist()
    while len(labelled) < count:
        left = [index for index in drawn.tolist() if index not in set(labelled)]
        doubt = uncertain([places[index] for index in labelled], [places[index] for index in left])
        size = min(-(-count // ROUNDS), count - len(labelled))
        labelled += [left[index] for index in np.argsort(-doubt, kind="stable")[:size]]
    return sorted(places[index] for index in labelled)

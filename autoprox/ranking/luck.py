"""Luck: how much of a winner's correlation it owes to having been selected.

The best of thousands of candidates on a few architectures is partly the luckiest. `selection_luck`
repeats the selection on bootstrap resamples, and looks at each winner on the architectures that its
resample did not draw (bootstrap bias correction, Tsamardinos, Greasidou and Borboudakis, Machine
Learning 107, 2018). On the same resamples it tests whether any candidate is better than the best
known proxy, given how many were tried (superior predictive ability, Hansen, Journal of Business and
Economic Statistics 23, 2005). `null_luck` compares the winner with those of searches on shuffled
accuracies (Westfall and Young, Resampling-Based Multiple Testing, 1993).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from autoprox.ranking.correlation import CORRELATIONS, MINIMUM, Array, RankCorrelation
from autoprox.ranking.ranker import Column, joint, networks_by_space, places_by_space, weights
from autoprox.ranking.resampling import interval, resampled_columns, resampling

RESAMPLES = 200

BRED = 1.1
"""How much further than `chance_floor` evolution gets where there is nothing to find: on shuffled
accuracies of 40 to 160 cells of NAS-Bench-201 (results/luck_truth.csv). It covers what breeding
adds, and what turning every candidate does."""

MISLED = 0.5
"""How much a search is misled by what it fits to its own architectures: 0 where all that it chooses
among is equally good elsewhere, 1 where it is as free as a regression. Searches of the default
algorithm lie between the two (results/luck_truth.csv)."""

LARGEST = 1000
"""With more architectures in a column luck is not estimated: it takes long, and there is little."""


@dataclass(frozen=True)
class SelectionLuck:
    """What the selection of a winner adds to its correlation.

    Attributes:
        candidates: how many were tried.
        contenders: among how many of the best the selection was repeated on resamples.
        search: the winner's joint correlation on the search split.
        floor: what a search of so many reaches where there is nothing to find: `BRED` times
            `chance_floor`.
        outside: what the winners of resamples have, in the mean, on what was not drawn.
        optimism: how much of `search` is luck of the selection.
        corrected: the rest, what the winner should have on other architectures: `outside`, or what
            `without_luck` leaves if that is less.
        corrected_interval: around it, as wide as the middle 95 % of the winners of resamples; at
            most 1.
        rival: the known proxy that is best on the search split; None if none has a score.
        rival_p: how often the best of the contenders would be above the rival by as much if none
            were better; None without a rival.
    """

    candidates: int
    contenders: int
    search: float
    floor: float
    outside: float
    optimism: float
    corrected: float
    corrected_interval: tuple[float, float]
    rival: str | None
    rival_p: float | None


@dataclass(frozen=True)
class NullLuck:
    """What the same search reaches where there is nothing to find.

    Attributes:
        best: the winner's joint correlation of each search on shuffled accuracies.
        floor: their mean.
        deviation: their standard deviation.
        p: how often a search on shuffled accuracies reaches as much as the true one.
        corrected: what `without_luck` leaves of the winner's, given this floor.
    """

    best: tuple[float, ...]
    floor: float
    deviation: float
    p: float
    corrected: float


def selection_luck(
    scores: Array,
    costs: Array,
    known: Mapping[str, Array],
    columns: Sequence[Column],
    correlation: RankCorrelation,
    candidates: int,
    seed: int = 0,
) -> SelectionLuck | None:
    """Return how much of the winner's joint correlation is luck; None if that cannot be said.

    It cannot with more than `LARGEST` architectures in a column, or so few that what resamples do
    not draw is too little to rank by.

    Args:
        scores: ``(contenders, architectures)``, finite.
        costs: ``(contenders,)``, what the selection subtracts from each one's joint correlation.
        known: the scores of known proxies, ``(architectures,)``, finite, by name.
        columns: the figures that were selected by.
        correlation: whose mean over the columns is the joint one.
        candidates: how many were tried; the contenders are the best of these.
        seed: of the resamples.
    """
    if max(len(column.places) for column in columns) > LARGEST:
        return None
    counts = resampled_columns(columns, RESAMPLES, seed)
    joints, drawn = _joints(scores, columns, counts, correlation)
    winner = int(np.argmax(joints - costs))
    chosen = np.argmax(drawn - costs[:, None], axis=0)
    left_out = [
        _outside(scores[k], columns, [draws[b] for draws in counts], correlation)
        for b, k in enumerate(chosen)
    ]
    left = np.array([reached for reached in left_out if reached is not None])
    if len(left) < RESAMPLES / 2:
        return None
    search, floor = float(joints[winner]), BRED * chance_floor(columns, correlation, candidates)
    outside = float(left.mean())
    corrected = min(outside, without_luck(search, floor, correlation))
    low, high = interval(left - outside + corrected)
    rival, p = _against_known(joints, drawn, known, columns, counts, correlation)
    return SelectionLuck(
        candidates=candidates,
        contenders=len(scores),
        search=search,
        floor=floor,
        outside=outside,
        optimism=search - corrected,
        corrected=corrected,
        corrected_interval=(low, min(high, 1.0)),
        rival=rival,
        rival_p=p,
    )


def _joints(
    scores: Array, columns: Sequence[Column], counts: Sequence[Array], correlation: RankCorrelation
) -> tuple[Array, Array]:
    """Return the joint correlations, ``(candidates,)``, and on resamples, with ``(…, resamples)``.

    The first is that of one more resample, which draws every architecture once.
    """
    drawn = [np.vstack([np.ones(draws.shape[1]), draws]) for draws in counts]
    resampled = [
        resampling(correlation, column.accuracies, draws)
        for column, draws in zip(columns, drawn, strict=True)
    ]
    correlations = np.array(
        [
            [
                correlate(row[column.places])
                for column, correlate in zip(columns, resampled, strict=True)
            ]
            for row in scores
        ]
    )
    joints = joint(np.moveaxis(correlations, 1, -1), weights(columns))
    return joints[:, 0], joints[:, 1:]


def _outside(
    scores: Array, columns: Sequence[Column], counts: Sequence[Array], correlation: RankCorrelation
) -> float | None:
    """Return a joint correlation on what a resample did not draw; None if that is too little."""
    correlations = []
    for column, drawn in zip(columns, counts, strict=True):
        out = drawn == 0
        if out.sum() < MINIMUM or np.ptp(column.accuracies[out]) == 0:
            return None
        column_scores = scores[column.places[out]]
        correlations.append(CORRELATIONS[correlation](column_scores, column.accuracies[out]))
    return float(joint(np.array(correlations), weights(columns)))


def _against_known(
    joints: Array,
    drawn: Array,
    known: Mapping[str, Array],
    columns: Sequence[Column],
    counts: Sequence[Array],
    correlation: RankCorrelation,
) -> tuple[str | None, float | None]:
    """Return the best known proxy, and the p of Hansen's test that no contender is better."""
    if not known:
        return None, None
    names, scores = list(known), np.array(list(known.values()))
    others, others_drawn = _joints(scores, columns, counts, correlation)
    best = int(np.argmax(others))
    networks = sum(len(np.unique(numbers)) for numbers in networks_by_space(columns).values())
    p = superior(joints - others[best], drawn - others_drawn[best], networks)
    return names[best], p


def superior(differences: Array, resampled: Array, observations: int) -> float:
    """Return the p of Hansen's test that no contender is better than a benchmark (SPA, consistent).

    Contenders that are plainly worse are not recentred, so that many poor ones do not dilute it.

    Args:
        differences: ``(contenders,)``, how much better each is.
        resampled: ``(contenders, resamples)``, the same on bootstrap resamples.
        observations: how many observations there are.
    """
    deviations = resampled.std(axis=1)
    varies = deviations > 0  # what never differs from the benchmark is not better
    if not varies.any():
        return 1.0
    differences, resampled, deviations = differences[varies], resampled[varies], deviations[varies]
    studentised = differences / deviations
    limit = -math.sqrt(2 * math.log(math.log(max(observations, 3))))
    centres = np.where(studentised >= limit, differences, 0.0)
    under_null = ((resampled - centres[:, None]) / deviations[:, None]).max(axis=0)
    reached = np.maximum(under_null, 0.0) >= max(float(studentised.max()), 0.0)
    return float((1 + reached.sum()) / (1 + len(reached)))


def chance_floor(columns: Sequence[Column], correlation: RankCorrelation, candidates: int) -> float:
    """Return about what the best of so many candidates reaches where there is nothing to find.

    The mean of the largest of as many independent normal numbers (Bailey and López de Prado,
    Journal of Portfolio Management 40(5), 2014), with the deviation that the joint correlation has
    of a proxy that knows nothing. That is the best of candidates as they are written. A search
    turns each one so that its joint correlation is not negative: the best of that is as the largest
    of twice as many, 4 % above this of 10,000 candidates, 6 % of 1,000 and 10 % of 100, which
    `BRED` covers. Candidates that are alike are fewer, and bred ones are better than independent
    ones: searches on shuffled accuracies say more.

    Args:
        columns: the figures that were selected by.
        correlation: whose mean over the columns is the joint one.
        candidates: how many were tried.
    """
    from scipy.special import ndtri

    if candidates < 2:
        return 0.0
    share = weights(columns) / weights(columns).sum()
    deviations = np.array([_deviation(column, correlation) for column in columns])
    alike = np.array([[_alike(first, second) for second in columns] for first in columns])
    variance = (share * deviations) @ alike @ (share * deviations)
    variance = max(0.0, variance)  # opposite targets cancel, but for rounding
    tails = ndtri([1 - 1 / candidates, 1 - 1 / (candidates * math.e)])
    return float(math.sqrt(variance) * (tails @ [1 - np.euler_gamma, np.euler_gamma]))


def _deviation(column: Column, correlation: RankCorrelation) -> float:
    """Return the standard deviation of a rank correlation of scores that know nothing of a column.

    Scores do not tie, figures may, in groups of t: the number S of pairs the right way round less
    those the wrong way round has the variance (n(n-1)(2n+5) - Σ t(t-1)(2t+5)) / 18 (Kendall, Rank
    Correlation Methods, 1948). Somers' D is S over the untied pairs, τ-b over the root of these
    times all pairs, and Spearman's rho has 1 / (n-1), ties or not. Copies of a network have one
    score, and count as one architecture.
    """
    first = np.unique(column.network_of(column.places), return_index=True)[1]
    count = len(first)
    if np.ptp(column.accuracies[first]) == 0:  # copies alone differ
        return 0.0
    if correlation == "spearman":
        return math.sqrt(1 / (count - 1))
    ties = np.unique(column.accuracies[first], return_counts=True)[1]
    pairs = count * (count - 1)
    untied = 1 - float((ties * (ties - 1)).sum()) / pairs
    share = 1 - float((ties * (ties - 1) * (2 * ties + 5)).sum()) / (pairs * (2 * count + 5))
    without_ties = math.sqrt(2 * (2 * count + 5) / (9 * pairs))
    divisor = untied if correlation == "somers" else math.sqrt(untied)
    return without_ties * math.sqrt(share) / divisor


def _alike(first: Column, second: Column) -> float:
    """Return how alike the figures of two columns are; those of two spaces are unrelated."""
    if first.space != second.space:
        return 0.0
    _, here, there = np.intersect1d(first.places, second.places, return_indices=True)
    if len(here) < MINIMUM:
        return 0.0
    return CORRELATIONS["spearman"](first.accuracies[here], second.accuracies[there])


def without_luck(search: float, floor: float, correlation: RankCorrelation) -> float:
    """Return what is left of a winner's correlation when what luck explains is taken off.

    A search that explains the share L of the variance by luck, where there is nothing to find, has
    the freedom of a regression that does. So, as an adjusted R² has it, the best there is to find
    explains ρ² = (r² - L) / (1 - L), where the winner explains r² on its own architectures. The
    winner itself explains less elsewhere: what it fits to its own architectures is noise there, in
    a regression L (1 - ρ²) of it beside the signal ρ², which leaves ρ⁴ / (ρ² + L (1 - ρ²)) (to the
    first order Browne, British Journal of Mathematical and Statistical Psychology 28, 1975).
    `MISLED` is the share of that noise that a search takes in. The variance explained is the square
    of the correlation of normal numbers to which a rank correlation belongs: sin(πτ/2), or
    2 sin(πρ/6) (Kruskal, Journal of the American Statistical Association 53, 1958).

    >>> round(without_luck(0.8, 0.4, "somers"), 3)
    0.729
    >>> without_luck(0.3, 0.4, "somers")
    0.0

    Args:
        search: the winner's joint correlation.
        floor: the same of a search where there is nothing to find.
        correlation: whose mean over the columns is the joint one.
    """
    scale, steep = (2.0, math.pi / 6) if correlation == "spearman" else (1.0, math.pi / 2)
    explained, by_luck = ((scale * math.sin(steep * reached)) ** 2 for reached in (search, floor))
    if search <= floor or by_luck >= 1:
        return 0.0
    best = (explained - by_luck) / (1 - by_luck)
    left = best**2 / (best + MISLED * by_luck * (1 - best))
    return math.asin(math.sqrt(left) / scale) / steep


def null_luck(search: float, best: Sequence[float], correlation: RankCorrelation) -> NullLuck:
    """Return what searches on shuffled accuracies say of a winner.

    Args:
        search: the winner's joint correlation.
        best: the same of each search on shuffled accuracies, at least one.
        correlation: whose mean over the columns is the joint one.
    """
    values = np.array(best)
    return NullLuck(
        best=tuple(best),
        corrected=without_luck(search, float(values.mean()), correlation),
        floor=float(values.mean()),
        deviation=float(values.std()),
        p=float((1 + (values >= search).sum()) / (1 + len(values))),
    )


def shuffled(columns: Sequence[Column], seed: int | Sequence[int]) -> list[Column]:
    """Return columns whose architectures have swapped their figures, at random within each space.

    All targets of a space are swapped alike, so that what they have in common stays. So are the
    copies of a network, with those of another that has as many.
    """
    generator = np.random.default_rng(seed)
    rows, networks = places_by_space(columns), networks_by_space(columns)
    moved = {
        space: dict(zip(places, _swapped(places, networks[space], generator), strict=True))
        for space, places in rows.items()
    }
    swapped = []
    for column in columns:
        new = np.array([moved[column.space][place] for place in column.places])
        order = np.argsort(new)
        apart = None if column.apart is None else column.apart[order]
        swapped.append(
            replace(column, places=new[order], accuracies=column.accuracies[order], apart=apart)
        )
    return swapped


def _swapped(
    places: NDArray[np.intp], networks: NDArray[np.intp], generator: np.random.Generator
) -> NDArray[np.intp]:
    """Return sorted places, those of each network swapped with those of one with as many copies."""
    copies = np.bincount(networks)[networks]
    swapped = places.copy()
    for count in np.unique(copies):
        among = np.flatnonzero(copies == count)
        by_network = among[np.argsort(networks[among], kind="stable")].reshape(-1, count)
        swapped[by_network] = places[by_network[generator.permutation(len(by_network))]]
    return swapped

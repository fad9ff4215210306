"""Ranking: how well scores rank accuracies, and what that is worth.

`correlation` holds the rank correlations of two vectors, `ranker` those of many candidates with all
columns of a bench, `resampling` bootstraps them, `figures` puts everything
that is said of a proxy's scores together, and `luck` says how much of a winner is luck.
"""

from autoprox.ranking.correlation import (
    CORRELATIONS,
    DEFAULT_CORRELATION,
    MINIMUM,
    SYMBOLS,
    Array,
    RankCorrelation,
    Ranks,
    dense_ranks,
    kendall,
    resolved,
    somers,
    spearman,
    standardised_ranks,
    untied_pairs,
)
from autoprox.ranking.families import (
    AGAINST_COUNTS,
    OVER,
    Over,
    by_family,
    columns_by_family,
    over_families,
)
from autoprox.ranking.given import alike, partial_given, partial_spearman, somers_among
from autoprox.ranking.ranker import (
    Column,
    Ranker,
    Scratch,
    balanced,
    check_column,
    joint,
    pair_signs,
    weights,
)

__all__ = [
    "AGAINST_COUNTS",
    "CORRELATIONS",
    "DEFAULT_CORRELATION",
    "MINIMUM",
    "OVER",
    "SYMBOLS",
    "Array",
    "Column",
    "Over",
    "RankCorrelation",
    "Ranker",
    "Ranks",
    "Scratch",
    "alike",
    "balanced",
    "by_family",
    "check_column",
    "columns_by_family",
    "dense_ranks",
    "joint",
    "kendall",
    "over_families",
    "pair_signs",
    "partial_given",
    "partial_spearman",
    "resolved",
    "somers",
    "somers_among",
    "spearman",
    "standardised_ranks",
    "untied_pairs",
    "weights",
]

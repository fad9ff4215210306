"""Ranking: how well scores rank accuracies, and what that is worth.

`correlation` holds the rank correlations, `resampling` bootstraps them, `figures` puts everything
that is said of a proxy's scores together, and `luck` says how much of a winner is luck.
"""

from autoprox.ranking.correlation import (
    CORRELATIONS,
    DEFAULT_CORRELATION,
    MINIMUM,
    SYMBOLS,
    Array,
    Column,
    RankCorrelation,
    Ranker,
    Ranks,
    Scratch,
    balanced,
    check_column,
    dense_ranks,
    joint,
    kendall,
    pair_signs,
    resolved,
    somers,
    spearman,
    standardised_ranks,
    untied_pairs,
    weights,
)

__all__ = [
    "CORRELATIONS",
    "DEFAULT_CORRELATION",
    "MINIMUM",
    "SYMBOLS",
    "Array",
    "Column",
    "RankCorrelation",
    "Ranker",
    "Ranks",
    "Scratch",
    "balanced",
    "check_column",
    "dense_ranks",
    "joint",
    "kendall",
    "pair_signs",
    "resolved",
    "somers",
    "spearman",
    "standardised_ranks",
    "untied_pairs",
    "weights",
]

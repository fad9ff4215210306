"""The rank correlations by SciPy, which autoprox's are compared with."""

import scipy.stats

SCIPY = {
    "somers": lambda scores, accuracies: scipy.stats.somersd(accuracies, scores),
    "kendall": scipy.stats.kendalltau,
    "spearman": scipy.stats.spearmanr,
}
"""The rank correlations of scores with accuracies, by name."""

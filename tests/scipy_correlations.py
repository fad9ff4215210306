"""The rank correlations by SciPy, which autoprox's are compared with."""

import scipy.stats

SCIPY = {"kendall": scipy.stats.kendalltau, "spearman": scipy.stats.spearmanr}

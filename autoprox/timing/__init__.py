"""``autoprox speed``: what discovery costs on this machine, beside the other ways of doing it.

`pairs` says what is compared, `stage` holds what the comparisons share, `run` takes the times. The
ways themselves: `candidates`, `correlations`, `measuring`, `expressions`, and the search that a
user of DEAP would write, `rival`.
"""

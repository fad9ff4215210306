"""``autoprox speed``: what discovery costs on this machine, beside the other ways of doing it.

`pairs` says what is compared, `ways` does it, `rival` is the search that a user of DEAP would
write, `stage` holds what all share, and `run` takes the times.
"""

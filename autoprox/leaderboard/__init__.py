"""The leaderboard: how well proxies rank the architectures of a bench, and what they cost.

`run.rank` computes it, `board` holds it, `by_column` reads it from files, and `searched` counts the
architectures that the search of a discovered proxy saw.
"""

"""Evolution: DEAP writes proxies, the search split judges them, the held-out split tells the truth.

`vocabulary` and `variation` make graphs, `judge` scores them, `algorithms` decide what lives,
`search` is the loop, `folder` keeps it on disk, `run` puts it all together.
"""

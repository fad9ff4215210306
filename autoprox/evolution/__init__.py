"""Evolution: DEAP writes proxies, the search split judges them, an algorithm decides what lives.

`vocabulary` and `variation` make graphs, `judge` scores them, `algorithms` decide what lives, and
`search` is the loop. What a run does around it, on disk, is in `autoprox.runs`.
"""

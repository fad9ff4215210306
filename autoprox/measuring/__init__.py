"""A bench measured once: statistics and scores, cached, for evolve, rank and search alike."""

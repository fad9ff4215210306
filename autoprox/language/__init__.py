"""The language of proxies: expression graphs, their text, formulas and drawings."""

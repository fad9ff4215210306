"""Benches: tables of architectures and the accuracies that training really gave them.

    >>> from autoprox.benches import load_bench
    >>> bench = load_bench("vit101")
    >>> len(bench.architectures), bench.spaces
    (300, ('autoformer', 'pit'))

A bench of your own is a Python file that defines `bench`, a `Bench` or a function that returns one;
give its path wherever a bench is asked for. `read_table` reads the figures from CSV or JSON Lines.
Reading a table needs no torch; it is imported when the first network is built.
"""

if __name__ != "autoprox.benches":  # a second copy of every module would hold a second registry
    raise ImportError("import autoprox.benches, not benches")

from autoprox.benches.bench import MINIMUM_ARCHITECTURES, Architecture, Bench
from autoprox.benches.joined import joined
from autoprox.benches.registry import BENCHES, load_bench, several
from autoprox.benches.split import Split, drawn, split
from autoprox.benches.table import read_table

__all__ = [
    "BENCHES",
    "MINIMUM_ARCHITECTURES",
    "Architecture",
    "Bench",
    "Split",
    "drawn",
    "joined",
    "load_bench",
    "read_table",
    "several",
    "split",
]

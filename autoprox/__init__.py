"""Automatic discovery of zero-cost proxies by genetic programming.

    >>> import autoprox
    >>> proxy = autoprox.load("zico")

Public names are resolved when they are first used (PEP 562): ``import autoprox`` takes milliseconds
and imports neither torch nor DEAP.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from autoprox.benches import Architecture as Architecture
    from autoprox.benches import Bench as Bench
    from autoprox.benches import load_bench as load_bench
    from autoprox.errors import AutoproxError as AutoproxError
    from autoprox.evolution.base import Algorithm as Algorithm
    from autoprox.evolution.base import Proposal as Proposal
    from autoprox.evolution.base import algorithm as algorithm
    from autoprox.evolution.record import read_run as read_run
    from autoprox.evolution.run import begin_search as begin_search
    from autoprox.evolution.run import evolve as evolve
    from autoprox.language.graph import Graph as Graph
    from autoprox.language.text import parse as parse
    from autoprox.leaderboard.run import rank as rank
    from autoprox.primitives import primitive as primitive
    from autoprox.proxies.frame import score as score
    from autoprox.proxies.loading import load as load
    from autoprox.proxies.proxy import Proxy as Proxy
    from autoprox.search.architectures.search import search_architectures as search_architectures
    from autoprox.search.architectures.space import build as build
    from autoprox.search.bits.bits import search_bits as search_bits
    from autoprox.show.explorer import explore as explore
    from autoprox.statistics import measure as measure
    from autoprox.statistics import statistic as statistic
    from autoprox.timing.run import speed as speed

__version__ = "0.1.0"

_LAZY = {
    "Algorithm": "autoprox.evolution.algorithms",
    "Architecture": "autoprox.benches",
    "AutoproxError": "autoprox.errors",
    "Bench": "autoprox.benches",
    "Graph": "autoprox.language.graph",
    "Proposal": "autoprox.evolution.algorithms",
    "Proxy": "autoprox.proxies.proxy",
    "algorithm": "autoprox.evolution.algorithms",
    "begin_search": "autoprox.evolution.run",
    "build": "autoprox.search.architectures.space",
    "evolve": "autoprox.evolution.run",
    "explore": "autoprox.show.explorer",
    "load": "autoprox.proxies.loading",
    "load_bench": "autoprox.benches",
    "measure": "autoprox.statistics",
    "parse": "autoprox.language.text",
    "primitive": "autoprox.primitives",
    "rank": "autoprox.leaderboard.run",
    "read_run": "autoprox.evolution.record",
    "score": "autoprox.proxies.frame",
    "search_architectures": "autoprox.search.architectures.search",
    "search_bits": "autoprox.search.bits.bits",
    "speed": "autoprox.timing.run",
    "statistic": "autoprox.statistics",
}
"""Public name to the module that defines it."""

__all__ = [*_LAZY]


def __getattr__(name: str) -> object:
    """Import a public name when it is first used, and keep it."""
    if name not in _LAZY:
        raise AttributeError(f"module 'autoprox' has no attribute {name!r}")
    value = getattr(import_module(_LAZY[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, also those that nobody has used yet."""
    return sorted({*globals(), *_LAZY})

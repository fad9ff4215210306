"""Automatic discovery of zero-cost proxies by genetic programming.

    >>> import autoprox
    >>> proxy = autoprox.load("zico")

``proxy(network, inputs, targets)`` is the score of a torch module, higher is better.

* Proxies: `load`, `parse`; `score` of several networks, `rank` on a bench, `measure`, `explore`.
* Discovery: `evolve`, `evolve_seeds`, `evolve_leaving_one_out`, `evolve_several`, `evolve_from`;
  a loop of your own by `begin_search`; what came out by `read_run` and `compare`; `fit`, given the
  accuracies of a few networks.
* Use: `search_architectures`, `search_by_accuracies`, `build`, `search_bits`.
* Words, benches, spaces and algorithms of your own: `primitive`, `statistic`, `Bench`,
  `ChoiceSpace`, `algorithm`.

What cannot be done raises an `AutoproxError` that says what was expected, what came and what to do.

Public names are resolved when they are first used (PEP 562): ``import autoprox`` takes milliseconds
and imports neither torch nor DEAP.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from autoprox.benches import Architecture as Architecture
    from autoprox.benches import Bench as Bench
    from autoprox.benches import load_bench as load_bench
    from autoprox.benches.spaces import ChoiceSpace as ChoiceSpace
    from autoprox.errors import AutoproxError as AutoproxError
    from autoprox.evolution.base import Algorithm as Algorithm
    from autoprox.evolution.base import Proposal as Proposal
    from autoprox.evolution.base import algorithm as algorithm
    from autoprox.fitting.fit import fit as fit
    from autoprox.language.graph import Graph as Graph
    from autoprox.language.text import parse as parse
    from autoprox.leaderboard.run import rank as rank
    from autoprox.primitives import primitive as primitive
    from autoprox.proxies.frame import score as score
    from autoprox.proxies.loading import load as load
    from autoprox.proxies.proxy import Proxy as Proxy
    from autoprox.runs.comparing import compare as compare
    from autoprox.runs.evolve import begin_search as begin_search
    from autoprox.runs.evolve import evolve as evolve
    from autoprox.runs.series import evolve_leaving_one_out as evolve_leaving_one_out
    from autoprox.runs.series import evolve_seeds as evolve_seeds
    from autoprox.runs.several import evolve_several as evolve_several
    from autoprox.runs.several_record import read_run as read_run
    from autoprox.runs.starting import evolve_from as evolve_from
    from autoprox.search.architectures.by_accuracies import (
        search_by_accuracies as search_by_accuracies,
    )
    from autoprox.search.architectures.search import search_architectures as search_architectures
    from autoprox.search.architectures.space import build as build
    from autoprox.search.bits.bits import search_bits as search_bits
    from autoprox.show.explorer import explore as explore
    from autoprox.statistics import measure as measure
    from autoprox.statistics import statistic as statistic
    from autoprox.timing.run import speed as speed

__version__ = "0.2.0"

_LAZY = {
    "Algorithm": "autoprox.evolution.algorithms",
    "Architecture": "autoprox.benches",
    "AutoproxError": "autoprox.errors",
    "Bench": "autoprox.benches",
    "ChoiceSpace": "autoprox.benches.spaces",
    "Graph": "autoprox.language.graph",
    "Proposal": "autoprox.evolution.algorithms",
    "Proxy": "autoprox.proxies.proxy",
    "algorithm": "autoprox.evolution.algorithms",
    "begin_search": "autoprox.runs.evolve",
    "build": "autoprox.search.architectures.space",
    "compare": "autoprox.runs.comparing",
    "evolve": "autoprox.runs.evolve",
    "evolve_from": "autoprox.runs.starting",
    "evolve_leaving_one_out": "autoprox.runs.series",
    "evolve_seeds": "autoprox.runs.series",
    "evolve_several": "autoprox.runs.several",
    "explore": "autoprox.show.explorer",
    "fit": "autoprox.fitting.fit",
    "load": "autoprox.proxies.loading",
    "load_bench": "autoprox.benches",
    "measure": "autoprox.statistics",
    "parse": "autoprox.language.text",
    "primitive": "autoprox.primitives",
    "rank": "autoprox.leaderboard.run",
    "read_run": "autoprox.runs.several_record",
    "score": "autoprox.proxies.frame",
    "search_architectures": "autoprox.search.architectures.search",
    "search_bits": "autoprox.search.bits.bits",
    "search_by_accuracies": "autoprox.search.architectures.by_accuracies",
    "speed": "autoprox.timing.run",
    "statistic": "autoprox.statistics",
}
"""Public name to the module that defines it."""

__all__ = [*_LAZY]


def __getattr__(name: str) -> object:
    """Import a public name when it is first used, and keep it."""
    if name not in _LAZY:
        raise AttributeError(
            f"module 'autoprox' has no attribute {name!r}", name=name, obj=sys.modules[__name__]
        )
    value = getattr(import_module(_LAZY[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, also those that nobody has used yet."""
    return sorted({*globals(), *_LAZY})

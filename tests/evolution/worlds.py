"""Small worlds for the search algorithms: candidates by hand, and offspring that show their making.

Of the newcomers, the first is ``add(1.0, sum(params))``, the second ``add(2.0, sum(params))``, and
so on; the mutant of `x` is ``log(x)``; `x` crossed with `y` is ``divide(x, y)``.
"""

import itertools

import numpy as np

from autoprox.evolution.base import World
from autoprox.evolution.drawing import random
from autoprox.evolution.judge import Candidate
from autoprox.language.graph import apply
from autoprox.language.text import parse

TEXTS = tuple(
    f"{reduction}({statistic})"
    for statistic in ("params", "flops", "fan_in", "fan_out", "heads")
    for reduction in ("sum", "mean", "max", "min")
)
FIRST, SECOND, THIRD, FOURTH = TEXTS[:4]
RANKS = np.array([0.6, 0.8], np.float32)
"""Of candidates of which nobody asks how they rank."""


def candidate(text, fitness, behaviour=None, correlations=None, few=True, ranks=RANKS):
    """Return a valid candidate, which behaves like no other unless told otherwise."""
    found = (fitness,) if correlations is None else correlations
    return Candidate(parse(text), found, fitness, None, behaviour or text, few, ranks)


def failure(text):
    return Candidate(parse(text), (), None, "not finite", "")


def candidates(*fitnesses):
    return [candidate(text, each) for text, each in zip(TEXTS, fitnesses, strict=False)]


class Spelling:
    """A variation whose graphs say how they were made."""

    def __init__(self):
        self.numbers = itertools.count(1)

    def random(self):
        return parse(f"add({next(self.numbers)}, sum(params))")

    def mutated(self, parent):
        return apply("log", parent)

    def crossed(self, first, second):
        return apply("divide", first, second)


def grown(algorithm, population, size=None, batch=2):
    """Return an algorithm whose first population is complete."""
    grown_up = begun(algorithm, size or len(population), batch)
    state = {"filled": True, "retries": [], "highest": None, "stale": 0, "elders": 0}
    grown_up.restore(list(population), state, {})
    return grown_up


def begun(algorithm, size, batch, seeds=(), variation=None):
    """Return an algorithm, given its class, before its first population."""
    young = algorithm()
    young.begin(World(variation or Spelling(), size, batch, tuple(seeds)))
    return young


def texts(items):
    return [each.graph.text for each in items]


class Drawn:
    """Stands in for what the algorithms draw from `random`; notes what they drew from.

    `sample` takes the first ones, `choice` the last one, `shuffle` leaves the order as it is, and
    `random` gives `numbers`, one after the other.
    """

    def __init__(self, monkeypatch, numbers=()):
        self.samples, self.choices, self.left = [], [], list(numbers)
        functions = {
            "sample": self.sample,
            "choice": self.choice,
            "shuffle": lambda items: None,
            "random": lambda: self.left.pop(0),
        }
        for name, function in functions.items():
            monkeypatch.setitem(vars(random), name, function)

    def sample(self, population, count):
        self.samples.append((list(population), count))
        return list(population)[:count]

    def choice(self, options):
        self.choices.append(list(options))
        return options[-1]

"""The proxies of a run that its page and pictures show one by one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from autoprox.errors import AutoproxError
from autoprox.language.graph import Graph
from autoprox.proxies.proxy import Proxy
from autoprox.runs.fitness import is_joint
from autoprox.runs.record import Run, known_graph


@dataclass(frozen=True)
class Pick:
    """A proxy that a reader can pick.

    Attributes:
        name: what the page calls it.
        text: its formula.
        graph: the same as a graph; the reason if its words are not known here.
        fitness: what the search knows it by; None if it is not known, or the search never saw it.
        search: its joint correlation on the search split, which is the fitness of many runs; None
            if it is not known.
        held_out: its joint correlation on the held-out architectures.
        held_out_interval: the 95 % interval of that.
        known: whether it is a known proxy, and none of the search.
    """

    name: str
    text: str
    graph: Graph | AutoproxError
    fitness: float | None = None
    search: float | None = None
    held_out: float | None = None
    held_out_interval: tuple[float, float] | None = None
    known: bool = False

    @property
    def anchor(self) -> str:
        """The name of its place on the page."""
        return "proxy-" + "-".join(self.name.split())

    @property
    def needs_bits(self) -> bool:
        """Whether it depends on the bits of the layers' weights, as far as its words are known."""
        return isinstance(self.graph, Graph) and Proxy(self.graph).needs_bits

    @property
    def complexity(self) -> int | None:
        """Distinct nodes; None if its words are not known here."""
        return self.graph.complexity if isinstance(self.graph, Graph) else None


def picks(run: Run) -> list[Pick]:
    """Return the best proxies and the known ones, the best of each size, and those on the way.

    One formula is one pick, under the first of its names and with all that is known of it. The best
    one comes first.
    """
    chosen: dict[str, Pick] = {}
    on_the_way = list(_on_the_way(run))
    first = list(_assessed(run)) or on_the_way[-1:]
    for pick in (*first, *_front(run), *on_the_way):
        known = chosen.get(pick.text)
        if known is None:
            chosen[pick.text] = pick
        else:
            held_out = pick.held_out if known.held_out is None else known.held_out
            search = pick.search if known.search is None else known.search
            fitness = pick.fitness if known.fitness is None else known.fitness
            chosen[pick.text] = replace(known, fitness=fitness, search=search, held_out=held_out)
    return list(chosen.values())


def _assessed(run: Run) -> Iterable[Pick]:
    search = {row.name: row.joint for row in run.search}
    judged = {candidate.text: candidate.fitness for candidate in run.judged}
    for row in run.held_out:
        joint = search.get(row.name)
        yield Pick(
            row.name,
            row.expression,
            known_graph(row.expression),
            joint if is_joint(run.settings) else judged.get(row.expression),
            joint,
            row.joint,
            row.joint_interval,
            row.known,
        )


def _front(run: Run) -> Iterable[Pick]:
    for candidate in run.front:
        name = f"best with {candidate.complexity} nodes"
        search = candidate.fitness if is_joint(run.settings) else None
        graph = known_graph(candidate.text)
        yield Pick(name, candidate.text, graph, candidate.fitness, search)


def _on_the_way(run: Run) -> Iterable[Pick]:
    for row in run.generations:
        if row.best is not None:
            name, graph = f"best of generation {row.generation}", known_graph(row.expression)
            search = row.best if is_joint(run.settings) else None
            yield Pick(name, row.expression, graph, row.best, search, row.held_out)

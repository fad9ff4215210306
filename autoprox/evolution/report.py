"""The report of a run: what was found, beside the known proxies, where selection never saw it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from autoprox.assessment.assess import Assessment, shipped
from autoprox.errors import RunError
from autoprox.evolution.algorithms import PARSIMONY, ranked, worth
from autoprox.evolution.folder import RunFolder
from autoprox.evolution.ground import Ground
from autoprox.evolution.judge import Candidate, negated
from autoprox.evolution.schemas import REPORT
from autoprox.evolution.search import Search
from autoprox.evolution.settings import Settings
from autoprox.language.graph import Graph
from autoprox.proxies.loading import load
from autoprox.proxies.proxy import Proxy, dumps
from autoprox.ranking.luck import NullLuck, SelectionLuck, null_luck, selection_luck
from autoprox.runtime.files import write_text

SHOWN = 10
"""How many proxies a report assesses."""

CONTENDERS = 500
"""Among how many of the best candidates the selection is repeated on resamples."""


@dataclass(frozen=True)
class Run:
    """A run that came to its end, or was stopped.

    Attributes:
        folder: where its files are.
        settings: what was asked for.
        benches: the names of the benches; of several, they begin the names of the columns.
        finished: whether the search came to its end: the budget spent, or nothing new to be found;
            and the searches on shuffled accuracies that were asked for.
        top: the proxies found, best on the search split first, by fitness less 0.001 a node.
        held_out: their assessments on the held-out architectures, then those of the known proxies.
        search: the same on the search split.
        transfer: the same on the spaces that were not evolved on; empty if there are none.
        luck: how much of the best one's correlation is luck of the selection; None if that cannot
            be said.
        null: what searches on shuffled accuracies reach; None if there were none.
        elsewhere: the known proxies that the measured statistics cannot express.
    """

    folder: Path
    settings: Settings
    benches: tuple[str, ...]
    finished: bool
    top: tuple[Proxy, ...]
    held_out: tuple[Assessment, ...]
    search: tuple[Assessment, ...]
    transfer: tuple[Assessment, ...]
    luck: SelectionLuck | None
    null: NullLuck | None
    elsewhere: tuple[str, ...]

    @property
    def best(self) -> Proxy:
        """The best proxy on the search split."""
        return self.top[0]

    @property
    def best_seed(self) -> str | None:
        """The seed proxy that the best one is, as it is or turned; None if it is none of them."""
        for name in self.settings.seed_proxies:
            seed = load(name).graph
            if self.best.graph in (seed, negated(seed)):
                return name
        return None

    def _repr_html_(self) -> str:
        """Show what was found in a notebook."""
        from autoprox.evolution.html import run_html

        return run_html(self)


def top(known: Sequence[Candidate], count: int = SHOWN) -> list[Candidate]:
    """Return the best candidates that rank the search split differently, best first."""
    chosen: dict[str, Candidate] = {}
    for each in ranked(known, worth):
        chosen.setdefault(each.behaviour, each)
        if len(chosen) == count:
            break
    return list(chosen.values())


def finish(
    files: RunFolder, ground: Ground, search: Search, finished: bool, nulls: Sequence[float]
) -> Run:
    """Assess the best proxies, and write the report and the best one.

    Args:
        files: the run's folder.
        ground: its benches.
        search: what was searched.
        finished: whether all that was asked for is done.
        nulls: the best fitness of each search on shuffled accuracies.

    Raises:
        RunError: no candidate is valid.
    """
    settings = ground.settings
    best = top(list(search.known.values()))
    if not best:
        raise RunError(
            "no candidate is valid; see candidates.jsonl for the reasons, and try other statistics"
        )
    named = [(f"top {i}", each.graph) for i, each in enumerate(best, start=1)]
    named += ground.known.items()
    parts = {"held_out": ground.held_out, "search": ground.search, "transfer": ground.transfer}
    tables = {
        part: _assessed(ground, indices, named) if indices else ()
        for part, indices in parts.items()
    }
    proxies = tuple(
        _proxy(settings, each, held) for each, held in zip(best, tables["held_out"], strict=False)
    )
    run = Run(
        folder=files.path,
        settings=settings,
        benches=tuple(plan.bench.name for plan in ground.plans),
        finished=finished,
        top=proxies,
        **tables,
        luck=luck_of(search, ground.known),
        null=null_luck(best[0].fitness or 0.0, nulls) if nulls else None,
        elsewhere=_elsewhere(ground),
    )
    # The report comes last: it says that the run is finished.
    write_text(files.path / "best.json", dumps(run.best))
    REPORT.write(files.path / "report.json", _data(run, search, tables))
    return run


def _data(run: Run, search: Search, tables: Mapping[str, tuple[Assessment, ...]]) -> dict[str, Any]:
    """Return a report as JSON data."""
    return {
        "finished": run.finished,
        "evaluations": len(search.known),
        "proposals": search.proposals,
        "settings": run.settings.to_json(),
        **({"best_seed": run.best_seed} if run.settings.seed_proxies else {}),
        "luck": None if run.luck is None else asdict(run.luck),
        "null": None if run.null is None else asdict(run.null),
        "elsewhere": list(run.elsewhere),
        **{part: [each.to_json() for each in rows] for part, rows in tables.items()},
    }


def luck_of(search: Search, known: Mapping[str, Graph]) -> SelectionLuck | None:
    """Return how much of the best candidate's fitness is luck of the selection.

    Args:
        search: what was searched.
        known: the known proxies that the best is compared with.
    """
    graphs = [each.graph for each in top(list(search.known.values()), CONTENDERS)]
    _, scores = search.judge.scores(graphs)
    reasons, found = search.judge.scores(list(known.values()))
    names = [name for name, reason in zip(known, reasons, strict=True) if reason is None]
    return selection_luck(
        scores,
        np.array([PARSIMONY * graph.complexity for graph in graphs]),
        dict(zip(names, found, strict=True)),
        search.judge.ranker.columns,
        search.settings.measure,
    )


def _elsewhere(ground: Ground) -> tuple[str, ...]:
    """Return the known proxies that the measured statistics cannot express."""
    return tuple(
        name
        for name, proxy in shipped(ground.plans[0].bench).items()
        if name not in ground.known
        and not (isinstance(proxy, Proxy) and "found_by" in proxy.provenance)
    )


def _assessed(
    ground: Ground, indices: Sequence[int], named: Sequence[tuple[str, Graph]]
) -> tuple[Assessment, ...]:
    assessor = ground.assessor(indices)
    return tuple(assessor(name, graph) for name, graph in named)


def _proxy(settings: Settings, candidate: Candidate, held_out: Assessment) -> Proxy:
    """Return a found proxy with where it comes from."""
    provenance = {
        "found_by": "autoprox evolve",
        "settings": settings.to_json(),
        "search_fitness": candidate.fitness,
        "held_out_fitness": held_out.joint,
        "held_out_interval": held_out.joint_interval,
    }
    return Proxy(
        candidate.graph, description=f"Discovered on {settings.bench}.", provenance=provenance
    )

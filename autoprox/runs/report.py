"""The report of a run: what was found, beside the known proxies, where selection never saw it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from math import isfinite

import numpy as np

from autoprox.assessment.assess import Assessment, shipped
from autoprox.errors import RunError
from autoprox.evaluation.evaluate import Evaluator
from autoprox.evolution.base import PARSIMONY
from autoprox.evolution.judge import Judge, negated
from autoprox.evolution.search import Search
from autoprox.language.graph import Graph
from autoprox.proxies.proxy import Proxy
from autoprox.ranking.luck import SelectionLuck, null_luck, selection_luck
from autoprox.runs.fitness import is_joint
from autoprox.runs.folder import RunFolder
from autoprox.runs.ground import Ground
from autoprox.runs.record import Run, discovered, read_run, top
from autoprox.runs.schemas import Placed

CONTENDERS = 500
"""Among how many of the best candidates the selection is repeated on resamples."""


def finish(
    files: RunFolder,
    ground: Ground,
    search: Search,
    held_out: Judge,
    finished: bool,
    nulls: Sequence[float],
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Run:
    """Assess the best proxies, and write the report and the best one.

    `nulls` is the best fitness of each search on shuffled accuracies; `progress` is called with how
    many proxies are assessed, and of how many.

    Raises:
        RunError: no candidate is valid.
    """
    settings = ground.settings
    best = top(list(search.known.values()))
    if not best:
        raise RunError(
            "no candidate is valid; see candidates.jsonl for the reasons, and try other statistics"
        )
    named = [(f"top {i}", candidate.graph) for i, candidate in enumerate(best, start=1)]
    named += ground.known.items()
    evaluator = held_out.evaluator or Evaluator(ground.table(ground.held_out))
    evaluators = {"held_out": evaluator, "search": search.judge.evaluator}
    tables = _assessed(ground, named, evaluators, progress)
    luck = luck_of(search, ground.known) if is_joint(settings) else None
    null = null_luck(best[0].fitness or 0.0, nulls, settings.measure) if nulls else None
    seeds = zip(settings.seed_proxies, ground.seeds, strict=True)
    turned = (name for name, seed in seeds if best[0].graph in (seed, negated(seed)))
    report = {
        "finished": finished,
        "evaluations": len(search.known),
        "proposals": search.proposals,
        "settings": settings.to_json(),
        **({"best_seed": next(turned, None)} if settings.seed_proxies else {}),
        "luck": None if luck is None else asdict(luck),
        "null": None if null is None else asdict(null),
        "elsewhere": list(_elsewhere(ground)),
        **{part: [row.to_json() for row in rows] for part, rows in tables.items()},
        "placed": [asdict(row) for row in placed(ground, evaluator, best[0].graph)],
        "lower_is_better": ground.bench.lower_is_better,
    }
    proxy = discovered(settings, best[0].graph, best[0].fitness, tables["held_out"][0])
    files.save_report(report, proxy)
    return read_run(files.path, {c.graph.text: c.graph for c in search.known.values()})


def placed(ground: Ground, evaluator: Evaluator, graph: Graph) -> list[Placed]:
    """Return the held-out architectures with the scores that a graph gives them."""
    scores = evaluator(graph)
    values = [float(value) for value in scores.values]
    return [
        Placed(
            architecture.name,
            architecture.space,
            ", ".join(f"{name} {value}" for name, value in architecture.config.items()),
            None if place in scores.failures or not isfinite(value) else value,
            {
                target: figure
                for target in ground.targets
                if (figure := architecture.accuracies.get(target)) is not None
            },
        )
        for place, (value, architecture) in enumerate(
            zip(values, (ground.bench.architectures[i] for i in ground.held_out), strict=True)
        )
    ]


def luck_of(search: Search, known: Mapping[str, Graph]) -> SelectionLuck | None:
    """Return how much of the best candidate's fitness is luck, also beside the known proxies."""
    graphs = [candidate.graph for candidate in top(list(search.known.values()), CONTENDERS)]
    _, scores = search.judge.scores(graphs)
    reasons, known_scores = search.judge.scores(list(known.values()))
    names = [name for name, reason in zip(known, reasons, strict=True) if reason is None]
    return selection_luck(
        scores,
        np.array([PARSIMONY * graph.complexity for graph in graphs]),
        dict(zip(names, known_scores, strict=True)),
        search.judge.ranker.columns,
        search.settings.measure,
        sum(candidate.fitness is not None for candidate in search.known.values()),
    )


def _elsewhere(ground: Ground) -> tuple[str, ...]:
    """Return the known proxies that the measured statistics cannot express."""
    known = shipped(ground.plans[0].bench, taught=ground.settings.teacher is not None)
    return tuple(
        name
        for name, proxy in known.items()
        if name not in ground.known
        and not (isinstance(proxy, Proxy) and "found_by" in proxy.provenance)
    )


def _assessed(
    ground: Ground,
    named: Sequence[tuple[str, Graph]],
    evaluators: Mapping[str, Evaluator | None],
    progress: Callable[[int, int], None],
) -> dict[str, tuple[Assessment, ...]]:
    """Assess proxies on each part of the benches; a part without architectures has none.

    The evaluators know what the search has computed, which would take as long again.
    """
    parts = {"held_out": ground.held_out, "search": ground.search, "transfer": ground.transfer}
    total = len(named) * sum(map(bool, parts.values()))
    tables: dict[str, tuple[Assessment, ...]] = dict.fromkeys(parts, ())
    done = 0
    for part, indices in parts.items():
        if not indices:
            continue
        progress(done, total)
        assessor = ground.assessor(indices, evaluators.get(part))
        for _, graph in named:  # this takes long, and each as long as the others
            assessor.figures(graph)
            done += 1
            progress(done, total)
        tables[part] = tuple(assessor(name, graph) for name, graph in named)
    return tables

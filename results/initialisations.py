"""Do two initialisations and batches rank networks better than one? Writes initialisations.csv.

    python results/initialisations.py

Every `EVERY`-th of the architectures of the ten families of the set ``general`` that other scripts
here draw are measured with two probe seeds, each of which stands for other weights and other noise
shown. A row has, for a known proxy, or the small formula chosen on the nine others, and a family:

* ``agree``: Somers' D of its scores by one seed given those by the other, on the same networks;
* ``one``: its joint D given the accuracies, the mean of both seeds';
* ``two``: that of the mean of both seeds' ranks, of a small formula of the mean of each term;
* ``spread``: that of how far its scores of a network are apart, relative to their sizes.

Small formulas are those of results/small_formulas.py, chosen on all these architectures by `wins`;
by one seed alone, judged by it, or by both. `agree` and `spread` are of the one chosen by seed 0.
Rows of the mean over families have how much two seeds gain over one, with Student's 95 % interval
over families. Measuring takes eight minutes of one core for each seed, all else two minutes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from csv_tables import rounded, write_csv
from numpy.typing import NDArray
from small_formulas import AT_ONCE, pairs, scores_of

from autoprox.benches import several
from autoprox.benches.counts import COUNTS
from autoprox.evolution.base import PARSIMONY
from autoprox.evolution.judge import Judge
from autoprox.evolution.settings import Settings
from autoprox.evolution.small import READINGS, SIZES, reading, terms
from autoprox.language.graph import Graph
from autoprox.language.text import parse
from autoprox.measuring.tables import measure_bench
from autoprox.proxies.loading import load
from autoprox.ranking import Column, Ranker, over_families, somers, standardised_ranks
from autoprox.runs.ground import lay
from autoprox.runs.left_out import of_mean
from autoprox.runtime.threads import one_thread
from autoprox.statistics.store import default_folder

SEEDS = (0, 1)
EVERY = 3
WORDS = tuple(
    dict.fromkeys([*SIZES, *(word for text in READINGS for word in parse(text).statistics)])
)
PROXIES = ("zico", "snip", "synflow", "grad_norm", "l2_norm", "pruner_zero", "general_best")

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Family:
    """A family as two seeds show it.

    Attributes:
        name: of the family.
        ranker: of its accuracies.
        proxies: by name the scores of each known proxy, ``(seeds, networks)``.
        terms: the value of each term that has one, ``(seeds, networks)``.
        counts: the joint D of params, FLOPs, depth and width.
    """

    name: str
    ranker: Ranker
    proxies: dict[str, Array]
    terms: dict[Graph, Array]
    counts: Array

    def joint(self, scores: Array) -> Array:
        """Return the joint D of scores, ``(…, networks)`` to ``(…,)``."""
        rows = scores.reshape(-1, scores.shape[-1])
        return np.asarray(self.ranker.correlations(rows).mean(axis=1).reshape(scores.shape[:-1]))


def words_of(family: str) -> tuple[str, ...]:
    """Return the statistics that are measured; SynFlow's takes no token ids."""
    return WORDS if family == "rnn" else (*WORDS, "flow_grad")


def judge_of(family: str, seed: int) -> Judge:
    """Return a judge over the architectures as a seed shows them, measured."""
    words = words_of(family)
    settings = Settings(bench=family, architectures=100, probe_seed=seed, statistics=words)
    ground = lay(family, settings, default_folder(), new=True)
    (plan,) = ground.plans
    drawn = replace(plan.bench, architectures=plan.bench.architectures[::EVERY])
    measure_bench(replace(plan, bench=drawn), ground.store)
    return ground.judge(range(0, len(plan.bench.architectures), EVERY))


def scores(judges: Sequence[Judge], graphs: Sequence[Graph]) -> dict[Graph, Array]:
    """Return the scores by each seed of the graphs that have some by all."""
    by_seed: list[dict[Graph, Array]] = []
    for judge in judges:
        reasons, values = judge.scores(graphs)
        valid = [graph for graph, why in zip(graphs, reasons, strict=True) if why is None]
        by_seed.append(dict(zip(valid, values, strict=True)))
    return {
        graph: np.stack([valid_scores[graph] for valid_scores in by_seed])
        for graph in graphs
        if all(graph in valid_scores for valid_scores in by_seed)
    }


def family_of(name: str) -> Family:
    """Return a family as two seeds show it."""
    judges = [judge_of(name, seed) for seed in SEEDS]
    known = {load(proxy).graph: proxy for proxy in PROXIES}
    proxies = scores(judges, [graph for graph in known if {*graph.statistics} <= {*words_of(name)}])
    counts = [load(count).graph for count in COUNTS]
    rivals = scores(judges[:1], counts)
    family = Family(
        name,
        judges[0].ranker,
        {known[graph]: values for graph, values in proxies.items()},
        scores(judges, terms(WORDS)),
        np.zeros(0),
    )
    return replace(family, counts=family.joint(np.concatenate([rivals[count] for count in counts])))


def row(what: str, family: Family, by_seed: Array, two: Array) -> dict[str, object]:
    """Return a row of the table.

    Args:
        what: whose scores.
        family: of which family.
        by_seed: its scores, ``(seeds, networks)``.
        two: what both seeds' become, ``(networks,)``.
    """
    size = np.abs(by_seed).sum(axis=0)
    spread = np.abs(by_seed[0] - by_seed[1]) / np.where(size == 0, 1, size)
    return {
        "what": what,
        "family": family.name,
        "agree": somers(by_seed[1], by_seed[0]),
        "one": float(family.joint(by_seed).mean()),
        "two": float(family.joint(two)),
        "spread": float(family.joint(spread)),
        "gain": "", "low": "", "high": "",
    }  # fmt: skip


def chosen(figures: Array, families: Sequence[Family], nodes: Array, out: int) -> tuple[int, float]:
    """Return the place of the formula that is best without a family, and its sign."""
    left = [i for i in range(len(families)) if i != out]
    columns = [
        Column(families[i].name, "", np.arange(2), np.arange(2.0), family=families[i].name)
        for i in left
    ]
    signs = np.where(figures[:, left].mean(axis=1) < 0, -1.0, 1.0)
    counts = np.stack([families[i].counts for i in left], axis=1)
    fitness = over_families(figures[:, left] * signs[:, None], columns, "wins", counts)
    best = int((fitness - PARSIMONY * (nodes + (signs < 0))).argmax())
    return best, float(signs[best])


def small_rows(families: Sequence[Family]) -> Iterator[dict[str, object]]:
    """Yield what the choice among small formulas is worth on each family, by one seed and both."""
    known = [
        (term, reading(term))
        for term in terms(WORDS)
        if all(term in family.terms for family in families)
    ]
    formulas = pairs(known)
    sizes = np.array([term.complexity for term, _ in known])
    nodes = np.array([1 + sizes[i] + sizes[j] for i, j, _ in formulas])
    blocks = [formulas[i : i + AT_ONCE] for i in range(0, len(formulas), AT_ONCE)]
    values = [np.stack([family.terms[term] for term, _ in known], axis=1) for family in families]
    views = [[*own, own.mean(axis=0)] for own in values]
    figures = [
        np.stack(
            [
                np.concatenate([family.joint(scores_of(own[view], block)) for block in blocks])
                for family, own in zip(families, views, strict=True)
            ],
            axis=1,
        )
        for view in range(3)
    ]
    for out, family in enumerate(families):
        choices = [chosen(by_view, families, nodes, out) for by_view in figures]
        worth = [
            sign * by_view[best, out]
            for by_view, (best, sign) in zip(figures, choices, strict=True)
        ]
        best, sign = choices[0]
        by_seed = np.stack([scores_of(own, [formulas[best]])[0] for own in views[out][:2]])
        told = row("chosen without the family", family, sign * by_seed, sign * by_seed.mean(axis=0))
        yield {**told, "one": float(np.mean(worth[:2])), "two": float(worth[2])}


def means(rows: Sequence[dict[str, object]]) -> Iterator[dict[str, object]]:
    """Yield for each proxy the means over its families, and what two seeds gain over one."""
    for what in dict.fromkeys(str(entry["what"]) for entry in rows):
        own = [entry for entry in rows if entry["what"] == what]
        table = {
            key: np.array([entry[key] for entry in own], dtype=float)
            for key in ("agree", "one", "two", "spread")
        }
        gains = table["two"] - table["one"]
        low, high = of_mean(gains)
        ends = {"gain": float(gains.mean()), "low": low, "high": high}
        averages = {key: float(values.mean()) for key, values in table.items()}
        yield {"what": what, "family": f"mean over {len(own)}", **averages, **ends}


def main() -> None:
    """Measure what is missing, and write the table."""
    families = [family_of(name) for name in several("general")]
    rows = [
        row(proxy, family, by_seed, standardised_ranks(by_seed).mean(axis=0))
        for proxy in PROXIES
        for family in families
        if proxy in family.proxies
        for by_seed in [family.proxies[proxy]]
    ]
    rows += small_rows(families)
    table = [rounded(entry) for entry in [*rows, *means(rows)]]
    write_csv(Path(__file__).with_suffix(".csv"), table)


if __name__ == "__main__":
    with one_thread():
        main()

"""Which groups of words help small formulas on families never seen. Writes word_groups.csv.

    python results/word_groups.py [vit101,nb201,...]

As results/small_formulas.py, with other terms: without the quotients of two sizes, which do not
grow with the network; without what is read of the relations of the samples, whose eigenvalues are
those of the covariance of the features; and with further words that make one number of the layers'
numbers: of their order (the first one, the last one, the rise from layer to layer), the sums of
both halves of the network, of the middle (median and geometric mean), and of the spread (largest,
standard deviation, and the entropy of the shares, which has no unit). Each goes above every size,
quotient of sizes, and statistic. Without each family one formula is chosen on the others, by `wins`
and by the mean, in three splits; a row has the mean over the families of the medians over the
splits of its D there, how much that is over what the usual terms give, with Student's 95 % interval
over the families, and in how many of them it is above. What is in ``runs/word_groups.json`` already
is read. Fifteen minutes of one core when the families have been measured.
"""

from __future__ import annotations

import copy
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from csv_tables import rounded, write_csv
from small_formulas import Small
from torch import Tensor

from autoprox.evolution.small import SIZES, reading, terms
from autoprox.language.graph import Graph, apply
from autoprox.primitives import primitive
from autoprox.primitives.entries import Entries
from autoprox.primitives.kinds import Layer
from autoprox.ranking import Over
from autoprox.runs.left_out import of_mean
from autoprox.runtime.files import write_text

Figures = dict[str, list[float]]
SEEDS = range(3)
KEPT = Path("runs/word_groups.json")
FITNESSES: tuple[Over, ...] = ("wins", "mean")


def layerwise(latex: str, guard: str = "") -> Callable[..., Callable[[Tensor, Entries], Tensor]]:
    """Make a word of a function of the layers' numbers."""
    return primitive("reduction", latex=latex, guard=guard, kinds=(Layer,))  # type: ignore[return-value]


def _present(x: Tensor, entries: Entries) -> Tensor:
    return torch.ones_like(x, dtype=torch.bool) if entries.present is None else entries.present


@layerwise(r"{0}_{{1}}")
def first(x: Tensor, entries: Entries) -> Tensor:
    """Number of the first layer that has one."""
    return x.gather(1, _present(x, entries).int().argmax(1, keepdim=True)).squeeze(1)


@layerwise(r"{0}_{{L}}")
def last(x: Tensor, entries: Entries) -> Tensor:
    """Number of the last layer that has one."""
    return first(x.flip(1), Entries(entries.size, _present(x, entries).flip(1)))


@layerwise(r"\operatorname{{rise}}_{{{index}}} {0}")
def rise(x: Tensor, entries: Entries) -> Tensor:
    """Covariance of the layers' numbers with their place from 0 to 1."""
    place = _present(x, entries).cumsum(1) / entries.size[:, None]
    centred = place - entries.spread(entries.mean(place.to(x.dtype)), x)
    return entries.mean(centred.to(x.dtype) * x)


@layerwise(r"\operatorname{{median}}_{{{index}}} {0}")
def median(x: Tensor, entries: Entries) -> Tensor:
    """Lower median of the layers' numbers."""
    return x.masked_fill(~_present(x, entries), torch.nan).nanmedian(1).values


@layerwise(r"\operatorname{{gmean}}_{{{index}}} {0}", "absolute values are at least 1e-30")
def geometric_mean(x: Tensor, entries: Entries) -> Tensor:
    """Geometric mean of the absolute values of the layers' numbers."""
    return entries.mean(x.abs().clamp_min(1e-30).log()).exp()


FURTHER = {
    "order": ("first", "last", "rise"),
    "halves": ("only_early", "only_late"),
    "middle": ("median", "geometric_mean"),
    "spread": ("max", "std", "entropy"),
}
"""The words that are tried by their groups."""


def above(word: str, layers: Graph) -> Graph:
    """Return the number that a word makes of the layers' numbers."""
    return apply("sum", apply(word, layers)) if word.startswith("only") else apply(word, layers)


def by_group(statistics: tuple[str, ...]) -> dict[str, list[Graph]]:
    """Return the usual terms, those without a group, and those that a group adds."""
    usual = list(terms(statistics))
    layers = [term.args[0] for term in usual if term.word == "mean"]
    layers = [
        term for term in layers if term.word != "sqrt" and not (reading(term) and sizes(term))
    ]
    quotients = {term for term in layers if term.word == "divide" and len(sizes(term)) == 2}
    return {
        "usual": usual,
        "without quotients of sizes": [term for term in usual if not quotients & {*term}],
        "without relations of samples": [term for term in usual if "gram" not in reading(term)],
        **{
            f"with {group}": [*usual, *(above(word, term) for word in words for term in layers)]
            for group, words in FURTHER.items()
        },
    }


def sizes(layers: Graph) -> list[Graph]:
    """Return the arguments of a word that are sizes."""
    return [term for term in layers.args if term.text in SIZES]


def everything(statistics: tuple[str, ...]) -> tuple[Graph, ...]:
    """Return the terms of all groups, each once."""
    return tuple(dict.fromkeys(term for own in by_group(statistics).values() for term in own))


def found(whole: Small, own: Sequence[Graph]) -> Figures:
    """Return by the fitness what formulas of some terms have on each family left out."""
    part, own_terms = copy.copy(whole), {*own}
    places = [place for place, (term, _) in enumerate(whole.terms) if term in own_terms]
    part.terms, part.values = [whole.terms[place] for place in places], whole.values[places]
    part.write()
    print(len(part.terms), "terms", len(part.formulas), "formulas", flush=True)
    choices = [choice for seed in SEEDS for choice in part.chosen(seed, FITNESSES)]
    families = list(choices[0].figures)
    figures = {(choice.over, choice.left_out, choice.seed): choice.figures for choice in choices}
    return {
        over: [
            float(np.median([figures[over, family, seed][family] for seed in SEEDS]))
            for family in families
        ]
        for over in FITNESSES
    }


def rows_of(group: str, figures: Figures, usual: Figures) -> Iterator[dict[str, object]]:
    """Yield a row for each fitness: what a group gives, and what it adds to the usual terms."""
    for over, figures_left_out in figures.items():
        gains = np.array(figures_left_out) - usual[over]
        low, high = of_mean(gains)
        yield {
            "terms": group, "fitness": over, "families": len(figures_left_out),
            "left_out": float(np.mean(figures_left_out)), "over_usual": float(gains.mean()),
            "low": low, "high": high,
            "above": int((gains > 0).sum()), "below": int((gains < 0).sum()),
        }  # fmt: skip


def main(benches: str = "general") -> None:
    """Choose with every group of words, and write what each adds."""
    done: dict[str, Figures] = json.loads(KEPT.read_text()) if KEPT.is_file() else {}
    whole = Small(SEEDS[0], everything, benches)
    groups = by_group(whole.ground.vocabulary.statistics)
    for group, own in groups.items():
        if f"{benches} {group}" not in done:
            done[f"{benches} {group}"] = found(whole, own)
            KEPT.parent.mkdir(parents=True, exist_ok=True)
            write_text(KEPT, json.dumps(done, indent=1))
    own = {group: done[f"{benches} {group}"] for group in groups}
    rows = [row for group in groups for row in rows_of(group, own[group], own["usual"])]
    write_csv(Path(__file__).with_suffix(".csv"), [rounded(row) for row in rows])
    print(*rows, sep="\n")


if __name__ == "__main__":
    main(*sys.argv[1:])

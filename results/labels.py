"""What labels are worth: models fitted to 10 to 469 accuracies, on architectures never used.

    python results/labels.py cifar10_train.npz

Each row is a model with so many labels of a bench: the median over five seeds of split and model
(three where it is trained or evolved) of Somers' D given the accuracy on the held-out part (nb201:
CIFAR-10; else joint over the bench's targets), the least and the most of them. Models read the
scores of all known proxies that the statistics express (of nb201 those that several convolutional
benches share), what ParZC reads of each layer, scaled as published or as log magnitudes, or the
architecture's own description. "evolved" is the best of 1,000 candidates by the same labels alone.
With 0 labels the known proxies stand that are best there, and #params. Labels are drawn at random,
spread over what the known proxies say, or bought where the model is least sure. A search split that
has fewer than so many has no row: that of resnet64 has 38, of vit101 and macro 180; nor has
"evolved" where a space has fewer than three labels.

nb201: 1,620 cells, one of each class of equal ones, shown 16 training images of CIFAR-10 (an .npz
of uint8 `x` and labels `y`); the others are shown noise. `nb201_best` was found on the accuracies
of 180 cells on three data sets, which the models that read it are not charged for; it and they are
judged without the 300 cells that its run drew, and those equal to them. nb201_all: 1,000 cells
drawn from all 15,625 as ParZC's authors draw theirs, so that many are equal, also across the split;
equal ones have the statistics of the one of them that was measured, and tie.

Writes results/labels.csv, a line as soon as it is known, and draws results/labels.svg; what is
there already is not computed again. Two core hours.
"""

from __future__ import annotations

import csv
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from csv_tables import write_csv
from numpy.typing import NDArray

import autoprox
from autoprox.assessment.assess import columns, expressible
from autoprox.benches import drawn, nb201, split
from autoprox.errors import BenchError
from autoprox.evaluation.evaluate import Evaluator
from autoprox.evolution.settings import Settings
from autoprox.fitting.fit import Fitter, Shown, shown_of
from autoprox.fitting.inputs import inputs_of, scale_of
from autoprox.fitting.labelling import labels_of
from autoprox.measuring.probe import Probe
from autoprox.measuring.tables import Plan
from autoprox.predictors.models import MODELS
from autoprox.ranking import somers
from autoprox.runs.ground import lay, searched_statistics, with_baselines
from autoprox.runs.running import search_on
from autoprox.runtime.parallel import HERE, open_workers
from autoprox.statistics.store import default_folder

ALL = "nb201_all"
BENCHES = ("nb201", ALL, "vit101", "resnet64", "macro")
SIZES = (78, 25, 10, 50, 156, 469)
SEEDS, FEWER = range(5), range(3)
CANDIDATES = 1000
READS = {
    "known proxies": ("known",),
    "layers": ("layers",),
    "magnitudes": ("magnitudes",),
    "known proxies, layers": ("known", "layers"),
    "known proxies, nb201_best": ("known", "nb201_best"),
}
MODELS_AND_READS = (
    ("gp", "known proxies"),
    ("gp", "description"),
    ("ridge", "known proxies"),
    ("ridge", "description"),
    ("forest", "known proxies"),
    ("forest", "description"),
    ("robot", "known proxies"),
    ("gp", "layers"),
    ("gp", "magnitudes"),
)
"""What is fitted to every number of labels."""

ROBOT = (25, 78)
"""To how many labels RoBoT's weights are fitted, as that takes seconds."""

AT_78 = (
    ("gp", "known proxies, layers"),
    ("gp", "known proxies, nb201_best"),
    ("ridge", "magnitudes"),
    ("mlp", "known proxies, layers"),
    ("parzc", "layers"),
    ("parzc_ranks", "magnitudes"),
    ("parzc_magnitudes", "magnitudes"),
    ("parzc", "known proxies, layers"),
)
"""What is fitted to 78 labels of nb201 alone: the trained ones take half a minute each."""

Array = NDArray[np.float64]


def shown(bench_name: str, images: str | None) -> Shown:
    """Return the bench with its table."""
    bench = autoprox.load_bench("nb201" if bench_name == ALL else bench_name)
    if bench.name == "nb201":
        bench = replace(bench, default_statistics=nb201.STATISTICS)
    part = drawn(bench, 1620 if bench.name == "nb201" else None)
    usual = searched_statistics(part)
    words = (*usual, *autoprox.load("nb201_best").statistics)
    probe = Probe(16, images=images) if images else Probe()
    names = with_baselines(part, tuple(dict.fromkeys(words)))
    plan = Plan(part, bench.name, names, probe, default_folder())
    targets = ("c10",) if bench.name == "nb201" else part.default_targets
    with open_workers(len(os.sched_getaffinity(0)), folder=default_folder()) as workers:
        view = replace(shown_of(plan, targets, workers), known=expressible(part, usual))
    return of_all(view) if bench_name == ALL else view


def of_all(view: Shown) -> Shown:
    """Return cells drawn from all, each with the statistics of the equal one that was measured."""
    measured = {row.isomorph: place for place, row in enumerate(view.bench.architectures)}
    rows = autoprox.load_bench("nb201").sampled(1000, plain=True).architectures
    table = view.evaluator.table.subset([measured[row.isomorph] for row in rows])
    alone = tuple(replace(row, isomorph=None) for row in rows)
    bench = replace(view.bench, name=ALL, architectures=alone)
    return replace(view, bench=bench, evaluator=Evaluator(table))


def joint(view: Shown, scores: Array, places: tuple[int, ...]) -> float:
    """Return the mean over the columns of Somers' D on some architectures."""
    own = scores[list(places)]
    own_columns = columns(view.bench, places, view.targets)
    return float(np.mean([somers(own[column.places], column.accuracies) for column in own_columns]))


def described(view: Shown) -> Array:
    """Return the architectures' own descriptions: numbers, and 0 or 1 for each word."""
    rows = [
        {
            f"{name}{place}": value
            for name, field in row.config.items()
            for place, value in enumerate(
                field if isinstance(field, list | tuple | str) else [field]
            )
        }
        for row in view.bench.architectures
    ]
    names = sorted({(k, v if isinstance(v, str) else "") for row in rows for k, v in row.items()})
    return np.array(
        [[float(row.get(k) == v) if v else float(row.get(k, 0)) for k, v in names] for row in rows]
    )


def by_description(view: Shown, model: str, count: int, seed: int) -> float:
    """Return what a model of the description reaches."""
    parts = split(view.bench, seed)
    inputs, entry = described(view), MODELS[model]
    places = view.labelled(parts.search)
    order = np.random.default_rng([seed, count]).permutation(len(places))[:count]
    taken = sorted(places[index] for index in order)
    labels = labels_of(view.bench, taken, view.targets, entry.labels)
    arrays = entry.function("fit")(inputs[taken], labels, seed, entry.settings)
    return joint(view, entry.function("predict")(arrays, inputs, entry.settings)[0], parts.held_out)


def by_statistics(
    view: Shown, model: str, reads: str, count: int, labelling: str, seed: int
) -> float:
    """Return what a model of measured statistics reaches."""
    graphs = inputs_of(READS[reads], view.bench, searched_statistics(view.bench))
    settings, layers = MODELS[model].settings, scale_of(READS[reads])
    fitter = Fitter(view, model, graphs, settings, count, labelling, layers)
    proxy, parts = fitter.fitted(seed, seed)
    places = unseen(view, parts.held_out) if "nb201_best" in READS[reads] else parts.held_out
    return joint(view, proxy.scores(view.evaluator).values, places)


def unseen(view: Shown, places: tuple[int, ...]) -> tuple[int, ...]:
    """Return those that are equal to none that the run which found `nb201_best` drew."""
    count = autoprox.load("nb201_best").provenance["settings"]["architectures"]
    bench = autoprox.load_bench("nb201")
    seen = {row.isomorph for row in drawn(bench, count).architectures}
    names = {row.name for row in bench.architectures if row.isomorph in seen}
    return tuple(place for place in places if view.bench.architectures[place].name not in names)


def evolved(view: Shown, count: int, seed: int) -> float:
    """Return what the best formula by some labels reaches, of those that a search judges."""
    parts = split(view.bench, seed)
    places = view.labelled(parts.search)
    taken = np.random.default_rng([seed, count]).permutation(len(places))[:count]
    settings = Settings(
        view.bench.name,
        targets=view.targets,
        seed=seed,
        split_seed=seed,
        evaluations=CANDIDATES,
        images=view.probe.images,
        batch=view.probe.batch,
    )
    ground = lay(replace(view.bench, default_architectures=None), settings, default_folder())
    own = tuple(sorted(places[index] for index in taken))
    search = search_on(replace(ground, search=own, held_out=parts.held_out), HERE)
    while not search.done:
        search.step()
    assert search.best is not None
    return joint(view, view.evaluator(search.best.graph).values, parts.held_out)


def figures(view: Shown) -> Iterator[tuple[dict[str, Any], Callable[[int], float], Sequence[int]]]:
    """Yield what is tried, what gives its figure for a seed, and the seeds."""
    own = view.bench.name.startswith("nb201")
    row = {"labels": 0, "model": "", "reads": "", "labelling": ""}
    best = {*sorted(view.known, key=lambda proxy: -abs(_known(view, proxy)(0)))[:2], "params"}
    for name in sorted(best | ({"nb201_best"} if own else set())):
        yield row | {"model": name}, _known(view, name), SEEDS
    most = min(len(split(view.bench, seed).search) for seed in SEEDS)
    sizes = SIZES[:1] if view.bench.name == ALL else SIZES
    for count in (size for size in sizes if size <= most):
        row = {"labels": count, "model": "evolved", "reads": "statistics", "labelling": "random"}
        if view.bench.name != ALL:  # a search measures its own cells
            yield row, partial(evolved, view, count), FEWER
        for model, reads in MODELS_AND_READS:
            row |= {"model": model, "reads": reads}
            if model == "robot" and count not in ROBOT:
                continue
            if reads == "description":
                yield row, partial(by_description, view, model, count), SEEDS
            else:
                yield row, partial(by_statistics, view, model, reads, count, "random"), SEEDS
        for labelling in ("spread", "uncertainty"):
            row |= {"model": "gp", "reads": "known proxies", "labelling": labelling}
            yield row, partial(by_statistics, view, "gp", "known proxies", count, labelling), SEEDS
    for model, reads in AT_78 if own else ():
        row = {"labels": 78, "model": model, "reads": reads, "labelling": "random"}
        yield row, partial(by_statistics, view, model, reads, 78, "random"), SEEDS


def _known(view: Shown, name: str) -> Callable[[int], float]:
    graph = view.known.get(name) or autoprox.load(name).graph
    values = view.evaluator(graph).values

    def figure(seed: int) -> float:
        places = split(view.bench, seed).held_out
        return joint(view, values, unseen(view, places) if name == "nb201_best" else places)

    return figure


def main(images: str, benches: Sequence[str]) -> None:
    """Write a line for each bench, model and number of labels; draw the curves."""
    path = Path(__file__).with_suffix(".csv")
    rows: list[dict[str, Any]] = []
    if path.exists():
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
    done = {tuple(row[name] for name in KEY) for row in rows}
    for bench in benches:
        view = shown(bench, images if bench.startswith("nb201") else None)
        for key, figure, seeds in figures(view):
            row: dict[str, Any] = {"bench": bench, **key}
            if tuple(str(value) for value in row.values()) in done:
                continue
            begun = time.process_time()
            try:
                reached = [figure(seed) for seed in seeds]
            except BenchError as error:  # fewer than three labels of one of the spaces
                print(row, error, flush=True)
                continue
            spent = (time.process_time() - begun) / len(reached)
            row |= {"median": round(float(np.median(reached)), 4), "least": round(min(reached), 4)}
            row |= {"most": round(max(reached), 4), "seeds": len(reached)}
            rows.append(row | {"core_seconds": round(spent, 1)})
            rows.sort(key=lambda row: (BENCHES.index(row["bench"]), int(row["labels"])))
            write_csv(path, rows)
            print(row, flush=True)
    draw(rows, path.with_suffix(".svg"))


KEY = ("bench", "labels", "model", "reads", "labelling")

CURVES = {
    "gp, known proxies": ("gp", "known proxies", "random"),
    "gp, description": ("gp", "description", "random"),
    "gp, layers": ("gp", "layers", "random"),
    "RoBoT, known proxies": ("robot", "known proxies", "random"),
    "evolved": ("evolved", "statistics", "random"),
}
"""What the figure shows beside the best known proxy."""


def draw(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw the curves, a picture a bench."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "labels"
    from matplotlib import pyplot

    here = {row["bench"] for row in rows} - {ALL}
    own = [bench for bench in BENCHES if bench in here]
    figure, axes = pyplot.subplots(1, len(own), figsize=(3 * len(own), 3.2), squeeze=False)
    for axis, bench in zip(axes[0], own, strict=True):
        of_bench = [row for row in rows if row["bench"] == bench]
        for name, curve in CURVES.items():
            points = [
                row for row in of_bench if (row["model"], row["reads"], row["labelling"]) == curve
            ]
            sizes = [int(row["labels"]) for row in points]
            axis.plot(sizes, [float(row["median"]) for row in points], ".-", label=name)
        plain = [
            row
            for row in of_bench
            if row["labels"] in (0, "0") and not row["model"].endswith("_best")
        ]
        known = max(plain, key=lambda row: float(row["median"]))
        axis.axhline(float(known["median"]), color="grey", ls="--", label="best known, 0 labels")
        axis.set(title=f"{bench} ({known['model']})", xscale="log", xlabel="labels")
        axis.set_xticks(sorted(SIZES), [str(size) for size in sorted(SIZES)], minor=False)
        axis.minorticks_off()
    axes[0][0].set_ylabel("held-out D")
    figure.legend(*axes[0][0].get_legend_handles_labels(), loc="lower center", ncols=3)
    figure.tight_layout(rect=(0, 0.16, 1, 1))
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(str(Path(sys.argv[1]).resolve()), sys.argv[2:] or BENCHES)

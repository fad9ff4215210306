"""Fitting a proxy to a few labels of a bench, and what it is worth on architectures never used."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoprox.assessment.assess import Assessment, Assessor, columns, expressible
from autoprox.benches import Bench, Split, drawn, load_bench, split
from autoprox.errors import AutoproxError, UnknownNameError
from autoprox.evaluation.evaluate import Evaluator, Scores
from autoprox.evolution.settings import Settings
from autoprox.fitting.inputs import inputs_of, scale_of, searches_of
from autoprox.fitting.labelling import LABELLINGS, check_enough, chosen, labels_of, with_figures
from autoprox.language.graph import Graph
from autoprox.measuring.probe import DEFAULT_BATCH, Probe
from autoprox.measuring.tables import Plan, load_table, measure_bench
from autoprox.predictors.features import LayerScale, Scales, normal_scores, scales_of
from autoprox.predictors.models import MODELS, check_labels, predict_by
from autoprox.proxies.fitted import FittedProxy, fitted_path
from autoprox.ranking.figures import last_where
from autoprox.runs.ground import lay, searched_statistics, with_baselines
from autoprox.runs.running import found_at
from autoprox.runs.unseen import check_unseen
from autoprox.runtime.arguments import check_counts, listed, named_options
from autoprox.runtime.device import CPU, device_of
from autoprox.runtime.parallel import HERE, Workers, open_workers
from autoprox.runtime.progress import Progress, silent
from autoprox.statistics import DEFAULT_SAMPLE, Sample, Store
from autoprox.statistics.store import default_folder

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Fitted:
    """A proxy that was fitted, and its figures on architectures that it never saw.

    Attributes:
        proxy: the proxy.
        seed, split_seed: of model and split.
        labels: how many labels it was fitted to.
        held_out: its figures, and those of the known proxies on the same architectures.
    """

    proxy: FittedProxy
    seed: int
    split_seed: int
    labels: int
    held_out: tuple[Assessment, ...]

    @property
    def own(self) -> Assessment:
        """Its own figures."""
        return self.held_out[0]


@dataclass(frozen=True)
class Fits:
    """The same fit on several seeds of split and model, which vary together.

    Attributes:
        fits: one a seed.
        path: where the proxy of the first was saved, or None.
    """

    fits: tuple[Fitted, ...]
    path: Path | None = None

    @property
    def proxy(self) -> FittedProxy:
        """The proxy of the first seed."""
        return self.fits[0].proxy

    @property
    def median(self) -> float:
        """The median of the held-out joint correlations; a failure counts as 0."""
        return float(np.median([fit.own.joint or 0.0 for fit in self.fits]))

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON data."""
        return {
            "format": "autoprox fit",
            "version": 1,
            "proxy": self.proxy.to_json(),
            "path": None if self.path is None else str(self.path),
            "median": self.median,
            "fits": [
                {
                    "seed": fit.seed,
                    "split_seed": fit.split_seed,
                    "labels": fit.labels,
                    "held_out": [row.to_json() for row in fit.held_out],
                }
                for fit in self.fits
            ],
        }


@dataclass(frozen=True)
class Shown:
    """A bench whose networks are measured.

    Attributes:
        bench: what is drawn of it.
        targets: what labels and figures are of.
        evaluator: over the table of all its architectures.
        known: the graphs of the known proxies.
        probe: what the networks were shown.
    """

    bench: Bench
    targets: tuple[str, ...]
    evaluator: Evaluator
    known: Mapping[str, Graph]
    probe: Probe

    @cached_property
    def consensus(self) -> Array:
        """The mean over the known proxies of the normal scores of the ranks, ``(networks,)``.

        A network on which a proxy has no score comes last there, as it does in a ranking.
        """
        values = [self.evaluator(graph).values for graph in self.known.values()]
        ranked = [last_where(~np.isfinite(scores), scores) for scores in values]
        return np.asarray(np.mean([normal_scores(scores) for scores in ranked], axis=0))

    def labelled(self, places: Iterable[int]) -> list[int]:
        """Return which of some architectures have a figure for every target."""
        return with_figures(self.bench, self.targets, places)


@named_options()
def fit(
    bench: str | Path | Bench,
    model: str = "gp",
    *,
    labels: int = 78,
    inputs: str | Sequence[str] | None = None,
    settings: Mapping[str, Any] | None = None,
    labelling: str = "random",
    spaces: str | Sequence[str] | None = None,
    targets: str | Sequence[str] | None = None,
    architectures: int | None = None,
    seed: int = 0,
    split_seed: int = 0,
    held_out_share: float = 0.4,
    repeats: int = 1,
    batch: int = DEFAULT_BATCH,
    probe_seed: int = 0,
    sample: Sample = DEFAULT_SAMPLE,
    images: str | None = None,
    device: str = CPU,
    jobs: int = 1,
    backend: str = "loky",
    scheduler: str | None = None,
    cache: str | Path | None = None,
    out: str | Path | None = None,
    progress: Progress | None = None,
) -> Fits:
    """Fit a proxy to the accuracies of a few architectures, and judge it on others.

    The bench is split as `autoprox.evolve` splits it. Labels come from the search part only, and
    figures from the held-out part only.

    Args:
        bench: the bench, its name, or a file that defines one.
        model: a name in `autoprox.predictors.MODELS`.
        labels: to how many accuracies it is fitted.
        inputs: what the model reads: known proxies, run folders or expressions, whose scores it
            reads; ``layers:NAME`` for what one says of each layer, before its last reduction,
            scaled within each network as ParZC's are, and ``magnitudes:NAME`` for the logarithms
            of that, scaled alike for all; ``layers`` and ``magnitudes`` for ParZC's own;
            ``known`` for all known proxies that the measured statistics express. None for what the
            model reads as published, or ``known``.
        settings: of the model, instead of its own.
        labelling: which architectures are labelled: ``random``, ``spread`` over what the known
            proxies say, or by ``uncertainty`` of the model in four rounds.
        spaces: those to fit on; None for all.
        targets: the accuracies; None for the bench's default ones. The label is their mean.
        architectures: draw so many of the bench; None for as many as it says, or all.
        seed: of the model, and of which architectures are labelled.
        split_seed: of the split.
        held_out_share: the share that is held out.
        repeats: fit so often, with the next seeds of model and split; the first is the proxy.
        batch: how many inputs the networks are shown.
        probe_seed: of weights, noise and sample.
        sample: entries kept of each tensor, or ``"full"``.
        images: an .npz file or a folder of images; None for seeded noise.
        device: where the networks run.
        jobs: processes; no result depends on it.
        backend: where they come from; see `autoprox.runtime.parallel.open_workers`.
        scheduler: the address of Dask's.
        cache: the folder of statistics; None for the usual one.
        out: where the proxy is saved, a file ``NAME.safetensors``; None for nowhere.
        progress: called as ``progress(task, done, total)``.

    Raises:
        UnknownNameError: there is no such bench, model, setting, space, target or proxy.
        LanguageError: an input cannot be read.
        BenchError: the bench cannot be split or ranked by, or has not as many labels.
        RunError: a search that found an input saw architectures that are held out.
        StatisticError: the networks cannot be measured, or there is no such device.
        AutoproxError: the labels are too few or all the same, or the file cannot be written.
    """
    device_of(device)
    entry = MODELS[model]
    asked = entry.asked(settings or {})
    if labelling not in LABELLINGS:
        raise UnknownNameError("labelling", labelling, LABELLINGS)
    check_counts(AutoproxError, labels=labels, repeats=repeats)
    check_counts(AutoproxError, 0, seed=seed, split_seed=split_seed)
    check_labels(model, np.arange(labels, dtype=np.float64))
    path = None if out is None else fitted_path(out)
    source = bench if isinstance(bench, Bench) else str(bench)
    whole = load_bench(source) if isinstance(source, str) else source
    part = drawn(whole, architectures).restricted(listed(spaces) if spaces else None)
    wanted = listed(targets or part.default_targets)
    split_seeds = range(split_seed, split_seed + repeats)
    for number in split_seeds:  # what cannot be is told now
        check_enough(labels, with_figures(part, wanted, split(part, number, held_out_share).search))
    words = searched_statistics(part)
    sources = listed(inputs) if inputs else (entry.reads,)
    graphs, layers = inputs_of(sources, part, words), scale_of(sources)
    searches = searches_of(sources)
    if searches:
        home = source.name if isinstance(source, Bench) else found_at(source)
        asked_for = listed(targets) if targets else None
        for number in split_seeds:
            searched = Settings(
                home, targets=asked_for, split_seed=number, held_out_share=held_out_share
            )
            ground = lay(part, searched, Path())
            for name, recorded in searches.items():
                check_unseen(ground, source, recorded, f"the search that found {name}")
    names = dict.fromkeys([*words, *(name for graph in graphs for name in graph.statistics)])
    probe = Probe(batch, probe_seed, sample, images, device)
    folder = Path(cache) if cache is not None else default_folder()
    plan = Plan(part, source, with_baselines(part, tuple(names)), probe, folder)
    tell = progress or silent
    with open_workers(jobs, backend, scheduler, folder) as workers:
        shown = shown_of(plan, wanted, workers, tell)
        search_settings = tuple(searches.values())
        fitter = Fitter(shown, model, graphs, asked, labels, labelling, layers, search_settings)
        results = []
        for repeat, number in enumerate(split_seeds):
            tell("fitting", repeat, repeats)
            results.append(fitter(seed + repeat, number, held_out_share))
        tell("fitted", repeats, repeats)
    return Fits(tuple(results), None if path is None else results[0].proxy.save(path))


def shown_of(
    plan: Plan,
    targets: tuple[str, ...],
    workers: Workers = HERE,
    tell: Progress = silent,
) -> Shown:
    """Measure what is missing, and return the bench with its table."""
    store = Store(plan.folder)
    rows = measure_bench(plan, store, workers, tell)
    evaluator = Evaluator(load_table(store, rows, plan.names))
    return Shown(plan.bench, targets, evaluator, expressible(plan.bench, plan.names), plan.probe)


@dataclass(frozen=True)
class Fitter:
    """Fits a model to a part of a bench, and judges it on another.

    Attributes:
        shown: the bench.
        model: the name of the model.
        graphs: what it reads.
        settings: all of its settings.
        labels: how many.
        labelling: which.
        layers: how numbers of layers are scaled.
        searches: the settings of those that found what it reads, as JSON data.
    """

    shown: Shown
    model: str
    graphs: tuple[Graph, ...]
    settings: Mapping[str, Any]
    labels: int
    labelling: str = "random"
    layers: LayerScale = "within"
    searches: tuple[Any, ...] = ()

    def __call__(self, seed: int, split_seed: int, held_out_share: float = 0.4) -> Fitted:
        """Fit with a seed to labels of the search part, and judge on the held-out part."""
        proxy, parts = self.fitted(seed, split_seed, held_out_share)
        return Fitted(proxy, seed, split_seed, self.labels, self._judged(proxy, parts.held_out))

    def fitted(
        self, seed: int, split_seed: int, held_out_share: float = 0.4
    ) -> tuple[FittedProxy, Split]:
        """Fit with a seed to labels of the search part; return the split, too."""
        parts = split(self.shown.bench, split_seed, held_out_share)
        places = self.shown.labelled(parts.search)
        scales = scales_of(self.graphs, self.shown.evaluator, parts.search, self.layers)
        rows, failures = scales(self.graphs, self.shown.evaluator)
        rows = np.nan_to_num(rows)
        usable = [place for place in places if place not in failures]

        def uncertain(known: Sequence[int], other: Sequence[int]) -> Array:
            arrays = self._arrays(rows, known, seed)
            spread = predict_by(self.model, arrays, rows[list(other)], self.settings)[1]
            if not spread.any():
                raise AutoproxError(
                    f"the model {self.model!r} does not say how sure it is; label at random, or "
                    "choose gp, forest or parzc"
                )
            return spread

        scores = self.shown.consensus[usable]
        labelled = chosen(
            self.labelling, self.labels, usable, scores, uncertain, seed, MODELS[self.model].least
        )
        arrays = {**self._arrays(rows, labelled, seed), "knots": scales.knots}
        return self._proxy(scales, arrays, labelled, seed, split_seed), parts

    def _arrays(self, rows: Array, places: Sequence[int], seed: int) -> dict[str, Array]:
        """Return what a model learns from some architectures."""
        entry = MODELS[self.model]
        labels = labels_of(self.shown.bench, places, self.shown.targets, entry.labels)
        check_labels(self.model, labels)
        arrays: dict[str, Array] = entry.function("fit")(
            rows[list(places)], labels, seed, self.settings
        )
        return arrays

    def _judged(self, proxy: FittedProxy, places: Sequence[int]) -> tuple[Assessment, ...]:
        """Return the figures on some architectures, the proxy's first, then by their figures."""
        evaluator = Evaluator(self.shown.evaluator.table.subset(places))
        held_out_columns = columns(self.shown.bench, places, self.shown.targets)
        assessor = Assessor(evaluator, held_out_columns, self.shown.known)
        whole = proxy.scores(self.shown.evaluator)
        at = {place: index for index, place in enumerate(places)}
        failed = {at[place]: reason for place, reason in whole.failures.items() if place in at}
        scores = Scores(whole.values[list(places)], failed)
        assessments = [assessor(name, graph) for name, graph in self.shown.known.items()]
        assessments.sort(key=lambda row: (row.joint is None, -(row.joint or 0.0)))
        return (assessor.of_scores(proxy.name, proxy.description, scores), *assessments)

    def _proxy(
        self,
        scales: Scales,
        arrays: Mapping[str, NDArray[Any]],
        labelled: Sequence[int],
        seed: int,
        split_seed: int,
    ) -> FittedProxy:
        """Return the proxy, which says what it was fitted on."""
        bench, targets, probe = self.shown.bench, self.shown.targets, self.shown.probe
        names = [bench.architectures[place].name for place in labelled]
        return FittedProxy(
            name=f"{self.model}_{bench.name}_{len(labelled)}",
            inputs=self.graphs,
            widths=scales.widths,
            model=self.model,
            settings=dict(self.settings),
            arrays=arrays,
            batch=probe.batch,
            sample=probe.sample,
            description=f"{MODELS[self.model].title}, fitted to {len(labelled)} accuracies of "
            f"{bench.name} ({', '.join(targets)})",
            provenance={
                "labels": {"bench": bench.name, "targets": list(targets), "architectures": names},
                "labelling": self.labelling,
                "seed": seed,
                "split_seed": split_seed,
                "images": probe.images,
                "probe_seed": probe.seed,
                **({"searches": list(self.searches)} if self.searches else {}),
            },
            layers=self.layers,
        )

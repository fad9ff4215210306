"""Bits for every layer of a trained network: the largest score of a proxy within a limit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from autoprox.errors import QuantisationError, ScoreError
from autoprox.proxies.fitted import FittedProxy
from autoprox.proxies.function import Ensemble, FunctionProxy
from autoprox.proxies.loading import Source, load
from autoprox.proxies.proxy import Proxy
from autoprox.quantise.layers import END_BITS, Costs, costs
from autoprox.runtime.arguments import listed, named_options
from autoprox.runtime.progress import Progress, silent
from autoprox.search.bits.breeding import bred
from autoprox.search.bits.limits import BitSpace, Places, average_bits, limit_of, space_of
from autoprox.search.bits.programme import solved
from autoprox.search.bits.scoring import (
    BitScorer,
    TableScorer,
    check_needs_bits,
    function_scorer,
    layer_sum,
)
from autoprox.search.bits.trials import divergence_of, tried
from autoprox.statistics import DEFAULT_SAMPLE, Sample

WIDTHS = (2, 3, 4, 5, 6, 7, 8)
EVALUATIONS = 10_000
"""How many configurations evolution scores."""

TRYING = "trying configurations on the network"


@dataclass(frozen=True, slots=True)
class BitChoice:
    """Bits for the layers of a network.

    Attributes:
        bits: of each layer in the order of execution, by its name, as `autoprox.quantise.quantise`
            takes them; 8 for the first and the last.
        costs: what the network costs at any bits.
        score: of the proxy; None where trials chose what it has no score for.
        found_by: ``"integer programme"``, which finds the best there is, ``"evolution"``, or
            ``"trials"`` on the network itself.
        evaluated: how many configurations were scored, or tried; an integer programme scores its
            result only.
        divergence: of the outputs from those without quantisation, in nats, see
            `autoprox.search.bits.trials.divergence_of`; None without trials.
        untried: the choice that the trials began with; None without trials.
        finished: whether Ctrl-C did not end the trials.
    """

    bits: dict[str, int]
    costs: Costs = field(repr=False)
    score: float | None
    found_by: str
    evaluated: int
    divergence: float | None = None
    untried: BitChoice | None = field(default=None, repr=False)
    finished: bool = True

    @property
    def size_bytes(self) -> int:
        """Bytes of the parameters: weights at their bits, all others at 32."""
        return self.costs.size_bytes(self.bits)

    @property
    def bops(self) -> int:
        """Bit operations for one image."""
        return self.costs.bops(self.bits)

    @property
    def average_bits(self) -> float:
        """The mean bits of the weights between the first and the last layer."""
        return float(average_bits(self.costs, self.bits))

    def to_json(self) -> dict[str, Any]:
        """Return the choice as JSON data."""
        return {
            "bits": self.bits,
            "score": self.score,
            "size_bytes": self.size_bytes,
            "bops": self.bops,
            "average_bits": self.average_bits,
            "found_by": self.found_by,
            "evaluated": self.evaluated,
            "divergence": self.divergence,
            "untried": None if self.untried is None else self.untried.to_json(),
            "finished": self.finished,
        }


@named_options()
def search_bits(
    network: nn.Module,
    inputs: Tensor,
    targets: Tensor | None,
    proxy: Source,
    *,
    size: float | str | None = None,
    bops: float | str | None = None,
    average_bits: float | str | None = None,
    widths: int | Sequence[int] = WIDTHS,
    sample: Sample = DEFAULT_SAMPLE,
    seed: int = 0,
    evaluations: int = EVALUATIONS,
    trials: int = 0,
    images: Tensor | None = None,
    calibration: int | None = None,
    progress: Progress | None = None,
) -> BitChoice:
    """The bits of each layer that give a trained network the largest score within a limit.

    The first and the last layer have 8 bits. Where the score rises or falls with a sum over layers,
    the best configuration is found by integer programming, else a good one by evolution. With
    `trials` configurations near it, and near the widest uniform one, are quantised and run, and the
    one whose outputs stay closest to the network's own is the choice. Ctrl-C ends the trials, and
    the choice is the best by then, not `finished`.

    Args:
        network: trained, of `nn.Conv2d` and `nn.Linear` layers; left as it is.
        inputs: calibration inputs, ``(batch, ...)``, normalised as the network takes them.
        targets: ``(batch,)``, class numbers; needed if the proxy uses the loss.
        proxy: whatever `autoprox.load` takes; it has to depend on bits, as ``hawq_v2`` does.
        size: most bytes of all parameters, weights at their bits and all others at 32; or a text
            such as ``"80KB"`` or ``"0.5MB"``; a kilobyte is 1000 bytes.
        bops: most bit operations for one input, weight bits times 8-bit activations; or a text such
            as ``"1.2G"``.
        average_bits: most bits of a weight on average, between the first and the last layer.
        widths: the bits to choose from.
        sample: entries kept of each tensor of a layer, or ``"full"``.
        seed: of the sample's places and of evolution.
        evaluations: how many configurations evolution scores at most.
        trials: how many configurations are tried on the network itself at most, a second or more
            each; 0 for none. Fewer are where no neighbour is left. The network returns
            ``(batch, classes)``.
        images: for trials, ``(images, ...)`` in random order, without labels, normalised as the
            network takes them; the first calibrate, the others are run. Some thousand do.
        calibration: for trials, how many of the images calibrate; None for 512, or half if there
            are fewer.
        progress: called as ``progress(task, done, total)``.

    Raises:
        QuantisationError: there is not one limit, it is no quantity or below the smallest possible,
            widths are not from 1 to 16, the proxy does not depend on bits, no layer can be
            quantised, or there are trials and images are missing, too few, not normalised, not
            finite or of another shape than the inputs.
        StatisticError: a statistic cannot be measured on this network.
        ScoreError: no configuration has a score.
    """
    limit = limit_of({"size": size, "bops": bops, "average_bits": average_bits})
    if evaluations < 1:
        raise QuantisationError(f"evaluations is at least 1; got {evaluations}")
    _check_trials(trials, images, inputs)
    loaded = _loaded(proxy)
    tell = progress or silent
    space = space_of(costs(network, inputs), listed(widths), limit)
    divergence = None
    if images is not None and trials:
        tell("calibrating", 0, 1)
        divergence = divergence_of(network, images, calibration=calibration)
    names = tuple(layer.name for layer in space.costs.layers)
    scorer: BitScorer
    if isinstance(loaded, Proxy):
        every = sorted({*space.widths, END_BITS})
        scorer = TableScorer(
            loaded, network, inputs, targets, names, every, sample=sample, seed=seed, progress=tell
        )
    else:
        scorer = function_scorer(loaded, network, inputs, targets, names, seed)
    choice, places = _by_proxy(space, scorer, seed, evaluations, tell)
    if divergence is None:
        return choice
    starts = np.concatenate([places, space.uniform()[-1:]])
    generator, trying = np.random.default_rng(seed), partial(tell, TRYING)
    try:
        best = tried(space, starts, divergence, generator, trials, trying)
    except KeyboardInterrupt:  # before the first was tried
        return replace(choice, finished=False)
    score = _score(scorer, space.bits(best.places))
    choice_by_trials = _choice(space, best.places, score, "trials", best.count)
    return replace(
        choice_by_trials, divergence=best.divergence, untried=choice, finished=best.finished
    )


def _loaded(proxy: Source) -> Proxy | FunctionProxy:
    """Return a proxy that has a score for one configuration of bits."""
    loaded = load(proxy)
    if isinstance(loaded, Ensemble):
        raise ScoreError(
            f"{loaded} compares networks with each other and has no score for one configuration; "
            f"search with one of its parts: {loaded.members}"
        )
    if isinstance(loaded, FittedProxy):
        raise ScoreError(
            f"{loaded} was fitted to networks, and bits are searched for by expressions and "
            "functions; give one of these, such as hawq_v2"
        )
    check_needs_bits(loaded)
    return loaded


def _score(scorer: BitScorer, bits: NDArray[np.int64]) -> float | None:
    """The score of one configuration; None if it has none."""
    try:
        return float(scorer(bits)[0])
    except ScoreError:
        return None


def _check_trials(trials: int, images: Tensor | None, inputs: Tensor) -> None:
    """Refuse trials whose images cannot be shown to the network."""
    if not isinstance(trials, int) or trials < 0:
        raise QuantisationError(f"trials is a number of configurations, or 0; got {trials!r}")
    if not trials:
        return
    if images is None:
        raise QuantisationError(
            f"{trials} trials run the quantised network: give images, some thousand of the "
            "training data (no labels)"
        )
    shape = tuple(getattr(images, "shape", ()))
    if not isinstance(images, torch.Tensor) or shape[1:] != tuple(inputs.shape[1:]):
        raise QuantisationError(
            f"images are a tensor of the shape of the inputs, (images, "
            f"{', '.join(map(str, inputs.shape[1:]))}); got {type(images).__name__} {shape}"
        )


def _by_proxy(
    space: BitSpace, scorer: BitScorer, seed: int, evaluations: int, tell: Progress
) -> tuple[BitChoice, Places]:
    """The choice of the largest score, and where it lies."""
    best = None
    if isinstance(scorer, TableScorer):
        tell("looking for the best by integer programming", 0, 1)
        best = _programmed(space, scorer)
    if best is not None:
        score = float(scorer(space.bits(best))[0])
        return _choice(space, best, score, "integer programme", 1), best
    scored = partial(tell, "scoring configurations")
    best, score, evaluated = bred(space, scorer, np.random.default_rng(seed), evaluations, scored)
    return _choice(space, best, score, "evolution", evaluated), best


def _programmed(space: BitSpace, scorer: TableScorer) -> Places | None:
    """The best configuration by integer programming, if the score goes with a sum over layers."""
    summed = layer_sum(scorer.proxy.graph)
    if summed is None:
        return None
    term, sign = summed
    terms = sign * scorer.terms(term, space.widths)[1:-1]
    return solved(space, terms) if np.isfinite(terms).all() else None


def _choice(
    space: BitSpace, places: Places, score: float | None, found_by: str, evaluated: int
) -> BitChoice:
    names = (layer.name for layer in space.costs.layers)
    bits = dict(zip(names, space.bits(places)[0].tolist(), strict=True))
    return BitChoice(bits, space.costs, score, found_by, evaluated)

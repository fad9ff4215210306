"""Proxies that were fitted to the accuracies of a few trained networks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from autoprox.errors import AutoproxError, ScoreError, reason_of
from autoprox.language.graph import Graph
from autoprox.language.text import parse
from autoprox.predictors.features import KNOTS, LayerScale, check_input
from autoprox.predictors.models import MODELS, predict_by
from autoprox.proxies.function import Graphless
from autoprox.proxies.proxy import OfStatistics, evaluator_on
from autoprox.runtime.files import digits, write_bytes
from autoprox.runtime.schema import MOST_BYTES, check_keys, decoded, dumped
from autoprox.runtime.tensors import read_by, with_checksum
from autoprox.statistics import Sample

if TYPE_CHECKING:
    from torch import nn

    from autoprox.evaluation.evaluate import Evaluator, Scores
    from autoprox.statistics.trees import Inputs, Targets

FORMAT = "autoprox fitted proxy"
VERSION = 4
SUFFIX = ".safetensors"
SEALED, SCALED = 2, 4
"""The first versions whose files have a checksum, and say how numbers of layers are scaled."""

MOST_NUMBERS = 2**20
"""The most numbers that a model reads of a network."""

Width: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=MOST_NUMBERS)]
BatchSize: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=2**20)]


@dataclass(frozen=True)
class FittedHeader:
    """What the file of a fitted proxy says beside its arrays, as JSON in its header.

    The attributes are those of `FittedProxy`; `inputs` are the texts of the expressions.
    """

    format: str
    version: int
    name: str
    inputs: tuple[str, ...]
    widths: tuple[Width, ...]
    model: str
    settings: dict[str, Any]
    batch: BatchSize
    sample: Sample
    description: str
    provenance: dict[str, Any]
    layers: LayerScale | None = None  # what scaled within a network had no knots before version 4

    def __post_init__(self) -> None:
        """Check what else cannot be.

        Raises:
            ValueError: something; the file's reader says where.
        """
        if self.sample != "full" and self.sample < 1:
            raise ValueError(f"sample: expected 1 or more, or 'full', got {self.sample}")
        if not 1 <= len(self.inputs) == len(self.widths) <= sum(w or 1 for w in self.widths):
            raise ValueError("expected a width for each input")
        if sum(self.widths) > MOST_NUMBERS:
            raise ValueError(f"widths: expected {MOST_NUMBERS:,} numbers of a network or fewer")


@dataclass(frozen=True)
class _Version:
    version: int = 0


@dataclass(frozen=True, eq=False, repr=False)
class FittedProxy(OfStatistics, Graphless):
    """A proxy that a few trained networks taught: a model over expressions.

    It is called, ranked and searched with as every proxy is; a higher score predicts a higher
    accuracy. What it is shown beside the network should be what it was fitted with.

    Attributes:
        name: what it is called.
        inputs: the expressions that the model reads, numbers of layers or of networks.
        widths: see `autoprox.predictors.features.Scales`.
        model: a name in `autoprox.predictors.MODELS`.
        settings: of the model.
        arrays: of the model, and ``knots`` of the scales.
        batch: how many inputs the networks were shown; `autoprox.rank` shows so many.
        sample: how many entries of each tensor were kept; a call keeps so many.
        description: what it is, in a sentence.
        provenance: what it was fitted on.
        layers: how numbers of layers are scaled, see `Scales`.
        version: of its file, which a proxy that is read keeps, and with it its digest.
    """

    name: str
    inputs: tuple[Graph, ...]
    widths: tuple[int, ...]
    model: str
    settings: Mapping[str, Any]
    arrays: Mapping[str, NDArray[Any]] = field(repr=False)
    batch: int = 8
    sample: Sample = 512
    description: str = ""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    layers: LayerScale = "within"
    version: int = VERSION

    def __eq__(self, other: object) -> bool:
        """Say whether two are the same to the last bit."""
        return isinstance(other, FittedProxy) and self.digest == other.digest

    def __hash__(self) -> int:
        """Return the hash of the digest."""
        return hash(self.digest)

    def __repr__(self) -> str:
        """Show the name and what it is."""
        return f"FittedProxy({self.name}: {self.description})"

    @property
    def statistics(self) -> tuple[str, ...]:
        """The statistics that have to be measured for it."""
        return tuple(sorted({name for graph in self.inputs for name in graph.statistics}))

    @cached_property
    def digest(self) -> str:
        """Sixteen digits that tell it from every other."""
        return digits(self.to_bytes(), 16)

    def predicted(self, evaluator: Evaluator) -> tuple[Scores, NDArray[np.float64]]:
        """Return the scores of the networks of a table, and how far passes or trees spread.

        Returns:
            Scores, and standard deviations ``(networks,)``: a Gaussian process knows its own, and
            those of models that have none are 0.
        """
        from autoprox.evaluation.evaluate import Scores
        from autoprox.predictors.features import Scales

        rows, failures = Scales(self.widths, self.arrays["knots"], self.layers)(
            self.inputs, evaluator
        )
        values, spread = self._model(np.nan_to_num(rows))
        for place in np.flatnonzero(~np.isfinite(values)):
            failures.setdefault(int(place), "its prediction is not finite")
        values[list(failures)] = np.nan
        return Scores(values, failures), spread

    def tried(self) -> None:
        """Predict a network of zeros, so that what does not fit together fails now."""
        MODELS[self.model].check_fitted(self.settings)
        once = {"passes": 1} if "passes" in self.settings else {}
        self._model(np.zeros((1, sum(width or 1 for width in self.widths))), once)

    def _model(
        self, rows: NDArray[np.float64], others: Mapping[str, Any] = MappingProxyType({})
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return what the model predicts of ``(networks, inputs)``, and the spread."""
        arrays = {name: value for name, value in self.arrays.items() if name != "knots"}
        return predict_by(self.model, arrays, rows, {**self.settings, **others})

    def scores(self, evaluator: Evaluator) -> Scores:
        """Return the scores of the networks of a table."""
        return self.predicted(evaluator)[0]

    def _score(self, network: nn.Module, inputs: Inputs, targets: Targets, **how: Any) -> float:
        how["sample"] = self.sample
        scores = self.scores(evaluator_on(network, inputs, targets, self.statistics, **how))
        if scores.failure is not None:
            raise ScoreError(f"{self} has no score on this network: {scores.failure}")
        return float(scores.values[0])

    def to_json(self) -> dict[str, Any]:
        """Return everything but the arrays as JSON data."""
        return {
            "format": FORMAT,
            "version": self.version,
            "name": self.name,
            "inputs": [graph.text for graph in self.inputs],
            "widths": list(self.widths),
            "model": self.model,
            "settings": dict(self.settings),
            "batch": self.batch,
            "sample": self.sample,
            "description": self.description,
            "provenance": dict(self.provenance),
            **({"layers": self.layers} if self.version >= SCALED else {}),
        }

    def to_bytes(self) -> bytes:
        """Return the file: the arrays in the safetensors format, with the JSON in its header."""
        from safetensors.numpy import save

        arrays = {name: np.ascontiguousarray(value) for name, value in self.arrays.items()}
        return with_checksum(save(arrays, {"autoprox": dumped(self.to_json())}))

    def save(self, path: str | Path) -> Path:
        """Write the file, which `autoprox.load` reads, and return its path.

        Raises:
            AutoproxError: it cannot be written, or its name does not end with ``.safetensors``.
        """
        path = fitted_path(path)
        write_bytes(path, self.to_bytes())
        return path


def fitted_path(path: str | Path) -> Path:
    """Return the path of a file for a fitted proxy.

    Raises:
        AutoproxError: its name does not end with ``.safetensors``.
    """
    path = Path(path)
    if path.suffix != SUFFIX:
        raise AutoproxError(f"a fitted proxy is a file NAME{SUFFIX}; got {str(path)!r}")
    return path


def _content(path: Path) -> tuple[dict[str, NDArray[Any]], FittedHeader]:
    """Return the arrays and the header of a file of a version that this autoprox reads."""
    from safetensors.numpy import load

    arrays, header = read_by(load, path, most=MOST_BYTES)
    if "autoprox" not in header:
        raise AutoproxError(f"{path} is no fitted proxy: autoprox did not write it")
    text = header["autoprox"].encode(errors="replace")
    version = decoded(text, _Version, str(path)).version
    if not 1 <= version <= VERSION:
        raise AutoproxError(
            f"{path} is a fitted proxy of version {version}; this autoprox reads up to {VERSION}: "
            "fit it again, or use the autoprox that wrote it"
        )
    if version >= SEALED and "checksum" not in header:
        raise AutoproxError(f"{path} is damaged: its checksum is missing, so it was altered")
    if version < SEALED:
        check_keys(text, str(path))
    return arrays, decoded(text, FittedHeader, str(path))


def from_file(path: Path) -> FittedProxy:
    """Return the fitted proxy in a file.

    Raises:
        AutoproxError: it is missing, damaged, no fitted proxy, or of another version.
    """
    arrays, facts = _content(path)
    try:
        inputs = tuple(parse(text) for text in facts.inputs)
        for graph in inputs:
            check_input(graph)
    except AutoproxError as error:
        raise AutoproxError(f"{path}: {error}") from None
    knots = arrays.get("knots", np.empty(0))
    if facts.model not in MODELS or knots.shape != (len(inputs), KNOTS):
        raise AutoproxError(f"{path} is damaged: its model or its scales do not fit its inputs")
    if any(
        value.dtype.kind not in "biuf" or not np.isfinite(value).all() for value in arrays.values()
    ):
        raise AutoproxError(f"{path} is damaged: its arrays hold what is no finite number")
    proxy = FittedProxy(
        facts.name,
        inputs,
        facts.widths,
        facts.model,
        facts.settings,
        arrays,
        facts.batch,
        facts.sample,
        facts.description,
        facts.provenance,
        facts.layers or ("magnitudes" if knots[np.array(facts.widths) > 0].any() else "within"),
        max(facts.version, SCALED - 1),  # 1 and 2 were digested as 3
    )
    try:
        proxy.tried()
    except Exception as error:  # arrays of another model may fail in any way
        raise AutoproxError(
            f"{path} is damaged: its arrays do not fit its model: {reason_of(error)}"
        ) from None
    return proxy

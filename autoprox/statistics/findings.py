"""What was found so far, and which entries of a tensor are kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from autoprox.statistics.measurement import Sample
from autoprox.statistics.sampling import Places, pool, singular_values, spread


@dataclass(slots=True)
class Findings:
    """What was found so far.

    Attributes:
        values: statistic -> layer's index -> numbers.
        sizes: statistic -> layer's index -> entries of the whole tensor.
        layerwise: statistic of kind Layer -> float64 ``(layers,)``.
    """

    values: dict[str, dict[int, Tensor]] = field(default_factory=dict)
    sizes: dict[str, dict[int, int]] = field(default_factory=dict)
    layerwise: dict[str, Tensor] = field(default_factory=dict)

    def put(
        self,
        name: str,
        layer: int,
        values: Tensor,
        size: int,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """Note the `values` of a statistic for a layer; its whole tensor has `size` entries."""
        self.values.setdefault(name, {})[layer] = values.detach().to("cpu", dtype)
        self.sizes.setdefault(name, {})[layer] = size

    def put_spectrum(self, name: str, layer: int, matrix: Tensor, sample: Sample) -> None:
        """Note the singular values of `matrix`."""
        spectrum = singular_values(matrix.detach().cpu())
        self.put(name, layer, spread(spectrum, sample), len(spectrum))


@dataclass(frozen=True, slots=True)
class Picker:
    """Keeps the same entries of every tensor of one kind and layer.

    Which ones depends on the values of the first statistic of the kind: `weight`, `act`. Those are
    measured in one way, whatever is asked for, so that what is kept does not depend on it.

    Attributes:
        sample: how many to keep.
        seed: of the pools that they are chosen from.
        weights: of the layers.
    """

    sample: Sample
    seed: int
    weights: Sequence[Tensor]
    _places: dict[int, Tensor] = field(default_factory=dict)

    def weight(self, tensor: Tensor, layer: int) -> Tensor:
        """Kept entries of a weight-shaped tensor."""
        flat = tensor.detach().reshape(-1)
        if self.sample == "full":
            return flat.clone()
        if layer not in self._places:
            weight = self.weights[layer].detach()
            rows = len(weight)
            looked_at = pool(rows, weight.numel() // rows, self.sample, self.seed, "Weight", layer)
            places = _index(looked_at.places, flat.device)
            kept = looked_at.kept(weight.reshape(-1).index_select(0, places))
            self._places[layer] = places[_index(kept, flat.device)]
        return flat.index_select(0, self._places[layer])

    def pooled(self, rows: Tensor, low: int, batch: int, kind: str, layer: int) -> Tensor:
        """Entries to choose from of the samples `low` and following of a batch.

        The positions are in ascending order, so the entries of the parts of a batch, one after the
        other, are those of the batch.

        Args:
            rows: ``(samples, entries)``.
            low: the first sample.
            batch: the number of samples of the whole batch.
            kind: the statistic's.
            layer: the layer's place.
        """
        flat = rows.detach().reshape(-1)
        if self.sample == "full":
            return flat.clone()
        width = rows.shape[1]
        places = pool(batch, width, self.sample, self.seed, kind, layer).places
        ends = np.array([low * width, low * width + len(flat)], places.dtype)
        first, last = np.searchsorted(places, ends)
        return flat.index_select(0, _index(places[first:last] - ends[0], flat.device))

    def kept(
        self, reference: Tensor, shape: tuple[int, int], kind: str, layer: int
    ) -> Tensor | slice:
        """Which of the `pooled` entries of a batch are kept.

        Args:
            reference: those of the first statistic of the kind.
            shape: samples of the batch, entries of a sample.
            kind: the statistic's.
            layer: the layer's place.
        """
        if self.sample == "full":
            return slice(None)
        kept = pool(*shape, self.sample, self.seed, kind, layer).kept(reference)
        return _index(kept, reference.device)


def _index(places: Places, device: torch.device) -> Tensor:
    return torch.from_numpy(places).to(device)

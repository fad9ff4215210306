"""What the layers' outputs show while a batch runs, part by part."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from autoprox.statistics.attention import AttentionMaps
from autoprox.statistics.measurement import Sample
from autoprox.statistics.sampling import entries, singular_values, spread
from autoprox.statistics.structure import Structure, first_tensor, hooked

WHOLE = frozenset({"act_gram", "act_spectrum"})
"""The statistics that need the outputs of the whole batch."""


@dataclass(slots=True)
class Findings:
    """Values and sizes found so far: statistic -> layer's index -> numbers."""

    values: dict[str, dict[int, Tensor]] = field(default_factory=dict)
    sizes: dict[str, dict[int, int]] = field(default_factory=dict)

    def put(self, name: str, layer: int, values: Tensor, size: int) -> None:
        """Note the `values` of a statistic for a layer; its whole tensor has `size` entries."""
        self.values.setdefault(name, {})[layer] = values.detach().to("cpu", torch.float32)
        self.sizes.setdefault(name, {})[layer] = size

    def put_spectrum(self, name: str, layer: int, matrix: Tensor, sample: Sample) -> None:
        """Note the singular values of `matrix`."""
        spectrum = singular_values(matrix.detach().cpu())
        self.put(name, layer, spread(spectrum, sample), len(spectrum))


@dataclass(frozen=True, slots=True)
class Picker:
    """Keeps the same entries of every tensor of one kind and layer."""

    sample: Sample
    seed: int

    def weight(self, tensor: Tensor, layer: int) -> Tensor:
        """Kept entries of a weight-shaped tensor."""
        flat = tensor.detach().reshape(-1)
        if self.sample == "full":
            return flat.clone()
        rows = tensor.shape[0]
        index = entries(rows, tensor.numel() // rows, self.sample, self.seed, "Weight", layer)
        return flat[index.to(flat.device)]

    def rows(self, rows: Tensor, low: int, batch: int, kind: str, layer: int) -> Tensor:
        """Kept entries of the samples `low` and following, ``(samples, entries)``, of a batch.

        The positions are in ascending order, so what is kept of the parts of a batch, one after the
        other, is what is kept of the batch.
        """
        flat = rows.detach().reshape(-1)
        if self.sample == "full":
            return flat.clone()
        width = rows.shape[1]
        index = entries(batch, width, self.sample, self.seed, kind, layer) - low * width
        return flat[index[(index >= 0) & (index < len(flat))].to(flat.device)]


def by_sample(output: Tensor, single: torch.Size, samples: int) -> Tensor:
    """View an output as ``(samples, entries)``.

    The dimension of the batch is the first one that grows with it, compared with the shape `single`
    on one sample. An output that does not depend on the batch is every sample's.
    """
    if samples > 1:
        grown = (d for d, size in enumerate(single) if output.shape[d] == size * samples)
        dim = next(grown, None)
        if dim is None:
            return output.reshape(1, -1).expand(samples, -1)
        output = output.movedim(dim, 0)
    return output.reshape(samples, -1)


def by_channel(output: Tensor, weight_dims: int) -> Tensor:
    """View an output as ``(batch * positions, channels)``.

    The channels are the second dimension after a convolution and the last one elsewhere.
    """
    output = output.movedim(1, -1) if weight_dims > 2 else output
    return output.reshape(-1, output.shape[-1])


class Recorder:
    """Keeps, of the outputs of the layers, what the statistics `names` need.

    Where a module runs several times, its last run counts. Nothing but the kept entries stays in
    memory, except for `WHOLE` and, as booleans, for `code_gram`.
    """

    def __init__(
        self, structure: Structure, names: frozenset[str], picker: Picker, batch: int
    ) -> None:
        """Prepare to record a batch of `batch` samples."""
        self.structure, self.names, self.picker, self.batch = structure, names, picker, batch
        self._owned = structure.owned()
        self._parts: list[tuple[int, int]] = []
        self._kept: dict[tuple[str, int], dict[int, Tensor]] = {}
        self._outputs: dict[str, dict[int, Tensor]] = {}
        self._sizes: dict[tuple[str, int], int] = {}
        self._runs: dict[str, int] = {}
        self._current = ""

    @contextmanager
    def part(self, network: nn.Module, low: int, high: int) -> Iterator[None]:
        """Record the samples `low` to `high` while they run forward."""
        self._parts.append((low, high))
        self._runs.clear()
        modules = dict(network.named_modules())

        def attach(handles: list[RemovableHandle]) -> None:
            for owner in self._owned:
                module = modules[owner]
                handles.append(module.register_forward_pre_hook(self._enter(owner)))
                handles.append(module.register_forward_hook(self._leave(owner)))

        with hooked(attach):
            if "attention" in self.names:
                with AttentionMaps(self._attended):
                    yield
            else:
                yield

    def _enter(self, owner: str) -> Callable[[nn.Module, object], None]:
        """Make the hook that notes which layer runs."""

        def enter(_module: nn.Module, _inputs: object) -> None:
            self._current = owner

        return enter

    def _leave(self, owner: str) -> Callable[[nn.Module, object, object], None]:
        """Make the hook that records the output of the module `owner`."""

        def leave(_module: nn.Module, _inputs: object, output: object) -> None:
            tensor = first_tensor(output)
            if tensor is not None and owner in self.structure.shapes:
                self._output(owner, tensor)

        return leave

    def _output(self, owner: str, output: Tensor) -> None:
        """Keep what is needed of an output, now, since later modules may overwrite it in place."""
        part = len(self._parts) - 1
        low, high = self._parts[part]
        self._runs[owner] = run = self._runs.get(owner, 0) + 1
        rows = by_sample(output.detach(), self.structure.shapes[owner], high - low)
        if "act" in self.names:
            self._keep("act", "Activation", owner, rows)
        if self.names & WHOLE:
            self._outputs.setdefault(owner, {})[part] = output.detach().clone()
        elif "code_gram" in self.names:
            self._outputs.setdefault(owner, {})[part] = rows > 0
        if "act_grad" in self.names and output.requires_grad:
            single = self.structure.shapes[owner]

            def arrived(grad: Tensor) -> None:
                if self._runs[owner] == run:
                    rows = by_sample(grad, single, high - low)
                    copies = max(1, rows.numel() // grad.numel())
                    scale = (high - low) / self.batch / copies
                    self._keep("act_grad", "Activation", owner, rows * scale)

            output.register_hook(arrived)  # type: ignore[no-untyped-call]  # as torch has it

    def _attended(self, _heads: int, maps: Callable[[], Tensor]) -> None:
        """Keep what is needed of an attention map of the layer that runs."""
        low, high = self._parts[-1]
        tensor = maps()
        if self._current and tensor.shape[0] % (high - low) == 0:
            self._keep("attention", "Attention", self._current, tensor.reshape(high - low, -1))

    def _keep(self, name: str, kind: str, owner: str, rows: Tensor) -> None:
        """Keep the sampled entries of the current part's `rows` for the layers of `owner`."""
        part = len(self._parts) - 1
        for layer in self._owned[owner]:
            picked = self.picker.rows(rows, self._parts[part][0], self.batch, kind, layer)
            self._kept.setdefault((name, layer), {})[part] = picked
            self._sizes[name, layer] = self.batch * rows.shape[1]

    def finish(self, findings: Findings) -> None:
        """Put what was recorded into `findings`."""
        for (name, layer), parts in self._kept.items():
            values = torch.cat([parts[part] for part in sorted(parts)])
            findings.put(name, layer, values, self._sizes[name, layer])
        self._kept.clear()
        while self._outputs:
            owner, outputs = self._outputs.popitem()
            self._finish_outputs(findings, owner, outputs)

    def _finish_outputs(
        self,
        findings: Findings,
        owner: str,
        outputs: dict[int, Tensor],
    ) -> None:
        """Put the statistics of the whole batch's outputs of one module into `findings`."""
        single, rows = self.structure.shapes[owner], []
        for part, output in outputs.items():
            low, high = self._parts[part]
            rows.append(by_sample(output, single, high - low))
        whole = torch.cat(rows)
        relations = {}
        if "act_gram" in self.names:
            relations["act_gram"] = whole.float() @ whole.float().T
        if "code_gram" in self.names:
            relations["code_gram"] = agreement(whole > 0)
        for layer in self._owned[owner]:
            for name, matrix in relations.items():
                findings.put(name, layer, matrix, matrix.numel())
            if "act_spectrum" in self.names:
                dims = self.structure.dims[layer]
                matrix = torch.cat([by_channel(output, dims) for output in outputs.values()])
                findings.put_spectrum("act_spectrum", layer, matrix, self.picker.sample)


def agreement(codes: Tensor) -> Tensor:
    """Entries on which two binary codes agree, bool ``(batch, bits)`` to ``(batch, batch)``.

    NASWOT (Mellor et al., ICML 2021), eq. 2: ``bits - hamming distance``.
    """
    signs = codes.float() * 2 - 1
    return (signs @ signs.T + codes.shape[1]) / 2
